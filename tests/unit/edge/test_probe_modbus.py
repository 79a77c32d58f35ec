"""What a probe asks and what an answer can mean."""

import struct

import pytest

from edge.cli.probe_modbus import exit_code, way
from edge.probe import modbus
from edge.probe.modbus_talk import Answer
from edge.probe.place import place
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, LinkDown, ReplyMismatch

WHERE = "tcp h:502 unit 1"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("10.1.3.41", ("10.1.3.41", 502)),
        ("10.1.3.41:1502", ("10.1.3.41", 1502)),
        ("plc.local:5", ("plc.local", 5)),
        ("[fe80::1]:1502", ("fe80::1", 1502)),
        ("[fe80::1]", ("fe80::1", 502)),
        ("fe80::1", ("fe80::1", 502)),
    ],
)
def test_a_place_is_host_and_port(written, expected) -> None:
    """As people write them, IPv6 with and without brackets."""
    assert place(written, 502) == expected


@pytest.mark.parametrize("written", ["h:", "h:x", "h:-1"])
def test_a_port_is_a_number(written) -> None:
    """Anything else is an error, not a host."""
    with pytest.raises(ValueError, match="is not a port"):
        place(written, 502)


def test_units_are_a_rising_range() -> None:
    """Both ends included."""
    assert modbus.units("1..3") == [1, 2, 3]
    for wrong in ("3..1", "1", "1..", "1..256", "a..b"):
        with pytest.raises(ValueError, match="range of units"):
            modbus.units(wrong)


@pytest.mark.parametrize(
    ("table", "written", "as_it_is", "expected"),
    [
        (None, "20", False, ("holding", 20, False)),
        (None, "40021", False, ("holding", 20, True)),
        ("holding", "40021", False, ("holding", 20, True)),
        ("holding", "40021", True, ("holding", 40021, False)),
        (None, "30001", False, ("input", 0, True)),
        (None, "400021", False, ("holding", 20, True)),
        ("discrete", "10002", False, ("discrete", 1, True)),
        (None, "00021", False, ("coil", 20, True)),
        ("coil", "40021", False, ("coil", 40021, False)),
        ("input", "0", False, ("input", 0, False)),
    ],
)
def test_a_modicon_number_is_translated(table, written, as_it_is, expected) -> None:
    """It counts from 1 and names its table; as it is only where that is asked for."""
    assert modbus.address(table, written, as_it_is=as_it_is) == expected


@pytest.mark.parametrize(
    ("table", "written", "says"),
    [("input", "40021", "holding 20"), (None, "70000", "outside"), (None, "x", "whole number")],
)
def test_an_address_that_cannot_be_is_refused(table, written, says) -> None:
    """With what it would mean."""
    with pytest.raises(ValueError, match=says):
        modbus.address(table, written, as_it_is=False)


@pytest.mark.parametrize(("order", "places"), [("ABCD", "0123"), ("CDAB", "2301"), ("BADC", "1032"), ("DCBA", "3210")])
def test_a_float_is_found_in_whichever_order_it_lies(order, places) -> None:
    """21.5 on the wire in each of the four orders is read as 21.5 under that order's name."""
    plain = struct.pack(">f", 21.5)
    wire = bytes(plain[int(place)] for place in places)
    found = modbus.readings("holding", 20, wire, ())
    assert [r.order for r in found if r.type == "float32" and r.value == 21.5] == [order]


def test_types_named_are_read_at_every_place_and_shown_whatever_they_give() -> None:
    """Two floats in four registers, the second not a number."""
    data = struct.pack(">ff", 1.5, float("nan"))
    found = modbus.readings("input", 10, data, ("float32",))
    assert [(r.address, r.value) for r in found if r.order == "ABCD"] == [(10, 1.5), (12, None)]
    assert found[0].raw == "3FC0 0000"


def test_of_many_registers_only_single_ones_are_shown_unasked() -> None:
    """A screenful, not two thousand rows; what is no digit is no BCD."""
    found = modbus.readings("holding", 0, bytes.fromhex("ABCD") * 10, ())
    assert {r.type for r in found} == {"int16", "uint16"}
    assert {r.address for r in found} == set(range(10))


def test_bits_come_lowest_first() -> None:
    """As the protocol packs them."""
    assert [r.value for r in modbus.bits(7, 9, b"\x05\x01")] == [True, False, True, *[False] * 5, True]


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (None, "answers", 0),
        (DeviceRefused("x", exception_code=2, endpoint=WHERE), "refused", 1),
        (DeviceRefused("x", exception_code=11, endpoint=WHERE), "silent", 5),
        (ReplyMismatch("x", endpoint=WHERE, raw=b"\1"), "wrong", 1),
        (LinkDown("not Modbus", endpoint=WHERE, raw=b"\1"), "wrong", 1),
        (DeviceSilent("x", endpoint=WHERE), "silent", 5),
        (LinkDown("x", endpoint=WHERE), "unreachable", 5),
    ],
)
def test_the_exit_code_tells_refusal_from_silence(error, state, code) -> None:
    """1: it spoke; 5: nobody did. A gateway that says its unit is not there counts as silence."""
    answer = Answer(1, b"", error)
    assert (answer.state, exit_code([answer])) == (state, code)
    assert exit_code([answer, Answer(2, b"\0\1")]) == 0


NOTHING = dict.fromkeys(("baudrate", "framing", "quiet", "ca", "cert", "key")) | {
    "rtu": False, "tls": False, "echo": False, "timeout": "1s",
}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "endpoint"),
    [
        ({"where": "10.1.3.41"}, "tcp 10.1.3.41:502"),
        ({"where": "10.1.3.41", "tls": True}, "tls 10.1.3.41:802"),
        ({"where": "10.1.3.41:1802", "ca": "/etc/ca.pem"}, "tls 10.1.3.41:1802"),
        ({"where": "10.1.3.41:4001", "rtu": True}, "rtu-over-tcp 10.1.3.41:4001"),
        ({"where": "/dev/ttyUSB0", "baudrate": 9600}, "serial /dev/ttyUSB0"),
    ],
)
def test_every_transport_has_its_options(given, endpoint) -> None:
    """A host is TCP, encrypted or in serial frames; a path is a serial port."""
    assert way({**NOTHING, **given}).endpoint == endpoint


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"where": "h:4001", "rtu": True, "tls": True}, "encrypted is Modbus TCP only"),
        ({"where": "h:502", "baudrate": 9600}, "those of a serial port"),
        ({"where": "h:502", "echo": True}, "serial frames"),
        ({"where": "/dev/ttyUSB0", "rtu": True}, "HOST:PORT"),
        ({"where": "h", "rtu": True}, "converter's port"),
        ({"where": "h", "cert": "/etc/c.pem"}, "belong together"),
    ],
)
def test_options_of_another_transport_are_refused(given, says) -> None:
    """Rather than ignored."""
    with pytest.raises(ValueError, match=says):
        way({**NOTHING, **given})


def test_bits_and_texts_are_readings_too() -> None:
    """Of a few registers all of it is shown: the bits that are set, and what is printable as one text."""
    found = {(r.type, r.order): r.value for r in modbus.readings("holding", 5, b"OK\x00\x05", ())}
    assert found["string", "ABCD"] == "OK"
    assert [r.value for r in modbus.readings("holding", 5, b"\x00\x05\x00\x00", ("bits",))] == ["0 2", "none"]
