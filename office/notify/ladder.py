"""Who else is called when nobody answers: the steps that are due, by the time at which the office had the alarm. Pure.

It holds no truth: whether a step is still wanted is judged when it is due, from the store, and so is whether it was
made already. At a start it is filled with all that nobody has acknowledged.
"""

import heapq
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from office.notify.stages import Case, Step
from sitekeeper.model.alarm import Priority
from sitekeeper.model.clock import Micros

MOST: Final = 10_000
"""Steps held in memory; beyond them the store is asked again when there is room."""
AT_ONCE: Final = 8
"""Steps taken before the next look for fresh alarms, however many are due."""


class Rung(NamedTuple):
    """A step of the ladder of one annunciation, and the office's wall time at which it is due."""

    due: Micros
    event_id: str
    step: int
    occurrence: str


class Ladder:
    """One office's.

    Attributes:
        spilled: steps are missing here that may be wanted: see `fill`.
    """

    def __init__(self, steps: Mapping[Priority, tuple[Step, ...]]) -> None:
        self._steps = steps
        self._rungs: list[Rung] = []
        self.spilled = bool(steps)

    @property
    def priorities(self) -> frozenset[Priority]:
        """Return of which alarms somebody else is called."""
        return frozenset(self._steps)

    @property
    def wants_filling(self) -> bool:
        """Tell whether the store is to be asked, and there is room for what it says."""
        return self.spilled and len(self._rungs) * 2 <= MOST

    def fill(self, cases: Iterable[Case]) -> None:
        """Take up all annunciations that were pushed and that nobody has acknowledged."""
        self.spilled = False
        self._rungs.clear()
        for case in cases:
            self.pushed(case)

    def pushed(self, case: Case) -> None:
        """Note that an annunciation was pushed."""
        for number, step in enumerate(self._steps.get(case.transition.priority, ()), start=1):
            if len(self._rungs) >= MOST:
                self.spilled = True
                return
            heapq.heappush(self._rungs, Rung(case.committed + step.after, case.event_id, number, case.occurrence))

    def due(self, now: Micros) -> list[Rung]:
        """Return the first few of the steps that have become due, each once, the earliest first."""
        found: list[Rung] = []
        while self._rungs and self._rungs[0].due <= now and len(found) < AT_ONCE:
            found.append(heapq.heappop(self._rungs))
        return found

    def next_deadline(self) -> Micros | None:
        """Return when the next step is due."""
        return self._rungs[0].due if self._rungs else None
