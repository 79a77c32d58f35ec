"""Capture files that Wireshark opens and reads without any setting. Pure.

The classic format (pcap, IETF draft-ietf-opsawg-pcap, formerly libpcap's savefile): a header of 24 bytes, then packets
with headers of 16 bytes, here in network order. Modbus TCP becomes TCP over IPv4 (LINKTYPE_RAW, 101) on port 502, by
which Wireshark knows it, whatever the port really is; the addresses are those of RFC 5737 for documentation. Frames of
serial lines become "upper PDUs" (LINKTYPE_WIRESHARK_UPPER_PDU, 252) that name their dissector, `mbrtu`, themselves.
"""

import struct
from typing import Final, Literal

from sitekeeper.model.clock import SECOND, Micros

Wire = Literal["modbus-tcp", "modbus-rtu"]

LINKTYPES: Final[dict[Wire, int]] = {"modbus-tcp": 101, "modbus-rtu": 252}
LONGEST: Final = 65_535

_MAGIC: Final = 0xA1B2C3D4
_OURS, _THEIRS = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])
_CLIENT_PORT, _SERVER_PORT = 49_152, 502
_ACK_PUSH: Final = 0x18
_DISSECTOR: Final = b"mbrtu"
_DISSECTOR_NAME: Final = 12
"""Tag of an upper PDU (Wireshark, epan/exported_pdu.h); its value is padded to four bytes, a tag 0 ends the tags."""


def header(wire: Wire) -> bytes:
    """Return what a file begins with."""
    return struct.pack(">IHHiIII", _MAGIC, 2, 4, 0, 0, LONGEST, LINKTYPES[wire])


class Packets:
    """Makes packets of frames; keeps count of the bytes of both directions, as TCP does."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._sent = self._received = 1

    def packet(self, at: Micros, data: bytes, *, sent: bool) -> bytes:
        """Return the packet of a frame, with its header. `at`: wall time."""
        content = self._tcp(data, sent=sent) if self._wire == "modbus-tcp" else _upper_pdu(data)
        return struct.pack(">IIII", at // SECOND, at % SECOND, len(content), len(content)) + content

    def _tcp(self, data: bytes, *, sent: bool) -> bytes:
        source, target = (_OURS, _THEIRS) if sent else (_THEIRS, _OURS)
        ports = (_CLIENT_PORT, _SERVER_PORT) if sent else (_SERVER_PORT, _CLIENT_PORT)
        numbers = (self._sent, self._received) if sent else (self._received, self._sent)
        if sent:
            self._sent = self._sent + len(data) & 0xFFFF_FFFF
        else:
            self._received = self._received + len(data) & 0xFFFF_FFFF
        segment = struct.pack(">HHIIBBHHH", *ports, *numbers, 5 << 4, _ACK_PUSH, LONGEST, 0, 0) + data
        pseudo = source + target + struct.pack(">BBH", 0, 6, len(segment))
        segment = segment[:16] + _checksum(pseudo + segment) + segment[18:]
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0x4000, 64, 6, 0) + source + target
        return head[:10] + _checksum(head) + head[12:] + segment


def _upper_pdu(data: bytes) -> bytes:
    name = _DISSECTOR + bytes(-len(_DISSECTOR) % 4)
    return struct.pack(">HH", _DISSECTOR_NAME, len(name)) + name + bytes(4) + data


def _checksum(data: bytes) -> bytes:
    """Return the Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2)
