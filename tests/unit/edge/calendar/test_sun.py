"""The sun against the check values of the domain brief, at the poles, and across the date line."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from edge.calendar import sun
from edge.calendar.schedules import Place, missing, sun_time, wall_of
from sitekeeper.model.clock import HOUR, MINUTE, SECOND

SHANGHAI = Place(ZoneInfo("Asia/Shanghai"), (31.2304, 121.4737))
URUMQI = Place(ZoneInfo("Asia/Shanghai"), (43.8256, 87.6168))
TROMSO = Place(ZoneInfo("Europe/Oslo"), (69.6492, 18.9553))


def local(wall: int, place: Place) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=wall)).astimezone(place.zone)


@pytest.mark.parametrize(
    ("place", "day", "event", "offset", "wanted"),
    [
        (SHANGHAI, date(2026, 6, 21), "sunrise", 0, "04:50:39"),
        (SHANGHAI, date(2026, 6, 21), "sunset", 0, "19:01:03"),
        (SHANGHAI, date(2026, 12, 21), "sunrise", 0, "06:48:42"),
        (SHANGHAI, date(2026, 12, 21), "sunset", 0, "16:55:19"),
        (URUMQI, date(2026, 12, 21), "sunrise", 0, "09:40:31"),
        (URUMQI, date(2026, 12, 21), "sunset", 0, "18:34:26"),
        (SHANGHAI, date(2026, 6, 21), "dusk", -15 * MINUTE, "19:14:34"),
    ],
)
def test_the_check_values_of_the_domain_brief(place, day, event, offset, wanted):
    """Each of the seven figures, to five seconds."""
    found = sun_time(event, day, place)
    assert found is not None
    hours, minutes, seconds = map(int, wanted.split(":"))
    expected = wall_of(day, hours * HOUR + minutes * MINUTE + seconds * SECOND, place.zone)
    assert abs(found + offset - expected) <= 5 * SECOND, local(found + offset, place)


@pytest.mark.parametrize("day", [date(2026, 6, 21), date(2026, 12, 21)])
@pytest.mark.parametrize("event", ["sunrise", "sunset"])
def test_within_the_polar_circle_there_is_no_sunrise_and_no_error(day, event):
    """The day without a night and the night without a day have no sunrise; the dawn of December is there."""
    assert sun_time(event, day, TROMSO) is None
    assert missing([event], day, TROMSO)
    assert not missing(["dawn", "dusk"], date(2026, 12, 21), TROMSO)
    assert missing(["dusk"], date(2026, 6, 21), TROMSO)


@pytest.mark.parametrize("latitude", [90.0, -90.0])
def test_at_a_pole_the_sun_crosses_nothing(latitude):
    """Every hour is alike there."""
    assert sun.crossing(latitude, 0.0, 0, sun.SUNRISE, rising=True) is None


def test_the_altitude_agrees_with_the_crossings():
    """At the time of a crossing the sun stands where it was sought, on both sides of noon."""
    for event, height in (("dawn", sun.CIVIL), ("sunset", sun.SUNRISE)):
        at = sun_time(event, date(2026, 3, 14), SHANGHAI)
        assert at is not None
        assert sun.altitude(*SHANGHAI.position, at) == pytest.approx(height, abs=0.01)


@pytest.mark.parametrize(
    ("zone", "position"), [("Pacific/Kiritimati", (1.87, -157.4)), ("Pacific/Pago_Pago", (-14.3, -170.7))]
)
def test_the_day_is_that_of_the_clock_on_the_wall(zone, position):
    """A place that keeps the date of the other side of the date line has its own morning and evening."""
    place = Place(ZoneInfo(zone), position)
    rise, fall = (sun_time(event, date(2026, 3, 20), place) for event in ("sunrise", "sunset"))
    assert rise is not None
    assert fall is not None
    assert local(rise, place).date() == local(fall, place).date() == date(2026, 3, 20)
    assert local(rise, place).hour in {5, 6, 7}
