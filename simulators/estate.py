"""An estate: every device of one scenario file, on its links, living its story."""

import asyncio
import heapq
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Final

from simulators.access import Entrance
from simulators.bacnet_face import DoorFace, LampFace, LiftFace, ObjectFace
from simulators.bacnet_server import BacnetServer, Thing
from simulators.faults import Fault
from simulators.frame_server import FrameServer, Unit
from simulators.journal import Journal
from simulators.lift import Lift
from simulators.lighting import Lamp
from simulators.modbus_face import Face, LmonFace, Monitor, SpLiftFace, Trace
from simulators.scenario import Act, Arrive, Device, FaultPart, Link, Scenario, Step, Stick, Travel
from sitekeeper.model.clock import SECOND, Clock, Micros

PULSE: Final[Micros] = SECOND
"""Devices that nobody asks live on in steps of this much real time, so that the journal's facts are never older."""

_IN_TIMES: Final = frozenset({"since"})
"""Particulars of facts that are times of the story; the journal has them as wall times."""


class Estate:
    """Start it, let `run` go on for as long as the story shall, close it.

    Args:
        speed: seconds of story per second of real time.
        free_ports: take free ports, whatever the scenario says.
    """

    def __init__(
        self, plan: Scenario, *, clock: Clock, journal: Journal, speed: float = 1.0, free_ports: bool = False
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._journal = journal
        self._speed = speed
        self._free_ports = free_ports
        self._began_wall, self._began = clock.wall(), clock.monotonic()
        self._faces: dict[str, Face | ObjectFace] = {}
        self._faults: dict[str, Callable[[Fault | None], None]] = {}
        self.lifts: dict[str, Lift] = {}
        self.lamps: dict[str, Lamp] = {}
        self.doors: dict[str, Entrance] = {}
        self.servers: dict[str, FrameServer | BacnetServer] = {link.id: self._server(link) for link in plan.links}
        self._switches: list[tuple[Micros, int, str, str, FaultPart]] = []
        self._order = count()
        for link in plan.links:
            self._plan_switches(link.id, "", link.story)
            for device in link.devices:
                self._plan_switches(link.id, device.id, device.story)

    async def start(self) -> dict[str, int]:
        """Let the story begin now, listen on every link, and return the ports by link.

        Raises:
            OSError: a port is taken; nothing listens then.
        """
        self._began_wall, self._began = self._clock.wall(), self._clock.monotonic()
        try:
            return {name: await server.start() for name, server in self.servers.items()}
        except OSError:
            await self.close()
            raise

    async def run(self) -> None:
        """Switch faults when their time comes and let unasked devices live; ends only by cancellation."""
        while True:
            now = self.story_time()
            while self._switches and self._switches[0][0] <= now:
                _, _, link, device, part = heapq.heappop(self._switches)
                await self._switch(link, device, part)
            for face in self._faces.values():
                face.live(now)
            pause = PULSE / SECOND
            if self._switches:
                pause = min(pause, max(0.001, (self._switches[0][0] - self.story_time()) / self._speed / SECOND))
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Stop listening everywhere."""
        for server in self.servers.values():
            await server.close()

    def story_time(self) -> Micros:
        """Return how far the story is, microseconds."""
        return int((self._clock.monotonic() - self._began) * self._speed)

    def switch(self, device: str, part: FaultPart) -> None:
        """Switch a fault of a device, outside the story."""
        self._faults[device](part.fault())

    def _wall(self, story: Micros) -> Micros:
        return self._began_wall + int(story / self._speed)

    # --- building

    def _server(self, link: Link) -> FrameServer | BacnetServer:
        port = 0 if self._free_ports else link.port
        if link.kind == "bacnet":
            things = [Thing(device.id, device.object, self._object_face(device)) for device in link.devices]
            bacnet = BacnetServer(
                things, instance=link.instance, clock=self._clock, story=self.story_time, journal=self._journal,
                port=port, link=link.id,
            )  # fmt: skip
            self._faults |= {device.id: partial(bacnet.fault, device.id) for device in link.devices}
            return bacnet
        units = {device.unit: Unit(device=device.id, face=self._face(device)) for device in link.devices}
        server = FrameServer(
            units,
            clock=self._clock,
            story=self.story_time,
            journal=self._journal,
            port=port,
            framing=link.framing,
            link=link.id,
        )
        self._faults |= {device.id: partial(server.fault, device.unit) for device in link.devices}
        return server

    def _object_face(self, device: Device) -> ObjectFace:
        face: ObjectFace
        if device.face == "lighting-output":
            lamp = self.lamps[device.id] = Lamp(tell=self._teller(device.id))
            face = LampFace(lamp)
            _live_out(lamp.plan, device.story, lambda act: _lamp_deed(lamp, act))
        elif device.face == "access-door":
            seed = f"{self._plan.seed}/{device.id}"
            door = self.doors[device.id] = Entrance(seed=seed, traffic=device.traffic, tell=self._teller(device.id))
            face = DoorFace(door)
            _live_out(door.plan, device.story, lambda act: _door_deed(door, act))
        else:
            face = LiftFace(self._lift(device))
        self._faces[device.id] = face
        return face

    def _face(self, device: Device) -> Face:
        face = self._words_face(device) if device.face == "words" else self._lift_face(device)
        self._faces[device.id] = face
        return face

    def _words_face(self, device: Device) -> Face:
        steps = [(step.at, step.do.words) for step in device.story if step.do.words is not None]
        facts = [(step.at, step.do.fact) for step in device.story if step.do.fact is not None]
        return LmonFace(Trace(steps, facts, self._teller(device.id)))

    def _lift_face(self, device: Device) -> Face:
        lift = self._lift(device)
        return SpLiftFace(lift) if device.face == "sp-lift-1" else LmonFace(Monitor(lift))

    def _lift(self, device: Device) -> Lift:
        seed = f"{self._plan.seed}/{device.id}"
        lift = Lift(device.lift.settings(), seed=seed, tell=self._teller(device.id))
        _live_out(lift.plan, device.story, lambda act: _deed(lift, act))
        self.lifts[device.id] = lift
        return lift

    def _teller(self, device: str) -> Callable[[Micros, str, Mapping[str, int | bool | str]], None]:
        def tell(at: Micros, fact: str, more: Mapping[str, int | bool | str]) -> None:
            told = {key: self._wall(int(value)) if key in _IN_TIMES else value for key, value in more.items()}
            self._journal.fact(self._wall(at), device, fact, told)

        return tell

    # --- faults

    def _plan_switches(self, link: str, device: str, story: tuple[Step, ...]) -> None:
        for step in story:
            if step.do.fault is not None:
                self._push(step.at, link, device, step.do.fault)

    def _push(self, at: Micros, link: str, device: str, part: FaultPart) -> None:
        heapq.heappush(self._switches, (at, next(self._order), link, device, part))

    async def _switch(self, link: str, device: str, part: FaultPart) -> None:
        if device:
            self.switch(device, part)
        else:
            await self.servers[link].refuse(part.kind != "none")
        if part.lasts is not None:
            self._push(self.story_time() + part.lasts, link, device, FaultPart(kind="none"))


def _live_out(
    plan: Callable[[Micros, str, Callable[[], None]], None],
    story: tuple[Step, ...],
    deed: Callable[[Act], Callable[[], None]],
) -> None:
    for number, step in enumerate(story):
        if step.do.fault is None:
            plan(step.at, f"story {number}", deed(step.do))


def _lamp_deed(lamp: Lamp, act: Act) -> Callable[[], None]:
    if act.lamp is not None:
        return partial(lamp.fail, act.lamp)
    return partial(lamp.command, act.level or 0.0)


def _door_deed(door: Entrance, act: Act) -> Callable[[], None]:
    if act.enter is not None:
        return partial(door.enter, act.enter)
    deeds: dict[str | None, Callable[[], None]] = {
        "force": door.force,
        "shut": door.shut,
        "free": partial(door.release, True),
        "lock": partial(door.release, False),
    }
    return deeds[act.door]


def _deed(lift: Lift, act: Act) -> Callable[[], None]:
    """Return what to call when the time of this act has come."""
    name, part = act.given()
    match part:
        case Stick():
            return lambda: lift.stick(part.people)
        case Travel():
            return lambda: lift.travel(part.to)
        case Arrive():
            return lambda: lift.arrive(part.origin, part.to, part.people)
        case _:
            pass
    deeds: dict[str, Callable[[], None]] = {
        "release": lift.release,
        "mains": lambda: lift.set_mains(act.mains == "restored"),
        "inspection": lambda: lift.set_inspection(bool(act.inspection)),
        "alarm_button": lambda: lift.press_alarm(act.alarm_button or 0),
        "hold_door": lambda: lift.hold_door(act.hold_door or 0),
        "force_door": lambda: lift.force_door(act.force_door or "closed"),
        "fact": lambda: lift.note(act.fact or ""),
    }
    return deeds[name]
