"""What is told together: the floods of each site, and alarms that come and go. Pure: what was decided, and when.

Fed with every case in the order of the transitions and with the time, it says what bears on the decision (`judged`)
and which messages are due (`due`). It is made anew from the store at a start: from what came lately, from the digest of
each flood that lasts, and from what is kept of alarms that chatter. Only what all may know of is counted.
"""

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from msgspec.structs import replace

from cloud_sync.store.base import Chatter, Digest
from office.notify.stages import BUNDLED, OFFICE_EPOCH, STEP, Case
from sitekeeper.alarm_quality import CHATTER, CHATTER_WITHIN, FLOOD_ABOVE, WINDOW, Flood, chattering, is_activation
from sitekeeper.model.alarm import alarm_key, annunciates, split_key
from sitekeeper.model.clock import MINUTE, Micros

AGAIN: Final[Micros] = 10 * MINUTE
"""Between two digests of one flood, and between two pushes of an alarm that chatters."""
LOOK_BACK: Final[Micros] = WINDOW + CHATTER_WITHIN
"""So far back decided transitions are needed at a start."""
RULE: Final = "FLOOD"
DEVICE: Final = "gateway"
MOST_KEYS: Final = 1_000
"""Alarms whose last activations are remembered, beyond which those of long ago are forgotten."""


@dataclass(slots=True)
class _Site:
    """A site's flood: the machine, the transitions in its window, and the last digest."""

    flood: Flood = field(default_factory=Flood)
    ids: deque[int] = field(default_factory=lambda: deque(maxlen=FLOOD_ABOVE + 1))
    digest: Digest | None = None


class Bundles:
    """One office's.

    Args:
        lately: the cases decided within `LOOK_BACK`, in order.
        lasting: the newest digest of each site that is in a flood. chatters: see `cloud_sync.store.bundles`.
    """

    def __init__(
        self, lately: Iterable[Case] = (), lasting: Iterable[Digest] = (), chatters: Iterable[Chatter] = ()
    ) -> None:
        self._sites: dict[str, _Site] = {}
        self._activations: dict[str, deque[Micros]] = {}
        self._chatters: dict[str, Chatter] = {one.key: one for one in chatters}
        for case in lately:
            self._count(case)
        for digest in lasting:
            site = self._sites.setdefault(digest.site, _Site())
            site.digest, site.flood.since = digest, digest.at
        for site in self._sites.values():
            if site.digest is None:
                site.flood.since = None  # one that was over at the stop is no new one

    def judged(self, case: Case) -> tuple[Case, Digest | None]:
        """Take in the next case; return it with what bears on it, and the digest with which a flood begins.

        What is `due` at the time at which it came must have been taken before.
        """
        if not _counts(case):
            return case, None
        name = split_key(case.transition.key)[0]
        begins, again = self._count(case)
        site = self._sites[name]
        if begins:
            site.digest = _first(name, case, site.ids[0])
        told = self._chatters.get(case.transition.key)
        lately = told is not None and case.committed - told.told < AGAIN
        judged = replace(case, flood=site.flood.since is not None, chattering=again, told=lately)
        return judged, site.digest if begins else None

    def due(self, now: Micros) -> list[Digest | Chatter]:
        """Return what has become due: digests to be told, and alarms of which the last move held back is to be."""
        found: list[Digest | Chatter] = []
        for site in self._sites.values():
            if (digest := _following(site, now)) is not None:
                site.digest = None if digest.kind == "over" else digest
                found.append(digest)
        for chatter in [one for one in self._chatters.values() if _is_over(one.told, now)]:
            del self._chatters[chatter.key]
            found += [chatter] if chatter.held else []
        if len(self._activations) > MOST_KEYS:
            self._activations = {k: at for k, at in self._activations.items() if now - at[-1] < CHATTER_WITHIN}
        return found

    def kept(self, chatter: Chatter) -> None:
        """Note how it stands with an alarm that chatters, as it is stored."""
        self._chatters[chatter.key] = chatter

    def chatter(self, case: Case, *, sent: bool) -> Chatter | None:
        """Return how it stands with the alarm of a case just sent or held back; None if it does not chatter."""
        if not case.chattering or case.flood or case.transition.priority not in BUNDLED:
            return None
        key = case.transition.key
        return Chatter(key=key, told=case.committed) if sent else replace(self._chatters[key], held=case.number)

    def next_deadline(self) -> Micros | None:
        """Return the wall time at which something may become due."""
        ends = [site.flood.ends for site in self._sites.values()]
        again = [site.digest.at + AGAIN for site in self._sites.values() if site.digest is not None]
        chatters = [one.told + AGAIN for one in self._chatters.values()]
        return min((at for at in [*ends, *again, *chatters] if at is not None), default=None)

    def _count(self, case: Case) -> tuple[bool, bool]:
        """Count a case; tell whether a flood begins with it, and whether its alarm chatters."""
        if not _counts(case):
            return False, False
        site = self._sites.setdefault(split_key(case.transition.key)[0], _Site())
        site.ids.append(case.number)
        begins = site.flood.add(case.committed)
        if not is_activation(case.transition):
            return begins, False
        times = self._activations.setdefault(case.transition.key, deque(maxlen=CHATTER))
        times.append(case.transition.at)
        return begins, chattering(times)


def _is_over(since: Micros, now: Micros) -> bool:
    """Tell whether the time between two messages is over; it is where a clock was set back by more than it."""
    return not -AGAIN <= now - since < AGAIN


def _counts(case: Case) -> bool:
    return annunciates(case.transition) and not case.transition.mode and not case.secret


def _first(site: str, case: Case, first: int) -> Digest:
    """Return the digest with which a flood begins, named by what it begins with, so that no office names two alike."""
    name = hashlib.blake2b(case.event_id.encode(), digest_size=6).hexdigest()
    occurrence = f"{alarm_key(site, DEVICE, RULE)}@{OFFICE_EPOCH}{name}"
    return Digest(
        event_id=f"{occurrence}{STEP}1",
        site=site,
        kind="begun",
        at=case.committed,
        first_id=first,
        after_id=first - 1,
        upto_id=case.number,
    )


def _following(site: _Site, now: Micros) -> Digest | None:
    """Return the digest of a flood that is due; it ends the flood in the machine where it is over."""
    before = site.digest
    if before is None:
        return None
    set_back = now < before.at - AGAIN  # the clock was: nobody knows any more how long it has lasted
    over = now if set_back else site.flood.look(now)
    if set_back:
        site.flood = Flood()
    kind: Literal["going-on", "over"] = "going-on" if over is None else "over"
    if over is None and now - before.at < AGAIN:
        return None
    occurrence, _, number = before.event_id.partition(STEP)
    return Digest(
        event_id=f"{occurrence}{STEP}{int(number) + 1}",
        site=before.site,
        kind=kind,
        at=now if over is None else max(over, min(before.at, now)),
        first_id=before.first_id,
        after_id=before.upto_id if over is None else before.first_id - 1,
        upto_id=max(site.ids[-1] if site.ids else 0, before.upto_id),
    )
