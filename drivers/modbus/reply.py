"""Does this answer belong to that question? Pure, and stricter than the library, which takes wrong answers for good.

An answer is unit (1), function (1), and for a read: byte count (1) and data; for a write: what was written, repeated in
4 bytes; for an exception: function with bit 7 set and one code. Modbus TCP (MODBUS Messaging on TCP/IP V1.0b) puts
before it: transaction id (2), protocol 0 (2), length of the rest (2). Serial lines frame it otherwise: `rtu`.
"""

from dataclasses import dataclass
from typing import Final

from sitekeeper.model.errors import ReplyMismatch

HEAD: Final = 6
"""Bytes before the unit."""

VARIABLE: Final = -1
"""As `Expected.size`: the answer itself tells how long it is (functions 17 and 43/14)."""

REPORT_ID, DEVICE_ID, DEVICE_ID_KIND = 17, 43, 14


@dataclass(frozen=True, slots=True)
class Expected:
    """The one right answer's unit, function and number of data bytes (or `VARIABLE`); to a write, its bytes: `echo`."""

    unit: int
    function: int
    size: int
    echo: bytes = b""


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with the bytes. `lost`: the stream cannot be followed any further. `short`: see `ShortReply`."""

    what: str
    lost: bool = False
    short: bool = False


class ShortReply(ReplyMismatch):
    """Fewer registers than asked for, in an answer that is otherwise right: what some units do for an exception."""


def examine(buffer: bytes, transaction: bytes, expected: Expected) -> bytes | Wrong | None:
    """Find the answer to `transaction` in what has come in since it was asked.

    Returns:
        the whole frame of the right answer or of an exception; `Wrong`; or None if it has not come (completely) yet.
        Answers to other transactions are late ones and are passed over.
    """
    start = 0
    while len(buffer) - start >= HEAD:
        length = int.from_bytes(buffer[start + 4 : start + 6], "big")
        if buffer[start + 2 : start + 4] != b"\0\0" or not 2 <= length <= 254:
            return Wrong("what came is not Modbus TCP", lost=True)
        end = start + HEAD + length
        if end > len(buffer):
            return None
        if buffer[start : start + 2] == transaction:
            return judge(buffer[start + HEAD : end], expected) or buffer[start:end]
        start = end
    return None


def judge(answer: bytes, expected: Expected) -> Wrong | None:
    """Say what is wrong with an answer, from its unit on: unit, function, length, what it confirms. None: nothing."""
    unit, function = answer[0], answer[1]
    if unit != expected.unit:
        return Wrong(f"the answer came from unit {unit}")
    if function == expected.function | 0x80:
        return None if len(answer) == 3 else Wrong(f"an exception of {len(answer) - 1} bytes instead of 2")
    if function != expected.function:
        return Wrong(f"the answer is for function {function:02X}")
    if expected.echo:
        told_back = answer[2:]
        right = told_back == expected.echo
        return None if right else Wrong(f"it confirmed {_hex(told_back)} for {_hex(expected.echo)}")
    if expected.size == VARIABLE:
        whole = variable_length(answer)
        return None if whole == len(answer) else Wrong(f"{len(answer)} bytes where it tells of {whole}")
    told, there = answer[2] if len(answer) > 2 else None, len(answer) - 3
    if told != expected.size or there != expected.size:
        short = told == there < expected.size
        return Wrong(f"{max(there, 0)} data bytes (byte count {told}) instead of {expected.size}", short=short)
    return None


def variable_length(start: bytes) -> int:
    """Return how long an answer of function 17 or 43/14 is by what it says of itself, from its unit on; 0: unknown yet.

    MODBUS Application Protocol V1.1b3, 6.13 (byte count) and 6.21 (objects of id, length and value).
    """
    if len(start) < 3:
        return 0
    if start[1] == REPORT_ID:
        return 3 + start[2]
    if len(start) < 8 or start[2] != DEVICE_ID_KIND:
        return 0
    end = 8
    for _ in range(start[7]):
        if end + 2 > len(start):
            return 0
        end += 2 + start[end + 1]
    return end


def _hex(data: bytes) -> str:
    return data.hex(" ", 2).upper() or "nothing"
