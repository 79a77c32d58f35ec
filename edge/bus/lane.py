"""The pace of groups that share what is left of a link's time: nobody's period stretches more than another's. Pure.

A lane has a time of its own. It runs with the clock, and stands while a group that waits or is being read is at its
deadline, which is the end of its period. So in the lane's time every group is read exactly once in each period,
whatever the periods and however much is asked; in real time all periods are longer by the same ratio.
"""

import heapq
from collections.abc import Collection, Sequence
from typing import Final

from sitekeeper.model.clock import Micros
from sitekeeper.model.point import ScanGroup

NEVER: Final[Micros] = 2**62


class Lane:
    """The groups of one lane, by their places in `groups`.

    Attributes:
        stood: for how long the lane's time has stood still. lost: turns that did not come because of that.
    """

    __slots__ = ("_groups", "_rate", "_ready", "_served", "_waiting", "lost", "stood")

    def __init__(self, groups: Sequence[ScanGroup]) -> None:
        self._groups = groups
        self._waiting: list[tuple[Micros, int]] = []  # due in the lane's time, group
        self._ready: list[tuple[Micros, int]] = []  # deadline in the lane's time, group
        self._served: tuple[Micros, int] | None = None
        self._rate = 0.0  # turns asked for in a microsecond
        self.stood: Micros = 0
        self.lost = 0.0

    def add(self, group: int, due: Micros) -> None:
        """Take a group in; `due` is real time."""
        self._rate += 1 / self._groups[group].period
        heapq.heappush(self._waiting, (due - self.stood, group))

    def leave_out(self, groups: Collection[int]) -> None:
        """Forget those of `groups` that are here."""
        served = () if self._served is None else (self._served,)
        for _, group in (*self._waiting, *self._ready, *served):
            if group in groups:
                self._rate -= 1 / self._groups[group].period
        self._waiting = [each for each in self._waiting if each[1] not in groups]
        self._ready = [each for each in self._ready if each[1] not in groups]
        heapq.heapify(self._waiting)
        heapq.heapify(self._ready)
        if self._served is not None and self._served[1] in groups:
            self._served = None

    def advance(self, now: Micros) -> bool:
        """Go on to `now`, or stand at the first deadline; tell whether a group is ready to be read."""
        ready, waiting = self._ready, self._waiting
        if not ready and not waiting and self._served is None:
            return False
        at = now - self.stood
        if ready and ready[0][0] < at:
            at = ready[0][0]
        if self._served is not None and self._served[0] < at:
            at = self._served[0]
        while waiting and waiting[0][0] <= at:
            due, group = heapq.heappop(waiting)
            deadline = due + self._groups[group].period
            heapq.heappush(ready, (deadline, group))
            at = min(at, deadline)
        if now - at != self.stood:
            self.lost += (now - at - self.stood) * self._rate
            self.stood = now - at
        return bool(ready)

    def late(self, now: Micros) -> bool:
        """Tell whether a group waits that is at its deadline already."""
        return bool(self._ready) and self._ready[0][0] <= now - self.stood

    def ready(self) -> int:
        """Return how many groups wait for their turn."""
        return len(self._ready)

    def next_due(self) -> Micros:
        """Return the real time at which the next group is due, if none is ready."""
        return self._waiting[0][0] + self.stood if self._waiting else NEVER

    def take(self) -> int:
        """Return the ready group whose deadline comes first; its turn lasts until `done`."""
        self._served = heapq.heappop(self._ready)
        return self._served[1]

    def done(self, now: Micros) -> None:
        """Take note that the group taken has been read: it is due again where its period ended."""
        if self._served is not None:
            late = now - self.stood - self._served[0]
            if late > 0:
                self.stood += late
                self.lost += late * self._rate
            heapq.heappush(self._waiting, self._served)
            self._served = None
