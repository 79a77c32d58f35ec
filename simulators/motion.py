"""Kinematics of one run of a lift car: accelerate, cruise, brake, each evenly."""

import math
from dataclasses import dataclass

from sitekeeper.model.clock import SECOND, Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """A run from one height to another.

    Attributes:
        start: when the brake lifted.
        origin, target: heights in metres; they differ.
        cruise: the highest speed in m/s; a short run may not reach it.
        accel: m/s2, for starting and braking alike.
    """

    start: Micros
    origin: float
    target: float
    cruise: float
    accel: float

    @property
    def heading(self) -> int:
        """1 for up, -1 for down."""
        return 1 if self.target > self.origin else -1

    @property
    def end(self) -> Micros:
        """When the car stands at the target."""
        return self.start + _micros(self._ramp() * 2 + self._steady())

    def position(self, at: Micros) -> float:
        """Return the car's height in metres."""
        return self.origin + self.heading * self._travelled((at - self.start) / SECOND)

    def velocity(self, at: Micros) -> float:
        """Return the car's speed in m/s, positive upwards."""
        seconds = (at - self.start) / SECOND
        left = (self.end - at) / SECOND
        return self.heading * max(0.0, min(self._peak(), self.accel * seconds, self.accel * left))

    def reaches(self, position: float) -> Micros:
        """Return when the car passes a height between origin and target."""
        distance = abs(position - self.origin)
        ramp = self._ramp()
        ramp_distance = self.accel * ramp * ramp / 2
        steady_distance = self._peak() * self._steady()
        if distance <= ramp_distance:
            seconds = math.sqrt(2 * distance / self.accel)
        elif distance <= ramp_distance + steady_distance:
            seconds = ramp + (distance - ramp_distance) / self._peak()
        else:
            left = max(0.0, abs(self.target - self.origin) - distance)
            seconds = 2 * ramp + self._steady() - math.sqrt(2 * left / self.accel)
        return self.start + _micros(seconds)

    def _peak(self) -> float:
        return min(self.cruise, math.sqrt(abs(self.target - self.origin) * self.accel))

    def _ramp(self) -> float:
        return self._peak() / self.accel

    def _steady(self) -> float:
        peak = self._peak()
        return (abs(self.target - self.origin) - peak * peak / self.accel) / peak

    def _travelled(self, seconds: float) -> float:
        distance = abs(self.target - self.origin)
        ramp, steady, peak = self._ramp(), self._steady(), self._peak()
        if seconds <= 0:
            return 0.0
        if seconds < ramp:
            return self.accel * seconds * seconds / 2
        if seconds < ramp + steady:
            return peak * ramp / 2 + peak * (seconds - ramp)
        left = 2 * ramp + steady - seconds
        return distance if left <= 0 else distance - self.accel * left * left / 2


def _micros(seconds: float) -> Micros:
    return round(seconds * SECOND)
