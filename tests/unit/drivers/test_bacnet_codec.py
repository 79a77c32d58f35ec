"""From the bytes of a property to a value, or to bad for a named reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.bacnet.codec import decoder
from drivers.bacnet.options import BacnetPoint
from sitekeeper.model.quality import GOOD, Reason, bad
from tests.fixtures.bacnet import bind

PLACE = {"object": "analog-value", "property": "present-value"}
UNMAPPED, FLAGGED, RANGE = bad(Reason.UNMAPPED), bad(Reason.DEVICE_FLAGGED), bad(Reason.OUT_OF_RANGE)
WORDS = ("stopped", "running")
DOORS = {"bool": {"true": [0, 8], "false": [1, 6, 7]}}


def decode(data: str, point_type: str, members: tuple[str, ...] = (), **keys: object):
    place = bind(PLACE | keys, point_type, members)  # type: ignore[arg-type]
    return decoder(place.point, point_type)(bytes.fromhex(data))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "point_type", "keys", "value"),
    [
        ("44 42 90 99 9a", "float", {}, 72.30000305175781),
        ("55 08 40 52 13 33 33 33 33 33", "float", {}, 72.3),
        ("21 48", "float", {}, 72.0),
        ("31 b8", "float", {}, -72.0),
        ("22 01 2c", "float", {"scale": 0.1}, 30.0),
        ("21 03", "float", {"scale": 0.1}, 0.3),
        ("44 3c 93 74 bc", "float", {"scale": 1000}, 17.999999225139618),
        ("24 ff ff ff ff", "int", {}, 4294967295),
        ("32 fe 0c", "int", {}, -500),
        ("91 05", "int", {}, 5),
        ("21 03", "int", {"offset": -2}, 1),
        ("11", "bool", {}, True),
        ("10", "bool", {}, False),
        ("91 01", "bool", {"bool": {"true": 1, "false": 0}}, True),
        ("91 02", "enum", {"enum": {1: "stopped", 2: "running"}}, "running"),
        ("22 03 e9", "enum", {"enum": {1001: "stopped"}}, "stopped"),
        ("11", "enum", {"enum": {0: "stopped", 1: "running"}}, "running"),
        ("75 06 00 4c 69 66 74 31", "text", {}, "Lift1"),
        ("75 05 04 53 47 96 4d", "text", {}, "升降"),
        ("75 03 05 fc 20", "text", {}, "ü"),
        ("82 04 40", "bool", {"bit": 1}, True),
        ("82 04 40", "bool", {"bit": 0}, False),
        ("", "bool", {"contains": 8}, False),
        ("91 04 91 08", "bool", {"contains": 8}, True),
        ("91 00", "bool", DOORS, True),
        ("91 00 91 08", "bool", DOORS, True),
        ("91 00 91 07", "bool", DOORS, False),
        ("91 02 91 01", "bool", DOORS, False),
    ],
)
def test_values(data, point_type, keys, value):
    """Each kind of value on the wire becomes what the point is."""
    assert decode(data, point_type, WORDS if point_type == "enum" else (), **keys) == (value, GOOD)


@pytest.mark.parametrize(
    ("data", "point_type", "keys", "q"),
    [
        ("00", "float", {}, FLAGGED),  # Null
        ("00", "enum", {"enum": {1: "stopped"}}, FLAGGED),
        ("44 7f c0 00 00", "float", {}, FLAGGED),  # NaN
        ("44 ff c0 00 00", "float", {}, FLAGGED),
        ("44 7f 80 00 00", "float", {}, RANGE),  # infinity
        ("55 08 7f ef ff ff ff ff ff ff", "float", {"scale": 1000}, RANGE),
        ("44 bf 80 00 00", "float", {"invalid": [-1]}, FLAGGED),
        ("21 ff", "int", {"invalid": [255]}, FLAGGED),
        ("91 ff", "enum", {"enum": {1: "stopped"}, "invalid": [255]}, FLAGGED),
        ("91 03", "enum", {"enum": {1: "stopped", 2: "running"}}, UNMAPPED),
        ("44 3f 80 00 00", "enum", {"enum": {1: "stopped"}}, UNMAPPED),  # a real is no code
        ("44 3f 80 00 00", "int", {}, UNMAPPED),
        ("75 02 00 31", "float", {}, UNMAPPED),
        ("91 01", "bool", {}, UNMAPPED),  # an enumeration is no truth without a map
        ("91 01", "float", {}, UNMAPPED),
        ("21 01 21 02", "int", {}, UNMAPPED),  # a list where one value was expected
        ("", "int", {}, UNMAPPED),
        ("91 02", "bool", DOORS, UNMAPPED),
        ("91 00 91 02", "bool", DOORS, UNMAPPED),
        ("", "bool", DOORS, UNMAPPED),
        ("44 3f 80 00 00", "bool", {"contains": 1}, UNMAPPED),
        ("82 04 40", "bool", {"bit": 4}, UNMAPPED),  # beyond the four bits there are
        ("82 09 40", "bool", {"bit": 0}, UNMAPPED),
        ("43 3f 80 00", "float", {}, UNMAPPED),  # a real of 3 bytes
        ("25 09 01 02 03 04 05 06 07 08 09", "int", {}, UNMAPPED),  # a number of 9 bytes
        ("25 08 ff ff ff ff ff ff ff ff", "int", {}, RANGE),  # more than 63 bits
        ("75 03 00 ff fe", "text", {}, UNMAPPED),  # not UTF-8
        ("75 03 01 31 31", "text", {}, UNMAPPED),  # a code page
        ("74 00 07 0d 41", "text", {}, UNMAPPED),  # control characters
        ("1e 21 05 1f", "int", {}, UNMAPPED),  # constructed
        ("24 01", "int", {}, UNMAPPED),  # cut off
        ("13", "bool", {}, UNMAPPED),
    ],
)
def test_what_has_no_meaning_is_bad(data, point_type, keys, q):
    """What is not a value of the point is bad, with the reason, and never a value."""
    assert decode(data, point_type, WORDS if point_type == "enum" else (), **keys) == (None, q)


KINDS = [
    ("float", {}), ("int", {}), ("bool", {}), ("bool", {"contains": 3}), ("bool", DOORS), ("text", {}),
    ("bool", {"bit": 2}), ("enum", {"enum": {1: "stopped"}}),
]  # fmt: skip


@given(st.binary(max_size=24), st.sampled_from(KINDS))
def test_any_bytes_are_a_value_or_bad(data, kind):
    """No bytes make decoding raise; a value always comes with good quality and without one never."""
    point_type, keys = kind
    value, q = decode(data.hex(), point_type, WORDS if point_type == "enum" else (), **keys)
    assert (value is None) == (q != GOOD)


def test_a_point_that_cannot_be_read_so_is_refused():
    """Each combination that gives no value of the class's type is a mistake in the profile, named."""
    for keys, point_type, members, why in (
        ({}, "enum", WORDS, "say by enum:"),
        ({"enum": {1: "runing"}}, "enum", WORDS, "did you mean running"),
        ({"enum": {1: "running"}}, "bool", (), "not enum:"),
        ({"contains": 1}, "int", (), "no enum, bool, contains or bit"),
        ({"bit": 1}, "float", (), "no enum, bool, contains or bit"),
        ({"scale": 0.1}, "int", (), "scale or offset is not"),
    ):
        with pytest.raises(ValueError, match=why):
            bind(PLACE | keys, point_type, members)
    for keys, why in (
        ({"enum": {1: "a"}, "contains": 2}, "exclude each other"),
        ({"contains": 1, "index": 2}, "no index"),
        ({"bool": {"true": [1, 2], "false": 2}}, "in common"),
        ({"bool": {"true": 1}}, "exactly the keys true and false"),
        ({"object": "lfit"}, "did you mean lift"),
        ({"property": "presnt-value"}, "did you mean present-value"),
        ({"object": 1024}, "outside 0 to 1023"),
        ({"property": 4194304}, "outside 0 to 4194303"),
    ):
        with pytest.raises(ValueError, match=why):
            BacnetPoint.model_validate(PLACE | keys)
