"""What a rule may say beside `write`: until the reset, one after another, for so long, and that nothing is written."""

import asyncio
from typing import Final

from sitekeeper.model.clock import HOUR, MINUTE, SECOND
from sitekeeper.model.command import Write
from sitekeeper.model.errors import DeviceSilent
from sitekeeper.model.sample import Value

from .commands_rig import FIRE, LEE, Site, on_site, refused, running, verdict

FREE: Final = tuple(Write(f"door-{n}", "mode", "free", 1) for n in (1, 2, 3))
HOLD: Final = Write("gate-1", "hold_open", True, 5)
GAS: Final = "gas-1/GAS-ZONE"
RELOCKED: Final = [(f"door-{n}/mode", "controlled", 16) for n in (1, 2, 3)]


@on_site
async def test_a_claim_until_the_reset_outlives_the_clear(site: Site) -> None:
    """The condition's end changes nothing; the alarm's reset, which comes as a clear of its own, gives it up."""
    site.rule("raise", *FREE, until="reset")
    await asyncio.sleep(5)
    site.rule("clear", *FREE, until="reset")
    await asyncio.sleep(60)
    assert len(site.writes) == 3
    site.rule("clear", *FREE)
    await asyncio.sleep(2)
    assert sorted(site.writes[3:]) == RELOCKED


@on_site
async def test_staggered_claims_end_one_after_another(site: Site) -> None:
    """Doors relock by device id, 2 s apart; the reset need not say so again."""
    site.rule("raise", *FREE[::-1], until="reset", stagger=2 * SECOND)
    await asyncio.sleep(5)
    site.rule("clear", *FREE)
    for count in (1, 2, 3):
        await asyncio.sleep(1)
        assert site.writes[3:] == RELOCKED[:count]
        await asyncio.sleep(1)
    assert site.state == {}


@on_site
async def test_a_fire_that_comes_back_stops_the_relocking(site: Site) -> None:
    """A door that was still to be given up stays free."""
    site.rule("raise", *FREE, stagger=10 * SECOND)
    await asyncio.sleep(5)
    site.rule("clear", *FREE)
    await asyncio.sleep(5)
    site.rule("raise", *FREE, stagger=10 * SECOND)
    await asyncio.sleep(60)
    assert site.writes.count(RELOCKED[0]) == 1
    assert RELOCKED[1] not in site.writes
    assert [site.samples[site.points[f"door-{n}/mode"].handle].value for n in (1, 2, 3)] == ["free"] * 3


@on_site
async def test_relocking_goes_on_after_a_restart(site: Site) -> None:
    """The gateway is gone after the first door: the others relock in their turn, not at once and not never."""
    site.rule("raise", *FREE, stagger=10 * SECOND)
    await asyncio.sleep(5)
    site.rule("clear", *FREE)
    await asyncio.sleep(1)
    site.commander.stop()
    site.commander = site.made({}, ())
    async with running(site):
        for count in (1, 2, 3):
            await asyncio.sleep(5)
            assert [write for write in site.writes if write in RELOCKED] == RELOCKED[:count]
            await asyncio.sleep(5)


@on_site
async def test_a_kill_between_the_reset_and_the_first_door_changes_nothing(site: Site) -> None:
    """The reset is on the disk and the claims are as they were: after the restart doors relock one by one."""
    site.rule("raise", *FREE, until="reset", stagger=10 * SECOND)
    await asyncio.sleep(5)
    site.commander.stop()
    site.commander = site.made({}, ())
    async with running(site):
        for count in (1, 2, 3):
            await asyncio.sleep(5)
            assert [write for write in site.writes if write in RELOCKED] == RELOCKED[:count]
            await asyncio.sleep(5)


@on_site
async def test_a_lost_write_and_a_late_door_relock_all_the_same(site: Site) -> None:
    """A door that does not take it is told again, one that is away when it is back; the others keep their turn."""
    site.rule("raise", *FREE, until="reset", stagger=10 * SECOND)
    await asyncio.sleep(5)
    site.set(**{"door-3/online": False})
    lost: list[str] = []

    async def lose_the_first(point: str, value: Value) -> None:
        if not lost:
            lost.append(point)
            raise DeviceSilent("lost", endpoint="door-1")
        await site.obey(point, value)

    site.behaviour = lose_the_first
    site.rule("clear", *FREE)
    await asyncio.sleep(60)
    taken = [write for write in site.writes if write in RELOCKED]
    assert [taken.count(write) for write in RELOCKED] == [2, 1, 0]
    site.set(**{"door-3/online": True})
    await asyncio.sleep(1)
    assert RELOCKED[2] in site.writes
    assert [site.samples[site.points[f"door-{n}/mode"].handle].value for n in (1, 2, 3)] == ["controlled"] * 3
    assert site.state == {}


@on_site
async def test_a_rules_claim_may_end_before_its_condition(site: Site) -> None:
    """With `for` it ends by itself, and neither time nor a restart makes it anew; the next raise does."""
    site.rule("raise", HOLD, ends=MINUTE)
    await asyncio.sleep(59)
    assert [value for _, value, _ in site.writes] == [True]
    await asyncio.sleep(2)
    assert [value for _, value, _ in site.writes] == [True, False]
    site.commander.stop()
    site.commander = site.made({}, [verdict("raise", HOLD, ends=MINUTE)])
    async with running(site):
        await asyncio.sleep(60)
        assert len(site.writes) == 2
        site.rule("clear", HOLD, ends=MINUTE)
        site.rule("raise", HOLD, ends=MINUTE)
        await asyncio.sleep(1)
        assert [value for _, value, _ in site.writes] == [True, False, True]


@on_site
async def test_life_safety_ends_what_people_claim_of_the_device(site: Site) -> None:
    """On every point of it; what a person held is released for good, and he is told why."""
    await site.ask("gate-1/hold_open", "true", lasts=HOUR)
    site.rule("raise", Write("gate-1", "cmd.open", True, 1))
    await asyncio.sleep(5)
    assert ("gate-1/hold_open", False, 16) in site.writes
    assert ("released", "life-safety") in site.outcomes("gate-1/hold_open")
    site.rule("clear")
    await asyncio.sleep(HOUR / SECOND)
    assert [value for point, value, _ in site.writes if point == "gate-1/hold_open"] == [True, False]


@on_site
async def test_a_fire_leaves_nothing_of_a_hand_behind(site: Site) -> None:
    """A door that is freed by hand and then by fire is controlled after the fire, whatever time the hand had left."""
    await site.ask("door-1/mode", "free", lasts=HOUR)
    site.rule("raise", FREE[0])
    await asyncio.sleep(5)
    site.rule("clear", FREE[0])
    await asyncio.sleep(5)
    assert site.writes == [("door-1/mode", "free", 8), ("door-1/mode", "free", 1), RELOCKED[0]]


@on_site
async def test_what_a_person_asked_for_is_not_written_once_a_fire_has_begun(site: Site) -> None:
    """It was accepted and waited for the disk, on another point of the device than the fire's."""
    site.delay = 1.0
    close = site.ask("gate-1/hold_open", "true", lasts=HOUR)
    await asyncio.sleep(0.1)
    site.rule("raise", Write("gate-1", "cmd.open", True, 1))
    assert (await close).outcome == "refused"
    assert all(point != "gate-1/hold_open" or value is False for point, value, _ in site.writes)


@on_site
async def test_nothing_is_written_where_a_rule_forbids_it(site: Site) -> None:
    """Not for a person, a schedule or a fire; the claims stand meanwhile, and are carried out when it is over."""
    lamp = Write("lamp-1", "command", 100.0, 1)
    site.rule("raise", by=GAS, forbids=("lamp-1",))
    assert await refused(site, "lamp-1/command", "60") == "forbidden"
    site.rule("raise", Write("lamp-1", "command", 30.0, 14), by="clock/LIGHTS")
    site.rule("raise", lamp, FREE[0])
    await asyncio.sleep(120)
    assert site.writes == [("door-1/mode", "free", 1)]
    assert site.outcomes("lamp-1/command")[-1] == ("refused", "forbidden")
    assert len(site.outcomes("lamp-1/command")) < 5, "told, and not again and again"
    site.rule("clear", by=GAS)
    await asyncio.sleep(1)
    assert site.writes[1:] == [("lamp-1/command", 100.0, 1)]


@on_site
async def test_a_point_is_not_even_given_back_where_a_rule_forbids_it(site: Site) -> None:
    """Giving up is switching too: it waits for the end of the ban."""
    site.rule("raise", Write("lamp-1", "command", 30.0, 14), by="clock/LIGHTS")
    await asyncio.sleep(1)
    site.rule("raise", by=GAS, forbids=("lamp-1",))
    site.rule("clear", by="clock/LIGHTS")
    await asyncio.sleep(300)
    assert len(site.writes) == 1
    site.rule("clear", by=GAS)
    await asyncio.sleep(1)
    assert site.writes[1:] == [("lamp-1/command", None, 14)]


@on_site
async def test_a_write_that_waits_for_its_turn_is_stopped_by_a_ban(site: Site) -> None:
    """The link was busy when the gas came: the frame that waited is not sent any more."""
    sent: list[Value] = []

    async def queued(point: str, value: Value) -> None:
        await asyncio.sleep(3)
        sent.append(value)
        await site.obey(point, value)

    site.behaviour = queued
    answer = site.ask("lamp-1/command", "60", lasts=MINUTE)
    await asyncio.sleep(1)
    site.rule("raise", by=GAS, forbids=("lamp-1",))
    assert ((await answer).outcome, (await answer).reason) == ("timed_out", "forbidden")
    await asyncio.sleep(60)
    assert sent == []


@on_site
async def test_two_bans_end_with_the_second_and_a_restart_ends_none(site: Site) -> None:
    """Two detectors over one lamp: it may be switched when both have cleared; a ban stands at the next start."""
    for by in (GAS, "gas-2/GAS-ZONE"):
        site.rule("raise", by=by, forbids=("lamp-1",))
    site.rule("clear", by=GAS)
    assert await refused(site, "lamp-1/command", "60") == "forbidden"
    site.commander.stop()
    site.commander = site.made({}, [verdict("raise", by="gas-2/GAS-ZONE", forbids=("lamp-1",))])
    async with running(site):
        assert await refused(site, "lamp-1/command", "60") == "forbidden"
        site.rule("clear", by="gas-2/GAS-ZONE")
        assert (await site.ask("lamp-1/command", "60")).outcome == "confirmed"


@on_site
async def test_a_machine_of_the_gateway_holds_and_gives_up_like_a_rule(site: Site) -> None:
    """A horn that sounds for 10 s at priority 10: it ends by itself, or when it is given up."""
    site.commander.hold("local/horn", Write("lamp-1", "command", 100.0, 10), site.clock.monotonic() + 10 * SECOND)
    await asyncio.sleep(11)
    assert site.writes == [("lamp-1/command", 100.0, 10), ("lamp-1/command", None, 10)]
    site.commander.hold("local/horn", Write("lamp-1", "command", 100.0, 10))
    await asyncio.sleep(60)
    site.commander.give_up("local/horn")
    await asyncio.sleep(1)
    assert site.writes[2:] == site.writes[:2]
    assert site.state == {}


@on_site
async def test_a_machine_can_ask_whether_its_claim_would_be_carried_out(site: Site) -> None:
    """Not on a device that is away or forbidden, not under a stronger claim, not what nobody may write there."""
    able, on = site.commander.able, Write("lamp-1", "command", 100.0, 10)
    assert able(on)
    assert [able(Write("lamp-1", "command", 101.0, 10)), able(Write("lamp-1", "level", 1.0, 10))] == [False, False]
    site.set(**{"lamp-1/online": False})
    assert not able(on)
    site.set(**{"lamp-1/online": True})
    site.rule("raise", by=GAS, forbids=("lamp-1",))
    assert not able(on)
    site.rule("clear", by=GAS)
    site.commander.hold("local/horn", on)
    assert able(on)
    site.ask("lamp-1/command", "50", lasts=HOUR)
    await asyncio.sleep(1)
    assert not able(on), "a person holds it at 8"


@on_site
async def test_what_a_machine_does_once_is_guarded_told_and_never_repeated(site: Site) -> None:
    """It acts at 5, once; while the device is away, forbidden or needed by a fire it is refused, and not done later."""
    result = await site.commander.act("tests/cellar", "lamp-1/test", True)
    assert (result.outcome, site.writes) == ("confirmed", [("lamp-1/test", True, 5)])
    assert [(row.user, row.target, row.outcome) for row in site.rows] == [
        ("tests/cellar", "lamp-1/test", outcome) for outcome in ("accepted", "confirmed")
    ]
    site.set(**{"lamp-1/online": False})
    assert (await site.commander.act("tests/cellar", "lamp-1/test", True)).reason == "device-offline"
    site.set(**{"lamp-1/online": True})
    site.rule("raise", by=GAS, forbids=("lamp-1",))
    assert (await site.commander.act("tests/cellar", "lamp-1/test", True)).reason == "forbidden"
    site.rule("clear", by=GAS)
    site.rule("raise", Write("lamp-1", "command", 100.0, 1))
    await asyncio.sleep(1)
    assert (await site.commander.act("tests/cellar", "lamp-1/test", True)).reason == "life-safety"
    assert (await site.commander.act("tests/cellar", "door-1/mode", "free")).reason == "not-writable"
    await asyncio.sleep(60)
    assert [point for point, *_ in site.writes].count("lamp-1/test") == 1
    assert site.outcomes("lamp-1/test")[2:] == [
        ("refused", "device-offline"), ("refused", "forbidden"), ("refused", "life-safety"),
    ]  # fmt: skip


@on_site
async def test_nobody_by_hand_does_what_only_a_machine_does(site: Site) -> None:
    """A test of an emergency lamp is started by the gateway's own runner, not by `sk point write`."""
    assert await refused(site, "lamp-1/test", "true", actor=LEE) == "not-permitted"
    assert FIRE not in site.commander.forbidden
