"""What was written to a device whose supply was interrupted is written once more, before anybody calls it a fault."""

import asyncio

from sitekeeper.model.command import Write

from .commands_rig import Site, on_site

NIGHT = Write("lamp-1", "command", 60.0, 14)
BACK = {"lamp-1/power_cycled": True, "lamp-1/command": 100.0, "lamp-1/level": 100.0}


@on_site
async def test_what_stands_is_written_once_more_after_a_power_cycle(site: Site) -> None:
    """The gear came back at its own level; with the command its mark goes, and nothing more is written."""
    site.rule("raise", NIGHT, by="lamp-1/LIGHT-SCHEDULE")
    await asyncio.sleep(5)
    site.set(**BACK)
    await asyncio.sleep(2)
    assert site.writes == [("lamp-1/command", 60.0, 14)] * 2
    site.set(**{"lamp-1/power_cycled": False})
    await asyncio.sleep(60)
    assert len(site.writes) == 2


@on_site
async def test_gear_that_does_not_take_it_is_not_written_to_again(site: Site) -> None:
    """Once: what comes after is an alarm (G02), and the gear is not kept busy."""
    site.rule("raise", NIGHT, by="lamp-1/LIGHT-SCHEDULE")
    await asyncio.sleep(5)

    async def deaf(_point: str, _value: object) -> None:
        await asyncio.sleep(0)

    site.behaviour = deaf
    site.set(**BACK)
    await asyncio.sleep(120)
    assert len(site.writes) == 2
    assert site.outcomes("lamp-1/command")[-1] == ("unconfirmed", "not-seen")


@on_site
async def test_nothing_is_written_to_gear_that_nobody_claims_or_that_shows_what_was_wanted(site: Site) -> None:
    """A supply that came back to a lamp which is lit as wanted, or is nobody's business, is none of ours either."""
    site.set(**BACK)
    await asyncio.sleep(5)
    site.set(**{"lamp-1/power_cycled": False})
    site.rule("raise", Write("lamp-1", "command", 100.0, 14), by="lamp-1/LIGHT-SCHEDULE")
    await asyncio.sleep(5)
    site.set(**BACK)
    await asyncio.sleep(20)
    assert len(site.writes) == 1
