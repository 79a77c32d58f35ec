"""The machines of the estate, and all of them together."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.month.world import SECOND, Life, Machine, Told, Value, World


class Lift(Machine):
    """A lift of twelve floors: idle it stands at a landing with its doors shut."""

    FLOORS = 12
    FLAGS = (
        "fault_safety_circuit", "fault_door_close", "fault_door_open", "stop_outside_zone", "fault_run_time",
        "fault_unintended_movement", "fault_position_lost", "fault_anti_restart", "fault_overrun_top", "fault_pit",
        "fault_entrapment", "power_fail", "overspeed", "moving_door_open", "repeated_door", "door_open_long",
        "vibration_alarm", "ebike", "controller_link_lost", "battery_low", "alarm_test_failed", "passenger_alarm",
    )  # fmt: skip

    def __init__(self, world: World, name: str, link: str) -> None:
        still: dict[str, Value] = {"car_status": "stopped", "direction": "none", "door_zone": True, "speed": 0.0}
        car: dict[str, Value] = {"door": "closed", "door_closed": True, "passenger": False, "load": 0, "floor": 1}
        rest: dict[str, Value] = {
            "service_mode": "normal",
            "power": "mains",
            "error_code": 0,
            "map_version": 1,
            "run_count": 0,
        }
        rest |= {"map_identity": "sp_lift", "run_hours": 10, "door_cycles": 0, "heartbeat": 1, "event_index": 0}
        rest |= {"machine_room_temperature": 24.0, "device_epoch": 0}
        super().__init__(world, name, link, **still, **car, **rest, **dict.fromkeys(self.FLAGS, False))
        self.busy = False
        self._runs = 0

    def taken(self) -> Life:
        """Wait until nobody uses it, and keep it."""
        while self.busy or not self.reachable:
            yield SECOND
        self.busy = True

    def ride(self, start: int, goal: int) -> Life:
        """Carry somebody from floor to floor, unless it is in use: then they walk."""
        if self.busy or not self.reachable or start == goal:
            return
        self.busy = True
        yield from self.run(start)
        yield from self.board()
        yield from self.run(goal)
        yield from self.leave()
        self.busy = False

    def board(self) -> Life:
        """Open, let somebody in, shut."""
        yield from self.open()
        self.set(passenger=True, load=self.random.choice((7, 8, 14, 21)))
        yield self.random.randrange(2 * SECOND, 9 * SECOND)
        yield from self.shut()

    def leave(self) -> Life:
        """Open, let everybody out, shut."""
        yield from self.open()
        self.set(passenger=False, load=0)
        yield self.random.randrange(2 * SECOND, 6 * SECOND)
        yield from self.shut()

    def open(self) -> Life:
        self.set(door="open", door_closed=False)
        yield self.random.randrange(1500_000, 3 * SECOND)

    def shut(self) -> Life:
        self.set(door="closed", door_closed=True)
        yield self.random.randrange(1200_000, 2 * SECOND)

    def run(self, goal: int) -> Life:
        """Run to a landing."""
        floor = int(self.values["floor"] or 0)
        if floor == goal:
            return
        yield from self.depart(1 if goal > floor else -1)
        while floor != goal:
            yield self.random.randrange(2300_000, 2900_000)
            floor += 1 if goal > floor else -1
            self.set(floor=floor)
        yield from self.arrive()

    def depart(self, way: int) -> Life:
        """Run until just outside the landing."""
        self._runs += 1
        self.set(car_status="running", direction="up" if way > 0 else "down", speed=0.6, run_count=self._runs)
        yield self.random.randrange(600_000, 900_000)
        self.set(door_zone=False, speed=1.6)

    def arrive(self) -> Life:
        """Slow down and stop level."""
        self.set(speed=0.4, door_zone=True)
        yield self.random.randrange(500_000, 1300_000)
        self.set(car_status="stopped", speed=0.0, direction="none")
        yield 400_000


class Controller:
    """What several doors hang on: it numbers their events and keeps them while nobody listens."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.doors: list[Door] = []
        self._sequence = 0
        self._kept: list[tuple[str, str, dict[str, Value], Told]] = []

    @property
    def reachable(self) -> bool:
        return self.doors[0].reachable

    def tell(self, device: str, name: str, fields: dict[str, Value]) -> int:
        """Number an event and tell it; return when the gateway has it, if it has it at once."""
        self._sequence += 1
        now = self.world.now
        event = (device, name, fields, Told(self.name, self._sequence, now, buffered=not self.reachable))
        if self.reachable:
            self.world.at(now + 80_000, lambda: self._send(*event))
        else:
            self._kept.append(event)
        return now + 80_000

    def _send(self, device: str, name: str, fields: dict[str, Value], told: Told) -> None:
        if self.reachable:
            self.catch_up()
            self.world.sink.heard(self.world.now, device, name, fields, told)
        else:
            self._kept.append((device, name, fields, Told(told.counter, told.sequence, told.happened, buffered=True)))

    def catch_up(self) -> None:
        """Tell what was kept, in order: nothing new is told before it."""
        kept, self._kept = sorted(self._kept, key=lambda event: event[3].sequence), []
        for event in kept:
            self.world.sink.heard(self.world.now, *event)


class Door(Machine):
    """A door with a reader outside and a button inside; it says what happens within a tenth of a second."""

    READ = 100_000

    def __init__(self, world: World, name: str, link: str, controller: Controller) -> None:
        super().__init__(
            world, name, link, door__state="closed", lock__state="locked", mode="controlled", unlock__pulse=0.0,
            tamper__reader=False,
        )  # fmt: skip
        self.controller = controller
        controller.doors.append(self)
        self.busy = self.refuses = False

    def tell(self, name: str, **fields: Value) -> int:
        return self.controller.tell(self.name, name, fields)

    def read(self, *, granted: bool = True, reason: int = 1, **more: Value) -> int:
        """Read a card."""
        card = f"h:{self.random.randrange(400):04d}"
        return self.tell("read.event", granted=granted, reason=reason, dir="in", cred=card, **more)

    def let_out(self) -> None:
        self.tell("rex.event", reason=20)
        self.set(lock__state="unlocked")

    def swing(self, *, open_: bool) -> int:
        """Open or shut; return when the gateway knows."""
        state = "open" if open_ else "closed"
        self.set(door__state=state)
        if not open_ and self.values["mode"] == "controlled":
            self.set(lock__state="locked")
        return self.tell("door.event", state=state)

    def passage(self, *, inward: bool) -> Life:
        """Let somebody through, unless somebody else is just passing."""
        if self.busy:
            return
        self.busy = True
        if inward:
            self.read()
            self.set(lock__state="unlocked")
        else:
            self.let_out()
        yield self.random.randrange(700_000, 3500_000)
        self.swing(open_=True)
        if self.random.random() < 0.15:
            yield SECOND
            self.read()
        yield self.random.randrange(3 * SECOND, 14 * SECOND)
        self.swing(open_=False)
        yield self.random.randrange(10 * SECOND, 15 * SECOND)
        self.busy = False


class Lane(Machine):
    """A lane with a boom, three loops in the order arrival, under the boom, exit, and a cabinet."""

    def __init__(self, world: World, name: str, link: str) -> None:
        loops = {f"{kind}__{loop}": False for kind in ("input", "fault") for loop in ("arrival", "safety", "exit")}
        cabinet = {"photocell": False, "obstacle": False, "manual_release": False, "cabinet__open": False}
        rest: dict[str, Value] = {
            "power": "mains",
            "held_open": False,
            "safety_chain": True,
            "hold_open": False,
            "auto_close": 5,
        }
        rest |= {"last_error": 0, "op__count": 0, "temperature": 21, "heartbeat": 1, "vehicles": 0, "firmware": 3}
        rest |= {"cmd__open": False, "cmd__stop": False, "cmd__close": False, "boom__attached": True}
        super().__init__(
            world, name, link, lane__state="closed", boom__position=0, limit__closed=True, limit__open=False,
            **loops, **cabinet, **rest,
        )  # fmt: skip
        self.busy = False

    def taken(self) -> Life:
        while self.busy or not self.reachable:
            yield SECOND
        self.busy = True

    def car(self) -> Life:
        """Let one car through."""
        if self.busy or not self.reachable:
            return
        self.busy = True
        self.set(input__arrival=True)
        yield self.random.randrange(2 * SECOND, 12 * SECOND)
        yield from self.raise_boom()
        yield from self.cross()
        yield from self.lower_boom()
        self.busy = False

    def raise_boom(self) -> Life:
        self.set(lane__state="opening", limit__closed=False, boom__position=30)
        yield self.random.randrange(1500_000, 3 * SECOND)
        self.set(lane__state="open", limit__open=True, boom__position=100)
        yield self.random.randrange(SECOND, 4 * SECOND)

    def cross(self) -> Life:
        self.set(input__safety=True)
        yield self.random.randrange(1500_000, 3 * SECOND)
        self.set(input__arrival=False, input__exit=True)
        yield self.random.randrange(1500_000, 3 * SECOND)
        self.set(input__safety=False)
        yield self.random.randrange(1500_000, 3 * SECOND)
        self.set(input__exit=False, vehicles=int(self.values["vehicles"] or 0) + 1)
        yield 5 * SECOND

    def lower_boom(self) -> Life:
        self.set(lane__state="closing", limit__open=False, boom__position=50)
        yield self.random.randrange(2 * SECOND, 4 * SECOND)
        self.set(lane__state="closed", limit__closed=True, boom__position=0)
        yield SECOND


class Lamp(Machine):
    """A luminaire on a bus that fades to what it is told."""

    READ = 5 * SECOND

    def __init__(self, world: World, name: str, link: str) -> None:
        good = {"lamp__fail": False, "gear__fail": False, "limit_error": False, "power_cycled": False, "fading": False}
        super().__init__(world, name, link, command=0.0, level=0.0, lamp__on=False, **good)

    def go(self, level: float) -> Life:
        """Be told another level, and fade to it."""
        self.set(command=level, fading=True)
        yield self.random.randrange(4 * SECOND, 9 * SECOND)
        self.set(level=level, lamp__on=level > 0, fading=False)


class Emergency(Machine):
    """A luminaire with a battery."""

    READ = 60 * SECOND

    def __init__(self, world: World, name: str, link: str) -> None:
        bits = "circuit_failed", "duration_short", "battery_failed", "lamp_failed", "duration_failed", "function_failed"
        rest: dict[str, Value] = {
            "on_battery": False,
            "function_running": False,
            "duration_running": False,
            "function_done": False,
        }
        rest |= {"duration_done": False, "level": 0.0, "battery": 100.0, "result_minutes": 0.0, "rated_minutes": 180.0}
        rest |= {"test__function": False, "test__duration": False, "test__stop": False}
        super().__init__(world, name, link, **{f"status_{bit}": False for bit in bits}, **rest)


PANEL = (
    "alarm",
    "callpoint",
    "fault",
    "disabled",
    "supervisory",
    "mains",
    "prealarm",
    *(f"zone{n}" for n in range(1, 9)),
)


class Contacts(Machine):
    """What hangs on dry contacts: a fire panel, a gas detector, a leak cable."""

    @classmethod
    def panel(cls, world: World, name: str, link: str) -> "Contacts":
        states = [f"{of}__{part}" for of in ("contact", "line") for part in PANEL]
        return cls(
            world, name, link, **dict.fromkeys(states, False) | {"contact__mains": True}, heartbeat=1, supply=24.1
        )

    @classmethod
    def gas(cls, world: World, name: str, link: str) -> "Contacts":
        states = "contact__al1", "contact__al2", "contact__fault", "line__al1", "line__al2", "line__fault"
        return cls(world, name, link, **dict.fromkeys(states, False), heartbeat=1)

    @classmethod
    def leak(cls, world: World, name: str, link: str) -> "Contacts":
        states = "contact__leak", "contact__cable", "line__leak", "line__cable"
        return cls(world, name, link, **dict.fromkeys(states, False), heartbeat=1)


@dataclass
class Estate:
    """All of it. Links: `lifts`, `doors` (two controllers), `lanes`, `lights`, `safety`."""

    world: World
    lifts: list[Lift] = field(default_factory=list)
    doors: list[Door] = field(default_factory=list)
    lanes: list[Lane] = field(default_factory=list)
    lamps: list[Lamp] = field(default_factory=list)
    emergency: list[Emergency] = field(default_factory=list)
    contacts: dict[str, Contacts] = field(default_factory=dict)
    controllers: list[Controller] = field(default_factory=list)

    @classmethod
    def of(cls, world: World) -> "Estate":
        estate = cls(world)
        estate.lifts = [Lift(world, f"lift-{n}", "lifts") for n in (1, 2)]
        estate.controllers = [Controller(world, "40001"), Controller(world, "40002")]
        estate.doors = [Door(world, f"door-{n}", "doors", estate.controllers[n // 5]) for n in range(1, 7)]
        estate.lanes = [Lane(world, name, "lanes") for name in ("lane-in", "lane-out")]
        estate.lamps = [Lamp(world, f"lamp-{n:02d}", "lights") for n in range(1, 25)]
        estate.emergency = [Emergency(world, f"em-{n:02d}", "lights") for n in range(1, 13)]
        of = {"panel": Contacts.panel, "gas-1": Contacts.gas, "leak-1": Contacts.leak, "leak-2": Contacts.leak}
        estate.contacts = {name: make(world, name, "safety") for name, make in of.items()}
        return estate

    def machines(self) -> list[Any]:
        return [*self.lifts, *self.doors, *self.lanes, *self.lamps, *self.emergency, *self.contacts.values()]

    def on(self, link: str) -> list[Any]:
        return [machine for machine in self.machines() if machine.link == link]

    def cut(self, link: str, lasts: int) -> Life:
        """Lose a whole link for so long."""
        for machine in self.on(link):
            machine.reachable = False
        self.world.sink.lost(self.world.now, link)
        yield lasts
        for _ in range(2):
            for machine in self.on(link):
                machine.found()
            yield SECOND
        if link == "doors":
            for controller in self.controllers:
                controller.catch_up()


Fault = Callable[[Estate, Random], Life]
"""Something done to the estate, with a source of chance."""
