"""Everybody who uses the estate on an ordinary day, and the staff that answers its alarms."""

from collections.abc import Callable
from functools import partial
from math import log
from random import Random
from typing import Protocol

from tests.month.machines import Door, Estate, Lift
from tests.month.world import DAY, HOUR, MINUTE, SECOND, Life, Value, World

BUSY = (1, 1, 1, 1, 1, 2, 6, 14, 18, 10, 8, 8, 12, 10, 8, 8, 10, 16, 18, 14, 10, 6, 4, 2)
"""How much goes on in each hour of a day, by no unit."""

RIDES, PASSAGES, CARS = 40, 32, 36
"""For each lift, door and lane, on a day."""


def live(estate: Estate) -> None:
    """Let everybody come and go."""
    world = estate.world
    for lift in estate.lifts:
        chance = world.random(f"riders of {lift.name}")
        world.spawn(often(world, chance, RIDES, partial(_rides, lift, chance)))
    for door in estate.doors:
        chance = world.random(f"users of {door.name}")
        world.spawn(often(world, chance, PASSAGES, partial(_passes, door, chance)))
        world.spawn(often(world, chance, 2, partial(_refused, door, chance)))
    for lane in estate.lanes:
        world.spawn(often(world, world.random(f"drivers of {lane.name}"), CARS, lane.car))
    world.spawn(_lights(estate))
    world.spawn(_steady(estate))
    for number, lamp in enumerate(estate.emergency):
        world.spawn(_tested(estate, lamp.name), after=9 * DAY + number * HOUR)


def often(world: World, chance: Random, a_day: int, do: Callable[[], Life]) -> Life:
    """Do something so often a day, at times of chance, more in busy hours."""
    while True:
        share = BUSY[world.now % DAY // HOUR] / sum(BUSY)
        yield min(HOUR, max(SECOND, int(-log(1 - chance.random()) * HOUR / (a_day * share))))
        world.spawn(do())


def _rides(lift: Lift, chance: Random) -> Life:
    floor = chance.randrange(2, 13)
    return lift.ride(*((1, floor) if chance.random() < 0.5 else (floor, 1)))


def _passes(door: Door, chance: Random) -> Life:
    return door.passage(inward=chance.random() < 0.55)


def _refused(door: Door, chance: Random) -> Life:
    """Somebody without a right tries up to four times, and goes; five refusals in a minute would be a fault."""
    if door.refuses:
        return
    door.refuses = True
    for _ in range(chance.choice((1, 1, 2, 3, 4))):
        door.read(granted=False, reason=chance.choice((6, 13)))
        yield chance.randrange(2 * SECOND, 9 * SECOND)
    yield MINUTE
    door.refuses = False


def _lights(estate: Estate) -> Life:
    """On at about 18:30, off at about 06:00, each luminaire in its own time."""
    chance = estate.world.random("lights")
    yield 6 * HOUR
    while True:
        for level, lasts in ((0.0, 12 * HOUR + 30 * MINUTE), (80.0, 11 * HOUR + 30 * MINUTE)):
            for lamp in estate.lamps:
                estate.world.spawn(lamp.go(level), after=chance.randrange(MINUTE))
            yield lasts


def _steady(estate: Estate) -> Life:
    """See every machine once in a quarter of an hour, though nothing is new."""
    while True:
        for machine in estate.machines():
            machine.steady()
        yield 15 * MINUTE


def _tested(estate: Estate, lamp: str) -> Life:
    """Test each emergency luminaire once in four weeks."""
    while True:
        fields: dict[str, Value] = {"kind": "function", "result": "passed", "minutes": 1.0, "battery": 98.0}
        estate.world.sink.tested(estate.world.now, lamp, fields)
        yield 28 * DAY


class Desk(Protocol):
    """What the staff can do at the site: False if it was refused."""

    def acknowledge(self, occurrence: str) -> bool: ...

    def reset(self, occurrence: str) -> bool: ...


class Staff:
    """Acknowledges what rings, and resets what is latched when it has gone to see."""

    def __init__(self, world: World, desk: Desk) -> None:
        self._world, self._desk, self._chance = world, desk, world.random("staff")
        self._at_it: set[str] = set()

    def rang(self, occurrence: str, *, latched: bool) -> None:
        """Take note of an alarm that was annunciated."""
        if occurrence not in self._at_it:
            self._at_it.add(occurrence)
            self._world.spawn(self._answer(occurrence, latched=latched))

    def _answer(self, occurrence: str, *, latched: bool) -> Life:
        yield self._chance.randrange(20 * SECOND, 3 * MINUTE)
        self._desk.acknowledge(occurrence)
        self._at_it.discard(occurrence)
        if latched:
            yield from self._see_to(occurrence)

    def _see_to(self, occurrence: str) -> Life:
        for _ in range(100):
            yield self._chance.randrange(4 * MINUTE, 7 * MINUTE)
            self._desk.acknowledge(occurrence)
            if self._desk.reset(occurrence):
                return
