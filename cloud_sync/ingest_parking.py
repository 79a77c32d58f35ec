"""What the ingest's machine keeps in mind without a receipt: blocks that wait, questions asked, sites' latest words.

All of it is bounded, and all of it is forgotten with the process: the site keeps its blocks and sends them again.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from cloud_sync.ingest_records import ANSWERED, Acknowledge, Arrival, Ask, IngestLimits, Key, Output, Parked
from cloud_sync.store.base import PutBlock
from cloud_sync.wire import Request, Status
from sitekeeper.block import Stream
from sitekeeper.model.clock import MINUTE, Micros

_K = TypeVar("_K")
_V = TypeVar("_V")

MOST_KEYS: Final = 4_096
"""Epochs, and things asked for, that are remembered; beyond it the oldest goes first."""

WORD_LASTS: Final[Micros] = MINUTE
"""A site says every 10 s where it stands; an older word of it is none, because another worker may have heard later."""


@dataclass(slots=True)
class Parking:
    """Blocks that wait for something else to come first.

    Attributes:
        counts: where `overflowed` is counted.
        early: alarms blocks before which others are missing. unnamed: blocks by the catalogue that they wait for.
    """

    limits: IngestLimits
    counts: Counter[str]
    early: dict[Key, dict[int, Parked]] = field(default_factory=dict)
    unnamed: dict[str, dict[tuple[str, str, Stream, int], Parked]] = field(default_factory=dict)

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
