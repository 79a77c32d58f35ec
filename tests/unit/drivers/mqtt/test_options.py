"""What people may write for MQTT, and what they are told when it cannot work."""

import pytest
from pydantic import ValidationError

from drivers.base import EventField
from drivers.mqtt import KIND
from drivers.mqtt.options import MqttEvent, MqttLink, MqttPoint
from drivers.mqtt.templates import fill
from edge.settings import load
from tests.fixtures import mqtt

WITH = {"site": "harbour", "controller": "405", "door": 1}


def bind(kind="enum", members=("open", "closed"), parameters=WITH, **keys):
    point = MqttPoint.model_validate({"topic": "a"} | keys)
    return KIND.bind(point, point_type=kind, members=members, parameters=parameters).point


def bind_event(parameters=WITH, fields=(), **keys):
    event = MqttEvent.model_validate({"topic": "a"} | keys)
    return KIND.bind_event(event, fields=fields, parameters=parameters).event


def test_topics_are_filled_in():
    """Topics of reading, writing, events and requests get the device's parameters."""
    point = bind(topic="sp/{site}/{door}", write={"topic": "sp/{controller}/set"})
    assert (point.topic, point.write.topic) == ("sp/harbour/1", "sp/405/set")
    words = {"door": "{door}", "kind": "k-{door}"}
    ask = {"topic": "ask/{controller}"}
    event = bind_event(topic="sp/{site}/+", sequence="n", counter="c-{controller}", request=ask, when=words)
    assert (event.topic, event.counter, event.request.topic) == ("sp/harbour/+", "c-405", "ask/405")
    assert event.when == {"door": 1, "kind": "k-1"}


def test_parameter_that_is_not_there():
    """A missing parameter is named, with those that there are."""
    with pytest.raises(ValueError, match=r"needs 'flor' in the device's with: \(there: controller, door, site\)"):
        bind(topic="sp/{flor}")
    with pytest.raises(ValueError, match=r"there: none"):
        bind_event(when={"a": "{x}"}, parameters={})


@pytest.mark.parametrize("value", ["", "a/b", "+", "#", "a\n"])
def test_parameter_that_would_change_the_topic(value):
    """A parameter is one level of a topic, never a wildcard or two levels."""
    with pytest.raises(ValueError, match="cannot be a level of a topic"):
        fill("sp/{x}/event", {"x": value})


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"topic": "a/+/b"}, "has a wildcard"),
        ({"topic": "a/#"}, "has a wildcard"),
        ({"topic": ""}, "is no topic"),
        ({"topic": "$SYS/x"}, "is no topic"),
        ({"topic": "a\x00"}, "is no topic"),
        ({"topic": "a", "json": "x..y"}, "is no path"),
        ({"topic": "a", "json": "$system.x"}, r"there are \$, \$text and \$topic"),
        ({"topic": "a", "json": "x[0"}, "is no path"),
        ({"topic": "a", "bits": [4, 4]}, "the lowest and the highest"),
        ({"topic": "a", "suffix": "9V"}, "pattern"),
        ({"topic": "a", "thousands": "."}, "both between thousands"),
        ({"topic": "a", "range": [2, 1]}, "the lowest comes first"),
        ({"topic": "a", "write": {"topic": "b", "json": {"a": "$value"}, "text": "$value"}}, "json or text, not both"),
        ({"topic": "a", "write": {"topic": "b", "text": "free"}}, "nothing would be written"),
        ({"topic": "a", "also": [{"topic": "b/+"}]}, "has a wildcard"),
        ({"topic": "a", "write": {"topic": "b", "json": {"mode": "free"}}}, "nothing would be written"),
        ({"topic": "a", "write": {"topic": "b/+"}}, "has a wildcard"),
        ({"topic": "a", "enum": {1: "x"}, "bool": {"true": 1, "false": 0}}, "exclude each other"),
        ({"topic": "a", "bool": {"true": 1}}, "exactly the keys"),
        ({"topic": "a", "bool": {"true": 1, "false": 1}}, "same raw value"),
        ({"topic": "a", "scale": 0}, "is no scale"),
        ({"topic": "a", "jsn": "x"}, "Extra inputs"),
    ],
)
def test_points_that_cannot_be(keys, why):
    """What cannot work in a point is refused, and said why."""
    with pytest.raises(ValidationError, match=why):
        MqttPoint.model_validate(keys)


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"topic": "a/#/b"}, "a whole level may be"),
        ({"topic": "a/b+"}, "a whole level may be"),
        ({"topic": "a/+B"}, "a whole level may be"),
        ({"topic": "a/+=b"}, "a whole level may be"),
        ({"topic": "$SYS/#"}, "is no topic"),
        ({"topic": "a", "teller": {"n": 1}, "sequence": "s"}, "its own counter"),
        ({"topic": "a/#", "sequence": "s"}, "its own counter"),
        ({"topic": "a/+reader/b", "sequence": "s", "when": {"$topic.reader": "r1"}}, "its own counter"),
        ({"topic": "a", "request": {"topic": "b"}}, "say where the sequence is"),
        ({"topic": "a", "fields": {"x": {"enum": {1: "y"}}}}, "Field required"),
    ],
)
def test_events_that_cannot_be(keys, why):
    """What cannot work in an event is refused, and said why."""
    with pytest.raises(ValidationError, match=why):
        MqttEvent.model_validate(keys)


def test_fields_against_the_class():
    """A field that the class does not have, or a mapping of another type, is refused with what there is."""
    declared = (EventField(name="granted", type="bool"), EventField(name="cred", type="text", personal="card"))
    for fields, why in (
        ({"grantd": "x"}, "did you mean granted"),
        ({"granted": {"json": "g", "enum": {1: "y"}}}, "gives words"),
        ({"cred": {"json": "c", "scale": 2}}, "are for numbers"),
    ):
        event = MqttEvent.model_validate({"topic": "a", "fields": fields})
        with pytest.raises(ValueError, match=why):
            KIND.bind_event(event, fields=declared, parameters={})


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({}, "host"),
        ({"host": "a/b"}, "pattern"),
        ({"host": "a", "port": 0}, "port"),
        ({"host": "a", "protocol": "4"}, "protocol"),
        ({"host": "a", "tls": {"ca": "ca.pem"}}, "not an absolute path"),
        ({"host": "a", "tls": {"ca": "/ca.pem", "key": "/key.pem"}}, "belong together"),
        ({"host": "a", "unacknowledged": 0}, "unacknowledged"),
    ],
)
def test_links_that_cannot_be(keys, why):
    """What cannot work in a link is refused, and said why."""
    with pytest.raises(ValidationError, match=why):
        MqttLink.model_validate(keys)


def test_only_what_says_so_can_be_written():
    """A point can be written exactly if its profile says where."""
    door = mqtt.door(1)
    writable = {point.name: KIND.writable(point.address) for point in door.groups[0].points}
    assert writable == {"door.state": False, "lock.state": False, "mode": True}


def test_the_shipped_profile_in_a_site(tmp_path):
    """A site with a door on MQTT is loaded as people write it, secrets and all."""
    (tmp_path / "site.yaml").write_text(
        "site: {id: harbour, name: {en: Harbour}, timezone: Asia/Hong_Kong}\n"
        'links: {doors: {driver: mqtt, host: 127.0.0.1, username: gw, password: "${secret:doors}"}}\n'
        "devices:\n"
        "  - for: {n: 1..4}\n"
        '    id: "door-{n}"\n'
        "    profile: mqtt-door\n"
        "    link: doors\n"
        '    with: {site: harbour, controller: "405419896", door: "{n}"}\n'
    )
    site = load(tmp_path, environment={"SITEKEEPER_SECRET_DOORS": "hush"})
    assert site.links["doors"].options.password == "hush"
    assert "hush" not in repr(site)
    device = site.devices["door-4"]
    (group,) = device.read.groups
    points = {point.name: point.address.point for point in group.points}
    assert points["mode"].write.topic == f"{mqtt.BASE}/door/4/set"
    assert {event.name for event in device.read.events} == set(mqtt.FIELDS)
    assert all(event.address.event.topic == mqtt.EVENT for event in device.read.events)
    assert device.read.options.max_silence == 30_000_000
