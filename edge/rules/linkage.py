"""What a rule does while its condition holds: `do:`.

    do: {each: [zone, access], tags: [perimeter], write: {mode: free}, priority: 1, until: clear}

`each` is a scope (`self`, `site`, `zone`, `link` or the name of a group) and a class; `tags` narrow it. Every device
that has all the points written to, and whose driver can write them, is claimed from `raise` to `clear`; the others are
listed. A point that acts once cannot be claimed. Whether and when something is written is the business of
`edge/commands`; here it is only decided what is wanted.
"""

from collections.abc import Collection, Mapping
from typing import Final

from edge.rules.places import note
from edge.rules.rule import DeviceSpec, Linkage, Reach, RuleText
from edge.rules.sets import GROUP, SCOPES
from edge.rules.types import Type, common, type_of_value
from sitekeeper.faults import Faults, nearest
from sitekeeper.located_yaml import Plain
from sitekeeper.model.command import DEFAULT, LIFE_SAFETY, Write
from sitekeeper.model.sample import Value
from sitekeeper.profile import Writable

_KEYS: Final = ("each", "tags", "write", "priority", "until")


def read_linkage(
    text: RuleText, classes: Mapping[str, Mapping[str, Type]], groups: Collection[str] | None, faults: Faults
) -> Linkage | None:
    """Return the `do:` of a rule, None if it has none or one with a fault, which is then among `faults`."""
    if "do" not in text.mapping:
        return None
    written = text.mapping["do"]
    if not isinstance(written, dict):
        note(faults, text.place("do"), "bad-section", what="do")
        return None
    return _Reader(text, {str(key): value for key, value in written.items()}, classes, groups, faults).linkage()


class _Reader:
    def __init__(
        self,
        text: RuleText,
        written: Mapping[str, Plain],
        classes: Mapping[str, Mapping[str, Type]],
        groups: Collection[str] | None,
        faults: Faults,
    ) -> None:
        self._text = text
        self._written = written
        self._classes = classes
        self._groups = groups
        self._faults = faults

    def linkage(self) -> Linkage | None:
        for key in self._written:
            if key not in _KEYS:
                place = self._text.place("do", key, key=True)
                note(self._faults, place, "unknown-key", near=nearest(key, _KEYS), what=f"do.{key}")
        if self._written.get("until") != "clear":
            note(self._faults, self._text.place("do", "until"), "bad-until")
        priority = self._written.get("priority")
        if not isinstance(priority, int) or isinstance(priority, bool) or not LIFE_SAFETY <= priority <= DEFAULT:
            note(self._faults, self._text.place("do", "priority"), "bad-command-priority", found=priority)
            return None
        reach = self._reach()
        return None if reach is None else Linkage(reach, self._writes(self._classes[reach.cls]), priority)

    def _reach(self) -> Reach | None:
        each, tags = self._written.get("each"), self._written.get("tags", [])
        if not isinstance(each, list) or len(each) != 2 or not isinstance(tags, list):
            note(self._faults, self._text.place("do", "each"), "bad-each")
            return None
        scope, cls = map(str, each)
        if cls not in self._classes:
            near = nearest(cls, self._classes)
            note(self._faults, self._text.place("do", "each", 1), "unknown-class", near=near, name=cls)
            return None
        if scope not in (*SCOPES, "self"):
            if self._groups is not None and scope not in self._groups:
                near = nearest(scope, (*SCOPES, "self", *self._groups))
                note(self._faults, self._text.place("do", "each", 0), "unknown-group", near=near, name=scope)
            scope = f"{GROUP} {scope}"
        return Reach(scope, cls, tuple(map(str, tags)))

    def _writes(self, points: Mapping[str, Type]) -> tuple[tuple[str, Value], ...]:
        write = self._written.get("write")
        if not isinstance(write, dict) or not write:
            note(self._faults, self._text.place("do", "write"), "bad-section", what="write")
            return ()
        found: list[tuple[str, Value]] = []
        for name, value in write.items():
            place = self._text.place("do", "write", str(name))
            if str(name) not in points:
                note(self._faults, place, "unknown-name", near=nearest(str(name), points), name=name)
            elif not isinstance(value, bool | int | float | str) or common(points[str(name)], _type(value)) is None:
                note(self._faults, place, "bad-write", value=value, point=name)
            else:
                found.append((str(name), value))
        return tuple(found)


def _type(value: bool | float | str) -> Type:
    return type_of_value(value, "bool" if isinstance(value, bool) else "text" if isinstance(value, str) else "number")


def check_writable(linkage: Linkage, devices: Collection[DeviceSpec], text: RuleText, faults: Faults) -> None:
    """Note what the class does not allow a rule to write; once, however many devices of the class there are."""
    told: set[tuple[str, str]] = set()
    for device in devices:
        for point, value in linkage.write:
            writable = device.writables.get(point)
            why = "" if writable is None else _refusal(writable, value)
            if why and (point, why) not in told:
                told.add((point, why))
                note(faults, text.place("do", "write", point), f"write-{why}", point=point, value=value)


def _refusal(writable: Writable, value: Value) -> str:
    """Return why a rule may not hold this value; empty if it may."""
    if "linkage" not in writable.by:
        return "role"
    if writable.pulse:
        return "pulse"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    low, high = writable.range or (float("-inf"), float("inf"))
    if number and not low <= float(value or 0) <= high:
        return "value"
    allowed = not writable.values or any(value == v and type(value) is type(v) for v in writable.values)
    return "" if allowed else "value"


def wanted(linkage: Linkage, devices: Collection[DeviceSpec]) -> tuple[tuple[Write, ...], tuple[tuple[str, str], ...]]:
    """Return what is written where, and (device, point) of the devices that lack a point or cannot write it."""
    writes: list[Write] = []
    without: list[tuple[str, str]] = []
    for device in devices:
        lacking = [point for point, _ in linkage.write if point not in device.writables]
        if lacking:
            without.append((device.id, lacking[0]))
        else:
            writes += [Write(device.id, point, value, linkage.priority) for point, value in linkage.write]
    return tuple(writes), tuple(without)
