"""Which profiles the topics of a broker look like."""

import yaml

from edge.discover.profiles import exact_profile, nearest_profile, shipped
from edge.discover.topics import MOST_GUESSES, Guess, guesses, patterns, site_yaml
from edge.probe.mqtt import mask

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


def test_what_may_be_personal_is_masked_in_what_is_printed():
    """As in the table; and it is said that it was, and nothing in it commands a terminal."""
    found = [Guess("some-door", "access", {"who": "0012345678", "n": "3"}, ["acs/0012345678/3"])]
    printed = site_yaml({"host": "h"}, found)
    assert "0012345678" not in printed
    assert "write it in full" in printed
    assert yaml.safe_load(printed)["devices"][0]["with"] == {"who": "…78", "n": 3}
    assert mask("a/\x1b[2J/b") == "a/.[2J/b"


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


def test_a_device_that_names_its_profile_has_it():
    """By the profile's name, or its model of the same maker; of several with one model none is the one."""
    maker = "Sitekeeper neutral map"
    assert exact_profile(["SP-Lift-1"], maker, "modbus") == "sp-lift-1"
    assert exact_profile(["sp-barrier-1 "], maker, "modbus") == "sp-barrier-1"
    assert exact_profile(["SDM630-Modbus"], "Eastron Europe", "modbus") == "eastron-sdm630"
    assert exact_profile(["SDM630-Modbus"], "Somebody", "modbus") == ""
    assert exact_profile(["INMBSDAL"], "Intesis", "modbus") == ""
    assert exact_profile(["", "sp-lift"], "", "modbus") == ""


def test_words_that_anybody_uses_bring_nothing_near():
    """The map of a neutral device is not the manual of a maker; a model misspelt is near."""
    for common in ("Sitekeeper neutral map", "Modbus register manual", "lift controller", "Gas Detector", "Unnamed"):
        assert nearest_profile([common, "1.0"], "modbus") == "", common
    assert nearest_profile(["SDM-630", "Eastronn"], "modbus") == "eastron-sdm630"
