"""The lists "never remote" of parking, access and lighting, on the live door: whoever asks, nothing is written.

Which points are writable at all is the class files' business (`tests/unit/edge/settings/test_never_remote.py`); here it
is about the moment: an occupied loop, a fire, an input that is not known.
"""

import asyncio

import pytest

from sitekeeper.model.clock import SECOND
from sitekeeper.model.command import Actor, Write
from sitekeeper.model.errors import Refused
from sitekeeper.model.quality import GOOD, Reason, bad
from sitekeeper.model.sample import Value

from .commands_rig import LEE, Site, on_site, refused

ENGINEER = Actor("lam", "engineer", "site")
OPEN = Write("gate-1", "hold_open", True, 1)
FREE = Write("door-1", "mode", "free", 1)


# parking: close while the safety loop or photocell is occupied, unknown, faulty or stale, or within 2 s of its clearing


@pytest.mark.parametrize(
    ("clear", "q"),
    [
        (False, GOOD),
        (None, bad(Reason.COMM)),
        (None, bad(Reason.STALE)),
        (True, bad(Reason.DEVICE_FLAGGED)),
        (True, 64),
    ],
    ids=["occupied, or clear for less than 2 s", "unknown", "stale", "faulty", "uncertain"],
)
def test_a_barrier_is_not_closed_unless_it_is_known_to_be_clear(clear: Value, q: int) -> None:
    """The interlock must be true and good; whatever else it is refuses the command, for an engineer too."""

    @on_site
    async def test(site: Site) -> None:
        site.seen({"gate-1/close_clear": (clear, q)})
        assert await refused(site, "gate-1/cmd.close", "true") == "interlock"
        assert await refused(site, "gate-1/cmd.close", "true", actor=ENGINEER) == "interlock"

    test()


@on_site
async def test_a_barrier_is_not_closed_on_an_old_reading(site: Site) -> None:
    """Clear and good, but not read lately: a value is believed only as long as somebody vouches for it."""
    site.set(**{"gate-1/close_clear": True})
    site.stale.add("gate-1/close_clear")
    assert await refused(site, "gate-1/cmd.close", "true") == "interlock"


@on_site
async def test_a_barrier_is_not_closed_when_the_interlock_was_never_read(site: Site) -> None:
    """A gateway that has just started knows nothing, and nothing is no."""
    del site.samples[site.points["gate-1/close_clear"].handle]
    assert await refused(site, "gate-1/cmd.close", "true") == "interlock"


@on_site
async def test_the_interlock_is_looked_at_again_just_before_the_write(site: Site) -> None:
    """A car that drives under the boom between question and write stops it."""
    site.set(**{"gate-1/close_clear": True})
    answer = site.ask("gate-1/cmd.close", "true")
    site.set(**{"gate-1/close_clear": False})
    result = await answer
    assert (result.outcome, result.reason, site.writes) == ("refused", "interlock", [])
    assert site.outcomes() == [("refused", "interlock")], "it was never accepted"


@on_site
async def test_the_interlock_is_looked_at_again_after_the_disk_was_waited_for(site: Site) -> None:
    """The row of the audit takes a second to become durable; what was clear before that counts no more."""
    site.set(**{"gate-1/close_clear": True})
    site.delay = 1.0
    answer = site.ask("gate-1/cmd.close", "true")
    await asyncio.sleep(0.5)
    site.set(**{"gate-1/close_clear": False})
    result = await answer
    assert (result.outcome, result.reason, site.writes) == ("refused", "interlock", [])


@on_site
async def test_a_guarded_write_that_waits_for_its_turn_is_given_up_soon(site: Site) -> None:
    """What was clear must not be long ago when the write goes out: after 1 s it is dropped."""

    async def busy(point: str, value: Value) -> None:
        await asyncio.sleep(5)

    site.set(**{"gate-1/close_clear": True})
    site.behaviour = busy
    before = site.clock.monotonic()
    assert (await site.ask("gate-1/cmd.close", "true")).outcome == "timed_out"
    assert site.clock.monotonic() - before < 1.2 * SECOND


@on_site
async def test_a_barrier_known_to_be_clear_is_closed_once(site: Site) -> None:
    """The control of the tests above: with the interlock true, good and fresh the command goes through."""
    site.set(**{"gate-1/close_clear": True})
    assert (await site.ask("gate-1/cmd.close", "true")).outcome == "confirmed"
    assert site.writes == [("gate-1/cmd.close", True, 8)]


@on_site
async def test_no_rule_closes_a_barrier(site: Site) -> None:
    """Its own automatic close does; a linkage that tries is refused and told."""
    site.set(**{"gate-1/close_clear": True})
    site.rule("raise", Write("gate-1", "cmd.close", True, 1))
    await asyncio.sleep(1)
    assert (site.writes, site.outcomes()) == ([], [("refused", "not-permitted")])


@on_site
async def test_a_fires_hold_open_is_not_overridden(site: Site) -> None:
    """While fire holds the exit open, nobody closes it, stops it, or takes the hold away."""
    site.rule("raise", OPEN)
    await asyncio.sleep(1)
    site.set(**{"gate-1/close_clear": True})
    held = list(site.writes)
    for point, value in (("gate-1/cmd.close", "true"), ("gate-1/hold_open", "false"), ("gate-1/cmd.open", "true")):
        with pytest.raises(Refused, match="life-safety"):
            site.ask(point, value, ENGINEER)
    await asyncio.sleep(20)
    assert site.writes == held
    site.rule("clear", OPEN)
    await asyncio.sleep(1)
    assert (await site.ask("gate-1/cmd.close", "true")).outcome == "confirmed", "after it, he may again"


# access: lock an egress path; relock during an active fire input


@on_site
async def test_a_door_is_never_locked_from_afar(site: Site) -> None:
    """`locked` is a mode of the device and on no list of ours: not for a person, not for a rule, at no priority."""
    assert await refused(site, "door-1/mode", "locked") == "bad-value"
    assert await refused(site, "door-1/mode", "locked", actor=ENGINEER) == "bad-value"
    site.rule("raise", Write("door-1", "mode", "locked", 1))
    await asyncio.sleep(1)
    assert (site.writes, site.outcomes()[-1]) == ([], ("refused", "bad-value"))


@on_site
async def test_a_door_freed_by_fire_is_not_relocked(site: Site) -> None:
    """Neither by a guard, nor by a schedule's rule; when the fire is over the door goes to rest by itself."""
    site.rule("raise", FREE)
    await asyncio.sleep(1)
    with pytest.raises(Refused, match="life-safety"):
        site.ask("door-1/mode", "controlled")
    site.rule("raise", Write("door-1", "mode", "controlled", 14), by="door-1/NIGHT")
    await asyncio.sleep(60)
    assert site.writes == [("door-1/mode", "free", 1)]
    site.rule("clear", FREE)
    await asyncio.sleep(1)
    assert site.writes[1:] == [("door-1/mode", "controlled", 14)]
    site.rule("clear", by="door-1/NIGHT")
    await asyncio.sleep(1)
    assert site.writes[2:] == [("door-1/mode", "controlled", 16)]


@on_site
async def test_a_door_that_was_locked_before_the_fire_stays_free_while_its_fire_is_away(site: Site) -> None:
    """The panel's line breaks during the fire: no `clear` comes, so nothing is given up."""
    site.rule("raise", FREE)
    await asyncio.sleep(2 * 3600)
    assert site.writes == [("door-1/mode", "free", 1)]
    assert LEE.role == "operator"


@on_site
async def test_nobody_holds_a_door_open_for_ever_by_one_command(site: Site) -> None:
    """A person's claim has an end, and at most twelve hours."""
    assert await refused(site, "door-1/mode", "free", lasts=13 * 3600 * SECOND) == "bad-expiry"
    assert await refused(site, "door-1/mode", "free", lasts=0) == "bad-expiry"
