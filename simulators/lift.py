"""A lift that moves, carries people and fails: a behaviour on a clock that is moved from outside. No I/O.

What happens follows from the settings, the seed and the story alone, however finely the clock is moved.
"""

import random
from collections import defaultdict
from typing import Final, Literal

from simulators.behaviour import Behaviour, Tell, nobody
from simulators.lift_settings import LiftSettings
from simulators.motion import Trip
from simulators.shaft import Shaft
from sitekeeper.model.clock import MINUTE, MS, SECOND, Micros

Door = Literal["closed", "open", "closing", "opening"]
LiftFault = Literal[
    "safety_circuit", "door_close", "door_open", "unintended", "run_time", "position_lost", "overrun_top", "pit",
    "overspeed", "vibration", "ebike", "battery_low", "test_failed",
]  # fmt: skip
"""What the controller, or a monitor or camera in the car, may report; each is a flag and moves nothing by itself."""

PERSON: Final = 75
"""Rated mass of one person, kg (EN 81-20, 5.4.2.2)."""
CREEP: Final = 0.3
"""Speed of a rescue run, m/s."""
OPENING: Final[Micros] = 2 * SECOND
CLOSING: Final[Micros] = 2500 * MS
DWELL: Final[Micros] = 4 * SECOND
PULSE: Final[Micros] = 1500 * MS
"""A motion sensor's pulse is longer than a poll, so that a 1 s poll sees each edge."""
CALM_AFTER: Final[Micros] = 25 * SECOND
"""A trapped person moves about this long, then mostly stands still."""
OPEN_LONG: Final[Micros] = MINUTE
TEMPERATURE_STEP: Final[Micros] = 30 * SECOND


class Lift(Behaviour):
    """The lift. Read its properties after `advance`; `plan` puts an act of the story at its exact time."""

    def __init__(self, settings: LiftSettings, *, seed: int | str, tell: Tell = nobody) -> None:
        super().__init__(tell)
        self.settings = settings
        self.shaft = Shaft(floors=settings.floors, basements=settings.basements, storey=settings.floor_height)
        self._random = random.Random(seed)  # noqa: S311 - a reproducible story, not a secret
        self._position = self.shaft.height(settings.start_floor)
        self._trip: Trip | None = None
        self.heading = 1
        self.door: Door = "closed"
        self._door_since: Micros = 0
        self.waiting: defaultdict[int, list[int]] = defaultdict(list)
        self.riders: list[int] = []
        self.mains = True
        self.inspection = False
        self.alarm_button = False
        self.motion = False
        self.blocked = False
        self.trapped_since: Micros | None = None
        self.fire_mode = False
        self.faults: set[LiftFault] = set()
        self.temperature = 27.5
        self._climate = 22.0, 36.0
        self.run_count = settings.run_count
        self.door_cycles = settings.door_cycles
        self.door_openings_here = 0
        self.event_index = 0
        self._run_time: Micros = settings.run_seconds * SECOND
        self._rescue = False
        self._hold: Micros = 0
        self._stick: int | None = None
        self._agenda.after(TEMPERATURE_STEP, "temperature", self._drift)
        if settings.traffic is not None:
            self._next_person()

    # --- what can be seen

    @property
    def position(self) -> float:
        return self._position if self._trip is None else self._trip.position(self.now)

    @property
    def speed(self) -> float:
        """Speed in m/s, positive upwards."""
        return 0.0 if self._trip is None else self._trip.velocity(self.now)

    @property
    def running(self) -> bool:
        return self._trip is not None

    @property
    def in_zone(self) -> bool:
        return self.shaft.in_zone(self.position)

    @property
    def floor(self) -> int:
        return self.shaft.reached(self.position, self.heading)

    @property
    def load(self) -> int:
        """Load in whole per cent of the rated one."""
        return len(self.riders) * PERSON * 100 // self.settings.rated_load

    @property
    def door_open_long(self) -> bool:
        return self.door == "open" and self.now - self._door_since >= OPEN_LONG

    @property
    def run_hours(self) -> int:
        running = 0 if self._trip is None else self.now - self._trip.start
        return (self._run_time + running) // (3600 * SECOND)

    # --- what a story may do

    def arrive(self, origin: int, target: int, people: int = 1) -> None:
        """People come to landing `origin` and want to `target`; where the door stands open they get in."""
        self.waiting[origin].extend([target] * people)
        if self.door == "open" and self.in_zone and self.floor == origin:
            self._board()
        self._dispatch()

    def travel(self, target: int) -> None:
        """Send the car to `target` as a rider's call would."""
        self._send(target)

    def stick(self, people: int | None = None) -> None:
        """Stop between two floors with `people` inside (None: whoever is there).

        A car running outside a zone with that many inside stops at once. Any other gets stuck on its next run,
        which begins now if nothing else asks for one.
        """
        fits = people is None or people == len(self.riders)
        if self.running and not self.in_zone and not self._rescue and fits:
            self._stuck()
            return
        self._stick = len(self.riders) if people is None else people
        self._dispatch()

    def release(self) -> None:
        """A technician comes: the car creeps to the nearest landing and everybody gets out."""
        if self.running and not self.blocked:
            return
        self.blocked = False
        self._stick = None
        self.note("rescue begins")
        self._creep()

    def set_mains(self, on: bool) -> None:
        """The supply fails, and the car stops where it is; or it returns, and the car finds its landing."""
        if on == self.mains:
            return
        self.mains = on
        self.note("mains restored" if on else "mains failed")
        if on:
            self._recover()
        else:
            self._halt()
            self._agenda.cancel("door")
            self._check_trapped()

    def set_inspection(self, on: bool) -> None:
        """A technician takes the car over, or hands it back; a run under way is finished first."""
        self.inspection = on
        self.note("inspection on" if on else "inspection off")
        self._dispatch()

    def set_fire_mode(self, on: bool) -> None:
        """The fire panel calls the lift back; it then takes no calls until it is told that the fire is over."""
        self.fire_mode = on
        self.note("fire return on" if on else "fire return off")
        self._dispatch()

    def set_fault(self, name: LiftFault, on: bool) -> None:
        """A fault is reported, or no more."""
        (self.faults.add if on else self.faults.discard)(name)
        self.note("lift fault" if on else "lift fault gone", name=name)

    def heat(self, temperature: float) -> None:
        """The machine room has this temperature, °C, and keeps it within a degree."""
        self.temperature, self._climate = temperature, (temperature - 1, temperature + 1)
        self.note("machine room", temperature=round(temperature))

    def press_alarm(self, held: Micros) -> None:
        """Somebody inside holds the alarm button."""
        self.alarm_button = True
        self.note("alarm button")
        self._agenda.after(held, "alarm button", self._let_go)

    def hold_door(self, held: Micros) -> None:
        """Somebody keeps the door open for `held`: from now if it is open, else the next time it opens."""
        self._hold = held
        if self.door == "open":
            self._stay_open()
        elif not self.running and self.in_zone:
            self._open()

    def force_door(self, door: Literal["open", "closed"]) -> None:
        """Something forces the door, wherever the car is; the controller does not close it by itself."""
        self._agenda.cancel("door")
        self._set_door(door)
        self.note(f"door forced {door}")
        self._dispatch()

    # --- runs

    def _send(self, target: int) -> None:
        if self.running or self.blocked or not self.mains or self.door != "closed":
            return
        if self.shaft.height(target) == self._position:
            self._open()
            return
        if self._stick is not None:
            self.riders = [target] * self._stick
            self._riders_changed()
        self._start(self.shaft.height(target), self.settings.rated_speed)
        if self._stick is not None and self._trip is not None:
            halfway = self._position + self.heading * self.settings.floor_height / 2
            self._agenda.at(self._trip.reaches(halfway), "stick", self._stuck)

    def _start(self, target: float, speed: float) -> None:
        accel = self.settings.acceleration
        self._trip = Trip(start=self.now, origin=self._position, target=target, cruise=speed, accel=accel)
        self.heading = self._trip.heading
        self.run_count += 1
        self.door_openings_here = 0
        self._agenda.at(self._trip.end, "arrive", self._landed)

    def _landed(self) -> None:
        assert self._trip is not None
        self._run_time += self.now - self._trip.start
        self._position, self._trip = self._trip.target, None
        self._open()

    def _halt(self) -> None:
        if self._trip is not None:
            self._run_time += self.now - self._trip.start
            self._position, self._trip = self._trip.position(self.now), None
        self._agenda.cancel("arrive")
        self._agenda.cancel("stick")
        self._rescue = False

    def _stuck(self) -> None:
        self._halt()
        self._stick = None
        self.blocked = True
        self.note("stuck", people=len(self.riders), floor=self.floor)
        self._check_trapped()

    def _creep(self) -> None:
        self._halt()
        self._rescue = True
        landing = self.shaft.height(self.shaft.nearest(self._position))
        if landing == self._position:
            self._open()
        else:
            self._start(landing, CREEP)

    def _recover(self) -> None:
        if self.blocked:
            return
        if self._position != self.shaft.height(self.floor):
            self._creep()
        elif self.door != "closed":
            self._open()
        else:
            self._dispatch()

    def _dispatch(self) -> None:
        """Give an idle car its next call: on in its direction while there is one, else back."""
        if self.running or self.blocked or self.door != "closed":
            return
        if self.inspection or self.fire_mode or not self.mains:
            return
        calls = {*self.riders, *(floor for floor, people in self.waiting.items() if people)}
        if not calls and self._stick is not None:
            calls = {self.shaft.ordinal(0 if self.shaft.index(self.floor) else self.shaft.landings - 1)}
        if not calls:
            return
        here = self.shaft.index(self.floor)
        ahead = [floor for floor in sorted(calls) if (self.shaft.index(floor) - here) * self.heading >= 0]
        self._send(min(ahead or sorted(calls), key=lambda floor: abs(self.shaft.index(floor) - here)))

    # --- doors

    def _set_door(self, door: Door) -> None:
        if door == "opening" or (door == "open" and self.door != "opening"):
            self.door_cycles += 1
            self.door_openings_here += 1
        self.door, self._door_since = door, self.now

    def _open(self) -> None:
        if self.door != "opening":
            self._set_door("opening")
        self._agenda.after(OPENING, "door", self._opened)

    def _opened(self) -> None:
        self._set_door("open")
        self._exchange()
        self._stay_open()

    def _stay_open(self) -> None:
        self._agenda.after(max(DWELL, self._hold), "door", self._close)
        self._hold = 0

    def _close(self) -> None:
        self._set_door("closing")
        self._agenda.after(CLOSING, "door", self._closed)

    def _closed(self) -> None:
        self._set_door("closed")
        self._dispatch()

    # --- people

    def _exchange(self) -> None:
        leaving = len(self.riders) if self._rescue else self.riders.count(self.floor)
        self.riders = [] if self._rescue else [target for target in self.riders if target != self.floor]
        self._rescue = False
        if self.trapped_since is not None:
            self.note("released", people=leaving, since=self.trapped_since)
            self.trapped_since = None
        self._board()

    def _board(self) -> None:
        room = self.settings.rated_load // PERSON - len(self.riders)
        here = self.waiting[self.floor]
        self.riders += here[:room]
        del here[:room]
        self._riders_changed()

    def _riders_changed(self) -> None:
        if not self.riders:
            self._agenda.cancel("motion")
        elif not self._agenda.pending("motion"):
            self._agenda.after(self._pause(), "motion", self._move)

    def _move(self) -> None:
        self.motion = True
        self._agenda.after(PULSE, "motion end", self._stand)
        self._agenda.after(PULSE + self._pause(), "motion", self._move)

    def _stand(self) -> None:
        self.motion = False

    def _pause(self) -> Micros:
        still = self.trapped_since is not None and self.now - self.trapped_since > CALM_AFTER
        return self._random.randint(20_000, 60_000) * MS if still else self._random.randint(1_500, 4_000) * MS

    def _check_trapped(self) -> None:
        if self.riders and self.door == "closed" and self.trapped_since is None:
            self.trapped_since = self.now
            self.note("trapped", people=len(self.riders), floor=self.floor, level=self.in_zone)

    def _next_person(self) -> None:
        assert self.settings.traffic is not None
        gap = round(self._random.expovariate(1 / self.settings.traffic))
        self._agenda.after(max(gap, 1), "person", self._person)

    def _person(self) -> None:
        origin, target = self._random.sample(range(self.shaft.landings), 2)
        self.arrive(self.shaft.ordinal(origin), self.shaft.ordinal(target))
        self._next_person()

    # --- small things

    def _drift(self) -> None:
        step = self._random.choice((-0.1, 0.0, 0.1))
        lowest, highest = self._climate
        self.temperature = round(max(lowest, min(highest, self.temperature + step)), 1)
        self._agenda.after(TEMPERATURE_STEP, "temperature", self._drift)

    def _let_go(self) -> None:
        self.alarm_button = False

    def note(self, fact: str, **more: int | bool | str) -> None:
        """Tell a fact."""
        self.event_index += 1
        super().note(fact, **more)
