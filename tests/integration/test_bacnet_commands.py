"""Our writes at devices of others: rusty-bacnet as the device, and our simulator with its priority array."""

from typing import Any

import pytest
import rusty_bacnet as rusty

from simulators.scenario import Scenario
from sitekeeper.model.errors import DeviceRefused
from tests.fixtures import bacnet
from tests.fixtures.bacnet_peers import OBJECTS, PROPERTIES, opened, rusty_device, simulated

DOOR = {"object": "access-door", "property": "present-value", "enum": {0: "controlled", 1: "free"}, "write": True}
POINTS: dict[str, bacnet.Written] = {
    "command": ({"object": "lighting-output", "property": "present-value", "write": True}, "float"),
    "level": ({"object": "lighting-output", "property": "tracking-value", "write": True}, "float"),
    "mode": (DOOR, "enum", ("controlled", "free")),
    "eighth": ({"object": "lighting-output", "property": "priority-array", "index": 8}, "float"),
}


async def read(driver: Any) -> dict[str, Any]:
    scan = await driver.read("d@1s")
    assert scan.answered
    return {list(POINTS)[outcome.index]: outcome.value for outcome in scan.outcomes}


async def test_we_command_a_foreign_luminaire_and_door():
    """A level at priority 8 stands there and in no other place, until it is given up; a door is released and locked."""
    async with rusty_device() as (_, port):
        driver = bacnet.driver(bacnet.device("d", POINTS, port=port, instance=1300), timeout="1s")
        async with opened(driver), rusty.BACnetClient(interface="127.0.0.1", port=0, apdu_timeout_ms=2000) as other:
            lamp, door = (rusty.ObjectIdentifier(kind, 1) for kind in (OBJECTS.LIGHTING_OUTPUT, OBJECTS.ACCESS_DOOR))

            async def theirs(thing: Any, prop: Any, index: int | None = None) -> Any:
                return (await other.read_property(f"127.0.0.1:{port}", thing, prop, index)).value

            assert (await read(driver))["command"] == 0.0
            await driver.write("d", "command", 72.0, 8)
            assert await theirs(lamp, PROPERTIES.PRESENT_VALUE) == 72.0
            assert await theirs(lamp, PROPERTIES.PRIORITY_ARRAY, 8) == 72.0
            assert await theirs(lamp, PROPERTIES.PRIORITY_ARRAY, 16) is None
            await driver.write("d", "command", 30.0, 14)
            assert await theirs(lamp, PROPERTIES.PRESENT_VALUE) == 72.0  # 8 wins over 14
            assert await read(driver) == {"command": 72.0, "level": 72.0, "eighth": 72.0}
            await driver.write("d", "command", None, 8)
            await driver.write("d", "command", None, 14)
            assert (await read(driver))["command"] == 0.0
            await driver.write("d", "mode", "free", 1)
            assert await theirs(door, PROPERTIES.PRESENT_VALUE) == 1
            assert await read(driver) == {"mode": "free"}
            await driver.write("d", "mode", "controlled", 1)
            assert await read(driver) == {"mode": "controlled"}


async def test_a_foreign_device_refuses():
    """What the other implementation does not let anybody write is a refusal with its class and code."""
    async with rusty_device() as (_, port):
        driver = bacnet.driver(bacnet.device("d", POINTS, port=port, instance=1300), timeout="1s")
        async with opened(driver):
            with pytest.raises(DeviceRefused, match=r"error 40, write-access-denied \(class 2, property\)"):
                await driver.write("d", "level", 5.0, 8)
            with pytest.raises(DeviceRefused, match=r"error 37, value-out-of-range \(class 2, property\)"):
                await driver.write("d", "command", 1000.0, 8)


async def test_we_command_our_simulator():
    """Lamp and door obey, the story commanding below us; a Null gives back, and nothing else may be written."""
    devices = [
        {"id": "lamp", "object": 1, "face": "lighting-output"},
        {"id": "door", "object": 1, "face": "access-door"},
    ]
    plan = Scenario.model_validate({"title": "t", "links": [{"id": "bms", "kind": "bacnet", "devices": devices}]})
    async with simulated(plan) as (estate, address, _):
        driver = bacnet.driver(bacnet.device("d", POINTS, port=int(address.rpartition(":")[2])), timeout="1s")
        async with opened(driver):
            estate.lamps["lamp"].command(40.0)
            assert (await read(driver))["command"] == 40.0
            await driver.write("d", "command", 72.0, 8)
            assert estate.lamps["lamp"].commanded == 72.0
            assert (await read(driver))["command"] == 72.0
            await driver.write("d", "command", None, 8)
            assert estate.lamps["lamp"].commanded == 40.0
            assert estate.doors["door"].locked
            await driver.write("d", "mode", "free", 1)
            assert not estate.doors["door"].locked
            await driver.write("d", "mode", None, 1)
            assert estate.doors["door"].locked
            with pytest.raises(DeviceRefused, match=r"error 40, write-access-denied \(class 2, property\)"):
                await driver.write("d", "level", 5.0, 8)


async def test_a_switched_circuit_obeys_and_blinks():
    """A Binary Lighting Output is switched, and told to warn: it stays on, and says that it warns."""
    kind = {"object": "binary-lighting-output"}
    points: dict[str, bacnet.Written] = {
        "on": ({**kind, "property": "present-value", "bool": {True: 1, False: 0}, "write": True, "warn": 2}, "bool"),
        "lit": ({**kind, "property": "feedback-value", "bool": {True: 1, False: 0}}, "bool"),
        "warning": ({**kind, "property": "egress-active"}, "bool"),
    }
    devices = [{"id": "circuit", "object": 1, "face": "binary-lighting-output"}]
    plan = Scenario.model_validate({"title": "t", "links": [{"id": "bms", "kind": "bacnet", "devices": devices}]})
    async with simulated(plan) as (_, address, _lines):
        driver = bacnet.driver(bacnet.device("d", points, port=int(address.rpartition(":")[2])), timeout="1s")
        async with opened(driver):
            stand: dict[int, Any] = {}

            async def now() -> list[Any]:
                scan = await driver.read("d@1s")
                stand.update({outcome.index: outcome.value for outcome in scan.outcomes})
                return [stand[at] for at in range(3)]

            assert await now() == [False, False, False]
            await driver.write("d", "on", True, 8)
            assert await now() == [True, True, False]
            await driver.write("d", "on", -1, 8)
            assert await now() == [True, True, True]
            await driver.write("d", "on", False, 8)
            assert await now() == [False, False, True]
