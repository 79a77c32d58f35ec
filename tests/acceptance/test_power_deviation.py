"""G05 against simulated gear: what a luminaire usually takes is learned, and less of it is told."""

from pathlib import Path

import pytest

from sitekeeper.model.clock import MINUTE
from tests import virtual, virtual_site
from tests.site_facts import only
from tests.virtual_site import VirtualSite

FELL = 26 * 60
MEAN, DELAY, POLL = 5 * 60, 10 * 60, 30
READ = ("command", "level", "feedback", "fading", "lamp.fail", "power", "simulated")


def test_a_luminaire_that_takes_less_than_usual_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It burns at full light for 26 min, then takes 60 %; the mean over 5 min is below 80 %, and 10 min later G05."""
    monkeypatch.setattr("simulators.estate.PULSE", MINUTE)
    story = [{"at": "5s", "do": {"level": 100}}, {"at": f"{FELL}s", "do": {"power_share": 0.6}}]
    lamps = [{"id": "lamp-1", "object": 1, "face": "lighting-output", "story": story}]
    places = {"lamp-1": {"points": {point: {"scan": f"{POLL}s"} for point in READ}}}
    plan = {"title": "G05", "links": [{"id": "bms", "kind": "bacnet", "devices": lamps}]}

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, plan, places=places, packs=["lighting"]) as site:
            await site.at(30)
            await site.stop_office()
            await site.at(FELL + MEAN + DELAY + 60)
            await site.start_office()
            await site.at(FELL + MEAN + DELAY + 90)
        return site

    site = virtual.run(main())
    below = FELL + MEAN / 2  # full power less 40 % of the part of the window that is over
    only(site, ("G05", "lamp-1", "raise", below + DELAY, below + DELAY + MEAN / 60 + 2 * POLL + 1))
