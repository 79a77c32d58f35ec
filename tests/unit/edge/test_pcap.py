"""Capture files, byte by byte from their specifications: what Wireshark expects of them."""

import struct

from edge.pcap import Packets, header
from sitekeeper.model.clock import SECOND

REQUEST = bytes.fromhex("0001 0000 0006 01 03 0000 0002")
ANSWER = bytes.fromhex("0001 0000 0007 01 03 04 03e8 03e9")
AT = 1_780_272_000 * SECOND + 250_000


def internet_sum(data: bytes) -> int:
    """Return the sum that a sound header has (RFC 1071): all ones."""
    total = sum(struct.unpack(f">{len(data + bytes(len(data) % 2)) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_the_header_of_a_file():
    """Magic of microseconds in network order, version 2.4, no zone, no accuracy, 65535 bytes, and the link type."""
    for wire, linktype in (("modbus-tcp", "00000065"), ("modbus-rtu", "000000fc")):
        assert header(wire).hex() == f"a1b2c3d4 0002 0004 00000000 00000000 0000ffff {linktype}".replace(" ", "")


def test_a_request_and_its_answer_over_tcp():
    """A packet is time, both lengths, IPv4 and TCP with sound checksums, port 502 at the device, and the frame."""
    packets = Packets("modbus-tcp")
    asked = packets.packet(AT, REQUEST, sent=True)
    answered = packets.packet(AT + 12_000, ANSWER, sent=False)
    again = packets.packet(AT + SECOND, REQUEST, sent=True)
    assert struct.unpack(">IIII", asked[:16]) == (1_780_272_000, 250_000, 52, 52)
    assert struct.unpack(">IIII", answered[:16]) == (1_780_272_000, 262_000, 53, 53)
    for packet, source, target, ports, numbers in (
        (asked, "c0000201", "c0000202", (49152, 502), (1, 1)),
        (answered, "c0000202", "c0000201", (502, 49152), (1, 13)),
        (again, "c0000201", "c0000202", (49152, 502), (13, 14)),
    ):
        ip, tcp = packet[16:36], packet[36:]
        assert (ip[0], ip[8], ip[9], ip[12:16].hex(), ip[16:20].hex()) == (0x45, 64, 6, source, target)
        assert int.from_bytes(ip[2:4]) == len(packet) - 16
        assert internet_sum(ip) == 0xFFFF
        assert struct.unpack(">HH", tcp[:4]) == ports
        assert struct.unpack(">II", tcp[4:12]) == numbers
        assert (tcp[12] >> 4, tcp[13]) == (5, 0x18)
        assert internet_sum(ip[12:20] + bytes([0, 6]) + len(tcp).to_bytes(2) + tcp) == 0xFFFF
    assert asked[56:] == REQUEST
    assert answered[56:] == ANSWER


def test_a_frame_of_a_serial_line():
    """It is an upper PDU: tag 12 with the dissector's name padded to four bytes, the end of tags, and the frame."""
    frame = bytes.fromhex("01 03 00 00 00 02 c4 0b")
    packet = Packets("modbus-rtu").packet(AT, frame, sent=True)
    assert packet[:16] == struct.pack(">IIII", 1_780_272_000, 250_000, 24, 24)
    assert packet[16:].hex(" ") == "00 0c 00 08 6d 62 72 74 75 00 00 00 00 00 00 00 " + frame.hex(" ")
