"""What people write for MQTT: keys of a link, a device, a profile's point and event. Checked here, used elsewhere.

Topics, and the words of `when`, may have parameters of the device's `with:` in braces: `sp/{site}/access/{door}/set`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator

from drivers import lookup
from drivers.tls import Tls
from sitekeeper.model.clock import MINUTE, SECOND
from sitekeeper.profile import Duration, Word, Written, true_and_false

Parameters = Mapping[str, int | str]
Scalar = bool | int | float | str

VALUE: Final = "$value"
"""In the `json` of a write: the value written."""

_LONGEST_TOPIC: Final = 1_000
_PARAMETER: Final = re.compile(r"\{([^{}]*)\}")


def _topic(value: str) -> str:
    """Accept a topic that names one place (MQTT 5, section 4.7)."""
    if "+" in value or "#" in value:
        raise ValueError(f"{value!r} has a wildcard; here a topic names one place, else two devices would mix")
    return _pattern(value)


def _pattern(value: str) -> str:
    """Accept a topic in which a whole level may be `+`."""
    if "#" in value or any("+" in level and level != "+" for level in value.split("/")):
        raise ValueError(f"{value!r}: only + for a whole level may stand for any word")
    if not value or len(value) > _LONGEST_TOPIC or not value.isprintable() or value.startswith("$"):
        raise ValueError(f"{value!r} is no topic")
    return value


def _path(value: str) -> str:
    if not all(value.split(".")):
        raise ValueError(f"{value!r} is no path: names and indexes with dots between them, for example doors.0.state")
    return value


Topic = Annotated[str, AfterValidator(_topic)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Path = Annotated[str, Field(max_length=200), AfterValidator(_path)]
"""Where in a JSON payload: names of members and indexes from 0, with dots between them."""


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


class Availability(Written):
    """A topic that tells whether the device is there, usually retained, with a last will.

    Attributes:
        json: where in the payload; left out, the payload is the word itself. online: what is there while it is.
    """

    topic: Topic
    json_path: Path | None = Field(default=None, alias="json")
    online: Scalar = True


class Told(Written):
    """Where a device tells something about itself, again and again. `json`: where in the payload."""

    topic: Topic
    json_path: Path = Field(alias="json")


class MqttDevice(Written):
    """A device on the broker.

    Attributes:
        clock: where it tells its present time, as `source` of a point. What its events say of their time is judged by
            that: without it a clock that is wrong by more than 5 s makes every event late.
        sequence: where it tells the number of the last event it has sent, so that a loss at the end is seen.
        max_silence: without any message of it for so long, it does not answer.
    """

    availability: Availability | None = None
    clock: Told | None = None
    sequence: Told | None = None
    max_silence: Annotated[Duration, Field(ge=SECOND)] = MINUTE


class Reading(Written):
    """How a raw value is to be understood.

    Attributes:
        enum: raw value -> word; left out, the raw value is the word. bool: raw value of true and of false; left out,
            it is JSON's own. Any other raw value is bad.
        scale, offset: value = raw * scale + offset.
        text: a number may come as a text, for example "21.5".
        invalid: raw values by which the device says that it has none; null always does.
    """

    enum: dict[int | str, str] | None = Field(default=None, min_length=1, max_length=256)
    bool_map: Annotated[dict[bool, Scalar] | None, BeforeValidator(true_and_false)] = Field(default=None, alias="bool")
    scale: float = Field(default=1.0, allow_inf_nan=False)
    offset: float = Field(default=0.0, allow_inf_nan=False)
    text: bool = False
    invalid: tuple[Scalar, ...] = Field(default=(), max_length=16, strict=False)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.enum and self.bool_map:
            raise ValueError("enum and bool exclude each other")
        if not 1e-12 <= abs(self.scale) <= 1e12:
            raise ValueError(f"scale {self.scale} is no scale")
        if self.bool_map and len({(type(raw), raw) for raw in self.bool_map.values()}) == 1:
            raise ValueError("true and false have the same raw value")
        return self


class WriteTo(Written):
    """Where a value is written, and as what: in `json`, "$value" stands for the raw value."""

    topic: Topic
    json_body: JsonValue = Field(default=VALUE, alias="json")

    @model_validator(mode="after")
    def _has_value(self) -> Self:
        if not _mentions(self.json_body):
            raise ValueError(f'json has no "{VALUE}", so nothing would be written')
        return self


def _mentions(body: JsonValue) -> bool:
    if isinstance(body, dict):
        return any(map(_mentions, body.values()))
    return any(map(_mentions, body)) if isinstance(body, list) else body == VALUE


class MqttPoint(Reading):
    """Where a point's value comes from. Messages there are states: the last one counts.

    Attributes:
        json: where in the payload; left out, the payload is not JSON but the raw value itself, as text.
        source: where in the payload the device's own time is: ISO 8601 with offset, or seconds or milliseconds since
            1970.
    """

    topic: Topic
    json_path: Path | None = Field(default=None, alias="json")
    source: Path | None = None
    write: WriteTo | None = None


class FieldFrom(Reading):
    """Where in the payload a field of an event is."""

    json_path: Path = Field(alias="json")


def _field(value: object) -> object:
    return {"json": value} if isinstance(value, str) else value


class RangeRequest(Written):
    """How events that did not come are asked for: in `json`, "$from" and "$to" stand for the first and the last."""

    topic: Topic
    json_body: dict[str, JsonValue] = Field(default={"from": "$from", "to": "$to"}, alias="json")


class MqttEvent(Written):
    """Where an event comes from. Every message there is an occurrence; retained ones are none.

    Attributes:
        when: values that a message must have to be this event of this device, by path.
        sequence: where the teller's counter is. counter: its name, where several topics share one; by default the
            topic. source: as in a point. buffered: where it says that it could not tell it in time.
        request: where missing ones are asked for.
        fields: by the class's field: a path, or a mapping with `json` and the keys of a point.
    """

    topic: Pattern
    when: dict[Path, Scalar] = {}
    sequence: Path | None = None
    counter: str | None = Field(default=None, min_length=1, max_length=200)
    source: Path | None = None
    buffered: Path | None = None
    request: RangeRequest | None = None
    fields: dict[Word, Annotated[FieldFrom, BeforeValidator(_field)]] = {}

    @model_validator(mode="after")
    def _request_needs_sequence(self) -> Self:
        if self.request is not None and self.sequence is None:
            raise ValueError("request asks for missing sequence numbers: say where the sequence is")
        return self


@dataclass(frozen=True, slots=True)
class Place:
    """What `bind` makes of a point: its topics filled in."""

    point: MqttPoint


@dataclass(frozen=True, slots=True)
class EventPlace:
    """What `bind_event` makes of an event: its topics and words filled in."""

    event: MqttEvent


def fill(text: str, parameters: Parameters, *, topic: bool = True) -> str:
    """Return `text` with its `{parameters}` filled in.

    Raises:
        ValueError: the device's `with:` has none of that name, or one that would change the shape of a topic.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in parameters:
            known = ", ".join(sorted(parameters)) or "none"
            raise ValueError(f"{text!r} needs {name!r} in the device's with: (there: {known})")
        found = str(parameters[name])
        if topic and (not found or not found.isprintable() or set(found) & set("/+#")):
            raise ValueError(f"{text!r}: with: {name} is {found!r}, which cannot be a level of a topic")
        return found

    return _PARAMETER.sub(value, text)


def fill_scalar(written: Scalar, parameters: Parameters) -> Scalar:
    """Return a word with its parameters; one that is nothing but a parameter keeps that parameter's type."""
    if not isinstance(written, str):
        return written
    whole = _PARAMETER.fullmatch(written)
    filled = fill(written, parameters, topic=False)
    return parameters[whole[1]] if whole else filled


def resolved_device(device: MqttDevice, parameters: Parameters) -> MqttDevice:
    """Return the same keys with their topics filled in. Raises ValueError as `fill`, with the key before it."""
    update: dict[str, Any] = {}
    for name in ("availability", "clock", "sequence"):
        place = getattr(device, name)
        if place is not None:
            try:
                update[name] = place.model_copy(update={"topic": fill(place.topic, parameters)})
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
    return device.model_copy(update=update)


def resolved_point(point: MqttPoint, parameters: Parameters) -> MqttPoint:
    """Return the same point with its topics filled in. Raises ValueError as `fill`."""
    update: dict[str, Any] = {"topic": fill(point.topic, parameters)}
    if point.write is not None:
        update["write"] = point.write.model_copy(update={"topic": fill(point.write.topic, parameters)})
    return point.model_copy(update=update)


def resolved_event(event: MqttEvent, parameters: Parameters) -> MqttEvent:
    """Return the same event with its topics and words filled in. Raises ValueError as `fill`."""
    update: dict[str, Any] = {
        "topic": fill(event.topic, parameters),
        "when": {path: fill_scalar(want, parameters) for path, want in event.when.items()},
    }
    if event.counter is not None:
        update["counter"] = fill(event.counter, parameters, topic=False)
    if event.request is not None:
        update["request"] = event.request.model_copy(update={"topic": fill(event.request.topic, parameters)})
    return event.model_copy(update=update)
