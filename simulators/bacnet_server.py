"""A BACnet/IP device of simulated things, on a UDP port of its own.

Correct by default, and wrong in chosen ways when told (`faults`). What a reply says is in the journal before the reply
leaves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from simulators.bacnet_face import ObjectFace
from simulators.bacnet_maps import Map
from simulators.bacnet_stack import Asked, Device, free_port, served
from simulators.faults import Fault, FaultKind
from simulators.journal import Journal
from sitekeeper.model.clock import Clock, Micros
from sitekeeper.model.sample import Value


@dataclass(slots=True)
class Thing:
    """One object of the device; `device` is its id in the scenario, `served` the library's object while it listens.

    `real`: its properties when they last followed the thing.
    """

    device: str
    instance: int
    face: ObjectFace
    serial: int = 0
    fault: Fault | None = None
    served: Any = None
    real: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Touched:
    """A thing that a request asks, its serial number if the reply carries it, and the properties that it serves."""

    thing: Thing
    serial: int | None
    values: dict[str, Any]


class BacnetServer:
    """Serves `things`. `story` tells their time, `clock` dates the journal.

    Args:
        instance: of the device. port: 0 for a free one; it is kept through `refuse`.
        cov: it tells changes to whoever subscribes; else it does not know how.
    """

    def __init__(
        self,
        things: Sequence[Thing],
        *,
        instance: int,
        clock: Clock,
        story: Callable[[], Micros],
        journal: Journal,
        host: str = "127.0.0.1",
        port: int = 0,
        link: str = "link",
        cov: bool = False,
    ) -> None:
        self.things = {thing.device: thing for thing in things}
        self._instance, self._link, self._cov = instance, link, cov
        self._clock, self._story, self._journal = clock, story, journal
        self.host, self.port = host, port
        self._app: Device | None = None

    async def start(self) -> int:
        """Listen, and return the port.

        Raises:
            OSError: the port is taken.
        """
        self.port = free_port(self.host, self.port)
        for thing in self.things.values():
            before, thing.served = thing.served, served(thing.face.kind, thing.instance, thing.device)
            thing.served.remember(before)
            thing.real = thing.face.properties(thing.serial)
            thing.served.update(thing.real | _status(thing))
        self._app = Device.serving(
            self, self._instance, f"{self.host}:{self.port}", [thing.served for thing in self.things.values()]
        )
        self._app.tells = self._cov
        await self._app.ready()
        return self.port

    async def close(self) -> None:
        """Stop listening."""
        app, self._app = self._app, None
        if app is not None:
            await app.ended()

    def fault(self, device: str, fault: Fault | None) -> None:
        """Switch a fault of one thing on, or with None off. Faults of the link are `refuse`'s."""
        thing = self.things[device]
        thing.fault = fault
        if self._app is not None and fault is not None and fault.kind in (FaultKind.NO_COV, FaultKind.FORGET):
            self._app.forget(thing.face.kind, thing.instance)
        self._journal.switched(self._clock.wall(), "device", device, "none" if fault is None else fault.kind.value)

    async def refuse(self, on: bool) -> None:
        """Be dead: nobody listens on the port; or listen again."""
        self._journal.switched(self._clock.wall(), "link", self._link, FaultKind.REFUSE.value if on else "none")
        if on:
            await self.close()
        elif self._app is None:
            await self.start()

    # --- what the device asks

    def touch(self, asked: Sequence[Asked]) -> list[Touched]:
        """Bring every thing that a request asks up to date, and count the reply."""
        touched = []
        for thing, names in self._asked(asked):
            if _is(thing, FaultKind.FREEZE):
                touched.append(Touched(thing, thing.serial if thing.face.carrier in names else None, {}))
                continue
            thing.face.live(self._story())
            carries = thing.face.carrier in names
            thing.serial = (thing.serial + carries) % thing.face.serials
            if not _is(thing, FaultKind.OUT_OF_SERVICE):
                thing.real = thing.face.properties(thing.serial)
            values = thing.real | _status(thing)
            thing.served.update(values, refused := _refused(thing.fault, names))
            if thing.face.obeyed() is not None:
                values["presentValue"] = _agreed(thing)
            said = {name: values[name] for name in names if name in values and name not in refused}
            touched.append(Touched(thing, thing.serial if carries else None, said))
        return touched

    def _asked(self, asked: Sequence[Asked]) -> list[tuple[Thing, list[str]]]:
        return [
            (thing, list(thing.face.map) if "all" in names else names)
            for kind, instance, names in asked
            for thing in self.things.values()
            if (thing.face.kind, thing.instance) == (kind, instance)
        ]

    def take_fault(self, touched: Sequence[Touched]) -> Fault | None:
        """Return the fault of the first thing that has one, used up by one reply."""
        for each in touched:
            fault = each.thing.fault
            if fault is not None:
                if fault.times is not None:
                    each.thing.fault = None if fault.times <= 1 else replace(fault, times=fault.times - 1)
                return fault
        return None

    def write_down(self, touched: Sequence[Touched], spoilt: Fault | None = None) -> None:
        """Note in the journal what a reply says, or that it was spoilt."""
        for each in touched:
            kind = FaultKind.FREEZE if _is(each.thing, FaultKind.FREEZE) else spoilt.kind if spoilt else None
            if kind is not None:
                self._journal.spoilt(self._clock.wall(), each.thing.device, each.serial, kind.value)
            else:
                points = _meaning(each.thing.face.map, each.values)
                self._journal.reply(self._clock.wall(), each.thing.device, each.serial, points)

    def tells(self, kind: str, instance: int) -> list[str]:
        """Return the properties whose changes an object tells; none if it refuses to."""
        return [
            name
            for thing, _ in self._asked([(kind, instance, [])])
            if not _is(thing, FaultKind.NO_COV)
            for name in thing.face.map
            if name != thing.face.carrier
        ]

    def may_command(self, kind: str, instance: int) -> bool:
        """Tell whether a client may write this object's present value; nothing else of anything may be written."""
        return any("presentValue" in thing.face.map for thing, _ in self._asked([(kind, instance, [])]))

    def ignores(self, kind: str, instance: int) -> Literal["silent", "deaf", ""]:
        """Tell whether an object would leave a write without an answer, or answer it and do nothing."""
        ((thing, _),) = self._asked([(kind, instance, [])])
        return "silent" if _is(thing, FaultKind.SILENCE) else "deaf" if _is(thing, FaultKind.FREEZE) else ""

    def commanded(self, kind: str, instance: int, priority: int) -> None:
        """A client has written a present value: let the thing obey. A pulse gives its place in the array back."""
        ((thing, _),) = self._asked([(kind, instance, [])])
        value = thing.served.commanded()
        written = thing.face.map["presentValue"](thing.served.at(priority))
        self._journal.wrote(self._clock.wall(), thing.device, written, priority)
        pulse = kind == "access-door" and value >= UNLOCK_PULSE
        warns = kind == "binary-lighting-output" and value >= WARN
        thing.face.live(self._story())
        if value >= 0:  # below are warnings, which change no level
            thing.face.command(value, pulse)
        if pulse or warns:  # no state that could stand
            thing.served.relinquish(priority)


UNLOCK_PULSE: Final = 2
WARN: Final = 2


def _agreed(thing: Thing) -> float:
    """Let the object and the thing agree on what is commanded: the story's command has the lowest priority."""
    value: float = thing.served.commanded()
    obeyed = thing.face.obeyed()
    if obeyed is not None and value != obeyed:
        thing.served.update({"presentValue": obeyed})
        value = thing.served.commanded()
        if value != obeyed:
            thing.face.command(value, False)
    return value


def _is(thing: Thing, kind: FaultKind) -> bool:
    return thing.fault is not None and thing.fault.kind is kind


def _refused(fault: Fault | None, names: list[str]) -> list[str]:
    if fault is None or fault.kind is not FaultKind.PROPERTY_ERROR:
        return []
    return [fault.property] if fault.property else names


def _status(thing: Thing) -> dict[str, Any]:
    """Return what the object says of itself: in alarm (never), fault, overridden (never), out of service."""
    fault, reliability = thing.fault, thing.real.get("reliability", 0)
    if _is(thing, FaultKind.UNRELIABLE) and fault is not None:
        reliability = fault.code
    made_up = _is(thing, FaultKind.OUT_OF_SERVICE)
    flags = [0, int(reliability != 0), 0, int(made_up)]
    return {"outOfService": made_up, "reliability": reliability, "statusFlags": flags}


def _meaning(meanings: Map, values: dict[str, Any]) -> dict[str, Value]:
    points: dict[str, Value] = {}
    for name, value in values.items():
        if name in meanings:
            points |= meanings[name](value)
    return points
