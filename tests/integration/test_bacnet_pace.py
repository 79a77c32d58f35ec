"""A building controller with many objects, read object by object at 1 s over one link: no period is missed."""

import asyncio

import pytest

from drivers.base import Scan
from edge.poller import Poller
from simulators.scenario import Scenario
from sitekeeper.model.clock import SECOND, SystemClock
from sitekeeper.model.errors import LinkDown
from sitekeeper.model.point import ScanGroup
from tests.fixtures import bacnet
from tests.fixtures.bacnet_peers import simulated

pytestmark = pytest.mark.slow

LAMPS, PERIODS = 24, 4
LAMP = {
    name: ({"object": "lighting-output", "property": prop}, "float")
    for name, prop in (("command", "present-value"), ("level", "tracking-value"), ("power", "instantaneous-power"))
}
LIFT = {"floor": ({"object": "lift", "property": "car-position"}, "int")}
DOOR = {"state": ({"object": "access-door", "property": "door-status"}, "int")}


class Counting:
    """Counts scans by group."""

    def __init__(self) -> None:
        self.scans: dict[str, int] = {}
        self.failures: list[str] = []

    def scanned(self, scan: Scan) -> None:
        assert scan.answered, scan.errors
        self.scans[scan.group] = self.scans.get(scan.group, 0) + 1

    def heard(self, heard):
        raise AssertionError("nobody speaks unasked")

    def link_failed(self, groups: tuple[str, ...], error: LinkDown) -> None:
        self.failures.append(str(error))


async def paced(port: int) -> tuple[Counting, Poller]:
    """Poll 24 lamps, a lift and a door, all objects of the device at `port`, for some periods."""
    lamps = [bacnet.device(f"lamp-{at:02}", LAMP, port=port, object=at) for at in range(1, LAMPS + 1)]
    devices = [*lamps, bacnet.device("lift", LIFT, port=port), bacnet.device("door", DOOR, port=port)]
    reads = [group for device in devices for group in device.groups]
    groups = tuple(ScanGroup(id=each.id, device=each.device, period=SECOND, handles=()) for each in reads)
    sink = Counting()
    poller = Poller("bms", bacnet.driver(*devices, timeout="1s"), groups, sink, SystemClock())
    task = asyncio.create_task(poller.run())
    await asyncio.sleep(PERIODS + 0.7)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return sink, poller


def judged(sink: Counting, poller: Poller) -> None:
    assert sink.failures == []
    assert poller.counts.missed == 0
    assert len(sink.scans) == LAMPS + 2
    assert set(sink.scans.values()) <= {PERIODS, PERIODS + 1}


async def test_26_objects_of_our_simulator(no_leaked_tasks):
    """24 luminaires, a lift and a door of one simulated device are read each second."""
    devices = [{"id": f"lamp-{at:02}", "object": at, "face": "lighting-output"} for at in range(1, LAMPS + 1)]
    devices += [{"id": "lift", "object": 1, "face": "bacnet-lift"}, {"id": "door", "object": 1, "face": "access-door"}]
    plan = {"title": "pace", "links": [{"id": "bms", "kind": "bacnet", "instance": 1200, "devices": devices}]}
    async with simulated(Scenario.model_validate(plan)) as (_, address, _lines):
        judged(*await paced(int(address.rpartition(":")[2])))


async def test_26_objects_of_a_slow_device(no_leaked_tasks):
    """A device that takes 20 ms for each answer, one at a time, is read each second too."""
    real = bytes.fromhex("44 42 90 00 00")

    def script(asked: bacnet.Asked) -> bytes:
        found = bacnet.names(asked)
        return bacnet.answer(asked, {name: real if name[0] == 54 else bacnet.unsigned(1) for name in found})

    async with bacnet.serving(script) as peer:
        peer.delay = 0.02
        judged(*await paced(peer.port))
        assert peer.most_open == 1
