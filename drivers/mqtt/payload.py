"""From the bytes of a message to values, and back. Pure.

A payload either has a meaning by the profile or the point is bad: nothing is clipped, guessed or carried over.
"""

import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, assert_never

from drivers.lookup import check_words
from drivers.mqtt.options import VALUE, MqttPoint, Reading, Scalar
from sitekeeper.model.clock import MS, SECOND, Micros
from sitekeeper.model.point import PointType
from sitekeeper.model.quality import GOOD, Q, Reason, bad
from sitekeeper.model.sample import Value

Read = tuple[Value, Q]
Decoder = Callable[[object], Read]
"""Takes the raw value: what JSON has there, or the whole payload as text."""

MAX_PAYLOAD: Final = 256 * 1024
"""Bytes; a longer message is not looked at."""
MAX_DEPTH: Final = 32
MAX_TEXT: Final = 500
"""Characters of a text value."""
FIRST: Final = 48
"""Bytes of a payload that an error shows."""

NO_MEANING: Final[Read] = (None, bad(Reason.UNMAPPED))
INVALID: Final[Read] = (None, bad(Reason.DEVICE_FLAGGED))
OUT_OF_RANGE: Final[Read] = (None, bad(Reason.OUT_OF_RANGE))

_LARGEST: Final = 2**63
_MS_FROM: Final = 10**11
"""Larger numbers are milliseconds since 1970, smaller ones seconds: as seconds this is the year 5138."""


class Unreadable(ValueError):
    """A payload, or a path in it, that cannot be followed; says why."""


def tree(payload: bytes) -> object:
    """Return what a JSON payload holds.

    Raises:
        Unreadable: too long, not JSON in UTF-8, two members of one name, or nested too deep.
    """
    if len(payload) > MAX_PAYLOAD:
        raise Unreadable(f"{len(payload)} bytes, more than {MAX_PAYLOAD}")
    try:
        found: object = json.loads(payload.decode(), object_pairs_hook=_members, parse_constant=_constant)
    except Unreadable:
        raise
    except RecursionError:
        raise Unreadable(f"nested deeper than {MAX_DEPTH}") from None
    except ValueError as error:
        raise Unreadable(f"not JSON: {error}" if payload else "empty, where JSON was expected") from None
    if payload.count(b"[") + payload.count(b"{") > MAX_DEPTH and _deep(found):
        raise Unreadable(f"nested deeper than {MAX_DEPTH}")
    return found


def plain(payload: bytes) -> str:
    """Return a payload that is not JSON as text, without blanks around it. Raises Unreadable if it is none."""
    if len(payload) > MAX_PAYLOAD:
        raise Unreadable(f"{len(payload)} bytes, more than {MAX_PAYLOAD}")
    try:
        return payload.decode().strip()
    except UnicodeDecodeError:
        raise Unreadable("not text in UTF-8") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("two members of one name")
    return found


def _constant(name: str) -> float:
    raise Unreadable(f"{name} is not JSON")


def _deep(found: object) -> bool:
    level = [found]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return any(isinstance(each, dict | list) for each in level)


def pick(found: object, path: str) -> object:
    """Return what lies at `path`.

    Raises:
        Unreadable: there is nothing.
    """
    for name in path.split("."):
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isascii() and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            raise Unreadable(f"nothing at {path}")
    return found


def check(reading: Reading, point_type: PointType, members: tuple[str, ...]) -> None:
    """Make sure that a payload can give a value of the class's type.

    Raises:
        ValueError: it cannot; says what is wrong.
    """
    if reading.enum is not None and point_type != "enum":
        raise ValueError(f"enum: gives words, but the point is of type {point_type}")
    if reading.bool_map is not None and point_type != "bool":
        raise ValueError(f"bool: gives true and false, but the point is of type {point_type}")
    numeric = point_type in {"int", "float"}
    if (reading.text or reading.scale != 1 or reading.offset != 0) and not numeric:
        raise ValueError(f"scale, offset and text are for numbers, but the point is of type {point_type}")
    if point_type == "int" and not (reading.scale.is_integer() and reading.offset.is_integer()):
        raise ValueError("the point is a whole number, but scale or offset is not")
    check_words((reading.enum or {}).values(), members)


def decoder(reading: Reading, point_type: PointType, members: tuple[str, ...], *, raw_text: bool = False) -> Decoder:
    """Return what decodes a raw value; `check` has passed it.

    Args:
        raw_text: raw values are texts by nature, because the payload is not JSON.
    """
    inner = _inner(reading, point_type, members, raw_text=raw_text)
    invalid = [_key(value, raw_text=raw_text) for value in reading.invalid]

    def decode(raw: object) -> Read:
        if raw is None or _key(raw, raw_text=False) in invalid:
            return INVALID
        return inner(raw)

    return decode


def _inner(reading: Reading, point_type: PointType, members: tuple[str, ...], *, raw_text: bool) -> Decoder:
    match point_type:
        case "enum":
            words: Mapping[int | str, str] = reading.enum or {word: word for word in members}
            return _table({_key(raw, raw_text=raw_text): word for raw, word in words.items()})
        case "bool":
            truths: Mapping[bool, Scalar] = reading.bool_map or {True: True, False: False}
            return _table({_key(raw, raw_text=raw_text): truth for truth, raw in truths.items()})
        case "int" | "float":
            return _number(reading, whole=point_type == "int", text=reading.text or raw_text)
        case "text":
            return _text
        case _:
            assert_never(point_type)


def _key(raw: object, *, raw_text: bool) -> object:
    """Return the same for what is the same in JSON, and only then: 1 is 1.0, but neither true nor "1"."""
    if raw_text:
        return ("text", str(raw).lower() if isinstance(raw, bool) else str(raw))
    if isinstance(raw, bool):
        return ("bool", raw)
    if isinstance(raw, int | float):
        return ("number", raw)
    return ("text", raw) if isinstance(raw, str) else None


def same(want: Scalar, have: object) -> bool:
    """Tell whether a message has the value wanted. A number given as a text by `with:` is still that number."""
    if isinstance(want, str) and isinstance(have, int) and not isinstance(have, bool):
        return abs(have) < _LARGEST and want == str(have)
    if isinstance(have, str) and isinstance(want, int) and not isinstance(want, bool):
        return have == str(want)
    return _key(want, raw_text=False) == _key(have, raw_text=False)


def _table(meanings: Mapping[object, Value]) -> Decoder:
    def decode(raw: object) -> Read:
        key = _key(raw, raw_text=False)
        return (meanings[key], GOOD) if key is not None and key in meanings else NO_MEANING

    return decode


def _text(raw: object) -> Read:
    if not isinstance(raw, str) or not raw.isprintable():
        return NO_MEANING
    return (raw, GOOD) if len(raw) <= MAX_TEXT else OUT_OF_RANGE


def _number(reading: Reading, *, whole: bool, text: bool) -> Decoder:
    scale, offset = reading.scale, reading.offset
    inverse = round(1 / scale)
    divide = (
        abs(scale) < 1 and 1 / inverse == scale
    )  # by 0.1 means divided by 10: 3 becomes 0.3, not 0.30000000000000004

    def decode(raw: object) -> Read:
        number = _parsed(raw) if text and isinstance(raw, str) else raw
        if isinstance(number, bool) or not isinstance(number, int | float):
            return NO_MEANING
        if not abs(number) < _LARGEST:  # NaN is not, either
            return OUT_OF_RANGE
        if whole:
            if not float(number).is_integer():
                return NO_MEANING
            value = int(number) * int(scale) + int(offset)
            return (value, GOOD) if abs(value) < _LARGEST else OUT_OF_RANGE
        return ((number / inverse if divide else number * scale) + offset, GOOD)

    return decode


def _parsed(text: str) -> int | float | None:
    """Return the number that a text is in JSON's own spelling; nothing else is a number: not 0x10, 1_000 or nan."""
    if len(text) > 40 or not text.isascii():
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def moment(raw: object) -> Micros | None:
    """Return a wall time that a device gives: ISO 8601 with offset, or a number since 1970. None if it is none."""
    if isinstance(raw, str) and len(raw) <= 40:
        try:
            found = datetime.fromisoformat(raw)
        except ValueError:
            return None
        if found.tzinfo is None:
            return None  # nobody knows which hour it means
        seconds = int(found.replace(microsecond=0).timestamp()) if found.year > 1 else 0
        return seconds * SECOND + found.microsecond if seconds > 0 else None
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 < raw < _MS_FROM * 1_000:
        return None
    return round(raw * (SECOND if raw < _MS_FROM else MS))


def moment_at(found: object, path: str | None) -> Micros | None:
    """Return the wall time at `path`; None if there is none, which is no fault of the value beside it."""
    if path is None:
        return None
    try:
        return moment(pick(found, path))
    except Unreadable:
        return None


def written(point: MqttPoint, point_type: PointType, members: tuple[str, ...], value: Value) -> bytes:
    """Return the payload that writes `value`.

    Raises:
        ValueError: the point cannot hold it.
    """
    assert point.write is not None
    raw = _raw(point, point_type, members, value)
    return json.dumps(filled(point.write.json_body, {VALUE: raw}), separators=(",", ":"), allow_nan=False).encode()


def _raw(reading: Reading, point_type: PointType, members: tuple[str, ...], value: Value) -> Scalar:
    """Return the raw value whose meaning is `value`."""
    found: Scalar | None = None
    if point_type == "enum" and isinstance(value, str):
        words: Mapping[int | str, str] = reading.enum or {word: word for word in members}
        found = next((raw for raw, word in words.items() if word == value), None)
    elif point_type == "bool" and isinstance(value, bool):
        found = (reading.bool_map or {True: True, False: False})[value]
    elif point_type == "text" and isinstance(value, str):
        found = value
    elif point_type in {"int", "float"} and isinstance(value, int | float) and not isinstance(value, bool):
        found = _unscaled(reading, value)
    if found is None or not _means(decoder(reading, point_type, members)(found), value):
        raise ValueError(f"{value!r} cannot be written: it is no {point_type} of this point")
    return found


def _unscaled(reading: Reading, value: float) -> int | float | None:
    if not math.isfinite(value):
        return None
    raw = (value - reading.offset) / reading.scale
    return round(raw) if math.isclose(raw, round(raw), rel_tol=1e-12, abs_tol=1e-9) else raw


def _means(read: Read, value: Value) -> bool:
    found, q = read
    if isinstance(found, float) and isinstance(value, int | float):
        return q == GOOD and math.isclose(found, value, rel_tol=1e-9, abs_tol=1e-9)
    return (found, q) == (value, GOOD)


def filled(body: Any, values: Mapping[str, Scalar]) -> Any:
    """Return a JSON body in which each text that is a key of `values` is replaced by its value."""
    if isinstance(body, dict):
        return {name: filled(inner, values) for name, inner in body.items()}
    if isinstance(body, list):
        return [filled(inner, values) for inner in body]
    return values.get(body, body) if isinstance(body, str) else body


def masked(payload: bytes) -> bytes:
    """Return the first bytes of a payload that may name a person: its shape, and nothing that can be read from it."""
    return bytes(byte if byte in b'{}[]":, \\' else ord("x") for byte in payload[:FIRST])
