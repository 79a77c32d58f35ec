"""A building controller on BACnet, from wire to alarm, on the virtual site: the rules of Modbus lifts find it out.

Real bacpypes3 peers on loopback, in virtual time; the oracle judges what was recorded by the simulator's journal.
"""

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from drivers.base import Scan
from edge.poller import Poller
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import LinkDown
from sitekeeper.model.point import ScanGroup
from tests import virtual, virtual_site
from tests.fixtures import bacnet
from tests.virtual_site import VirtualSite

STUCK = {"at": "7s", "do": {"stuck_outside_zone": {"people": 1}}}
FREED = {"at": "120s", "do": {"release": True}}


def scenario(*story: dict[str, Any], of_link: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    """Return one BACnet device with a lift, to which `story` happens, two luminaires and a door."""
    lift = {"id": "lift-a1", "object": 1, "face": "bacnet-lift", "lift": {"start_floor": 5}, "story": list(story)}
    fails = [{"at": "2s", "do": {"level": 80}}, {"at": "20s", "do": {"lamp": "lamp"}}]
    lamps = [
        {"id": f"lamp-0{n}", "object": n, "face": "lighting-output", "story": fails if n == 1 else []} for n in (1, 2)
    ]
    entered = [{"at": "5s", "do": {"enter": "3s"}}, {"at": "40s", "do": {"door": "force"}}]
    door = {"id": "door-1", "object": 1, "face": "access-door", "story": entered}
    link = {"id": "bms", "kind": "bacnet", "devices": [lift, *lamps, door], "story": list(of_link)}
    return {"title": "bacnet", "seed": 5, "links": [link]}


def truth(site: VirtualSite, fact: str) -> float:
    """Return the seconds of the run at which something happened in truth."""
    lines = map(json.loads, (site.folder / "sim.jsonl").read_text().splitlines())
    return virtual_site.seconds(next(line["t"] for line in lines if line.get("fact") == fact))


def alarms(site: VirtualSite, family: str = "L") -> list[tuple[str, str]]:
    """Return rule and cause of every move of a family's alarms at the office; L for lifts."""
    return [move[:2] for move in site.moves() if move[0].startswith(family)]


def values(site: VirtualSite, point: str) -> list[tuple[Any, int]]:
    """Return what the office has of a point, in order: values and qualities."""
    found = site.rows("SELECT value, q FROM v_samples WHERE point = ? ORDER BY at", point)
    return [(row["value"], row["q"]) for row in found]


def test_an_entrapment_is_found_while_the_office_is_away(tmp_path: Path) -> None:
    """L01 is due 30 s after the stop and comes within a poll of it; lamps and doors raise theirs; nothing is lost."""

    async def story() -> None:
        rules = ("access", "lighting")
        async with virtual_site.running(tmp_path, scenario(STUCK, FREED), packs=rules) as site:
            await site.at(25)
            site.cut()
            await site.at(60)
            site.mend()
            await site.at(180)
            assert alarms(site) == [("L01", "raise"), ("L01", "clear")]
            assert alarms(site, "G") == [("G01", "raise")]
            assert alarms(site, "A") == [("A01", "raise"), ("A02", "raise")], "forced, and not shut since"
            raised, cleared = (move[4] for move in site.moves() if move[0] == "L01")
            assert 30 <= raised - truth(site, "trapped") <= 32
            assert cleared > truth(site, "released")
            assert values(site, "lift-a1/load")[:3] == [(0.0, 0), (7.0, 0), (0.0, 0)]
            assert [value for value, _ in values(site, "lamp-01/lamp.fail")] == [0, 1]
            assert [value for value, _ in values(site, "door-1/door.alarm")] == ["normal", "forced_open"]
        account = site.judged()
        assert account.wrong == []
        assert account.figures["served"] == account.figures["stored"] > 400

    virtual.run(story())


def test_an_empty_car_is_a_stop_outside_the_zone(tmp_path: Path) -> None:
    """Without load and without the button nobody is inside: L04, and no L01 in five minutes."""

    async def story() -> None:
        nobody = {"at": "7s", "do": {"stuck_outside_zone": {"people": 0}}}
        async with virtual_site.running(tmp_path, scenario(nobody)) as site:
            await site.at(300)
            assert alarms(site) == [("L04", "raise")]
            assert 15 <= next(move[4] for move in site.moves() if move[0] == "L04") - truth(site, "stuck") <= 17

    virtual.run(story())


def test_the_button_and_the_supply_are_understood(tmp_path: Path) -> None:
    """The alarm button raises L03; a failed supply is among the fault signals and raises L22."""

    async def story() -> None:
        button = {"at": "10s", "do": {"alarm_button": "8s"}}
        dark = {"at": "40s", "do": {"mains": "failed"}}
        async with virtual_site.running(tmp_path, scenario(button, dark)) as site:
            await site.at(90)
            assert {("L03", "raise"), ("L22", "raise")} <= set(alarms(site))

    virtual.run(story())


def test_a_dead_device_is_offline_and_comes_back(tmp_path: Path) -> None:
    """While nobody listens each device is bad for want of communication, and good again within 5 s of its return."""

    async def story() -> None:
        dead = {"at": "20s", "do": {"fault": {"kind": "refuse", "for": "30s"}}}
        async with virtual_site.running(tmp_path, scenario(of_link=(dead,))) as site:
            await site.at(45)
            assert values(site, "lift-a1/online")[-1] == (0, 0)
            assert values(site, "lift-a1/door_zone")[-1][0] is None
            await site.at(56)
            for device, point in (("lift-a1", "door_zone"), ("lamp-02", "level"), ("door-1", "door.state")):
                assert values(site, f"{device}/online")[-1] == (1, 0), device
                assert values(site, f"{device}/{point}")[-1][1] == 0, device

    virtual.run(story())


class Sink:
    """Takes scans and remembers when the live device's came."""

    def __init__(self) -> None:
        self.live: list[int] = []
        self.failed = 0

    def scanned(self, scan: Scan) -> None:
        if scan.device == "live" and scan.answered:
            self.live.append(scan.received)

    def link_failed(self, groups: tuple[str, ...], error: LinkDown) -> None:
        self.failed += 1


def test_a_dead_controller_leaves_its_neighbour_its_polls() -> None:
    """With 24 luminaires behind a dead address on the link, a live device keeps 99 % of its polls of 1 s."""

    async def story() -> Sink:
        clock, sink = virtual.VirtualClock(), Sink()
        async with bacnet.serving(bacnet.counting) as live, bacnet.serving(bacnet.counting) as dead:
            await dead.stop()
            point = bacnet.values(1)
            lamps = [bacnet.device(f"lamp-{n}", point, port=dead.port) for n in range(24)]
            devices = [*lamps, bacnet.device("live", point, port=live.port)]
            driver = bacnet.driver(*devices, timeout="1s", clock=clock)
            groups = tuple(
                ScanGroup(id=f"{device.id}@1s", device=device.id, period=SECOND, handles=(0,)) for device in devices
            )
            polling = asyncio.create_task(Poller("bms", driver, groups, sink, clock).run())
            await asyncio.sleep(120)
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
        return sink

    sink = virtual.run(story())
    gaps = [later - sooner for sooner, later in pairwise(sink.live)]
    assert sink.failed == 0
    assert len(sink.live) >= 0.99 * 119
    assert max(gaps) < 2 * SECOND
