"""Conditions over other devices: `any_of`, `all_of` and `count_of(scope, class, expr, tag='t')`.

The set is fixed when the site is loaded: the devices of the class in the scope (`site`, `zone`, `link`, `via` or
`group('name')`), with the tag if one is given. The rule's own device is among them if it is of that class. A device
without a zone shares none. A device that lacks a point which `expr` needs is left out, and listed.

Each device of a set decides `expr` once, however many rules ask, and tells only when its answer changed. Kleene:

    any_of    true if one is true, else unknown if one is unknown; of none: false
    all_of    false if one is false, else unknown if one is unknown; of none: true
    count_of  a number between those that are true and those that are not known to be false. A comparison is true or
              false as soon as it is that for all of these numbers; elsewhere it is unknown unless there is but one.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from edge.rules.nodes import FUNCTIONS, Input, Node
from edge.rules.rule import DeviceSpec, ParameterValue, Reach
from edge.rules.syntax import Call, Constant, Expression, Name
from sitekeeper.model.clock import Micros
from sitekeeper.model.sample import Value

SCOPES: Final = ("site", "zone", "link", "via")
SETS: Final = ("any_of", "all_of", "count_of")
GROUP: Final = "group"
ANY: Final = "any"
"""Every class, where alarms are suppressed."""
MEMBER: Final = "/?"
"""What stands in the key of a saved answer between device and question."""
_PLACE: Final = re.compile(r"\bat=\d+, ")
"""Where something stands in its text is no part of the question."""
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


@dataclass(frozen=True)
class MemberSpec:
    """One device of a set, and what it is asked. Equal questions to one device have one key."""

    device: DeviceSpec
    tree: Expression
    parameters: Mapping[str, ParameterValue]

    @cached_property
    def key(self) -> str:
        device = self.device
        used = [(name, value.words()) for name, value in sorted(self.parameters.items())]
        kinds = sorted((name, point.kind) for name, point in device.points.items())
        asked = _PLACE.sub("", repr(self.tree)) + repr(
            (used, kinds, sorted(device.events), device.tags, sorted(device.asset.items()))
        )
        return f"{device.id}{MEMBER}{hashlib.blake2b(asked.encode(), digest_size=8).hexdigest()}"


def reach_of(call: Call) -> tuple[Reach, Expression]:
    """Return whom a checked `any_of`, `all_of` or `count_of` asks, and what."""
    scope, cls, condition = call.arguments
    assert isinstance(cls, Name)
    tags = tuple(str(value.value) for _, value in call.named if isinstance(value, Constant))
    if isinstance(scope, Call):
        (group,) = scope.arguments
        assert isinstance(group, Constant)
        return Reach(f"{GROUP} {group.value}", cls.name, tags), condition
    assert isinstance(scope, Name)
    return Reach(scope.name, cls.name, tags), condition


class Around:
    """The devices of a site, and which of them are in a scope seen from one of them."""

    def __init__(self, devices: Sequence[DeviceSpec], groups: Mapping[str, Collection[str]]) -> None:
        self._devices = sorted(devices, key=lambda device: device.id)
        self._groups = groups
        self._found: dict[tuple[Reach, str], tuple[DeviceSpec, ...]] = {}

    def chosen(self, reach: Reach, device: DeviceSpec) -> tuple[DeviceSpec, ...]:
        """Return the devices that `reach` means for `device`, by id."""
        seen = {"self": device.id, "zone": device.zone, "link": device.link, "via": device.via}.get(reach.scope, "")
        key = (reach, seen)
        if key not in self._found:
            self._found[key] = tuple(
                other
                for other in self._devices
                if reach.cls in (other.cls, ANY)
                and {*reach.tags} <= {*other.tags}
                and self._inside(reach.scope, seen, other)
            )
        return self._found[key]

    def _inside(self, scope: str, seen: str, other: DeviceSpec) -> bool:
        match scope:
            case "site":
                return True
            case "self":
                return other.id == seen
            case "zone":
                return bool(seen) and other.zone == seen
            case "link":
                return bool(seen) and other.link == seen
            case "via":
                return bool(seen) and other.via == seen
        return other.id in self._groups.get(scope.removeprefix(f"{GROUP} "), ())


@dataclass(slots=True)
class Tally:
    """How many devices of a set say what. `moves` counts its changes."""

    true: int = 0
    false: int = 0
    unknown: int = 0
    moves: int = 0

    def move(self, before: Value, after: Value) -> None:
        """Note that one device of the set answers `after` instead of `before`."""
        for value, step in ((before, -1), (after, 1)):
            if value is None:
                self.unknown += step
            elif value:
                self.true += step
            else:
                self.false += step
        self.moves += 1


class Gathered(Input):
    """A tally as a node: its value is the number of moves, so that each of them wakes what reads it."""

    __slots__ = ("tally",)

    def __init__(self, name: str, tally: Tally) -> None:
        super().__init__(name)
        self.tally = tally
        self.value = 0


class AnyOf(Node):
    """True if one is true, else unknown if one is unknown."""

    __slots__ = ("tally",)

    def __init__(self, gathered: Gathered) -> None:
        super().__init__(gathered)
        self.tally = gathered.tally

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        return True if self.tally.true else None if self.tally.unknown else False


class AllOf(AnyOf):
    """False if one is false, else unknown if one is unknown."""

    __slots__ = ()

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        return False if self.tally.false else None if self.tally.unknown else True


class CountOf(AnyOf):
    """How many are true, if none is unknown."""

    __slots__ = ()

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        return None if self.tally.unknown else self.tally.true


class Compared(Node):
    """A count against a number: known as soon as no unknown device could change it."""

    __slots__ = ("sign", "tally")

    def __init__(self, sign: str, gathered: Gathered, other: Node, mirrored: bool) -> None:
        super().__init__(gathered, other)
        self.tally = gathered.tally
        self.sign = _MIRRORED[sign] if mirrored else sign

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        other = self.children[1].value
        if not isinstance(other, int | float):
            return None
        low, high = self.tally.true, self.tally.true + self.tally.unknown
        if self.sign in {"==", "!="}:
            equal = None if low <= other <= high and low < high else low == other
            return equal if equal is None or self.sign == "==" else not equal
        compare = FUNCTIONS[self.sign]
        at_low, at_high = compare(low, other), compare(high, other)
        return at_low if at_low == at_high else None
