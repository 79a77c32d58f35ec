"""From the bytes of one property to a value. Pure; everything that can be decided beforehand is decided in `decoder`.

Values carry their types on the wire. One of another type than the point asks for has no meaning: nothing is guessed.
"""

import math
import struct
from collections.abc import Callable, Mapping
from typing import Final, assert_never

from drivers.bacnet import message
from drivers.bacnet.message import Malformed, tag_at
from drivers.bacnet.options import BacnetPoint
from drivers.lookup import check_words
from sitekeeper.model.point import PointType
from sitekeeper.model.quality import GOOD, Q, Reason, bad
from sitekeeper.model.sample import Value

Read = tuple[Value, Q]
Decoder = Callable[[bytes], Read]
"""Takes everything between the tags that enclose a property's value."""

NO_MEANING: Final[Read] = (None, bad(Reason.UNMAPPED))
INVALID: Final[Read] = (None, bad(Reason.DEVICE_FLAGGED))
NOT_FINITE: Final[Read] = (None, bad(Reason.OUT_OF_RANGE))

Atom = tuple[int, int | float | bytes | bool | None]
"""Application tag and value: a number, truth, nothing, or the content as it came."""

_WHOLE: Final = frozenset({message.UNSIGNED, message.SIGNED, message.ENUMERATED})
_CODED: Final = _WHOLE | {message.BOOLEAN}
_NUMBERS: Final = frozenset({message.UNSIGNED, message.SIGNED, message.REAL, message.DOUBLE})
_MOST: Final = 1024
"""Values of one list; more are not looked at."""
_TEXT: Final = 1000
"""Characters of a text; a longer one has no meaning."""
_CHARSETS: Final[dict[int, str]] = {0: "utf-8", 4: "utf-16-be", 5: "latin-1"}
"""Clause 20.2.9; DBCS, JIS and UCS-4 are not read."""


def check(point: BacnetPoint, point_type: PointType, members: tuple[str, ...]) -> None:
    """Make sure that the property can give a value of the class's type.

    Raises:
        ValueError: it cannot; says what is missing.
    """
    plain = point.enum is None and point.bool_map is None and point.contains is None and point.bit is None
    match point_type:
        case "bool":
            if point.enum is not None:
                raise ValueError("the point is a bool: bool: says which raw numbers mean true and false, not enum:")
        case "enum":
            _check_words(point.enum, members)
        case "int":
            if not plain:
                raise ValueError("the point is a whole number: no enum, bool, contains or bit")
            if not (point.scale.is_integer() and point.offset.is_integer()):
                raise ValueError("the point is a whole number, but scale or offset is not")
        case "float" | "text":
            if not plain:
                raise ValueError("the point is a number or a text: no enum, bool, contains or bit")
        case _:
            assert_never(point_type)


def _check_words(enum: Mapping[int, str] | None, members: tuple[str, ...]) -> None:
    if enum is None:
        raise ValueError(f"the point is one of {', '.join(members)}: say by enum: which raw number means which")
    check_words(enum.values(), members)


def decoder(point: BacnetPoint, point_type: PointType) -> Decoder:
    """Return the function that decodes `point`, which `check` has passed."""
    decide = _decide(point, point_type)

    def decode(data: bytes) -> Read:
        try:
            found = atoms(data)
        except Malformed:
            return NO_MEANING
        return decide(found)

    return decode


def atoms(data: bytes) -> list[Atom]:
    """Return the values that lie one after the other in `data`.

    Raises:
        Malformed: they cannot be read, are constructed, or are too many.
    """
    found: list[Atom] = []
    at = 0
    while at < len(data):
        tag = tag_at(data, at)
        if tag.context or len(found) == _MOST:
            raise Malformed("not a list of plain values")
        found.append((tag.number, _atom(tag, data[tag.start : tag.end])))
        at = tag.end
    return found


def _atom(tag: message.Tag, content: bytes) -> int | float | bytes | bool | None:
    match tag.number:
        case message.NULL:
            return None
        case message.BOOLEAN if tag.length <= 1:
            return tag.length == 1
        case message.UNSIGNED | message.ENUMERATED if 1 <= len(content) <= 8:
            return int.from_bytes(content)
        case message.SIGNED if 1 <= len(content) <= 8:
            return int.from_bytes(content, signed=True)
        case message.REAL if len(content) == 4:
            return float(struct.unpack(">f", content)[0])
        case message.DOUBLE if len(content) == 8:
            return float(struct.unpack(">d", content)[0])
        case message.NULL | message.BOOLEAN | message.UNSIGNED | message.ENUMERATED | message.SIGNED:
            raise Malformed("a number of impossible length")
        case message.REAL | message.DOUBLE:
            raise Malformed("a number of impossible length")
        case _:
            return content


def _decide(point: BacnetPoint, point_type: PointType) -> Callable[[list[Atom]], Read]:
    if point.contains is not None:
        return _containing(point.contains)
    if point.bool_map is not None:
        return _truth(point.bool_map, frozenset(point.invalid))
    one = _one(point, point_type)

    def decide(found: list[Atom]) -> Read:
        if len(found) != 1:
            return NO_MEANING
        return INVALID if found[0][1] is None else one(*found[0])

    return decide


def _containing(wanted: int) -> Callable[[list[Atom]], Read]:
    def decide(found: list[Atom]) -> Read:
        if any(tag not in _WHOLE for tag, _ in found):
            return NO_MEANING
        return any(value == wanted for _, value in found), GOOD

    return decide


def _truth(meaning: Mapping[bool, tuple[int, ...]], invalid: frozenset[int | float]) -> Callable[[list[Atom]], Read]:
    """All of several values must be true; one that is false decides, even beside one that has no meaning."""
    table = {raw: truth for truth, raws in meaning.items() for raw in raws}

    def decide(found: list[Atom]) -> Read:
        said = [table.get(value) if tag in _CODED and isinstance(value, int) else None for tag, value in found]
        if False in said:
            return False, GOOD
        if any(value is None or value in invalid for _, value in found):
            return INVALID
        return (True, GOOD) if said and all(said) else NO_MEANING

    return decide


def _one(point: BacnetPoint, point_type: PointType) -> Callable[[int, object], Read]:
    """Return what decides a single value."""
    if point.bit is not None:
        bit = point.bit
        return lambda tag, content: _bit(tag, content, bit)
    match point_type:
        case "bool":
            return lambda tag, value: (bool(value), GOOD) if tag == message.BOOLEAN else NO_MEANING
        case "text":
            return _text
        case "enum":
            words: dict[object, Read] = {raw: (word, GOOD) for raw, word in (point.enum or {}).items()}
            words.update(dict.fromkeys(point.invalid, INVALID))
            return lambda tag, value: words.get(value, NO_MEANING) if tag in _CODED else NO_MEANING
        case "int":
            return _whole(point)
        case "float":
            return _scaled(point)


def _bit(tag: int, content: object, bit: int) -> Read:
    """A bit string is the number of unused bits, then the bits from the highest of the first byte on."""
    if tag != message.BITS or not isinstance(content, bytes) or not content or content[0] > 7:
        return NO_MEANING
    if bit >= (len(content) - 1) * 8 - content[0]:
        return NO_MEANING
    return bool(content[1 + bit // 8] >> (7 - bit % 8) & 1), GOOD


def _text(tag: int, content: object) -> Read:
    if tag != message.CHARACTERS or not isinstance(content, bytes) or not content or content[0] not in _CHARSETS:
        return NO_MEANING
    try:
        text = content[1:].decode(_CHARSETS[content[0]]).strip()
    except UnicodeDecodeError:
        return NO_MEANING
    return (text, GOOD) if text.isprintable() and len(text) <= _TEXT else NO_MEANING


def _whole(point: BacnetPoint) -> Callable[[int, object], Read]:
    factor, plus, invalid = int(point.scale), int(point.offset), frozenset(point.invalid)

    def decide(tag: int, value: object) -> Read:
        if tag not in _WHOLE or not isinstance(value, int):
            return NO_MEANING
        if value in invalid:
            return INVALID
        scaled = value * factor + plus
        return (scaled, GOOD) if -(1 << 63) <= scaled < 1 << 63 else NOT_FINITE

    return decide


def _scaled(point: BacnetPoint) -> Callable[[int, object], Read]:
    """Scale to a float. By 0.1 means divided by 10, so that 3 becomes 0.3 and not 0.30000000000000004."""
    scale, offset, invalid = point.scale, point.offset, frozenset(point.invalid)
    inverse = round(1 / scale)
    divide = abs(scale) < 1 and 1 / inverse == scale

    def decide(tag: int, value: object) -> Read:
        if tag not in _NUMBERS or not isinstance(value, int | float):
            return NO_MEANING
        number = float(value)
        if math.isnan(number) or value in invalid:
            return INVALID
        result = (number / inverse if divide else number * scale) + offset
        return (result, GOOD) if math.isfinite(result) else NOT_FINITE

    return decide


def differ(told: bytes, read: bytes, increment: float | None) -> bool:
    """A real number moves without being told as long as it moves less than the increment, which may be the device's."""
    numbers = [_real(value) for value in (told, read)]
    if None in numbers:
        return told != read
    before, now = numbers
    assert before is not None
    assert now is not None
    return increment is not None and not abs(now - before) < increment


def _real(value: bytes) -> float | None:
    if len(value) == 5 and value[0] >> 4 == message.REAL:
        return float(struct.unpack(">f", value[1:])[0])
    if len(value) == 10 and value[0] >> 4 == message.DOUBLE:
        return float(struct.unpack(">d", value[2:])[0])
    return None
