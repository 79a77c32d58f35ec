"""A small event queue: named appointments on a clock that only moves when told."""

import heapq
from collections.abc import Callable

from sitekeeper.model.clock import Micros


class Agenda:
    """Appointments in time order; making one under a name in use replaces the old one.

    `now` is the time of the appointment being kept, so that an action may make new ones relative to it.
    """

    def __init__(self, start: Micros = 0) -> None:
        self.now = start
        self._heap: list[tuple[Micros, int, str, Callable[[], None]]] = []
        self._valid: dict[str, int] = {}
        self._count = 0

    def at(self, when: Micros, name: str, action: Callable[[], None]) -> None:
        """Do `action` at `when`, or at once when the clock next moves if that is past."""
        self._count += 1
        self._valid[name] = self._count
        heapq.heappush(self._heap, (max(when, self.now), self._count, name, action))

    def after(self, delay: Micros, name: str, action: Callable[[], None]) -> None:
        """Do `action` when `delay` microseconds have passed."""
        self.at(self.now + delay, name, action)

    def cancel(self, name: str) -> None:
        """Forget the appointment of this name, if there is one."""
        self._valid.pop(name, None)

    def pending(self, name: str) -> bool:
        """Tell whether there is an appointment of this name."""
        return name in self._valid

    @property
    def next(self) -> Micros | None:
        """When the next appointment is; None if there is none."""
        while self._heap and self._valid.get(self._heap[0][2]) != self._heap[0][1]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def run(self, to: Micros) -> None:
        """Move the clock to `to`, keeping every appointment on the way in order; never moves backwards."""
        while self._heap and self._heap[0][0] <= to:
            when, number, name, action = heapq.heappop(self._heap)
            if self._valid.get(name) != number:
                continue
            del self._valid[name]
            self.now = when
            action()
        self.now = max(self.now, to)
