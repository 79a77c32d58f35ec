"""One heap of deadlines, one per owner. An owner's place is its number; places also break ties, so order is fixed."""

import heapq
from typing import Final

from sitekeeper.model.clock import Micros

_SLACK: Final = 64


class Timers:
    """Deadlines by place. Replaced ones stay in the heap until their time, but never more than four per owner."""

    __slots__ = ("_due", "_heap")

    def __init__(self, count: int) -> None:
        self._due: list[Micros | None] = [None] * count
        self._heap: list[tuple[Micros, int]] = []

    def set(self, place: int, due: Micros | None) -> None:
        """Set, move or clear the deadline of one owner."""
        if due == self._due[place]:
            return
        self._due[place] = due
        if due is not None:
            heapq.heappush(self._heap, (due, place))
            if len(self._heap) > _SLACK + 4 * len(self._due):
                self._heap = [(due, place) for place, due in enumerate(self._due) if due is not None]
                heapq.heapify(self._heap)

    def next(self) -> Micros | None:
        """Return the earliest deadline."""
        heap = self._heap
        while heap and self._due[heap[0][1]] != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop(self, now: Micros) -> tuple[Micros, int] | None:
        """Take the earliest deadline that is not after `now`: (due, place)."""
        due = self.next()
        if due is None or due > now:
            return None
        place = heapq.heappop(self._heap)[1]
        self._due[place] = None
        return due, place
