"""Commands while the disk fails: life safety goes ahead and is told later, everything else waits for its row."""

import asyncio

from sitekeeper.model.command import Write

from .commands_rig import Site, on_site

FREE = Write("door-1", "mode", "free", 1)
LIGHT = Write("lamp-1", "command", 80.0, 14)
BY = "lamp-1/DUSK"


@on_site
async def test_a_fire_frees_the_door_while_the_disk_hangs(site: Site) -> None:
    """What priority 1 claims is written at once, and its rows wait for the disk in their order."""
    site.durable = False
    site.rule("raise", FREE)
    await asyncio.sleep(1)
    assert site.writes == [("door-1/mode", "free", 1)]
    assert site.outcomes("door-1/mode") == [("accepted", ""), ("confirmed", "")]


@on_site
async def test_what_is_not_life_safety_waits_for_the_disk_and_is_done_when_it_is_back(site: Site) -> None:
    """A light that a rule claims stays as it is while the disk hangs, and is switched when a row can be kept."""
    site.durable = False
    site.rule("raise", LIGHT, by=BY)
    await asyncio.sleep(20)
    assert site.writes == []
    assert set(site.outcomes("lamp-1/command")) == {("accepted", ""), ("refused", "not-recorded")}
    site.durable = True
    await asyncio.sleep(40)
    assert site.writes == [("lamp-1/command", 80.0, 14)]
    assert site.outcomes("lamp-1/command")[-1] == ("confirmed", "")


@on_site
async def test_a_claim_that_ended_while_the_disk_hung_is_never_carried_out(site: Site) -> None:
    """Dusk is over when the disk comes back: nothing is switched."""
    site.durable = False
    site.rule("raise", LIGHT, by=BY)
    await asyncio.sleep(5)
    site.rule("clear", by=BY)
    site.durable = True
    await asyncio.sleep(120)
    assert site.writes == []


@on_site
async def test_a_slow_disk_only_delays_a_light(site: Site) -> None:
    """A row that takes a second is waited for."""
    site.delay = 1.0
    site.rule("raise", LIGHT, by=BY)
    await asyncio.sleep(0.9)
    assert site.writes == []
    await asyncio.sleep(0.3)
    assert site.writes == [("lamp-1/command", 80.0, 14)]
