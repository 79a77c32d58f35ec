"""Makers' doors on MQTT against golden messages: the documents' own examples, and messages typed from their source."""

from datetime import datetime
from typing import Any

import pytest

from drivers.mqtt.events import Events
from drivers.mqtt.options import MqttDevice
from drivers.mqtt.states import States
from edge.settings import Site
from sitekeeper.model.clock import SECOND
from sitekeeper.model.event import pseudonym
from sitekeeper.model.quality import is_good
from tests.mqtt_golden import NOW, SALT, golden, payload, site_of

GOLDEN = golden("uhppote-door", "esp-rfid")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One door of each profile."""
    return site_of(tmp_path_factory.mktemp("site"), GOLDEN)


@pytest.mark.parametrize("profile", GOLDEN)
def test_states_mean_what_the_document_says(site: Site, profile: str) -> None:
    """Each message gives the golden values; others' messages and errors change nothing, and nonsense is no value."""
    read = site.devices[profile].read
    (group,) = read.groups
    states = States([read], "broker", hidden=lambda _: False)
    known: dict[str, Any] = {}
    for topic, body, values, source in GOLDEN[profile]["states"]:
        states.take(topic, payload(body), NOW)
        outcomes = states.scan(group.id, NOW).outcomes
        names = {each.index: group.points[each.index].name for each in outcomes}
        known |= {names[each.index]: each.value if is_good(each.q) else None for each in outcomes}
        assert known == values, body
        assert {name: type(value) for name, value in known.items()} == {name: type(v) for name, v in values.items()}
        if source is not None:
            told = {each.source for each in outcomes if names[each.index] == "door_open"}
            assert told == {round(datetime.fromisoformat(source).timestamp()) * SECOND}
    good = {name for _, _, values, _ in GOLDEN[profile]["states"] for name, v in values.items() if v is not None}
    assert good == {point.name for point in group.points}


@pytest.mark.parametrize("profile", GOLDEN)
def test_events_mean_what_the_document_says(site: Site, profile: str) -> None:
    """Each message is the golden event, told at once or late, with its number; a card is a pseudonym of its number."""
    events = Events("l", [site.devices[profile].read], SALT)
    for topic, body, (name, late, fields) in GOLDEN[profile]["events"]:
        told = events.take(
            topic, payload({"message": {"event": body}} if "event-id" in body else body), 0, retained=False
        )
        assert told is not None
        (heard,) = told.heard
        wanted = fields | ({"cred": pseudonym(SALT, "card", fields["cred"])} if "cred" in fields else {})
        assert (heard.name, heard.buffered, heard.fields) == (name, late, wanted), body
        assert heard.device == (profile if name else "")
        assert heard.sequence == body.get("event-id")
        assert heard.source == moment(body)


def moment(body: dict[str, Any]) -> int:
    """Return when an event happened, by its own text; these are all in the summer of the west coast."""
    if "time" in body:
        return int(body["time"]) * SECOND
    return round(datetime.fromisoformat(f"{body['timestamp'].removesuffix(' PDT')}-07:00").timestamp()) * SECOND


def test_the_state_of_a_board_is_asked_for_as_its_document_says(site: Site) -> None:
    """The request for the state has the documented topic and members, with the controller as a number."""
    options = site.devices["uhppote-door"].read.options
    assert isinstance(options, MqttDevice)
    assert options.poll is not None
    assert [options.poll.topic, options.poll.json_body] == GOLDEN["uhppote-door"]["poll"]


def test_nothing_can_be_written_to_these_doors(site: Site) -> None:
    """What could be done to them has no state that would confirm it."""
    assert not any(site.devices[name].writables for name in GOLDEN)


def test_another_board_on_the_same_topic_counts_for_nothing(site: Site) -> None:
    """Its events are nobody's, so that its numbers are no gap in ours; its state and an error are no sign of life."""
    read, golden = site.devices["uhppote-door"].read, GOLDEN["uhppote-door"]
    events, states = Events("l", [read], SALT), States([read], "broker", hidden=lambda _: False)
    topic, body, _ = golden["events"][0]
    foreign = payload({"message": {"event": body | {"device-id": 303986753, "event-id": 9000}}})
    told = events.take(topic, foreign, 0, retained=False)
    assert told is not None
    assert (told.heard, told.request) == ((), None)
    of_another, error = golden["states"][2], golden["states"][3]
    assert [states.take(topic, payload(body), NOW) for topic, body, *_ in (of_another, error)] == [None, None]
