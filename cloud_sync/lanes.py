"""The order of what was not sent yet: alarms, events, live samples, backfill; made anew with each connection. Pure.

Live samples are those newer than the newest at the moment of connecting; the older ones are backfill, oldest first.
"""

from collections.abc import Container
from dataclasses import dataclass, field

from cloud_sync.holds import Holds
from cloud_sync.uplink_records import BlockId
from sitekeeper.block import STREAMS, Stream

ALARMS, EVENTS, LIVE, BACKFILL = range(4)
"""The lanes, the most urgent first."""


@dataclass(slots=True)
class Lane:
    """Blocks of one stream that were not sent on this connection: from `cursor` to `end`, both included."""

    stream: Stream
    cursor: int = 1
    end: int = 0

    def extend(self, oldest: int, newest: int) -> None:
        """Let the lane reach to `newest`. Its cursor is set once; it may go back into history later."""
        if self.end == 0:
            self.cursor = oldest
        self.end = max(self.end, newest)


def _fresh() -> tuple[Lane, ...]:
    return Lane("alarms"), Lane("events"), Lane("samples"), Lane("samples")


@dataclass(slots=True)
class Lanes:
    """What may be sent next on one connection."""

    _lanes: tuple[Lane, ...] = field(default_factory=_fresh)
    _split: int | None = None

    def offer(self, stream: Stream, oldest: int, newest: int) -> None:
        """There are blocks of `stream` from `oldest` to `newest`; some between may be released."""
        if stream != "samples":
            self._lanes[STREAMS.index(stream)].extend(oldest, newest)
            return
        self._split = newest + 1 if self._split is None else self._split
        self._lanes[BACKFILL].extend(oldest, min(newest, self._split - 1))
        self._lanes[LIVE].extend(max(oldest, self._split), newest)

    def next_of(self, index: int, holds: Holds, under_way: Container[BlockId]) -> BlockId | None:
        """Take the next block of a lane, past those that are held back or under way; None if there is none."""
        lane = self._lanes[index]
        if lane.stream in holds.streams:
            return None
        while lane.cursor <= lane.end:
            block = (lane.stream, lane.cursor)
            if block in holds.blocks and lane.stream == "alarms":
                return None  # strictly in order: the ones behind it could not be applied
            lane.cursor += 1
            if block not in holds.blocks and block not in under_way:
                return block
        return None

    def back_to(self, stream: Stream, sequence: int) -> None:
        """Begin again at this block."""
        lane = BACKFILL if self.is_backfill((stream, sequence)) else LIVE
        index = lane if stream == "samples" else STREAMS.index(stream)
        self._lanes[index].cursor = min(self._lanes[index].cursor, sequence)

    def is_backfill(self, block: BlockId) -> bool:
        """Tell whether a block holds samples from before this connection."""
        return block[0] == "samples" and block[1] < (self._split or 0)
