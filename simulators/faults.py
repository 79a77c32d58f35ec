"""Ways in which a device or the way to it can be wrong. Pure.

For Modbus also what to do about it: a fault and a sound reply in, steps out. The others are carried out by the BACnet
server, by the MQTT controllers and by the proxy.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from sitekeeper.model.clock import MS, Micros


class FaultKind(StrEnum):
    """What is wrong; see `SWITCHES`."""

    SILENCE = "silence"
    LATE = "late"
    SHORT = "short"
    WRONG_FUNCTION = "wrong_function"
    WRONG_UNIT = "wrong_unit"
    WRONG_TRANSACTION = "wrong_transaction"
    SPLIT = "split"
    RESET = "reset"
    EXCEPTION = "exception"
    JAMMED = "jammed"
    FREEZE = "freeze"
    GARBAGE = "garbage"
    REFUSE = "refuse"
    NO_RPM = "no_rpm"
    NO_COV = "no_cov"
    FORGET = "forget"
    PROPERTY_ERROR = "property_error"
    WRONG_OBJECT = "wrong_object"
    WRONG_PROPERTY = "wrong_property"
    TOO_LONG = "too_long"
    OUT_OF_SERVICE = "out_of_service"
    UNRELIABLE = "unreliable"
    CUT = "cut"
    HANG = "hang"
    HALF_OPEN = "half_open"
    DELAY = "delay"
    JITTER = "jitter"
    THROTTLE = "throttle"
    REPEAT = "repeat"
    GARBLE = "garble"
    REORDER = "reorder"
    OFFLINE = "offline"
    TWICE = "twice"
    SHUFFLE = "shuffle"
    LOSE = "lose"
    RETAINED = "retained"
    WRONG_TYPES = "wrong_types"
    HUGE = "huge"
    BABBLE = "babble"
    LIES = "lies"
    CLOCK_AHEAD = "clock_ahead"
    CLOCK_BEHIND = "clock_behind"


Protocol = Literal["modbus", "bacnet", "mqtt"]
Place = Literal["device", "link", "way"]


@dataclass(frozen=True, slots=True)
class Switch:
    """A fault that can be switched on.

    Attributes:
        place: what is wrong: a device, the whole link, or the way to it (the proxy of a link with `proxy: true`).
        protocols: of the links on which it can happen.
        meaning: in words, with the particulars that it takes.
    """

    place: Place
    protocols: tuple[Protocol, ...]
    meaning: str


_ALL: Final[tuple[Protocol, ...]] = ("modbus", "bacnet", "mqtt")

SWITCHES: Final[dict[FaultKind, Switch]] = {
    FaultKind.SILENCE: Switch("device", _ALL, "no answer, while other devices on the link answer"),
    FaultKind.LATE: Switch("device", ("modbus", "bacnet"), "a sound answer, `delay` later"),
    FaultKind.FREEZE: Switch(
        "device", ("modbus", "bacnet"), "answers, but nothing changes any more: the heartbeat too"
    ),
    FaultKind.SHORT: Switch("device", ("modbus",), "`count` registers too few, in a frame that agrees with itself"),
    FaultKind.WRONG_FUNCTION: Switch("device", ("modbus",), "the answer has another function code"),
    FaultKind.WRONG_UNIT: Switch("device", ("modbus",), "the answer names the next unit"),
    FaultKind.WRONG_TRANSACTION: Switch("device", ("modbus",), "the answer belongs to the request before"),
    FaultKind.SPLIT: Switch("device", ("modbus",), "a sound answer in pieces of `count` bytes, `delay` apart"),
    FaultKind.RESET: Switch("device", ("modbus",), "half an answer, then the connection is reset"),
    FaultKind.EXCEPTION: Switch("device", ("modbus",), "exception `code` instead of the answer"),
    FaultKind.JAMMED: Switch(
        "device", ("modbus",), "has no identification; asked for it, or for what else it lacks, it jams the connection"
    ),
    FaultKind.GARBAGE: Switch("device", ("modbus", "mqtt"), "`count` bytes of rubbish before what is sound"),
    FaultKind.NO_RPM: Switch("device", ("bacnet",), "rejects ReadPropertyMultiple"),
    FaultKind.NO_COV: Switch("device", ("bacnet",), "refuses to tell changes, and tells none"),
    FaultKind.FORGET: Switch("device", ("bacnet",), "was restarted: has forgotten, once, whom it was to tell changes"),
    FaultKind.PROPERTY_ERROR: Switch("device", ("bacnet",), "an error for `property`, or for each"),
    FaultKind.WRONG_OBJECT: Switch("device", ("bacnet",), "the answer names the next object"),
    FaultKind.WRONG_PROPERTY: Switch("device", ("bacnet",), "the answer names another property, the first if several"),
    FaultKind.TOO_LONG: Switch("device", ("bacnet",), "aborts where the answer would have more than `count` bytes"),
    FaultKind.OUT_OF_SERVICE: Switch(
        "device", ("bacnet",), "says that its values are made up: they are as they were when it was switched on"
    ),
    FaultKind.UNRELIABLE: Switch("device", ("bacnet",), "says that something is wrong: reliability `code`"),
    FaultKind.OFFLINE: Switch("device", ("mqtt",), "its network is off; the broker publishes its will"),
    FaultKind.TWICE: Switch("device", ("mqtt",), "each event is published `count` times more"),
    FaultKind.SHUFFLE: Switch(
        "device", ("mqtt",), "events go out in groups of `count`, at least 2, backwards; none waits longer than `delay`"
    ),
    FaultKind.LOSE: Switch("device", ("mqtt",), "events are taken for sent and are not; who asks gets them"),
    FaultKind.RETAINED: Switch("device", ("mqtt",), "events are published retained"),
    FaultKind.WRONG_TYPES: Switch("device", ("mqtt",), "a message with wrong types before each sound event"),
    FaultKind.HUGE: Switch("device", ("mqtt",), "a message of `count` KiB before each sound event"),
    FaultKind.BABBLE: Switch("device", ("mqtt",), "`count` messages that are no events before each sound event"),
    FaultKind.LIES: Switch("device", ("mqtt",), "its status says that it is not there, while it goes on telling"),
    FaultKind.CLOCK_AHEAD: Switch("device", ("mqtt",), "its clock is `delay` ahead"),
    FaultKind.CLOCK_BEHIND: Switch("device", ("mqtt",), "its clock is `delay` behind"),
    FaultKind.REFUSE: Switch("link", _ALL, "nobody listens, or nobody reaches the broker"),
    FaultKind.CUT: Switch("way", _ALL, "connections are reset, old and new; datagrams are lost"),
    FaultKind.HANG: Switch(
        "way", _ALL, "nothing gets through; connections stay and go on afterwards; datagrams are lost"
    ),
    FaultKind.HALF_OPEN: Switch(
        "way", _ALL, "connections, old and new, stay for the client and lead nowhere, for good"
    ),
    FaultKind.DELAY: Switch("way", _ALL, "everything comes `delay` later"),
    FaultKind.JITTER: Switch("way", _ALL, "everything comes later by anything up to `delay`"),
    FaultKind.THROTTLE: Switch("way", _ALL, "`count` bytes a second"),
    FaultKind.REPEAT: Switch("way", _ALL, "everything comes twice"),
    FaultKind.GARBLE: Switch("way", _ALL, "one bit is wrong in each of `count` bytes"),
    FaultKind.REORDER: Switch("way", ("bacnet",), "every other datagram comes `delay` later, behind the next"),
}
"""Every fault of every protocol, in one table."""


def possible(protocol: Protocol, *places: Place) -> frozenset[FaultKind]:
    """Return the faults that can happen at these places on a link of this protocol."""
    return frozenset(
        kind for kind, switch in SWITCHES.items() if protocol in switch.protocols and switch.place in places
    )


BELIEVABLE: Final = frozenset({FaultKind.LATE, FaultKind.SPLIT, FaultKind.GARBAGE})
"""Faults after which a careful client may still have the right values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault with its particulars; `times` is how many replies it spoils, None for all until it is switched off.

    `only` is for a stream of the proxy: what goes `up` to the target is spoilt, or what comes `down` from it.
    """

    kind: FaultKind
    delay: Micros = 100 * MS
    count: int = 1
    code: int = 4
    times: int | None = None
    property: str = ""
    only: Literal["", "up", "down"] = ""


@dataclass(frozen=True, slots=True)
class Send:
    """Write these bytes."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Let real time pass, microseconds."""

    time: Micros


@dataclass(frozen=True, slots=True)
class Reset:
    """End the connection with RST."""


@dataclass(frozen=True, slots=True)
class Jam:
    """Answer nothing more on this connection, and leave it to the peer to end it."""


Step = Send | Wait | Reset | Jam


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One message: transaction, unit and protocol data unit (function code first)."""

    transaction: int
    unit: int
    pdu: bytes

    def mbap(self) -> bytes:
        """Return the message as it goes over Modbus TCP (MODBUS Messaging on TCP/IP 1.0b, 3.1.3)."""
        length = len(self.pdu) + 1
        return self.transaction.to_bytes(2) + b"\0\0" + length.to_bytes(2) + bytes([self.unit]) + self.pdu

    def rtu(self) -> bytes:
        """Return the message as it goes over a serial line or RTU over TCP."""
        body = bytes([self.unit]) + self.pdu
        return body + crc(body)


def crc(body: bytes) -> bytes:
    """Return the two check bytes of a serial frame (MODBUS over Serial Line 1.02, 6.2.2)."""
    value = 0xFFFF
    for byte in body:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "little")


def spoil(fault: Fault | None, reply: Frame, *, serial_line: bool = False) -> list[Step]:
    """Return what to do instead of simply sending `reply`."""
    frame = _changed(fault, reply) if fault else reply
    content = frame.rtu() if serial_line else frame.mbap()
    match fault.kind if fault else None:
        case FaultKind.SILENCE | FaultKind.REFUSE:
            return []
        case FaultKind.JAMMED:
            return [Jam()]
        case FaultKind.RESET:
            return [Send(content[: len(content) // 2]), Reset()]
        case FaultKind.GARBAGE if fault:
            return [Send(bytes(0xA5 ^ place & 0xFF for place in range(fault.count)) + content)]
        case FaultKind.LATE if fault:
            return [Wait(fault.delay), Send(content)]
        case FaultKind.SPLIT if fault:
            pieces = [content[at : at + fault.count] for at in range(0, len(content), fault.count)]
            steps: list[Step] = [step for piece in pieces for step in (Wait(fault.delay), Send(piece))]
            return steps[1:]
        case _:
            return [Send(content)]


def _changed(fault: Fault, reply: Frame) -> Frame:
    transaction, unit, pdu = reply.transaction, reply.unit, reply.pdu
    match fault.kind:
        case FaultKind.SHORT if len(pdu) > 2:
            kept = max(0, len(pdu) - 2 - 2 * fault.count)
            pdu = bytes([pdu[0], kept]) + pdu[2 : 2 + kept]
        case FaultKind.WRONG_FUNCTION:
            pdu = bytes([pdu[0] ^ 0x07]) + pdu[1:]
        case FaultKind.WRONG_UNIT:
            unit = (unit + 1) & 0xFF
        case FaultKind.WRONG_TRANSACTION:
            transaction = (transaction - 1) & 0xFFFF
        case FaultKind.EXCEPTION:
            pdu = bytes([pdu[0] | 0x80, fault.code])
        case _:
            return reply
    return Frame(transaction=transaction, unit=unit, pdu=pdu)
