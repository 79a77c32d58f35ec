"""Ways in which a device or the way to it can be wrong. Pure.

For Modbus also what to do about it: a fault and a sound reply in, steps out. BACnet's are carried out by its server.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sitekeeper.model.clock import MS, Micros


class FaultKind(StrEnum):
    """What is wrong."""

    SILENCE = "silence"  # no answer, while other units on the link answer
    LATE = "late"  # a sound answer, `delay` later; the connection waits for it
    SHORT = "short"  # `count` registers too few, in a frame that agrees with itself
    WRONG_FUNCTION = "wrong_function"
    WRONG_UNIT = "wrong_unit"
    WRONG_TRANSACTION = "wrong_transaction"
    SPLIT = "split"  # a sound answer in pieces of `count` bytes, `delay` apart
    RESET = "reset"  # half an answer, then the connection is reset
    EXCEPTION = "exception"  # exception `code` instead of the answer
    FREEZE = "freeze"  # answers, but nothing changes any more: the heartbeat too
    GARBAGE = "garbage"  # `count` bytes of rubbish before a sound answer
    REFUSE = "refuse"  # a fault of the link: nobody listens
    NO_RPM = "no_rpm"  # rejects ReadPropertyMultiple
    PROPERTY_ERROR = "property_error"  # an error for `property`, or for each
    WRONG_OBJECT = "wrong_object"  # the answer names the next object
    WRONG_PROPERTY = "wrong_property"  # the answer names another property, the first if there are several
    TOO_LONG = "too_long"  # aborts where the answer would have more than `count` bytes


BACNET: Final = frozenset(
    {
        FaultKind.SILENCE, FaultKind.LATE, FaultKind.NO_RPM, FaultKind.PROPERTY_ERROR, FaultKind.WRONG_OBJECT,
        FaultKind.WRONG_PROPERTY, FaultKind.TOO_LONG,
    }
)  # fmt: skip
"""Faults of an object of a BACnet device."""
MODBUS: Final = frozenset(FaultKind) - (BACNET - {FaultKind.SILENCE, FaultKind.LATE}) - {FaultKind.REFUSE}
"""Faults of a unit on a Modbus link."""
BELIEVABLE: Final = frozenset({FaultKind.LATE, FaultKind.SPLIT, FaultKind.GARBAGE})
"""Faults after which a careful client may still have the right values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault with its particulars; `times` is how many replies it spoils, None for all until it is switched off."""

    kind: FaultKind
    delay: Micros = 100 * MS
    count: int = 1
    code: int = 4
    times: int | None = None
    property: str = ""


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


Step = Send | Wait | Reset


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
