"""BACnet against somebody else's implementation: rusty-bacnet as the device that we read, and as a client of ours."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rusty_bacnet as rusty
from bacpypes3.primitivedata import ObjectType, PropertyIdentifier

from drivers.bacnet import names
from simulators.acts_connection import FaultPart
from simulators.scenario import Scenario, load
from sitekeeper.data import data_path
from sitekeeper.model.quality import GOOD, Reason, bad
from tests import virtual_site
from tests.fixtures import bacnet
from tests.fixtures.bacnet_peers import OBJECTS, PROPERTIES, VALUE, opened, put, rusty_device, simulated


def shipped(tmp_path: Path, port: int, *profiles: str):
    """Return a driver for devices with shipped profiles, and the names of their points by group."""
    devices = [{"id": name, "profile": name, "link": "bms", "device": 1300, "address": f"127.0.0.1:{port}", "object": 1}
               for name in profiles]  # fmt: skip
    link = {"driver": "bacnet-ip", "address": "127.0.0.1/8", "port": 0, "instance": 990001}
    text = {"site": {"id": "real", "timezone": "Asia/Hong_Kong"}, "links": {"bms": link}, "devices": devices}
    (tmp_path / "site.yaml").write_text(json.dumps(text))
    site = virtual_site.load_site(tmp_path)
    names = {group.id: [site.points[handle].name for handle in group.handles] for group in site.groups}
    return bacnet.driver(*site.on_link("bms"), timeout="1s"), names


async def read(driver, names, group: str) -> dict[str, Any]:
    scan = await driver.read(group)
    assert scan.answered
    return {names[group][o.index]: o.value if o.q == GOOD else bacnet_reason(o.q) for o in scan.outcomes}


def bacnet_reason(q: int) -> Reason:
    return Reason(q & 0x3F)


async def test_we_read_a_foreign_lift(tmp_path):
    """The shipped profile reads a lift of another make; what changes there is what changes here."""
    async with rusty_device() as (device, port):
        driver, names = shipped(tmp_path, port, "bacnet-lift")
        async with opened(driver):
            first = await read(driver, names, "bacnet-lift@1s")
            assert len(first) == len(names["bacnet-lift@1s"])
            assert (first["position"], first["direction"], first["load_unit"]) == (1, "none", "percent")
            assert (first["door_closed"], first["drive"]) == (Reason.UNMAPPED, Reason.UNMAPPED)  # it says unknown
            assert first["stop_outside_zone"] is False
            assert len(driver.requests("bacnet-lift@1s")) == 1
            assert await read(driver, names, "bacnet-lift@1s") == {}
            for prop, value in {
                PROPERTIES.OUT_OF_SERVICE: VALUE.boolean(True),  # else it lets nobody set the rest
                PROPERTIES.CAR_POSITION: VALUE.unsigned(7),
                PROPERTIES.CAR_MOVING_DIRECTION: VALUE.enumerated(3),
                PROPERTIES.CAR_DRIVE_STATUS: VALUE.enumerated(5),
                PROPERTIES.CAR_DOOR_ZONE: VALUE.boolean(True),
                PROPERTIES.CAR_LOAD: VALUE.real(37.5),
                PROPERTIES.PASSENGER_ALARM: VALUE.boolean(True),
                PROPERTIES.FAULT_SIGNALS: VALUE.list([VALUE.enumerated(8), VALUE.enumerated(4)]),
            }.items():
                await put(device, OBJECTS.LIFT, prop, value)
            made_up = await read(driver, names, "bacnet-lift@1s")
            settings = {"load_unit", "simulated"}
            assert {name for name, value in made_up.items() if value == Reason.SUBSTITUTED} == {
                name for name, value in first.items() if not isinstance(value, Reason) and name not in settings
            } | {"drive"}
            await put(device, OBJECTS.LIFT, PROPERTIES.OUT_OF_SERVICE, VALUE.boolean(False))
            again = await read(driver, names, "bacnet-lift@1s")
            assert again == {name: first[name] for name in again} | {
                "simulated": False,
                "position": 7,
                "direction": "up",
                "drive": "running",
                "door_zone": True,
                "car_load": 37.5,
                "passenger_alarm": True,
                "stop_outside_zone": True,
                "power_fail": True,
            }


async def test_we_read_a_foreign_door_and_luminaire(tmp_path):
    """The shipped profiles read a door and a luminaire of another make; optional properties it lacks are refused."""
    async with rusty_device() as (device, port):
        driver, names = shipped(tmp_path, port, "bacnet-access-door", "bacnet-lighting-output")
        async with opened(driver):
            door = await read(driver, names, "bacnet-access-door@1s")
            assert {key: door[key] for key in ("door.state", "lock.state", "door.alarm")} == {
                "door.state": "closed",
                "lock.state": "locked",
                "door.alarm": "normal",
            }
            await device.report_door_state_local(
                rusty.ObjectIdentifier(OBJECTS.ACCESS_DOOR, 1), door_status=1, lock_status=1, door_alarm_state=3
            )
            assert await read(driver, names, "bacnet-access-door@1s") == {
                "door.state": "open",
                "lock.state": "unlocked",
                "door.alarm": "forced_open",
            }
            lamp = await read(driver, names, "bacnet-lighting-output@1s")
            assert (lamp["level"], lamp["fading"], lamp["lamp.fail"]) == (0.0, False, False)
            assert (lamp["feedback"], lamp["power"]) == (Reason.REFUSED, Reason.REFUSED)
            await put(device, OBJECTS.LIGHTING_OUTPUT, PROPERTIES.PRESENT_VALUE, VALUE.real(60.0))
            assert await read(driver, names, "bacnet-lighting-output@1s") == {"command": 60.0, "level": 60.0}


async def test_we_read_a_foreign_escalator(tmp_path):
    """The shipped profile reads an escalator of another make; optional properties that it lacks are refused."""
    async with rusty_device() as (device, port):
        driver, names = shipped(tmp_path, port, "bacnet-escalator")
        async with opened(driver):
            first = await read(driver, names, "bacnet-escalator@1s")
            assert first["direction"] == "unknown"
            assert (first["mode"], first["passenger_alarm"], first["power_fail"]) == ("unknown", False, False)
            for prop, value in {
                PROPERTIES.OUT_OF_SERVICE: VALUE.boolean(True),  # else it lets nobody set the rest
                PROPERTIES.OPERATION_DIRECTION: VALUE.enumerated(3),
                PROPERTIES.FAULT_SIGNALS: VALUE.list([VALUE.enumerated(8), VALUE.enumerated(4)]),
            }.items():
                await put(device, OBJECTS.ESCALATOR, prop, value)
            made_up = await read(driver, names, "bacnet-escalator@1s")
            assert made_up.pop("simulated") is True
            assert set(made_up.values()) == {Reason.SUBSTITUTED}
            await put(device, OBJECTS.ESCALATOR, PROPERTIES.OUT_OF_SERVICE, VALUE.boolean(False))
            again = await read(driver, names, "bacnet-escalator@1s")
            changed = {"direction": "up_slow", "fault_comb": True, "power_fail": True}
            assert again == {name: first[name] for name in again} | {"simulated": False} | changed


async def test_names_and_bare_numbers_read_alike():
    """A property is asked for by name and by number alike; what a device does not have is refused."""
    points: dict[str, bacnet.Written] = {
        "direction": ({"object": "escalator", "property": "operation-direction"}, "int"),
        "mode": ({"object": 58, "property": 462}, "int"),
        "alarm": ({"object": "escalator", "property": "passenger-alarm"}, "bool"),
        "overspeed": ({"object": "escalator", "property": "fault-signals", "contains": 3}, "bool"),
        "name": ({"object": "escalator", "property": "object-name"}, "text"),
        "in_alarm": ({"object": "escalator", "property": "status-flags", "bit": 0}, "bool"),
        "maker": ({"object": "device", "property": "vendor-name"}, "text"),
        "proprietary": ({"object": 200, "property": 600}, "int"),
    }
    async with rusty_device() as (device, port):
        driver = bacnet.driver(bacnet.device("e", points, port=port, instance=1300), timeout="1s")
        async with opened(driver):
            scan = await driver.read("e@1s")
            found = [outcome.value for outcome in scan.outcomes]
            assert found[:6] == [0, 0, False, False, "Escalator 1", False]
            assert found[6:] == ["Rusty BACnet", None]
            assert scan.outcomes[7].q == bad(Reason.REFUSED)
            await put(device, OBJECTS.ESCALATOR, PROPERTIES.FAULT_SIGNALS, VALUE.list([VALUE.enumerated(3)]))
            assert [(o.index, o.value) for o in (await driver.read("e@1s")).outcomes] == [(3, True)]


# --- somebody else reads our simulator


@pytest.fixture
async def building(no_leaked_tasks):
    plan = load(data_path("scenarios", "bacnet.yaml"))
    async with simulated(plan) as running:
        yield running


async def test_a_foreign_client_reads_our_simulator(building):
    """Each property that rusty-bacnet reads has the value that the journal has, which was written before."""
    _, address, lines = building
    async with rusty.BACnetClient(interface="127.0.0.1", port=0, apdu_timeout_ms=2000) as client:
        lift, lamp = (rusty.ObjectIdentifier(kind, 1) for kind in (OBJECTS.LIFT, OBJECTS.LIGHTING_OUTPUT))
        wanted = [
            PROPERTIES.CAR_POSITION,
            PROPERTIES.CAR_DOOR_STATUS,
            PROPERTIES.FAULT_SIGNALS,
            PROPERTIES.ENERGY_METER,
        ]
        for number in (1, 2, 3):
            found = await client.read_property_multiple(address, [(lift, [(prop, None) for prop in wanted])])
            values = [each["value"].value for each in found[0]["results"]]
            assert lines[-1]["n"] == number
            assert values[0] == 5
            assert [item.value if hasattr(item, "value") else item for item in values[1]] == [0]
            assert values[2] == []
            assert values[3] == lines[-1]["points"]["energy"]
            assert round((values[3] - 184) * 1000) == number
        level = await client.read_property(address, lamp, PROPERTIES.TRACKING_VALUE)
        assert level.value == 0.0
        assert (lines[-1]["device"], lines[-1]["points"]["level"]) == ("lamp-01", 0.0)


async def test_a_foreign_client_may_command_and_not_pretend(building):
    """It may command a level and a pulse; it may write no input, nothing of a lift, and silence nobody."""
    estate, address, _ = building
    async with rusty.BACnetClient(interface="127.0.0.1", port=0, apdu_timeout_ms=2000) as client:
        lamp, door, lift = (
            rusty.ObjectIdentifier(kind, 1) for kind in (OBJECTS.LIGHTING_OUTPUT, OBJECTS.ACCESS_DOOR, OBJECTS.LIFT)
        )
        await client.write_property(address, lamp, PROPERTIES.PRESENT_VALUE, VALUE.real(70.0), priority=8)
        assert estate.lamps["lamp-01"].commanded == 70.0
        await client.write_property(address, lamp, PROPERTIES.PRESENT_VALUE, VALUE.null(), priority=8)
        assert estate.lamps["lamp-01"].commanded == 0.0
        assert estate.doors["door-1"].locked
        await client.write_property(address, door, PROPERTIES.PRESENT_VALUE, VALUE.enumerated(2), priority=8)
        assert not estate.doors["door-1"].locked
        for thing, prop, value in (
            (lift, PROPERTIES.CAR_POSITION, VALUE.unsigned(9)),
            (lift, PROPERTIES.OUT_OF_SERVICE, VALUE.boolean(True)),
            (lamp, PROPERTIES.TRACKING_VALUE, VALUE.real(1.0)),
            (door, PROPERTIES.DOOR_STATUS, VALUE.enumerated(1)),
        ):
            with pytest.raises(rusty.BacnetProtocolError, match="class=2 code=40"):
                await client.write_property(address, thing, prop, value)


async def test_a_clients_priority_beats_the_storys(building):
    """What the story commands stands as the present value until a client commands at a higher priority."""
    estate, address, _ = building
    async with rusty.BACnetClient(interface="127.0.0.1", port=0, apdu_timeout_ms=2000) as client:
        lamp = rusty.ObjectIdentifier(OBJECTS.LIGHTING_OUTPUT, 2)
        estate.lamps["lamp-02"].command(66.6)
        said = await client.read_property(address, lamp, PROPERTIES.PRESENT_VALUE)
        assert said.value == pytest.approx(66.6)
        await client.write_property(address, lamp, PROPERTIES.PRESENT_VALUE, VALUE.real(20.0), priority=8)
        estate.lamps["lamp-02"].command(90.0)
        said = await client.read_property(address, lamp, PROPERTIES.PRESENT_VALUE)
        assert (said.value, estate.lamps["lamp-02"].commanded) == (20.0, 20.0)
        await client.write_property(address, lamp, PROPERTIES.PRESENT_VALUE, VALUE.null(), priority=8)
        assert estate.lamps["lamp-02"].commanded == 90.0


@pytest.mark.parametrize("kind", ["silence", "no_rpm", "property_error", "wrong_object", "wrong_property", "too_long"])
async def test_each_fault_of_the_simulator_is_met(kind):
    """The driver meets each fault that the simulator can have as it should, and is well again when it is over."""
    devices = [
        {"id": "lift-a1", "object": 1, "face": "bacnet-lift"},
        {"id": "lamp", "object": 1, "face": "lighting-output"},
    ]
    plan = {"title": "faults", "links": [{"id": "bms", "kind": "bacnet", "devices": devices}]}
    points: dict[str, bacnet.Written] = {
        "floor": ({"object": "lift", "property": "car-position"}, "int"),
        "zone": ({"object": "lift", "property": "car-door-zone"}, "bool"),
        "energy": ({"object": "lift", "property": "energy-meter"}, "float"),
        "label": ({"object": "lift", "property": "floor-text", "index": 3}, "text"),
    }
    other: dict[str, bacnet.Written] = {"level": ({"object": "lighting-output", "property": "tracking-value"}, "float")}
    async with simulated(Scenario.model_validate(plan)) as (estate, address, lines):
        port = int(address.rpartition(":")[2])
        driver = bacnet.driver(bacnet.device("d", points, port=port), bacnet.device("e", other, port=port))
        async with opened(driver):
            assert (await driver.read("d@1s")).answered
            estate.switch("lift-a1", FaultPart(kind=kind, count=60, property="energyMeter"))
            scan = await driver.read("d@1s")
            q = {bacnet_reason(outcome.q) for outcome in scan.outcomes}
            expected = {
                "silence": (False, {Reason.COMM}),
                "no_rpm": (True, {Reason.NONE}),
                "property_error": (True, {Reason.REFUSED}),
                "wrong_object": (False, {Reason.MISMATCH}),
                "wrong_property": (False, {Reason.MISMATCH}),
                "too_long": (True, {Reason.NONE}),
            }
            assert (scan.answered, q) == expected[kind]
            if kind == "silence":
                await asyncio.sleep(0.25)
            assert (await driver.read("e@1s")).outcomes[0].value == 0.0  # its neighbour is well all the time
            estate.switch("lift-a1", FaultPart(kind="none"))
            await asyncio.sleep(0.25)
            scan = await driver.read("d@1s")
            assert scan.answered
            assert not scan.errors
            assert [line["switched"] for line in lines if "switched" in line] == [kind, "none"]
            served = [line["n"] for line in lines if "n" in line]
            assert served == sorted(served)


async def test_a_late_answer_is_silence_first():
    """An answer later than the time-out is none; the device that gave it is not lost for longer than it is late."""
    plan = {"title": "late", "links": [{"id": "bms", "kind": "bacnet", "devices": [
        {"id": "lift-a1", "object": 1, "face": "bacnet-lift"}]}]}  # fmt: skip
    points: dict[str, bacnet.Written] = {"floor": ({"object": "lift", "property": "car-position"}, "int")}
    async with simulated(Scenario.model_validate(plan)) as (estate, address, _):
        driver = bacnet.driver(bacnet.device("d", points, port=int(address.rpartition(":")[2])))
        async with opened(driver):
            assert (await driver.read("d@1s")).answered
            estate.switch("lift-a1", FaultPart(kind="late", delay=400_000, times=1))
            assert not (await driver.read("d@1s")).answered
            await asyncio.sleep(0.3)
            scan = await driver.read("d@1s")
            assert (scan.answered, scan.outcomes[0].value) == (True, 1)


# --- names


def test_names_are_the_librarys():
    """Each name of a type or property that we know has the number that two other implementations give it."""
    for table, theirs, others in (
        (names.OBJECTS, ObjectType, rusty.ObjectType),
        (names.PROPERTIES, PropertyIdentifier, rusty.PropertyIdentifier),
    ):
        assert {name: int(theirs(name)) for name in table} == table
        rust = {name: getattr(others, name.upper().replace("-", "_"), None) for name in table}
        known = {name: value.to_raw() for name, value in rust.items() if value is not None}
        assert len(known) > 0.9 * len(table)
        assert known == {name: table[name] for name in known}


def test_loading_a_profile_loads_no_library():
    """What is written for BACnet is checked without importing bacpypes3, which takes a sixth of a second."""
    code = (
        "import sys\nfrom drivers import registry\nregistry.kind('bacnet-ip')\n"
        "assert not any(name.startswith('bacpypes3') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
