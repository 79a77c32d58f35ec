"""The texts of a site file that say an hour or a day: `22:00`, `24:00`, `dusk - 15min`, `workday`, `mon`. Pure."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Final

from edge.calendar.holidays import WEEKDAYS, Days
from edge.calendar.schedules import MIDNIGHT, MOST_OFFSET, SUN_EVENTS, Hour
from sitekeeper.durations import parse_duration
from sitekeeper.model.clock import HOUR, MINUTE, Micros

_CLOCK: Final = re.compile(r"([0-2][0-9]):([0-5][0-9])")
_SUN: Final = re.compile(rf"({'|'.join(SUN_EVENTS)})(?:\s*([+-])\s*(\S.*))?")
_DAYS: Final = ("all", "workday", "holiday")


def clock(text: str) -> Micros:
    """Return the time after midnight that `22:00` says, to 24:00.

    Raises:
        ValueError: it says none.
    """
    found = _CLOCK.fullmatch(text)
    after = int(found[1]) * HOUR + int(found[2]) * MINUTE if found else MIDNIGHT + 1
    if after > MIDNIGHT:
        msg = f"{text!r} is no time of day: 00:00 to 24:00"
        raise ValueError(msg)
    return after


def hour(text: str) -> Hour:
    """Return the hour that `22:00`, `dawn` or `dusk - 15min` says.

    Raises:
        ValueError: it says none, or the offset is longer than 12 hours.
    """
    found = _SUN.fullmatch(text.strip())
    if found is None:
        if text[:1].isdigit():
            return Hour(clock(text))
        msg = f"{text!r} is neither a time of day nor {', '.join(SUN_EVENTS)} with an offset, as in dusk - 15min"
        raise ValueError(msg)
    event, sign, length = found.groups()
    offset = parse_duration(length) if length else 0
    if offset > MOST_OFFSET:
        msg = f"{text!r} is more than 12 hours away from the sun's event"
        raise ValueError(msg)
    return Hour(-offset if sign == "-" else offset, event)


def days(written: str | Sequence[str] | date) -> Days:
    """Return the days that `all`, `workday`, `holiday`, a list of `mon` to `sun`, or a date says.

    Raises:
        ValueError: it says none.
    """
    if isinstance(written, date) or written in _DAYS:
        return written if isinstance(written, date) else str(written)
    unknown = [day for day in written if day not in WEEKDAYS] if not isinstance(written, str) else [written]
    if unknown or not written:
        msg = f"{unknown[0] if unknown else ''!r} is none of {', '.join(_DAYS)}, nor a list of {', '.join(WEEKDAYS)}"
        raise ValueError(msg)
    return frozenset(WEEKDAYS.index(day) for day in written)
