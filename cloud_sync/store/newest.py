"""Which samples cannot be the latest of their point: what we ourselves have committed is later. Backfill hardly is.

It spares the table `latest` an attempt for each point of each block that comes after newer ones. What others have
written meanwhile can only be later still. Nothing takes rows away from `latest`.
"""

from typing import Final

from sitekeeper.model.clock import Micros

MOST: Final = 100_000
"""Points that are remembered, 20 MB; with more of them all are forgotten, and written again."""

Order = tuple[int, int]
"""Sequence of the block, position in it."""


class Newest:
    """Remembers per epoch and point the last sample in order of recording, and how far in time the epoch reaches."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[Order, Micros]] = {}

    def forget(self) -> None:
        """Forget all, because the transaction that wrote it may not have happened."""
        self._known.clear()

    def take(self, epoch: str, point: int, order: Order, reach: Micros) -> bool:
        """Tell whether a sample is to be written, as what may be the latest; if so, it is known from now on."""
        which = (epoch, point)
        known = self._known.get(which, (order, reach))
        if which in self._known and known[0] >= order and known[1] >= reach:
            return False
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[which] = (max(order, known[0]), max(reach, known[1]))
        return True
