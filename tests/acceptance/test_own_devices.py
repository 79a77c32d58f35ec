"""The gateway's own devices on a whole virtual site: one alarm for a lost link, schedules and tables in the record."""

from pathlib import Path
from typing import Any

import pytest

from tests import virtual, virtual_site
from tests.virtual_site import VirtualSite

SILENCE = {"at": "20s", "do": {"fault": {"kind": "silence", "for": "120s"}}}
LIFT = {"face": "sp-lift-1", "lift": {"floors": 12, "start_floor": 1, "rated_speed": 1.0, "floor_height": 4.5}}
LOST = {
    "title": "Three empty lifts share a line, which falls silent for two minutes",
    "links": [
        {"id": "lifts", "devices": [{"id": f"lift-{n}", "unit": n, **LIFT, "story": [SILENCE]} for n in (1, 2, 3)]}
    ],
}
SHIFT = {"shift": {"on": [{"days": "all", "from": "08:01", "to": "08:03"}]}}
"""The run begins at 08:00 local time."""


def states(site: VirtualSite, point: str) -> list[tuple[Any, float]]:
    found = site.rows("SELECT at, value FROM v_samples WHERE point = ? AND q = 0 ORDER BY at", point)
    return [(row["value"], virtual_site.seconds(row["at"])) for row in found]


def test_a_lost_link_is_one_alarm_and_a_schedule_is_a_point(tmp_path: Path) -> None:
    """GW20 comes 5 s after the last device fell silent and is pushed alone; what its devices say of it is held back."""

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, LOST, packs=["gateway"], sections={"schedules": SHIFT}) as site:
            await site.at(240)
            assert [line["event"].split("/")[2][:4] for line in site.phone.received] == ["GW20"]  # type: ignore[attr-defined]
            [shown] = await site.technician("device.show", id="lift-2")
            assert shown["link_time"] | {"busy": 0} == {"busy": 0, "silent": 0.0, "stretch": 1.0, "urgent": 1.0}
            assert {group["achieved_s"] for group in shown["groups"]} == {
                group["period_s"] for group in shown["groups"]
            }
        return site

    site = virtual.run(main())
    lost = [at for value, at in states(site, "link-lifts/lost") if value]
    moves = {(rule, cause): at for rule, cause, _, _, at in site.moves()}
    assert 20 < lost[0] < 26  # each of three is given a second to answer, one after the other
    assert moves["GW20", "raise"] == pytest.approx(lost[0] + 5, abs=0.001)
    assert 200 <= moves["GW20", "clear"] <= 206
    held_back = site.rows("SELECT key, target FROM transitions WHERE rule = 'L25' AND cause = 'raise'")
    assert {(row["key"].split("/")[1], row["target"]) for row in held_back} == {(f"lift-{n}", "F") for n in (1, 2, 3)}
    during = [value for value, at in states(site, "link-lifts/bus.silent") if 60 < at < 140]
    assert max(during, default=0) > 0.2, "while nobody answers, asking costs nobody anything"
    first, *edges = states(site, "gateway/schedule.shift")
    assert first[0] == 0
    assert edges == [(1, pytest.approx(60, abs=0.001)), (0, pytest.approx(180, abs=0.001))]
