"""Blocks that were saved from an earlier outbox file: sent as they are, under their old epoch, until a receipt.

They are few and old, so they go one at a time beside everything else, and again after a while. Alarms have turns of
their own: no sample, nor the broker's answer to one, is between them and the office.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from cloud_sync.session import Session
from cloud_sync.wire import Receipt, up_topic
from sitekeeper.block import STREAMS, Stream

BlockName = tuple[str, Stream, int]
"""Epoch, stream, sequence."""
Waiting = Mapping[tuple[str, Stream], tuple[tuple[int, int], ...]]
"""Ranges of sequences by epoch and stream."""
Remember = Callable[[bytes, BlockName], None]

PAUSE: Final = 0.02
"""Seconds between two blocks."""
AGAIN: Final = 2.0
AGAIN_MOST: Final = 60.0
"""Seconds after which what has no receipt is sent again: twice as many each time, but for alarms."""

_BEGINNING: Final = (-1, "", 0)


@runtime_checkable
class SavedSource(Protocol):
    """What is needed of an outbox that may hold such blocks."""

    def salvaged(self) -> Waiting:
        """Return the blocks without a receipt."""

    def read_salvaged(self, epoch: str, stream: Stream, sequence: int) -> bytes | None:
        """Return a block's bytes; None if it is not there."""

    def release(self, epoch: str, ranges: list[tuple[Stream, int, int]]) -> object:
        """The office has committed these closed ranges."""


@dataclass(slots=True)
class Turns:
    """Which saved block goes next on one connection, and when: pure. Alarms (`urgent`) have turns of their own.

    All without a receipt goes in a pass, the most urgent stream first and each stream in its order. Alarms go again
    `AGAIN` after a pass of theirs, whatever else waits; the rest begins after their first one, and then goes ever less.
    """

    _passes: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    _last: dict[bool, tuple[int, str, int]] = field(default_factory=lambda: {True: _BEGINNING, False: _BEGINNING})

    def next(self, waiting: Waiting, *, urgent: bool) -> tuple[BlockName | None, float] | None:
        """Return the next block, if one is to go now, and the seconds until the next question; None: all is done."""
        alarms = {key: ranges for key, ranges in waiting.items() if key[1] == "alarms"}
        mine = alarms if urgent else {key: ranges for key, ranges in waiting.items() if key not in alarms}
        if not mine:
            return None
        if alarms and not self._passes[True] and not urgent:
            return None, PAUSE
        place = _after(mine, self._last[urgent])
        if place is not None:
            self._last[urgent] = place
            return (place[1], STREAMS[place[0]], place[2]), PAUSE
        self._last[urgent] = _BEGINNING
        again = AGAIN if urgent else min(AGAIN * 2 ** min(self._passes[urgent], 10), AGAIN_MOST)
        self._passes[urgent] += 1
        return None, again


def _after(waiting: Waiting, last: tuple[int, str, int]) -> tuple[int, str, int] | None:
    """Return the first block behind `last`, as rank of its stream, epoch and sequence."""
    for rank, epoch in sorted((STREAMS.index(stream), epoch) for epoch, stream in waiting):
        for first, end in waiting[epoch, STREAMS[rank]]:
            place = max((rank, epoch, first), (*last[:2], last[2] + 1))
            if place[:2] == (rank, epoch) and place[2] <= end:
                return place
    return None


async def send(
    source: object,
    session: Session,
    site: str,
    turns: Turns,
    *,
    urgent: bool,
    remember: Remember = lambda *_: None,
) -> None:
    """Send the alarms that were saved, or the rest, until they have their receipts or we are cancelled.

    Args:
        turns: of this connection.
        remember: told what is sent, to understand a `quarantined` answer.

    Raises:
        PeerUnreachable: the connection is gone.
    """
    while isinstance(source, SavedSource) and (turn := turns.next(source.salvaged(), urgent=urgent)) is not None:
        name, pause = turn
        payload = None if name is None else source.read_salvaged(*name)
        if name is not None and payload is not None:
            remember(payload, name)
            await session.publish(up_topic(site, name[1]), payload)
        await asyncio.sleep(pause)


def release(source: object, own: str, receipt: Receipt) -> None:
    """Hand over the receipts for blocks of other epochs than the outbox's `own`."""
    if not isinstance(source, SavedSource):
        return
    for committed in receipt.blocks:
        if committed.epoch != own:
            source.release(committed.epoch, [(committed.stream, start, end) for start, end in committed.ranges])
