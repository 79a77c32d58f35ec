"""How properties become requests, and the figures of the shipped profiles."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.bacnet import IP
from drivers.bacnet.driver import BacnetDriver
from drivers.bacnet.message import Reference, multiple
from drivers.bacnet.options import BacnetDevice, endpoint
from drivers.bacnet.plan import Item, halved, plan
from drivers.base import Services
from edge.settings import load
from sitekeeper.data import data_path
from sitekeeper.model.clock import ManualClock
from tests.fixtures.bacnet import bind

REQUESTS = {
    "bacnet-lift": {"@1s": [15]},
    "bacnet-lighting-output": {"@1s": [8]},
    "bacnet-binary-lighting-output": {"@1s": [6], "@1min": [6]},
    "bacnet-access-door": {"@1s": [7], "@1min": [2]},
    "bacnet-escalator": {"@1s": [8]},
}
"""How many properties each request of a group reads, flags and reliability of the objects among them."""

references = st.builds(Reference, st.integers(0, 60), st.integers(0, 3), st.integers(0, 600), st.none())
items = st.lists(st.builds(Item, references, st.integers(1, 70)), unique_by=lambda item: item.reference, max_size=80)


@given(items, st.sampled_from([50, 128, 206, 480, 1024, 1476]))
def test_every_property_once_and_no_request_too_long(given_items, limit):
    """Each item is in exactly one request; neither request nor answer is longer than the device takes, by estimate."""
    requests = plan(given_items, limit)
    planned = [item for request in requests for item in request.items]
    assert {item.reference: item.size for item in planned} == {item.reference: item.size for item in given_items}
    assert len(planned) == len(given_items)
    for request in requests:
        assert 4 + len(multiple(request.references)) <= limit
        objects = len({reference[:2] for reference in request.references})
        answer = 3 + 7 * objects + sum(2 + 2 + item.size for item in request.items)
        assert answer <= limit or len(request.items) == 1


@given(items)
def test_single_and_halves(given_items):
    """Without ReadPropertyMultiple each is asked alone; halves have the same items in the same order."""
    assert all(len(request.items) == 1 for request in plan(given_items, 1476, single=True))
    for request in plan(given_items, 1476):
        if len(request.items) > 1:
            one, other = halved(request)
            assert one.items + other.items == request.items
            assert 0 <= len(other.items) - len(one.items) <= 1


def test_every_profile_is_pinned():
    """No BACnet profile is shipped without its figure here."""
    assert {path.stem for path in Path(data_path("profiles")).glob("bacnet-*.yaml")} == set(REQUESTS)


@pytest.mark.parametrize("profile", REQUESTS)
def test_requests_of_profiles(profile, tmp_path):
    """Each shipped profile is read by exactly so many properties in so many requests."""
    (tmp_path / "site.yaml").write_text(
        "site: {id: pinned, name: {en: Pinned}, timezone: Asia/Hong_Kong}\n"
        "links: {l: {driver: bacnet-ip, address: 127.0.0.1/8, instance: 1}}\n"
        f"devices: [{{id: d, profile: {profile}, link: l, device: 7, address: 10.0.0.7, object: 1}}]\n"
    )
    (device,) = load(tmp_path).devices.values()
    driver = IP.create("l", load(tmp_path).links["l"].options, [device.read], ManualClock(), Services())
    assert isinstance(driver, BacnetDriver)
    found = {
        group.id[1:]: [len(request.items) for request in driver.requests(group.id)] for group in device.read.groups
    }
    assert found == REQUESTS[profile]


def test_which_object_is_meant():
    """A point is of the device's own object, of the BACnet device itself, or of the instance that it names."""
    place = bind({"object": "lift", "property": "car-position"}, "int")
    options = {"device": 7, "address": "10.0.0.7", "object": 12}
    device = BacnetDevice.model_validate(options)
    assert place.reference(device) == Reference(59, 12, 458, None)
    itself = bind({"object": "device", "property": "vendor-name"}, "text")
    assert itself.reference(device) == Reference(8, 7, 121, None)
    elsewhere = bind({"object": "analog-input", "property": "present-value", "instance": 3, "index": 2}, "float")
    assert elsewhere.reference(device) == Reference(0, 3, 85, 2)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("address", "lift.example", "is not an address"),
        ("address", "10.0.0.7:70000", "is not a port"),
        ("address", "10.0.0.7:", "is not a port"),
        ("device", 4194303, "less than or equal to 4194302"),
        ("in_flight", 9, "less than or equal to 8"),
        ("in_flight", 0, "greater than or equal to 1"),
        ("max_apdu", 1477, "Input should be 50, 128"),
    ],
)
def test_devices_that_cannot_be(key, value, why):
    """A device that cannot be asked is refused, with what was expected."""
    with pytest.raises(ValueError, match=why):
        BacnetDevice.model_validate({"device": 7, "address": "10.0.0.7", "object": 1, key: value})


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("address", "10.0.0.300/24", "for example 10.1.3.10/24"),
        ("timeout", "61s", "less than"),
        ("bbmd", "x", "not an"),
    ],
)
def test_links_that_cannot_be(key, value, why):
    """A link that cannot be opened anywhere is refused."""
    with pytest.raises(ValueError, match=why):
        IP.link_model.model_validate({"address": "10.1.3.10/24", "instance": 1, key: value})


def test_ports_by_default():
    """An address without a port has BACnet's own."""
    assert endpoint("10.1.3.20") == ("10.1.3.20", 47808)
    assert endpoint("10.1.3.20:47809") == ("10.1.3.20", 47809)
