"""What a frame on the wire says, for people: unit, function, address, count, values, exception. Pure; believes nothing.

A frame that cannot be read is shown as its bytes; what came together with a late answer is read by its last frame.
"""

from typing import Final

from drivers.modbus.reply import HEAD
from drivers.modbus.request import EXCEPTIONS
from drivers.modbus.rtu import checksum

_SHOWN: Final = 125
"""Most values of one answer."""


def describe(data: bytes, asked: bytes, *, numbered: bool) -> dict[str, object]:
    """Return what an answer to `asked` says; with `asked` empty, what a request says.

    Args:
        numbered: frames are those of Modbus TCP, otherwise of a serial line.
    """
    said: dict[str, object] = {
        "unit": None, "function": None, "address": None, "count": None, "values": None, "exception": None,
    }  # fmt: skip
    body, question = _body(data, numbered=numbered), _body(asked, numbered=numbered)
    if body is None:
        return said
    said["unit"], said["function"] = body[0], body[1] & 0x7F
    if body[1] & 0x80 and len(body) > 2:
        said["exception"] = f"{body[2]}, {EXCEPTIONS.get(body[2], 'not a code of the standard')}"
        return said
    if question is not None and len(question) >= 4:
        said["address"] = int.from_bytes(question[2:4])
    if question is None:
        _request(body, said)
    elif body[1] <= 4:
        _values(body, question, said)
    return said


def _body(data: bytes, *, numbered: bool) -> bytes | None:
    """Return a frame from its unit on, without checksum; None if these bytes are none."""
    if not numbered:
        return data[:-2] if len(data) >= 4 and checksum(data[:-2]) == data[-2:] else None
    found, start = None, 0
    while len(data) - start >= HEAD + 2:
        end = start + HEAD + int.from_bytes(data[start + 4 : start + 6])
        if end > len(data) or end - start < HEAD + 2:
            break
        found, start = data[start + HEAD : end], end
    return found


def _request(body: bytes, said: dict[str, object]) -> None:
    function = body[1]
    if len(body) < 6 or function not in {1, 2, 3, 4, 5, 6, 15, 16, 22}:
        return
    said["address"] = int.from_bytes(body[2:4])
    match function:
        case 1 | 2 | 3 | 4:
            said["count"] = int.from_bytes(body[4:6])
        case 5 | 6:
            said["count"], said["values"] = 1, [int.from_bytes(body[4:6])]
        case 22:
            said["count"], said["values"] = 1, [f"and {body[4:6].hex()}", f"or {body[6:8].hex()}"]
        case 16:
            said["count"], said["values"] = int.from_bytes(body[4:6]), _words(body[7:])
        case 15:
            count = int.from_bytes(body[4:6])
            said["count"], said["values"] = count, _bits(body[7:], count)


def _values(body: bytes, question: bytes, said: dict[str, object]) -> None:
    if len(question) < 6 or question[1] != body[1]:
        return
    count = int.from_bytes(question[4:6])
    values = _bits(body[3:], count) if body[1] <= 2 else _words(body[3:])
    said["count"], said["values"] = len(values), values


def _words(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 2]) for at in range(0, min(len(data), 2 * _SHOWN) - 1, 2)]


def _bits(data: bytes, count: int) -> list[int]:
    return [data[at // 8] >> at % 8 & 1 for at in range(min(count, 8 * len(data), 16 * _SHOWN))]
