"""Scenario files: which devices stand on which links, how they are built, and what happens to them when."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from simulators.barrier import Deed as BoomDeed
from simulators.controller import CAPACITY
from simulators.faults import Fault, FaultKind, Protocol, possible
from simulators.fire import Deed as PanelDeed
from simulators.lift import LiftSettings
from simulators.parts import ControllerDeed, Crowd, Deny, Duration, Grant, Passage
from simulators.parts import Part as _Part
from sitekeeper.faults import Faults
from sitekeeper.located_yaml import read_document
from sitekeeper.model.errors import Fault as Mistake

MAX_DEVICES = 10_000


Word = Annotated[int, Field(ge=0, le=0xFFFF)]
Floor = Annotated[int, Field(ge=-31, le=200)]
Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,47}$")]


class LiftPart(_Part):
    """How the lift is built; see `LiftSettings`."""

    floors: int = Field(default=12, ge=1, le=200)
    basements: int = Field(default=0, ge=0, le=30)
    start_floor: Floor = 1
    rated_speed: float = Field(default=1.6, gt=0, le=20)
    acceleration: float = Field(default=0.8, gt=0, le=3)
    floor_height: float = Field(default=3.0, ge=1, le=500)
    rated_load: int = Field(default=1000, ge=100)
    traffic: Duration | None = None

    def settings(self) -> LiftSettings:
        return LiftSettings(**self.model_dump())

    @model_validator(mode="after")
    def _floor_exists(self) -> Self:
        if not (-self.basements <= self.start_floor <= self.floors and self.start_floor):
            msg = f"start_floor {self.start_floor}: this lift has floors {-self.basements or 1} to {self.floors}, no 0"
            raise ValueError(msg)
        return self


class Stick(_Part):
    """Get stuck between two floors; `people` inside, or whoever happens to be."""

    people: int | None = Field(default=None, ge=0, le=30)


class Travel(_Part):
    """Run to a floor."""

    to: Floor


class Arrive(_Part):
    """People come to a landing and want to go to another."""

    origin: Floor = Field(alias="from")
    to: Floor
    people: int = Field(default=1, ge=1, le=30)


class LanePart(_Part):
    """How a parking lane is built: which way cars go, and after what time the boom closes by itself (0: never)."""

    way: Literal["in", "out"] = "in"
    auto_close: int = Field(default=5, ge=0, le=600)


class SensorPart(_Part):
    """A loop or the photocell of a lane: stands as if occupied, is faulty, or works again."""

    name: Literal["arrival", "safety", "exit", "photocell"]
    state: Literal["works", "occupied", "fault"]


class SmokePart(_Part):
    """Smoke at a detector: thin smoke is a pre-alarm, dense smoke an alarm of its zone."""

    zone: int = Field(ge=1, le=8)
    density: Literal["none", "thin", "dense"] = "dense"


class LinePart(_Part):
    """The supervised line of an input of the panel's module: broken, or whole again."""

    input: int = Field(ge=0, le=15)
    broken: bool = True


class PulsePart(_Part):
    """Pulses at an input of the panel's module."""

    input: int = Field(ge=0, le=15)
    count: int = Field(default=1, ge=1, le=65535)


class FaultPart(_Part):
    """A fault of the connection; `for` is how long, else until another step ends it with `kind: none`."""

    kind: FaultKind | Literal["none"]
    lasts: Duration | None = Field(default=None, alias="for")
    delay: Duration | None = None
    count: int | None = Field(default=None, ge=0, le=1500)
    property: str | None = Field(default=None, pattern=r"^[a-z][A-Za-z]*$")
    code: int | None = Field(default=None, ge=0, le=255)
    times: int | None = Field(default=None, ge=1)

    def fault(self) -> Fault | None:
        """Return the fault to switch on; None to switch off."""
        if self.kind == "none":
            return None
        given = self.model_dump(include={"delay", "count", "code", "times", "property"}, exclude_none=True)
        return Fault(kind=FaultKind(self.kind), **given)


class Act(_Part):
    """One thing that happens: to a lift, a luminaire, a door, a lane, a fire panel, or to the connection of any."""

    level: float | None = Field(default=None, ge=0, le=100)
    lamp: Literal["none", "lamp", "gear"] | None = None
    enter: Duration | None = None
    door: Literal["force", "shut", "free", "lock", "fire", "fire over"] | None = None
    grant: Grant | None = None
    deny: Deny | None = None
    rex: Passage | None = None
    crowd: Crowd | None = None
    hold: Duration | None = None
    controller: ControllerDeed | None = None
    stuck_outside_zone: Stick | None = None
    release: bool | None = None
    travel: Travel | None = None
    people: Arrive | None = None
    mains: Literal["failed", "restored"] | None = None
    inspection: bool | None = None
    alarm_button: Duration | None = None
    hold_door: Duration | None = None
    force_door: Literal["open", "closed"] | None = None
    fact: str | None = None
    words: dict[int, Word] | None = None
    cars: int | None = Field(default=None, ge=1, le=50)
    boom: BoomDeed | None = None
    sensor: SensorPart | None = None
    smoke: SmokePart | None = None
    panel: PanelDeed | None = None
    line: LinePart | None = None
    pulses: PulsePart | None = None
    fault: FaultPart | None = None

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


LIFT_ACTS = frozenset(
    {
        "stuck_outside_zone", "release", "travel", "people", "mains", "inspection", "alarm_button", "hold_door",
        "force_door", "fact",
    }
)  # fmt: skip


class Step(_Part):
    """Something happens at a time of the story."""

    at: Duration
    do: Act


FACES: dict[str, frozenset[str]] = {
    "sp-lift-1": LIFT_ACTS,
    "lmon": LIFT_ACTS,
    "words": frozenset({"words", "fact"}),
    "sp-barrier-1": frozenset({"cars", "boom", "sensor", "mains"}),
    "sp-io-16": frozenset({"smoke", "panel", "line", "pulses", "mains"}),
    "bacnet-lift": LIFT_ACTS,
    "lighting-output": frozenset({"level", "lamp"}),
    "access-door": frozenset({"enter", "door", "hold"}),
    "mqtt-door": frozenset({"enter", "door", "hold", "grant", "deny", "rex", "crowd", "controller"}),
}
"""What can happen to a device that shows itself so."""


class Device(_Part):
    """A unit on a Modbus link, an object of a BACnet device, or a controller's door on MQTT.

    `words` is a script of raw words behind the LMON map.

    Attributes:
        unit: its number on a Modbus link. object: its instance in a BACnet device.
        controller, door: of a door on MQTT: whose it is, a number itself, and which of its doors.
        lift, lane: how it is built, if it is one.
        traffic: mean time between two people at a door, or two cars at a lane; None for nobody.
    """

    id: Id
    unit: int = Field(default=0, ge=0, le=255)
    object: int = Field(default=0, ge=0, le=4_194_302)
    face: Literal[
        "sp-lift-1",
        "lmon",
        "words",
        "sp-barrier-1",
        "sp-io-16",
        "bacnet-lift",
        "lighting-output",
        "access-door",
        "mqtt-door",
    ]
    controller: str = Field(default="", pattern=r"^[0-9]{1,10}$")
    door: int = Field(default=0, ge=0, le=4)
    lift: LiftPart = LiftPart()
    lane: LanePart = LanePart()
    traffic: Duration | None = None
    story: tuple[Step, ...] = ()

    @property
    def protocol(self) -> Protocol:
        """The kind of link on which it can stand."""
        if self.face in {"bacnet-lift", "lighting-output", "access-door"}:
            return "bacnet"
        return "mqtt" if self.face == "mqtt-door" else "modbus"

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
        instance: of the BACnet device.
        site, store: on MQTT, the word for the site in topics, and how many events a controller keeps.
        proxy: a byte proxy stands before it, on its port, so that faults of the way to it can happen.
    """

    id: Id
    kind: Protocol = "modbus"
    instance: int = Field(default=1200, ge=0, le=4_194_302)
    port: int = Field(default=0, ge=0, le=65535)
    framing: Literal["mbap", "rtu"] = "mbap"
    proxy: bool = False
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
