"""`calendar:` and `schedules:` of a site: special days, and when what is on.

Times are `22:00`, `24:00`, or `dusk - 15min`; days are `all`, `workday`, `holiday` or a list of `mon` to `sun`.
"""

from datetime import date
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from edge.calendar import written
from edge.calendar.holidays import Holidays
from edge.calendar.schedules import Place, Schedule, Span
from sitekeeper.profile import Id, Written


def _hour(value: str) -> str:
    written.hour(value)
    return value


def _clock(value: str) -> str:
    written.clock(value)
    return value


def _date(value: str) -> str:
    date.fromisoformat(value)
    return value


Time = Annotated[str, AfterValidator(_hour), Field(examples=["22:00", "dusk - 15min"])]
ClockTime = Annotated[str, AfterValidator(_clock), Field(examples=["06:00"])]
Date = Annotated[str, AfterValidator(_date), Field(examples=["2026-10-01"])]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Dates = Annotated[list[Date], Field(max_length=1_000)]


class PolarSection(Written):
    """What stands for dawn and dusk on a day that has none, and where the site has no position."""

    dawn: ClockTime = "06:00"
    dusk: ClockTime = "18:00"


class CalendarSection(Written):
    """Special days: public holidays, and days off that are worked; of both there may be more in `file`."""

    holidays: Dates = []
    working_days: Dates = []
    file: Annotated[str, Field(pattern=r"^data/[a-z0-9][a-z0-9_-]{0,63}\.csv$")] | None = None
    polar: PolarSection = PolarSection()

    def place(self, timezone: str, position: tuple[float, float] | None) -> Place:
        """Return where and under which calendar the site is."""
        days = Holidays(
            frozenset(map(date.fromisoformat, self.holidays)), frozenset(map(date.fromisoformat, self.working_days))
        )
        dawn, dusk = written.clock(self.polar.dawn), written.clock(self.polar.dusk)
        return Place(ZoneInfo(timezone), position, days, dawn, dusk)


class SpanSection(Written):
    """One span of a schedule: some days, or one date; from a time to a time, over midnight if that comes first."""

    days: Literal["all", "workday", "holiday"] | Annotated[list[Weekday], Field(min_length=1)] | None = None
    date: Date | None = None
    from_: Time = Field(alias="from")
    to: Time

    @model_validator(mode="after")
    def _on_some_day(self) -> "SpanSection":
        if (self.days is None) == (self.date is None):
            raise PydanticCustomError("days-or-date", "days or a date, and not both")
        return self

    def span(self) -> Span:
        """Return what it means."""
        days = written.days(self.days) if self.days is not None else date.fromisoformat(self.date or "")
        return Span(days, written.hour(self.from_), written.hour(self.to))


class ScheduleSection(Written):
    """When something is on. `except` wins over `on`."""

    on: Annotated[list[SpanSection], Field(min_length=1, max_length=50)]
    except_: Annotated[list[SpanSection], Field(max_length=50, alias="except")] = []

    def schedule(self) -> Schedule:
        """Return what it means."""
        return Schedule(tuple(span.span() for span in self.on), tuple(span.span() for span in self.except_))


Schedules = Annotated[dict[Id, ScheduleSection], Field(max_length=200)]
