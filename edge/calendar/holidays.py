"""Which days are holidays and which are workdays. Pure; the days are data of the site."""

from dataclasses import dataclass
from datetime import date
from typing import Final

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SATURDAY: Final = 5

Days = str | frozenset[int] | date
"""`all`, `workday`, `holiday`, the numbers of days of the week from Monday as 0, or one date."""


@dataclass(frozen=True, slots=True)
class Holidays:
    """The site's days off, and the days that make up for them; a day that is both is worked."""

    holidays: frozenset[date] = frozenset()
    working_days: frozenset[date] = frozenset()

    def holiday(self, day: date) -> bool:
        """Tell whether it is a day off; a Sunday alone is none."""
        return day in self.holidays and day not in self.working_days

    def match(self, days: Days, day: date) -> bool:
        """Tell whether a day is one of these. A holiday is no day of the week; a make-up Saturday is still Saturday."""
        if isinstance(days, date):
            return day == days
        if isinstance(days, frozenset):
            return day.weekday() in days and not self.holiday(day)
        if days == "all":
            return True
        if days == "holiday":
            return self.holiday(day)
        return day in self.working_days or (day.weekday() < _SATURDAY and day not in self.holidays)
