"""What a probe of a broker sends, and what it makes of what it hears: never a value, never a person."""

import json

import pytest
import yaml

from edge.probe.mqtt import Heard, Message, connect, mask, points_yaml, published, site_yaml, subscribe


def said(topic, value, *, retained=False):
    payload = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Message(topic, payload, retained)


def test_packets_by_the_standard():
    """CONNECT and SUBSCRIBE as MQTT 3.1.1 has them (3.1, 3.8), typed by hand."""
    assert connect("me", None, None, 60).hex(" ") == "10 0e 00 04 4d 51 54 54 04 02 00 3c 00 02 6d 65"
    assert connect("me", "u", "p", 60).hex(" ") == ("10 14 00 04 4d 51 54 54 04 c2 00 3c 00 02 6d 65 00 01 75 00 01 70")
    assert subscribe("#").hex(" ") == "82 06 00 01 00 01 23 00"
    long = connect("m" * 200, None, None, 60)
    assert long[:3].hex() == "10d401"  # 212 bytes follow
    with pytest.raises(ValueError):
        subscribe("a" * 70_000)


def test_messages_by_the_standard():
    """A PUBLISH with and without packet id; what cannot be read is passed over."""
    assert published(0x01, b"\0\x03a/b{}") == Message("a/b", b"{}", True)
    assert published(0x02, b"\0\x01a\0\x09{}") == Message("a", b"{}", False)
    assert published(0, b"\0\x09a") is None
    assert published(0, b"\0\x01\xff{}") is None


def test_what_is_kept_of_a_topic():
    """Counts, sizes, whether all of it is JSON, and names of members: nothing that a message says."""
    heard = Heard()
    heard.take(said("a/b", {"seq": 1, "cred": "h:9f3c:8538"}, retained=True))
    heard.take(said("a/b", {"seq": 2, "door": 1}))
    heard.take(said("c", b"\xff\0"))
    heard.take(said("d", b"x" * 100_000))
    topic = heard.topics["a/b"]
    assert (topic.messages, topic.retained, topic.json, topic.members) == (2, 1, True, ["seq", "cred", "door"])
    assert (topic.smallest, topic.largest) == (21, 33)
    assert [heard.topics[name].json for name in "cd"] == [False, False]
    assert "8538" not in repr(heard.topics)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("doors/card/04A2B3C4D5", "doors/card/…D5"),
        ("staff/13812345678/in", "staff/…78/in"),
        ("mail/a.chan@example.org", "mail/…rg"),
        ("sp/harbour-east/access/405419896/event", "sp/harbour-east/access/405419896/event"),
        ("site/level-12/lamp-004", "site/level-12/lamp-004"),
        ("facade/decaffed", "facade/decaffed"),
    ],
)
def test_what_may_be_a_person_is_cut(written, shown):
    """Numbers as long as a card's or a telephone's and addresses keep their end only; devices of our canon stay."""
    assert mask(written) == shown


def test_topics_without_end_are_counted():
    """A broker with more topics than anybody reads does not fill the memory."""
    heard = Heard()
    for number in range(2_500):
        heard.take(said(f"t/{number}", 1))
    assert (len(heard.topics), heard.beyond) == (2_000, 500)


def test_doors_of_our_canon():
    """Controllers are known by their topics, doors by retained states and by events; each becomes a device."""
    heard = Heard()
    heard.take(said("sp/harbour-east/access/405419896/status", {"online": True, "last": 4711}, retained=True))
    heard.take(said("sp/harbour-east/access/405419896/door/1", {"state": "closed"}, retained=True))
    heard.take(said("sp/harbour-east/access/405419896/event", {"seq": 4712, "door": 3, "kind": "read"}))
    heard.take(said("sp/harbour-east/access/405419896/event", b"not JSON"))
    heard.take(said("sp/harbour-east/access/9/event", [1]))
    (controller,) = heard.controllers.values()
    assert (controller.online, controller.doors, controller.events) == (True, {1, 3}, 1)
    site = yaml.safe_load(site_yaml({"driver": "mqtt", "host": "b", "port": 1883}, [controller]))
    assert site["links"] == {"access": {"driver": "mqtt", "host": "b", "port": 1883}}
    assert site["devices"][1] == {
        "id": "door-3", "profile": "mqtt-door", "link": "access",
        "with": {"site": "harbour-east", "controller": "405419896", "door": 3},
    }  # fmt: skip
    assert site_yaml({}, []) == ""


def test_doors_of_two_controllers_have_names_of_their_own():
    """Door 1 of each of two controllers is two devices."""
    heard = Heard()
    for name in ("A_1", "B"):
        heard.take(said(f"sp/east/access/{name}/door/1", {"state": "closed"}))
    site = yaml.safe_load(site_yaml({}, heard.controllers.values()))
    assert [device["id"] for device in site["devices"]] == ["door-east-a-1-1", "door-east-b-1"]


def test_a_draft_of_a_profile_for_messages_that_are_not_ours() -> None:
    """Topics that differ in one level and say the same are devices on one subscription; names are paths."""
    heard = Heard()
    for serial in ("s1", "s2", "s3"):
        heard.take(Message(f"esp/{serial}/state", b'{"switch:0": 1, "t": 21.5}', retained=True))
    heard.take(Message("gw/log", b'{"id": 3}', retained=False))
    heard.take(Message("gw/text", b"ON", retained=False))
    heard.take(Message("sp/a/access/1/status", b'{"online": true}', retained=True))
    assert points_yaml(heard.topics).splitlines() == [
        "points:  # under the names of the class",
        "# 3 x, retained: a state",
        '# {topic: "esp/+{serial}/state", json: "\\"switch:0\\""}',
        '# {topic: "esp/+{serial}/state", json: "t"}',
        "",
        "# 1 x, not retained: a state or an event",
        '# {topic: "gw/log", json: "id"}',
    ]
    assert points_yaml({}) == ""
