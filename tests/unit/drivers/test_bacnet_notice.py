"""Subscriptions and notifications in bytes: against the standard's own examples, and as lies."""

import pytest

from drivers.bacnet.message import Reference, Wrong
from drivers.bacnet.notice import IAm, Notice, Repeats, read_i_am, read_notice, subscribe
from sitekeeper.model.clock import SECOND
from tests.fixtures.bacnet import notice, unsigned

INPUT = Reference(0, 10, 85)
EXAMPLE = bytes.fromhex("0912 1c02000004 2c0000000a 3900 4e 0955 2e 4442820000 2f 096f 2e 820400 2f 4f")


def test_subscribing_is_written_as_the_standard_writes_it():
    """ANSI/ASHRAE 135-2020, annex F.1.10 and F.1.11, byte for byte; giving up leaves the last two parameters out."""
    assert subscribe(18, INPUT, seconds=0, whole=True).hex(" ") == "09 12 1c 00 00 00 0a 29 01 39 00"
    assert subscribe(18, INPUT, seconds=None, whole=True).hex(" ") == "09 12 1c 00 00 00 0a"
    one = subscribe(18, INPUT, seconds=60, whole=False, increment=1.0)
    assert one.hex(" ") == "09 12 1c 00 00 00 0a 29 01 39 3c 4e 09 55 4f 5c 3f 80 00 00"
    assert subscribe(18, INPUT, seconds=60, whole=False, confirmed=False).hex(" ").endswith("29 00 39 3c 4e 09 55 4f")


def test_a_notification_is_read_as_the_standard_writes_it():
    """Annex F.1.2: process, device, object, seconds left, and the bytes of each property."""
    values = {INPUT: bytes.fromhex("4442820000"), Reference(0, 10, 111): bytes.fromhex("820400")}
    assert read_notice(EXAMPLE) == Notice(18, 4, (0, 10), 0, values)


def test_every_cut_of_a_notification_is_refused():
    """A notification that ends early, or goes on too long, is none."""
    for at in range(len(EXAMPLE)):
        assert isinstance(read_notice(EXAMPLE[:at]), Wrong), at
    assert isinstance(read_notice(EXAMPLE + b"\x00"), Wrong)


@pytest.mark.parametrize(
    "data",
    [
        EXAMPLE.replace(b"\x1c\x02", b"\x1c\x01"),  # sent by something that is no device
        EXAMPLE.replace(b"\x09\x6f\x2e\x82\x04\x00\x2f", b"\x09\x55\x2e\x44\x00\x00\x00\x00\x2f"),  # a property twice
        EXAMPLE.replace(b"\x44\x42", b"\x2e" * 40 + b"\x44\x42"),
        EXAMPLE.replace(b"\x82\x04\x00", b"\x85\xff\xff\xff\xff\xff\x00"),
        notice((0, 10), {prop: unsigned(1) for prop in range(65)}),  # more than anything has
        b"",
    ],
)
def test_what_no_device_says_is_refused(data: bytes):
    """Wrong sender, a property twice, deep nesting, a length of 4 GiB, a flood of properties: nothing of it is read."""
    assert isinstance(read_notice(data), Wrong)


def test_a_property_may_be_an_element_and_may_have_a_priority():
    """What a device adds to a value, an array index before it or the priority of a command behind it, is understood."""
    data = EXAMPLE.replace(b"\x09\x6f\x2e\x82\x04\x00\x2f", b"\x0a\x01\xc2\x19\x01\x2e\x91\x01\x2f\x39\x08")
    found = read_notice(data)
    assert isinstance(found, Notice)
    assert found.values[Reference(0, 10, 450, 1)] == b"\x91\x01"


def test_types_of_object_are_bare_numbers():
    """A proprietary object and a proprietary property, both above what the standard names, are told like any other."""
    found = read_notice(notice((900, 7), {600: unsigned(5)}))
    assert isinstance(found, Notice)
    assert found.values == {Reference(900, 7, 600): unsigned(5)}


def test_an_i_am_is_read_as_the_standard_writes_it():
    """Annex F.4.9 has the fields of an I-Am; another object, another order and a cut are none."""
    sent = bytes.fromhex("c402000003 2201e0 9103 2163")
    assert read_i_am(sent) == IAm(3, 480, 3, 99)
    for wrong in (sent[:-1], sent + b"\x00", sent.replace(b"\xc4\x02", b"\xc4\x03"), b"", sent[5:] + sent[:5]):
        assert isinstance(read_i_am(wrong), Wrong)


def test_the_same_bytes_again_are_a_repeat_for_a_while():
    """A notification sent again within seconds is known as such; its memory is bounded, and ends."""
    repeats = Repeats()
    assert repeats.before("a", 1, b"x", 0) is None
    assert repeats.before("a", 1, b"x", SECOND) == 0
    assert repeats.before("b", 1, b"x", SECOND) is None
    assert repeats.before("a", 2, b"x", SECOND) is None
    assert repeats.before("a", 1, b"x", 20 * SECOND) is None
    for number in range(1000):
        repeats.before("a", number, b"y", 20 * SECOND)
    assert len(repeats._last) == Repeats.MOST
