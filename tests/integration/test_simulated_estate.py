"""Whole scenarios: their stories in virtual time, and the shipped profiles reading what the estate's journal says."""

import asyncio
import json
import re
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

from drivers import registry
from drivers.base import Driver, Services
from edge.settings.load import load as load_site
from edge.settings.values import Site
from simulators.estate import Estate
from simulators.journal import Journal
from simulators.scenario import Scenario, load
from sitekeeper.model.clock import SECOND, SystemClock
from tests import virtual

CONFIG = Path(__file__).parents[2] / "config"
SCENARIOS = CONFIG / "scenarios"


def played(name: str) -> Scenario:
    """Return a scenario without its MQTT links, which need a broker."""
    plan = load(SCENARIOS / name)
    return plan.model_copy(update={"links": tuple(link for link in plan.links if link.kind != "mqtt")})


async def lived(name: str, seconds: int) -> list[dict[str, Any]]:
    """Let a scenario live without anybody asking, its MQTT links left out; return the journal's facts."""
    clock, lines = virtual.VirtualClock(), list[dict[str, Any]]()
    estate = Estate(
        played(name), clock=clock, journal=Journal(lambda line: lines.append(json.loads(line))), free_ports=True
    )
    await estate.start()
    living = asyncio.create_task(estate.run())
    await asyncio.sleep(seconds)
    living.cancel()
    await asyncio.gather(living, return_exceptions=True)
    await estate.close()
    return [line for line in lines if "fact" in line]


def test_the_estates_story() -> None:
    """The demo's story but for its doors: each thing goes wrong at its time and ends in time to be over at 75 s."""
    facts = {
        (line["device"], line["fact"]): (line["t"] - virtual.START) / SECOND
        for line in virtual.run(lived("estate.yaml", 76))
    }
    expected = {
        ("lane-in", "stuck opening"): 12,
        ("lane-in", "motor freed"): 33,
        ("lift-a1", "mains failed"): 35,
        ("lift-a1", "trapped"): 35,
        ("lamp-07", "lamp failed"): 36,
        ("fire-panel", "fire alarm"): 39,
        ("fire-panel", "panel reset"): 42,
        ("lift-a1", "mains restored"): 50,
    }
    assert {key: facts.get(key) for key in expected} == expected
    assert 50 < facts["lift-a1", "released"] < 58
    assert {("lane-in", "vehicle entered"), ("lane-out", "vehicle left")} <= facts.keys()


def test_s10_fire() -> None:
    """S10: smoke in zone 3 alone is no general alarm, the call point is; the reset at 22 min finds no cause left."""
    told = [
        (line["fact"], (line["t"] - virtual.START) / SECOND)
        for line in virtual.run(lived("s10-fire.yaml", 1400))
        if line["device"] == "fire-panel"
    ]
    assert told == [
        ("thin smoke", 10), ("dense smoke", 20), ("call point pressed", 21), ("fire alarm", 21), ("smoke gone", 1200),
        ("call point restored", 1260), ("panel reset", 1320),
    ]  # fmt: skip


# --- read by the drivers, through the shipped profiles


def site_at(folder: Path, plan: Scenario, ports: dict[str, int]) -> Site:
    """Return the shipped site with the simulators' ports, and no rules but those that need none of its devices."""
    shutil.copytree(CONFIG / "sites" / "estate", folder)
    for path in folder.rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        for link in plan.links:
            text = re.sub(rf"(port: |:){link.port}\b", rf"\g<1>{ports[link.id]}", text)
        path.write_text(re.sub(r"packs: \[.*\]", "packs: [lift]", text), encoding="utf-8")
    return load_site(folder)


def same(read: object, said: object) -> bool:
    if isinstance(read, float) and isinstance(said, int | float):
        return abs(read - said) < 1e-6
    return read == said


async def test_the_shipped_profiles_read_what_the_journal_says(tmp_path: Path) -> None:
    """Every point of every device of the estate, doors aside, comes out of its driver as the simulator says it said."""
    said: dict[str, dict[str, Any]] = defaultdict(dict)
    wrote: list[dict[str, Any]] = []

    def write(content: bytes) -> None:
        line = json.loads(content)
        said[line.get("device", "")] |= line.get("points", {})
        wrote.extend([line["wrote"]] if "wrote" in line else [])

    plan = played("estate.yaml")
    estate = Estate(plan, clock=SystemClock(), journal=Journal(write), speed=20, free_ports=True)
    site = site_at(tmp_path / "site", plan, await estate.start())
    links: dict[str, Driver] = {}
    try:
        for link in plan.links:
            options = site.links[link.id]
            kind = registry.kind(options.kind)
            links[link.id] = kind.create(link.id, options.options, site.on_link(link.id), SystemClock(), Services())
            await links[link.id].open()
        compared = set()
        for turn in range(4):
            for name, driver in links.items():
                for group in (group for device in site.on_link(name) for group in device.groups):
                    scan = await driver.read(group.id)
                    assert scan.answered, scan.errors
                    for outcome in scan.outcomes:
                        point = group.points[outcome.index].name
                        assert same(outcome.value, said[group.device][point]), (group.device, point)
                        compared.add((group.device, point))
            if turn == 1:
                await links["parking"].write("lane-out", "hold_open", True, 1)
                await links["bms"].write("lamp-17", "command", 100.0, 1)
            elif turn == 2:
                await links["parking"].write("lane-out", "hold_open", False, 1)
                await links["bms"].write("lamp-17", "command", None, 1)
            await asyncio.sleep(0.3)
    finally:
        for driver in links.values():
            await driver.close()
        await estate.close()
    assert {device for device, _ in compared} == {device.id for device in plan.devices()}
    assert len(compared) > 300
    assert wrote == [{"hold_open": True}, {"command": 100.0}, {"hold_open": False}, {"command": None}]
