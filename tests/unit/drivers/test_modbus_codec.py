"""Golden bytes for every type and order. The bytes are written by hand from the standards, never by our own code."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.codec import decoder
from sitekeeper.model.quality import GOOD, Reason, bad
from tests.fixtures.modbus import bind

GOLDEN = [
    # type, order, bytes on the wire, value
    ("uint16", "ABCD", "12 34", 0x1234),
    ("uint16", "CDAB", "12 34", 0x1234),
    ("uint16", "BADC", "12 34", 0x3412),
    ("uint16", "DCBA", "12 34", 0x3412),
    ("int16", "ABCD", "ff 85", -123),
    ("int16", "CDAB", "ff 85", -123),
    ("int16", "BADC", "85 ff", -123),
    ("int16", "DCBA", "85 ff", -123),
    ("uint32", "ABCD", "12 34 56 78", 0x12345678),
    ("uint32", "CDAB", "56 78 12 34", 0x12345678),
    ("uint32", "BADC", "34 12 78 56", 0x12345678),
    ("uint32", "DCBA", "78 56 34 12", 0x12345678),
    ("int32", "ABCD", "ff fe 1d c0", -123456),
    ("int32", "CDAB", "1d c0 ff fe", -123456),
    ("int32", "BADC", "fe ff c0 1d", -123456),
    ("int32", "DCBA", "c0 1d fe ff", -123456),
    ("uint64", "ABCD", "01 02 03 04 05 06 07 08", 0x0102030405060708),
    ("uint64", "CDAB", "07 08 05 06 03 04 01 02", 0x0102030405060708),
    ("uint64", "BADC", "02 01 04 03 06 05 08 07", 0x0102030405060708),
    ("uint64", "DCBA", "08 07 06 05 04 03 02 01", 0x0102030405060708),
    ("int64", "ABCD", "ff ff ff ff ff ff ff fe", -2),
    ("int64", "CDAB", "ff fe ff ff ff ff ff ff", -2),
    ("int64", "BADC", "ff ff ff ff ff ff fe ff", -2),
    ("int64", "DCBA", "fe ff ff ff ff ff ff ff", -2),
    ("bcd16", "ABCD", "12 34", 1234),
    ("bcd16", "CDAB", "12 34", 1234),
    ("bcd16", "BADC", "34 12", 1234),
    ("bcd16", "DCBA", "34 12", 1234),
    ("bcd32", "ABCD", "12 34 56 78", 12345678),
    ("bcd32", "CDAB", "56 78 12 34", 12345678),
    ("bcd32", "BADC", "34 12 78 56", 12345678),
    ("bcd32", "DCBA", "78 56 34 12", 12345678),
]

GOLDEN_FLOATS = [
    # -118.625 is C2 ED 40 00 in IEEE 754 binary32; 0.1 is 3F B9 99 99 99 99 99 9A in binary64
    ("float32", "ABCD", "c2 ed 40 00", -118.625),
    ("float32", "CDAB", "40 00 c2 ed", -118.625),
    ("float32", "BADC", "ed c2 00 40", -118.625),
    ("float32", "DCBA", "00 40 ed c2", -118.625),
    ("float64", "ABCD", "3f b9 99 99 99 99 99 9a", 0.1),
    ("float64", "CDAB", "99 9a 99 99 99 99 3f b9", 0.1),
    ("float64", "BADC", "b9 3f 99 99 99 99 9a 99", 0.1),
    ("float64", "DCBA", "9a 99 99 99 99 99 b9 3f", 0.1),
]


def decode(data, point_type, members=(), **written):
    point = bind({"input": 0, **written}, point_type, members)
    return decoder(point, point_type)(bytes.fromhex(data))


@pytest.mark.parametrize(("kind", "order", "data", "value"), GOLDEN)
def test_whole_numbers(kind, order, data, value):
    """Each whole type in each order gives its value, as an int and as a float."""
    assert decode(data, "int", type=kind, order=order) == (value, GOOD)
    as_float, q = decode(data, "float", type=kind, order=order)
    assert (as_float, type(as_float), q) == (float(value), float, GOOD)


@pytest.mark.parametrize(("kind", "order", "data", "value"), GOLDEN_FLOATS)
def test_floats(kind, order, data, value):
    """Each IEEE type in each order gives its value."""
    assert decode(data, "float", type=kind, order=order) == (value, GOOD)


@pytest.mark.parametrize(
    ("order", "length", "data", "text"),
    [
        ("ABCD", 4, "4c 49 46 54", "LIFT"),
        ("BADC", 4, "49 4c 54 46", "LIFT"),
        ("ABCD", 3, "4c 49 46 ff", "LIF"),
        ("ABCD", 6, "4c 49 20 20 00 ff", "LI"),
        ("ABCD", 6, "e5 8d 87 e9 99 8d", "升降"),
        ("ABCD", 4, "00 00 00 00", ""),
    ],
)
def test_text(order, length, data, text):
    """A text ends at NUL or at its length, without blanks around it."""
    assert decode(data, "text", type="string", length=length, order=order) == (text, GOOD)


@pytest.mark.parametrize("data", ["ff fe", "41 07"])
def test_text_that_is_none(data):
    """Bytes that are not printable UTF-8 are no text."""
    assert decode(data, "text", type="string", length=2) == (None, bad(Reason.UNMAPPED))


@pytest.mark.parametrize(
    ("written", "data", "value"),
    [
        ({"bit": 0}, "00 01", True),
        ({"bit": 10}, "04 00", True),
        ({"bit": 10}, "fb ff", False),
        ({"bit": 15, "order": "BADC"}, "00 80", True),
        ({"bit": 31, "type": "uint32"}, "80 00 00 00", True),
        ({"byte": "high", "bit": 7}, "80 00", True),
        ({"bool": {True: 1, False: 2}}, "00 01", True),
        ({"bool": {"true": 1, "false": 2}}, "00 02", False),
    ],
)
def test_bools(written, data, value):
    """A bool in a register is a bit, or what the map says."""
    assert decode(data, "bool", **written) == (value, GOOD)


@pytest.mark.parametrize(("shift", "byte", "value"), [(0, 1, True), (7, 0x80, True), (3, 0xF7, False)])
def test_coils(shift, byte, value):
    """A coil is its bit of the byte, the lowest first."""
    point = bind({"coil": 0}, "bool")
    assert decoder(point, "bool", shift)(bytes([byte])) == (value, GOOD)
    inverted = bind({"coil": 0, "bool": {True: 0, False: 1}}, "bool")
    assert decoder(inverted, "bool", shift)(bytes([byte])) == (not value, GOOD)


@pytest.mark.parametrize(
    ("written", "data", "value"),
    [
        ({"byte": "high"}, "e1 07", 0xE1),
        ({"byte": "low"}, "e1 07", 7),
        ({"byte": "high", "type": "int16"}, "ff 07", -1),
        ({"byte": "low", "order": "BADC"}, "e1 07", 0xE1),
        ({"scale": 10, "offset": -5}, "00 07", 65),
    ],
)
def test_parts_and_integer_scale(written, data, value):
    """One byte of a register, signed if its type is; whole numbers scaled stay whole."""
    got, q = decode(data, "int", **written)
    assert (got, type(got), q) == (value, int, GOOD)


@pytest.mark.parametrize(
    ("scale", "offset", "data", "value"),
    [(0.01, 0, "04 d2", 12.34), (0.1, 0, "00 03", 0.3), (0.5, -40, "00 64", 10.0), (2.5, 0, "00 02", 5.0)],
)
def test_scale_gives_the_decimal_that_people_mean(scale, offset, data, value):
    """Three tenths are 0.3, not 0.30000000000000004."""
    assert decode(data, "float", type="int16", scale=scale, offset=offset) == (value, GOOD)


def test_enum():
    """Each raw value of the map is its word; any other is bad and never the last word."""
    written = {"enum": {0: "none", 1: "up", -1: "down"}, "type": "int16"}
    members = ("none", "up", "down")
    assert decode("00 01", "enum", members, **written) == ("up", GOOD)
    assert decode("ff ff", "enum", members, **written) == ("down", GOOD)
    assert decode("00 07", "enum", members, **written) == (None, bad(Reason.UNMAPPED))


def test_bool_without_a_meaning():
    """A raw value outside the bool map is bad, neither true nor false."""
    assert decode("00 03", "bool", bool={True: 1, False: 2}) == (None, bad(Reason.UNMAPPED))


@pytest.mark.parametrize(
    ("point_type", "written", "data", "reason"),
    [
        ("int", {"invalid": [0xFFFF]}, "ff ff", Reason.DEVICE_FLAGGED),
        ("int", {"type": "int16", "invalid": [0x8000]}, "80 00", Reason.DEVICE_FLAGGED),
        ("int", {"type": "int16", "invalid": [-32768]}, "80 00", Reason.DEVICE_FLAGGED),
        ("float", {"type": "float32", "invalid": [-118.625]}, "c2 ed 40 00", Reason.DEVICE_FLAGGED),
        ("bool", {"bit": 3, "invalid": [0xFFFF]}, "ff ff", Reason.DEVICE_FLAGGED),
        ("bool", {"bool": {True: 1, False: 0}, "invalid": [0xFFFF]}, "ff ff", Reason.DEVICE_FLAGGED),
        ("int", {"byte": "high", "invalid": [0xFF]}, "ff 00", Reason.DEVICE_FLAGGED),
        ("float", {"type": "float32"}, "7f c0 00 00", Reason.DEVICE_FLAGGED),
        ("float", {"type": "float32"}, "7f 80 00 01", Reason.DEVICE_FLAGGED),
        ("float", {"type": "float32"}, "7f 80 00 00", Reason.OUT_OF_RANGE),
        ("float", {"type": "float64"}, "ff f0 00 00 00 00 00 00", Reason.OUT_OF_RANGE),
        ("float", {"type": "float64", "scale": 10}, "7f ef ff ff ff ff ff ff", Reason.OUT_OF_RANGE),
        ("int", {"type": "bcd16"}, "1a 34", Reason.UNMAPPED),
    ],
)
def test_no_value(point_type, written, data, reason):
    """NaN, infinity, invalid marks and digits that are none give a bad point with the reason, never a number."""
    assert decode(data, point_type, **written) == (None, bad(reason))


def test_minus_zero_is_zero():
    """-0.0 compares as 0.0 and prints like it."""
    value, _ = decode("80 00 00 00", "float", type="float32")
    assert math.copysign(1, value) == 1


KINDS = ["uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", "bcd16", "bcd32"]


@given(st.sampled_from(KINDS), st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]), st.binary(min_size=8, max_size=8))
def test_any_bytes_give_one_outcome(kind, order, data):
    """Whatever the registers hold, there is a finite value that is good, or none that is bad."""
    point = bind({"input": 0, "type": kind, "order": order, "scale": 0.1}, "float")
    value, q = decoder(point, "float")(data[: 2 * point.size])
    assert (value is None) == (q != GOOD)
    assert value is None or math.isfinite(value)


@pytest.mark.parametrize(
    ("data", "written", "value"),
    [
        ("12 34", {"bit_field": "4-7"}, 3),
        ("12 34", {"bit_field": "0-15"}, 0x1234),
        ("12 34", {"bit_field": "8-11", "order": "BADC"}, 4),
        ("12 34", {"bit_field": "4-7", "byte": "high"}, 1),
        ("ff 80", {"bit_field": "7-15", "type": "int16"}, 0x1FF),
        ("12 34 56 78", {"bit_field": "8-23", "type": "uint32"}, 0x3456),
        ("12 34 56 78", {"bit_field": "8-23", "type": "uint32", "order": "CDAB"}, 0x7812),
        ("12 34", {"bit_field": "4-7", "scale": 10, "offset": 1}, 31),
    ],
)
def test_several_bits_are_a_number_without_sign(data, written, value):
    """Bits low to high of what the order puts together, shifted down; type and scale as for any whole number."""
    assert decode(data, "int", **written) == (value, GOOD)


def test_a_bit_field_has_words_truth_and_invalid_values_like_a_register():
    """A few bits may be an enumeration, a bool, or say that there is no value; what has no meaning is bad."""
    words = {"enum": {0: "off", 2: "on"}, "bit_field": "1-2"}
    assert decode("00 04", "enum", ("off", "on"), **words) == ("on", GOOD)
    assert decode("00 06", "enum", ("off", "on"), **words) == (None, bad(Reason.UNMAPPED))
    truth = {"bool": {True: 1, False: 2}, "bit_field": "4-5"}
    assert decode("00 10", "bool", **truth) == (True, GOOD)
    assert decode("00 30", "bool", **truth) == (None, bad(Reason.UNMAPPED))
    assert decode("00 F0", "int", bit_field="4-7", invalid=[15]) == (None, bad(Reason.DEVICE_FLAGGED))
