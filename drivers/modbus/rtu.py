"""Frames of a serial line: unit, function, data and a checksum. Pure.

Nothing in such a frame says which request it answers, and its length is told by its content only (MODBUS over Serial
Line V1.02, 2.5.1). So an answer is taken only if it stands alone, is whole by its checksum and is the expected one in
unit, function and length; what a late answer of just that shape could feign, `link` and `driver` guard against.
"""

from typing import Final

from drivers.modbus.reply import DEVICE_ID, REPORT_ID, VARIABLE, Expected, Wrong, judge, variable_length

NOISE: Final = 4
"""Most bytes before or behind an answer that are taken for the noise of a line driver switching over."""

REPEATED: Final = Wrong("the line repeats what we send; if its adapter does that, set echo: true")

_FIXED: Final = {5: 8, 6: 8, 15: 8, 16: 8, 22: 10}
"""How long the answers of functions are that always have the same length."""


def _table() -> tuple[int, ...]:
    found = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
        found.append(value)
    return tuple(found)


_REST: Final = _table()


def checksum(data: bytes) -> bytes:
    """Return the CRC-16 of a frame as it stands on the line, lower byte first (MODBUS over Serial Line, 6.2.2)."""
    rest = 0xFFFF
    for byte in data:
        rest = rest >> 8 ^ _REST[(rest ^ byte) & 0xFF]
    return rest.to_bytes(2, "little")


def frame(asked: bytes) -> bytes:
    """Return what goes on the line for a request or an answer, from its unit on."""
    return asked + checksum(asked)


def examine(buffer: bytes, sent: bytes, expected: Expected) -> bytes | Wrong | None:
    """Find the answer in what has come in since `sent` went out.

    Returns:
        the answer from its unit on, without the checksum; `Wrong`; or None if it has not come (completely) yet.
    """
    for start in range(min(NOISE + 1, len(buffer))):
        end = start + _length(buffer[start:])
        if end > len(buffer) and _begins(buffer[start:], end - start, expected):
            break  # what looks like a frame within it is its data
        if end - start < 5 or end > len(buffer) or checksum(buffer[start : end - 2]) != buffer[end - 2 : end]:
            continue
        wrong = judge(buffer[start : end - 2], expected)
        if wrong is None and end < len(buffer) and not noise(buffer[end:]):
            return Wrong(f"{len(buffer) - end} bytes more than the answer: it may be a late one with ours behind it")
        return wrong or buffer[start : end - 2]
    if buffer.startswith(sent):
        return REPEATED
    return None


def without_echo(buffer: bytes, sent: bytes) -> bytes | Wrong | None:
    """Return what came after the adapter's repetition of what we sent; None while that is not complete."""
    if buffer.startswith(sent):
        return buffer[len(sent) :]
    return None if sent.startswith(buffer) else Wrong("what we sent came back changed: two spoke at once")


def noise(data: bytes) -> bool:
    """Tell whether these bytes can only be noise: few, and none that an answer begins with; no unit is 0 or 255."""
    return len(data) <= NOISE and not data.strip(b"\x00\xff")


def _begins(start: bytes, whole: int, expected: Expected) -> bool:
    """Tell whether the frame that begins here, `whole` bytes long, is the answer by its unit, function and length."""
    size = 4 + len(expected.echo) if expected.echo else 5 + expected.size
    return (whole == size or expected.size == VARIABLE) and start[:2] == bytes([expected.unit, expected.function])


def _length(start: bytes) -> int:
    """Return how long the frame that begins here says it is; 0 if these bytes begin none."""
    if len(start) < 3:
        return 0
    function = start[1]
    if function & 0x80:
        return 5
    if function in _FIXED:
        return _FIXED[function]
    if function in {REPORT_ID, DEVICE_ID}:
        whole = variable_length(start)
        return whole + 2 if whole else 0
    return 5 + start[2] if 1 <= function <= 4 else 0
