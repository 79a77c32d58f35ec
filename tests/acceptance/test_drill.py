"""A fire drill on a whole virtual site: it opens the doors, it rings nobody, and a real fire ends it."""

from pathlib import Path
from typing import Any

from tests import virtual, virtual_site
from tests.site_facts import alarms, value

SCENE: dict[str, Any] = {
    "title": "two panels and a door: the first panel is pressed for practice, the second one because it burns",
    "seed": 3,
    "links": [
        {"id": "panels", "devices": [
            {"id": "panel-1", "unit": 1, "face": "sp-io-16", "story": [{"at": "20s", "do": {"panel": "press"}}]},
            {"id": "panel-2", "unit": 2, "face": "sp-io-16", "story": [{"at": "60s", "do": {"panel": "press"}}]},
        ]},
        {"id": "doors", "kind": "mqtt", "site": "s1", "devices": [
            {"id": "door-1", "face": "mqtt-door", "controller": "405419896", "door": 1},
        ]},
    ],
}  # fmt: skip


def test_a_drill_acts_and_rings_nobody_and_a_fire_elsewhere_ends_it(tmp_path: Path) -> None:
    """F01 of the drill is marked and not pushed, its door is free; F01 outside is pushed, and what stands is real."""

    async def main() -> None:
        async with virtual_site.running(tmp_path, SCENE) as site:
            await site.at(5)
            practice: dict[str, Any] = {"device": "panel-1", "for": "1h", "note": "yearly drill"}
            [began] = await site.technician("drill.start", **practice)
            assert (began["on"], began["devices"]) == (True, ["panel-1"])
            await site.at(40)
            rows = site.rows("SELECT rule, mode, decision FROM transitions WHERE cause = 'raise' ORDER BY rule")
            assert [(row["rule"], row["mode"], row["decision"]) for row in rows] == [
                ("A13", "drill", "drill"), ("F01", "drill", "drill"),
            ]  # fmt: skip
            assert value(site, "door-1/lock.state") == "unlocked"
            assert site.phone.received == []
            [status] = await site.technician("status")
            assert status["drill"]["where"] == "panel-1"
            await site.technician("alarm.ack", id="panel-1/F01", note="seen")
            await site.kill_gateway()
            await site.start_gateway()  # a restart ends no drill
            await site.at(50)
            [status] = await site.technician("status")
            assert status["drill"]["where"] == "panel-1"
            await site.at(70)
            [shown] = await site.technician("drill.show")
            assert (shown["on"], shown["why"]) == (False, "fire")
            [fire] = [row for row in shown["alarms"] if row["rule"] == "F01"]
            assert 19 < fire["ack_s"] < 21
            real = [(device, cause) for _, device, cause, _, _ in alarms(site, "F01")]
            assert real == [("panel-2", "raise"), ("panel-1", "reannunciate")]
            pushed = {str(line["event"]).split("@")[0] for line in site.phone.received}
            assert {"s1/panel-1/F01", "s1/panel-2/F01"} <= pushed

    virtual.run(main())
