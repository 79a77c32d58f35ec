"""Paths: what people may write, what they lead to, and that parameters stay within their step."""

import pytest

from drivers.mqtt.parse import Unreadable
from drivers.mqtt.paths import Content, When, pick, spelt, where
from drivers.mqtt.templates import fill_path

FOUND = {
    "switch:0": {"output": True},
    "doors": [{"id": 1, "state": "open"}, {"id": "2", "state": "closed"}, 7],
    "a.b": {'x"y': 5},
    "7": "seven",
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ('"switch:0".output', True),
        ('["switch:0"].output', True),
        ('$["switch:0"].output', True),
        ("switch:0.output", True),
        ("doors[0].state", "open"),
        ("$.doors.0.state", "open"),
        ("doors[-1]", 7),
        ("doors[id=2].state", "closed"),
        ("doors[id=1].state", "open"),
        ('"a.b"."x\\"y"', 5),
        ("7", "seven"),
        ("$", FOUND),
    ],
)
def test_what_a_path_leads_to(path: str, value: object) -> None:
    """Names, elements from both ends and by a member of theirs, and names with other signs in quotes."""
    assert pick(FOUND, path) == value
    assert pick(FOUND, spelt(where(path))) == value, "it can be spelt out and read again"


@pytest.mark.parametrize(
    "path", ["doors[3]", "doors[-4]", "doors[id=3].state", "doors[nr=1]", "doors.id", "[0]", "a.b"]
)
def test_where_a_path_leads_to_nothing(path: str) -> None:
    """That is said, with the path."""
    with pytest.raises(Unreadable, match="nothing at") as error:
        pick(FOUND, path)
    assert error.value.code == "missing"


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".a",
        "a.",
        "a..b",
        "a b.[",
        "a[",
        "a[b]",
        "a[0",
        '"a',
        "[id=]",
        "$x",
        "$topic.",
        "$text.a",
        "a[1.5]",
        ".".join("a" * 17),
    ],
)
def test_what_is_no_path(path: str) -> None:
    """Nothing is guessed: what is not understood is refused where it is written. An empty one is the whole value."""
    if path == "":
        assert where(path).steps == ()
        return
    with pytest.raises(ValueError, match="is no path"):
        where(path)


def test_parameters_stay_within_their_step() -> None:
    """A parameter is one name, whatever is in it; where it would end the step it is refused."""
    assert pick({"a.b": {"c": 1}}, fill_path("{x}.c", {"x": "a.b"})) == 1
    assert pick({"relays": [0, {"on": 2}]}, fill_path("relays.{n}.on", {"n": 1})) == 2
    assert pick(FOUND, fill_path("doors[id={n}].state", {"n": 2})) == "closed"
    with pytest.raises(ValueError, match="cannot stand in a path"):
        fill_path("doors[id={n}].state", {"n": "1].x[0"})
    with pytest.raises(ValueError, match="needs 'm'"):
        fill_path("a.{m}", {"n": 1})


def test_content_is_understood_once_and_only_as_far_as_asked() -> None:
    """Text and levels of the topic are there without JSON; rubbish is a fault for those alone who want JSON."""
    content = Content(b" ON ")
    assert content.at(where("$text")) == "ON"
    assert content.at(where("$topic.door"), {"door": "3"}) == "3"
    assert content.fault is None
    for _ in range(2):
        with pytest.raises(Unreadable, match="not JSON"):
            content.at(where("a"))
    assert content.fault is not None
    with pytest.raises(Unreadable, match="no level room"):
        content.at(where("$topic.room"), {"door": "3"})


def test_whose_a_message_is() -> None:
    """All that is asked for must be there, of several values one; a level of the topic counts like a member."""
    when = When({"kind": ["read", "rex"], "$topic.door": 3})
    assert when.holds(Content(b'{"kind":"rex"}'), {"door": "3"})
    assert not when.holds(Content(b'{"kind":"door"}'), {"door": "3"})
    assert not when.holds(Content(b'{"kind":"rex"}'), {"door": "4"})
    assert not when.holds(Content(b"rex"), {"door": "3"})
