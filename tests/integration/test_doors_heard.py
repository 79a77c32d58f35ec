"""The gateway's MQTT driver and the simulated controllers, on a broker in memory and in virtual time.

Both were written from the domain brief and know nothing of each other.
"""

import asyncio
import json
from typing import Any

import pytest

from cloud_sync.memory import MemoryBroker
from drivers.base import Heard, Scan
from simulators.acts_connection import FaultPart
from simulators.estate import Estate
from simulators.journal import Journal
from simulators.scenario import Scenario
from sitekeeper.model.clock import SECOND
from tests import virtual
from tests.fixtures.mqtt import CONTROLLER, Sink, door, driver, lent

Line = dict[str, Any]
ACTS = [
    {"at": "2s", "do": {"crowd": {"people": 5, "every": "6s"}}},
    {"at": "9s", "do": {"deny": {"times": 3, "every": "5s"}}},
    {"at": "40s", "do": {"rex": {"stay": "33s"}}},
    {"at": "80s", "do": {"door": "force"}},
    {"at": "82s", "do": {"door": "shut"}},
]


def estate(broker: MemoryBroker, lines: list[Line]) -> Estate:
    doors = [
        {"id": f"door-{number}", "face": "mqtt-door", "controller": CONTROLLER, "door": number, "story": ACTS}
        for number in (1, 2)
    ]
    link = {"id": "doors", "kind": "mqtt", "port": 1883, "site": "harbour", "devices": doors}
    plan = Scenario.model_validate({"title": "t", "links": [link]})
    journal = Journal(lambda line: lines.append(json.loads(line)))
    return Estate(plan, clock=virtual.VirtualClock(), journal=journal, mqtt=broker.connector)  # type: ignore[arg-type]


async def heard(fault: dict[str, Any] | None, lines: list[Line], broker: MemoryBroker) -> tuple[Sink, dict[str, Any]]:
    """Let the story pass before the driver; return what it told, and the last value of each point of door 1."""
    sink, clock = Sink(), virtual.VirtualClock()
    reader = driver(lent(broker), [door(1), door(2)], clock)
    simulated = estate(broker, lines)
    await reader.open()
    listening = asyncio.create_task(reader.listen(sink))
    await simulated.start()
    running = asyncio.create_task(simulated.run())
    await asyncio.sleep(3.5)  # the driver has heard of the controller then
    if fault is not None:
        simulated.switch("door-1", FaultPart.model_validate(fault))
    await asyncio.sleep(100)
    await reader.write("door-2", "mode", "free", 8)
    await asyncio.sleep(2)
    assert not listening.done()
    scan = await reader.read("door-2@1s")
    names = [point.name for point in door(2).groups[0].points]
    state = {names[outcome.index]: outcome.value for outcome in _last(sink, scan)}
    for task in (running, listening):
        task.cancel()
    await asyncio.wait({running, listening})
    await reader.close()
    await simulated.close()
    return sink, state


def _last(sink: Sink, scan: Scan) -> list[Any]:
    latest = {}
    for each in [*(one for one in sink.story if isinstance(one, Scan)), scan]:
        if each.group == scan.group:
            latest |= {outcome.index: outcome for outcome in each.outcomes}
    return list(latest.values())


@pytest.mark.parametrize(
    "fault",
    [
        None,
        {"kind": "lose", "times": 4},
        {"kind": "twice", "count": 2},
        {"kind": "shuffle", "count": 4, "delay": "5s"},
        {"kind": "garbage", "count": 40},
        {"kind": "wrong_types"},
        {"kind": "huge", "count": 300},
        {"kind": "clock_behind", "delay": "10min"},
    ],
    ids=lambda fault: fault["kind"] if fault else "sound",
)
def test_the_driver_hears_what_the_doors_recorded(fault: dict[str, Any] | None) -> None:
    """However a controller misbehaves, every event of its journal is heard with its time, and no card in the clear."""
    lines: list[Line] = []
    sink, state = virtual.run(heard(fault, lines, MemoryBroker()))
    recorded = {line["event"]["seq"]: line for line in lines if "event" in line}
    clocks = [line["t"] for line in lines if line.get("switched") == "clock_behind"]
    wrong_from = min(clocks, default=virtual.START + 1000 * SECOND)
    told: dict[int, Heard] = {}
    for each in sink.durable:
        assert each.sequence is not None
        assert told.setdefault(each.sequence, each).fields == each.fields
    assert told.keys() == recorded.keys()
    assert len(recorded) > 40
    for seq, one in told.items():
        line = recorded[seq]
        assert (one.device, one.name) == (line["device"], f"{line['event']['kind']}.event")
        shift = -600 * SECOND if line["t"] > wrong_from else 0
        assert one.source is not None
        assert abs(one.source - line["t"] - shift) <= 1000
        assert one.fields.get("granted") == line["event"].get("granted")
    off = told[max(told)].behind
    assert off is not None
    assert abs(off - (600 * SECOND if clocks else 0)) <= SECOND
    cards = {line["event"]["cred"] for line in lines if "cred" in line.get("event", {})}
    assert cards
    assert not [card for card in cards if card in repr(sink.story)]
    assert state == {"door.state": "closed", "lock.state": "unlocked", "mode": "free"}
    assert [line["device"] for line in lines if "wrote" in line] == ["door-2"]
