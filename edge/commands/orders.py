"""Orders of the office at the site's door: signed, for this site, fresh by our own clock, and never twice.

    signature ─▶ site ─▶ used before? ─▶ nonce ─▶ age ─▶ role ─▶ `Commander.ask`, where local callers go too
                                                              └▶ `AlarmDoor`, for the targets about alarms

The site gives out a nonce with each status and remembers its latest two with the monotonic time at which each was
made. An order quotes one, and says how long the office had it before it signed; so the order's age is counted on one
clock, the site's monotonic one: since the nonce was made, less that time. What the way took adds to the age, never
takes from it. The site's wall clock is not asked. A nonce dies with the process, so nothing signed before a restart is
good after it.

Whatever is refused is told: an audit row and an event `gateway/command`. What does not even carry the office's
signature can come in any number from whoever has the broker, so a few of those are told one by one, the rest counted.
"""

import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Final, Protocol

from edge.commands.asked import Asked
from edge.commands.audit import WRITE, AuditRow, encode
from edge.commands.told import Record
from sitekeeper.model.clock import SECOND, Micros, Moment
from sitekeeper.model.command import Actor, Outcome, Role
from sitekeeper.model.errors import NotFound, Refused, StorageError
from sitekeeper.model.sample import Value
from sitekeeper.order import ALARM_TARGETS, VALID_FOR, Order, OrderRole, Verify, same_person, unseal

NONCES: Final = 2
REMEMBERED: Final = 1_024
"""Ids of orders kept, oldest first out; one older than its nonce is refused anyway."""
EARLY: Final[Micros] = SECOND
"""So much younger than its nonce an order may seem, for two clocks that do not run alike."""
TOLD_AT_ONCE: Final = 20
"""Refusals of unsigned orders that are told one by one; after them one every `TOLD_EVERY`, with the number left out."""
TOLD_EVERY: Final[Micros] = 10 * SECOND

ROLES: Final[Mapping[OrderRole, Role]] = {"viewer": "viewer", "operator": "operator", "admin": "operator"}


class AlarmDesk(Protocol):
    """The door to the site's alarms (`edge.commands.alarm_door.AlarmDoor`), by key. Raises Refused or NotFound."""

    def shelve(self, key: str, lasts: Micros, actor: Actor, reason: str) -> object: ...

    def unshelve(self, key: str, actor: Actor, note: str) -> object: ...

    def comment(self, key: str, actor: Actor, note: str) -> object: ...


Ask = Callable[[Actor, Asked], object]
"""`Commander.ask`, which tells by itself what comes of it. Raises Refused."""


class Orders:
    """The office's way to one site's commands.

    Args:
        points: ids of the site's points. by_two: of those that need a second person (`sitekeeper.order.TWO_PERSONS`).
        alarms: where orders about alarms go. record: where refusals are told: `edge.pipeline.Pipeline.told`.
        used: ids of orders taken by earlier processes, oldest first (`audit.commands`).
    """

    def __init__(
        self,
        site: str,
        verify: Verify,
        ask: Ask,
        alarms: AlarmDesk,
        record: Record,
        now: Callable[[], Moment],
        *,
        points: Container[str],
        by_two: Container[str],
        used: Iterable[str],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._site, self._verify, self._ask, self._record, self._now = site, verify, ask, record, now
        self._alarms, self._points, self._by_two = alarms, points, by_two
        self._used: OrderedDict[str, None] = OrderedDict.fromkeys(used)
        self._nonces: OrderedDict[str, Micros] = OrderedDict()
        self._allowance, self._since = TOLD_AT_ONCE, now().mono
        self._untold = 0

    def nonce(self) -> str:
        """Return a fresh nonce for the next status; the one before stays good for a while."""
        fresh = secrets.token_hex(8)
        self._nonces[fresh] = self._now().mono
        while len(self._nonces) > NONCES:
            self._nonces.popitem(last=False)
        return fresh

    def take(self, payload: bytes, *, retained: bool) -> None:
        """Take in what came as an order: carry it out, or tell why not. Never raises, returns at once."""
        try:
            order = self._open(payload, retained=retained)
        except Refused as refused:
            self._tell(None, refused)
            return
        try:
            self._check(order)
        except Refused as refused:
            self._tell(order, refused)
            return
        self._remember(order.id)
        if order.target not in self._points:
            self._alarm(order)
            return
        try:
            self._ask(self._actor(order), self._asked(order))
        except Refused:
            self.counts["refused"] += 1  # the commander has told it
        else:
            self.counts["taken"] += 1

    def _open(self, payload: bytes, *, retained: bool) -> Order:
        if retained:
            raise Refused("retained", "an order that the broker kept is no order")
        return unseal(payload, self._verify)

    def _check(self, order: Order) -> None:
        """Check what the signature does not say.

        Raises:
            Refused: `wrong-site`, `replayed`, `bad-nonce`, `expired`, `no-such-point` or `second-needed`.
        """
        if order.site != self._site:
            raise Refused("wrong-site", f"for {order.site!r}, and this is {self._site!r}")
        if order.id in self._used:
            raise Refused("replayed", "this order was taken before")
        made = self._nonces.get(order.nonce)
        if made is None:
            raise Refused("bad-nonce", "it answers to none of this site's latest words")
        age = self._now().mono - made - order.after
        if not -EARLY <= age <= VALID_FOR or order.after < 0:
            raise Refused("expired", f"{age / SECOND:.1f} s old, at most {VALID_FOR // SECOND} s are allowed")
        if order.target not in self._points and order.target not in ALARM_TARGETS:
            raise Refused("no-such-point", f"there is no {order.target} here")
        if order.target in self._by_two and (not order.second or same_person(order.second, order.who)):
            raise Refused("second-needed", f"{order.target} is written from afar by two people only")

    def _alarm(self, order: Order) -> None:
        """Do what an order wants of an alarm. It is told as a command is: accepted first, then what came of it."""
        if not self._outcome(order, "accepted"):
            return  # it could not be told, and so it is not done
        key, actor, why = f"{self._site}/{order.value}", self._actor(order), _reason(order)
        try:
            match order.target:
                case "alarms/shelve":
                    self._alarms.shelve(key, order.lasts, actor, why)
                case "alarms/unshelve":
                    self._alarms.unshelve(key, actor, why)
                case _:
                    self._alarms.comment(key, actor, why)
        except Refused as refused:
            self._tell(order, refused)
        except NotFound as missing:
            self._tell(order, Refused("no-such-alarm", str(missing)))
        except StorageError as error:
            self._tell(order, Refused("not-stored", str(error)))
        else:
            self.counts["taken"] += 1
            self._outcome(order, "confirmed")

    def _remember(self, id_: str) -> None:
        self._used[id_] = None
        while len(self._used) > REMEMBERED:
            self._used.popitem(last=False)

    @staticmethod
    def _actor(order: Order) -> Actor:
        return Actor(name=order.who, role=ROLES[order.role], origin="office")

    @staticmethod
    def _asked(order: Order) -> Asked:
        return Asked(point=order.target, value=order.value, reason=_reason(order), lasts=order.lasts, key=order.id)

    # telling

    def _tell(self, order: Order | None, refused: Refused) -> None:
        """Record a refusal; what the disk does not take now is counted, and refused all the same."""
        self.counts["refused"] += 1
        if order is None and not self._may_tell():
            self._untold += 1
            return
        left_out, self._untold = self._untold, 0
        note, again = _note(order, refused, left_out), refused.reason == "replayed"
        self._outcome(order, "refused", refused.reason, note, again=again)

    def _outcome(
        self, order: Order | None, outcome: Outcome, reason: str = "", note: str = "", *, again: bool = False
    ) -> bool:
        """Record what became of an order; tell whether the store took it.

        `again`: it came before, and what came of it then is told under its id.
        """
        now = self._now()
        row = AuditRow(
            now.wall, now.trusted, order.who if order else "", ROLES[order.role] if order else "office", "office",
            WRITE, order.target if order else "", outcome, note or (_reason(order) if order else ""),
            "" if order is None or again else order.id, order.value if order else "", reason,
        )  # fmt: skip
        fields: dict[str, Value] = {
            "id": row.ack_id, "point": row.target, "value": row.value, "priority": 0, "by": row.user,
            "outcome": outcome, "reason": reason,
        }  # fmt: skip
        try:
            self._record("gateway/command", fields, audit=encode(row), state={})
        except StorageError:
            self.counts["unrecorded"] += 1
            return False
        return True

    def _may_tell(self) -> bool:
        now = self._now().mono
        more = (now - self._since) // TOLD_EVERY
        self._since += more * TOLD_EVERY
        self._allowance = min(TOLD_AT_ONCE, self._allowance + more)
        if not self._allowance:
            return False
        self._allowance -= 1
        return True


def _reason(order: Order) -> str:
    return f"{order.reason} ({order.second} agreed)" if order.second else order.reason


def _note(order: Order | None, refused: Refused, left_out: int) -> str:
    said = refused.detail if order is None else f"{_reason(order)}: {refused.detail}"
    return said + (f" (and {left_out} more, not told one by one)" if left_out else "")
