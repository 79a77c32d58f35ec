"""Who is there: the frames by which BACnet devices are found, and what comes back, as bytes. Pure.

The library would do it, and loses answers on the way: those sent to 255.255.255.255, those of a second device with the
same instance, and on a foreign device everything of its own network. Here each answer counts, from wherever it came.

BACnet/IP frames: ANSI/ASHRAE 135-2020, annex J.2. Network layer: 6.2. Who-Is and I-Am: 16.10, encoded by clause 20.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Final

from drivers.bacnet.codec import Atom, atoms
from drivers.bacnet.message import (
    ENUMERATED,
    OBJECT,
    READ_PROPERTY,
    UNSIGNED,
    Malformed,
    Reference,
    Wrong,
    read_single,
    single,
)
from drivers.bacnet.names import DEVICE, LARGEST_INSTANCE, PROPERTIES

EVERYWHERE: Final = 0xFFFF
"""The network number of a global broadcast (6.2.2)."""
ANY_DEVICE: Final = LARGEST_INSTANCE + 1
"""The instance by which any device answers for itself (12.11.1)."""

_RESULT, _FORWARDED, _REGISTER, _DISTRIBUTE, _UNICAST, _BROADCAST = 0x00, 0x04, 0x05, 0x09, 0x0A, 0x0B
_HEADERS: Final = {_FORWARDED: 10, _DISTRIBUTE: 4, _UNICAST: 4, _BROADCAST: 4}
"""Functions that carry a message, and where it begins (J.2)."""
_HOPS: Final = 255
_NETWORK_MESSAGE, _HAS_DESTINATION, _HAS_SOURCE, _WANTS_REPLY = 0x80, 0x20, 0x08, 0x04
_CONFIRMED, _UNCONFIRMED, _COMPLEX_ACK, _I_AM, _WHO_IS = 0x00, 0x10, 0x30, 0, 8
_DECLINED: Final = frozenset({0x50, 0x60, 0x70})
"""Error, reject and abort (20.1)."""
_ITSELF: Final = Reference(DEVICE, ANY_DEVICE, PROPERTIES["object-identifier"])
REGISTERED: Final = 0
"""The result code by which a BBMD takes a foreign device (J.2.1)."""

Place = tuple[str, int]
"""IP address and port."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a device said of itself. `address`: `10.1.3.20:47808`, or `5:0a@10.1.3.1:47808` behind a router.

    `segmentation` and `vendor` by the numbers of the standard; None where only the device's own name was read.
    """

    instance: int
    address: str
    max_apdu: int | None = None
    segmentation: int | None = None
    vendor: int | None = None


@dataclass(frozen=True, slots=True)
class Nameless:
    """A device that declines to say which one it is: it is there, and has to be asked by its instance."""

    address: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of a BBMD to a registration: `REGISTERED`, or 0x30 if it takes no foreign devices."""

    code: int


# --- what is sent


def who_is(low: int | None = None, high: int | None = None, *, network: int | None = None) -> bytes:
    """Return the question to everybody with an instance from `low` to `high`, on one `network` or EVERYWHERE."""
    limits = b"" if low is None or high is None else _limit(0, low) + _limit(1, high)
    return _npdu(network, replies=False) + bytes([_UNCONFIRMED, _WHO_IS]) + limits


def who_are_you(invoke: int) -> bytes:
    """Return a read of the one device at an address by the instance that stands for any: some hear no Who-Is."""
    return _npdu(None, replies=True) + bytes([_CONFIRMED, 0x05, invoke & 0xFF, READ_PROPERTY]) + single(_ITSELF)


def to_one(message: bytes) -> bytes:
    """Return the frame that carries a message to one device."""
    return _frame(_UNICAST, message)


def to_all(message: bytes) -> bytes:
    """Return the frame that carries a message to a broadcast address."""
    return _frame(_BROADCAST, message)


def by_bbmd(message: bytes) -> bytes:
    """Return the frame by which a registered foreign device has a BBMD broadcast a message."""
    return _frame(_DISTRIBUTE, message)


def register(seconds: int) -> bytes:
    """Return the request to be told a BBMD's broadcasts, for so many seconds and 30 more (J.5.2.3)."""
    return _frame(_REGISTER, seconds.to_bytes(2))


def _frame(function: int, content: bytes) -> bytes:
    return bytes([0x81, function]) + (len(content) + 4).to_bytes(2) + content


def _npdu(network: int | None, *, replies: bool) -> bytes:
    control = _WANTS_REPLY if replies else 0
    if network is None:
        return bytes([1, control])
    return bytes([1, control | _HAS_DESTINATION]) + network.to_bytes(2) + bytes([0, _HOPS])


def _limit(number: int, value: int) -> bytes:
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes([number << 4 | 0x08 | size]) + value.to_bytes(size)


# --- what comes back


def understand(data: bytes, source: Place) -> Heard | Nameless | Outcome | None:
    """Return what a frame says; None for whatever is no introduction, no refusal of one and no BBMD's result."""
    if len(data) < 4 or data[0] != 0x81 or int.from_bytes(data[2:4]) != len(data):
        return None
    if data[1] == _RESULT:
        return Outcome(int.from_bytes(data[4:6])) if len(data) == 6 else None
    start = _HEADERS.get(data[1])
    if start is None or len(data) < start:
        return None
    if data[1] == _FORWARDED:
        source = str(IPv4Address(data[4:8])), int.from_bytes(data[8:10])
    return _message(data[start:], "{}:{}".format(*source))


def _message(npdu: bytes, sender: str) -> Heard | Nameless | None:
    """Return the introduction in a network message; `sender` is where it came from, a router perhaps."""
    if len(npdu) < 2 or npdu[0] != 1 or npdu[1] & _NETWORK_MESSAGE:
        return None
    at = 2
    if npdu[1] & _HAS_DESTINATION:
        at += 3 + npdu[4] if len(npdu) > 4 else len(npdu)
    if npdu[1] & _HAS_SOURCE:
        head = npdu[at : at + 3]
        mac = npdu[at + 3 : at + 3 + head[2]] if len(head) == 3 else b""
        if not mac or len(mac) != head[2]:
            return None
        sender = f"{int.from_bytes(head[:2])}:{mac.hex()}@{sender}"
        at += 3 + len(mac)
    at += bool(npdu[1] & _HAS_DESTINATION)  # how many routers it may still pass
    return _introduction(npdu[at:], sender)


def _introduction(apdu: bytes, sender: str) -> Heard | Nameless | None:
    if apdu[:2] == bytes([_UNCONFIRMED, _I_AM]):
        return _i_am(apdu[2:], sender)
    if len(apdu) > 3 and apdu[0] == _COMPLEX_ACK and apdu[2] == READ_PROPERTY:
        return _itself(apdu[3:], sender)
    return Nameless(sender) if len(apdu) > 2 and apdu[0] & 0xF0 in _DECLINED else None


def _i_am(service: bytes, sender: str) -> Heard | None:
    found = _atoms(service)
    if [tag for tag, _ in found] != [OBJECT, UNSIGNED, ENUMERATED, UNSIGNED]:
        return None
    (_, packed), (_, most), (_, segments), (_, vendor) = found
    instance = _device(packed)
    if instance is None or not (isinstance(most, int) and isinstance(segments, int) and isinstance(vendor, int)):
        return None
    return Heard(instance, sender, most, segments, vendor)


def _itself(service: bytes, sender: str) -> Heard | None:
    """Return the device in an answer to `who_are_you`; some answer by the instance that is theirs."""
    named = int.from_bytes(service[1:5]) & ANY_DEVICE if len(service) > 5 else ANY_DEVICE
    found = read_single(service, _ITSELF._replace(instance=named))
    value = b"" if isinstance(found, Wrong) else found[0]
    told = _atoms(value) if isinstance(value, bytes) else []
    instance = _device(told[0][1]) if len(told) == 1 and told[0][0] == OBJECT else None
    return None if instance is None else Heard(instance, sender)


def _atoms(data: bytes) -> list[Atom]:
    try:
        return atoms(data)
    except Malformed:
        return []


def _device(packed: object) -> int | None:
    if not isinstance(packed, bytes) or len(packed) != 4:
        return None
    kind, instance = divmod(int.from_bytes(packed), 1 << 22)
    return instance if kind == DEVICE and instance <= LARGEST_INSTANCE else None


# --- asking in turn


@dataclass(slots=True)
class Windows:
    """Ranges of instances, each of so few devices that none of their answers is lost in a flood of them.

    A range in which `many` or more introduce themselves is asked again in two halves, split where half of those heard
    so far lie below. Answers that were lost the first time come then.

    Attributes:
        most: ranges that are asked at all. cut: ranges that would have had to be asked again, after `most`.
    """

    low: int = 0
    high: int = LARGEST_INSTANCE
    many: int = 40
    most: int = 128
    asked: int = 0
    cut: int = 0
    _waiting: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._waiting.append((self.low, self.high))

    def next(self) -> tuple[int, int] | None:
        """Return the next range to ask; None at the end."""
        if not self._waiting or self.asked >= self.most:
            self.cut += len(self._waiting)
            self._waiting.clear()
            return None
        self.asked += 1
        return self._waiting.pop()

    def answered(self, low: int, high: int, instances: Iterable[int]) -> None:
        """Note who answered for a range, once for each answer."""
        inside = sorted(each for each in instances if low <= each <= high)
        if len(inside) < self.many or low == high:
            return
        middle = max(low, min(inside[len(inside) // 2] - 1, high - 1))
        self._waiting += [(middle + 1, high), (low, middle)]


def duplicates(heard: Iterable[Heard]) -> dict[int, list[str]]:
    """Return the instances that several devices claim, with their addresses."""
    places: dict[int, set[str]] = {}
    for each in heard:
        places.setdefault(each.instance, set()).add(each.address)
    return {instance: sorted(found) for instance, found in sorted(places.items()) if len(found) > 1}


def addresses(first: str, bits: int) -> Iterator[str]:
    """Return the addresses of hosts in a network, in order; of one of 31 or 32 bits all of them."""
    size = 1 << (32 - bits)
    start = int(IPv4Address(first)) & ~(size - 1)
    inner = range(start, start + size) if bits >= 31 else range(start + 1, start + size - 1)
    return (str(IPv4Address(each)) for each in inner)
