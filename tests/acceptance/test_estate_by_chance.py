"""Doors, lanes and a fire panel with people and cars at all of them, and with what can go wrong, by seed.

No expectation is written down here: the oracle knows what truly happened, and judges.
"""

from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests import virtual, virtual_site
from tests.fire_rig import area_is_normal
from tests.site_facts import value
from tests.virtual_site import VirtualSite

NORMAL, ENDS = 110.0, 130.0
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "offline"}, {"kind": "silence"}, {"kind": "twice", "count": 2}, {"kind": "lose", "times": 3},
    {"kind": "shuffle", "count": 3, "delay": "1s"}, {"kind": "garbage", "count": 2},
)  # fmt: skip
"""Of a controller: each event comes late, not at all, again and again, or in another order."""


def scenario(seed: int, chance: Random) -> dict[str, Any]:
    """Return six doors on two controllers, two lanes and a panel; one of each kind of trouble at a time by chance."""
    doors: list[dict[str, Any]] = [
        {
            "id": f"door-{n}",
            "face": "mqtt-door",
            "controller": str(405419896 + n % 2),
            "door": (n + 1) // 2,
            "story": [],
        }
        | {"traffic": f"{chance.choice((3, 6, 12))}s"}
        for n in range(1, 7)
    ]
    fault = {**FAULTS[seed % len(FAULTS)], "for": f"{chance.choice((5, 20))}s"}
    trouble: tuple[dict[str, Any], ...] = (
        {"fault": fault}, {"door": "force"}, {"deny": {"times": 5, "every": "2s"}}
    )  # fmt: skip
    for door, what in zip((0, 5, 4), trouble, strict=True):
        doors[door]["story"].append({"at": f"{chance.randint(5, 60)}s", "do": what})
    lanes: list[dict[str, Any]] = [
        {"id": f"lane-{way}", "unit": n, "face": "sp-barrier-1", "lane": {"way": way}, "traffic": "15s", "story": []}
        for n, way in zip(count(1), ("in", "out"), strict=False)
    ]
    begins = chance.randint(5, 90)
    doors[1]["story"] += [{"at": f"{begins + n}s", "do": {"tamper": n == 0}} for n in (0, 20)]
    lanes[0]["story"] += [
        {"at": f"{begins + n}s", "do": {"boom": f"cabinet_{state}"}} for n, state in ((0, "open"), (20, "shut"))
    ]
    deeds = {40: "press", 55: "restore", 60: "reset"}
    panel = [{"at": f"{at}s", "do": {"panel": deed}} for at, deed in deeds.items()]
    return {
        "title": "by chance",
        "seed": seed,
        "links": [
            {"id": "panel", "devices": [{"id": "fire-panel", "unit": 1, "face": "sp-io-16", "story": panel}]},
            {"id": "lanes", "devices": lanes},
            {"id": "doors", "kind": "mqtt", "devices": doors},
        ],
    }


async def trouble(site: VirtualSite, chance: Random) -> None:
    """Let the office be away, the doors' broker lose its connections, and the gateway be killed."""
    dies = chance.uniform(5, 100)
    deeds = {20.0: "cut", 50.0: "mend", chance.uniform(5, 100): "field", dies: "kill", dies + 3: "start"}
    for at, deed in sorted(deeds.items()):
        await site.at(at)
        match deed:
            case "cut":
                site.cut()
            case "mend":
                site.mend()
            case "field":
                site.field_broker.cut()
            case "kill":
                await site.kill_gateway()
            case "start":
                await site.start_gateway()


@pytest.mark.parametrize("seed", range(len(FAULTS)))
def test_whatever_happens_nothing_is_lost_and_all_ways_out_open_and_close(tmp_path: Path, seed: int) -> None:
    """The account is clean: every event once, every alarm that is due and no other, everybody freed and bound again."""
    chance = Random(seed)

    async def main() -> VirtualSite:
        places = {"lane-out": {"tags": ["exit"]}}
        async with virtual_site.running(tmp_path, scenario(seed, chance), places=places) as site:
            await trouble(site, chance)
            await site.at(NORMAL)
            await area_is_normal(site)
            await site.at(ENDS)
            assert [value(site, f"door-{n}/mode") for n in range(1, 7)] == ["controlled"] * 6
            assert value(site, "lane-out/hold_open") is False
        return site

    account = virtual.run(main()).judged()
    assert account.wrong == []
    assert account.figures["events_stored"] > 100
    assert (account.figures["freed"]["doors"], account.figures["freed"]["barriers"]) == (6, 1)
    assert account.risk["blocks that waited"] > 0
    assert account.risk["events while the gateway was dead"] > 0
