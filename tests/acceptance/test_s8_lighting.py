"""Scenario S8, lighting: schedule, light sensor and a person over one circuit; failures, daylight, a silent gateway.

What the lights did is read from the simulators' journal, not from the product.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sitekeeper.model.clock import MINUTE, SECOND
from tests import virtual, virtual_site
from tests.site_facts import alarms, journal, later
from tests.virtual_site import VirtualSite

SHANGHAI = ZoneInfo("Asia/Shanghai")
SITE = {
    "site": {
        "id": virtual_site.SITE,
        "name": {"en": "Riverside"},
        "timezone": "Asia/Shanghai",
        "position": {"latitude": 31.2304, "longitude": 121.4737},
    },
    "schedules": {"lights": {"on": [{"days": "all", "from": "dusk - 15min", "to": "dawn"}]}},
}
PLACES = {
    "circuit-3": {"zone": "park", "tags": ["scheduled", "trimmed"]},
    "gear-5": {"zone": "park", "tags": ["scheduled"]},
    "lux-1": {"zone": "park"},
}
POLL = 5.0
LATE = 2 * POLL + 1
"""Allowed latency beside a rule's own delay, s."""


def scenario() -> dict[str, Any]:
    """Return the scenario's file, to be added to."""
    return later("s8-lighting.yaml", 0)


def micros(clock: str, day: str = "2026-06-21") -> int:
    return int(datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=SHANGHAI).timestamp()) * SECOND


def clock(wall: int) -> datetime:
    return datetime.fromtimestamp(wall / SECOND, SHANGHAI).replace(tzinfo=None)


def lit(site: VirtualSite, device: str) -> list[tuple[bool, datetime]]:
    """Return when a circuit truly went on and off."""
    words = {"circuit on": True, "circuit off": False}
    return [
        (words[line["fact"]], clock(line["t"]))
        for line in journal(site)
        if line.get("device") == device and line.get("fact") in words
    ]


def between(found: datetime, wanted: str, late: float, early: float = 0.0) -> bool:
    due = datetime.fromisoformat(f"2026-06-21T{wanted}")
    return due - timedelta(seconds=early) <= found <= due + timedelta(seconds=late)


def test_s8_by_the_light(tmp_path: Path) -> None:
    """Dark at 18:40: on at 18:45; lighter at 18:50: off at 19:00. What burns in bright light is told after 15 min."""
    began = micros("18:39:00")
    plan = scenario()
    plan["links"][0]["devices"] += [
        {"id": "lux-2", "unit": 4, "face": "sp-lux-1", "story": [{"at": "0s", "do": {"lux": 40000}}]},
        {"id": "gear-6", "unit": 5, "slot": 6, "face": "dali-gear", "story": [{"at": "60s", "do": {"level": 100}}]},
    ]

    async def main() -> VirtualSite:
        hall = {device: {"zone": "hall"} for device in ("lux-2", "gear-6")}
        async with virtual_site.running(tmp_path, plan, places=PLACES | hall, sections=SITE, start=began) as site:
            await site.at((micros("19:00:30") - began) / SECOND)
        return site

    site = virtual.run(main())
    (on, lit_at), (off, dark_at) = lit(site, "circuit-3")
    assert (on, off) == (True, False)
    assert between(lit_at, "18:45:00", LATE)
    assert between(dark_at, "19:00:00", LATE)
    [(rule, device, cause, priority, at)] = alarms(site)
    assert (rule, device, cause, priority) == ("G03", "gear-6", "raise", "P4")
    assert 60 + 900 <= at - (began - virtual.START) / SECOND <= 60 + 900 + LATE


def test_s8_by_the_schedule(tmp_path: Path) -> None:
    """On at dusk less 15 min though the sensor has 70 lx, and so it stays."""
    began = micros("19:13:50")

    async def main() -> VirtualSite:
        plan = scenario()
        plan["links"][0]["devices"][0]["story"] = [{"at": "0s", "do": {"lux": 70}}]
        async with virtual_site.running(tmp_path, plan, places=PLACES, sections=SITE, start=began) as site:
            await site.at((micros("19:15:30") - began) / SECOND)
        return site

    site = virtual.run(main())
    [(on, lit_at)] = lit(site, "circuit-3")
    assert on
    assert between(lit_at, "19:14:34", POLL + LATE, early=5)
    wrote = [line for line in journal(site) if line.get("device") == "gear-5" and "wrote" in line]
    assert [line["wrote"]["command"] for line in wrote] == [0, 100]
    assert between(clock(wrote[-1]["t"]), "19:14:34", POLL + LATE, early=5)
    assert alarms(site) == []


def test_s8_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off by hand at 21:00 for half an hour; its schedule has it on again at 21:30. The office is away meanwhile."""
    monkeypatch.setattr("simulators.estate.PULSE", MINUTE)
    began = micros("20:59:00")

    async def main() -> VirtualSite:
        plan = scenario()
        plan["links"][0]["devices"][0]["story"] = [{"at": "0s", "do": {"lux": 70}}]
        async with virtual_site.running(tmp_path, plan, places=PLACES, sections=SITE, start=began) as site:
            await site.at(30)
            await site.stop_office()
            await site.at((micros("21:00:00") - began) / SECOND)
            told = await site.technician(
                "point.write", id="circuit-3/on_command", value="false", reason="S8", expires="30min"
            )
            assert told[-1]["outcome"] == "confirmed"
            await site.at((micros("21:30:20") - began) / SECOND)
            await site.start_office()
            await site.at((micros("21:31:00") - began) / SECOND)
        return site

    site = virtual.run(main())
    moves = lit(site, "circuit-3")
    assert [on for on, _ in moves] == [True, False, True]
    assert between(moves[1][1], "21:00:00", LATE)
    assert between(moves[2][1], "21:30:00", LATE)
    assert alarms(site) == []


def test_s8_people_are_warned_before_the_light_goes_off(tmp_path: Path) -> None:
    """Where people may be, a circuit that its schedule switches off blinks, and goes off a minute later."""
    began = micros("21:59:30")
    schedules = {"lights": {"on": [{"days": "all", "from": "18:00", "to": "22:00"}]}}

    async def main() -> VirtualSite:
        places = PLACES | {"circuit-3": {"zone": "park", "tags": ["scheduled", "occupied"]}}
        more = SITE | {"schedules": schedules}
        async with virtual_site.running(tmp_path, scenario(), places=places, sections=more, start=began) as site:
            await site.at((micros("22:01:30") - began) / SECOND)
        return site

    site = virtual.run(main())
    moves = lit(site, "circuit-3")
    assert [on for on, _ in moves] == [True, False, True, False]
    _, (_, blinked), (_, back), (_, off) = moves
    assert between(blinked, "22:00:00", LATE)
    assert back - blinked < timedelta(seconds=1)
    assert timedelta(seconds=59) < off - blinked < timedelta(seconds=62)
    assert alarms(site) == []


def gears(count: int, link_story: list[dict[str, Any]], stories: dict[int, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return a scenario of so many gears on one gateway."""
    devices = [
        {"id": f"gear-{n:02}", "unit": n + 1, "slot": n, "face": "dali-gear", "story": stories.get(n, [])}
        for n in range(count)
    ]
    return {"title": "S8", "links": [{"id": "dali", "devices": devices, "story": link_story}]}


def test_s8_failures_of_single_gear_and_of_many(tmp_path: Path) -> None:
    """One failed lamp of 40 is P4 after two polls; seven are one failure of the zone; a silent gateway is one alarm."""
    failed = [{"at": "90s", "do": {"lamp": "lamp"}}]
    plan = gears(
        40,
        [{"at": "150s", "do": {"fault": {"kind": "refuse"}}}],
        {5: [{"at": "30s", "do": {"lamp": "lamp"}}], **dict.fromkeys(range(10, 16), failed)},
    )

    async def main() -> VirtualSite:
        places = {f"gear-{n:02}": {"zone": "hall"} for n in range(40)}
        async with virtual_site.running(tmp_path, plan, places=places) as site:
            await site.at(240)
        return site

    site = virtual.run(main())
    raised = [(rule, device, priority, at) for rule, device, cause, priority, at in alarms(site) if cause == "raise"]
    shown = [(rule, device, priority) for rule, device, priority, _ in raised if rule != "G19"]
    assert shown == [("G01", "gear-05", "P4"), ("G01-ZONE", "gear-00", "P3"), ("G06", "gear-00", "P3")]
    held_back = {target for rule, cause, _, target, _ in site.moves() if rule == "G19" and cause == "raise"}
    assert held_back <= {"F"}
    assert 30 + 6 <= raised[0][3] <= 30 + 6 + LATE
    assert 90 + 6 <= raised[1][3] <= 90 + 6 + LATE
    assert 150 + 60 <= raised[2][3] <= 150 + 60 + 3 * POLL + LATE
