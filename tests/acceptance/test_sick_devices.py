"""E19, sick devices: half of 50 lifts accept and never answer, drip, reset or answer late; the others notice nothing.

On the virtual site, each lift behind a connection of its own: real frames on loopback sockets. Judged by the journal of
the simulated devices, which says when each was asked.
"""

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from sitekeeper.model.clock import SECOND
from tests import virtual, virtual_site
from tests.site_facts import journal, value
from tests.virtual_site import VirtualSite

RUN = 600 if os.environ.get("SITEKEEPER_FULL") == "1" else 80
"""Seconds."""
SICK: dict[str, tuple[int, dict[str, Any]]] = {
    "mute": (10, {"kind": "silence"}),
    "drip": (5, {"kind": "split", "delay": "1s", "count": 1}),
    "reset": (5, {"kind": "reset"}),
    "late": (5, {"kind": "late", "delay": "900ms"}),
}
"""How many, and what is wrong with them, from the first second on; the time-out is 1 s."""
WELL = 25
ON_TIME = 0.5
"""A reading comes at its second, or at most half a second later."""
SETTLED = 20
"""Seconds that a cold start may take until each device is known for what it is."""


def scenario() -> dict[str, Any]:
    """Return 50 lifts on 50 links."""
    links = []
    for kind, (count, fault) in {"well": (WELL, {}), **SICK}.items():
        for number in range(count):
            lift: dict[str, Any] = {"id": f"{kind}-{number}", "unit": 1, "face": "sp-lift-1"}
            if fault:
                lift["story"] = [{"at": "1s", "do": {"fault": fault}}]
            links.append({"id": f"to-{kind}-{number}", "devices": [lift]})
    return {"title": "sick devices", "seed": 19, "links": links}


def asked(site: VirtualSite) -> dict[str, list[float]]:
    """Return when each device was asked, in seconds of the run; each reading of a lift is one request."""
    times: dict[str, list[float]] = defaultdict(list)
    for line in journal(site):
        if "n" in line or "fault" in line:
            times[line["device"]].append(virtual_site.seconds(line["t"]))
    return times


def test_the_healthy_are_read_on_time_beside_the_sick(tmp_path: Path) -> None:
    """Of the healthy 99.5 % of the readings are on time; the sick are left alone mostly, and tried once a minute."""

    online: dict[str, set[Any]] = {}

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, scenario()) as site:
            await site.at(RUN)
            for kind, count in {"well": WELL, **{kind: count for kind, (count, _) in SICK.items()}}.items():
                online[kind] = {value(site, f"{kind}-{number}/online") for number in range(count)}
        return site

    site = virtual.run(main(), limit=2 * RUN * SECOND)
    assert online == {"well": {True}, "late": {True}, "mute": {False}, "drip": {False}, "reset": {False}}
    times = asked(site)
    late, wanted = 0, 0
    for number in range(WELL):
        gaps = [
            b - a for a, b in zip(times[f"well-{number}"], times[f"well-{number}"][1:], strict=False) if a > SETTLED
        ]
        wanted += RUN - SETTLED
        late += sum(max(0, round(gap) - 1) + (abs(gap - round(gap)) > ON_TIME) for gap in gaps)
        assert len(gaps) >= RUN - SETTLED - 3, number
    assert late <= 0.005 * wanted, (late, wanted)
    for kind, (count, _) in SICK.items():
        for number in range(count):
            tried = [at for at in times[f"{kind}-{number}"] if at > SETTLED]
            pauses = [b - a for a, b in zip([SETTLED, *tried], [*tried, RUN], strict=True)]
            assert max(pauses) <= 60, (kind, number)
    mute = [sum(at > SETTLED for at in times[f"mute-{number}"]) for number in range(10)]
    print({"late": late, "of": wanted, "mute asked": (min(mute), max(mute)), "drip": len(times["drip-0"])})
