"""From bytes to values: what a payload means, what it does not, and that garbage is never a value."""

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.mqtt.moments import moment, zone_of
from drivers.mqtt.options import FieldFrom, MqttPoint, Reading
from drivers.mqtt.parse import MAX_DEPTH, MAX_PAYLOAD, Unreadable, masked, plain, same, tree
from drivers.mqtt.paths import pick
from drivers.mqtt.payload import MAX_TEXT, check, check_write, decoder, written
from sitekeeper.model.clock import SECOND
from sitekeeper.model.quality import GOOD, Reason, bad, is_good

UNMAPPED, FLAGGED, RANGE = bad(Reason.UNMAPPED), bad(Reason.DEVICE_FLAGGED), bad(Reason.OUT_OF_RANGE)
WORDS = ("closed", "open")


def reading(**keys):
    return Reading.model_validate(keys)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "empty"),
        (b"hello", "not JSON"),
        (b'{"a":1', "not JSON"),
        (b'"\xff"', "not JSON"),
        (b"\xef\xbb\xbf1", "not JSON"),
        (b'{"a":NaN}', "NaN is not JSON"),
        (b'{"a":-Infinity}', "Infinity is not JSON"),
        (b"9" * 5000, "not JSON"),
        (b'{"granted":false,"granted":true}', "two members of one name"),
        (b"[" * 100_000, "nested deeper"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested deeper"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "nested deeper"),
        (b" " * MAX_PAYLOAD + b"1", "bytes, more than"),
    ],
)
def test_unreadable(payload, why):
    """What is not plain JSON of reasonable size is refused, and the reason is said."""
    with pytest.raises(Unreadable, match=why):
        tree(payload)


def test_as_deep_and_as_long_as_allowed():
    """The limits themselves are allowed: so many levels, so many brackets, so many bytes."""
    assert tree(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert len(tree(json.dumps([[] for _ in range(500)]).encode())) == 500
    assert tree(b" " * (MAX_PAYLOAD - 1) + b"1") == 1
    with pytest.raises(Unreadable):
        plain(b" " * (MAX_PAYLOAD + 1))
    with pytest.raises(Unreadable):
        plain(b"\xff")


def test_pick():
    """A path goes through members and indexes; where it ends in nothing, that is said."""
    found = {"doors": [{"state": "open"}, {"state": None}], "7": 1}
    assert pick(found, "doors.0.state") == "open"
    assert pick(found, "doors.1.state") is None
    assert pick(found, "7") == 1
    for path in ("doors.2", "doors.-1", "doors.state", "door", "doors.0.state.x", "doors.٠"):
        with pytest.raises(Unreadable, match="nothing at"):
            pick(found, path)


@pytest.mark.parametrize(
    ("keys", "kind", "raw", "read"),
    [
        ({}, "bool", True, (True, GOOD)),
        ({}, "bool", 1, (None, UNMAPPED)),
        ({}, "bool", "true", (None, UNMAPPED)),
        ({"bool": {"true": "ON", "false": "OFF"}}, "bool", "OFF", (False, GOOD)),
        ({"bool": {"true": "ON", "false": "OFF"}}, "bool", "off", (None, UNMAPPED)),
        ({"bool": {"true": 1, "false": 0}}, "bool", 1.0, (True, GOOD)),
        ({"bool": {"true": 1, "false": 0}}, "bool", True, (None, UNMAPPED)),
        ({}, "enum", "open", (WORDS[1], GOOD)),
        ({}, "enum", "Open", (None, UNMAPPED)),
        ({"enum": {1: "open", 0: "closed"}}, "enum", 0, ("closed", GOOD)),
        ({"enum": {1: "open", 0: "closed"}}, "enum", "0", (None, UNMAPPED)),
        ({"enum": {1: "open", 0: "closed"}}, "enum", False, (None, UNMAPPED)),
        ({"enum": {1: "open"}}, "enum", [], (None, UNMAPPED)),
        ({}, "int", 7, (7, GOOD)),
        ({}, "int", 7.0, (7, GOOD)),
        ({}, "int", 7.5, (None, UNMAPPED)),
        ({}, "int", True, (None, UNMAPPED)),
        ({}, "int", "7", (None, UNMAPPED)),
        ({"text": True}, "int", "7", (7, GOOD)),
        ({"text": True}, "int", "0x7", (None, UNMAPPED)),
        ({"text": True}, "int", "1_000", (None, UNMAPPED)),
        ({"text": True}, "float", "nan", (None, UNMAPPED)),
        ({"text": True}, "float", "NaN", (None, RANGE)),
        ({}, "int", 2**63, (None, RANGE)),
        ({}, "int", 2**63 - 1, (2**63 - 1, GOOD)),
        ({"scale": 10, "offset": 1}, "int", 3, (31, GOOD)),
        ({"scale": 1000}, "int", 2**62, (None, RANGE)),
        ({"scale": 0.1}, "float", 3, (0.3, GOOD)),
        ({"scale": 0.5, "offset": -1}, "float", 3, (0.5, GOOD)),
        ({}, "float", float("inf"), (None, RANGE)),
        ({"invalid": [-1, "n/a"]}, "float", -1, (None, FLAGGED)),
        ({"invalid": [-1, "n/a"], "text": True}, "float", "n/a", (None, FLAGGED)),
        ({}, "float", None, (None, FLAGGED)),
        ({"bool": {"true": ["ON", "1", True, 1], "false": ["OFF", "0", False]}}, "bool", "1", (True, GOOD)),
        ({"bool": {"true": ["ON", "1", True, 1], "false": ["OFF", "0", False]}}, "bool", 1, (True, GOOD)),
        ({"bool": {"true": ["ON", "1", True, 1], "false": ["OFF", "0", False]}}, "bool", 0, (None, UNMAPPED)),
        ({"bit": 3}, "bool", 8, (True, GOOD)),
        ({"bit": 3}, "bool", 7, (False, GOOD)),
        ({"bit": 0}, "bool", "1", (None, UNMAPPED)),
        ({"bit": 0, "text": True}, "bool", "1", (True, GOOD)),
        ({"bit": 3}, "bool", -8, (None, UNMAPPED)),
        ({"bit": 3}, "bool", 8.5, (None, UNMAPPED)),
        ({"bit": 3}, "bool", True, (None, UNMAPPED)),
        ({"bit": 3, "invalid": [255]}, "bool", 255, (None, FLAGGED)),
        ({"bits": [4, 6], "enum": {5: "open", 0: "closed"}}, "enum", 0xD3, ("open", GOOD)),
        ({"bits": [4, 6], "enum": {5: "open", 0: "closed"}}, "enum", 0x1F, (None, UNMAPPED)),
        ({"bits": [0, 7], "scale": 0.5}, "float", 0x1FF, (127.5, GOOD)),
        ({"suffix": "°C"}, "float", "21.5 °C", (21.5, GOOD)),
        ({"suffix": ["°C", "C"]}, "float", "-21.5C", (-21.5, GOOD)),
        ({"suffix": "°C"}, "float", "21.5", (None, UNMAPPED)),
        ({"suffix": "°C"}, "float", "21.5 °F", (None, UNMAPPED)),
        ({"suffix": "°C"}, "float", "21,5 °C", (None, UNMAPPED)),
        ({"suffix": "°C"}, "float", 21.5, (21.5, GOOD)),
        ({"text": True}, "float", "1,234.5", (None, UNMAPPED)),
        ({"thousands": ","}, "float", "1,234.5", (1234.5, GOOD)),
        ({"thousands": ","}, "float", "1,2345", (None, UNMAPPED)),
        ({"thousands": ","}, "float", "1234.5", (1234.5, GOOD)),
        ({"thousands": ",", "suffix": "W"}, "int", "1,234,567 W", (1_234_567, GOOD)),
        ({"decimal": ","}, "float", "21,5", (21.5, GOOD)),
        ({"decimal": ",", "thousands": "."}, "float", "1.234,5", (1234.5, GOOD)),
        ({"decimal": ","}, "float", "21.5", (None, UNMAPPED)),
        ({"decimal": ","}, "float", "٢١,٥", (None, UNMAPPED)),
        ({"range": [-40, 85]}, "float", 85, (85.0, GOOD)),
        ({"range": [-40, 85]}, "float", 85.1, (None, RANGE)),
        ({"range": [0, 100], "scale": 10}, "int", 11, (None, RANGE)),
        ({}, "text", "Lobby 大堂", ("Lobby 大堂", GOOD)),
        ({}, "text", 5, (None, UNMAPPED)),
        ({}, "text", "a\nb", (None, UNMAPPED)),
        ({}, "text", "\ud800", (None, UNMAPPED)),
        ({}, "text", "x" * (MAX_TEXT + 1), (None, RANGE)),
    ],
)
def test_meaning(keys, kind, raw, read):
    """A raw value has exactly the meaning that the profile gives it, or the point is bad for the right reason."""
    assert decoder(reading(**keys), kind, WORDS if kind == "enum" else ())(raw) == read


@pytest.mark.parametrize(
    ("keys", "kind", "payload", "read"),
    [
        ({}, "bool", b"true\n", (True, GOOD)),
        ({"bool": {"true": 1, "false": 0}}, "bool", b"0", (False, GOOD)),
        ({"enum": {1: "open", 0: "closed"}}, "enum", b"1", ("open", GOOD)),
        ({}, "float", b" 21.5 ", (21.5, GOOD)),
        ({}, "float", b"21,5", (None, UNMAPPED)),
        ({"invalid": [-999]}, "int", b"-999", (None, FLAGGED)),
        ({}, "text", b"on", ("on", GOOD)),
        ({"bit": 1}, "bool", b"2", (True, GOOD)),
        ({"bool": {"true": ["ON", 1], "false": ["OFF", 0]}}, "bool", b"1", (True, GOOD)),
        ({"bits": [0, 3], "enum": {1: "open"}}, "enum", b"17", ("open", GOOD)),
        ({"suffix": "°C"}, "float", "21.5 °C".encode(), (21.5, GOOD)),
    ],
)
def test_payload_that_is_no_json(keys, kind, payload, read):
    """Without a path the whole payload is the raw value, as text, and a number needs no permission to be one."""
    decode = decoder(reading(**keys), kind, WORDS if kind == "enum" else (), raw_text=True)
    assert decode(plain(payload)) == read


@pytest.mark.parametrize(
    ("keys", "kind", "why"),
    [
        ({"enum": {1: "opn"}}, "enum", "did you mean open"),
        ({"enum": {1: "open"}}, "int", "gives words"),
        ({"bool": {"true": 1, "false": 0}}, "enum", "gives true and false"),
        ({"scale": 0.5}, "int", "whole number"),
        ({"scale": 2}, "text", "are for numbers"),
        ({"text": True}, "bool", "are for numbers"),
        ({"suffix": "W"}, "text", "are for numbers"),
        ({"range": [0, 1]}, "enum", "are for numbers"),
        ({"bit": 1}, "int", "is for a point of type bool"),
        ({"bit": 1, "bool": {"true": 1, "false": 0}}, "bool", "by itself"),
        ({"bits": [0, 3]}, "enum", "which number is which word"),
        ({"bits": [0, 3]}, "bool", "which number is which word"),
    ],
)
def test_check(keys, kind, why):
    """A mapping that cannot give the class's type is refused where it is written."""
    with pytest.raises(ValueError, match=why):
        check(reading(**keys), kind, WORDS if kind == "enum" else ())


@pytest.mark.parametrize(
    ("want", "have", "is_same"),
    [
        ("read", "read", True),
        (1, 1, True),
        (1, 1.0, True),
        ("1", 1, True),
        (1, "1", True),
        ("1", True, False),
        (1, True, False),
        (True, True, True),
        (True, 1, False),
        (True, "true", False),
        ("read", None, False),
        ("read", ["read"], False),
    ],
)
def test_same(want, have, is_same):
    """A number that `with:` gives as text is still that number; truth is never a number."""
    assert same(want, have) is is_same


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        ("2026-06-21T09:00:00.120+08:00", 1_782_003_600.12),
        ("2026-06-21T01:00:00Z", 1_782_003_600),
        (1_782_003_600, 1_782_003_600),
        (1_782_003_600.25, 1_782_003_600.25),
        (1_782_003_600_120, 1_782_003_600.12),
        ("2026-06-21T09:00:00", None),
        ("yesterday", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-14:00", 253_402_351_199),
        ("1969-01-01T00:00:00Z", None),
        (-1, None),
        (0, None),
        (True, None),
        (1e300, None),
        (float("inf"), None),
        (None, None),
        ([], None),
    ],
)
def test_moment(raw, seconds):
    """A device's time is ISO 8601 with its offset, or seconds or milliseconds since 1970; anything else is no time."""
    assert moment(raw) == (None if seconds is None else round(seconds * SECOND))


def point(**keys):
    return MqttPoint.model_validate({"topic": "a", "write": {"topic": "b", "json": {"to": "$value", "n": [1]}}} | keys)


@pytest.mark.parametrize(
    ("keys", "kind", "value", "raw"),
    [
        ({}, "enum", "open", "open"),
        ({"enum": {1: "open", 0: "closed"}}, "enum", "closed", 0),
        ({"bool": {"true": "ON", "false": "OFF"}}, "bool", True, "ON"),
        ({}, "bool", False, False),
        ({"scale": 0.1}, "float", 0.3, 3),
        ({"scale": 0.1, "offset": 5}, "float", 5.25, 2.5),
        ({"scale": 10}, "int", 30, 3),
        ({}, "text", "hello", "hello"),
        ({"bool": {"true": ["ON", "1"], "false": ["OFF", "0"]}}, "bool", False, "OFF"),
        ({"suffix": "%"}, "int", 50, 50),
    ],
)
def test_written(keys, kind, value, raw):
    """A value is written as the raw value that is read back as that value, wherever the body says."""
    members = WORDS if kind == "enum" else ()
    assert json.loads(written(point(**keys), kind, members, value)) == {"to": raw, "n": [1]}


@pytest.mark.parametrize(
    ("keys", "kind", "value"),
    [
        ({}, "enum", "ajar"),
        ({"enum": {1: "open"}}, "enum", "closed"),
        ({}, "bool", 1),
        ({}, "bool", "true"),
        ({}, "int", 1.5),
        ({}, "int", True),
        ({}, "float", math.inf),
        ({}, "float", math.nan),
        ({"scale": 10}, "int", 35),
        ({"invalid": [5]}, "int", 5),
        ({}, "text", 5),
        ({}, "text", "x" * 1000),
    ],
)
def test_not_written(keys, kind, value):
    """What the point cannot hold is not written."""
    with pytest.raises(ValueError, match="cannot be written"):
        written(point(**keys), kind, WORDS if kind == "enum" else (), value)


@pytest.mark.parametrize(
    ("write", "kind", "value", "payload"),
    [
        ({"text": "$value"}, "bool", True, b"true"),
        ({"text": "level=$value;"}, "float", 21.5, b"level=21.5;"),
        ({"text": "$value"}, "enum", "open", b"open"),
        ({"json": {"open": True}, "value": 1}, "int", 1, b'{"open":true}'),
        ({"text": "go", "value": "open"}, "enum", "open", b"go"),
    ],
)
def test_written_as_text_or_as_one_thing_only(write, kind, value, payload):
    """A body may be text, and one that does not have the value is for one value."""
    made = MqttPoint.model_validate({"topic": "a", "write": {"topic": "b"} | write})
    members = WORDS if kind == "enum" else ()
    check_write(made.write, made, kind, members)
    assert written(made, kind, members, value) == payload
    if "value" in write:
        with pytest.raises(ValueError, match="cannot be written: only"):
            written(made, kind, members, 2 if kind == "int" else "closed")


@pytest.mark.parametrize(
    ("keys", "kind", "why"),
    [
        ({"bit": 1, "write": {"topic": "b"}}, "bool", "some bits"),
        ({"write": {"topic": "b", "value": "ajar"}}, "enum", "cannot be written"),
        ({"write": {"topic": "b", "value": 1}}, "bool", "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_refused_in_the_profile(keys, kind, why):
    """Not only when somebody tries."""
    made = MqttPoint.model_validate({"topic": "a"} | keys)
    with pytest.raises(ValueError, match=why):
        check_write(made.write, made, kind, WORDS if kind == "enum" else ())


@pytest.mark.parametrize(
    ("raw", "zone", "text"),
    [
        ("2022-09-12 10:47:31 PDT", "Asia/Hong_Kong", "2022-09-12T10:47:31+08:00"),
        ("2022-09-12 10:47:31", "-07:00", "2022-09-12T10:47:31-07:00"),
        ("2022-09-12T10:47:31+02:00", "Asia/Hong_Kong", "2022-09-12T10:47:31+02:00"),
        (1_782_003_600, "Asia/Hong_Kong", "2026-06-21T09:00:00+08:00"),
    ],
)
def test_a_clock_on_the_wall(raw, zone, text):
    """A time without offset is of the device's zone; letters behind it count for nothing, an offset does."""
    assert moment(raw, zone_of(zone)) == moment(text)


def test_zones():
    """What is no zone is refused by name."""
    for name in ("Asia/Hongkong", "+8", "../etc/passwd", "", "+25:00"):
        with pytest.raises(ValueError, match="is no time zone"):
            zone_of(name)
    assert moment("2022-09-12 10:47:31 PDT") is None


def test_masked():
    """What is shown of a message that may name a person is its shape."""
    assert masked(b'{"cred":"0012345678","n":8}') == b'{"xxxx":"xxxxxxxxxx","x":x}'
    assert len(masked(b"x" * 1000)) < 100


LEAVES = st.none() | st.booleans() | st.floats() | st.integers() | st.text()


@given(st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)))
def test_any_json_is_a_value_of_the_type_or_bad(raw):
    """Whatever JSON holds, a point is bad without a value, or good with a value of its type."""
    kinds = {"bool": bool, "int": int, "float": float, "enum": str, "text": str}
    for kind, python in kinds.items():
        value, q = decoder(reading(), kind, WORDS if kind == "enum" else ())(raw)
        assert (value is None) != is_good(q)
        if is_good(q):
            assert isinstance(value, python)
            assert kind == "bool" or not isinstance(value, bool)
            assert kind != "enum" or value in WORDS
            assert kind != "float" or math.isfinite(value)


def garbage(rng: random.Random) -> bytes:
    """Return something that a broken or hostile device might publish."""
    good = b'{"state":"open","n":21.5,"deep":[{"x":1}],"ts":"2026-06-21T09:00:00+08:00"}'
    match rng.randrange(5):
        case 0:
            return rng.randbytes(rng.randrange(200))
        case 1:
            at = rng.randrange(len(good))
            return good[:at] + rng.randbytes(rng.randrange(4)) + good[at + rng.randrange(8) :]
        case 2:
            return bytes(rng.choices(b'{}[]":,.eE+-0123456789truefalsn\\u', k=rng.randrange(80)))
        case 3:
            return good.replace(b"21.5", rng.choice([b"1e400", b"-0", b"9" * 4000, b"null", b'"21.5"', b"[]", b"true"]))
        case _:
            return rng.choice([b"[", b'{"a":', b'"', b"-"]) * rng.randrange(3000)


def test_ten_thousand_pieces_of_garbage():
    """Of 10,000 broken payloads none gives a value that is not in it as such, and none raises anything unforeseen."""
    rng = random.Random(20260621)
    number = decoder(FieldFrom.model_validate({"json": "n"}), "float", ())
    word = decoder(FieldFrom.model_validate({"json": "state"}), "enum", WORDS)
    read = 0
    for _ in range(10_000):
        payload = garbage(rng)
        try:
            found = tree(payload)
            (n, n_q), (state, state_q) = number(pick(found, "n")), word(pick(found, "state"))
        except Unreadable:
            continue
        read += 1
        truth = json.loads(payload)
        assert n == (truth["n"] if is_good(n_q) else None)
        assert state == (truth["state"] if is_good(state_q) else None)
    assert 50 < read < 9_000, "some of it has to be readable for this to prove anything"
