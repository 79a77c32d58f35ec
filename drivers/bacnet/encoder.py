"""From values to the bytes of a property: the way back of `codec`. Pure.

A device takes a value only in the type of its property. Which that is, the standard says for Present_Value by the type
of the object; a profile says it for anything else that is not plain. What is written is decoded again before it leaves,
so that nothing is sent that would be read back as something else.
"""

import math
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Final, NoReturn

from drivers.bacnet import message
from drivers.bacnet.codec import decoder
from drivers.bacnet.names import OBJECTS, PROPERTIES, object_type, property_id
from drivers.bacnet.options import BacnetPoint
from sitekeeper.model.point import PointType
from sitekeeper.model.quality import GOOD
from sitekeeper.model.sample import Value

Encoder = Callable[[Value], bytes]
"""Returns the application-tagged value; of None the Null that gives a command up.

Raises ValueError: the property cannot hold that value; says why.
"""

NULL: Final = b"\0"
WARN: Final = -1
"""What is written to have gear blink, as with Lighting Output; with `warn:` also to what is only on or off."""

_TAGS: Final[dict[str, int]] = {
    "boolean": message.BOOLEAN,
    "unsigned": message.UNSIGNED,
    "signed": message.SIGNED,
    "real": message.REAL,
    "double": message.DOUBLE,
    "enumerated": message.ENUMERATED,
}
_PRESENT_VALUES: Final[dict[int, int]] = {
    OBJECTS[name]: tag
    for tag, names in {
        message.REAL: ("analog-input", "analog-output", "analog-value", "lighting-output", "loop"),
        message.DOUBLE: ("large-analog-value",),
        message.ENUMERATED: ("binary-input", "binary-output", "binary-value", "binary-lighting-output", "access-door"),
        message.UNSIGNED: ("multi-state-input", "multi-state-output", "multi-state-value", "positive-integer-value"),
        message.SIGNED: ("integer-value",),
    }.items()
    for name in names
}
"""ANSI/ASHRAE 135-2020, clause 12."""


def check_write(point: BacnetPoint, point_type: PointType) -> None:
    """Make sure that a point with `write:` can be written.

    Raises:
        ValueError: it cannot; says why.
    """
    if point.write is False:
        return
    if point.contains is not None or point.bit is not None:
        raise ValueError("a part of a property cannot be written: no write: beside contains: or bit:")
    if point_type == "text":
        raise ValueError("texts are not written: no write:")
    tag = _tag(point, point_type)
    coded = point.enum is not None or point.bool_map is not None
    if tag == message.BOOLEAN and point_type != "bool":
        raise ValueError("write: boolean is for a point that is a bool")
    if coded and tag in {message.REAL, message.DOUBLE}:
        raise ValueError("a word or truth is no real number: say by write: which type the property has")
    if point_type == "bool" and not coded and tag != message.BOOLEAN:
        raise ValueError("the property is no boolean: bool: says which raw numbers to write")


def encoder(point: BacnetPoint, point_type: PointType) -> Encoder:
    """Return the function that encodes `point`, which `check_write` has passed."""
    decode, raw_of, tag = decoder(point, point_type), _raw_of(point, point_type), _tag(point, point_type)

    def encode(value: Value) -> bytes:
        if value is None:
            return NULL
        if point.warn is not None and value == WARN:
            return _tagged(tag, point.warn)
        data = _tagged(tag, raw_of(value))
        there, q = decode(data)
        if q != GOOD or (there != value and point_type != "float"):
            _refused(value, "not what the property would then mean")
        return data

    return encode


def _tag(point: BacnetPoint, point_type: PointType) -> int:
    """Return the application tag that the property's value has."""
    if isinstance(point.write, str):
        return _TAGS[point.write]
    if property_id(point.property) == PROPERTIES["present-value"]:
        tag = _PRESENT_VALUES.get(object_type(point.object))
        if tag is not None:
            return tag
    match point_type:
        case "float":
            return message.REAL
        case "int":
            return message.UNSIGNED
        case _:
            return message.BOOLEAN if point_type == "bool" and point.bool_map is None else message.ENUMERATED


def _raw_of(point: BacnetPoint, point_type: PointType) -> Callable[[Value], float]:
    """Return what gives the raw number for a value."""
    match point_type:
        case "bool":
            truth = {True: 1, False: 0} if point.bool_map is None else {k: v[0] for k, v in point.bool_map.items()}
            return lambda value: truth[value] if isinstance(value, bool) else _refused(value, "not true or false")
        case "enum":
            raws: dict[Value, int] = {}
            for raw, word in (point.enum or {}).items():
                raws.setdefault(word, raw)  # of several for one word the first
            return lambda value: _member(raws, value)
        case _:
            return lambda value: _number(point, point_type, value)


def _member(raws: dict[Value, int], value: Value) -> int:
    if isinstance(value, str) and value in raws:
        return raws[value]
    return _refused(value, f"not a word that can be written here; there are {', '.join(map(str, raws))}")


def _number(point: BacnetPoint, point_type: PointType, value: Value) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        _refused(value, "not a number that can be written")
    if point_type == "int" and not isinstance(value, int):
        _refused(value, "not a whole number")
    tag = _tag(point, point_type)
    if tag in {message.REAL, message.DOUBLE}:
        return (value - point.offset) / point.scale
    raw = (Fraction(value) - Fraction(point.offset)) / Fraction(str(point.scale))
    if point_type == "int" and raw.denominator != 1:
        _refused(value, f"between two steps of {point.scale:g}")
    return round(raw)


def _tagged(tag: int, raw: float) -> bytes:
    """Return a value with its tag (clause 20.2)."""
    match tag:
        case message.BOOLEAN:
            return bytes([tag << 4 | bool(raw)])
        case message.REAL | message.DOUBLE:
            return _real(tag, raw)
    number, signed = int(raw), tag == message.SIGNED
    bits = (~number if signed and number < 0 else number).bit_length() + signed
    size = max(1, (bits + 7) // 8)
    if (number < 0 and not signed) or size > 4:
        raise ValueError(f"raw value {number} does not fit into the property's type")
    return bytes([tag << 4 | size]) + number.to_bytes(size, "big", signed=signed)


def _real(tag: int, raw: float) -> bytes:
    try:
        return b"\x44" + struct.pack(">f", raw) if tag == message.REAL else b"\x55\x08" + struct.pack(">d", raw)
    except OverflowError:
        raise ValueError(f"{raw:g} does not fit into the property's type") from None


def _refused(value: Value, why: str) -> NoReturn:
    raise ValueError(f"{value!r} is {why}")
