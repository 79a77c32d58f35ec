"""What a simulated unit says that it is: functions 43/14 and 17. Pure.

MODBUS Application Protocol V1.1b3, 6.21 and 6.13. Conformity is that of the basic objects: whoever asks for a higher
level gets these, as the standard wants it.
"""

from typing import Final

from simulators.modbus_face import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE, Identity

REPORT, TRANSPORT, KIND = 17, 43, 14
IDENTIFYING: Final = frozenset({REPORT, TRANSPORT})
"""The functions answered here."""
STREAMS: Final = frozenset({1, 2, 3})
SINGLE: Final = 4
"""Codes of access: a level's objects one after the other, or a single one."""
BASIC: Final = 0x81
"""Basic objects, by stream and by single access."""
MORE: Final = 0xFF
LONGEST: Final = 253
"""Bytes of a PDU."""
LONGEST_TEXT: Final = LONGEST - 9
"""Of one object in an answer of its own."""
SERVER, RUNNING = 1, 0xFF
"""What function 17 says before the text: a number of the maker's own choice, and that the device runs."""


def identify(identity: Identity, pdu: bytes) -> bytes:
    """Return the answer to one of `IDENTIFYING`, an exception included."""
    if pdu[0] == REPORT:
        text = " ".join(part.decode() for part in _objects(identity)).encode()[: LONGEST - 4]
        return bytes([REPORT, len(text) + 2, SERVER, RUNNING]) + text if len(pdu) == 1 else _refused(pdu, ILLEGAL_VALUE)
    if len(pdu) < 2 or pdu[1] != KIND:
        return _refused(pdu, ILLEGAL_FUNCTION)
    if len(pdu) != 4 or pdu[2] not in STREAMS | {SINGLE}:
        return _refused(pdu, ILLEGAL_VALUE)
    return _stream(identity, pdu) if pdu[2] in STREAMS else _single(identity, pdu)


def _stream(identity: Identity, pdu: bytes) -> bytes:
    """Return as many objects as fit, from the one asked for on; an unknown one begins the stream anew."""
    parts = _objects(identity)
    first = at = pdu[3] if pdu[3] < len(parts) else 0
    listed = b""
    while at < len(parts) and 7 + len(listed) + 2 + len(parts[at]) <= LONGEST:
        listed += _listed(at, parts[at])
        at += 1
    more, following = (MORE, at) if at < len(parts) else (0, 0)
    return pdu[:3] + bytes([BASIC, more, following, at - first]) + listed


def _single(identity: Identity, pdu: bytes) -> bytes:
    parts, number = _objects(identity), pdu[3]
    if number >= len(parts):
        return _refused(pdu, ILLEGAL_ADDRESS)
    return pdu[:3] + bytes([BASIC, 0, 0, 1]) + _listed(number, parts[number])


def _objects(identity: Identity) -> list[bytes]:
    """Return the basic objects by their ids, which begin with 0."""
    return [text.encode()[:LONGEST_TEXT] for text in (identity.vendor, identity.product, identity.revision)]


def _listed(number: int, content: bytes) -> bytes:
    return bytes([number, len(content)]) + content


def _refused(pdu: bytes, code: int) -> bytes:
    return bytes([pdu[0] | 0x80, code])
