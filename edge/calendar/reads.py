"""The calendar as points of the gateway: what each reads at a moment, and when that changes next. Pure.

`schedule.<name>` of each schedule; `holiday`; with a position `sun.up` and `sun.light` (civil daylight); and, where a
schedule uses the sun, `sun.fallback`: a fixed time stands today for something that the sun does not do here.
While the wall clock is not synchronised, nobody knows any of it.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Final, NamedTuple, Protocol

from edge.calendar import sun
from edge.calendar.schedules import (
    SUN_EVENTS,
    Place,
    Schedule,
    local_day,
    missing,
    next_change,
    state,
    sun_time,
    wall_of,
)
from sitekeeper.model.clock import DAY, Micros, Moment
from sitekeeper.model.quality import GOOD, Q, Reason, bad
from sitekeeper.model.sample import Value

Next = Callable[[Moment], Micros | None]
"""The monotonic time of the next change that is known; None: none within days."""


class Read(Protocol):
    """What reads one point."""

    def __call__(self, now: Moment, /) -> tuple[Value, Q]:
        """Return its value and quality at a moment."""


class Calendar(Protocol):
    """What is asked of a site."""

    @property
    def place(self) -> Place: ...

    @property
    def schedules(self) -> Mapping[str, Schedule]: ...


class _Known(NamedTuple):
    """A value from one wall time to another."""

    since: Micros
    until: Micros
    value: bool


_UP: Final = {"sun.up": ("sunrise", "sunset"), "sun.light": ("dawn", "dusk")}


def reads(site: Calendar) -> Mapping[str, tuple[Read, Next]]:
    """Return the points of a site's calendar by name."""
    place = site.place
    found = {"holiday": _point(partial(_holiday, place))}
    for name, schedule in site.schedules.items():
        found[f"schedule.{name}"] = _point(partial(_schedule, schedule, place))
    if place.position is not None:
        for name, (rise, fall) in _UP.items():
            found[name] = _point(partial(_sun_is_up, rise, fall, place))
    events = frozenset(event for schedule in site.schedules.values() for event in schedule.events)
    if events:
        found["sun.fallback"] = _point(partial(_fallback, events, place))
    return found


def _point(work_out: Callable[[Micros], _Known]) -> tuple[Read, Next]:
    """Return what reads a point; it is worked out anew only when what is known of it is over."""
    known = _Known(0, 0, False)

    def at(wall: Micros) -> _Known:
        nonlocal known
        if not known.since <= wall < known.until:
            known = work_out(wall)
        return known

    def read(now: Moment, /) -> tuple[Value, Q]:
        return (at(now.wall).value, GOOD) if now.trusted else (None, bad(Reason.CLOCK))

    def following(now: Moment) -> Micros | None:
        return now.mono + at(now.wall).until - now.wall if now.trusted else None

    return read, following


def _holiday(place: Place, wall: Micros) -> _Known:
    today = local_day(wall, place.zone)
    midnight = wall_of(today + timedelta(days=1), 0, place.zone)
    return _Known(wall, midnight, place.holidays.holiday(today))


def _schedule(schedule: Schedule, place: Place, wall: Micros) -> _Known:
    until = next_change(schedule, wall, place)
    return _Known(wall, wall + DAY if until is None else until, state(schedule, wall, place))


def _fallback(events: frozenset[str], place: Place, wall: Micros) -> _Known:
    today = local_day(wall, place.zone)
    return _Known(wall, wall_of(today + timedelta(days=1), 0, place.zone), missing(events, today, place))


def _sun_is_up(rise: str, fall: str, place: Place, wall: Micros) -> _Known:
    """Tell by the crossings before and after; within the polar circles, where there are none, by the altitude."""
    today = local_day(wall, place.zone)
    edges = sorted(
        (at, event == rise)
        for number in (-1, 0, 1)
        for event in (rise, fall)
        if (at := sun_time(event, today + timedelta(days=number), place)) is not None
    )
    before = [up for at, up in edges if at <= wall]
    after = [(at, up) for at, up in edges if at > wall]
    until = after[0][0] if after else wall_of(today + timedelta(days=1), 0, place.zone)
    assert place.position is not None
    up = before[-1] if before else not after[0][1] if after else None
    if up is None:
        up = sun.altitude(*place.position, wall) > SUN_EVENTS[rise][0]
    return _Known(wall, until, up)
