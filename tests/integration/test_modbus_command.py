"""Our writes at our simulated barrier: it obeys, it refuses to close onto something, and the next scan shows it."""

import json
from typing import Any

import pytest

from simulators.estate import Estate
from simulators.journal import Journal
from simulators.scenario import Scenario
from sitekeeper.model.clock import SystemClock
from sitekeeper.model.errors import DeviceRefused
from tests.fixtures.modbus import device, driver

POINTS = {
    "cmd.open": ({"coil": 0, "write": 15}, "bool"),
    "cmd.close": ({"coil": 2, "write": 5}, "bool"),
    "hold_open": ({"holding": 1, "bool": {True: 1, False: 0}, "write": 6}, "bool"),
    "auto_close": ({"holding": 0, "write": 16}, "int"),
    "state": ({"input": 0}, "int"),
}
LINK = {"id": "lane", "kind": "modbus", "devices": [{"id": "gate", "unit": 1, "face": "sp-barrier-1"}]}
CLOSED, OPENING = 17, 32


async def read(field: Any) -> dict[str, Any]:
    scan = await field.read("gate@1s")
    assert scan.answered
    return {list(POINTS)[outcome.index]: outcome.value for outcome in scan.outcomes}


async def test_a_barrier_obeys_and_refuses(no_leaked_tasks):
    """Coils by 5 and 15, registers by 6 and 16; close is refused with exception 4 while something is in the way."""
    lines: list[dict[str, Any]] = []
    plan = Scenario.model_validate({"title": "lane", "links": [LINK]})
    journal = Journal(lambda line: lines.append(json.loads(line)))
    estate = Estate(plan, clock=SystemClock(), journal=journal, free_ports=True)
    (port,) = (await estate.start()).values()
    field = driver(port, device("gate", POINTS), timeout="1s")
    try:
        await field.open()
        assert (await read(field))["state"] == CLOSED
        await field.write("gate", "hold_open", True, 1)
        await field.write("gate", "auto_close", 30, 1)
        await field.write("gate", "cmd.open", True, 1)
        found = await read(field)
        assert (found["hold_open"], found["auto_close"], found["state"]) == (True, 30, OPENING)
        estate.lanes["gate"].disturb("safety", "occupied")
        with pytest.raises(DeviceRefused, match="exception 4, server device failure"):
            await field.write("gate", "cmd.close", True, 1)
        with pytest.raises(DeviceRefused, match="exception 3, illegal data value"):
            await field.write("gate", "auto_close", 601, 1)
    finally:
        await field.close()
        await estate.close()
    assert [line["wrote"] for line in lines if "wrote" in line] == [
        {"hold_open": True},
        {"auto_close": 30},
        {"cmd.open": True},
    ]
    assert [(line["refused"], line["code"]) for line in lines if "refused" in line] == [
        ({"cmd.close": True}, 4),
        ({"auto_close": 601}, 3),
    ]
