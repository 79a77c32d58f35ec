"""`sk device dump` of BACnet objects and devices on a broker: it reads the same when played back, and names nobody."""

import asyncio
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from drivers.bacnet import IP
from drivers.bacnet.options import Place
from drivers.base import Services
from drivers.captured import Captured, Identified, Message, Messages, Octets, Property
from edge.dump import document, raw_of
from edge.dump.octets import taken as octets_taken
from edge.settings import Site, load
from simulators.replay import live, serving
from simulators.replay_bacnet import octets
from simulators.replay_mqtt import messages
from sitekeeper.model.clock import SystemClock
from sitekeeper.model.errors import FormatError
from tests.fixtures import bacnet

MAPS = Path(__file__).parents[1] / "fixtures" / "maps"
BACNET = ("bacnet-lift", "bacnet-escalator", "bacnet-access-door", "bacnet-lighting-output",
          "bacnet-binary-lighting-output")  # fmt: skip
MQTT = ("uhppote-door", "esp-rfid")


@cache
def golden(profile: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MAPS / f"{profile}.json").read_text(encoding="utf-8"))
    return found


@cache
def a_site() -> Site:
    """Return a site with one device of each profile; loaded once, for that takes long."""
    devices = [
        {"id": p, "profile": p, "link": "ip", "device": 1200, "address": "10.0.0.7", "object": 1} for p in BACNET
    ]
    devices += [{"id": p, "profile": p, "link": "broker", "with": golden(p)["with"]} for p in MQTT]
    links = {
        "ip": {"driver": "bacnet-ip", "address": "10.0.0.1/24", "instance": 990001},
        "broker": {"driver": "mqtt", "host": "10.0.0.2"},
    }
    written = {"site": {"id": "maps", "timezone": "UTC"}, "links": links, "devices": devices}
    with TemporaryDirectory() as folder:
        (Path(folder) / "site.yaml").write_text(json.dumps(written), encoding="utf-8")  # which is YAML, too
        return load(Path(folder), environment={})


def said(profile: str, vector: Mapping[str, Any]) -> Octets:
    """Return a golden vector of BACnet as a driver has it: by the property of each point."""
    read, found = a_site().devices[profile].read, dict[Property, bytes]()
    for point in (point for group in read.groups for point in group.points):
        assert isinstance(point.address, Place)
        key = point.address.reference(read.options)  # type: ignore[arg-type]
        name = f"{key.property}" if key.element is None else f"{key.property}[{key.element}]"
        found[key] = bytes.fromhex(vector["octets"][name])
    return Octets(found)


def heard(profile: str, most: int = 1) -> Messages:
    """Return the first golden messages of a profile."""
    told = [
        (topic, body if isinstance(body, str) else json.dumps(body)) for topic, body, *_ in golden(profile)["states"]
    ]
    return Messages(tuple(Message(topic, body.encode(), retained=True) for topic, body in told[:most]))


def dumped(profile: str, what: Octets | Messages, **how: Any) -> dict[str, Any]:
    site = a_site()
    found = document(site, site.devices[profile], what, {"vendor": "ACME", "model": "L-7"}, day="2026-06-01", **how)
    read: dict[str, Any] = json.loads(json.dumps(found))  # as whoever reads the file has it
    return read


@pytest.mark.parametrize("profile", BACNET)
def test_octets_of_every_golden_vector_mean_the_same_in_a_dump(profile: str) -> None:
    """Masked or not: what the standard's words are is shown, and the property of a masked point is Null."""
    for vector in golden(profile)["vectors"]:
        what = said(profile, vector)
        open_ = dumped(profile, what, masked=False)
        assert open_["vectors"][0]["values"] == vector["values"]
        assert open_["vectors"][0]["octets"] == vector["octets"]
        hidden = dumped(profile, what)
        expected = {name: None if name in hidden["masked"] else v for name, v in vector["values"].items()}
        assert hidden["vectors"][0]["values"] == expected
        assert octets(open_)[1].items() >= what.properties.items()


@pytest.mark.parametrize(
    ("octets_", "kind", "shown"),
    [
        ("75 08 00 4d 72 73 20 43 68 61", "enum", False),  # a text where a word was expected
        ("91 05", "enum", True),  # a word that the profile does not know: what a dump is for
        ("24 00 7c 98 a1", "enum", False),  # a number like that of a card
        ("3e 09 01 3f", "float", False),  # constructed
        ("44 41 a8 00 00", "float", True),
        ("c4 0e c0 00 01", "float", False),  # the name of some object
    ],
)
def test_what_a_device_may_have_put_there_is_not_known(octets_: str, kind: Any, shown: bool) -> None:
    """Octets pass that a point reads, or that are small numbers; anything else is masked, point by point."""
    points = {"p": ({"object": "lift", "property": "car-mode"} | ({"enum": {1: "a"}} if kind == "enum" else {}), kind,
                    ("a",) if kind == "enum" else ())}  # fmt: skip
    read = bacnet.device("it", points, port=47808)  # type: ignore[arg-type]
    device: Any = type("Device", (), {"read": read})
    (point,) = read.groups[0].points
    what = Octets({(59, 1, 456, None): bytes.fromhex(octets_)})
    found = octets_taken(device, [point], what, frozenset())
    assert found.raw["octets"] == {"456": octets_ if shown else "00"}
    assert octets_taken(device, [point], what, None).raw["octets"] == {"456": octets_}
    assert octets_taken(device, [point], what, frozenset({"p"})).raw["octets"] == {"456": "00"}


async def test_a_dump_of_bacnet_is_a_device_that_says_the_same(tmp_path: Path) -> None:
    """From a file to a device on the wire, read by the driver of the gateway: the same file again, with who it is."""
    file = tmp_path / "lift.json"
    vector = golden("bacnet-lift")["vectors"][0]
    before = dumped("bacnet-lift", said("bacnet-lift", vector), masked=False)
    file.write_text(json.dumps(before), encoding="utf-8")
    async with serving(file, unit=1, port=0, broker=None) as where:
        assert where.endswith(" device 1200")
        read = a_site().devices["bacnet-lift"].read
        address = where.partition(" ")[0]
        there = type(read)(id=read.id, options=read.options.model_copy(update={"address": address}), groups=read.groups)
        link = IP.link_model.model_validate({"address": "127.0.0.1/8", "port": 0, "instance": 990001, "timeout": "10s"})
        driver = IP.create("ip", link, [there], SystemClock(), Services())
        await driver.open()
        try:
            scans = [await driver.read(group.id) for group in read.groups]
            assert isinstance(driver, Captured)
            assert isinstance(driver, Identified)
            what, identity = await driver.captured("bacnet-lift"), await driver.identity("bacnet-lift")
        finally:
            await driver.close()
    assert [error for scan in scans for error in scan.errors] == []
    assert identity == {"vendor": "ACME", "model": "L-7"}
    assert isinstance(what, Octets)
    assert dumped("bacnet-lift", what, masked=False) == before


def test_of_a_message_only_what_points_read_is_taken_away() -> None:
    """The last card, the signature, the number of the request: none of it is in the file, and every point is."""
    what = heard("uhppote-door")
    taken, whole = dumped("uhppote-door", what), json.dumps(dumped("uhppote-door", what, masked=False))
    written = json.dumps(taken)
    for telling in ("8165537", "cdb2d5d4", "QWERTY", "AH173635G3", "uhppoted"):
        assert telling in whole
        assert telling not in written
    (vector,) = taken["vectors"]
    assert vector["values"] == {"door_open": False, "system_error": None}  # a number of the profile's own is masked
    assert vector["states"] == [
        ["sk/s1/uhppote/405419896", {"message": {"reply": {"method": "get-status", "response": {
            "device-id": 405419896,
            "status": {"door-states": {"1": False}, "system-datetime": "2022-09-12 10:47:31 PDT"}}}}}]
    ]  # fmt: skip
    assert vector["with"] == {"site": "s1", "client": "masked", "controller": 405419896, "door": 1, "zone": "masked"}
    shown = dumped("uhppote-door", what, show=["system_error"])["vectors"][0]
    assert shown["values"] == golden("uhppote-door")["states"][0][2]


@pytest.mark.parametrize("profile", MQTT)
def test_messages_played_back_mean_the_same(profile: str) -> None:
    """What is published from a file gives the file again."""
    what = heard(profile, most=3)
    before = dumped(profile, what)
    again = Messages(tuple(Message(topic, payload, retained=True) for topic, payload in messages(before)))
    assert dumped(profile, again)["vectors"] == before["vectors"]
    assert before["vectors"][0]["states"]


def test_why_shows_what_a_point_was_made_of() -> None:
    """Octets in hex, of a message what stands there; of what was not heard nothing."""
    site = a_site()
    lift, door = site.devices["bacnet-lift"], site.devices["uhppote-door"]
    position = next(p for group in lift.read.groups for p in group.points if p.name == "position")
    contact = next(p for group in door.read.groups for p in group.points if p.name == "door_open")
    assert raw_of(lift, position, said("bacnet-lift", golden("bacnet-lift")["vectors"][0])) == ["21", "07"]
    assert raw_of(lift, position, Octets({})) == []
    assert raw_of(door, contact, heard("uhppote-door")) == ["false"]
    assert raw_of(door, contact, Messages(())) == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"vectors": [{"states": [["a/b", "ON"]]}]}, "--broker HOST:PORT"),
        ({"vectors": [{"octets": {"85": "91 01"}}]}, "no octets of a device"),
        ({"vectors": [{"octets": {"x": "91"}, "object": "59:1", "device": 7}]}, "no octets of a device"),
        ([], "no file of sk device dump"),
    ],
)
async def test_a_file_that_cannot_be_served_says_why(content: Any, why: str, tmp_path: Path) -> None:
    """Rather than serving nothing."""
    file = tmp_path / "it.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(FormatError, match=why):
        await asyncio.wait_for(live(file, unit=1, port=0), 10)
