"""What kind of value an expression has, and whether two may meet: units, members of enumerations, constants."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from sitekeeper.model.command import Outcome
from sitekeeper.model.point import PointType

Base = Literal["bool", "number", "text", "enum", "duration", "event", "device"]


@dataclass(frozen=True, slots=True)
class Type:
    """The type of an expression.

    Attributes:
        unit: of a number; None for a number written down, which takes the unit of what it meets.
        members: every word of an enumeration, or every text that a choice of written texts can be; empty for free text.
    """

    base: Base
    unit: str | None = None
    members: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.base == "number":
            return f"number in {self.unit}" if self.unit else "number"
        if self.base == "enum" or (self.base == "text" and self.members):
            return f"one of {', '.join(map(repr, self.members))}"
        return {"bool": "condition", "event": "event"}.get(self.base, self.base)


BOOL: Final = Type("bool")
DURATION: Final = Type("duration")
EVENT: Final = Type("event")
TEXT: Final = Type("text")
DEVICE: Final = Type("device")
COUNT: Final = Type("number", "")
SECONDS: Final = Type("number", "s")

Fields = Mapping[str, Type]
"""Types of the fields of an event."""

BUILT_IN: Final[Mapping[str, Fields]] = {
    "command": {
        "id": TEXT,
        "point": TEXT,
        "value": TEXT,
        "priority": COUNT,
        "by": TEXT,
        "outcome": Type("enum", members=get_args(Outcome)),
        "reason": TEXT,
    },
    "audit_gap": {"counter": TEXT, "from": COUNT, "to": COUNT, "restarted": BOOL},
}
"""Events that the gateway itself tells of every device: what came of a command, and events that are missing."""

_BASES: Final[dict[PointType, Base]] = {
    "bool": "bool",
    "int": "number",
    "float": "number",
    "enum": "enum",
    "text": "text",
}


def type_of(kind: PointType, unit: str, members: tuple[str, ...]) -> Type:
    """Return the type of a point."""
    base = _BASES[kind]
    return Type(base, unit if base == "number" else None, members if base == "enum" else ())


def type_of_value(value: object, base: str) -> Type:
    """Return the type of a value written down."""
    if base == "text":
        return Type("text", members=(str(value),))
    return {"bool": BOOL, "duration": DURATION}.get(base, Type("number"))


def common(left: Type, right: Type) -> Type | None:
    """Return the type that holds both, or None if they may not meet."""
    if left.base == right.base == "number":
        return _common_unit(left, right)
    if left.base == right.base == "enum":
        return left if set(left.members) == set(right.members) else None
    if left.base == right.base == "text":
        both = tuple(dict.fromkeys(left.members + right.members))
        return Type("text", members=both if left.members and right.members else ())
    if left.base == "enum" and right.base == "text":
        return left if not strangers(left, right) else None
    if left.base == "text" and right.base == "enum":
        return common(right, left)
    return left if left.base == right.base else None


def strangers(enum: Type, text: Type) -> tuple[str, ...]:
    """Return the texts that are no member of the enumeration; free text counts as one."""
    return tuple(word for word in text.members or ("?",) if word not in enum.members)


def _common_unit(left: Type, right: Type) -> Type | None:
    if left.unit is None or right.unit is None:
        return right if left.unit is None else left
    return left if left.unit == right.unit else None
