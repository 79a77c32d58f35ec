"""Weekly schedules with holidays, exceptions and the sun: what is on at a moment, and when that changes next. Pure.

Hours are local wall time. One that does not exist (clocks go forward) is the first moment after the gap; one that there
is twice (clocks go back) is the first of the two.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

from edge.calendar import sun
from edge.calendar.holidays import Days, Holidays
from sitekeeper.model.clock import DAY, HOUR, SECOND, Micros

MIDNIGHT: Final = 24 * HOUR
AHEAD: Final = 8
"""Days within which the next change is sought."""
SUN_EVENTS: Final = {
    "dawn": (sun.CIVIL, True),
    "sunrise": (sun.SUNRISE, True),
    "sunset": (sun.SUNRISE, False),
    "dusk": (sun.CIVIL, False),
}
"""By name: the altitude, and whether the sun rises."""
MOST_OFFSET: Final = 12 * HOUR
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Hour:
    """A time of day: `after` local midnight, or with `event` so long after the sun's event (before, if negative)."""

    after: Micros = 0
    event: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """From one hour to another on some days; `end` may lie on the day after, see `over_midnight`."""

    days: Days
    start: Hour
    end: Hour

    @property
    def over_midnight(self) -> bool:
        """Whether it ends on the next day. Morning and evening of the sun stand where no season can reverse them.

        So `06:30 to dawn` is empty in summer, when dawn is earlier, and does not last a day.
        """
        first = self.start.after
        if self.start.event:
            first = 0 if SUN_EVENTS[self.start.event][1] else MIDNIGHT // 2
        last = self.end.after
        if self.end.event:
            last = MIDNIGHT // 2 if SUN_EVENTS[self.end.event][1] else MIDNIGHT
        return last <= first


@dataclass(frozen=True, slots=True)
class Schedule:
    """On within any span of `on`, except where one of `exceptions` is."""

    on: tuple[Span, ...]
    exceptions: tuple[Span, ...] = ()

    @property
    def events(self) -> frozenset[str]:
        """The sun's events that it uses."""
        hours = (hour for span in (*self.on, *self.exceptions) for hour in (span.start, span.end))
        return frozenset(hour.event for hour in hours if hour.event)


@dataclass(frozen=True, slots=True)
class Place:
    """Where and under which calendar a site is.

    Attributes:
        position: latitude and longitude in degrees; None if it is not known.
        dawn, dusk: local times that stand for morning and evening on days without, and where no position is known.
    """

    zone: tzinfo
    position: tuple[float, float] | None = None
    holidays: Holidays = field(default_factory=Holidays)
    dawn: Micros = 6 * HOUR
    dusk: Micros = 18 * HOUR


def state(schedule: Schedule, wall: Micros, place: Place) -> bool:
    """Tell whether the schedule is on at a wall time."""
    today = local_day(wall, place.zone)
    return _covered(_spans(schedule.on, today, 1, place), wall) and not _covered(
        _spans(schedule.exceptions, today, 1, place), wall
    )


def next_change(schedule: Schedule, wall: Micros, place: Place) -> Micros | None:
    """Return the wall time after `wall` at which the state changes next; None if it does not within 8 days."""
    today = local_day(wall, place.zone)
    on = list(_spans(schedule.on, today, AHEAD, place))
    off = list(_spans(schedule.exceptions, today, AHEAD, place))
    now = _covered(on, wall) and not _covered(off, wall)
    for edge in sorted({edge for span in (*on, *off) for edge in span if wall < edge <= wall + AHEAD * DAY}):
        if (_covered(on, edge) and not _covered(off, edge)) is not now:
            return edge
    return None


def missing(events: Iterable[str], day: date, place: Place) -> bool:
    """Tell whether one of these events of the sun is not to be had on a day, so that a fixed time stands for it."""
    return any(sun_time(event, day, place) is None for event in events)


def sun_time(event: str, day: date, place: Place) -> Micros | None:
    """Return the wall time of an event of the sun on a local day; None if there is none."""
    height, rising = SUN_EVENTS[event]
    if place.position is None:
        return None
    return _crossing(*place.position, wall_of(day, MIDNIGHT // 2, place.zone), height, rising)


def local_day(wall: Micros, zone: tzinfo) -> date:
    """Return the date that a clock on the wall shows."""
    return (_EPOCH + timedelta(microseconds=wall)).astimezone(zone).date()


@lru_cache(maxsize=2048)
def wall_of(day: date, after: Micros, zone: tzinfo) -> Micros:
    """Return the wall time at which a local clock shows `after` midnight of a day."""
    clock = datetime(day.year, day.month, day.day) + timedelta(microseconds=after)  # noqa: DTZ001 - what clocks show
    first = clock.replace(tzinfo=zone)
    moment = first.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == clock:
        return _micros(moment)
    return _end_of_gap(_micros(first.replace(fold=1).astimezone(UTC)), _micros(moment), zone)


def _end_of_gap(before: Micros, behind: Micros, zone: tzinfo) -> Micros:
    """Return the moment between these two at which the clocks go forward."""

    def offset(wall: Micros) -> timedelta | None:
        return (_EPOCH + timedelta(microseconds=wall)).astimezone(zone).utcoffset()

    while behind - before > SECOND:
        middle = (before + behind) // 2 // SECOND * SECOND
        if offset(middle) == offset(behind):
            behind = middle
        else:
            before = middle
    return behind


def _micros(moment: datetime) -> Micros:
    """Return a moment with a time zone as wall time; exact, where `timestamp` is a float."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _covered(spans: Iterable[tuple[Micros, Micros]], wall: Micros) -> bool:
    return any(start <= wall < end for start, end in spans)


def _spans(spans: Iterable[Span], today: date, ahead: int, place: Place) -> Iterator[tuple[Micros, Micros]]:
    """Yield what there is of them from two days ago (over midnight, with an offset) to the days ahead."""
    for span in spans:
        for number in range(-2, ahead + 2):
            day = today + timedelta(days=number)
            if place.holidays.match(span.days, day):
                last = day + timedelta(days=span.over_midnight)
                yield _time(span.start, day, place), _time(span.end, last, place)


def _time(hour: Hour, day: date, place: Place) -> Micros:
    if not hour.event:
        return wall_of(day, hour.after, place.zone)
    found = sun_time(hour.event, day, place)
    if found is None:
        morning = SUN_EVENTS[hour.event][1]
        found = wall_of(day, place.dawn if morning else place.dusk, place.zone)
    return found + hour.after


@lru_cache(maxsize=512)
def _crossing(latitude: float, longitude: float, noon: Micros, height: float, rising: bool) -> Micros | None:
    return sun.crossing(latitude, longitude, noon, height, rising=rising)
