"""How fast the outbox fills, and how long until it must drop samples. Pure."""

from collections import deque
from typing import Final, NamedTuple

from sitekeeper.model.clock import MINUTE, SECOND, Micros

_SLOT: Final[Micros] = 10 * SECOND
_HOUR: Final = 360


class Depth(NamedTuple):
    """How much the outbox can still take.

    Attributes:
        hours: until the oldest samples would be dropped if no receipt came any more, at the rate of the last hour (or
            since the start); None as long as nothing is written.
        hour, minute: bytes a second over the last hour and minute.
        unsent: bytes that wait for the office, about: blocks of one size are assumed.
        capacity: bytes that may wait in all, by `max_size` and by the room on the filesystem.
    """

    hours: float | None
    hour: float
    minute: float
    unsent: int
    capacity: int


class Usage(NamedTuple):
    """Bytes: in use in the file, free in it, its limit, free on the filesystem, held in reserve."""

    in_use: int
    spare: int
    max_size: int
    disk_free: int
    reserve: int


class Pace:
    """Bytes written, in slots of 10 s over the last hour. One thread writes, others may read."""

    def __init__(self, now: Micros) -> None:
        self._start = now
        self._slots: deque[tuple[int, int]] = deque(maxlen=_HOUR)

    def wrote(self, now: Micros, size: int) -> None:
        """Take note of a commit."""
        slot = now // _SLOT
        if self._slots and self._slots[-1][0] == slot:
            self._slots[-1] = (slot, self._slots[-1][1] + size)
        else:
            self._slots.append((slot, size))

    def rate(self, now: Micros, span: Micros) -> float:
        """Return bytes a second over the last `span`, or since the start if that is shorter, 10 s at least."""
        since = max(now - span, self._start)
        total = sum(size for slot, size in tuple(self._slots) if (slot + 1) * _SLOT > since)
        return total / (max(now - since, _SLOT) / SECOND)


def depth(pace: Pace, now: Micros, *, unsent: int, capacity: int) -> Depth:
    """Return how much the outbox can still take."""
    hour, minute = pace.rate(now, 60 * MINUTE), pace.rate(now, MINUTE)
    hours = max(0, capacity - unsent) / hour / 3_600 if hour > 0 else None
    return Depth(hours, hour, minute, unsent, capacity)
