"""The calendar as points of the gateway."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from edge.calendar import reads, written
from edge.calendar.holidays import Holidays
from edge.calendar.schedules import Place, Schedule, Span
from sitekeeper.model.clock import DAY, HOUR, MINUTE, SECOND, Moment
from sitekeeper.model.quality import GOOD, Reason, bad

NIGHT = Schedule((Span("all", written.hour("22:00"), written.hour("06:00")),))
LIGHTS = Schedule((Span("all", written.hour("dusk"), written.hour("dawn")),))
SHANGHAI = Place(ZoneInfo("Asia/Shanghai"), (31.2304, 121.4737), Holidays(frozenset({date(2026, 10, 1)})))
TROMSO = Place(ZoneInfo("Europe/Oslo"), (69.6492, 18.9553))


@dataclass
class Site:
    place: Place = SHANGHAI
    schedules: dict[str, Schedule] = field(default_factory=lambda: {"night": NIGHT})


def moment(text, place=SHANGHAI, *, mono=1_000, trusted=True):
    at = datetime.fromisoformat(text).replace(tzinfo=place.zone)
    return Moment(mono, int((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * SECOND, trusted)


def test_a_site_has_the_points_that_it_can_know():
    """The sun needs a position, and the fallback a schedule that uses the sun."""
    assert set(reads(Site())) == {"holiday", "schedule.night", "sun.up", "sun.light"}
    assert set(reads(Site(Place(SHANGHAI.zone)))) == {"holiday", "schedule.night"}
    assert "sun.fallback" in reads(Site(schedules={"lights": LIGHTS}))


def test_a_point_tells_its_value_and_when_it_changes():
    """On the monotonic clock, so that a wall clock that is set does not move it."""
    read, following = reads(Site())["schedule.night"]
    assert read(moment("2026-06-21T21:59:00")) == (False, GOOD)
    assert following(moment("2026-06-21T21:59:00")) == 1_000 + MINUTE
    assert read(moment("2026-06-21T22:00:00")) == (True, GOOD)
    assert following(moment("2026-06-21T22:00:00")) == 1_000 + 8 * HOUR


def test_without_a_synchronised_clock_nobody_knows_the_hour():
    """Unknown with its reason, and no change to wait for; known again as soon as the clock is."""
    for read, following in reads(Site()).values():
        assert read(moment("2026-06-21T22:00:00", trusted=False)) == (None, bad(Reason.CLOCK))
        assert following(moment("2026-06-21T22:00:00", trusted=False)) is None
        assert read(moment("2026-06-21T22:00:00"))[1] == GOOD


def test_a_clock_that_is_set_back_is_believed():
    """What was worked out for one hour is not told at another."""
    read, _ = reads(Site())["schedule.night"]
    assert [read(moment(f"2026-06-21T{hour}:00:00"))[0] for hour in (23, 12, 23)] == [True, False, True]


def test_a_holiday_lasts_from_midnight_to_midnight():
    """Of the site's own time zone."""
    read, following = reads(Site())["holiday"]
    assert read(moment("2026-09-30T23:59:59")) == (False, GOOD)
    assert following(moment("2026-09-30T23:59:59")) == 1_000 + SECOND
    assert read(moment("2026-10-01T00:00:00")) == (True, GOOD)
    assert following(moment("2026-10-01T00:00:00")) == 1_000 + DAY


def test_the_sun_is_up_and_it_is_light():
    """Civil daylight is longer than the sun is up; both end at their own moment."""
    points = reads(Site())
    up, light = points["sun.up"], points["sun.light"]
    assert [up[0](moment(f"2026-06-21T{at}"))[0] for at in ("04:45:00", "05:00:00", "19:10:00")] == [False, True, False]
    assert [light[0](moment(f"2026-06-21T{at}"))[0] for at in ("04:45:00", "19:10:00", "20:00:00")] == [
        True,
        True,
        False,
    ]
    assert abs(up[1](moment("2026-06-21T12:00:00")) - 1_000 - 7 * HOUR - 63 * SECOND) <= 5 * SECOND
    assert abs(up[1](moment("2026-06-21T20:00:00")) - 1_000 - 8 * HOUR - 50 * MINUTE - 39 * SECOND) <= 30 * SECOND


@pytest.mark.parametrize(
    ("day", "up", "light", "fallback"), [("2026-06-21", True, True, True), ("2026-12-21", False, False, False)]
)
def test_within_the_polar_circle_the_sun_is_where_it_is(day, up, light, fallback):
    """At midnight of midsummer it is up, in the arctic night not; a fixed time stands only for a missing dusk."""
    points = reads(Site(TROMSO, {"lights": LIGHTS}))
    now = moment(f"{day}T00:30:00", TROMSO)
    assert {name: points[name][0](now)[0] for name in ("sun.up", "sun.light", "sun.fallback")} == {
        "sun.up": up,
        "sun.light": light,
        "sun.fallback": fallback,
    }
