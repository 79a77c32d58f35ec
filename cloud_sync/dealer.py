"""Whose message is next: what came and was not decoded yet waits here by site, and each site gets its turn. Pure.

In one queue a site that sends a block at a time would wait behind all that others sent at once. Here every site with
something waiting is served once before any is served twice, whatever others send: its wait is one round.

The broker cannot be told to wait (mosquitto 2.0.11 keeps to our receive maximum only until the first acknowledgement,
and then sends all that it has), so what waits is bounded here, per site and in all. What finds no room is acknowledged
to the broker and forgotten: left without an answer it would take one of the broker's places until the connection ends,
and nobody would send it again sooner. It has no receipt, so its site keeps it, and sends less and later (`tempo`).
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Final

from cloud_sync.ingest_records import Arrival

SITE_COUNT: Final = 64
SITE_BYTES: Final = 2 * 1024 * 1024
"""Of one site: more than it may have without a receipt (`UplinkLimits.window`), in blocks of any size."""
COUNT: Final = 8_192
BYTES: Final = 64 * 1024 * 1024


@dataclass(slots=True)
class Waiting:
    """One site's messages by their bytes, oldest first; `size` of them all."""

    messages: OrderedDict[bytes, Arrival] = field(default_factory=OrderedDict)
    size: int = 0


@dataclass(slots=True)
class Dealer:
    """Undecoded messages, dealt one of each site at a time.

    Attributes:
        site_count, site_bytes, count, bytes: most of one site and in all.
        counts: where `overflowed` (no room) and `waiting` (a repeat of what waits) are counted.
        size: bytes that wait at present.
    """

    site_count: int = SITE_COUNT
    site_bytes: int = SITE_BYTES
    count: int = COUNT
    bytes: int = BYTES
    counts: Counter[str] = field(default_factory=Counter)
    size: int = 0
    _sites: OrderedDict[str, Waiting] = field(default_factory=OrderedDict)
    _waiting: int = 0

    def __len__(self) -> int:
        return self._waiting

    def put(self, site: str, arrival: Arrival) -> list[Arrival]:
        """Let a message wait; return those that are to be acknowledged to the broker and forgotten.

        A repeat of what waits already takes its place, because only on its connection an acknowledgement is worth
        anything. Where there is no room in all, the site with the most messages loses its newest, so that one with few
        always finds some.
        """
        mine = self._sites.setdefault(site, Waiting())
        payload = arrival.delivery.payload
        before = mine.messages.get(payload)
        mine.messages[payload] = arrival
        if before is not None:
            self.counts["waiting"] += 1
            return [before]
        self._weigh(mine, 1, len(payload))
        forgotten = []
        if len(mine.messages) > self.site_count or mine.size > self.site_bytes:
            forgotten.append(self._lose(site))
        while self._waiting > self.count or self.size > self.bytes:
            forgotten.append(self._lose(max(self._sites, key=lambda one: len(self._sites[one].messages))))
        return forgotten

    def deal(self) -> Arrival | None:
        """Return the oldest message of the site whose turn it is; None if nothing waits."""
        if not self._sites:
            return None
        site, turn = self._sites.popitem(last=False)
        payload, arrival = turn.messages.popitem(last=False)
        self._weigh(turn, -1, -len(payload))
        if turn.messages:
            self._sites[site] = turn  # behind all others
        return arrival

    def _lose(self, site: str) -> Arrival:
        turn = self._sites[site]
        payload, arrival = turn.messages.popitem()
        self._weigh(turn, -1, -len(payload))
        self.counts["overflowed"] += 1
        if not turn.messages:
            del self._sites[site]
        return arrival

    def _weigh(self, turn: Waiting, count: int, size: int) -> None:
        turn.size += size
        self.size += size
        self._waiting += count
