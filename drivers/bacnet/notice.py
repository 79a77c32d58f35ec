"""What devices say unasked, and how they are asked to: SubscribeCOV, notifications, I-Am as bytes. Pure.

ANSI/ASHRAE 135-2020: 13.14 and 13.15 (subscribing), 13.6 and 13.7 (notifications), 16.10 (I-Am), 21 (encoding). The
library is not let near them: it would take a notification's values for those of whatever it names.
"""

import struct
from dataclasses import dataclass
from typing import Final

from drivers.bacnet.codec import atoms
from drivers.bacnet.message import (
    ENUMERATED,
    OBJECT,
    UNSIGNED,
    Malformed,
    Reader,
    Reference,
    Wrong,
    context_unsigned,
    object_name,
    property_name,
)
from drivers.bacnet.names import DEVICE
from sitekeeper.model.clock import SECOND, Micros

SUBSCRIBE: Final = 5
SUBSCRIBE_PROPERTY: Final = 28
"""Confirmed services."""
CONFIRMED_NOTICE: Final = 1
"""Confirmed service."""
UNCONFIRMED_NOTICE: Final = 2
I_AM: Final = 0
WHO_IS: Final = 8
"""Unconfirmed services."""

_MOST_VALUES: Final = 64
"""Properties that one notification may have; of real ones two, and a dozen for a door or a lift."""


def subscribe(
    process: int,
    reference: Reference,
    *,
    confirmed: bool = True,
    seconds: int | None,
    whole: bool,
    increment: float | None = None,
) -> bytes:
    """Return the service request of SubscribeCOV (`whole`: of the object) or SubscribeCOVProperty.

    Args:
        process: our number for it. confirmed: whether notifications are to be acknowledged.
        seconds: how long it lasts; None gives it up. increment: smallest change of a real number that is told.
    """
    terms = b"" if seconds is None else bytes([0x29, confirmed]) + context_unsigned(3, seconds)
    head = context_unsigned(0, process) + object_name(1, reference) + terms
    if whole:
        return head
    smallest = b"" if increment is None or seconds is None else b"\x5c" + struct.pack(">f", increment)
    return head + b"\x4e" + property_name(0, reference) + b"\x4f" + smallest


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification as it came.

    Attributes:
        process: the number under which it was subscribed. device: instance of the device that sends it.
        place: type and instance of the object. remaining: seconds left of the subscription.
        values: what each property now is, tags included.
    """

    process: int
    device: int
    place: tuple[int, int]
    remaining: int
    values: dict[Reference, bytes]


def read_notice(data: bytes) -> Notice | Wrong:
    """Return the notification in a service request of either kind."""
    try:
        reader = Reader(data)
        process = reader.number(0)
        kind, device = reader.object(1)
        place = reader.object(2)
        remaining = reader.number(3)
        values = _values(reader, place)
        reader.finish()
    except Malformed as error:
        return Wrong(f"the notification cannot be read: {error}")
    if kind != DEVICE:
        return Wrong(f"the notification comes from an object of type {kind}, which is no device")
    return Notice(process, device, place, remaining, values)


def _values(reader: Reader, place: tuple[int, int]) -> dict[Reference, bytes]:
    values: dict[Reference, bytes] = {}
    reader.open(4)
    while not reader.closes(4):
        reference = reader.reference(0, place)
        if reference in values or len(values) == _MOST_VALUES:
            raise Malformed("a property twice, or too many")
        values[reference] = reader.between(2)
        if reader.has(3):
            reader.number(3)  # the priority of a command
    return values


@dataclass(frozen=True, slots=True)
class IAm:
    """What a device says of itself, unasked or when asked who is there."""

    instance: int
    max_apdu: int
    segmentation: int
    vendor: int


@dataclass(frozen=True, slots=True)
class Introduced:
    """Who said who he is when asked who is there."""

    instance: int
    address: str


def read_i_am(data: bytes) -> IAm | Wrong:
    """Return what is in an I-Am."""
    try:
        said = atoms(data)
    except Malformed as error:
        return Wrong(f"the I-Am cannot be read: {error}")
    if [tag for tag, _ in said] != [OBJECT, UNSIGNED, ENUMERATED, UNSIGNED]:
        return Wrong("the I-Am has other contents than an I-Am")
    (_, name), *numbers = said
    assert isinstance(name, bytes)
    packed = int.from_bytes(name)
    if len(name) != 4 or packed >> 22 != DEVICE:
        return Wrong("the I-Am names something that is no device")
    return IAm(packed & 0x3FFFFF, *(int(value) for _, value in numbers if isinstance(value, int)))


class Repeats:
    """Notifications of the last seconds, by their very bytes: one that comes a second time is not believed."""

    MOST: Final = 256
    FOR: Final[Micros] = 15 * SECOND

    def __init__(self) -> None:
        self._last: dict[tuple[object, int, bytes], Micros] = {}

    def before(self, source: object, invoke: int, data: bytes, now: Micros) -> Micros | None:
        """Return when these bytes came before from this address, under this invoke id, if it was a moment ago."""
        key = (source, invoke, data)
        before = self._last.pop(key, None)
        self._last[key] = now
        while len(self._last) > self.MOST:
            del self._last[next(iter(self._last))]
        return before if before is not None and now - before < self.FOR else None
