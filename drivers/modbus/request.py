"""What is asked of a unit: the bytes of a request, and of which answer it would be the right one. Pure.

Function codes: MODBUS Application Protocol V1.1b3, sections 6 and 7.
"""

from dataclasses import dataclass
from typing import Final, Literal

from drivers.modbus.address import Table
from drivers.modbus.reply import DEVICE_ID, DEVICE_ID_KIND, REPORT_ID, VARIABLE, Expected

EXCEPTIONS: Final[dict[int, str]] = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}

READS: Final[dict[Table, int]] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}

UNSURE: Final = "; whether it was carried out is unknown"


@dataclass(frozen=True, slots=True)
class Question:
    """A request: to read, made once and asked many times; or to write.

    Attributes:
        data: what follows unit and function. text: for people.
        unsure: what to add to the error when it was sent and no right answer came.
    """

    expected: Expected
    data: bytes
    text: str
    unsure: str = ""


def question(unit: int, table: Table, address: int, count: int) -> Question:
    """Return the request to read `count` registers or bits of `unit`."""
    function = READS[table]
    size = (count + 7) // 8 if table in {"coil", "discrete"} else 2 * count
    text = f"FC{function:02} address {address} count {count}"
    return Question(Expected(unit, function, size), address.to_bytes(2) + count.to_bytes(2), text)


def report_id(unit: int) -> Question:
    """Return the question what a unit is (function 17, section 6.13)."""
    return Question(Expected(unit, REPORT_ID, VARIABLE), b"", f"FC{REPORT_ID} device id")


def device_id(unit: int, level: int, first: int) -> Question:
    """Return the question for the objects of a unit's identification (function 43/14, section 6.21).

    Args:
        level: 1 basic, 2 regular. first: id of the object to begin with.
    """
    data = bytes([DEVICE_ID_KIND, level, first])
    return Question(Expected(unit, DEVICE_ID, VARIABLE), data, f"FC{DEVICE_ID}/14 level {level} from object {first}")


def command(unit: int, function: Literal[5, 6, 15, 16, 22], address: int, chunk: bytes) -> Question:
    """Return the request to write `chunk` (see `encoder`) to `unit`, from `address` on."""
    place = address.to_bytes(2)
    match function:
        case 5:
            data = place + (b"\xff\x00" if chunk[0] else b"\0\0")
        case 6 | 22:
            data = place + chunk
        case 15:
            data = place + b"\0\1\1" + chunk
        case 16:
            data = place + (len(chunk) // 2).to_bytes(2) + bytes([len(chunk)]) + chunk
    text = f"FC{function:02} address {address} write {chunk.hex(' ', 2).upper()}"
    return Question(Expected(unit, function, 0, echo=data if function == 22 else data[:4]), data, text, unsure=UNSURE)
