"""The small site in which the tests beside a rule run: one device of its class, and others where a test names them.

Every device has every point and event of its class but those under `without`, and can be written where its class
allows it. All are in one zone, on one link and behind one controller (`via`) unless the test says otherwise.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edge.rules.rule import DeviceSpec, Settings
from edge.rules.scope import GATEWAY, Far
from edge.rules.types import BOOL, BUILT_IN, Fields, Type
from sitekeeper.durations import parse_duration
from sitekeeper.model.clock import Micros
from sitekeeper.model.event import Event
from sitekeeper.model.point import ONLINE, Point, PointType
from sitekeeper.model.quality import GOOD, Reason, bad
from sitekeeper.model.sample import Sample, Value
from sitekeeper.profile import Writable

DEVICE: Final = "test-device"
_TYPES: Final[Mapping[str, PointType]] = {"bool": "bool", "number": "float", "enum": "enum", "text": "text"}
_OWN: Final = f"{GATEWAY}/"
_STEP: Final = frozenset({"at", "set", "bad", "stale", "restart", "event", "command", "late"})
_OTHER: Final = frozenset({"class", "zone", "link", "via", "tags", "asset", "without"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """What is known of every class: types of points, types of the fields of events, what may be written."""

    points: Mapping[str, Mapping[str, Type]]
    events: Mapping[str, Mapping[str, Fields]]
    writables: Mapping[str, Mapping[str, Writable]]


@dataclass(frozen=True, slots=True)
class Step:
    """One line of `steps`: what is heard at `at`, in this order: samples, then events."""

    at: Micros
    records: tuple[Sample | Event, ...]
    restart: bool


class Trial:
    """The devices of one test. Reading it raises KeyError, TypeError, ValueError or AttributeError as written ill."""

    def __init__(self, cls: str, test: Mapping[str, Any], classes: Classes, settings: Settings) -> None:
        self._classes = classes
        self._points: dict[str, Point] = {}
        own = {key: test[key] for key in ("tags", "asset", "without") if key in test}
        self.devices = [self._device(DEVICE, cls, own, test.get("kind", {}), settings)]
        for name, other in test.get("others", {}).items():
            _known(other, _OTHER)
            self.devices.append(self._device(name, str(other.get("class", cls)), other, {}, {}))
        if GATEWAY not in test.get("others", {}):
            self._add_gateway([name for step in test["steps"] for name in (*step.get("set", {}), *step.get("bad", ()))])
        self.steps = [self._step(step) for step in test["steps"]]

    def _device(
        self, name: str, cls: str, written: Mapping[str, Any], kinds: Mapping[str, Any], settings: Settings
    ) -> DeviceSpec:
        without = {*written.get("without", ())}
        types = {**self._classes.points[cls], ONLINE: BOOL}
        events = self._classes.events.get(cls, {})
        _known({*without, *kinds}, {*types, *events})
        points = {key: self._point(name, key, type_, kinds) for key, type_ in types.items() if key not in without}
        return DeviceSpec(
            id=name,
            cls=cls,
            points=points,
            settings=settings,
            events={key: fields for key, fields in events.items() if key not in without},
            writables={key: w for key, w in self._classes.writables.get(cls, {}).items() if key not in without},
            zone=str(written.get("zone", "test-zone")),
            link=str(written.get("link", "test-link")),
            via=str(written.get("via", "test-via")),
            tags=tuple(written.get("tags", ())),
            asset=dict(written.get("asset", {})),
        )

    def _add_gateway(self, named: Iterable[str]) -> None:
        """Let there be the gateway's own device, with those points that the steps speak of."""
        far = Far(self._classes.points, {})
        types = {str(name).partition("/")[2]: far.type(str(name)) for name in named if str(name).startswith(_OWN)}
        if types:
            points = {name: self._point(GATEWAY, name, type_, {}) for name, type_ in types.items() if type_ is not None}
            self.devices.append(DeviceSpec(id=GATEWAY, cls=GATEWAY, points=points))

    def _point(self, device: str, name: str, type_: Type, kinds: Mapping[str, Any]) -> Point:
        point = Point(
            handle=len(self._points),
            id=f"{device}/{name}",
            device=device,
            name=name,
            type=_TYPES[type_.base],
            group="",
            unit=type_.unit or "",
            members=type_.members,
            kind=kinds.get(name, ""),
        )
        self._points[point.id] = point
        return point

    def _step(self, step: Mapping[str, Any]) -> Step:
        _known(step, _STEP)
        at = parse_duration(step["at"])
        records: list[Sample | Event] = []
        if step.get("stale") is True:
            for point in self.devices[0].points.values():
                online = point.name == ONLINE
                records.append(
                    Sample(point.handle, at, False if online else None, GOOD if online else bad(Reason.STALE))
                )
        records += [Sample(self._find(name).handle, at, None, bad(Reason.STALE)) for name in step.get("bad", ())]
        for name, value in step.get("set", {}).items():
            point = self._find(name)
            if not _may_be(point, value):
                msg = f"unknown '{name}: {value}'"
                raise ValueError(msg)
            records.append(Sample(point.handle, at, value, GOOD))
        for name, fields in step.get("event", {}).items():
            records.append(self._event(name, fields, at, late=step.get("late") is True))
        if "command" in step:
            point = self._find(str(step["command"]))
            said = {"point": point.name, "outcome": "accepted"}
            records.append(Event(source_id=f"{point.device}/command", at=at, fields=dict(said)))
        return Step(at, tuple(records), step.get("restart") is True)

    def _event(self, name: str, fields: Mapping[str, Value], at: Micros, *, late: bool) -> Event:
        device, event = _split(name)
        spec = next(spec for spec in self.devices if spec.id == device)
        types = {**BUILT_IN, **spec.events}.get(event)
        if types is None:
            msg = f"unknown {name!r}"
            raise ValueError(msg)
        _known(fields, types)
        return Event(source_id=f"{device}/{event}", at=at, fields=dict(fields), late=late)

    def _find(self, name: str) -> Point:
        point = self._points.get("/".join(_split(name)))
        if point is None:
            msg = f"unknown {name!r}"
            raise ValueError(msg)
        return point


def _split(name: str) -> tuple[str, str]:
    """Return device and point or event of `door-1/mode`; without a device it is the rule's own."""
    device, _, inside = str(name).rpartition("/")
    return device or DEVICE, inside


def _known(found: Iterable[str], words: Iterable[str]) -> None:
    strange = sorted({*found} - {*words})
    if strange:
        msg = f"unknown {strange[0]!r}"
        raise ValueError(msg)


def _may_be(point: Point, value: Value) -> bool:
    if point.type == "enum":
        return value in point.members
    return isinstance(value, bool) == (point.type == "bool")
