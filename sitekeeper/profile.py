"""Device types as data: what a class file and a profile may say, and what a profile's points come to mean.

A class (`config/classes/lift.yaml`) gives the standard points that rules are written against. A profile
(`config/profiles/sp-lift-1.yaml`) says where one make of device keeps them. The keys of a profile's point that are
not here belong to the driver, which has a model of its own for them.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from sitekeeper.durations import parse_duration, parse_size
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.point import ONLINE, PointType

NAME_LIMIT: Final = 200
EXPRESSION_LIMIT: Final = 2000


class Written(BaseModel):
    """Base of everything that people write: no unknown keys, no conversion between types, never changed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, validate_by_name=False)


def _duration(value: object) -> Micros:
    if not isinstance(value, str):
        raise PydanticCustomError("bad-duration", "a number and a unit, for example 15s")
    try:
        return parse_duration(value)
    except ValueError as error:
        raise PydanticCustomError("bad-duration", "{reason}", {"reason": str(error)}) from error


def _some_time(value: Micros) -> Micros:
    if value <= 0:
        raise PydanticCustomError("bad-duration", "longer than nothing")
    return value


def _size(value: object) -> int:
    try:
        return parse_size(value if isinstance(value, str) else str(value))
    except ValueError as error:
        raise PydanticCustomError("bad-size", "{reason}", {"reason": str(error)}) from error


def _own_name(value: str) -> str:
    if value == ONLINE:
        raise PydanticCustomError("reserved-name", "built in")
    return value


Duration = Annotated[
    int,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(ms|s|min|h|d)$", "examples": ["500ms", "15s"]}),
]
"""`500ms`, `15s`, `3min`, `2h`, `7d`; becomes microseconds."""

Period = Annotated[Duration, AfterValidator(_some_time)]
"""A duration above zero."""

Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]+ ?(kB|MB|GB|TB)$", "examples": ["64MB"]}),
]
"""`64MB`, `4GB`; becomes bytes."""

Id = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$")]
"""Name of a site, link, device, class, zone or tag: small letters, digits and inner hyphens, at most 64 characters."""

ProfileId = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?(@[1-9][0-9]{0,3})?$")]
"""Name of a profile; `@2` when the map of the same device changed."""

PointName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}(\.[a-z][a-z0-9_]{0,63})*$"), AfterValidator(_own_name)]
"""Name of a point, as the rule language reads it."""

Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
"""Member of an enumeration."""

Text = Annotated[str, Field(min_length=1, max_length=NAME_LIMIT)]
NamesByLanguage = dict[Literal["en", "zh-Hant", "zh-Hans"], Text]
Evidence = Annotated[str, Field(pattern=r"^(captured|designed|manual \(.{1,180}\))$")]
"""Where a map comes from: `captured`, `designed`, or `manual (document, page)`."""

Parameters = dict[str, bool | int | float | str]
"""Parameters of one rule, as written; the rule that declares them gives them types."""


class Meaning(Written):
    """What a point is, without where it is: type, unit (as written after a number), words of an enumeration, name."""

    type: PointType
    unit: Annotated[str, Field(max_length=16)] = ""
    members: list[Word] = []
    name: NamesByLanguage = {}

    @model_validator(mode="after")
    def _members_fit(self) -> "Meaning":
        if (self.type == "enum") != bool(self.members):
            raise PydanticCustomError("members", "an enum has members, and nothing else has")
        if len(set(self.members)) != len(self.members):
            raise PydanticCustomError("members", "a member is listed twice")
        return self


class ClassPoint(Meaning):
    """A standard point of a class. A profile must name one of `kind`; only what is `writable` may ever be written."""

    required: bool = False
    writable: bool = False
    kind: list[Literal["presence", "motion"]] = []


class ClassFile(Written):
    """A device class."""

    class_: Id = Field(alias="class")
    name: NamesByLanguage = {}
    points: dict[PointName, ClassPoint]


class ProfilePoint(Written):
    """One point of a profile, without the keys that belong to the driver (they are in `model_extra`).

    Attributes:
        own: its meaning, where the class has no such point.
        unit: repeats the class's unit beside the scale, and must equal it.
        kind: for a point whose class asks for it.
        scan: how often it is read. deadband: smallest change that is a change, in the point's unit.
        derive: an expression of the rule language instead of an address.
    """

    model_config = ConfigDict(extra="allow")

    own: Meaning | None = None
    unit: str | None = None
    kind: Literal["", "presence", "motion"] = ""
    scan: Period = SECOND
    deadband: Annotated[float, Field(ge=0)] = 0.0
    name: NamesByLanguage = {}
    derive: Annotated[str, Field(min_length=1, max_length=EXPRESSION_LIMIT)] | None = None


class HeartbeatRule(Written):
    """A counter of the device that must keep moving, or everything read from it is stale."""

    point: PointName
    within: Period


class ProfileFile(Written):
    """A profile: a class's points on one make of device.

    Attributes:
        device: defaults for the driver's keys of a device, for example `{unit: 247}`.
        rules: parameters of rules, by rule and parameter.
    """

    profile: ProfileId
    class_: Id = Field(alias="class")
    evidence: Evidence
    name: NamesByLanguage = {}
    device: dict[str, Any] = {}
    points: dict[PointName, ProfilePoint]
    heartbeat: HeartbeatRule | None = None
    rules: dict[str, Parameters] = {}
