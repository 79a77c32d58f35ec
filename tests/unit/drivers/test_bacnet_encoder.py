"""What is written to a property has the type that the standard gives it, and means what was meant."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.bacnet import IP
from drivers.bacnet.codec import decoder
from drivers.bacnet.encoder import encoder
from drivers.bacnet.message import Reference, write
from sitekeeper.model.quality import GOOD
from tests.fixtures.bacnet import bind

MODES = ("controlled", "free", "locked")
PV = {"property": "present-value", "write": True}


def encode(value, point_type, members=(), **written):
    point = bind({"object": "analog-value", **PV, **written}, point_type, members).point
    return encoder(point, point_type)(value).hex(" ")


@pytest.mark.parametrize(
    ("kind", "point_type", "value", "data"),
    [
        # application tag and content by clause 20.2, by hand
        ("lighting-output", "float", 72.0, "44 42 90 00 00"),
        ("analog-output", "float", 50, "44 42 48 00 00"),
        ("large-analog-value", "float", 0.1, "55 08 3f b9 99 99 99 99 99 9a"),
        ("positive-integer-value", "int", 0, "21 00"),
        ("positive-integer-value", "int", 255, "21 ff"),
        ("positive-integer-value", "int", 70_000, "23 01 11 70"),
        ("multi-state-output", "int", 3, "21 03"),
        ("integer-value", "int", -1, "31 ff"),
        ("integer-value", "int", -128, "31 80"),
        ("integer-value", "int", 127, "31 7f"),
        ("integer-value", "int", 128, "32 00 80"),
        ("integer-value", "int", -129, "32 ff 7f"),
    ],
)
def test_present_values_have_the_type_of_their_object(kind, point_type, value, data):
    """A number is sent as real, double, unsigned or signed, as the type of the object asks for."""
    assert encode(value, point_type, object=kind) == data


@pytest.mark.parametrize(
    ("written", "point_type", "value", "data"),
    [
        (
            {"object": "access-door", "enum": {0: "controlled", 2: "controlled", 1: "free"}},
            "enum",
            "controlled",
            "91 00",
        ),
        ({"object": "access-door", "enum": {0: "controlled", 2: "controlled", 1: "free"}}, "enum", "free", "91 01"),
        ({"object": "binary-output", "bool": {True: 1, False: 0}}, "bool", True, "91 01"),
        ({"object": "binary-lighting-output", "bool": {True: [1, 3], False: [0, 2]}}, "bool", False, "91 00"),
        ({"object": "lift", "property": "out-of-service"}, "bool", True, "11"),
        ({"object": "lift", "property": "out-of-service"}, "bool", False, "10"),
        (
            {"object": "access-door", "property": "door-pulse-time", "scale": 0.1, "write": "unsigned"},
            "float",
            2.5,
            "21 19",
        ),
        ({"object": 200, "property": 600, "enum": {1: "free"}, "write": "unsigned"}, "enum", "free", "21 01"),
        ({"object": "lighting-output", "scale": 0.5, "offset": 10.0}, "float", 30.0, "44 42 20 00 00"),
    ],
)
def test_words_truth_and_scale_go_back(written, point_type, value, data):
    """Words, truth, scale and offset of the profile are undone; `write:` may name another type."""
    assert encode(value, point_type, MODES if point_type == "enum" else (), **written) == data


def test_nothing_is_null():
    """Without a value the command is given up, whatever the point is."""
    assert encode(None, "float", object="lighting-output") == "00"


@pytest.mark.parametrize(
    ("written", "point_type", "value"),
    [
        ({"object": "lighting-output"}, "float", math.nan),
        ({"object": "lighting-output"}, "float", math.inf),
        ({"object": "lighting-output"}, "float", 1e39),
        ({"object": "lighting-output", "invalid": (-1,)}, "float", -1.0),
        ({"object": "lighting-output"}, "float", True),
        ({"object": "lighting-output"}, "float", "50"),
        ({"object": "positive-integer-value"}, "int", -1),
        ({"object": "positive-integer-value"}, "int", 1 << 32),
        ({"object": "positive-integer-value"}, "int", 1.0),
        ({"object": "positive-integer-value", "scale": 10.0}, "int", 15),
        ({"object": "integer-value"}, "int", 1 << 31),
        ({"object": "binary-output", "bool": {True: 1, False: 0}}, "bool", 1),
        ({"object": "access-door", "enum": {1: "free", 0: "controlled"}}, "enum", "locked"),
        ({"object": "access-door", "enum": {1: "free", 0: "controlled"}}, "enum", 1),
    ],
)
def test_what_cannot_be_written(written, point_type, value):
    """A number out of range or not finite, an unknown word, a value of another type: no bytes at all."""
    with pytest.raises(ValueError):
        encode(value, point_type, MODES if point_type == "enum" else (), **written)


@pytest.mark.parametrize(
    ("written", "point_type", "message"),
    [
        ({"object": "lift", "property": "fault-signals", "contains": 3}, "bool", "a part of a property"),
        ({"object": "lift", "property": "status-flags", "bit": 0}, "bool", "a part of a property"),
        ({"object": "characterstring-value"}, "text", "texts are not written"),
        ({"object": "binary-output"}, "bool", "bool: says which raw numbers"),
        ({"object": "lift", "property": "car-position", "write": "boolean"}, "int", "for a point that is a bool"),
        ({"object": "analog-value", "bool": {True: 1, False: 0}}, "bool", "is no real number"),
    ],
)
def test_writes_that_the_profile_may_not_have(written, point_type, message):
    """What cannot be encoded for sure is an error when the site is loaded."""
    with pytest.raises(ValueError, match=message):
        bind({**PV, **written}, point_type)


def test_only_what_says_so_is_writable():
    """A point is writable by its `write:` and by nothing else."""
    lamp = {"object": "lighting-output", "property": "present-value"}
    assert IP.writable(bind({**lamp, "write": True}, "float"))
    assert not IP.writable(bind(lamp, "float"))
    assert not IP.writable(object())


def test_the_request():
    """WriteProperty by clause 21: object, property, element if any, the value between tags 3, priority."""
    assert write(Reference(54, 1, 85), bytes.fromhex("4442900000"), 8).hex(" ") == (
        "0c 0d 80 00 01 19 55 3e 44 42 90 00 00 3f 49 08"
    )
    assert write(Reference(30, 2, 87, 8), b"\0", 16).hex(" ") == "0c 07 80 00 02 19 57 29 08 3e 00 3f 49 10"


NUMBERS = [
    ("positive-integer-value", "int", st.integers(0, (1 << 32) - 1)),
    ("integer-value", "int", st.integers(-(1 << 31), (1 << 31) - 1)),
    ("lighting-output", "float", st.floats(width=32, allow_nan=False, allow_infinity=False)),
    ("large-analog-value", "float", st.floats(allow_nan=False, allow_infinity=False)),
]


@given(st.sampled_from(NUMBERS), st.data())
def test_there_and_back(kind, data):
    """Every number that a type can hold is read back as it was written."""
    object_type, point_type, numbers = kind
    value = data.draw(numbers)
    point = bind({"object": object_type, **PV}, point_type).point
    assert decoder(point, point_type)(encoder(point, point_type)(value)) == (value, GOOD)


def test_gear_that_blinks_is_told_to():
    """-1 to a Binary Lighting Output is WARN (clause 21, BACnetBinaryLightingPV 2); elsewhere it is no truth."""
    circuit = {"object": "binary-lighting-output", "bool": {True: 1, False: 0}}
    assert encode(-1, "bool", **circuit, warn=2) == "91 02"
    assert encode(True, "bool", **circuit, warn=2) == "91 01"
    with pytest.raises(ValueError, match="not true or false"):
        encode(-1, "bool", **circuit)
    with pytest.raises(ValueError, match="warn is for bool: with write:"):
        bind({"object": "analog-value", **PV, "warn": 2}, "float")
