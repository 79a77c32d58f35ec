"""Time as the house sees it: integer microseconds, wall and monotonic apart, and whether the wall may be believed.

Every order and every timer uses the monotonic time; wall time is for people and for joining sites.
Pure code takes `now` as an argument; only shells hold a `Clock`.
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

Micros = int
"""Microseconds. Wall times count from the Unix epoch in UTC, monotonic times from an arbitrary start."""

MS: Final[Micros] = 1_000
SECOND: Final[Micros] = 1_000_000
MINUTE: Final[Micros] = 60 * SECOND
HOUR: Final[Micros] = 60 * MINUTE
DAY: Final[Micros] = 24 * HOUR


class Moment(NamedTuple):
    """One moment on both clocks, and whether the wall clock was synchronised then."""

    mono: Micros
    wall: Micros
    trusted: bool = True


class Clock(Protocol):
    """What a shell asks for the time."""

    def wall(self) -> Micros:
        """Return the wall time, which may step."""

    def monotonic(self) -> Micros:
        """Return the monotonic time, which never steps; comparable within one boot of the process only."""

    def trusted(self) -> bool:
        """Tell whether the wall time was synchronised when last looked at."""


class SystemClock:
    """The machine's clock. `trusted` is asked from outside, because finding out is I/O."""

    def __init__(self, trusted: Callable[[], bool] = lambda: True) -> None:
        self._trusted = trusted

    def wall(self) -> Micros:
        return time.time_ns() // 1_000

    def monotonic(self) -> Micros:
        return time.monotonic_ns() // 1_000

    def trusted(self) -> bool:
        return self._trusted()


class ManualClock:
    """A clock that moves only when told: for tests, rule tests and the virtual site."""

    def __init__(self, wall: Micros = 1_767_225_600 * SECOND, monotonic: Micros = 0, *, trusted: bool = True) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._trusted = trusted

    def wall(self) -> Micros:
        return self._wall

    def monotonic(self) -> Micros:
        return self._monotonic

    def trusted(self) -> bool:
        return self._trusted

    def advance(self, by: Micros) -> None:
        """Let both times pass by `by` microseconds."""
        self._wall += by
        self._monotonic += by

    def step_wall(self, by: Micros) -> None:
        """Step the wall time alone, as an operator or a time server does."""
        self._wall += by
