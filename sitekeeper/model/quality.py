"""Quality of a sample, with its reason, in one byte: two bits of quality above six bits of reason.

The numbers are part of the block format and never change their meaning; new reasons take new numbers.
"""

from enum import IntEnum
from typing import Final


class Quality(IntEnum):
    """May the value be used? Only `GOOD` may decide anything."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


class Reason(IntEnum):
    """Why a value is not simply good."""

    NONE = 0
    COMM = 1  # no answer from the device, or the link is down
    STALE = 2  # no fresh answer for longer than the point allows, or the heartbeat froze
    OUT_OF_RANGE = 3  # answered, but outside what the profile allows
    DEVICE_FLAGGED = 4  # the device itself marks the value as invalid
    SUBSTITUTED = 5  # set by hand or by a simulator, not measured
    REFUSED = 6  # the device answered with an exception for this point
    MISMATCH = 7  # the reply did not belong to the request (unit, function, length, identity)
    UNMAPPED = 8  # a raw value that the profile gives no meaning
    NOT_YET = 9  # nothing heard since the start
    AFTER_FAULT = 10  # first value after a fault, not yet confirmed by a second one
    CONFIG = 11  # the point cannot be read as configured
    CLOCK = 13  # it follows from the hour, and the clock is not synchronised


Q = int
"""A packed quality byte: `quality << 6 | reason`."""

GOOD: Final[Q] = 0


def pack(quality: Quality, reason: Reason = Reason.NONE) -> Q:
    """Pack quality and reason into one byte."""
    return quality << 6 | reason


def bad(reason: Reason) -> Q:
    """Return the packed byte of a bad sample."""
    return Quality.BAD << 6 | reason


def unpack(q: Q) -> tuple[Quality, Reason]:
    """Unpack a quality byte.

    Raises:
        ValueError: the byte holds a quality or reason that this version does not know.
    """
    return Quality(q >> 6), Reason(q & 0x3F)


def is_good(q: Q) -> bool:
    """Tell whether a packed byte means good."""
    return q >> 6 == Quality.GOOD


def words(q: Q) -> str:
    """Return the byte in words, for people and TSV: `good`, `bad comm`, `uncertain after_fault`."""
    quality, reason = unpack(q)
    return quality.name.lower() if reason is Reason.NONE else f"{quality.name.lower()} {reason.name.lower()}"
