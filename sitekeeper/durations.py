"""Durations and sizes as people write them: `500ms`, `15s`, `3min`, `2h`, `7d`; `64MB`."""

import re
from typing import Final

from sitekeeper.model.clock import DAY, HOUR, MINUTE, MS, SECOND, Micros

UNITS: Final[dict[str, Micros]] = {"ms": MS, "s": SECOND, "min": MINUTE, "h": HOUR, "d": DAY}
"""Units of a duration, shortest first."""

LONGEST: Final[Micros] = 3660 * DAY

_DURATION: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s?([a-zA-Z]+)")
_SIZE: Final = re.compile(r"([0-9]{1,9})\s?(kB|MB|GB|TB)")
_BYTES: Final = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_MEANT: Final = {
    "m": "min", "mins": "min", "minute": "min", "minutes": "min", "sec": "s", "secs": "s", "second": "s",
    "seconds": "s", "S": "s", "hour": "h", "hours": "h", "H": "h", "hr": "h", "day": "d", "days": "d", "D": "d",
    "msec": "ms", "millis": "ms", "MS": "ms",
}  # fmt: skip


def parse_duration(text: str) -> Micros:
    """Return the duration that `text` says, in microseconds.

    Raises:
        ValueError: it is not a number with one of the units, or longer than ten years; the message has the remedy.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        msg = f"{text!r} is not a duration: a number and one of {', '.join(UNITS)}, for example 15s"
        raise ValueError(msg)
    number, unit = match.groups()
    if unit not in UNITS:
        meant = _MEANT.get(unit)
        msg = f"{text!r} is not a duration: no unit {unit!r}, only {', '.join(UNITS)}"
        raise ValueError(f"{msg}; did you mean {number}{meant}?" if meant else msg)
    micros = round(float(number) * UNITS[unit])
    if micros > LONGEST:
        msg = f"{text!r} is longer than ten years"
        raise ValueError(msg)
    return micros


def duration_text(micros: Micros) -> str:
    """Return the shortest text that `parse_duration` reads as `micros`: the largest unit that divides it."""
    for unit, size in reversed(UNITS.items()):
        if micros and micros % size == 0:
            return f"{micros // size}{unit}"
    return f"{micros / MS:g}ms" if micros else "0s"


def parse_size(text: str) -> int:
    """Return the number of bytes that `text` says: a whole number with kB, MB, GB or TB (powers of ten).

    Raises:
        ValueError: it does not say one.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        msg = f"{text!r} is not a size: a whole number and one of {', '.join(_BYTES)}, for example 64MB"
        raise ValueError(msg)
    return int(match.group(1)) * _BYTES[match.group(2)]
