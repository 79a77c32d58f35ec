"""Profiles on MQTT against golden messages: typed from their published form, not from what our simulators say."""

from typing import Any

import pytest

from drivers.mqtt.events import Events
from drivers.mqtt.states import States
from edge.settings import Site
from sitekeeper.data import data_path
from sitekeeper.model.event import pseudonym
from sitekeeper.model.quality import is_good
from tests.mqtt_golden import NOW, SALT, golden, payload, site_of

GOLDEN = golden("mqtt-door", "mqtt-lpr", "mqtt-carpark")
PERSONAL = {"plate": "plate", "cred": "card"}
"""Fields of which a pseudonym is kept, and of which kind."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One device of each profile."""
    return site_of(tmp_path_factory.mktemp("site"), GOLDEN)


@pytest.mark.parametrize("profile", GOLDEN)
def test_states_mean_what_the_map_says(site: Site, profile: str) -> None:
    """Each retained message gives the golden values; what has no meaning or is not there is no value."""
    read = site.devices[profile].read
    (group,) = read.groups
    states = States([read], "broker", hidden=lambda _: False)
    states.take(GOLDEN[profile]["status"][0], payload(GOLDEN[profile]["status"][1]), NOW)
    known: dict[str, Any] = {}
    for topic, body, values in GOLDEN[profile]["states"]:
        states.take(topic, payload(body), NOW)
        scan = states.scan(group.id, NOW)
        known |= {group.points[each.index].name: each.value if is_good(each.q) else None for each in scan.outcomes}
        assert known == values
        assert {name: type(value) for name, value in known.items()} == {name: type(v) for name, v in values.items()}


@pytest.mark.parametrize("profile", GOLDEN)
def test_events_mean_what_the_map_says(site: Site, profile: str) -> None:
    """Each message is the golden event with its number, and a plate or card is a pseudonym of what was read."""
    events = Events("l", [site.devices[profile].read], SALT)
    for topic, body, (name, sequence, fields) in GOLDEN[profile]["events"]:
        told = events.take(topic, payload(body), NOW.mono, retained=False)
        assert told is not None
        (heard,) = told.heard
        hidden = {name: pseudonym(SALT, kind, body[name]) for name, kind in PERSONAL.items() if name in body}
        wanted = fields | hidden
        assert (heard.device, heard.name, heard.sequence, heard.fields) == (profile, name, sequence, wanted)
        assert heard.buffered is bool(body.get("buffered"))


def test_nothing_can_be_written_to_a_camera_or_a_counter(site: Site) -> None:
    """No answer of ours opens a boom, and nobody corrects a count from here."""
    assert not any(site.devices[name].writables for name in ("mqtt-lpr", "mqtt-carpark"))


def test_every_map_on_mqtt_has_golden_messages() -> None:
    """Whoever adds a profile of the canon types messages for it."""
    assert {path.stem for path in data_path("profiles").glob("mqtt-*.yaml")} == GOLDEN.keys()
