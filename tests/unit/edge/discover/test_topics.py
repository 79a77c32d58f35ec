"""Which profiles the topics of a broker look like."""

import yaml

from edge.discover.profiles import nearest_profile, shipped
from edge.discover.topics import MOST_GUESSES, guesses, patterns, site_yaml

DOORS = ["sp/east/access/405419896/door/1", "sp/east/access/405419896/door/2", "sp/east/access/405419896/event"]


def test_doors_of_our_canon_are_found_with_their_parameters():
    """One device for each door; the topic of events that both share makes no third one."""
    found, strange = guesses([*DOORS, "zigbee2mqtt/kitchen"], patterns())
    doors = [each.parameters for each in found if each.profile == "mqtt-door"]
    assert doors == [{"site": "east", "controller": "405419896", "door": n} for n in ("1", "2")]
    assert strange == ["zigbee2mqtt/kitchen"]


def test_what_is_printed_is_yaml():
    """It can be pasted: a door's number is a number, and a controller's stays a text."""
    found, _ = guesses(DOORS, patterns())
    site = yaml.safe_load(site_yaml({"driver": "mqtt", "host": "h"}, found))
    assert site["devices"][0]["with"] == {"site": "east", "controller": "405419896", "door": 1}
    assert site_yaml({}, []) == ""


def test_guesses_are_bounded():
    """More doors than anybody has make no longer list."""
    found, _ = guesses([f"sp/east/access/1/door/{n}" for n in range(3 * MOST_GUESSES)], patterns())
    assert len(found) == MOST_GUESSES


def test_profiles_by_name():
    """A family has its own profiles, and a name that is like none has no nearest."""
    assert {"mqtt-door"} <= shipped("mqtt").keys()
    assert "bacnet-lift" not in shipped("modbus")
    assert nearest_profile(["Intesis INMBSDAL"], "modbus").startswith("dali")
    assert nearest_profile(["Qxyzzy 9000"], "modbus") == ""
