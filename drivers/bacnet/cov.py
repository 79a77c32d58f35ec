"""Which properties a device tells by itself: one subscription each, watched as closely as a device. Pure.

The library ends a subscription without a word when it cannot renew it, and never notices a device that has forgotten
it. Here only what has proved itself counts as alive: the notification that the standard (135-2020, 13.14) has a device
send at once came, with this property in it. Whatever is not alive is polled as if there were no subscriptions, and
what is alive is read again in turn: a value that differs from the one told is a change that was never told.

A notification is believed if it is of this subscription and as old as it can be by the seconds it has left: one that
was held up, or was sent again because an acknowledgement got lost, is not. Whatever is in doubt is read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from drivers.bacnet.codec import differ
from drivers.bacnet.message import Reference
from drivers.bacnet.notice import SUBSCRIBE, Notice, subscribe
from drivers.bacnet.subscription import UNTOLD, State, Subscription, Wanted, ways
from sitekeeper.model.clock import HOUR, SECOND, Micros

AGAIN: Final[Micros] = 5 * SECOND
"""After silence, asking for a subscription again."""
RENEW: Final[Micros] = 10 * SECOND
"""Whoever says I-Am all the time is not believed to restart more often than this."""
RARELY: Final[Micros] = HOUR
"""After a refusal."""
PATIENCE: Final = 3
"""So many silences, or changes not told, in a row are as good as a refusal."""
OLD: Final = 3
"""Seconds that a notification may be late, or its device's count of the seconds left be off."""
BURST: Final[Micros] = 2 * SECOND
"""Two notifications within this time may have come in the wrong order."""


class Ask(NamedTuple):
    """A request to send: for these properties, which share the subscription that it is for."""

    subscriptions: list[Subscription]
    service: int
    data: bytes


class Told(NamedTuple):
    """What a notification is worth: values that are believed, and properties that are to be read at once."""

    values: list[tuple[Reference, bytes]]
    doubted: list[Reference]


@dataclass(slots=True)
class Counts:
    """What became of it all, for people.

    `told`: values believed. `doubted`: notifications, or values in them, that were read instead. `untold`: changes
    that were read and never told. `renewed`, `lost`: subscriptions.
    """

    told: int = 0
    doubted: int = 0
    untold: int = 0
    renewed: int = 0
    lost: int = 0


class Subscriptions:
    """Those of one device; `version` changes whenever another set of properties is alive.

    Args:
        process: our number for them, not 0. lifetime: of each. confirmed: whether notifications are acknowledged.
    """

    def __init__(self, *, process: int, lifetime: Micros, confirmed: bool) -> None:
        self.counts = Counts()
        self.version = 0
        self._process, self._confirmed = process, confirmed
        self._lifetime = lifetime
        self._all: dict[Reference, Subscription] = {}
        self._unknown: set[int] = set()
        self._idle = self._stirred = False
        self._renewed: Micros = -RENEW
        self._silences = 0
        self._quiet: Micros = 0

    def want(self, wanted: Iterable[Wanted]) -> None:
        """Watch these too; of two increments for one property the smaller holds."""
        for one in wanted:
            before = self._all.get(one.reference)
            if before is not None and before.increment is not None:
                one = Wanted(one.reference, one.increment and min(one.increment, before.increment))
            self._all[one.reference] = Subscription(one.reference, one.increment, ways(one))
        self._idle = bool(self._all)

    def __bool__(self) -> bool:
        return bool(self._all)

    def alive(self, reference: Reference) -> bool:
        """Tell whether the device tells changes of this property by itself."""
        one = self._all.get(reference)
        return one is not None and one.state is State.ALIVE

    # --- what to do

    def read(self, references: Iterable[Reference], now: Micros) -> bool:
        """Take note that the device has answered for these. Tell whether there is something new to do."""
        stirred, self._stirred = self._stirred, False
        if not self._idle:
            return stirred
        for one in [self._all[reference] for reference in references if reference in self._all]:
            if one.state is State.IDLE:
                one.state, one.due = State.WAITING, now
        self._idle = any(one.state is State.IDLE for one in self._all.values())
        return True

    def restarted(self, now: Micros) -> None:
        """Take note that the device may have forgotten its subscriptions, though it answers: renew them now."""
        if now - self._renewed < RENEW or not self._all:
            return
        self._renewed = now
        for one in self._all.values():
            if one.state is State.ALIVE:
                one.due = now

    def lost(self) -> None:
        """Take note that the device may have forgotten everything: it was silent, was restarted, or the link closed."""
        self._idle, self._silences = bool(self._all), 0
        for one in self._all.values():
            if one.state is not State.REFUSED:
                self._end(one, State.IDLE, None)

    def next(self) -> Micros | None:
        """Return when there is something to do; None if nothing is."""
        ends = [at for one in self._all.values() if (at := one.deadline) is not None]
        dues = [max(one.due, self._quiet) for one in self._all.values() if one.due is not None]
        return min(ends + dues, default=None)

    def ask(self, now: Micros) -> Ask | None:
        """Return a request that is due; what becomes of it is told by `acknowledged`, `refused` or `silent`."""
        self._advance(now)
        due = [one for one in self._all.values() if one.due is not None and one.due <= now]
        if now < self._quiet or not due:
            return None
        one = min(due, key=lambda each: each.due or 0)  # the longest due: one that is ignored holds up no other
        if one.state is State.REFUSED:
            one.state, one.services = State.WAITING, ways(Wanted(one.reference, one.increment))
            self._unknown.clear()
        return self._ask(one, now)

    def farewell(self) -> list[Ask]:
        """Return requests that give up whatever the device may still tell."""
        those = [one for one in self._all.values() if one.state in {State.ALIVE, State.UNPROVEN}]
        asks = [Ask([one], one.services[0], self._request(one, None)) for one in those]
        return list({ask[1:]: ask for ask in asks}.values())

    def acknowledged(self, ask: Ask) -> None:
        """Take note that the device has accepted it."""
        self._silences = 0
        for one in _standing(ask):
            self.counts.renewed += one.state is State.ALIVE
            one.silences, one.expires, one.due = 0, one.asked + self._lifetime, one.asked + self._lifetime // 2
            if one.state is not State.ALIVE:
                self._to(one, State.ALIVE if one.proven else State.UNPROVEN)

    def refused(self, ask: Ask, why: str, now: Micros, *, unknown: bool) -> None:
        """Take note that the device has declined; `unknown`: it does not know the service at all."""
        self._silences = 0
        if unknown:
            self._unknown.add(ask.service)
        those = self._all.values() if unknown else _standing(ask)
        for one in [one for one in those if one.services[0] == ask.service and one.state is not State.REFUSED]:
            self._decline(one, why, now)

    def silent(self, ask: Ask, now: Micros) -> None:
        """Take note that no answer came, though the device may well answer other requests.

        One that has accepted nothing and leaves several unanswered does not know the service: each further request
        would only cost its readings a time-out.
        """
        self._silences, self._quiet = self._silences + bool(_standing(ask)), now + AGAIN
        accepted = any(one.state in {State.ALIVE, State.UNPROVEN} for one in self._all.values())
        if self._silences >= PATIENCE and not accepted:
            self.refused(ask, "no answer to the subscription", now, unknown=True)
            return
        for one in _standing(ask):
            one.silences += 1
            if one.silences >= PATIENCE and one.state is not State.ALIVE:
                self._decline(one, "no answer to the subscription", now)
            else:
                one.due = now + AGAIN

    # --- what came

    def knows(self, notice: Notice) -> bool:
        """Tell whether a notification from this device is of a subscription that stands, or is being asked for."""
        return notice.process == self._process and any(
            one.reference[:2] == notice.place and one.state not in {State.IDLE, State.REFUSED}
            for one in self._all.values()
        )

    def asked(self, notice: Notice) -> Micros:
        """Return when its subscription was last asked for: the first notification after that may be as the last was."""
        return max((one.asked for one in self._all.values() if one.reference[:2] == notice.place), default=0)

    def told(self, notice: Notice, now: Micros) -> Told:
        """Take a notification that is known."""
        self._advance(now)
        values, doubted = list[tuple[Reference, bytes]](), list[Reference]()
        for reference, value in notice.values.items():
            one = self._all.get(reference)
            if one is None or one.state in {State.IDLE, State.REFUSED}:
                continue
            if not self._in_time(one, notice.remaining, now):
                doubted.append(reference)
                continue
            if one.told_at is not None and now - one.told_at < BURST and value != one.told:
                doubted.append(reference)
            one.told, one.told_at, one.untold_since, one.proven = value, now, None, True
            if one.state is State.UNPROVEN:
                self._to(one, State.ALIVE)
            values.append((reference, value))
        self.counts.told += len(values)
        self.counts.doubted += len(doubted)
        return Told(values, doubted)

    def unsaid(self, reference: Reference) -> None:
        """Take note that what was told of it means nothing: no reading can be a change from that."""
        self._all[reference].told = None

    def doubt(self, notice: Notice) -> list[Reference]:
        """Return what to read in place of a notification that is not believed, for example one that came twice."""
        found = [reference for reference in notice.values if reference in self._all]
        self.counts.doubted += len(found)
        return found

    def seen(self, reference: Reference, value: bytes, now: Micros) -> None:
        """Take note of what a reading found: if nobody tells that within moments, it is a change that was not told."""
        one = self._all.get(reference)
        if one is not None and one.state is State.ALIVE and one.told is not None:
            differs = differ(one.told, value, one.increment)
            one.untold_since = (one.untold_since or now) if differs else None
            self._stirred = self._stirred or differs

    def report(self) -> dict[str, object]:
        """Return what people want to know."""
        states = [one.state for one in self._all.values()]
        whys = {one.why for one in self._all.values() if one.state is State.REFUSED}
        return {
            "alive": states.count(State.ALIVE),
            "polled": len(states) - states.count(State.ALIVE),
            "refused": "; ".join(sorted(whys)),
            "told": self.counts.told,
            "doubted": self.counts.doubted,
            "untold": self.counts.untold,
            "renewed": self.counts.renewed,
            "lost": self.counts.lost,
        }

    # --- moves

    def _ask(self, one: Subscription, now: Micros) -> Ask:
        """Properties of one object that are subscribed by the whole object share one request."""
        service = one.services[0]
        those = [one]
        if service == SUBSCRIBE:
            place = one.reference[:2]
            those = [
                other
                for other in self._all.values()
                if other.reference[:2] == place
                and other.services[0] == SUBSCRIBE
                and other.state in {State.WAITING, State.UNPROVEN, State.ALIVE}
            ]
        for each in those:
            each.asked, each.due = now, None
        return Ask(those, service, self._request(one, self._lifetime // SECOND))

    def _request(self, one: Subscription, seconds: int | None) -> bytes:
        return subscribe(
            self._process,
            one.reference,
            confirmed=self._confirmed,
            seconds=seconds,
            whole=one.services[0] == SUBSCRIBE,
            increment=one.increment,
        )

    def _advance(self, now: Micros) -> None:
        for one in self._all.values():
            at = one.deadline
            if at is None or now < at:
                continue
            untold = one.untold_since is not None and now >= one.untold_since + UNTOLD
            if untold:
                self.counts.untold += 1
                one.untold += 1
                self.restarted(now)  # whoever has forgotten one has forgotten all
            if one.state is State.UNPROVEN:
                self._decline(one, "accepted, but no notification comes", now)
            elif untold and one.untold >= PATIENCE:
                self._decline(one, "changes are not told", now)
            else:
                self._end(one, State.WAITING, now)

    def _in_time(self, one: Subscription, remaining: int, now: Micros) -> bool:
        """A notification may overtake the acknowledgement of the request that it answers."""
        ends = {one.expires, one.asked + self._lifetime}
        return any(abs(remaining - (end - now) / SECOND) <= OLD for end in ends)

    def _decline(self, one: Subscription, why: str, now: Micros) -> None:
        """Go on with the next way that the device may know, or leave it at polling."""
        left = tuple(service for service in one.services[1:] if service not in self._unknown)
        if left:
            self._end(one, State.WAITING, now)
            one.services = left
        else:
            self._end(one, State.REFUSED, now + RARELY)
            one.why, one.untold = why, 0

    def _end(self, one: Subscription, state: State, due: Micros | None) -> None:
        self.counts.lost += one.state is State.ALIVE
        self._to(one, state)
        one.due, one.proven, one.told, one.told_at, one.untold_since = due, False, None, None, None
        one.silences, one.expires = 0, 0

    def _to(self, one: Subscription, state: State) -> None:
        if (one.state is State.ALIVE) != (state is State.ALIVE):
            self.version += 1
        one.state = state


def _standing(ask: Ask) -> list[Subscription]:
    """Return those that are still asked for: meanwhile the device may have been lost."""
    return [one for one in ask.subscriptions if one.state not in {State.IDLE, State.REFUSED}]
