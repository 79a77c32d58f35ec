"""Scenario S3, quality, on the virtual site: a heartbeat that stops over an entrapment; a line that keeps breaking."""

from pathlib import Path
from typing import Any

import pytest

from tests import virtual, virtual_site
from tests.site_facts import WIRES, journal, later, only, over, value
from tests.virtual_site import VirtualSite

FROZEN, STUCK, RESUMED = 30.0, 60.0, 240.0
"""The heartbeat stops, the car gets stuck behind it, the heartbeat goes on; seconds of the run."""
READ = 3.0
"""Two readings, one a second, and a second more."""
SEEN = (
    ("L25", "lift-a1", "raise", FROZEN + 5, FROZEN + 8),
    ("L25", "lift-a1", "clear", RESUMED + 10, RESUMED + 10 + READ),
    ("L01", "lift-a1", "raise", RESUMED + 30, RESUMED + 30 + READ),
)
"""The entrapment counts from when it is seen, not from when it happened; nothing of what was frozen raises anything."""


STORM = [{"at": f"{at}s", "do": {"fault": {"kind": "refuse", "for": "1s"}}} for at in range(90, 180, 3)]
"""The line breaks and comes back 20 times a minute."""


def latest(site: VirtualSite) -> dict[str, Any]:
    """Return what the office shows of the lift: value, quality and time by point."""
    sql = "SELECT * FROM v_latest WHERE point LIKE 'lift-a1/%' AND point NOT LIKE '%/online'"
    return {row["point"].split("/")[1]: row for row in site.rows(sql)}


@pytest.mark.parametrize("wire", WIRES)
def test_s3(tmp_path: Path, wire: str) -> None:
    """Stale after 5 s, one L25 P2 within 8 s, the timers stand; from 4:00 on the entrapment has its own 30 s."""

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, over(wire, later("s3-frozen.yaml", 0))) as site:
            await site.at(FROZEN - 1)
            before = latest(site)
            assert (before["car_status"]["value"], before["passenger"]["value"]) == ("running", 1)
            await site.at(FROZEN + 4)
            assert value(site, "lift-a1/online") is True
            await site.at(FROZEN + 8)
            assert value(site, "lift-a1/online") is False
            assert [row["priority"] for row in site.rows("SELECT priority FROM transitions")] == ["P2"]
            await site.at(RESUMED - 1)
            during = latest(site)
            assert {row["value"] for row in during.values()} == {None}
            assert {(row["q"] >= 128, row["at"] < site.clock.wall()) for row in during.values()} == {(True, True)}
            since = virtual_site.seconds(during["car_status"]["at"])
            assert FROZEN + 4 <= since <= FROZEN + 8, "how old a value is stays known"
            await site.at(RESUMED + 45)
            only(site, *SEEN)
            assert [line["event"].split("/")[2][:3] for line in site.phone.received] == ["L25", "L01"]  # type: ignore[attr-defined]
        return site

    site = virtual.run(main())
    assert [line for line in site.judged().wrong if not line.startswith("proved nothing")] == []


def test_a_storm_of_resets_keeps_one_alarm(tmp_path: Path) -> None:
    """The line breaks 20 times a minute while the heartbeat stands: the same moves, and no other."""
    plan = later("s3-frozen.yaml", 0)
    plan["links"][0]["story"] = STORM

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, plan) as site:
            await site.at(RESUMED + 45)
            only(site, *SEEN)
        return site

    site = virtual.run(main())
    breaks = [line for line in journal(site) if line.get("switched") == "refuse"]
    assert len(breaks) >= 30, "the line did break"
