"""From the bytes of a reply to values. Pure; everything that can be decided beforehand is decided in `decoder`.

A raw value either has a meaning by the profile or the point is bad: nothing is clipped, guessed or carried over.
"""

import math
import struct
from collections.abc import Callable, Mapping
from typing import Final, assert_never

from drivers.lookup import check_words
from drivers.modbus.options import WORDS, ModbusPoint
from sitekeeper.model.point import PointType
from sitekeeper.model.quality import GOOD, Q, Reason, bad
from sitekeeper.model.sample import Value

Read = tuple[Value, Q]
Decoder = Callable[[bytes], Read]
"""Takes exactly the point's own bytes of a reply (for coils and discrete inputs, the one byte with its bit)."""

_Raw = Callable[[bytes], float | str | None]

NO_MEANING: Final[Read] = (None, bad(Reason.UNMAPPED))
_DECODERS: Final[dict[tuple[str, PointType, int], Decoder]] = {}
"""By everything that `decoder` looks at. As many as there are ways of reading in the profiles of the site."""

INVALID: Final[Read] = (None, bad(Reason.DEVICE_FLAGGED))
NOT_FINITE: Final[Read] = (None, bad(Reason.OUT_OF_RANGE))


def check(point: ModbusPoint, point_type: PointType, members: tuple[str, ...]) -> None:
    """Make sure that the registers can give a value of the class's type.

    Raises:
        ValueError: they cannot; says what is missing.
    """
    raw = point.raw_type
    boolean = point.bit is not None or point.bool_map is not None or (point.bits and point.enum is None)
    numeric = not boolean and point.enum is None and raw != "string"
    match point_type:
        case "bool":
            if not boolean:
                raise ValueError("the point is a bool: say which raw values mean true and false (bool:), or which bit")
        case "enum":
            _check_words(point.enum, members)
        case "int":
            if not numeric or raw.startswith("float"):
                raise ValueError(f"the point is a whole number, which {_written(point)} does not give")
            if not (point.scale.is_integer() and point.offset.is_integer()):
                raise ValueError("the point is a whole number, but scale or offset is not")
        case "float":
            if not numeric:
                raise ValueError(f"the point is a number, which {_written(point)} does not give")
        case "text":
            if raw != "string":
                raise ValueError(f"the point is a text: type string is needed, not {_written(point)}")
        case _:
            assert_never(point_type)
    decoder(point, point_type)  # finds raw values that do not fit


def _written(point: ModbusPoint) -> str:
    parts = [f"type {point.raw_type}"] + [key for key in ("bit", "enum") if getattr(point, key) is not None]
    return " with ".join(parts + (["bool"] if point.bool_map is not None else []))


def _check_words(enum: Mapping[int, str] | None, members: tuple[str, ...]) -> None:
    if enum is None:
        raise ValueError(f"the point is one of {', '.join(members)}: say by enum: which raw value means which")
    check_words(enum.values(), members)


def decoder(point: ModbusPoint, point_type: PointType, shift: int = 0) -> Decoder:
    """Return the function that decodes `point`, which `check` has passed.

    Points that mean the same share one: a hundred devices of one profile then need no more memory than one, and what
    is used often is near at hand.

    Args:
        shift: for coils and discrete inputs, the place of its bit within its byte of the reply.
    """
    key = (point.meaning, point_type, shift)
    found = _DECODERS.get(key)
    if found is None:
        raw = (lambda chunk: chunk[0] >> shift & 1) if point.bits else _raw(point)
        found = _DECODERS[key] = _meaning(raw, point, point_type)
    return found


def _raw(point: ModbusPoint) -> _Raw:
    raw, field = _whole_raw(point), point.field_bits
    if field is None:
        return raw
    low, mask = field[0], (1 << field[1] - field[0] + 1) - 1
    return lambda chunk: int(raw(chunk) or 0) >> low & mask


def _whole_raw(point: ModbusPoint) -> _Raw:
    kind = point.raw_type
    arrange = _arrange(point)
    if kind == "string":
        return lambda chunk: _text(arrange(chunk))
    if kind.startswith("bcd"):
        return lambda chunk: _bcd(arrange(chunk))
    if kind.startswith("float"):
        unpack = struct.Struct(">f" if kind == "float32" else ">d").unpack
        return lambda chunk: float(unpack(arrange(chunk))[0])
    signed = kind.startswith("int")
    if arrange is _as_it_is and point.byte is None:
        letter = {1: "h", 2: "i", 4: "q"}[point.size]
        whole = struct.Struct(">" + (letter if signed else letter.upper())).unpack
        return lambda chunk: whole(chunk)[0]
    part = {"high": slice(0, 1), "low": slice(1, 2), None: slice(None)}[point.byte]
    return lambda chunk: int.from_bytes(arrange(chunk)[part], "big", signed=signed)


def places(point: ModbusPoint) -> list[int]:
    """Return where on the wire each byte lies that A, B, C, D has. Applied twice it changes nothing."""
    size = 2 * point.size
    match point.order:
        case "ABCD":
            return list(range(size))
        case "CDAB":
            return [at for word in range(size - 2, -2, -2) for at in (word, word + 1)]
        case "BADC":
            return [at ^ 1 for at in range(size)]
        case "DCBA":
            return list(range(size - 1, -1, -1))


def _arrange(point: ModbusPoint) -> Callable[[bytes], bytes]:
    """Return what puts the bytes into the order A, B, C, D; of a string, it also cuts off a padding byte."""
    size = 2 * point.size
    wanted = places(point)[: point.length or size]
    if wanted == list(range(size)):
        return _as_it_is
    return lambda chunk: bytes([chunk[at] for at in wanted])


def _as_it_is(chunk: bytes) -> bytes:
    return chunk


def _text(data: bytes) -> str | None:
    """Return the text up to the first NUL without blanks around it; None if it is not printable UTF-8."""
    try:
        text = data.partition(b"\0")[0].decode().strip()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def _bcd(data: bytes) -> int | None:
    digits = data.hex()
    return int(digits) if digits.isdecimal() else None


def canonical(point: ModbusPoint, raw: float) -> float:
    """Return a raw value as people write it (0x8000, -32768) the way that the raw function gives it."""
    kind = point.raw_type
    if not isinstance(raw, int) or kind.startswith(("float", "bcd")):
        return raw
    bits = width(point)
    if not -(1 << bits - 1) <= raw < 1 << bits:
        raise ValueError(f"raw value {raw} does not fit into {bits} bit{'s' if bits > 1 else ''}")
    value = raw % (1 << bits)
    signed = kind.startswith("int") and not point.bit_field
    return value - (1 << bits) if signed and value >> bits - 1 else value


def width(point: ModbusPoint) -> int:
    """Return how many bits its raw value has."""
    if point.field_bits is not None:
        return point.field_bits[1] - point.field_bits[0] + 1
    return 1 if point.bits else 8 if point.byte else 16 * WORDS.get(point.raw_type, point.size)


def _meaning(raw: _Raw, point: ModbusPoint, point_type: PointType) -> Decoder:
    invalid: dict[float | str | None, Read] = {canonical(point, value): INVALID for value in point.invalid}
    table = _table(point)
    if table is not None:
        table.update(invalid)
        return lambda chunk: table.get(raw(chunk), NO_MEANING)
    number = _number(point, point_type)

    def decode(chunk: bytes) -> Read:
        value = raw(chunk)
        if value in invalid:
            return INVALID
        return number(value)

    return decode


def _table(point: ModbusPoint) -> dict[float | str | None, Read] | None:
    """Return the meaning of each raw value, where there are few; None for numbers, texts and bits of a register."""
    if point.enum is not None:
        return {canonical(point, raw): (word, GOOD) for raw, word in point.enum.items()}
    if point.bool_map is not None:
        return {canonical(point, raw): (value, GOOD) for value, raw in point.bool_map.items()}
    return {0: (False, GOOD), 1: (True, GOOD)} if point.bits else None


def _number(point: ModbusPoint, point_type: PointType) -> Callable[[float | str | None], Read]:
    """Return what makes the value of a raw number, text or register of which one bit counts."""
    if point.bit is not None:
        bit = point.bit
        return lambda raw: (bool(int(raw or 0) >> bit & 1), GOOD)
    if point_type == "text":
        return lambda raw: NO_MEANING if raw is None else (raw, GOOD)
    if point_type == "int":
        factor, plus = int(point.scale), int(point.offset)
        return lambda raw: NO_MEANING if raw is None else (int(raw) * factor + plus, GOOD)
    return _scaled(point)


def _scaled(point: ModbusPoint) -> Callable[[float | str | None], Read]:
    """Scale to a float. By 0.1 means divided by 10, so that 3 becomes 0.3 and not 0.30000000000000004."""
    scale, offset = point.scale, point.offset
    inverse = round(1 / scale)
    divide = abs(scale) < 1 and 1 / inverse == scale

    def scaled(raw: float | str | None) -> Read:
        if raw is None:
            return NO_MEANING
        number = float(raw)
        if math.isnan(number):
            return INVALID
        value = (number / inverse if divide else number * scale) + offset
        return (value, GOOD) if math.isfinite(value) else NOT_FINITE

    return scaled
