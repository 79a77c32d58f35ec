"""Scenario S11 on the site: a bus without power is one alarm, a loop that chatters is known for it, a shelf ends.

What of it is pushed, and floods, are the office's part.
"""

from pathlib import Path
from typing import Any

import pytest

from sitekeeper.alarm_quality import chattering
from sitekeeper.model.clock import SECOND
from tests import virtual, virtual_site
from tests.site_facts import alarms, later, only

LAMPS = [f"lamp-{n:02}" for n in range(1, 25)]
DARK, LIGHT = 20.0, 150.0
"""The bus loses its power, and has it again."""
BUS: dict[str, Any] = {
    "title": "a bus of 24 luminaires loses its power",
    "seed": 11,
    "links": [{"id": "bus", "devices": [
        {"id": lamp, "unit": n, "slot": 0, "face": "dali-gear",
         "story": [{"at": f"{DARK}s", "do": {"fault": {"kind": "silence", "for": f"{LIGHT - DARK}s"}}}]}
        for n, lamp in enumerate(LAMPS, 1)
    ]}],
}  # fmt: skip
EVERY = 8
BEGINS, ENDS = 20, 20 + 5 * 60
LOOP = """
- id: LOOP
  class: parking
  name: {en: Loop occupied, zh-Hant: 線圈有車, zh-Hans: 线圈有车}
  when: loop.arrival == 'present'
  off_delay: 0s
  priority: P3
"""
BRIGHT = """
- id: BRIGHT
  class: lux
  name: {en: Bright, zh-Hant: 明亮, zh-Hans: 明亮}
  when: lux > 100
  priority: P3
"""


def test_a_bus_without_power_is_one_alarm(tmp_path: Path) -> None:
    """GW20 alone, for 24 devices; what each of them says of it is recorded under it and announced to nobody."""

    async def main() -> None:
        async with virtual_site.running(tmp_path, BUS, packs=["gateway"]) as site:
            await site.at(140)
            [status] = await site.technician("status")
            assert sorted(status["devices"]["silent"]) == LAMPS
            rung = site.rows("SELECT rule FROM transitions WHERE target = 'B' AND (cause = 'raise' OR source = 'F')")
            assert [row["rule"] for row in rung] == ["GW20"]
            held = site.rows("SELECT key FROM transitions WHERE cause = 'raise' AND target = 'F'")
            assert {row["key"].split("/")[1] for row in held} <= set(LAMPS)
            [alarm] = await site.ask("control", "alarm.list")
            assert (alarm["rule"], alarm["priority"]) == ("GW20", "P2")
            under = {(row["rule"], row["held_by"]) for row in await site.ask("control", "alarm.list", held=True)}
            assert ("G06", "link-bus/GW20") in under

    virtual.run(main())


def own_rule(folder: Path, rule: str) -> None:
    """Give the site a rule of its own."""
    (folder / "site/rules").mkdir(parents=True)
    (folder / "site/rules/own.yaml").write_text(rule)


def test_a_loop_that_chatters_is_known_for_it_and_loses_no_edge(tmp_path: Path) -> None:
    """Every edge is a move in the record; the third activation within a minute is chatter, and it is counted once."""
    plan = later("s11-flood.yaml", 0)
    states = ["occupied", "works"] * ((ENDS - BEGINS) // EVERY // 2 + 1)
    edges = [(BEGINS + EVERY * n, state) for n, state in enumerate(states) if BEGINS + EVERY * n <= ENDS]
    [lane] = plan["links"][0]["devices"]
    lane["story"] = [{"at": f"{at}s", "do": {"sensor": {"name": "arrival", "state": state}}} for at, state in edges]
    own_rule(tmp_path, LOOP)

    async def main() -> None:
        async with virtual_site.running(tmp_path, plan) as site:
            await site.at(ENDS + 10)
            only(site, *(("LOOP", "lane-in", "raise" if state == "occupied" else "clear", at, at + 3)
                         for at, state in edges))  # fmt: skip
            raised = [int(at * SECOND) for _, _, cause, _, at in alarms(site, "LOOP") if cause == "raise"]
            assert [chattering(raised[:count]) for count in (1, 2, 3)] == [False, False, True]
            [figures] = await site.ask("control", "alarm.stats", since="10min")
            assert figures["chattering"] == {"s1/lane-in/LOOP": 1}
            assert figures["annunciated"] == len(raised)

    virtual.run(main())


def test_a_shelf_of_half_an_hour_ends_to_the_second(tmp_path: Path) -> None:
    """What is still true at 30:00 is announced then, and not before."""
    plan = {"title": "it is bright", "seed": 1, "links": [{"id": "park", "devices": [
        {"id": "lux-1", "unit": 1, "face": "sp-lux-1", "story": [{"at": "0s", "do": {"lux": 500}}]},
    ]}]}  # fmt: skip
    own_rule(tmp_path, BRIGHT)

    async def main() -> None:
        slowly = {"lux-1": {"points": {"lux": {"scan": "60s"}}}}
        async with virtual_site.running(tmp_path, plan, places=slowly) as site:
            await site.at(20)
            assert site.state("BRIGHT") == "B"
            await site.technician("alarm.shelve", id="BRIGHT", note="the sensor is being moved", **{"for": "30min"})
            await site.at(20 + 1795)
            assert site.state("BRIGHT") == "E"
            await site.at(20 + 1802)
            [shelf, over] = [move for move in site.moves() if move[0] == "BRIGHT" and "E" in move[2:4]]
            assert over[1:4] == ("shelf_over", "E", "B")
            assert over[4] - shelf[4] == pytest.approx(1800, abs=0.001)

    virtual.run(main())
