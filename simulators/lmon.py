"""The firmware of the LMON lift monitor, as read in its code (domain brief 2.2), with its quirks.

It sees the lift through its own sensors and knows nothing else: two level sensors, a door contact, a motion detector,
the inspection switch, the alarm button, the supply. It runs a loop; here one turn is `TICK`.
"""

from dataclasses import dataclass
from typing import Final

from sitekeeper.model.clock import MINUTE, MS, SECOND, Micros

TICK: Final[Micros] = 50 * MS
UP, DOWN, LEVEL, DOOR_OPEN, PERSON, INSPECTION, ALARM = 0x0100, 0x0200, 0x0400, 0x0800, 0x1000, 0x2000, 0x4000
DIRECTION_KEPT: Final[Micros] = 2 * SECOND
WORDS: Final = 19
SERIAL_WORD: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensors:
    """What the monitor's inputs show at one moment. `heading` is the order in which the level sensors last went off."""

    level: bool
    door_open: bool
    person: bool
    inspection: bool
    alarm: bool
    mains: bool
    heading: int
    floor: int
    beyond: bool = False
    in_pit: bool = False
    too_fast: bool = False


class Firmware:
    """The monitor's memory: counters, fault bits and the limits that can be written into it."""

    def __init__(self, *, floors: int, basements: int, door_openings: int = 0, minutes_between: int = 0) -> None:
        self.limits = {13: floors << 8 | basements, 14: 1 << 8 | 30, 15: 0, 16: 90 << 8 | 15, 17: 15 << 8 | 1}
        self.limits[18] = 1 << 8 | 20
        self.counters = [door_openings, minutes_between]
        self.faults = 0
        self.state = 0
        self.floor_code = 0
        self._seen = Sensors(
            level=True, door_open=False, person=False, inspection=False, alarm=False, mains=True, heading=1, floor=1
        )
        self._level_since: Micros = 0
        self._off_since: Micros | None = None
        self._window: Micros = 0
        self._moved = False
        self._open_since: Micros | None = None
        self._openings_here = 0
        self._between: Micros = 0

    def tick(self, now: Micros, sensors: Sensors) -> None:
        """Run the loop once."""
        if sensors.level != self._seen.level:
            self._level_changed(now, sensors)
        if sensors.door_open != self._seen.door_open:
            self._door_changed(now, sensors.door_open)
        if sensors.door_open or self._seen.level != sensors.level:
            self._window, self._moved = now, False
        self._moved |= sensors.person
        self._count(sensors)
        self._set(b=2, on=sensors.door_open and not sensors.level)
        self._set(b=3, on=sensors.beyond)
        self._set(b=4, on=sensors.in_pit)
        self._set(b=7, on=sensors.too_fast)
        self._set(b=11, on=not sensors.mains)
        self._people(now, sensors)
        self._timers(now)
        self._states(now, sensors)
        self._seen = sensors

    def words(self, serial: int) -> list[int]:
        """Return the 19 words; the vibration and noise word carries the serial number of the reply."""
        doors, minutes = self.counters
        words = [self.faults, self.state, self.floor_code << 8, doors >> 16, doors & 0xFFFF]
        words += [minutes >> 16, minutes & 0xFFFF, 8 << 8 | 8, 11, 12, 9 << 8 | 6, 2 << 8 | 1, serial]
        return words + [self.limits[number] for number in range(13, WORDS)]

    def write(self, number: int, value: int) -> None:
        """Store a word. Words 3 to 6 land in the other counter (quirk c); words that are measured are not kept."""
        if 3 <= number <= 6:
            other = 1 if number <= 4 else 0
            kept = self.counters[other]
            upper = number in {3, 5}
            self.counters[other] = value << 16 | kept & 0xFFFF if upper else kept & ~0xFFFF | value
        elif number in self.limits:
            self.limits[number] = value

    def _level_changed(self, now: Micros, sensors: Sensors) -> None:
        if sensors.level:
            self._level_since, self._off_since = now, None
        else:  # direction is set on leaving a level, quirk d; both timers below start now, quirk e
            self._off_since = now
            self.state = self.state & ~(UP | DOWN) | (UP if sensors.heading > 0 else DOWN)
            self._openings_here = 0
            # a run that leaves with the door closed is the only thing that clears b6, quirk g
            self._set(b=6, on=sensors.door_open)
        self._set(b=1, on=False)

    def _door_changed(self, now: Micros, door_open: bool) -> None:
        self._open_since = now if door_open else None
        if door_open:
            self.counters[0] += 1
            self._openings_here += 1
            if self._off_since is not None:
                self._set(b=6, on=True)

    def _count(self, sensors: Sensors) -> None:
        if not sensors.level:
            self._between += TICK
            whole, self._between = divmod(self._between, MINUTE)
            self.counters[1] += whole

    def _people(self, now: Micros, sensors: Sensors) -> None:
        """Decide b0 and b1 once a window, so that they go when the trapped person stands still (quirk f)."""
        limit = self.limits[16] >> 8 if sensors.level else self.limits[16] & 0xFF
        if sensors.door_open:
            self._set(b=0, on=False)
            self._set(b=1, on=False)
        elif now - self._window >= limit * SECOND:
            self._set(b=0, on=sensors.level and self._moved)
            self._set(b=1, on=not sensors.level and self._moved)
            self._window, self._moved = now, False

    def _timers(self, now: Micros) -> None:
        off = -1 if self._off_since is None else now - self._off_since
        open_for = -1 if self._open_since is None else now - self._open_since
        self._set(b=5, on=off >= (self.limits[17] >> 8) * SECOND)
        self._set(b=8, on=off >= (self.limits[17] & 0xFF) * MINUTE)
        self._set(b=9, on=self._openings_here >= self.limits[18] & 0xFF)
        self._set(b=10, on=open_for >= (self.limits[18] >> 8) * MINUTE)

    def _states(self, now: Micros, sensors: Sensors) -> None:
        if sensors.level:
            self.floor_code = sensors.floor if sensors.floor > 0 else 0xE0 - sensors.floor
            if now - self._level_since >= DIRECTION_KEPT:
                self.state &= ~(UP | DOWN)
        kept = self.state & (UP | DOWN)
        shown = ((LEVEL, sensors.level), (DOOR_OPEN, sensors.door_open), (PERSON, sensors.person))
        also = ((INSPECTION, sensors.inspection), (ALARM, sensors.alarm))
        self.state = kept | sum(mask for mask, on in shown + also if on)

    def _set(self, *, b: int, on: bool) -> None:
        self.faults = self.faults | 1 << b if on else self.faults & ~(1 << b)
