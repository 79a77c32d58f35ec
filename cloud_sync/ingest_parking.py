"""What the ingest's machine keeps in mind without a receipt: blocks that wait, questions asked, sites' latest words.

All of it is bounded, and all of it is forgotten with the process: the site keeps its blocks and sends them again.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from cloud_sync.ingest_records import ANSWERED, Acknowledge, Arrival, Ask, IngestLimits, Key, Output, Parked
from cloud_sync.store.base import PutBlock, PutMissing
from cloud_sync.wire import Request, Resend, Status
from sitekeeper.block import Stream
from sitekeeper.model.clock import MINUTE, Micros

_K = TypeVar("_K")
_V = TypeVar("_V")

MOST_KEYS: Final = 4_096
"""Epochs, and things asked for, that are remembered; beyond it the oldest goes first."""

MOST_SETTLED: Final = 64
"""Ranges of settled alarms blocks of one epoch that are remembered; the oldest goes first."""

MOST_UNREAD: Final = 64
"""Unreadable alarms messages of one site that are remembered; the oldest goes first."""

WORD_LASTS: Final[Micros] = MINUTE
"""A site says every 10 s where it stands; an older word of it is none, because another worker may have heard later."""


@dataclass(slots=True)
class Parking:
    """Blocks that wait for something else to come first.

    Attributes:
        counts: where `overflowed` is counted.
        early: alarms blocks before which others are missing. unnamed: blocks by the catalogue that they wait for.
        forgotten: the last alarms block of an epoch that came too early and found no room.
    """

    limits: IngestLimits
    counts: Counter[str]
    early: dict[Key, dict[int, Parked]] = field(default_factory=dict)
    unnamed: dict[str, dict[tuple[str, str, Stream, int], Parked]] = field(default_factory=dict)
    forgotten: dict[Key, int] = field(default_factory=dict)

    def put(self, where: dict[_K, Parked], key: _K, put: PutBlock, arrival: Arrival) -> list[Output]:
        """Keep a block until it can go on, without a receipt.

        The broker is answered at once: it sends only so many messages that nobody has answered, and what the parked
        ones wait for would be behind them.
        """
        if key not in where and self.count() >= self.limits.parked:
            self.counts["overflowed"] += 1
            return [Acknowledge(arrival)]
        where[key] = Parked(put, replace(arrival, connection=ANSWERED))
        return [] if arrival.connection == ANSWERED else [Acknowledge(arrival)]

    def keep_early(self, key: Key, put: PutBlock, arrival: Arrival) -> list[Output]:
        """Keep an alarms block until its turn has come; where there is no room, remember that there was one."""
        early, sequence = self.early.setdefault(key, {}), put.block.sequence
        outputs = self.put(early, sequence, put, arrival)
        if sequence not in early:
            bounded(self.forgotten, key, max(sequence, self.forgotten.get(key, 0)))
        return outputs

    def ask_again(self, key: Key, following: int) -> list[Output]:
        """Ask for the alarms that were forgotten for want of room, if they are next now.

        The site would send each again in its own time, in any order, and so all but the next one in vain.
        """
        last = self.forgotten.get(key, 0)
        if last < following or following in self.early.get(key, {}):
            return []
        del self.forgotten[key]
        return [Ask(key[0], Request(resend=Resend(key[1], "alarms", following, last)))]

    def count(self) -> int:
        """Return how many blocks wait."""
        return sum(map(len, self.early.values())) + sum(map(len, self.unnamed.values()))


@dataclass(slots=True)
class Asking:
    """What sites were asked for, and when: not again before `every` is over."""

    every: Micros
    _asked: dict[tuple[str, str], Micros] = field(default_factory=dict)

    def ask(self, site: str, what: str, request: Request, now: Micros) -> list[Output]:
        """Return the request, unless the same thing was asked for just now."""
        asked = self._asked.get((site, what))
        if asked is not None and now - asked < self.every:
            return []
        bounded(self._asked, (site, what), now)
        return [Ask(site, request)]


@dataclass(slots=True)
class Settled:
    """Alarms blocks that nobody waits for: in quarantine under their own number, or gone by their site's word."""

    _ranges: dict[Key, list[tuple[int, int]]] = field(default_factory=dict)
    _said: dict[str, tuple[Resend, ...]] = field(default_factory=dict)

    def add(self, key: Key, start: int, end: int) -> None:
        """Take note of a range; it may lie behind blocks that are still waited for."""
        if key not in self._ranges:
            bounded(self._ranges, key, [])
        mine = self._ranges[key]
        mine[:] = [*(one for one in mine if one != (start, end)), (start, end)][-MOST_SETTLED:]

    def heard(self, status: Status) -> list[PutMissing]:
        """Take a status; return what is to be stated, if it says anything new."""
        if not status.absent or self._said.get(status.site) == status.absent:
            return []
        bounded(self._said, status.site, status.absent)
        for one in status.absent:
            if one.stream == "alarms":
                self.add((status.site, one.epoch), one.start, one.end)
        return [
            PutMissing(site=status.site, epoch=one.epoch, stream=one.stream, start=one.start, end=one.end)
            for one in sorted(status.absent, key=lambda one: one.start)
        ]

    def last(self, key: Key, following: int) -> int | None:
        """Return the last of the blocks from this one on that are settled; None if it is waited for."""
        return next((end for start, end in self._ranges.get(key, ()) if start <= following <= end), None)


@dataclass(slots=True)
class Unread:
    """Messages on sites' alarms topics that went into quarantine without a name, by their digests.

    A site passes such a block by once it was told; what its status then leaves out is that block, if there are no more
    gaps than messages. Only a gateway of today says so itself. One that explained a gap explains no second one.
    """

    _found: dict[str, dict[str, bool]] = field(default_factory=dict)

    def put(self, site: str, digest: str) -> None:
        """Take note of one; a repeat is none."""
        if site not in self._found:
            bounded(self._found, site, {})
        mine = self._found[site]
        mine.setdefault(digest, True)
        if len(mine) > MOST_UNREAD:
            del mine[next(iter(mine))]

    def explain(self, site: str, missing: int) -> bool:
        """Tell whether so many alarms blocks are missing because they could not be read, and use the reason up."""
        mine = self._found.get(site, {})
        fresh = [digest for digest, unused in mine.items() if unused]
        if len(fresh) < missing:
            return False
        mine.update(dict.fromkeys(fresh[:missing], False))
        return True


@dataclass(slots=True)
class Words:
    """Which sequences sites said that they give next, in their latest live statuses."""

    _said: dict[Key, tuple[Micros, dict[Stream, int]]] = field(default_factory=dict)

    def heard(self, status: Status, now: Micros) -> None:
        """Take a live status."""
        bounded(self._said, (status.site, status.epoch), (now, status.next))

    def is_over(self, key: Key, since: Micros) -> bool:
        """Tell whether a site has spoken under another epoch since then, and after its last word under this one."""
        at = max(since, self._said[key][0]) if key in self._said else since
        return any(site == key[0] and said > at for (site, _), (said, _) in self._said.items())

    def following(self, key: Key, stream: Stream, now: Micros) -> int | None:
        """Return the next sequence of a stream; None if its site has not said lately, or never says."""
        at, following = self._said.get(key, (now, {}))
        return following.get(stream) if now - at <= WORD_LASTS else None


def bounded(where: dict[_K, _V], key: _K, value: _V) -> None:
    """Keep a value, and no more than MOST_KEYS of them."""
    where[key] = value
    if len(where) > MOST_KEYS:
        del where[next(iter(where))]
