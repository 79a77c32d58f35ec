"""What is written is what was meant, byte for byte; what a register cannot hold never leaves."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus import TCP
from drivers.modbus.codec import decoder
from drivers.modbus.encoder import encoder
from drivers.modbus.options import WORDS
from sitekeeper.model.quality import GOOD
from tests.fixtures.modbus import bind
from tests.unit.drivers.test_modbus_codec import GOLDEN, GOLDEN_FLOATS

ORDERS = ["ABCD", "CDAB", "BADC", "DCBA"]
MODES = ("controlled", "free", "locked")
TRUTH = {True: 1, False: 0}


def encode(value, point_type, members=(), **written):
    point = bind({"holding": 0, "write": 16, **written}, point_type, members)
    return encoder(point, point_type)(value).hex(" ")


@pytest.mark.parametrize(("kind", "order", "data", "value"), [*GOLDEN, *GOLDEN_FLOATS])
def test_golden_bytes_backwards(kind, order, data, value):
    """Each number becomes the very bytes that the standards give for it, in every order."""
    point_type = "float" if kind.startswith("float") else "int"
    assert encode(value, point_type, type=kind, order=order) == data


@pytest.mark.parametrize(
    ("value", "point_type", "written", "data"),
    [
        (21.5, "float", {"type": "int16", "scale": 0.1}, "00 d7"),
        (-5.0, "float", {"type": "int16", "scale": 0.1, "offset": -10.0}, "00 32"),
        (21.54, "float", {"type": "int16", "scale": 0.1}, "00 d7"),  # the nearer step
        (120, "int", {"type": "uint16", "scale": 10.0}, "00 0c"),
        (5, "int", {"type": "uint16", "offset": 3.0}, "00 02"),
        (7, "float", {"type": "float32"}, "40 e0 00 00"),
        (True, "bool", {"bool": {True: 0xFF00, False: 3}}, "ff 00"),
        (False, "bool", {"bool": {True: 0xFF00, False: 3}}, "00 03"),
        ("AB", "text", {"type": "string", "length": 3}, "41 42 00 00"),
        ("ABC", "text", {"type": "string", "length": 3, "order": "BADC"}, "42 41 00 43"),
    ],
)
def test_values_by_their_meaning(value, point_type, written, data):
    """Scale, offset, truth and text go back the way they came."""
    assert encode(value, point_type, **written) == data


def test_words_and_coils():
    """A word becomes the first raw value that is written for it; a coil one bit, by its own truth if it has one."""
    assert encode("free", "enum", MODES, enum={7: "free", 8: "free", 0: "controlled"}) == "00 07"
    for written, expected in (({}, 1), ({"bool": {True: 0, False: 1}}, 0)):
        coil = bind({"coil": 3, "write": 5, **written}, "bool")
        assert encoder(coil, "bool")(True) == bytes([expected])


@pytest.mark.parametrize(
    ("value", "point_type", "written"),
    [
        (65536, "int", {"type": "uint16"}),
        (-1, "int", {"type": "uint16"}),
        (32768, "int", {"type": "int16"}),
        (10_000, "int", {"type": "bcd16"}),
        (-1, "int", {"type": "bcd16"}),
        (15, "int", {"type": "uint16", "scale": 10.0}),
        (2.0, "int", {"type": "uint16"}),
        (True, "int", {"type": "uint16"}),
        ("5", "int", {"type": "uint16"}),
        (0xFFFF, "int", {"type": "uint16", "invalid": (0xFFFF,)}),
        (math.nan, "float", {"type": "float32"}),
        (math.inf, "float", {"type": "float64"}),
        (math.nan, "float", {"type": "int16"}),
        (1e39, "float", {"type": "float32"}),
        (1e308, "float", {"type": "float64", "scale": 1e-3}),
        (6553.6, "float", {"type": "uint16", "scale": 0.1}),
        (True, "float", {"type": "float32"}),
        (1, "bool", {"bool": TRUTH}),
        ("true", "bool", {"bool": TRUTH}),
        ("ABCDE", "text", {"type": "string", "length": 4}),
        ("A ", "text", {"type": "string", "length": 4}),
        ("A\0B", "text", {"type": "string", "length": 4}),
        ("\n", "text", {"type": "string", "length": 4}),
        (4, "text", {"type": "string", "length": 4}),
        (None, "int", {"type": "uint16"}),
    ],
)
def test_what_cannot_be_written(value, point_type, written):
    """Out of range, not a number, of another type, or what would be read back as something else: no bytes at all."""
    with pytest.raises(ValueError):
        encode(value, point_type, **written)


def test_unknown_word_names_those_that_may_be_written():
    """A word without a raw value is refused, and the message has those with one."""
    with pytest.raises(ValueError, match="'locked' is not a word that can be written here; there are free, controlled"):
        encode("locked", "enum", MODES, enum={1: "free", 0: "controlled"})


@given(st.sampled_from(sorted(WORDS)), st.sampled_from(ORDERS), st.binary(min_size=8, max_size=8), st.data())
def test_there_and_back(kind, order, data, more):
    """Whatever a register says means the same after it was written back, for every type, order, scale and offset."""
    whole = not kind.startswith("float")
    scale = more.draw(st.sampled_from([1.0, 10.0, -2.0] if whole else [1.0]))
    offset = more.draw(st.sampled_from([0.0, 7.0, -40.0] if whole else [0.0]))
    written = {"holding": 0, "type": kind, "order": order, "scale": scale, "offset": offset, "write": 16}
    point_type = "int" if whole else "float"
    point = bind(written, point_type)
    decode, chunk = decoder(point, point_type), data[: 2 * WORDS[kind]]
    value, q = decode(chunk)
    if q == GOOD:
        assert decode(encoder(point, point_type)(value)) == (value, GOOD)


@given(
    st.integers(-(1 << 31), (1 << 31) - 1), st.sampled_from([0.1, 0.01, 0.5, 0.001, 2.5]), st.sampled_from([0.0, -40.0])
)
def test_scaled_numbers_there_and_back(raw, scale, offset):
    """A number of a scaled register is written as the very raw value that it was read from."""
    point = bind({"holding": 0, "type": "int32", "scale": scale, "offset": offset, "write": 16}, "float")
    chunk = raw.to_bytes(4, "big", signed=True)
    value, _ = decoder(point, "float")(chunk)
    assert encoder(point, "float")(value) == chunk


@given(st.text(max_size=12), st.sampled_from(["ABCD", "BADC"]))
def test_texts_there_and_back(text, order):
    """A text is written so that it is read back letter for letter, or not at all."""
    point = bind({"holding": 0, "type": "string", "length": 12, "order": order, "write": 16}, "text")
    try:
        chunk = encoder(point, "text")(text)
    except ValueError:
        return
    assert decoder(point, "text")(chunk) == (text, GOOD)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"discrete": 1, "write": 5}, "the table discrete can only be read"),
        ({"input": 1, "write": 6}, "the table input can only be read"),
        ({"coil": 1, "write": 6}, "write: 6 does not write a coil: it takes 5 or 15"),
        ({"holding": 1, "write": 15}, "write: 15 does not write a holding: it takes 6 or 16 or 22"),
        ({"holding": 1, "type": "float32", "write": 6}, "this point fills 2: write: 16"),
        ({"holding": 1, "bit": 3, "write": 6}, "a part of a register cannot be written"),
        ({"holding": 1, "type": "uint16", "byte": "low", "write": 6}, "a part of a register cannot be written"),
        ({"holding": 1, "write": 22}, "write: 22 changes one bit of one register"),
        ({"holding": 1, "type": "uint32", "bit": 3, "write": 22}, "write: 22 changes one bit of one register"),
        ({"holding": 1, "bit": 3, "byte": "low", "write": 22}, "write: 22 changes one bit of one register"),
        ({"input": 1, "bit": 3, "write": 22}, "the table input can only be read"),
        ({"holding": 1, "write": 6, "rewrite": True}, "rewrite: needs write: 22"),
        ({"holding": 1, "rewrite": True}, "rewrite: needs write: 22"),
        ({"holding": 1, "write": 23}, "5, 6, 15, 16 or 22"),
    ],
)
def test_writes_that_no_device_could_obey(written, message):
    """A write that does not fit its table, its size or its neighbours in the register is an error of the profile."""
    with pytest.raises(ValueError, match=message):
        bind(written, "bool" if "bit" in written or "coil" in written else "int")


def test_only_what_says_so_is_writable():
    """A point is writable by its `write:` and by nothing else."""
    assert TCP.writable(bind({"coil": 1, "write": 5}, "bool"))
    assert not TCP.writable(bind({"coil": 1}, "bool"))
    assert not TCP.writable(object())
