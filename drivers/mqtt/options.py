"""What people write for MQTT: keys of a link, a device, a profile's point and event. Checked here, used elsewhere.

Topics, paths, bodies and the words of `when` may have parameters of the device's `with:` in braces:
`sp/{site}/access/{door}/set`. In a topic that is read, `+{serial}` has all devices share one subscription; `+name` is
any word, and its path is `$topic.name`.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator

from drivers import lookup
from drivers.mqtt.parse import Scalar
from drivers.mqtt.paths import where
from drivers.tls import Tls
from sitekeeper.model.clock import MINUTE, SECOND
from sitekeeper.profile import Duration, Range, Word, Written, true_and_false

VALUE: Final = "$value"
"""In the body of a write: the value written."""
RANGE: Final = 1_000
"""Most events asked for at once: of a wider gap, the newest."""

_LONGEST_TOPIC: Final = 1_000
_LEVEL: Final = re.compile(r"[^+#]*|\+([a-z][a-z0-9_]{0,63})?|\+[^+#=]*\{[^{}+#]+\}[^+#]*")
"""A level of a pattern: plain, any word, any word with a name, or a word that the device's `with:` gives."""


def _topic(value: str) -> str:
    """Accept a topic that names one place (MQTT 5, section 4.7)."""
    if "+" in value or "#" in value:
        raise ValueError(f"{value!r} has a wildcard; here a topic names one place")
    return _pattern(value)


def _pattern(value: str) -> str:
    """Accept a topic with wildcards."""
    levels = value.removesuffix("/#").split("/") if value != "#" else []
    if any(_LEVEL.fullmatch(level) is None for level in levels):
        raise ValueError(
            f"{value!r}: a whole level may be + (any word), +name (any word, as $topic.name) or +{{parameter}} "
            "(this device's word); only the last may be #"
        )
    if not value or len(value) > _LONGEST_TOPIC or not value.isprintable() or value.startswith("$"):
        raise ValueError(f"{value!r} is no topic")
    return value


def _several_topics(pattern: str) -> bool:
    return any(level == "#" or (level.startswith("+") and "{" not in level) for level in pattern.split("/"))


def _path(value: str) -> str:
    where(value)
    return value


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Suffix = Annotated[str, Field(pattern=r"^[^0-9\s.,+-][^0-9\s]{0,15}$")]
Topic = Annotated[str, AfterValidator(_topic)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Path = Annotated[str, Field(max_length=200), AfterValidator(_path)]
"""Where in a message something is, see `drivers.mqtt.paths`."""
OneOrMore = Scalar | Annotated[list[Scalar], Field(min_length=1, max_length=64)]


class Source(Written):
    """Where messages come from: a topic, and where several kinds or devices share it, what theirs must have.

    Attributes:
        when: by path: the value, or one of the values, that a message must have. Others are passed over.
    """

    topic: Pattern
    when: dict[Path, OneOrMore] = {}


class State(Source):
    """Messages of one device only, of which the last one counts."""

    @model_validator(mode="after")
    def _one_device(self) -> Self:
        if _several_topics(self.topic) and not self.when:
            raise ValueError(
                f"{self.topic!r} has a wildcard, so two devices would mix; say by when: whose a message is"
            )
        return self


class MqttLink(Written):
    """A broker, and one session of ours on it.

    Attributes:
        port: left out it is 1883, and 8883 with tls.
        protocol: `auto` tries 5 and falls back to 3.1.1 where the broker refuses it.
        client_id: by default made from the link's id and the site's salt, so that no two sites have the same one.
        keepalive: a broker that answers no ping for so long is gone.
        unacknowledged: most messages that the broker may have on the way to us.
    """

    host: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s/]+$"), AfterValidator(lookup.host)]
    port: int | None = Field(default=None, ge=1, le=65535)
    username: str | None = None
    password: str | None = Field(default=None, repr=False)
    tls: Tls | None = None
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    client_id: str | None = Field(default=None, min_length=1, max_length=100)
    keepalive: Annotated[Duration, Field(ge=SECOND, le=60 * MINUTE)] = 15 * SECOND
    unacknowledged: int = Field(default=64, ge=1, le=1000)


class Availability(State):
    """A topic that tells whether the device is there, usually retained, with a last will.

    Attributes:
        json: where in the payload; left out, the payload is the word itself. online: what is there while it is.
    """

    json_path: Path | None = Field(default=None, alias="json")
    online: OneOrMore = True


class Told(State):
    """Where a device tells something about itself, again and again. `json`: where in the payload."""

    json_path: Path = Field(alias="json")


class Poll(Written):
    """A message by which a device is asked to tell, where it does not by itself; published while the link is open."""

    topic: Topic
    json_body: JsonValue = Field(default={}, alias="json")
    every: Annotated[Duration, Field(ge=SECOND)] = 10 * SECOND


class MqttDevice(Written):
    """A device on the broker.

    Attributes:
        clock: where it tells its present time, as `source` of a point. What its events say of their time is judged by
            that: without it a clock that is wrong by more than 5 s makes every event late.
        sequence: where it tells the number of the last event it has sent, so that a loss at the end is seen.
        alive: further messages that show it to be there; those of the other keys, points and events do anyway.
        max_silence: without any message of it for so long, it does not answer.
        zone: where its clock stands, for times without an offset: a name such as Asia/Hong_Kong, or +08:00.
        poll: how it is asked to tell.
    """

    availability: Availability | None = None
    clock: Told | None = None
    sequence: Told | None = None
    alive: list[State] = Field(default=[], max_length=8)
    max_silence: Annotated[Duration, Field(ge=SECOND)] = MINUTE
    zone: str | None = Field(default=None, min_length=1, max_length=64)
    poll: Poll | None = None


class Reading(Written):
    """How a raw value is to be understood.

    Attributes:
        enum: raw value -> word; left out, the raw value is the word. bool: raw value, or values, of true and of false;
            left out, it is JSON's own. Any other raw value is bad.
        bit: one bit of a whole number, 0 the lowest. bits: from the lowest to the highest of several.
        scale, offset: value = raw * scale + offset.
        text: a number may come as a text, for example "21.5". suffix: it comes as a text with this, or one of these,
            behind it, for example "°C". thousands, decimal: the signs in it, where they are not those of JSON.
        range: lowest and highest value in the point's unit; others are bad.
        invalid: raw values by which the device says that it has none; null always does.
    """

    enum: dict[int | str, str] | None = Field(default=None, min_length=1, max_length=256)
    bool_map: Annotated[dict[bool, OneOrMore] | None, BeforeValidator(true_and_false)] = Field(
        default=None, alias="bool"
    )
    bit: int | None = Field(default=None, ge=0, le=62)
    bits: Annotated[list[Annotated[int, Field(ge=0, le=62)]], Field(min_length=2, max_length=2)] | None = None
    scale: float = Field(default=1.0, allow_inf_nan=False)
    offset: float = Field(default=0.0, allow_inf_nan=False)
    text: bool = False
    suffix: Annotated[list[Suffix], Field(min_length=1, max_length=8), BeforeValidator(_listed)] | None = None
    thousands: Literal[",", ".", " ", "'"] | None = None
    decimal: Literal[".", ","] | None = None
    range: Range | None = None
    invalid: tuple[Scalar, ...] = Field(default=(), max_length=16, strict=False)

    @property
    def numbers_in_text(self) -> bool:
        return self.text or bool(self.suffix or self.thousands or self.decimal)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.enum and self.bool_map:
            raise ValueError("enum and bool exclude each other")
        if not 1e-12 <= abs(self.scale) <= 1e12:
            raise ValueError(f"scale {self.scale} is no scale")
        if self.bool_map and _kinds(self.bool_map[True]) & _kinds(self.bool_map[False]):
            raise ValueError("true and false have the same raw value")
        if self.bits is not None and (self.bit is not None or self.bits[0] >= self.bits[1]):
            raise ValueError("bits are the lowest and the highest of several, and bit is another key")
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            raise ValueError(f"{self.thousands!r} cannot stand both between thousands and before decimals")
        if self.range is not None and self.range[0] > self.range[1]:
            raise ValueError(f"range {self.range}: the lowest comes first")
        return self


def _kinds(raw: OneOrMore) -> set[tuple[type, Scalar]]:
    return {(type(each), each) for each in (raw if isinstance(raw, list) else [raw])}


class WriteTo(Written):
    """Where a value is written, and as what: "$value" stands for the raw value, typed in `json`, spelt out in `text`.

    Attributes:
        value: the only one that can be written; then the body need not have it.
    """

    topic: Topic
    json_body: JsonValue = Field(default=VALUE, alias="json")
    text_body: str | None = Field(default=None, alias="text", min_length=1, max_length=1_000)
    value: Scalar | None = None

    @model_validator(mode="after")
    def _has_value(self) -> Self:
        if self.text_body is not None and "json_body" in self.model_fields_set:
            raise ValueError("a message is json or text, not both")
        has = _mentions(self.json_body) if self.text_body is None else VALUE in self.text_body
        if not has and self.value is None:
            kind = "json" if self.text_body is None else "text"
            raise ValueError(f'{kind} has no "{VALUE}", so nothing would be written')
        return self


def _mentions(body: JsonValue) -> bool:
    if isinstance(body, dict):
        return any(map(_mentions, body.values()))
    return any(map(_mentions, body)) if isinstance(body, list) else body == VALUE


class PointFrom(State, Reading):
    """Where a point's value comes from. Messages there are states: the last one counts.

    Attributes:
        json: where in the payload; left out, the payload is not JSON but the raw value itself, as text.
        source: where in the payload the device's own time is: ISO 8601 with offset, or seconds or milliseconds since
            1970; without offset, if the device has a `zone`.
    """

    json_path: Path | None = Field(default=None, alias="json")
    source: Path | None = None


class MqttPoint(PointFrom):
    """A point. `also`: further messages that tell it; the last one of all counts."""

    also: list[PointFrom] = Field(default=[], max_length=8)
    write: WriteTo | None = None


class FieldFrom(Reading):
    """Where in the payload a field of an event is."""

    json_path: Path = Field(alias="json")


def _field(value: object) -> object:
    return {"json": value} if isinstance(value, str) else value


class RangeRequest(Written):
    """How events that did not come are asked for: in `json`, "$from" and "$to" stand for the first and the last.

    Attributes:
        most: events for which one such message asks.
    """

    topic: Topic
    json_body: dict[str, JsonValue] = Field(default={"from": "$from", "to": "$to"}, alias="json")
    most: int = Field(default=RANGE, ge=1, le=RANGE)


class MqttEvent(Source):
    """Where an event comes from. Every message there is an occurrence; retained ones are none.

    Attributes:
        sequence: where the teller's counter is. counter: its name; by default the topic, if that is one place.
        teller: what a message must have, by path, to carry that counter, where several tellers share a topic.
        source: as in a point.
        buffered: where it says that it could not tell it in time. live: the topic of what is told at once; what comes
            on others is buffered.
        request: where missing ones are asked for.
        fields: by the class's field: a path, or a mapping with `json` and the keys of a point.
    """

    teller: dict[Path, OneOrMore] = {}
    sequence: Path | None = None
    counter: str | None = Field(default=None, min_length=1, max_length=200)
    source: Path | None = None
    buffered: Path | None = None
    live: Pattern | None = None
    request: RangeRequest | None = None
    fields: dict[Word, Annotated[FieldFrom, BeforeValidator(_field)]] = {}

    @model_validator(mode="after")
    def _numbers(self) -> Self:
        if self.request is not None and self.sequence is None:
            raise ValueError("request asks for missing sequence numbers: say where the sequence is")
        several = bool(self.teller) or _several_topics(self.topic)
        if several and self.sequence is not None and self.counter is None:
            raise ValueError("several tellers share this topic: give each its own counter, for example x-{controller}")
        return self


@dataclass(frozen=True, slots=True)
class Place:
    """What `bind` makes of a point: its topics filled in."""

    point: MqttPoint


@dataclass(frozen=True, slots=True)
class EventPlace:
    """What `bind_event` makes of an event: its topics and words filled in."""

    event: MqttEvent
