"""An estate: every device of one scenario file, on its links, living its story."""

import asyncio
import heapq
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from simulators.access import Entrance
from simulators.acts_connection import FaultPart
from simulators.bacnet_face import CircuitFace, DoorFace, EscalatorFace, LampFace, LiftFace, ObjectFace
from simulators.bacnet_server import BacnetServer, Thing
from simulators.barrier import Barrier, LaneSettings
from simulators.dali import Gear
from simulators.deeds_lane import lane_deed
from simulators.deeds_lift import escalator_deed, lift_deed, wired_deed
from simulators.deeds_light import circuit_deed, emergency_deed, lamp_deed
from simulators.deeds_safety import gas_deed, leak_deed, panel_deed
from simulators.doors import DoorBuilder, door_deed
from simulators.emergency import Emergency
from simulators.escalator import Escalator
from simulators.faults import SWITCHES, Fault
from simulators.fire import Panel
from simulators.frame_server import FrameServer, Unit
from simulators.journal import Journal
from simulators.lift import Lift
from simulators.lift_parts import Wired
from simulators.light_face import EmergencyFace, GearFace, RelayFace
from simulators.lighting import Lamp
from simulators.maker_face import GAS, LEAKS, PANELS, CameFace
from simulators.modbus_face import Face, LmonFace, Monitor, SpLiftFace, Trace
from simulators.mqtt_face import ControllerLink
from simulators.mqtt_link import Brokers, brokers
from simulators.plant_face import GroupFace, LiftContactsFace
from simulators.proxy import Proxy
from simulators.relays import Circuit
from simulators.safety import GasDetector, LeakCable
from simulators.scenario import Act, Device, Link, Scenario, Step
from simulators.serial_line import SerialLine
from simulators.simple import SIMPLE
from simulators.table_face import BarrierFace
from sitekeeper.model.clock import SECOND, Clock, Micros

PULSE: Final[Micros] = SECOND
"""Devices that nobody asks live on in steps of this much real time, so that the journal's facts are never older."""

Plan = Callable[[Micros, str, Callable[[], None]], None]
"""Puts a deed at a time of the story, under a name."""
Planned = tuple[Plan, Micros, str, Callable[[], None]]
"""A deed that is to be planned: with what, when from the beginning of the stories, under which name."""

_IN_TIMES: Final = frozenset({"since"})
"""Particulars of facts that are times of the story; the journal has them as wall times."""


class Estate:
    """Start it, let `run` go on for as long as the story shall, close it.

    Args:
        speed: seconds of story per second of real time.
        free_ports: take free ports, whatever the scenario says.
        waits: devices live, but nothing of their stories happens before `begin`.
        mqtt: makes connections to the broker of MQTT links; by default a real one, where the scenario says.
    """

    def __init__(
        self,
        plan: Scenario,
        *,
        clock: Clock,
        journal: Journal,
        speed: float = 1.0,
        free_ports: bool = False,
        waits: bool = False,
        mqtt: Brokers | None = None,
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._deeds: list[Planned] = []
        self._journal = journal
        self._speed = speed
        self._free_ports = free_ports
        self._mqtt = mqtt
        self._began_wall, self._began = clock.wall(), clock.monotonic()
        self._faces: dict[str, Face | ObjectFace] = {}
        self._faults: dict[str, Callable[[Fault | None], None]] = {}
        self.lifts: dict[str, Lift] = {}
        self.lamps: dict[str, Lamp] = {}
        self.doors: dict[str, Entrance] = {}
        self.lanes: dict[str, Barrier] = {}
        self.panels: dict[str, Panel] = {}
        self._watchers: dict[str, list[Callable[[Micros, str], None]]] = {}
        self.proxies = {link.id: self._proxy(link) for link in plan.links if link.proxy}
        self.servers = {link.id: self._server(link) for link in plan.links}
        self._serial = {link.id: SerialLine(Path(link.serial)) for link in plan.links if link.serial}
        self._switches: list[tuple[Micros, int, str, str, FaultPart]] = []
        self._order = count()
        self._in_the_way: set[str] = set()
        if not waits:
            self._take_up(0)

    def begin(self) -> None:
        """Let the stories begin now, of an estate that waits."""
        self._take_up(self.story_time())

    def _take_up(self, start: Micros) -> None:
        for plan, at, name, deed in self._deeds:
            plan(start + at, name, deed)
        for link in self._plan.links:
            self._plan_switches(start, link.id, "", link.story)
            for device in link.devices:
                self._plan_switches(start, link.id, device.id, device.story)

    async def start(self) -> dict[str, int]:
        """Let the story begin now, listen on every link, and return the ports by link.

        Raises:
            OSError: a port is taken; nothing listens then.
        """
        self._began_wall, self._began = self._clock.wall(), self._clock.monotonic()
        try:
            return {name: await self._listen(name) for name in self.servers}
        except OSError:
            await self.close()
            raise

    async def run(self) -> None:
        """Let the story go on; ends only by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            for name, server in self.servers.items():
                if isinstance(server, ControllerLink):
                    tasks.create_task(server.run(), name=name)
            await self._go_on()

    async def _go_on(self) -> None:
        """Switch faults when their time comes and let unasked devices live."""
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
        for line in self._serial.values():
            await line.unplug()
        for proxy in self.proxies.values():
            await proxy.close()
        for server in self.servers.values():
            await server.close()

    def story_time(self) -> Micros:
        """Return how far the story is, microseconds."""
        return int((self._clock.monotonic() - self._began) * self._speed)

    async def _listen(self, link: str) -> int:
        port = await self.servers[link].start()
        if link in self.proxies:
            self.proxies[link].target = (self.proxies[link].target[0], port)
            port = await self.proxies[link].start()
        if link in self._serial:
            await self._serial[link].plug(port)
        return port

    def switch(self, device: str, part: FaultPart) -> None:
        """Switch a fault of a device, outside the story."""
        self._faults[device](part.fault())

    def _wall(self, story: Micros) -> Micros:
        return self._began_wall + int(story / self._speed)

    # --- building

    def _proxy(self, link: Link) -> Proxy:
        port = 0 if self._free_ports or link.kind == "mqtt" else link.port  # on MQTT that is the broker's
        return Proxy((link.host, 0), udp=link.kind == "bacnet", port=port, seed=f"{self._plan.seed}/{link.id}")

    def _server(self, link: Link) -> FrameServer | BacnetServer | ControllerLink:
        if link.kind == "mqtt":
            return self._controllers(link)
        port = 0 if self._free_ports or link.proxy else link.port
        if link.kind == "bacnet":
            things = [Thing(device.id, device.object, self._object_face(device)) for device in link.devices]
            bacnet = BacnetServer(
                things, instance=link.instance, clock=self._clock, story=self.story_time, journal=self._journal,
                port=port, link=link.id, cov=link.cov,
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

    def _controllers(self, link: Link) -> ControllerLink:
        builder = DoorBuilder(
            link, seed=self._plan.seed, clock=self._clock, story=self.story_time, speed=self._speed,
            wall=self._wall, journal=self._journal, teller=self._teller,
        )  # fmt: skip
        self.doors |= builder.doors
        self._deeds += builder.deeds
        for device in link.devices:
            for lane in device.watches:
                self._watchers.setdefault(lane, []).append(builder.watching[device.id])
        faces = builder.faces(self._mqtt or brokers(link.host, link.port))
        self._faults |= {device.id: faces[device.controller].fault for device in link.devices}
        return builder.link(faces)

    def _object_face(self, device: Device) -> ObjectFace:
        face: ObjectFace
        if device.face == "lighting-output":
            lamp = self.lamps[device.id] = Lamp(tell=self._teller(device.id))
            face = LampFace(lamp)
            self._live_out(lamp.plan, device.story, lambda act: lamp_deed(lamp, act))
        elif device.face == "access-door":
            seed = f"{self._plan.seed}/{device.id}"
            door = self.doors[device.id] = Entrance(seed=seed, traffic=device.traffic, tell=self._teller(device.id))
            face = DoorFace(door)
            self._live_out(door.plan, device.story, lambda act: door_deed(door, act))
        elif device.face == "binary-lighting-output":
            circuit = Circuit(tell=self._teller(device.id))
            face = CircuitFace(circuit)
            self._live_out(circuit.plan, device.story, lambda act: circuit_deed(circuit, act))
        elif device.face == "bacnet-escalator":
            escalator = Escalator(tell=self._teller(device.id))
            face = EscalatorFace(escalator)
            self._live_out(escalator.plan, device.story, lambda act: escalator_deed(escalator, act))
        else:
            face = LiftFace(self._lift(device))
        self._faces[device.id] = face
        return face

    def _face(self, device: Device) -> Face:
        make = {"words": self._words_face, "sp-barrier-1": self._lane_face, "came-gard-ptx": self._lane_face}
        make |= dict.fromkeys(PANELS, self._panel_face) | dict.fromkeys(GAS, self._gas_face)
        make |= dict.fromkeys(LEAKS, self._leak_face)
        make |= {"sp-relay-8": self._circuit_face, "dali-emergency": self._emergency_face}
        make |= dict.fromkeys(("dali-gear", "dali-group"), self._gear_face) | dict.fromkeys(SIMPLE, self._simple_face)
        face = make.get(device.face, self._lift_face)(device)
        self._faces[device.id] = face
        return face

    def _lane_face(self, device: Device) -> Face:
        built = device.lane
        settings = LaneSettings(
            way=built.way, auto_close=built.auto_close, traffic=device.traffic, operations=built.operations
        )
        lane = Barrier(settings, seed=f"{self._plan.seed}/{device.id}", tell=self._teller(device.id))
        self._live_out(lane.plan, device.story, lambda act: lane_deed(lane, act))
        self.lanes[device.id] = lane
        return CameFace(lane) if device.face == "came-gard-ptx" else BarrierFace(lane)

    def _panel_face(self, device: Device) -> Face:
        panel = self.panels[device.id] = Panel(tell=self._teller(device.id))
        self._live_out(panel.plan, device.story, lambda act: panel_deed(panel, act))
        return PANELS[device.face](panel)

    def _gas_face(self, device: Device) -> Face:
        gas = GasDetector(tell=self._teller(device.id))
        self._live_out(gas.plan, device.story, lambda act: gas_deed(gas, act))
        return GAS[device.face](gas)

    def _leak_face(self, device: Device) -> Face:
        cable = LeakCable(tell=self._teller(device.id))
        self._live_out(cable.plan, device.story, lambda act: leak_deed(cable, act))
        return LEAKS[device.face](cable)

    def _circuit_face(self, device: Device) -> Face:
        circuit = Circuit(tell=self._teller(device.id))
        self._live_out(circuit.plan, device.story, lambda act: circuit_deed(circuit, act))
        return RelayFace(circuit, device.slot)

    def _gear_face(self, device: Device) -> Face:
        gear = Gear(tell=self._teller(device.id))
        self.lamps[device.id] = gear
        self._live_out(gear.plan, device.story, lambda act: lamp_deed(gear, act))
        return (GroupFace if device.face == "dali-group" else GearFace)(gear, device.slot)

    def _emergency_face(self, device: Device) -> Face:
        gear = Emergency(tell=self._teller(device.id))
        self._live_out(gear.plan, device.story, lambda act: emergency_deed(gear, act))
        return EmergencyFace(gear, device.slot)

    def _simple_face(self, device: Device) -> Face:
        behaviour, face, deed = SIMPLE[device.face]
        thing = behaviour(tell=self._teller(device.id))
        self._live_out(thing.plan, device.story, lambda act: deed(thing, act))
        return face(thing)

    def _words_face(self, device: Device) -> Face:
        steps = [(step.at, step.do.words) for step in device.story if step.do.words is not None]
        facts = [(step.at, step.do.fact) for step in device.story if step.do.fact is not None]
        return LmonFace(Trace(steps, facts, self._teller(device.id)))

    def _lift_face(self, device: Device) -> Face:
        if device.face == "sp-io-16-lift":
            wired = Wired(self._new_lift(device))
            self._live_out(wired.lift.plan, device.story, lambda act: wired_deed(wired, act))
            return LiftContactsFace(wired)
        lift = self._lift(device)
        return SpLiftFace(lift) if device.face == "sp-lift-1" else LmonFace(Monitor(lift))

    def _lift(self, device: Device) -> Lift:
        lift = self._new_lift(device)
        self._live_out(lift.plan, device.story, lambda act: lift_deed(lift, act))
        return lift

    def _new_lift(self, device: Device) -> Lift:
        seed = f"{self._plan.seed}/{device.id}"
        lift = self.lifts[device.id] = Lift(device.lift.settings(), seed=seed, tell=self._teller(device.id))
        return lift

    def _teller(self, device: str) -> Callable[[Micros, str, Mapping[str, int | bool | str]], None]:
        def tell(at: Micros, fact: str, more: Mapping[str, int | bool | str]) -> None:
            told = {key: self._wall(int(value)) if key in _IN_TIMES else value for key, value in more.items()}
            self._journal.fact(self._wall(at), device, fact, told)
            for watcher in self._watchers.get(device, ()):
                watcher(at, fact)

        return tell

    def _live_out(self, plan: Plan, story: tuple[Step, ...], deed: Callable[[Act], Callable[[], None]]) -> None:
        for number, step in enumerate(story):
            if step.do.fault is None:
                self._deeds.append((plan, step.at, f"story {number}", deed(step.do)))

    # --- faults

    def _plan_switches(self, start: Micros, link: str, device: str, story: tuple[Step, ...]) -> None:
        for step in story:
            if step.do.fault is not None:
                self._push(start + step.at, link, device, step.do.fault)

    def _push(self, at: Micros, link: str, device: str, part: FaultPart) -> None:
        heapq.heappush(self._switches, (at, next(self._order), link, device, part))

    async def _switch(self, link: str, device: str, part: FaultPart) -> None:
        way = part.kind != "none" and SWITCHES[part.kind].place == "way"
        if device:
            self.switch(device, part)
        elif way or link in self._in_the_way:
            self._in_the_way = (self._in_the_way | {link}) if way else self._in_the_way - {link}
            self._journal.switched(self._clock.wall(), "link", link, part.kind)
            self.proxies[link].switch(part.fault())
        else:
            await self._refuse(link, part.kind != "none")
        if part.lasts is not None:
            self._push(self.story_time() + part.lasts, link, device, FaultPart(kind="none"))

    async def _refuse(self, link: str, on: bool) -> None:
        """Let nobody reach the devices of a link, or all again; a serial adapter is pulled out, or plugged in."""
        line = self._serial.get(link)
        if line is not None and on:
            await line.unplug()
        await self.servers[link].refuse(on)
        if line is not None and not on:
            await line.plug()
