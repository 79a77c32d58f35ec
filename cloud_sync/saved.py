"""Blocks that were saved from an earlier outbox file: sent as they are, under their old epoch, until a receipt.

They are few and old, so they go one at a time beside everything else, and again after a while.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol, runtime_checkable

from cloud_sync.session import Session
from cloud_sync.wire import Receipt, up_topic
from sitekeeper.block import STREAMS, Stream

BlockName = tuple[str, Stream, int]
"""Epoch, stream, sequence."""
Remember = Callable[[bytes, BlockName], None]

PAUSE: Final = 0.02
"""Seconds between two blocks."""
AGAIN: Final = 2.0
AGAIN_MOST: Final = 60.0
"""Seconds after which what has no receipt is sent again: twice as many each time. Alarms are among it."""


@runtime_checkable
class SavedSource(Protocol):
    """What is needed of an outbox that may hold such blocks."""

    def salvaged(self) -> Mapping[tuple[str, Stream], tuple[tuple[int, int], ...]]:
        """Return the blocks without a receipt: ranges of sequences by epoch and stream."""

    def read_salvaged(self, epoch: str, stream: Stream, sequence: int) -> bytes | None:
        """Return a block's bytes; None if it is not there."""

    def release(self, epoch: str, ranges: list[tuple[Stream, int, int]]) -> object:
        """The office has committed these closed ranges."""


async def send(source: object, session: Session, site: str, remember: Remember = lambda *_: None) -> None:
    """Send what was saved, the most urgent stream first and each stream in its order, until cancelled.

    Args:
        remember: told what is sent, to understand a `quarantined` answer.

    Raises:
        PeerUnreachable: the connection is gone.
    """
    again = AGAIN
    while isinstance(source, SavedSource) and (waiting := source.salvaged()):
        for epoch, stream in sorted(waiting, key=lambda key: (STREAMS.index(key[1]), key[0])):
            for first, last in waiting[epoch, stream]:
                for sequence in range(first, last + 1):
                    payload = source.read_salvaged(epoch, stream, sequence)
                    if payload is not None:
                        remember(payload, (epoch, stream, sequence))
                        await session.publish(up_topic(site, stream), payload)
                    await asyncio.sleep(PAUSE)
        await asyncio.sleep(again)
        again = min(2 * again, AGAIN_MOST)


def release(source: object, own: str, receipt: Receipt) -> None:
    """Hand over the receipts for blocks of other epochs than the outbox's `own`."""
    if not isinstance(source, SavedSource):
        return
    for committed in receipt.blocks:
        if committed.epoch != own:
            source.release(committed.epoch, [(committed.stream, start, end) for start, end in committed.ranges])
