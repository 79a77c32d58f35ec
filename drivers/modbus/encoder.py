"""From values to the bytes of a write request: the way back of `codec`. Pure.

What is written is decoded again before it leaves, so that a register that cannot hold the value, or would give it
another meaning, is an error and never a command. Only a number between two steps of a register goes to the nearer one.
"""

import math
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import NoReturn

from drivers.modbus.codec import canonical, decoder, places, width
from drivers.modbus.options import ModbusPoint
from sitekeeper.model.point import PointType
from sitekeeper.model.quality import GOOD
from sitekeeper.model.sample import Value

Encoder = Callable[[Value], bytes]
"""Returns the point's own bytes of a write: its registers as they lie on the wire; for a coil one byte, 0 or 1; for one
bit of a register the masks of function 22: AND, then OR.

Raises ValueError: the point cannot hold that value; says why.
"""


def encoder(point: ModbusPoint, point_type: PointType) -> Encoder:
    """Return the function that encodes `point`, which `codec.check` has passed."""
    decode = decoder(point, point_type)
    raw_of = _raw_of(point, point_type)

    def encode(value: Value) -> bytes:
        chunk = _chunk(point, raw_of(value))
        there, q = decode(chunk)
        if q != GOOD or (there != value and point_type != "float"):
            raise ValueError(f"{value!r} cannot be written: the register would not mean that")
        return chunk

    return encode if point.bit is None else lambda value: _masks(encode(True), encode(value))


def _masks(bit: bytes, chunk: bytes) -> bytes:
    """Return what leaves every other bit as it is: register = (register AND first) OR (second AND NOT first)."""
    return bytes(0xFF ^ byte for byte in bit) + chunk


def _raw_of(point: ModbusPoint, point_type: PointType) -> Callable[[Value], float | str]:
    """Return what gives the raw value for a value."""
    match point_type:
        case "bool":
            truth = point.bool_map or {False: 0, True: 1 << (point.bit or 0)}
            return lambda value: canonical(point, truth[_bool(value)])
        case "enum":
            raws: dict[Value, int] = {}
            for raw, word in (point.enum or {}).items():
                raws.setdefault(word, raw)  # of several for one word the first
            return lambda value: canonical(point, _member(raws, value))
        case "text":
            return _text
        case "int":
            return lambda value: _whole(point, value)
        case "float":
            return lambda value: _real(point, value)


def _bool(value: Value) -> bool:
    return value if isinstance(value, bool) else _refused(value, "not true or false")


def _member(raws: dict[Value, int], value: Value) -> int:
    if isinstance(value, str) and value in raws:
        return raws[value]
    return _refused(value, f"not a word that can be written here; there are {', '.join(map(str, raws))}")


def _text(value: Value) -> str:
    return value if isinstance(value, str) else _refused(value, "not a text")


def _whole(point: ModbusPoint, value: Value) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        _refused(value, "not a whole number")
    raw, rest = divmod(value - int(point.offset), int(point.scale))
    return _refused(value, f"between two steps of {point.scale:g}") if rest else raw


def _real(point: ModbusPoint, value: Value) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        _refused(value, "not a number that can be written")
    if point.raw_type.startswith("float"):
        return (value - point.offset) / point.scale
    return round((Fraction(value) - Fraction(point.offset)) / Fraction(str(point.scale)))


def _refused(value: Value, why: str) -> NoReturn:
    raise ValueError(f"{value!r} is {why}")


def _chunk(point: ModbusPoint, raw: float | str) -> bytes:
    """Return the bytes of a raw value in their order on the wire."""
    if point.bits:
        return bytes([int(raw)])
    size, kind = 2 * point.size, point.raw_type
    if isinstance(raw, str):
        data = raw.encode()
        if len(data) > (point.length or 0):
            raise ValueError(f"a text of {len(data)} bytes does not fit into {point.length}")
        data = data.ljust(size, b"\0")
    elif kind.startswith("float"):
        try:
            data = struct.pack(">f" if kind == "float32" else ">d", raw)
        except OverflowError:
            raise ValueError(f"{raw:g} does not fit into {kind}") from None
    elif kind.startswith("bcd"):
        digits = str(raw).zfill(2 * size)
        if len(digits) > 2 * size or not digits.isdecimal():
            raise ValueError(f"{raw} does not fit into {kind}")
        data = bytes.fromhex(digits)
    else:
        try:
            data = int(raw).to_bytes(size, "big", signed=kind.startswith("int"))
        except OverflowError:
            raise ValueError(f"raw value {raw} does not fit into {width(point)} bits ({kind})") from None
    return bytes([data[at] for at in places(point)])
