"""How a door controller looks over MQTT (the canon of the domain brief, 4.1).

    sp/<site>/access/<controller>/event          QoS 1: each event once, in order; those that waited are `buffered`
    sp/<site>/access/<controller>/status         retained, every 10 s; the last will says {"online": false}
    sp/<site>/access/<controller>/door/<n>       retained: state, lock, mode, ts; after the event that changed it
    sp/<site>/access/<controller>/door/<n>/set   obeyed: {"mode": "free" or "controlled"}
    sp/<site>/access/<controller>/request        answered: {"from": 4711, "to": 4712}

An event counts as sent when the broker has acknowledged it. A controller that has lost the broker comes back by itself.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from simulators.access import Entrance
from simulators.controller import Body, Controller
from simulators.faults import Fault, FaultKind
from simulators.journal import Journal
from simulators.mqtt_faults import Publication, encoded, outgoing
from simulators.mqtt_link import Connect, Session, Will
from sitekeeper.model.clock import SECOND, Clock, Micros
from sitekeeper.model.errors import PeerUnreachable

STATUS_EVERY: Final[Micros] = 10 * SECOND
RETRY_S: Final = 0.5
"""Seconds between two attempts to reach the broker."""
PULSE_S: Final = 1.0
"""A controller looks around at least this often, in real seconds."""


class ControllerFace:
    """One controller on its broker. `run` it for as long as it shall live.

    Args:
        devices: its doors' ids in the scenario, by their numbers.
        family: the words for such controllers and for what stands behind them, in topics.
        story: the time of the story. speed: seconds of story per second of real time.
    """

    def __init__(
        self,
        name: str,
        controller: Controller,
        connect: Connect,
        *,
        devices: Mapping[int, str],
        site: str,
        story: Callable[[], Micros],
        clock: Clock,
        journal: Journal,
        speed: float = 1.0,
        family: tuple[str, str] = ("access", "door"),
    ) -> None:
        self.name, self.controller = name, controller
        self._connect, self._devices = connect, devices
        self._base, self._part = f"sp/{site}/{family[0]}/{name}", family[1]
        self._story, self._speed, self._clock, self._journal = story, speed, clock, journal
        self._fault: Fault | None = None
        self._unreachable = False
        self._asked: deque[int] = deque(maxlen=2_000)  # a controller that is asked for more forgets the oldest
        self._said: dict[int, Body] = {}
        self._status_due: Micros = 0
        self._wake = asyncio.Event()

    @property
    def topic(self) -> str:
        """Where its events go."""
        return f"{self._base}/event"

    def fault(self, fault: Fault | None) -> None:
        """Switch a fault on, or with None off."""
        self._fault = fault
        skew = {FaultKind.CLOCK_AHEAD: 1, FaultKind.CLOCK_BEHIND: -1}.get(fault.kind, 0) if fault else 0
        self.controller.clock_error = skew * fault.delay if fault else 0
        kind = "none" if fault is None else fault.kind.value
        self._journal.switched(self._clock.wall(), "controller", self.name, kind)
        self._wake.set()

    def unreachable(self, on: bool) -> None:
        """Let there be no broker for it, or again one."""
        self._unreachable = on
        self._wake.set()

    async def run(self) -> None:
        """Live, and tell the broker, for ever; ends only by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._live(), name=f"{self.name} lives")
            tasks.create_task(self._keep_connected(), name=f"{self.name} tells")

    async def _live(self) -> None:
        while True:
            self._advance()
            due = self.controller.next
            pause = PULSE_S if due is None else (due - self._story()) / self._speed / SECOND
            await asyncio.sleep(min(max(pause, 0.001), PULSE_S))

    def _advance(self) -> None:
        self.controller.advance(self._story())
        self._wake.set()

    def _away(self) -> bool:
        offline = self._fault is not None and self._fault.kind is FaultKind.OFFLINE
        return offline or self._unreachable or self._story() < self.controller.off_until

    async def _keep_connected(self) -> None:
        will = Will(topic=f"{self._base}/status", payload=encoded({"online": False}))
        while True:
            if not self._away():
                with suppress(PeerUnreachable):
                    session = await self._connect(will)
                    try:
                        await self._connection(session)
                    finally:
                        session.lose()
                        await session.close()
            await asyncio.sleep(RETRY_S)

    async def _connection(self, session: Session) -> None:
        """Tell and obey until the connection is gone. Raises PeerUnreachable then."""
        self._said.clear()
        self._status_due = 0
        self.controller.connected()
        await self._subscribe(session)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._obey(session), name=f"{self.name} obeys")
                tasks.create_task(self._tell(session), name=f"{self.name} publishes")
        except* PeerUnreachable as lost:
            raise PeerUnreachable("broker", "connection lost") from lost

    async def _subscribe(self, session: Session) -> None:
        await session.subscribe(f"{self._base}/{self._part}/+/set")
        await session.subscribe(f"{self._base}/{self._part}/+/open")
        await session.subscribe(f"{self._base}/request")

    # --- telling

    @property
    def _silent(self) -> bool:
        return self._fault is not None and self._fault.kind is FaultKind.SILENCE

    async def _tell(self, session: Session) -> None:
        while True:
            if self._away():
                raise PeerUnreachable("broker", "pulled the plug")
            self._wake.clear()
            if not await self._tell_next(session):
                due = (self._status_due - self._story()) / self._speed / SECOND
                with suppress(TimeoutError):  # what is due already is held back by a fault
                    async with asyncio.timeout(min(due, PULSE_S) if due > 0 else PULSE_S):
                        await self._wake.wait()  # wait_for would forget a cancellation that comes with the wake

    async def _tell_next(self, session: Session) -> bool:
        """Publish what is due first, and tell whether anything was."""
        if self._silent:
            return False
        now, controller = self._story(), self.controller
        if self._status_due <= now:
            self._status_due = now + STATUS_EVERY
            lies = {"online": False} if self._fault is not None and self._fault.kind is FaultKind.LIES else {}
            await session.publish(f"{self._base}/status", encoded({**controller.status(now), **lies}), retain=True)
        elif self._asked:
            message = controller.message(self._asked.popleft(), buffered=True)
            await session.publish(self.topic, encoded(message))
        elif numbers := self._due_events(now):
            await self._tell_events(session, numbers)
        else:
            return await self._tell_doors(session, now)
        return True

    def _due_events(self, now: Micros) -> Sequence[int]:
        fault = self._fault
        if fault is None or fault.kind is not FaultKind.SHUFFLE:
            return self.controller.unsent()
        numbers = self.controller.unsent(max(2, fault.count))
        if numbers and (len(numbers) > 1 or now - self.controller.happened_at(numbers[0]) >= fault.delay):
            return numbers[::-1]
        return []

    async def _tell_events(self, session: Session, numbers: Sequence[int]) -> None:
        run = self.controller.runs
        for seq in numbers:
            if not self.controller.owes(seq, run):
                continue  # overwritten meanwhile
            message = self.controller.message(seq)
            for each in outgoing(self._take_fault(), Publication(self.topic, encoded(message)), message):
                await session.publish(each.topic, each.payload, retain=each.retain)
            self.controller.acknowledged(seq, run)

    def _take_fault(self) -> Fault | None:
        """Return the fault of the next event, used up by one."""
        fault = self._fault
        if fault is not None and fault.times is not None:
            if fault.times <= 1:
                self.fault(None)
            else:
                self._fault = replace(fault, times=fault.times - 1)
        return fault

    async def _tell_doors(self, session: Session, now: Micros) -> bool:
        for number in self.controller.doors:
            state = self.controller.door_state(number)
            if self._said.get(number) != state:
                self._said[number] = state
                stamped = {**state, "ts": self.controller.stamp(now)}
                await session.publish(f"{self._base}/{self._part}/{number}", encoded(stamped), retain=True)
                return True
        return False

    # --- obeying

    async def _obey(self, session: Session) -> None:
        while True:
            delivery = await session.receive()
            self._advance()
            self._take(delivery.topic, delivery.payload, retained=delivery.retained)
            session.ack(delivery)
            self._wake.set()

    def _take(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Do what a message asks for."""
        parts = topic.split("/")
        order = order_in(payload)
        if parts[-1] == "request":
            self._answer(order)
        elif not retained:  # a command of long ago is no command
            self._command(parts[-2], parts[-1], order)

    def _answer(self, order: Body) -> None:
        first, last = order.get("from"), order.get("to")
        if isinstance(first, int) and isinstance(last, int):
            numbers = self.controller.asked(first, last)
            more = {"from": first, "to": last, "found": len(numbers)}
            self._journal.of_controller(self._clock.wall(), self.name, "range asked", more)
            self._asked.extend(numbers)

    def _command(self, door: str, what: str, order: Body) -> None:
        number = int(door) if door.isdigit() else 0
        entrance, mode, now = self.controller.doors.get(number), order.get("mode"), self._clock.wall()
        seconds = order.get("seconds")
        if isinstance(entrance, Entrance) and what == "open" and isinstance(seconds, int | float):
            entrance.unlock(seconds)
            self._journal.wrote(now, self._devices[number], {"unlock.pulse": seconds})
            return
        if not isinstance(entrance, Entrance) or mode not in {"free", "controlled"}:
            self._journal.of_controller(now, self.name, "command not understood", {"door": door})
            return
        entrance.release(mode == "free")
        self._journal.wrote(now, self._devices[number], {"mode": mode})


def order_in(payload: bytes) -> Body:
    """Return the object in a command; an empty one if it is none."""
    try:
        order = json.loads(payload)
    except ValueError:
        return {}
    return order if isinstance(order, dict) else {}


class ControllerLink:
    """The controllers of one link; stands beside the servers of the other links."""

    def __init__(
        self, faces: Sequence[ControllerFace], port: int, *, link: str, clock: Clock, journal: Journal
    ) -> None:
        self._faces = faces
        self.port = port
        self._link, self._clock, self._journal = link, clock, journal

    async def start(self) -> int:
        """Return the port of the broker. Nothing listens here."""
        return self.port

    async def run(self) -> None:
        """Let all controllers live, for ever; ends only by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            for face in self._faces:
                tasks.create_task(face.run(), name=face.name)

    async def refuse(self, on: bool) -> None:
        """Let there be no broker, or again one."""
        self._journal.switched(self._clock.wall(), "link", self._link, FaultKind.REFUSE.value if on else "none")
        for face in self._faces:
            face.unreachable(on)

    async def close(self) -> None:
        """Nothing is open here: who cancels `run` has closed everything."""
