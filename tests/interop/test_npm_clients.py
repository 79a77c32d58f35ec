"""Clients from npm at our simulators: what they read is what was served, and what they write happens."""

import asyncio
import json
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from simulators.estate import Estate
from simulators.journal import Journal
from simulators.scenario import Scenario
from sitekeeper.model.clock import SystemClock

HERE = Path(__file__).parent
MISSING = [] if shutil.which("node") else ["node (Debian package nodejs)"]
MISSING += [
    f"{name} (make interop)"
    for name in ("modbus-serial", "@bacnet-js/client")
    if not (HERE / "node_modules" / name).is_dir()
]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
LIFT, DOOR, LAMP = 59, 30, 54
"""Types of objects; below by number too, as the standard has them, because the client has names of its own."""
REAL = 4
WRITE_DENIED = "BacnetError - Class:2 - Code:40"


@asynccontextmanager
async def simulated(link: dict[str, Any]) -> AsyncIterator[tuple[Estate, int, list[dict[str, Any]]]]:
    """Run one link; yield the estate, its port and the lines of its journal."""
    lines: list[dict[str, Any]] = []
    plan = Scenario.model_validate({"title": "interop", "links": [link]})
    journal = Journal(lambda line: lines.append(json.loads(line)))
    estate = Estate(plan, clock=SystemClock(), journal=journal, free_ports=True)
    (port,) = (await estate.start()).values()
    try:
        yield estate, port, lines
    finally:
        await estate.close()


async def node(script: str, *given: str) -> list[Any]:
    """Return what a client prints."""
    program = await asyncio.create_subprocess_exec(
        "node", str(HERE / script), *given, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        said, complaint = await asyncio.wait_for(program.communicate(), 30)
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    assert program.returncode == 0, complaint.decode()
    answers: list[Any] = json.loads(said)
    return answers


def own_port() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def _first(lines: list[dict[str, Any]], device: str) -> dict[str, Any]:
    """Return what the journal says was served first of a device."""
    points: dict[str, Any] = next(line["points"] for line in lines if line.get("device") == device and "points" in line)
    return points


@pytest.mark.parametrize("framing", ["mbap", "rtu"])
async def test_modbus_serial_reads_and_opens_a_barrier(framing, no_leaked_tasks):
    """Registers and inputs are those of the journal; a coil that the client writes opens the boom."""
    link = {
        "id": "lane",
        "kind": "modbus",
        "framing": framing,
        "devices": [{"id": "gate", "unit": 1, "face": "sp-barrier-1"}],
    }
    async with simulated(link) as (_, port, lines):
        calls = [
            ["readInputRegisters", 0, 9],
            ["readDiscreteInputs", 0, 16],
            ["readHoldingRegisters", 0, 2],
            ["writeCoil", 0, True],
            ["readInputRegisters", 0, 1],
            ["writeRegister", 1, 1],
            ["readHoldingRegisters", 1, 1],
            ["writeRegister", 1, 0],
            ["readInputRegisters", 100, 1],
        ]
        said = await node("modbus_client.js", str(port), "1", json.dumps(calls), framing)
    points = [line["points"] for line in lines if "points" in line]
    inputs, bits, held = said[:3]
    assert (inputs[1], inputs[6], inputs[7]) == tuple(
        points[0][name] for name in ("boom.position", "heartbeat", "vehicles")
    )
    assert (points[0]["lane.state"], inputs[0]) == ("closed", 17)
    assert [bits[at] for at in (2, 9, 10, 11, 12)] == [
        points[1][name] for name in ("boom.attached", "photocell", "obstacle", "manual_release", "cabinet.open")
    ]
    assert [("mains" if bits[13] else "failed"), bits[15]] == [points[1]["power"], points[1]["safety_chain"]]
    assert (held[0], bool(held[1])) == (points[2]["auto_close"], points[2]["hold_open"])
    assert (said[4], points[3]["lane.state"]) == ([32], "opening")
    assert (said[6], points[4]["hold_open"]) == ([1], True)
    assert said[8]["code"] == 2


async def test_modbus_serial_asks_who_is_there_and_sets_one_bit(no_leaked_tasks):
    """It reads the identification by both functions and writes through masks; a monitor without them refuses it.

    Over TCP: on its serial ports it waits for an answer whose length it does not know until the time is over.
    """
    devices = [{"id": "gate", "unit": 1, "face": "sp-barrier-1"}, {"id": "lift", "unit": 2, "face": "lmon"}]
    asked = [["readDeviceIdentification", 1, 0], ["readDeviceIdentification", 4, 1]]
    masked = [["maskWriteRegister", 1, 0xFFFE, 1], ["readHoldingRegisters", 1, 1]]
    async with simulated({"id": "lane", "devices": devices}) as (_, port, lines):
        calls = [*asked, ["reportServerID", 0, 0], ["writeRegister", 1, 2], *masked]
        said = await node("modbus_client.js", str(port), "1", json.dumps(calls))
        refused = await node("modbus_client.js", str(port), "2", json.dumps([asked[0], masked[0]]))
    assert said[:2] == [{"0": "Sitekeeper neutral map", "1": "sp-barrier-1", "2": "1.0"}, {"1": "sp-barrier-1"}]
    words = bytes(said[2]["additionalData"]["data"]).decode()
    assert (said[2]["serverId"], said[2]["running"], words) == (1, True, "Sitekeeper neutral map sp-barrier-1 1.0")
    assert said[4:] == [{"address": 1, "andMask": 0xFFFE, "orMask": 1}, [3]]
    assert len([line for line in lines if "wrote" in line]) == 2
    assert [each["code"] for each in refused] == [1, 1]


async def test_bacnet_js_reads_and_dims_a_lamp(no_leaked_tasks):
    """It finds the device, reads what the journal has, and its level at priority 8 holds until it gives it up."""
    devices = [
        {"id": "lift-a1", "object": 1, "face": "bacnet-lift", "lift": {"floors": 12, "start_floor": 5}},
        {"id": "lamp-01", "object": 1, "face": "lighting-output"},
        {"id": "door-1", "object": 1, "face": "access-door"},
    ]
    link = {"id": "bms", "kind": "bacnet", "instance": 1200, "devices": devices}
    async with simulated(link) as (estate, port, lines):
        calls = [
            ["who"],
            ["many", LIFT, 1, [458, 450, 463, 460]],
            ["read", DOOR, 1, 231],
            ["write", LAMP, 1, 85, REAL, 72, 8],
            ["read", LAMP, 1, 85],
            ["read", LAMP, 1, 87],
            ["write", LAMP, 1, 164, REAL, 1, 8],
            ["write", LIFT, 1, 81, 1, True, 8],
        ]
        said = await node("bacnet_client.js", own_port(), f"127.0.0.1:{port}", json.dumps(calls))
        assert estate.lamps["lamp-01"].commanded == 72.0
        relinquish = [["write", LAMP, 1, 85, 0, None, 8], ["read", LAMP, 1, 85]]
        after = await node("bacnet_client.js", own_port(), f"127.0.0.1:{port}", json.dumps(relinquish))
        assert (after, estate.lamps["lamp-01"].commanded) == ([None, 0], 0.0)
    served = {device: _first(lines, device) for device in ("lift-a1", "door-1", "lamp-01")}
    lift, door, lamp = served.values()
    assert said[0]["deviceId"] == 1200
    position, doors, faults, energy = said[1]
    assert (position, doors, faults, energy) == (5, 0, [], lift["energy"])
    assert (lift["door_closed"], lift["power_fail"]) == (True, False)
    assert (said[2], door["door.state"]) == (0, "closed")
    assert (said[4], lamp["command"]) == (72, 72.0)
    assert said[5][:8] == [None] * 7 + [72]
    wrote = [(line["wrote"], line["priority"]) for line in lines if "wrote" in line]
    assert wrote == [({"command": 72.0}, 8), ({"command": None}, 8)]
    assert said[6:] == [{"error": WRITE_DENIED}] * 2


async def test_bacnet_js_is_told_of_a_lamp(no_leaked_tasks):
    """It subscribes to a luminaire, is told at once how it stands, and then of the level that it writes."""
    lamp = {"id": "lamp-01", "object": 1, "face": "lighting-output"}
    async with simulated({"id": "bms", "kind": "bacnet", "cov": True, "devices": [lamp]}) as (_, port, _lines):
        calls = [["cov", LAMP, 1], ["told"], ["write", LAMP, 1, 85, REAL, 72, 8], ["told"], ["told"]]
        said = await node("bacnet_client.js", own_port(), f"127.0.0.1:{port}", json.dumps(calls))
    assert (said[0], dict(said[1])[85], said[2]) == (None, 0, None)
    assert 72 in [dict(values)[85] for values in said[3:]]
