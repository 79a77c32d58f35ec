"""What answers of a BACnet device mean to a probe: identity, lists of objects, and how well a profile fits."""

import pytest
import yaml

from edge.probe.bacnet import Examined, by_type, candidates, identity, number, objects, site_yaml, ways

LIFT = bytes.fromhex("c4 0e c0 00 01")  # lift 1, application-tagged
LAMP = bytes.fromhex("c4 0d 80 00 07")


def test_lists_of_objects():
    """Object identifiers become type and instance; the device itself is no object of a site."""
    device = bytes.fromhex("c4 02 00 04 b0")
    assert objects(device + LIFT + LAMP) == [(8, 1200), (59, 1), (54, 7)]
    assert by_type([(8, 1200), (59, 1), (54, 7), (54, 8), (200, 3)]) == {
        "lift": [1], "lighting-output": [7, 8], "200": [3],
    }  # fmt: skip
    assert objects(bytes.fromhex("c4 02")) == []
    assert objects(bytes.fromhex("21 05")) == []
    assert (number(bytes.fromhex("22 03 e9")), number(b""), number(LIFT)) == (1001, None, None)


@pytest.mark.parametrize(
    ("name", "data", "shown"),
    [
        ("name", "75 05 00 41 48 55 31", "AHU1"),
        ("vendor_id", "22 01 04", 260),
        ("segmentation", "91 03", "none"),
        ("segmentation", "91 00", "both"),
        ("max_apdu", "22 05 c4", 1476),
        (
            "services",
            "85 06 00 04 0b 00 00 20",
            ["subscribe-cov", "read-property", "read-property-multiple", "write-property", "who-is"],
        ),
        ("services", "82 06 40", ["1"]),
        ("services", "21 05", None),
        ("model", "21 05", None),
        ("revision", "44 00 00 00 00", None),
        ("revision", "", None),
    ],
)
def test_identity(name, data, shown):
    """Each property of the device is shown as people read it, and nothing is made of one that is of another type."""
    assert identity(name, bytes.fromhex(data)) == shown


def test_each_known_type_has_its_profile():
    """The shipped profiles are found by the type of object that they read."""
    found = candidates()
    assert {kind: candidate.profile for kind, candidate in found.items()} == {
        "lift": "bacnet-lift",
        "escalator": "bacnet-escalator",
        "lighting-output": "bacnet-lighting-output",
        "binary-lighting-output": "bacnet-binary-lighting-output",
        "access-door": "bacnet-access-door",
    }
    required = {wanted.name for wanted in found["lift"].wanted if wanted.required}
    assert {"position", "direction"} <= required  # the class wants a floor, which is made of the position
    assert "energy" not in required


def test_how_well_a_profile_fits():
    """Whatever is missing is named; without something required the profile does not fit."""
    candidate = candidates()["access-door"]
    wanted = {one.name: one for one in candidate.wanted}
    examined = Examined(candidate, 3)
    examined.take(wanted["door.state"], bytes.fromhex("91 01"))
    assert (examined.fits, examined.values) == ("yes", {"door.state": "open"})
    examined.take(wanted["lock.state"], bytes.fromhex("91 63"))
    assert (examined.fits, examined.values["lock.state"], examined.meaningless) == ("yes", None, ["lock.state"])
    examined.take(wanted["door.alarm"], "error 32, unknown-property")
    assert (examined.fits, examined.missing) == (
        "partly", {"door.alarm": "access-door 3 door-alarm-state: error 32, unknown-property"},
    )  # fmt: skip
    examined.take(wanted["door.state"], "error 32, unknown-property")
    assert examined.fits == "no"


def test_what_is_printed_for_a_site_is_yaml():
    """Links and devices can be pasted; objects without a profile are left out, and without any there is nothing."""
    found = candidates()
    written = site_yaml("10.1.3.10", 1200, "10.1.3.20:47808", {"lift": [1], "lighting-output": [7], "200": [1]}, found)
    site = yaml.safe_load(written)
    assert site["links"]["bms"]["address"] == "10.1.3.10/24"
    assert [device["id"] for device in site["devices"]] == ["lift-1", "lamp-7"]
    assert site["devices"][1] == {
        "id": "lamp-7", "profile": "bacnet-lighting-output", "link": "bms", "device": 1200,
        "address": "10.1.3.20:47808", "object": 7,
    }  # fmt: skip
    assert site_yaml("10.1.3.10", 1200, "10.1.3.20:47808", {"200": [1]}, found) == ""


def test_which_way_each_type_is_read():
    """By COV where the device knows it and the objects have a present value; lifts are polled all the same."""
    kinds = ["lift", "lighting-output"]
    assert ways({"services": ["subscribe-cov", "read-property"]}, kinds) == {"lift": "poll", "lighting-output": "cov"}
    assert ways({"services": ["read-property"]}, kinds) == dict.fromkeys(kinds, "poll")
    assert ways({"services": None}, kinds) == dict.fromkeys(kinds, "poll")
