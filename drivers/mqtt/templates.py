"""Filling in: the parameters of a device's `with:` for their names in braces. Pure; nothing else is replaced or run."""

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import JsonValue

from drivers.mqtt.moments import zone_of
from drivers.mqtt.options import MqttDevice, MqttEvent, MqttPoint, OneOrMore, PointFrom, RangeRequest, Source, WriteTo
from drivers.mqtt.parse import Scalar
from drivers.mqtt.paths import Having, Name, Step, Where, spelt, where

Parameters = Mapping[str, int | str]

_PARAMETER: Final = re.compile(r"\{([^{}]*)\}")
_NO_LEVEL: Final = frozenset("/+#")


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
        if topic and (not found or not found.isprintable() or set(found) & _NO_LEVEL or found.startswith("$")):
            raise ValueError(f"{text!r}: with: {name} is {found!r}, which cannot be a level of a topic")
        return found

    return _PARAMETER.sub(value, text)


def fill_pattern(text: str, parameters: Parameters) -> str:
    """Return a topic as `drivers.mqtt.topics` reads it. Raises ValueError as `fill`."""
    levels = ("+=" + level[1:] if level.startswith("+") and "{" in level else level for level in text.split("/"))
    return fill("/".join(levels), parameters)


def fill_path(text: str, parameters: Parameters) -> str:
    """Return a path with its parameters; each stays within its step. Raises ValueError as `fill`."""
    if "{" not in text:
        return text
    path = where(text)
    steps = tuple(_filled(step, parameters, text) for step in path.steps)
    return spelt(Where(text, path.root, steps, path.level))


def _filled(step: Step, parameters: Parameters, text: str) -> Step:
    if isinstance(step, Name):
        return Name(fill(step.name, parameters, topic=False))
    if not isinstance(step, Having):
        return step
    value = fill(step.value, parameters, topic=False)
    if not value or set(value) & set("[]\"'"):
        raise ValueError(f"{text!r}: {value!r} cannot stand in a path")
    return Having(fill(step.name, parameters, topic=False), value)


def fill_scalar(written: Scalar, parameters: Parameters) -> Scalar:
    """Return a word with its parameters; one that is nothing but a parameter keeps that parameter's type."""
    if not isinstance(written, str):
        return written
    whole = _PARAMETER.fullmatch(written)
    filled = fill(written, parameters, topic=False)
    return parameters[whole[1]] if whole else filled


def fill_json(body: JsonValue, parameters: Parameters) -> JsonValue:
    """Return a JSON body with the parameters in its texts, but not in the names of its members."""
    if isinstance(body, dict):
        return {name: fill_json(inner, parameters) for name, inner in body.items()}
    if isinstance(body, list):
        return [fill_json(inner, parameters) for inner in body]
    return fill_scalar(body, parameters) if isinstance(body, str) else body


def _when(when: Mapping[str, OneOrMore], parameters: Parameters) -> dict[str, OneOrMore]:
    return {
        fill_path(path, parameters): [fill_scalar(each, parameters) for each in want]
        if isinstance(want, list)
        else fill_scalar(want, parameters)
        for path, want in when.items()
    }


def _source(source: Source, parameters: Parameters) -> dict[str, Any]:
    """Return what changes in anything that comes from a topic; paths where there are any."""
    update: dict[str, Any] = {
        "topic": fill_pattern(source.topic, parameters),
        "when": _when(source.when, parameters),
    }
    for key in ("json_path", "source", "sequence", "buffered"):
        path = getattr(source, key, None)
        if path is not None:
            update[key] = fill_path(path, parameters)
    return update


def resolved_device(device: MqttDevice, parameters: Parameters) -> MqttDevice:
    """Return the same keys with everything filled in. Raises ValueError as `fill`, with the key before it."""
    update: dict[str, Any] = {}
    key = ""
    try:
        for key in ("availability", "clock", "sequence"):
            place = getattr(device, key)
            if place is not None:
                update[key] = place.model_copy(update=_source(place, parameters))
        key = "alive"
        update[key] = [each.model_copy(update=_source(each, parameters)) for each in device.alive]
        key = "zone"
        if device.zone is not None:
            update[key] = fill(device.zone, parameters, topic=False)
            zone_of(update[key])
        key = "poll"
        if device.poll is not None:
            topic, body = fill(device.poll.topic, parameters), fill_json(device.poll.json_body, parameters)
            update[key] = device.poll.model_copy(update={"topic": topic, "json_body": body})
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    return device.model_copy(update=update)


def resolved_point(point: MqttPoint, parameters: Parameters) -> MqttPoint:
    """Return the same point with everything filled in. Raises ValueError as `fill`."""
    update = _source(point, parameters)
    update["also"] = [_also(each, parameters) for each in point.also]
    if point.write is not None:
        update["write"] = _write(point.write, parameters)
    return point.model_copy(update=update)


def _also(other: PointFrom, parameters: Parameters) -> PointFrom:
    return other.model_copy(update=_source(other, parameters))


def _write(write: WriteTo, parameters: Parameters) -> WriteTo:
    update: dict[str, Any] = {
        "topic": fill(write.topic, parameters),
        "json_body": fill_json(write.json_body, parameters),
    }
    if write.text_body is not None:
        update["text_body"] = fill(write.text_body, parameters, topic=False)
    return write.model_copy(update=update)


def resolved_event(event: MqttEvent, parameters: Parameters) -> MqttEvent:
    """Return the same event with everything filled in. Raises ValueError as `fill`."""
    update = _source(event, parameters)
    update["teller"] = _when(event.teller, parameters)
    update["fields"] = {
        name: each.model_copy(update={"json_path": fill_path(each.json_path, parameters)})
        for name, each in event.fields.items()
    }
    if event.counter is not None:
        update["counter"] = fill(event.counter, parameters, topic=False)
    if event.live is not None:
        update["live"] = fill_pattern(event.live, parameters)
    if event.request is not None:
        update["request"] = _request(event.request, parameters)
    return event.model_copy(update=update)


def _request(request: RangeRequest, parameters: Parameters) -> RangeRequest:
    topic, body = fill(request.topic, parameters), fill_json(request.json_body, parameters)
    return request.model_copy(update={"topic": topic, "json_body": body})
