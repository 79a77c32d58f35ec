"""ReadProperty, ReadPropertyMultiple and WriteProperty as bytes: written, and read with suspicion. Pure.

The library takes whatever object, property and index an answer names for those asked for. Here each is compared, and a
value stays the bytes that came, so that one that did not change is never decoded. Encoding by ANSI/ASHRAE 135-2020,
clauses 20.2 (tags) and 21 (services); 15.5, 15.7 and 15.9 say what the services mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, NamedTuple

READ_PROPERTY: Final = 12
READ_PROPERTY_MULTIPLE: Final = 14
WRITE_PROPERTY: Final = 15

_DEPTH: Final = 32
"""Constructed values nest at most this deep; real ones about four."""
_OPENING: Final = 6
_CLOSING: Final = 7


class Reference(NamedTuple):
    """One property of one object, or one `element` of it if it is an array: from 1 on, 0 is its length."""

    object: int
    instance: int
    property: int
    element: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error for one property (clause 18)."""

    error_class: int
    code: int


Part = bytes | Refusal
"""What came for one reference: its value as bytes, tags included."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """The answer does not belong to the question; says why."""

    what: str


class Malformed(Exception):
    """Bytes that cannot be followed. Never leaves the files that read messages."""


class Tag(NamedTuple):
    """A tag and where its content lies. `length` is the length/value/type field for booleans and paired tags."""

    number: int
    context: bool
    length: int
    start: int
    end: int


# --- writing


def single(reference: Reference) -> bytes:
    """Return the service request of ReadProperty."""
    return object_name(0, reference) + property_name(1, reference)


def multiple(references: Sequence[Reference]) -> bytes:
    """Return the service request of ReadPropertyMultiple; neighbours of one object share its name."""
    parts = []
    for _, members in groupby(references, key=lambda reference: reference[:2]):
        those = list(members)
        parts += [object_name(0, those[0]), b"\x1e", *(property_name(0, one) for one in those), b"\x1f"]
    return b"".join(parts)


def write(reference: Reference, value: bytes, priority: int) -> bytes:
    """Return the service request of WriteProperty; `value` has its application tag, `priority` is 1 to 16."""
    return single(reference) + b"\x3e" + value + b"\x3f" + context_unsigned(4, priority)


def object_name(number: int, reference: Reference) -> bytes:
    """Return the object's identifier under context tag `number`."""
    return bytes([number << 4 | 0x0C]) + (reference.object << 22 | reference.instance).to_bytes(4)


def property_name(number: int, reference: Reference) -> bytes:
    """Return the property under context tag `number`, and its index, if any, under the next."""
    element = b"" if reference.element is None else context_unsigned(number + 1, reference.element)
    return context_unsigned(number, reference.property) + element


def context_unsigned(number: int, value: int) -> bytes:
    """Return a number under context tag `number`."""
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes([number << 4 | 0x08 | size]) + value.to_bytes(size)


# --- reading


def read_single(data: bytes, asked: Reference) -> list[Part] | Wrong:
    """Return the value in an answer to ReadProperty, as a list of one."""
    try:
        reader = Reader(data)
        found = reader.reference(1, reader.object(0))
        value = reader.between(3)
        reader.finish()
    except Malformed as error:
        return Wrong(f"the answer cannot be read: {error}")
    return [value] if found == asked else Wrong(f"the answer is for another property: {tuple(found)}")


def read_multiple(data: bytes, asked: Sequence[Reference]) -> list[Part] | Wrong:
    """Return what an answer to ReadPropertyMultiple has for each reference asked for, in order."""
    try:
        found = list(_results(data, len(asked)))
    except Malformed as error:
        return Wrong(f"the answer cannot be read: {error}")
    for wanted, (reference, _) in zip(asked, found, strict=False):
        if reference != wanted:
            return Wrong(f"the answer is for another property: {tuple(reference)} where {tuple(wanted)} was asked")
    if len(found) != len(asked):
        return Wrong(f"{len(found)} properties answered instead of {len(asked)}")
    return [part for _, part in found]


def _results(data: bytes, most: int) -> list[tuple[Reference, Part]]:
    reader = Reader(data)
    found: list[tuple[Reference, Part]] = []
    while not reader.at_end():
        place = reader.object(0)
        reader.expect(1, _OPENING)
        while not reader.closes(1):
            reference = reader.reference(2, place)
            found.append((reference, reader.refusal() if reader.opens(5) else reader.between(4)))
            if len(found) > most:
                raise Malformed(f"more than the {most} properties asked for")
    return found


class Reader:
    """Walks along tags; raises Malformed where they are not as the service has them."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def at_end(self) -> bool:
        return self._at >= len(self._data)

    def finish(self) -> None:
        if not self.at_end():
            raise Malformed("something follows the end")

    def object(self, number: int) -> tuple[int, int]:
        content = self._content(number)
        if len(content) != 4:
            raise Malformed("an object identifier of other than 4 bytes")
        packed = int.from_bytes(content)
        return packed >> 22, packed & 0x3FFFFF

    def reference(self, first: int, place: tuple[int, int]) -> Reference:
        """Return a property identifier under context tag `first`, and its index, if any, under the next."""
        prop = self.number(first)
        return Reference(*place, prop, self.number(first + 1) if self.has(first + 1) else None)

    def refusal(self) -> Refusal:
        self.expect(5, _OPENING)
        error_class, code = self._enumerated(), self._enumerated()
        self.expect(5, _CLOSING)
        return Refusal(error_class, code)

    def between(self, number: int) -> bytes:
        """Return everything between an opening and its closing tag."""
        self.expect(number, _OPENING)
        start, depth = self._at, 1
        while True:
            tag = tag_at(self._data, self._at)
            if tag.context and tag.length == _CLOSING:
                depth -= 1
                if depth == 0:
                    break
            elif tag.context and tag.length == _OPENING:
                depth += 1
                if depth > _DEPTH:
                    raise Malformed("nested too deep")
            self._at = tag.end
        value = self._data[start : self._at]
        self.expect(number, _CLOSING)
        return value

    def expect(self, number: int, paired: int) -> None:
        tag = tag_at(self._data, self._at)
        if not (tag.context and tag.number == number and tag.length == paired):
            raise Malformed(f"no {'opening' if paired == _OPENING else 'closing'} tag {number} at byte {self._at}")
        self._at = tag.end

    def open(self, number: int) -> None:
        """Step over opening tag `number`."""
        self.expect(number, _OPENING)

    def has(self, number: int) -> bool:
        """Tell whether a primitive under context tag `number` is next."""
        if self.at_end():
            return False
        tag = tag_at(self._data, self._at)
        return tag.context and tag.number == number and tag.length < _OPENING

    def opens(self, number: int) -> bool:
        tag = tag_at(self._data, self._at)
        return tag.context and tag.number == number and tag.length == _OPENING

    def closes(self, number: int) -> bool:
        """Step over closing tag `number` if it is next."""
        tag = tag_at(self._data, self._at)
        if tag.context and tag.number == number and tag.length == _CLOSING:
            self._at = tag.end
            return True
        return False

    def number(self, tag: int) -> int:
        """Return the number under context tag `tag`."""
        return int.from_bytes(self._content(tag))

    def _content(self, number: int) -> bytes:
        """Return the content of a primitive under context tag `number`: an identifier or a number."""
        tag = tag_at(self._data, self._at)
        if not (tag.context and tag.number == number and tag.length < _OPENING):
            raise Malformed(f"no context tag {number} at byte {self._at}")
        if not 1 <= tag.end - tag.start <= 4:
            raise Malformed(f"{tag.end - tag.start} bytes under context tag {number}")
        self._at = tag.end
        return self._data[tag.start : tag.end]

    def _enumerated(self) -> int:
        tag = tag_at(self._data, self._at)
        if tag.context or tag.number != ENUMERATED or not 1 <= tag.end - tag.start <= 4:
            raise Malformed(f"no error class or code at byte {self._at}")
        self._at = tag.end
        return int.from_bytes(self._data[tag.start : tag.end])


NULL, BOOLEAN, UNSIGNED, SIGNED, REAL, DOUBLE = range(6)
OCTETS, CHARACTERS, BITS, ENUMERATED, DATE, TIME, OBJECT = range(6, 13)
"""Application tags (clause 20.2.1.4)."""


def tag_at(data: bytes, at: int) -> Tag:
    """Return the tag that starts at byte `at`.

    Raises:
        Malformed: there is none, or its content runs past the end.
    """
    try:
        first = data[at]
        number, context, length = first >> 4, bool(first & 0x08), first & 0x07
        at += 1
        if number == 15:
            number = data[at]
            at += 1
        if context and length in {_OPENING, _CLOSING}:
            return Tag(number, context, length, at, at)
        if not context and number == BOOLEAN:
            return Tag(number, context, length, at, at)
        size = length
        if length == 5:
            size = data[at]
            at += 1
            if size >= 254:
                wide = 2 if size == 254 else 4
                size = int.from_bytes(data[at : at + wide])
                at += wide
    except IndexError:
        raise Malformed("it ends within a tag") from None
    if length > 5:
        raise Malformed(f"an impossible length at byte {at}")
    if at + size > len(data):
        raise Malformed(f"{size} bytes announced at byte {at}, {max(0, len(data) - at)} there")
    return Tag(number, context, length, at, at + size)
