"""Schedules: days, hours, both changes of the clocks, and a thousand random ones against a loop over every minute."""

import random
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from edge.calendar import written
from edge.calendar.holidays import Holidays
from edge.calendar.schedules import AHEAD, Hour, Place, Schedule, Span, next_change, state, sun_time, wall_of
from sitekeeper.model.clock import DAY, HOUR, MINUTE, SECOND

BERLIN = Place(ZoneInfo("Europe/Berlin"), (52.52, 13.405))
HONG_KONG = Place(ZoneInfo("Asia/Hong_Kong"), (22.3, 114.2))
OFF = Holidays(frozenset({date(2026, 10, 1)}), frozenset({date(2026, 10, 10)}))


def on(days, start, end):
    return Span(written.days(days), written.hour(start), written.hour(end))


def wall(text, place):
    return (datetime.fromisoformat(text).replace(tzinfo=place.zone) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )


def utc(text):
    return wall(text, Place(UTC))


def edges(schedule, since, days, place):
    """Return the changes of some days, from one to the next."""
    found, at = [], since
    while (at := next_change(schedule, at, place) or 0) and at < since + days * DAY:
        found.append((at, state(schedule, at, place)))
    return found


def test_a_night_runs_over_midnight():
    """From ten in the evening to six in the morning, to the microsecond at both ends."""
    night = Schedule((on("all", "22:00", "06:00"),))
    six, ten = wall("2026-06-02T06:00", HONG_KONG), wall("2026-06-01T22:00", HONG_KONG)
    assert [state(night, at, HONG_KONG) for at in (ten - 1, ten, six - 1, six)] == [False, True, True, False]
    assert next_change(night, ten - 1, HONG_KONG) == ten
    assert next_change(night, ten, HONG_KONG) == six


def test_holidays_and_days_that_make_up_for_them():
    """A holiday is no Thursday; a Saturday that is worked is a workday; `all` is every day."""
    place = Place(HONG_KONG.zone, holidays=OFF)
    noon = {day: wall(f"2026-10-{day:02}T12:00", place) for day in (1, 2, 3, 10)}

    def days(which):
        return [day for day, at in noon.items() if state(Schedule((on(which, "10:00", "14:00"),)), at, place)]

    assert days("all") == [1, 2, 3, 10]
    assert days("holiday") == [1]
    assert days("workday") == [2, 10]
    assert days(["thu", "fri"]) == [2]
    assert days(["sat"]) == [3, 10]
    assert days(date(2026, 10, 3)) == [3]


def test_a_day_that_is_both_off_and_worked_is_worked():
    """The day that makes up is the later decision."""
    both = Holidays(frozenset({date(2026, 10, 10)}), frozenset({date(2026, 10, 10)}))
    assert not both.holiday(date(2026, 10, 10))
    assert both.match("workday", date(2026, 10, 10))


def test_an_exception_wins():
    """What is written under `except` is off, whatever is on; the rest of the night is not."""
    night = Schedule((on("all", "18:00", "06:00"),), (on(date(2026, 12, 24), "00:00", "24:00"),))
    assert [at for at, _ in edges(night, wall("2026-12-23T12:00", HONG_KONG), 2, HONG_KONG)] == [
        wall("2026-12-23T18:00", HONG_KONG),
        wall("2026-12-24T00:00", HONG_KONG),
        wall("2026-12-25T00:00", HONG_KONG),
        wall("2026-12-25T06:00", HONG_KONG),
    ]


def test_an_hour_that_the_clocks_leave_out_is_the_moment_after_the_gap():
    """In spring 02:30 is 03:00 of summer time, and a night from 01:30 to 02:30 lasts half an hour."""
    assert wall_of(date(2026, 3, 29), 2 * HOUR + 30 * MINUTE, BERLIN.zone) == utc("2026-03-29T01:00")
    short = Schedule((on("all", "01:30", "02:30"),))
    assert edges(short, utc("2026-03-29T00:00"), 1, BERLIN)[:2] == [
        (utc("2026-03-29T00:30"), True),
        (utc("2026-03-29T01:00"), False),
    ]


def test_an_hour_that_there_is_twice_is_the_first():
    """In autumn 02:30 is that of summer time, and it is not entered again an hour later."""
    assert wall_of(date(2026, 10, 25), 2 * HOUR + 30 * MINUTE, BERLIN.zone) == utc("2026-10-25T00:30")
    short = Schedule((on("all", "02:15", "02:30"),))
    found = [at for at, _ in edges(short, utc("2026-10-24T22:00"), 1, BERLIN)]
    assert found == [utc("2026-10-25T00:15"), utc("2026-10-25T00:30")]


def test_from_dusk_to_dawn_with_offsets():
    """The night of the lights begins before dusk and ends after the next dawn."""
    lights = Schedule((on("all", "dusk - 15min", "dawn + 10min"),))
    dusk = sun_time("dusk", date(2026, 6, 21), HONG_KONG)
    dawn = sun_time("dawn", date(2026, 6, 22), HONG_KONG)
    assert edges(lights, wall("2026-06-21T12:00", HONG_KONG), 1, HONG_KONG) == [
        (dusk - 15 * MINUTE, True),
        (dawn + 10 * MINUTE, False),
    ]


def test_a_morning_until_dawn_is_empty_in_summer():
    """Dawn before six makes no light from six on, and not one that lasts a day; in winter it is lit."""
    morning = Schedule((on("all", "06:00", "dawn"),))
    assert edges(morning, wall("2026-06-20T12:00", BERLIN), 8, BERLIN) == []
    assert len(edges(morning, wall("2026-12-20T12:00", BERLIN), 1, BERLIN)) == 2


@pytest.mark.parametrize("position", [(69.6492, 18.9553), None])
def test_where_the_sun_does_not_set_fixed_times_stand_for_it(position):
    """In Tromso in June, and where nobody has said where the site is."""
    place = Place(ZoneInfo("Europe/Oslo"), position, dawn=6 * HOUR, dusk=18 * HOUR)
    lights = Schedule((on("all", "dusk - 15min", "dawn"),))
    assert edges(lights, wall("2026-06-21T12:00", place), 1, place) == [
        (wall("2026-06-21T17:45", place), True),
        (wall("2026-06-22T06:00", place), False),
    ]


def test_what_never_changes_has_no_next_change():
    """Neither what is always on nor what is empty."""
    noon = wall("2026-06-01T12:00", HONG_KONG)
    assert next_change(Schedule((on("all", "00:00", "24:00"),)), noon, HONG_KONG) is None
    assert next_change(Schedule(()), noon, HONG_KONG) is None


@pytest.mark.parametrize(
    "text", ["25:00", "24:01", "7:30", "noon", "dusk -", "dusk - 15", "dusk - 13h", "dawn x 1h", ""]
)
def test_an_hour_that_is_none_is_refused(text):
    """The fault says what was written."""
    with pytest.raises(ValueError, match=r".+"):
        written.hour(text)


@pytest.mark.parametrize("days", ["daily", [], ["mon", "tues"], ""])
def test_days_that_are_none_are_refused(days):
    """Also an empty list, which would never be."""
    with pytest.raises(ValueError, match="is none of"):
        written.days(days)


def _random_span(rng):
    start = rng.choice([Hour(rng.randrange(0, 1440) * MINUTE), Hour(rng.randrange(-60, 60) * MINUTE, "dusk")])
    end = rng.choice([Hour(rng.randrange(1, 1441) * MINUTE), Hour(rng.randrange(-60, 60) * MINUTE, "dawn")])
    weekdays = frozenset(rng.sample(range(7), rng.randrange(1, 7)))
    date_ = date(2026, rng.choice([3, 10]), rng.randrange(24, 31))
    return Span(rng.choice(["all", "workday", "holiday", weekdays, date_]), start, end)


def _by_the_minute(schedule, days, place, clock, sunny):
    """Tell of a local minute by its own words: is it in a span of today's, or in one of yesterday's past midnight?"""
    day, minute = clock.date(), clock.hour * 60 + clock.minute

    def inside(span):
        for back in (0, 1):
            started = day - timedelta(days=back)
            if not days(span.days, started):
                continue
            first = _minute(span.start, started, sunny) - 1440 * back
            over = _order(span.end, 12, 24) <= _order(span.start, 0, 12)
            last = _minute(span.end, started + timedelta(days=over), sunny) + 1440 * (over - back)
            if first <= minute < last:
                return True
        return False

    return any(map(inside, schedule.on)) and not any(map(inside, schedule.exceptions))


def _order(hour, morning, evening):
    return {"dawn": morning * 60, "dusk": evening * 60}.get(hour.event, hour.after / MINUTE)


def _minute(hour, day, sunny):
    """Return minutes after midnight of `day`; the sun's are rounded up, as no earlier minute begins within the span."""
    if not hour.event:
        return hour.after // MINUTE
    return -(-(sunny[hour.event, day] + hour.after) // MINUTE)


def _matches(days, day, off):
    if isinstance(days, date):
        return day == days
    worked, free = day in off.working_days, day in off.holidays and day not in off.working_days
    if days == "workday":
        return worked or (day.weekday() not in {5, 6} and not free)
    return (
        {"all": True, "holiday": free}.get(days, False) if isinstance(days, str) else day.weekday() in days and not free
    )


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Hong_Kong"])
def test_five_hundred_random_schedules_against_every_minute(zone):
    """State and changes are those of a loop over the minutes of two days, also where the clocks go forward and back."""
    rng = random.Random(zone)
    off = Holidays(
        frozenset({date(2026, 3, 30), date(2026, 10, 26)}), frozenset({date(2026, 3, 28), date(2026, 10, 25)})
    )
    position = BERLIN.position if zone == "Europe/Berlin" else HONG_KONG.position
    place = Place(ZoneInfo(zone), position, off)
    moments = {first: _minutes(first, place) for first in (date(2026, 3, 28), date(2026, 10, 24))}
    sunny = {
        (event, day): _clock(sun_time(event, day, place), place)
        for event in ("dawn", "dusk")
        for first in moments
        for day in (first + timedelta(days=n) for n in range(-3, 5))
    }
    for number in range(500):
        many = [_random_span(rng) for _ in range(rng.randrange(1, 4))]
        schedule = Schedule(tuple(many[:2]), tuple(many[2:]))
        minutes = moments[rng.choice(list(moments))]
        begin = rng.randrange(len(minutes) - 300)
        for at, clock in minutes[begin : begin + 300 : 11]:
            wanted = _by_the_minute(schedule, lambda days, day: _matches(days, day, off), place, clock, sunny)
            assert state(schedule, at, place) is wanted, (number, schedule, clock)
        at = minutes[begin][0]
        following = next_change(schedule, at, place)
        last = minutes[begin + 299][0]
        seen = {
            state(schedule, each, place) for each, _ in minutes[begin : begin + 300 : 11] if each < (following or last)
        }
        assert len(seen) == 1, (number, schedule)
        if following is not None:
            assert following <= at + AHEAD * DAY
            assert state(schedule, following, place) is not state(schedule, following - 1, place)


def _clock(at, place):
    """Return what a clock of the place shows as time since its midnight."""
    shown = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).astimezone(place.zone)
    return (shown.hour * 3600 + shown.minute * 60 + shown.second) * SECOND + shown.microsecond


def _minutes(first, place):
    """Return each minute of two local days as wall time and as the clock shows it, but of a repeated hour the first."""
    since, until = (wall_of(first + timedelta(days=n), 0, place.zone) for n in (0, 2))
    begin = datetime(1970, 1, 1, tzinfo=UTC)
    found = [(at, (begin + timedelta(microseconds=at)).astimezone(place.zone)) for at in range(since, until, MINUTE)]
    return [(at, clock) for at, clock in found if not clock.fold]
