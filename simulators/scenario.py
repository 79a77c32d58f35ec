"""Scenario files: which devices stand on which links, how they are built, and what happens to them when."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from simulators.acts_connection import ConnectionActs, FaultPart
from simulators.acts_door import DOOR_FACES, DoorActs
from simulators.acts_lane import LANE_FACES, CarParkPart, LaneActs, LanePart
from simulators.acts_lift import LIFT_FACES, LiftActs, LiftPart
from simulators.acts_light import LIGHT_FACES, LightActs
from simulators.acts_safety import SAFETY_FACES, SafetyActs
from simulators.controller import CAPACITY
from simulators.faults import Protocol, possible
from simulators.parts import Duration
from simulators.parts import Part as _Part
from sitekeeper.faults import Faults
from sitekeeper.located_yaml import read_document
from sitekeeper.model.errors import Fault as Mistake

MAX_DEVICES = 10_000

Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,47}$")]

_FAMILIES: Final = (LIFT_FACES, LANE_FACES, SAFETY_FACES, LIGHT_FACES, DOOR_FACES)
PROTOCOLS: Final = {face: kind for family in _FAMILIES for kind, faces in family.items() for face in faces}
"""The kind of link on which a device with this face stands."""
FACES: Final = {face: acts for family in _FAMILIES for faces in family.values() for face, acts in faces.items()}
"""What can happen to a device that shows itself so."""


WATCHERS: Final = frozenset({"mqtt-lpr", "mqtt-carpark"})
"""The faces of devices that see what happens in lanes."""


def _known(face: str) -> str:
    if face not in FACES:
        msg = f"a face is one of {', '.join(FACES)}"
        raise ValueError(msg)
    return face


class Act(LiftActs, DoorActs, LaneActs, LightActs, SafetyActs, ConnectionActs):
    """One thing that happens: to a lift, a luminaire, a door, a lane, a fire panel, or to the connection of any."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1 or not self.given()[0]:
            msg = f"exactly one of {', '.join(type(self).model_fields)}"
            raise ValueError(msg)
        return self

    def given(self) -> tuple[str, object]:
        """Return which act it is, and its particulars."""
        for name, value in self:
            if value is not None:
                return name, value
        return "", None


class Step(_Part):
    """Something happens at a time of the story."""

    at: Duration
    do: Act


class Device(_Part):
    """A unit on a Modbus link, an object of a BACnet device, or a controller's door on MQTT.

    `words` is a script of raw words behind the LMON map.

    Attributes:
        unit: its number on a Modbus link. object: its instance in a BACnet device.
        controller, door: of a door on MQTT: whose it is, a number itself, and which of its doors.
        slot: a circuit's channel of its relay panel, a gear's short address.
        lift, lane, carpark: how it is built, if it is one; a plate camera goes the way of its `lane`.
        watches: the lanes that a plate camera or a car park sees, in any link of the scenario.
        traffic: mean time between two people at a door, or two cars at a lane; None for nobody.
    """

    id: Id
    unit: int = Field(default=0, ge=0, le=255)
    object: int = Field(default=0, ge=0, le=4_194_302)
    face: Annotated[str, AfterValidator(_known)]
    controller: str = Field(default="", pattern=r"^[0-9]{1,10}$")
    door: int = Field(default=0, ge=0, le=4)
    slot: int = Field(default=0, ge=0, le=63)
    lift: LiftPart = LiftPart()
    lane: LanePart = LanePart()
    carpark: CarParkPart = CarParkPart()
    watches: tuple[Id, ...] = ()
    traffic: Duration | None = None
    story: tuple[Step, ...] = ()

    @property
    def protocol(self) -> Protocol:
        """The kind of link on which it can stand."""
        return PROTOCOLS[self.face]

    @property
    def place(self) -> tuple[str | int, ...]:
        """Where on its link it stands."""
        if self.protocol == "mqtt":
            return self.controller, self.door
        return (self.face, self.object) if self.protocol == "bacnet" else (self.unit,)

    @model_validator(mode="after")
    def _acts_fit(self) -> Self:
        wanted = {"bacnet": {"object"}, "mqtt": {"controller", "door"}, "modbus": {"unit"}}[self.protocol]
        if {"unit", "object", "controller", "door"} & self.model_fields_set != wanted:
            msg = f"a device with the face {self.face!r} has {' and '.join(map(repr, sorted(wanted)))}"
            raise ValueError(msg)
        if self.watches and self.face not in WATCHERS:
            msg = f"a device with the face {self.face!r} watches nothing"
            raise ValueError(msg)
        for step in self.story:
            name, part = step.do.given()
            if name not in FACES[self.face] | {"fault"}:
                msg = f"{name!r} is not for a device with the face {self.face!r}"
                raise ValueError(msg)
            known = possible(self.protocol, "device")
            if isinstance(part, FaultPart) and part.kind not in known | {"none"}:
                msg = f"the fault {str(part.kind)!r} is not for a device with the face {self.face!r}"
                raise ValueError(msg)
        return self


class Link(_Part):
    """A connection: a TCP port (0: a free one) and what answers behind it; or a BACnet device with its UDP port.

    On MQTT nothing answers: the doors' controllers are clients of the broker at `host` and `port`.

    Attributes:
        instance: of the BACnet device. cov: it tells changes to whoever subscribes.
        site, store: on MQTT, the word for the site in topics, and how many events a controller keeps.
        proxy: a byte proxy stands before it, on its port, so that faults of the way to it can happen.
        serial: where a serial adapter is found that leads to it, a path; `refuse` pulls it out. Frames are `rtu` then.
    """

    id: Id
    kind: Protocol = "modbus"
    instance: int = Field(default=1200, ge=0, le=4_194_302)
    cov: bool = False
    port: int = Field(default=0, ge=0, le=65535)
    framing: Literal["mbap", "rtu"] = "mbap"
    proxy: bool = False
    serial: str = ""
    host: str = "127.0.0.1"
    site: str = Field(default="s1", pattern=r"^[a-z0-9-]+$")
    store: int = Field(default=CAPACITY, ge=1, le=100_000)
    devices: tuple[Device, ...] = Field(max_length=MAX_DEVICES)
    story: tuple[Step, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len({device.place for device in self.devices}) != len(self.devices):
            msg = f"two devices of link {self.id} have the same unit or object, or are the same door"
            raise ValueError(msg)
        if self.serial and (self.kind, self.framing) != ("modbus", "rtu"):
            msg = f"link {self.id} is on a serial adapter: its kind is modbus and its framing rtu"
            raise ValueError(msg)
        families = {(device.controller, device.face) for device in self.devices if device.controller}
        if len({controller for controller, _ in families}) != len(families):
            msg = f"all devices of a controller of link {self.id} have the same face"
            raise ValueError(msg)
        strangers = [device.id for device in self.devices if device.protocol != self.kind]
        if strangers:
            msg = f"link {self.id} is {self.kind}: {strangers[0]} has a face of another protocol"
            raise ValueError(msg)
        known = possible(self.kind, "link", "way") if self.proxy else possible(self.kind, "link")
        for step in self.story:
            _, part = step.do.given()
            if not isinstance(part, FaultPart) or part.kind not in known | {"none"}:
                msg = f"only these faults can happen to this link: {', '.join(sorted(known))}"
                msg += "" if self.proxy else "; with `proxy: true` also those of the way to it"
                raise ValueError(msg)
        return self


class Scenario(_Part):
    """A whole file."""

    title: str
    seed: int = 1
    links: tuple[Link, ...]

    def at_broker(self, host: str, port: int) -> "Scenario":
        """Return the same with every MQTT link at this broker."""
        there = {"host": host, "port": port}
        links = tuple(link.model_copy(update=there) if link.kind == "mqtt" else link for link in self.links)
        return self.model_copy(update={"links": links})

    def devices(self) -> Iterator[Device]:
        for link in self.links:
            yield from link.devices

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        for names in ([link.id for link in self.links], [device.id for device in self.devices()]):
            if len(set(names)) != len(names):
                msg = f"an id is used twice: {', '.join(sorted(name for name in set(names) if names.count(name) > 1))}"
                raise ValueError(msg)
        seen = {lane for device in self.devices() for lane in device.watches}
        if unknown := sorted(seen - {device.id for device in self.devices() if device.face == "sp-barrier-1"}):
            msg = f"no lane is called {unknown[0]}"
            raise ValueError(msg)
        return self


def load(path: Path) -> Scenario:
    """Read a scenario file.

    Raises:
        ConfigError: it cannot be read or is not a scenario; every mistake with its place.
    """
    faults = Faults()
    document = read_document(path, str(path), faults)
    faults.stop_if_any()
    assert document is not None
    try:
        return Scenario.model_validate(document.data)
    except ValidationError as error:
        for mistake in error.errors():
            place = document.place(tuple(mistake["loc"]), key=mistake["type"] == "extra_forbidden")
            message = f"{'.'.join(str(part) for part in mistake['loc'])}: {mistake['msg']}".lstrip(": ")
            faults.put(Mistake(place.file, place.line, place.column, mistake["type"].replace("_", "-"), message))
        faults.stop_if_any()
        raise
