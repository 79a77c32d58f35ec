"""What a rule does while its condition holds: `do:`, `forbid:` and `suppress:`.

    do: {each: [zone, access], tags: [perimeter], write: {mode: free}, priority: 1, until: clear}
    forbid: {each: [zone, lighting], until: clear}                 nothing is written to these, whoever asks
    suppress: {each: [site, access], rules: [A01, A02], until: reset}        their alarms are recorded, and not shown
    suppress: {each: [link, any], offline: true, until: clear}               those that say that a device is not heard

`each` is a scope (`self`, `site`, `zone`, `link`, `via` or the name of a group) and a class; `tags` narrow it. Every
device that has all the points written to, and whose driver can write them, is claimed from `raise` to `clear`; with
`until: reset` to the reset of the rule's latched alarm, with `for: 30min` no longer than that, and with `stagger: 2s`
given up one after another. The others are listed. A point that acts once cannot be claimed. Whether and when something
is written is the business of `edge/commands`, and what is shown that of `edge/alarms`; here it is only decided what is
wanted.
"""

from collections.abc import Collection, Mapping
from typing import Final

from edge.rules.places import note
from edge.rules.rule import DeviceSpec, Linkage, Reach, RuleText, Suppress, Until
from edge.rules.sets import ANY, GROUP, SCOPES
from edge.rules.syntax import Call, Constant, Expression, Junction, Unary
from edge.rules.types import Type, common, type_of_value
from sitekeeper.durations import parse_duration
from sitekeeper.faults import Faults, nearest
from sitekeeper.located_yaml import Plain
from sitekeeper.model.clock import Micros
from sitekeeper.model.command import DEFAULT, LIFE_SAFETY, Write
from sitekeeper.model.sample import Value
from sitekeeper.profile import Writable

SELF: Final = "self"
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "do": ("each", "tags", "write", "priority", "until", "stagger", "for"),
    "forbid": ("each", "tags", "until"),
    "suppress": ("each", "tags", "rules", "offline", "until", "documented"),
}


class Linkages:
    """Reads the sections of one rule that reach out to devices. Each is None if there is none or one with a fault."""

    def __init__(
        self, text: RuleText, classes: Mapping[str, Mapping[str, Type]], groups: Collection[str] | None, faults: Faults
    ) -> None:
        self._text = text
        self._classes = classes
        self._groups = groups
        self._faults = faults

    def do(self) -> Linkage | None:
        """Return what the rule writes."""
        if (reader := self._reader("do", ("clear", "reset"))) is None:
            return None
        priority = reader.written.get("priority")
        if not isinstance(priority, int) or isinstance(priority, bool) or not LIFE_SAFETY <= priority <= DEFAULT:
            note(self._faults, self._text.place("do", "priority"), "bad-command-priority", found=priority)
            return None
        if (reach := reader.reach()) is None:
            return None
        writes = reader.writes(self._classes[reach.cls])
        return Linkage(reach, writes, priority, reader.until, reader.duration("stagger"), reader.duration("for"))

    def forbid(self) -> Reach | None:
        """Return the devices to which nothing is written."""
        reader = self._reader("forbid", ("clear",))
        return None if reader is None else reader.reach()

    def suppress(self) -> Suppress | None:
        """Return the alarms that are not shown; it says either their rules or that it means those of silence."""
        if (reader := self._reader("suppress", ("clear", "reset"))) is None or (reach := reader.reach()) is None:
            return None
        rules, offline = reader.written.get("rules", []), reader.written.get("offline", False)
        if not isinstance(rules, list) or not isinstance(offline, bool) or bool(rules) == offline:
            note(self._faults, self._text.place("suppress"), "bad-suppress")
            return None
        documented = str(reader.written.get("documented", ""))
        return Suppress(reach, tuple(map(str, rules)), offline, reader.until, documented)

    def _reader(self, section: str, untils: tuple[Until, ...]) -> "_Reader | None":
        if section not in self._text.mapping:
            return None
        written = self._text.mapping[section]
        if not isinstance(written, dict):
            note(self._faults, self._text.place(section), "bad-section", what=section)
            return None
        named = {str(key): value for key, value in written.items()}
        reader = _Reader(self._text, section, named, self._classes, self._groups, self._faults)
        reader.check(untils)
        return reader


class _Reader:
    """One section."""

    def __init__(
        self,
        text: RuleText,
        section: str,
        written: Mapping[str, Plain],
        classes: Mapping[str, Mapping[str, Type]],
        groups: Collection[str] | None,
        faults: Faults,
    ) -> None:
        self._text = text
        self._section = section
        self.written = written
        self._classes = classes
        self._groups = groups
        self._faults = faults

    @property
    def until(self) -> Until:
        return "reset" if self.written.get("until") == "reset" else "clear"

    def check(self, untils: tuple[Until, ...]) -> None:
        keys = _KEYS[self._section]
        for key in self.written:
            if key not in keys:
                place = self._text.place(self._section, key, key=True)
                note(self._faults, place, "unknown-key", near=nearest(key, keys), what=f"{self._section}.{key}")
        until = self.written.get("until")
        if until not in untils:
            note(self._faults, self._text.place(self._section, "until"), "bad-until", known=" | ".join(untils))
        elif until == "reset" and self._text.mapping.get("latch") is not True:
            note(self._faults, self._text.place(self._section, "until"), "until-reset-needs-latch")

    def duration(self, key: str) -> Micros:
        """Return a duration, 0 if it is not written."""
        return read_duration(self._text, self.written.get(key), self._faults, self._section, key)

    def reach(self) -> Reach | None:
        each, tags = self.written.get("each"), self.written.get("tags", [])
        if not isinstance(each, list) or len(each) != 2 or not isinstance(tags, list):
            note(self._faults, self._text.place(self._section, "each"), "bad-each")
            return None
        scope, cls = map(str, each)
        known = {*self._classes, ANY} if self._section == "suppress" else {*self._classes}
        if cls not in known:
            near = nearest(cls, known)
            note(self._faults, self._text.place(self._section, "each", 1), "unknown-class", near=near, name=cls)
            return None
        if scope not in (*SCOPES, SELF):
            if self._groups is not None and scope not in self._groups:
                near = nearest(scope, (*SCOPES, SELF, *self._groups))
                note(self._faults, self._text.place(self._section, "each", 0), "unknown-group", near=near, name=scope)
            scope = f"{GROUP} {scope}"
        return Reach(scope, cls, tuple(map(str, tags)))

    def writes(self, points: Mapping[str, Type]) -> tuple[tuple[str, Value], ...]:
        write = self.written.get("write")
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


def read_duration(text: RuleText, value: Plain, faults: Faults, *path: str) -> Micros:
    """Return the duration written at `path` of a rule, 0 if there is none."""
    if value is None:
        return 0
    try:
        return parse_duration(str(value))
    except ValueError as error:
        note(faults, text.place(*path), "duration", why=error)
        return 0


def _type(value: bool | float | str) -> Type:
    return type_of_value(value, "bool" if isinstance(value, bool) else "text" if isinstance(value, str) else "number")


def never(tree: Expression, tags: Collection[str]) -> bool:
    """Tell whether a condition cannot hold on a device with these tags, as far as `tagged` alone decides it."""
    return _decided(tree, tags) is False


def _decided(tree: Expression, tags: Collection[str]) -> bool | None:
    match tree:
        case Call(name="tagged", arguments=(Constant(value=tag),)):
            return tag in tags
        case Unary(operator="not", operand=operand):
            inner = _decided(operand, tags)
            return None if inner is None else not inner
        case Junction(operator=operator, terms=terms):
            found = {_decided(term, tags) for term in terms}
            winner = operator == "or"
            return winner if winner in found else None if None in found else not winner
    return None


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
