"""Before a planned switch-off people are warned, in virtual time: who objects in time is heard, danger never waits."""

import asyncio
from typing import Final

import pytest

from edge.commands import warning
from edge.commands.claims import Claim, Step
from edge.commands.guard import Present, Target
from sitekeeper.model.command import Write
from sitekeeper.model.point import Point
from sitekeeper.model.quality import GOOD
from sitekeeper.model.sample import Sample, Value
from sitekeeper.profile import Writable

from .commands_rig import FIRE, Site, on_site

LAMP: Final = "lamp-2/command"
ON, OFF = Write("lamp-2", "command", 80.0, 14), Write("lamp-2", "command", 0.0, 14)
BLINK: Final = [(LAMP, 0.0, 14), (LAMP, 80.0, 14)]
PLAN: Final = "lamp-2/LIGHT-SCHEDULE"


def written(site: Site) -> list[tuple[str, Value, int]]:
    return [each for each in site.writes if each[0] == LAMP]


@on_site
async def test_a_rule_that_switches_off_blinks_and_waits(site: Site) -> None:
    """Off for half a second, back, and off for good a minute later; the outcome is told after that."""
    site.rule("raise", OFF, by=PLAN)
    await asyncio.sleep(0.4)
    assert written(site) == BLINK[:1]
    await asyncio.sleep(59)
    assert written(site) == BLINK
    told = [fields["outcome"] for source, fields in site.events if source == "lamp-2/command"]
    assert told == ["accepted"]
    await asyncio.sleep(2)
    assert written(site) == [*BLINK, (LAMP, 0.0, 14)]
    told = [fields["outcome"] for source, fields in site.events if source == "lamp-2/command"]
    assert told == ["accepted", "confirmed"]


@on_site
async def test_the_end_of_a_claim_is_warned_of_too(site: Site) -> None:
    """Giving the point back to a rest of 0 is a switch-off."""
    site.rule("raise", ON, by=PLAN)
    await asyncio.sleep(1)
    site.rule("clear", ON, by=PLAN)
    await asyncio.sleep(30)
    assert written(site)[-1][1] == 80.0
    await asyncio.sleep(32)
    assert written(site)[-1] == (LAMP, 0.0, 16)


@on_site
async def test_gear_that_blinks_by_itself_is_told_to_and_a_place_given_back_under_a_claim_warns_nobody(
    site: Site,
) -> None:
    """-1 at the place that is given back, a minute, None; while a person holds the lamp the rule goes without."""
    lamp, on = "lamp-3/command", Write("lamp-3", "command", 80.0, 14)
    site.rule("raise", on, by=PLAN)
    await asyncio.sleep(1)
    site.rule("clear", on, by=PLAN)
    await asyncio.sleep(20)
    assert site.writes[-1] == (lamp, -1.0, 14)
    site.ask(lamp, "100", lasts=600_000_000)
    await asyncio.sleep(5)
    assert site.writes[-2:] == [(lamp, 100.0, 8), (lamp, None, 14)]
    await asyncio.sleep(600)
    assert site.writes[-1] == (lamp, -1.0, 8)
    await asyncio.sleep(70)
    assert site.writes[-1] == (lamp, None, 8)
    assert len(site.writes) == 6


@on_site
async def test_a_newer_claim_ends_the_warning(site: Site) -> None:
    """Somebody presses the button while it blinks: his light stays, and the switch-off is told as replaced."""
    site.rule("raise", OFF, by=PLAN)
    await asyncio.sleep(20)
    site.ask(LAMP, "100", lasts=600_000_000)
    await asyncio.sleep(120)
    assert written(site) == [*BLINK, (LAMP, 100.0, 8)]
    told = [(fields["by"], fields["reason"]) for source, fields in site.events if source == "lamp-2/command"]
    assert (PLAN, "replaced") in told


@on_site
async def test_a_switch_off_that_is_taken_back_leaves_the_light_on(site: Site) -> None:
    """Taken back in the half second of darkness: nobody is left in the dark."""
    site.rule("raise", ON, by="lamp-2/LIGHT-PRESENCE")
    await asyncio.sleep(1)
    site.rule("raise", Write("lamp-2", "command", 0.0, 12), by=PLAN)
    await asyncio.sleep(0.2)
    site.rule("clear", Write("lamp-2", "command", 0.0, 12), by=PLAN)
    await asyncio.sleep(120)
    assert written(site)[-1][1] == 80.0


@on_site
async def test_life_safety_neither_warns_nor_waits_for_a_warning(site: Site) -> None:
    """A fire's claim comes through in the middle of it, at once; a fire that switches off does not blink."""
    site.rule("raise", OFF, by=PLAN)
    await asyncio.sleep(20)
    site.rule("raise", Write("lamp-2", "command", 100.0, 1), by=FIRE)
    await asyncio.sleep(0.2)
    assert written(site)[-1] == (LAMP, 100.0, 1)
    site.rule("raise", Write("lamp-2", "command", 0.0, 1), by=FIRE)
    await asyncio.sleep(0.2)
    assert written(site)[-1] == (LAMP, 0.0, 1)


@pytest.mark.parametrize(
    ("person", "presence", "level", "priority", "wanted"),
    [
        (False, True, 80.0, 14, True),
        (False, None, 80.0, 14, True),
        (False, False, 80.0, 14, False),
        (False, True, 0.0, 14, False),
        (False, True, 80.0, 2, False),
        (True, True, 80.0, 8, False),
    ],
)
def test_who_is_warned(*, person: bool, presence: bool | None, level: float, priority: int, wanted: bool) -> None:
    """Where somebody is or may be, of what is planned and would make it dark; a person and danger warn nobody."""
    found: list[bool] = []

    @on_site
    async def look(site: Site) -> None:
        site.set(**{LAMP: level})
        if presence is not None:
            site.set(**{"lamp-2/presence": presence})
        target = site.commander._lines[LAMP].target
        claim = Claim("x", "1", 0.0, priority, 1, role="operator" if person else "linkage")
        found.append(warning.needed(target, Step(0.0, priority, claim), site.present(None)))

    look()
    assert found == [wanted]


@on_site
async def test_a_light_of_which_nothing_is_known_does_not_blink_into_the_dark(site: Site) -> None:
    """Its value is stale: there is nothing to come back to, so it stays for the minute, and goes off then."""
    site.stale.add(LAMP)
    site.rule("raise", OFF, by=PLAN)
    await asyncio.sleep(59)
    assert written(site) == []
    await asyncio.sleep(2)
    assert written(site) == [(LAMP, 0.0, 14)]


@pytest.mark.parametrize(("gear_warns", "wanted"), [(True, (-1.0, None)), (False, (False, True))])
def test_a_circuit_blinks_by_itself_only_if_its_gear_can(*, gear_warns: bool, wanted: object) -> None:
    """What is only on or off is told to warn where its gear knows how; else it is off for a moment and back."""
    on = Point(handle=0, id="circuit/on_command", device="circuit", name="on_command", type="bool", group="")
    writable = Writable.model_validate({"by": ["linkage"], "warn": {"value": -1, "for": "60s"}})
    target = Target(
        point=on, writable=writable, online=on, interlock=None, confirm=None, relinquishes=True, gear_warns=gear_warns
    )
    shown = Present(lambda _: Sample(0, 0, value=True, q=GOOD, source=None), lambda _: True)
    assert warning.blink(target, Step(value=False, priority=14), shown) == wanted
