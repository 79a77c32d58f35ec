"""Where the sun stands. Pure.

Source: J. Meeus, Astronomical Algorithms, chapter 25 (the sun's coordinates, low accuracy) and chapter 28 (equation of
time), in the form of NOAA's solar calculator. Good to some seconds between the polar circles from 1950 to 2050.
"""

from math import acos, asin, cos, degrees, radians, sin, tan
from typing import Final, NamedTuple

from sitekeeper.model.clock import DAY, HOUR, MINUTE, SECOND, Micros

SUNRISE: Final = -0.789
"""Degrees of the sun's centre at sunrise and sunset: its radius and the refraction of a mild day, as the check values
of the domain brief have them. The textbook's -0.833 would be some ten seconds more."""
CIVIL: Final = -6.055
"""At civil dawn and dusk, with the same refraction."""

_J2000: Final[Micros] = 946_728_000 * SECOND
_CENTURY: Final = 36_525 * DAY
_ROUNDS: Final = 5
"""The sun moves while the time is sought; after so many rounds it is settled to well below a second."""


class _Sun(NamedTuple):
    """Declination in radians, and how far a sundial is before a clock in minutes."""

    declination: float
    ahead: float


def crossing(latitude: float, longitude: float, noon: Micros, altitude: float, *, rising: bool) -> Micros | None:
    """Return the wall time at which the sun rises or sets through `altitude`, before or after a noon.

    Degrees, north and east positive.

    Args:
        noon: twelve o'clock of the wanted day on a clock of the place; the sun's own noon next to it is taken, which
            tells the day also where a country keeps the date of the other side of the date line.

    Returns:
        None: it does not on that day, as within the polar circles.
    """
    own = DAY // 2 - round(longitude / 15 * HOUR)
    noon = own + round((noon - own) / DAY) * DAY
    wall = noon
    for _ in range(_ROUNDS):
        sun = _sun(wall)
        angle = _hour_angle(latitude, sun.declination, altitude)
        if angle is None:
            return None
        wall = noon + round(((-4 if rising else 4) * angle - sun.ahead) * MINUTE)
    return wall


def altitude(latitude: float, longitude: float, wall: Micros) -> float:
    """Return how high the sun's centre stands, in degrees, refraction left out."""
    sun = _sun(wall)
    turned = radians((wall % DAY / DAY - 0.5) * 360 + longitude + sun.ahead / 4)
    here = radians(latitude)
    return degrees(asin(sin(here) * sin(sun.declination) + cos(here) * cos(sun.declination) * cos(turned)))


def _hour_angle(latitude: float, declination: float, height: float) -> float | None:
    """Return the degrees between noon and the crossing."""
    here = radians(latitude)
    across = cos(here) * cos(declination)
    if abs(across) < 1e-9:
        return None  # at a pole the sun stands at one height all day
    ratio = (sin(radians(height)) - sin(here) * sin(declination)) / across
    return degrees(acos(ratio)) if abs(ratio) <= 1 else None


def _sun(wall: Micros) -> _Sun:
    t = (wall - _J2000) / _CENTURY
    mean_longitude = radians((280.46646 + t * (36000.76983 + 0.0003032 * t)) % 360)
    anomaly = radians(357.52911 + t * (35999.05029 - 0.0001537 * t))
    eccentricity = 0.016708634 - t * (0.000042037 + 0.0000001267 * t)
    node = radians(125.04 - 1934.136 * t)
    centre = sin(anomaly) * (1.914602 - t * (0.004817 + 0.000014 * t))
    centre += sin(2 * anomaly) * (0.019993 - 0.000101 * t) + sin(3 * anomaly) * 0.000289
    apparent = mean_longitude + radians(centre - 0.00569 - 0.00478 * sin(node))
    seconds = 21.448 - t * (46.815 + t * (0.00059 - 0.001813 * t))
    obliquity = radians(23 + (26 + seconds / 60) / 60 + 0.00256 * cos(node))
    y = tan(obliquity / 2) ** 2
    ahead = y * sin(2 * mean_longitude) - 2 * eccentricity * sin(anomaly)
    ahead += 4 * eccentricity * y * sin(anomaly) * cos(2 * mean_longitude)
    ahead -= y * y / 2 * sin(4 * mean_longitude) + 1.25 * eccentricity**2 * sin(2 * anomaly)
    return _Sun(asin(sin(obliquity) * sin(apparent)), 4 * degrees(ahead))
