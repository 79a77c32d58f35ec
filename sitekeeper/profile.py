"""Device types as data: what a class file and a profile may say, and what a profile's points come to mean.

A class (`config/classes/lift.yaml`) gives the standard points that rules are written against. A profile
(`config/profiles/sp-lift-1.yaml`) says where one make of device keeps them. The keys of a profile's point that are
not here belong to the driver, which has a model of its own for them.
"""

from collections.abc import Iterable, Mapping
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


def true_and_false(value: object) -> object:
    """Accept the keys true and false only, both, however the reader of the file spelt them; a pydantic validator."""
    if not isinstance(value, Mapping):
        return value
    spelt: dict[object, bool] = {True: True, False: False, "true": True, "false": False}
    keys = [spelt.get(key) for key in value]
    if None in keys or sorted(map(bool, keys)) != [False, True]:
        raise ValueError("needs exactly the keys true and false, each with its raw value")
    return dict(zip(keys, value.values(), strict=True))


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


class Evidence(Written):
    """Where a map comes from and how far it can be trusted; for `designed` alone its name will do.

    Attributes:
        level: `designed` by us, `documented` by its maker or a standard, `simulated` by an implementation that is not
            ours, or read in the `field`.
        maker, model: of the device; a standard that many makers follow has neither, and nor has what we designed.
        document, version, place: what says so, and where in it.
        against: with which implementation, or where and on which firmware, it was tried.
        left_out: what of the device the profile does not reach, and why.
    """

    level: Literal["designed", "documented", "simulated", "field"]
    maker: Text | None = None
    model: Text | None = None
    document: Text | None = None
    version: Text | None = None
    place: Text | None = None
    against: Text | None = None
    left_out: list[Text] = []

    @model_validator(mode="after")
    def _whole(self) -> "Evidence":
        ours, tried = self.level == "designed", self.level in {"simulated", "field"}
        where, whose = (self.document, self.place), (self.maker, self.model)
        if (None in where and not ours) or (any(whose) and ours) or (None in whose and any(whose)):
            raise PydanticCustomError("evidence-source", "document and place, maker and model go together")
        if tried != (self.against is not None):
            raise PydanticCustomError("evidence-against", "against: goes with simulated and field alone")
        return self


def _by_level(value: object) -> object:
    return {"level": value} if value == "designed" else value


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


def _by_text(value: object) -> object:
    """Spell keys that were written as true, false or a number as text."""
    return {value_text(key): readings for key, readings in value.items()} if isinstance(value, dict) else value


def value_text(value: object) -> str:
    """Return a value as it stands in `Confirm.values`: `true`, `free`, `20`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


Scalar = bool | int | float | str


class Confirm(Written):
    """By which point a write shows its effect, and which of its values prove which value written.

    Attributes:
        values: by the written value as text (`true`, `free`): the readings that confirm it. A value that is not listed
            is confirmed by the point written, when that itself reads so; without any list, by `point` reading the same.
        readings: those that confirm whatever was written, for example how long a lock is to be open.
    """

    point: PointName
    readings: list[Scalar] = []
    values: Annotated[dict[str, Annotated[list[Scalar], Field(min_length=1)]], BeforeValidator(_by_text)] = {}


Range = Annotated[list[float], Field(min_length=2, max_length=2)]
"""Lowest and highest number, both allowed."""


class Allowed(Written):
    """Which values of a point may be written: those in `values`, or if it is empty any of the type, within `range`."""

    values: list[Scalar] = []
    range: Range | None = None


class Narrower(Allowed):
    """The fewer values that a device with a certain tag allows."""

    @model_validator(mode="after")
    def _says_something(self) -> "Narrower":
        if not self.values and self.range is None:
            raise PydanticCustomError("no-limit", "values or a range")
        return self


class OffMost(Written):
    """On a device with one of these tags a person switches off for so long at most."""

    tags: Annotated[list[Id], Field(min_length=1)]
    for_: Period = Field(alias="for")


class Warn(Written):
    """How people are warned before a light goes off: it blinks, and stays for so long.

    `value` is what has gear blink that can do so by itself, where the protocol knows priorities (BACnet Lighting
    Output, ANSI/ASHRAE 135-2020, 12.54: -1 is to warn); elsewhere the light is off for a moment.
    """

    value: float | None = None
    for_: Period = Field(alias="for")


class Writable(Allowed):
    """What may ever be written to a point, by whom, and under which guard.

    Attributes:
        by: the roles that may, and with one of people those above it; `linkage` is a rule with `do:`. The office may
            never.
        interlock: a bool point of the same device that must be true and good at the moment of the write.
        confirm: how the effect is read back; by default from the point itself. within: how long that may take.
        rest: what is written when nobody claims the point any longer, where the protocol knows no relinquishing.
        pulse: it acts once and then is over, so nobody can hold it.
        two_persons: on site it takes a second one who agrees; the office asks for one by class.
        live_view: who writes it says that he sees the place; so it is never written from afar.
        off_most: how long a person may switch it off; None where its tags are not among the device's.
        warn: how people are warned before a rule switches it off where somebody may be.
        tagged: by tag of a device: what it allows of all this.
    """

    by: Annotated[list[Literal["operator", "technician", "engineer", "linkage"]], Field(min_length=1)]
    interlock: PointName | None = None
    confirm: Confirm | None = None
    within: Period = 10 * SECOND
    rest: Scalar | None = None
    pulse: bool = False
    two_persons: bool = False
    live_view: bool = False
    off_most: OffMost | None = None
    warn: Warn | None = None
    tagged: dict[Id, Narrower] = {}

    def narrowed(self, tags: Iterable[str]) -> "Writable | None":
        """Return what a device with these tags allows: only what each of them does. None: nothing is left."""
        tags, found = tuple(tags), self
        if self.off_most is not None and not set(tags) & set(self.off_most.tags):
            found = self.model_copy(update={"off_most": None})
        for limit in (self.tagged[tag] for tag in tags if tag in self.tagged):
            values = [value for value in found.values or limit.values if value in (limit.values or found.values)]
            both = [each for each in (found.range, limit.range) if each is not None]
            low, high = max((each[0] for each in both), default=0.0), min((each[1] for each in both), default=0.0)
            if low > high or (not values and (found.values or limit.values)):
                return None
            found = found.model_copy(update={"values": values, "range": [low, high] if both else None})
        return found


class ClassPoint(Meaning):
    """A standard point of a class. A profile must name one of `kind`; only what is `writable` may ever be written."""

    required: bool = False
    writable: Writable | None = None
    kind: list[Literal["presence", "motion"]] = []


class ClassEventField(Meaning):
    """One field of an event.

    Attributes:
        personal: whose identifier it is; it is stored as a pseudonym only.
        table: the site's table that it comes from; the device does not tell it. key: the field of the event that is
            looked up there. column: of the table. absent: what it is for a key that is not there; empty for unknown.
        secret: the only role to which it is shown; empty for all.
        optional: a profile may leave it out, and then it is not known.
    """

    personal: Literal["", "card", "plate", "person", "phone"] = ""
    table: Id | Literal[""] = ""
    key: Word | Literal[""] = ""
    column: Word | Literal[""] = ""
    absent: Word | Literal[""] = ""
    secret: Literal["", "security"] = ""
    optional: bool = False

    @model_validator(mode="after")
    def _table_whole(self) -> "ClassEventField":
        if bool(self.table) != bool(self.key) or bool(self.table) != bool(self.column):
            raise PydanticCustomError("table-field", "table, key and column go together")
        if self.table and self.type not in ("text", "enum"):
            raise PydanticCustomError("table-field", "what comes from a table is text or one of some words")
        return self


class ClassEvent(Written):
    """Something that a device of the class tells once, for example a card read.

    `by_gateway`: the gateway tells it of every such device, and no profile says where it comes from.
    """

    name: NamesByLanguage = {}
    by_gateway: bool = False
    fields: dict[Word, ClassEventField]


class ClassFile(Written):
    """A device class."""

    class_: Id = Field(alias="class")
    name: NamesByLanguage = {}
    points: dict[PointName, ClassPoint]
    events: dict[PointName, ClassEvent] = {}


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


class ProfileEvent(Written):
    """One event of a profile; all its keys belong to the driver (they are in `model_extra`)."""

    model_config = ConfigDict(extra="allow")


class HeartbeatRule(Written):
    """A counter of the device that must keep moving, or everything read from it is stale."""

    point: PointName
    within: Period


class ProfileFile(Written):
    """A profile: a class's points on one make of device.

    Attributes:
        device: defaults for the driver's keys of a device, for example `{unit: 247}`.
        with_: lowest and highest value of a device's `with:`, by name.
        rules: parameters of rules, by rule and parameter.
    """

    profile: ProfileId
    class_: Id = Field(alias="class")
    evidence: Annotated[Evidence, BeforeValidator(_by_level, json_schema_input_type=Literal["designed"] | Evidence)]
    name: NamesByLanguage = {}
    device: dict[str, Any] = {}
    with_: dict[Word, Annotated[list[int], Field(min_length=2, max_length=2)]] = Field(default={}, alias="with")
    points: dict[PointName, ProfilePoint]
    events: dict[PointName, ProfileEvent] = {}
    heartbeat: HeartbeatRule | None = None
    rules: dict[str, Parameters] = {}
