"""The times that devices give. Pure."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from sitekeeper.model.clock import MS, SECOND, Micros

_MS_FROM: Final = 10**11
"""Larger numbers are milliseconds since 1970, smaller ones seconds: as seconds this is the year 5138."""
_DAY: Final = len("2026-06-21")
"""Characters; what is no longer names a day and no time of it."""
_OFFSET: Final = re.compile(r"([+-])([01][0-9]):([0-5][0-9])")
_ABBREVIATION: Final = re.compile(r" [A-Z]{2,5}$")


@lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """Return the zone of a name of the time zone database, or of an offset such as +08:00.

    Raises:
        ValueError: there is none.
    """
    if match := _OFFSET.fullmatch(name):
        return timezone((1 if match[1] == "+" else -1) * timedelta(hours=int(match[2]), minutes=int(match[3])))
    try:
        return UTC if name in {"UTC", "Z"} else ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"{name!r} is no time zone, for example Asia/Hong_Kong or +08:00") from None


def moment(raw: object, zone: tzinfo | None = None, near: Micros | None = None) -> Micros | None:
    """Return a wall time that a device gives: ISO 8601 with offset, or a number since 1970. None if it is none.

    Args:
        zone: where its clock stands; then a time may be without offset. Letters for the zone behind it only tell which
            of two it is, where clocks are set back: nobody can tell which zone CST is.
        near: the present wall time, to which of the two is nearer where no letters tell.
    """
    if isinstance(raw, str) and _DAY < len(raw) <= 40:
        return _of_text(raw, zone, near)
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 < raw < _MS_FROM * 1_000:
        return None
    return round(raw * (SECOND if raw < _MS_FROM else MS))


def _of_text(text: str, zone: tzinfo | None, near: Micros | None) -> Micros | None:
    letters = None if zone is None else _ABBREVIATION.search(text)
    try:
        found = datetime.fromisoformat(text if letters is None else text[: letters.start()])
    except ValueError:
        return None
    if found.tzinfo is not None:
        return _micros(found)
    if zone is None:
        return None  # nobody knows which hour it means
    first, second = found.replace(tzinfo=zone), found.replace(tzinfo=zone, fold=1)
    early, late = _micros(first), _micros(second)
    if early is None or late is None or late <= early:  # the same, or an hour that was left out
        return early
    if letters is not None and first.tzname() != second.tzname():
        return late if letters[0].strip() == second.tzname() else early
    return late if near is not None and abs(near - late) < abs(near - early) else early


def _micros(found: datetime) -> Micros | None:
    try:
        seconds = int(found.replace(microsecond=0).timestamp()) if found.year > 1 else 0
    except (OverflowError, ValueError):
        return None
    return seconds * SECOND + found.microsecond if seconds > 0 else None
