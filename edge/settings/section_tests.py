"""`emergency_tests:` of a site: which emergency luminaires are tested together, how often, and when."""

from typing import Annotated

from pydantic import Field

from edge.commands.lamp_tests import Kind, Plan
from sitekeeper.model.clock import DAY, Micros
from sitekeeper.profile import Id, Period, Written


class FunctionSection(Written):
    """Function tests. `every` is shorter than the 31 days after which one is overdue (G08): a window must come yet."""

    every: Period = 28 * DAY


class DurationSection(Written):
    """Duration tests; `minutes` for a lamp that does not tell its rated time. `every` is shorter than a year (G09)."""

    every: Period = 350 * DAY
    minutes: Annotated[float, Field(gt=0, le=600)] = 180.0


class PlanSection(Written):
    """One plan.

    Attributes:
        group: the luminaires of class `emergency`, listed as they hang; every second one is a half.
        window: schedule in which tests may run. occupied: schedule of the hours in which people are there: no tests.
        hold: group of luminaires that are held at full light while lamps here are under test.
    """

    group: Id
    window: Id
    occupied: Id
    function: FunctionSection = FunctionSection()
    duration: DurationSection = DurationSection()
    hold: Id | None = None

    def plan(self, id_: str, lamps: tuple[str, ...]) -> Plan:
        """Return what it means for these lamps."""
        every: dict[Kind, Micros] = {"function": self.function.every, "duration": self.duration.every}
        return Plan(id=id_, lamps=lamps, every=every, minutes=self.duration.minutes)


EmergencyTests = Annotated[dict[Id, PlanSection], Field(max_length=200)]
