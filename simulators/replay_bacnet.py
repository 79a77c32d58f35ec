"""A BACnet/IP device that answers with the octets of a file, and with nothing else; see `simulators.replay`.

Typed from ANSI/ASHRAE 135-2020: frames by annex J, tags by 20.2, services by 15.5, 15.7 and 16.10. The library of the
other simulators would encode values anew; here they go out as they came in.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from sitekeeper.model.errors import FormatError

DEVICE: Final = 8
READ_PROPERTY, READ_MULTIPLE = 12, 14
WHO_IS: Final = 8
UNKNOWN_OBJECT, UNKNOWN_PROPERTY = (1, 31), (2, 32)
"""Error class and code (clause 18)."""
NO_SUCH_SERVICE: Final = 9
OTHER: Final = 0
MAX_APDU: Final = 1476

Property = tuple[int, int, int, int | None]
"""Type and instance of an object, property, element."""

_NAME: Final = re.compile(r"(?:(\d+):(\d+) )?(\d+)(?:\[(\d+)\])?")


def octets(content: Mapping[str, Any], vector: int = 0) -> tuple[int, dict[Property, bytes]]:
    """Return what one vector of a file holds: the instance of the device, and its properties.

    Raises:
        FormatError: the file has no such vector, or is not of BACnet.
    """
    try:
        held = content["vectors"][vector]
        kind, instance = (int(each) for each in held["object"].split(":"))
        found = {_property(name, kind, instance): bytes.fromhex(said) for name, said in held["octets"].items()}
        device = int(held["device"])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"no octets of a device in it: {error!r}") from error
    if not found or not 0 <= device < 4194303:
        raise FormatError(f"no octets of a device in it, or no device has the instance {device}")
    said = content.get("identity", {})
    names = {121: said.get("vendor"), 70: said.get("model"), 44: said.get("version")}
    itself = _object(DEVICE, device)
    found |= {(DEVICE, device, 75, None): b"\xc4" + itself, (DEVICE, device, 62, None): b"\x22" + MAX_APDU.to_bytes(2)}
    found |= {(DEVICE, device, each, None): _text(str(name)) for each, name in names.items() if name}
    return device, found


def _property(name: str, kind: int, instance: int) -> Property:
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no property: write NUMBER, NUMBER[ELEMENT], or TYPE:INSTANCE NUMBER")
    place = (int(match[1]), int(match[2])) if match[1] else (kind, instance)
    return *place, int(match[3]), int(match[4]) if match[4] else None


def _text(said: str) -> bytes:
    content = b"\x00" + said.encode()
    return (bytes([0x70 | len(content)]) if len(content) < 5 else bytes([0x75, len(content)])) + content


def _object(kind: int, instance: int) -> bytes:
    return (kind << 22 | instance).to_bytes(4)


class Replay(asyncio.DatagramProtocol):
    """Answers ReadProperty, ReadPropertyMultiple and Who-Is; declines whatever else is asked."""

    def __init__(self, device: int, properties: Mapping[Property, bytes]) -> None:
        self._device, self._properties = device, properties
        self._objects = {each[:2] for each in properties}
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # on Python 3.11 the real one is no subclass

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            answer = self._answer(data)
        except (IndexError, ValueError):
            return  # no frame that anybody could answer
        if answer and self._transport is not None:
            self._transport.sendto(b"\x81\x0a" + (len(answer) + 6).to_bytes(2) + b"\x01\x00" + answer, addr)

    def _answer(self, data: bytes) -> bytes:
        if data[0] != 0x81 or data[1] not in (0x0A, 0x0B):
            return b""
        control, at = data[5], 6
        for bit in (0x20, 0x08):  # who it is for, who asks: network, and an address with its length
            at += 3 + data[at + 2] if control & bit else 0
        at += bool(control & 0x20)  # how often it may still be passed on
        apdu = data[at:]
        if control & 0x80:
            return b""
        if apdu[0] >> 4 == 1:
            return self._i_am(apdu) if apdu[1] == WHO_IS else b""
        if apdu[0] >> 4 != 0:
            return b""
        invoke, service, asked = apdu[2], apdu[3], apdu[4:]
        if service == READ_PROPERTY:
            return self._single(invoke, asked)
        if service == READ_MULTIPLE:
            return bytes([0x30, invoke, service]) + b"".join(self._results(asked))
        return bytes([0x60, invoke, NO_SUCH_SERVICE])

    def _i_am(self, apdu: bytes) -> bytes:
        limits = [value for _, value in _numbers(apdu[2:])]
        if limits and not limits[0] <= self._device <= limits[-1]:
            return b""
        itself = _object(DEVICE, self._device)
        return b"\x10\x00\xc4" + itself + b"\x22" + MAX_APDU.to_bytes(2) + b"\x91\x03\x21" + bytes([OTHER])

    def _single(self, invoke: int, asked: bytes) -> bytes:
        named = dict(_numbers(asked))
        kind, instance = named[0] >> 22, named[0] & 0x3FFFFF
        said = self._said((kind, instance, named[1], named.get(2)))
        if isinstance(said, tuple):
            return bytes([0x50, invoke, READ_PROPERTY, 0x91, said[0], 0x91, said[1]])
        return bytes([0x30, invoke, READ_PROPERTY]) + asked + b"\x3e" + said + b"\x3f"

    def _results(self, asked: bytes) -> Iterator[bytes]:
        """Yield the name of each object and, between tags, what each of its properties is."""
        at = 0
        while at < len(asked):
            if asked[at] != 0x0C or asked[at + 5] != 0x1E:
                raise ValueError("no object with its properties")
            packed, start = int.from_bytes(asked[at + 1 : at + 5]), at + 6
            end = start
            while asked[end] != 0x1F:
                end += 1 + (asked[end] & 0x07)
            yield asked[at:start]
            yield from self._of_object(packed >> 22, packed & 0x3FFFFF, list(_numbers(asked[start:end])))
            yield b"\x1f"
            at = end + 1

    def _of_object(self, kind: int, instance: int, named: list[tuple[int, int]]) -> Iterator[bytes]:
        for (tag, prop), (follows, number) in zip(named, [*named[1:], (0, 0)], strict=True):
            if tag == 0:
                element = number if follows == 1 else None
                said = self._said((kind, instance, prop, element))
                yield _number(2, prop) + (b"" if element is None else _number(3, element))
                if isinstance(said, tuple):
                    yield bytes([0x5E, 0x91, said[0], 0x91, said[1], 0x5F])
                else:
                    yield b"\x4e" + said + b"\x4f"

    def _said(self, asked: Property) -> bytes | tuple[int, int]:
        found = self._properties.get(asked)
        if found is not None:
            return found
        return UNKNOWN_PROPERTY if asked[:2] in self._objects else UNKNOWN_OBJECT


def _numbers(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the context tags of a row of primitives with their numbers."""
    at = 0
    while at < len(data):
        tag, size = data[at] >> 4, data[at] & 0x07
        if not data[at] & 0x08 or not 1 <= size <= 4 or at + 1 + size > len(data):
            raise ValueError("no number under a context tag")
        yield tag, int.from_bytes(data[at + 1 : at + 1 + size])
        at += 1 + size


def _number(tag: int, value: int) -> bytes:
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes([tag << 4 | 0x08 | size]) + value.to_bytes(size)
