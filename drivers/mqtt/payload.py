"""From what is at a path of a message to values, and back. Pure.

A payload either has a meaning by the profile or the point is bad: nothing is clipped, guessed or carried over.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, assert_never

from drivers.lookup import check_words
from drivers.mqtt.options import VALUE, MqttPoint, OneOrMore, Reading, WriteTo
from drivers.mqtt.parse import LARGEST, Scalar, key
from sitekeeper.model.point import PointType
from sitekeeper.model.quality import GOOD, Q, Reason, bad
from sitekeeper.model.sample import Value

Read = tuple[Value, Q]
Decoder = Callable[[object], Read]
"""Takes the raw value: what JSON has there, or the whole payload as text."""

MAX_TEXT: Final = 500
"""Characters of a text value."""
LONGEST_NUMBER: Final = 40
"""Characters of a number that is spelt out."""
NO_MEANING: Final[Read] = (None, bad(Reason.UNMAPPED))
INVALID: Final[Read] = (None, bad(Reason.DEVICE_FLAGGED))
OUT_OF_RANGE: Final[Read] = (None, bad(Reason.OUT_OF_RANGE))


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
    numbers = reading.numbers_in_text or reading.range or reading.scale != 1 or reading.offset != 0
    if numbers and not numeric:
        raise ValueError(f"scale, offset, range and text are for numbers, but the point is of type {point_type}")
    if reading.bit is not None and (point_type != "bool" or reading.bool_map):
        raise ValueError(
            "bit: gives true and false by itself" if reading.bool_map else "bit: is for a point of type bool"
        )
    if reading.bits is not None and not (numeric or (point_type == "enum" and reading.enum)):
        raise ValueError("bits: are for a number, or for an enum that says which number is which word")
    if point_type == "int" and not (reading.scale.is_integer() and reading.offset.is_integer()):
        raise ValueError("the point is a whole number, but scale or offset is not")
    check_words((reading.enum or {}).values(), members)


def decoder(reading: Reading, point_type: PointType, members: tuple[str, ...], *, raw_text: bool = False) -> Decoder:
    """Return what decodes a raw value; `check` has passed it.

    Args:
        raw_text: raw values are texts by nature, because the payload is not JSON.
    """
    inner = _inner(reading, point_type, members, raw_text=raw_text)
    if reading.bit is not None or reading.bits is not None:
        low, high = reading.bits or (reading.bit or 0, reading.bit or 0)
        inner = _bits(inner, low, high, text=reading.text or raw_text, truth=reading.bit is not None)
    invalid = [key(value, raw_text=raw_text) for value in reading.invalid]

    def decode(raw: object) -> Read:
        if raw is None or key(raw, raw_text=False) in invalid:
            return INVALID
        return inner(raw)

    return decode


def _inner(reading: Reading, point_type: PointType, members: tuple[str, ...], *, raw_text: bool) -> Decoder:
    match point_type:
        case "enum":
            words: Mapping[int | str, str] = reading.enum or {word: word for word in members}
            raw_text = raw_text and reading.bits is None
            return _table({key(raw, raw_text=raw_text): word for raw, word in words.items()})
        case "bool":
            if reading.bit is not None:
                return _table({key(truth, raw_text=False): truth for truth in (True, False)})
            truths: Mapping[bool, OneOrMore] = reading.bool_map or {True: True, False: False}
            each = ((one, truth) for truth, raw in truths.items() for one in (raw if isinstance(raw, list) else [raw]))
            return _table({key(raw, raw_text=raw_text): truth for raw, truth in each})
        case "int" | "float":
            return _number(reading, whole=point_type == "int", raw_text=raw_text)
        case "text":
            return _text
        case _:
            assert_never(point_type)


def _bits(inner: Decoder, low: int, high: int, *, text: bool, truth: bool) -> Decoder:
    """Return what decodes some bits of a whole number that is not negative; `truth`: the only one, as true or false."""
    size = (1 << high - low + 1) - 1

    def decode(raw: object) -> Read:
        number = _parsed(raw) if text and isinstance(raw, str) else raw
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < LARGEST:
            return NO_MEANING
        if not float(number).is_integer():
            return NO_MEANING
        found = int(number) >> low & size
        return inner(bool(found) if truth else found)

    return decode


def _table(meanings: Mapping[object, Value]) -> Decoder:
    def decode(raw: object) -> Read:
        found = key(raw, raw_text=False)
        return (meanings[found], GOOD) if found is not None and found in meanings else NO_MEANING

    return decode


def _text(raw: object) -> Read:
    if not isinstance(raw, str) or not raw.isprintable():
        return NO_MEANING
    return (raw, GOOD) if len(raw) <= MAX_TEXT else OUT_OF_RANGE


def _number(reading: Reading, *, whole: bool, raw_text: bool) -> Decoder:
    scale, offset = reading.scale, reading.offset
    inverse = round(1 / scale)
    divide = (
        abs(scale) < 1 and 1 / inverse == scale
    )  # by 0.1 means divided by 10: 3 becomes 0.3, not 0.30000000000000004
    low, high = reading.range or (-math.inf, math.inf)
    text = raw_text or reading.numbers_in_text
    parse = _spelt(reading)

    def decode(raw: object) -> Read:
        number = parse(raw) if text and isinstance(raw, str) else raw
        if isinstance(number, bool) or not isinstance(number, int | float):
            return NO_MEANING
        if not abs(number) < LARGEST:  # NaN is not, either
            return OUT_OF_RANGE
        if whole:
            if not float(number).is_integer():
                return NO_MEANING
            value: int | float = int(number) * int(scale) + int(offset)
        else:
            value = (number / inverse if divide else number * scale) + offset
        return (value, GOOD) if low <= value <= high and (not whole or abs(value) < LARGEST) else OUT_OF_RANGE

    return decode


def _parsed(text: str) -> int | float | None:
    """Return the number that a text is in JSON's own spelling; nothing else is a number: not 0x10, 1_000 or nan."""
    if len(text) > LONGEST_NUMBER or not text.isascii():
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def _spelt(reading: Reading) -> Callable[[str], int | float | None]:
    """Return what reads a number that is spelt as the profile says, and only so: all of it, or it is none."""
    suffixes, comma = reading.suffix, reading.decimal or "."
    if not (suffixes or reading.thousands or reading.decimal):
        return _parsed
    whole = rf"[0-9]{{1,3}}(?:{re.escape(reading.thousands)}[0-9]{{3}})+|[0-9]+" if reading.thousands else "[0-9]+"
    unit = rf"\s?(?:{'|'.join(map(re.escape, suffixes))})" if suffixes else ""
    shape = re.compile(rf"(-?)({whole})(?:{re.escape(comma)}([0-9]+))?{unit}", re.ASCII)

    def parse(text: str) -> int | float | None:
        match = shape.fullmatch(text.strip()) if len(text) <= LONGEST_NUMBER else None
        if match is None:
            return None
        digits = match[2].replace(reading.thousands or " ", "")
        return float(f"{match[1]}{digits}.{match[3]}") if match[3] else int(match[1] + digits)

    return parse


def written(point: MqttPoint, point_type: PointType, members: tuple[str, ...], value: Value) -> bytes:
    """Return the payload that writes `value`.

    Raises:
        ValueError: the point cannot hold it.
    """
    write = point.write
    assert write is not None
    if write.value is not None and not _means((value, GOOD), write.value):
        raise ValueError(f"{value!r} cannot be written: only {write.value!r} can")
    raw = _raw(point, point_type, members, value)
    if write.text_body is not None:
        return write.text_body.replace(VALUE, raw if isinstance(raw, str) else json.dumps(raw)).encode()
    return json.dumps(filled(write.json_body, {VALUE: raw}), separators=(",", ":"), allow_nan=False).encode()


def check_write(write: WriteTo, point: MqttPoint, point_type: PointType, members: tuple[str, ...]) -> None:
    """Make sure that what is written has a meaning. Raises ValueError if it has none."""
    if point.bit is not None or point.bits is not None:
        raise ValueError("write: some bits of a number cannot be written without the others")
    if write.value is not None:
        written(point, point_type, members, write.value)


def _raw(reading: Reading, point_type: PointType, members: tuple[str, ...], value: Value) -> Scalar:
    """Return the raw value whose meaning is `value`."""
    found: Scalar | None = None
    if point_type == "enum" and isinstance(value, str):
        words: Mapping[int | str, str] = reading.enum or {word: word for word in members}
        found = next((raw for raw, word in words.items() if word == value), None)
    elif point_type == "bool" and isinstance(value, bool):
        raw = (reading.bool_map or {True: True, False: False})[value]
        found = raw[0] if isinstance(raw, list) else raw
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
