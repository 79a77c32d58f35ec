"""Commands on their way: one write, the read-back, what is told; outages, restarts, and who comes before whom."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from edge.commands import audit
from sitekeeper.model.clock import HOUR, SECOND
from sitekeeper.model.command import Actor, Write
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, FieldError, LinkDown, NotFound, ReplyMismatch
from sitekeeper.model.sample import Value
from tests import virtual

from .commands_rig import FIRE, LEE, Site, on_site, refused, running, verdict

FREE = Write("door-1", "mode", "free", 1)
HOLD = Write("gate-1", "hold_open", True, 1)


def silent_at_first(site: Site, fault: FieldError | None = None) -> Callable[[str, Value], Awaitable[None]]:
    """Return the behaviour of devices that obey, but for the first write, which fails."""

    async def behaviour(point: str, value: Value) -> None:
        if len(site.writes) == 1:
            raise fault or DeviceSilent("no answer", endpoint="x")
        await site.obey(point, value)

    return behaviour


@on_site
async def test_a_command_is_written_once_confirmed_and_told_twice(site: Site) -> None:
    """Accepted and confirmed: two events, two rows of the audit with user, reason and value, one write at 8."""
    result = await site.ask("door-1/mode", "free", reason="delivery", key="k1")
    assert (result.outcome, site.writes) == ("confirmed", [("door-1/mode", "free", 8)])
    assert site.events == [
        (
            "door-1/command",
            {"id": "k1", "point": "mode", "value": "free", "priority": 8, "by": "lee", "outcome": o, "reason": ""},
        )
        for o in ("accepted", "confirmed")
    ]
    assert [(r.user, r.role, r.operation, r.target, r.outcome, r.note, r.ack_id, r.value) for r in site.rows] == [
        ("lee", "operator", "write", "door-1/mode", outcome, "delivery", "k1", "free")
        for outcome in ("accepted", "confirmed")
    ]


@on_site
async def test_what_a_person_claims_ends_by_itself_and_the_point_goes_to_rest(site: Site) -> None:
    """After its 10 s a freed door is controlled again, and that is told."""
    await site.ask("door-1/mode", "free")
    await asyncio.sleep(9.5)
    assert site.writes == [("door-1/mode", "free", 8)]
    await asyncio.sleep(1)
    assert site.writes[1:] == [("door-1/mode", "controlled", 16)]
    assert site.outcomes()[-1] == ("released", "")
    assert site.state == {}, "nothing of it is left to be remembered"


@on_site
async def test_the_same_key_gets_the_same_answer_and_writes_nothing_twice(site: Site) -> None:
    """Asked again while it is under way, afterwards, or after a refusal; but the key is good for that command only."""
    first, second = site.ask("door-1/mode", "free", key="k"), site.ask("door-1/mode", "free", key="k")
    assert await first == await second
    assert await site.ask("door-1/mode", "free", key="k") == await first
    assert len(site.writes) == 1
    assert await refused(site, "door-1/mode", "controlled", key="k") == "key-reused"
    assert await refused(site, "gate-1/cmd.close", "true", key="c") == "interlock"
    site.set(**{"gate-1/close_clear": True})
    assert await refused(site, "gate-1/cmd.close", "true", key="c") == "interlock", "the answer is the first one"


@on_site
async def test_a_key_is_known_after_a_restart(site: Site) -> None:
    """From the audit: an outcome is the same; of one that was only accepted, nobody knows."""
    await site.ask("door-1/mode", "free", key="done")
    records = [audit.encode(row) for row in site.rows]
    again = site.made(audit.commands(records), ())
    site.commander = again
    assert (await site.ask("door-1/mode", "free", key="done")).outcome == "confirmed"
    site.commander = site.made(audit.commands(records[:1]), ())
    result = await site.ask("door-1/mode", "free", key="done")
    assert (result.outcome, result.reason) == ("unconfirmed", "gateway-restarted")
    assert len(site.writes) == 1


FAULTS: list[tuple[Exception, str, str]] = [
    (DeviceSilent("no answer", endpoint="e"), "timed_out", "no-answer"),
    (LinkDown("gone", endpoint="e"), "timed_out", "no-answer"),
    (DeviceRefused("no", exception_code=4, endpoint="e"), "refused", "device-refused"),
    (ReplyMismatch("other", endpoint="e"), "unconfirmed", "mismatch"),
    (NotFound("no such point"), "refused", "cannot-hold"),
    (ValueError("too large"), "refused", "cannot-hold"),
]


@pytest.mark.parametrize(("fault", "outcome", "reason"), FAULTS)
def test_what_goes_wrong_with_a_write_has_a_name(fault: Exception, outcome: str, reason: str) -> None:
    """Each way in which a driver fails is one outcome; the person's claim does not outlive it."""

    async def fails(point: str, value: Value) -> None:
        if value == "free":
            raise fault

    @on_site
    async def test(site: Site) -> None:
        site.behaviour = fails
        result = await site.ask("door-1/mode", "free")
        assert (result.outcome, result.reason) == (outcome, reason)
        await asyncio.sleep(30)
        assert [value for _, value, _ in site.writes].count("free") == 1
        assert site.commander.report()["standing"] == 0
        undone = [value for _, value, _ in site.writes].count("controlled")
        assert undone == (outcome != "refused"), "what may have been done is undone"

    test()


@on_site
async def test_a_device_that_hangs_is_given_up_and_an_unseen_effect_is_unconfirmed(site: Site) -> None:
    """Neither waits for ever: a write has its limit, and so has the read-back."""

    async def hangs(point: str, value: Value) -> None:
        await asyncio.sleep(3600)

    async def ignores(point: str, value: Value) -> None:
        return

    site.behaviour = hangs
    began = virtual.virtual_loop().now
    assert (await site.ask("door-1/mode", "free", lasts=HOUR)).outcome == "timed_out"
    assert virtual.virtual_loop().now - began <= 11 * SECOND
    site.behaviour = ignores
    await asyncio.sleep(60)
    began = virtual.virtual_loop().now
    result = await site.ask("door-1/mode", "free", lasts=HOUR)
    assert (result.outcome, result.reason) == ("unconfirmed", "not-seen")
    assert 5 * SECOND <= virtual.virtual_loop().now - began < 6 * SECOND


@on_site
async def test_an_expired_command_is_dropped(site: Site) -> None:
    """One that waits for its turn longer than it is good for is never written, and that is told."""
    gate = asyncio.Event()

    async def slow(point: str, value: Value) -> None:
        await gate.wait()

    site.behaviour = slow
    first = site.ask("door-1/mode", "free", lasts=8 * SECOND)
    await asyncio.sleep(0.1)
    second = site.ask("door-1/mode", "free", Actor("wong", "operator", "site"), lasts=SECOND)
    await asyncio.sleep(3)
    gate.set()
    site.behaviour = site.obey
    assert (await second).outcome in ("timed_out", "refused")
    assert (await second).reason in ("expired", "outranked")
    await first
    await asyncio.sleep(20)
    assert [value for _, value, _ in site.writes].count("free") == 1


@on_site
async def test_a_command_that_expires_before_its_row_is_durable_is_not_written(site: Site) -> None:
    """Not one byte goes out for it, even to a device that would take it at once."""

    async def swift(point: str, value: Value) -> None:
        return

    site.behaviour, site.delay = swift, 1.5
    result = await site.ask("door-1/mode", "free", lasts=SECOND)
    assert (result.outcome, result.reason) == ("timed_out", "expired")
    assert ("door-1/mode", "free", 8) not in site.writes


@on_site
async def test_a_rule_claims_while_its_condition_holds(site: Site) -> None:
    """Fire frees the door at 1; when it is over, the door goes back to rest."""
    site.rule("raise", FREE)
    await asyncio.sleep(60)
    assert site.writes == [("door-1/mode", "free", 1)]
    assert site.outcomes() == [("accepted", ""), ("confirmed", "")]
    assert {row.user for row in site.rows} == {FIRE}
    site.rule("clear", FREE)
    await asyncio.sleep(1)
    assert site.writes[1:] == [("door-1/mode", "controlled", 16)]
    assert site.outcomes()[-1] == ("released", "")


@on_site
async def test_the_stronger_claim_is_written_and_the_weaker_one_comes_back(site: Site) -> None:
    """A door freed by hand for an hour, then by a rule: its end leaves it as the hand wanted it, then at rest."""
    free = Write("door-1", "mode", "free", 3)
    await site.ask("door-1/mode", "free", lasts=HOUR)
    site.rule("raise", free)
    await asyncio.sleep(1)
    site.rule("clear", free)
    await asyncio.sleep(1)
    assert site.writes == [("door-1/mode", "free", 8), ("door-1/mode", "free", 3), ("door-1/mode", "free", 8)]
    assert ("released", "") not in site.outcomes()
    await asyncio.sleep(3600)
    assert site.writes[3:] == [("door-1/mode", "controlled", 16)]


@on_site
async def test_a_newer_winner_replaces_a_pending_command(site: Site) -> None:
    """A fire that begins while a person's command waits for its effect is written at once; his is told as replaced."""

    async def deaf(point: str, value: Value) -> None:
        return

    site.behaviour = deaf
    await asyncio.sleep(0)
    person = site.ask("door-1/mode", "free", lasts=HOUR)
    await asyncio.sleep(1)
    site.behaviour = site.obey
    site.rule("raise", FREE)
    result = await person
    assert (result.outcome, result.reason) == ("unconfirmed", "replaced")
    await asyncio.sleep(1)
    assert site.writes[-1] == ("door-1/mode", "free", 1)


@on_site
async def test_a_command_that_a_fire_overtakes_is_dropped_for_good(site: Site) -> None:
    """It waited behind another write when the fire began: it is refused, and not done when the fire is over."""

    async def slow(point: str, value: Value) -> None:
        await asyncio.sleep(3)
        await site.obey(point, value)

    site.behaviour = slow
    first = site.ask("door-1/mode", "free", lasts=HOUR)
    await asyncio.sleep(1)
    second = site.ask("door-1/mode", "controlled", Actor("wong", "operator", "site"), lasts=HOUR)
    site.rule("raise", FREE)
    assert ((await first).outcome, (await second).reason) == ("confirmed", "life-safety")
    await asyncio.sleep(10)
    site.rule("clear")
    await asyncio.sleep(60)
    assert ("door-1/mode", "controlled", 8) not in site.writes


@on_site
async def test_a_device_with_priorities_is_relinquished_at_each_of_ours(site: Site) -> None:
    """BACnet keeps sixteen slots: what was written at 8 and at 3 is given up there, and no rest is written."""
    await site.ask("lamp-1/command", "60", lasts=HOUR)
    site.rule("raise", Write("lamp-1", "command", 100.0, 3))
    await asyncio.sleep(1)
    site.rule("clear")
    await asyncio.sleep(3700)
    assert site.writes == [
        ("lamp-1/command", 60.0, 8), ("lamp-1/command", 100.0, 3), ("lamp-1/command", 60.0, 8),
        ("lamp-1/command", None, 3), ("lamp-1/command", None, 8),
    ]  # fmt: skip


@on_site
async def test_a_person_is_refused_while_the_device_is_away_and_it_is_never_done_later(site: Site) -> None:
    """Commands are not queued across an outage."""
    site.set(**{"door-1/online": False})
    assert await refused(site, "door-1/mode", "free") == "device-offline"
    site.set(**{"door-1/online": True})
    await asyncio.sleep(60)
    assert site.writes == []


@on_site
async def test_a_rules_claim_waits_for_a_device_that_is_away(site: Site) -> None:
    """It stands, is told once as unconfirmed and shown as such, and is written when the device is back."""
    site.set(**{"door-1/online": False})
    site.behaviour = silent_at_first(site)
    site.rule("raise", FREE)
    await asyncio.sleep(60)
    assert (len(site.writes), site.outcomes()) == (1, [("unconfirmed", "device-offline")]), "tried once, in a fire"
    report = site.commander.report()
    assert report["unsettled"] == [
        {"point": "door-1/mode", "by": FIRE, "outcome": "unconfirmed", "reason": "device-offline"}
    ]
    site.set(**{"door-1/online": True})
    await asyncio.sleep(1)
    assert site.writes == [("door-1/mode", "free", 1)] * 2
    assert site.commander.report()["unsettled"] == []


@on_site
async def test_in_a_fire_a_device_that_missed_a_reading_is_written_to_all_the_same(site: Site) -> None:
    """After those that answer; what came of it is told when the device answers again. A lesser claim waits."""
    site.set(**{"lamp-1/online": False, "gate-1/online": False})
    site.rule("raise", Write("lamp-1", "command", 100.0, 1), FREE)
    site.rule("raise", Write("gate-1", "hold_open", True, 14), by="clock/OPENING-HOURS")
    await asyncio.sleep(1)
    assert [point for point, *_ in site.writes] == ["door-1/mode", "lamp-1/command"]
    assert site.outcomes("lamp-1/command") == [("unconfirmed", "device-offline")]
    site.set(**{"lamp-1/online": True})
    await asyncio.sleep(1)
    assert site.outcomes("lamp-1/command")[1:] == [("confirmed", "")]
    site.rule("clear")
    await asyncio.sleep(1)
    assert ("lamp-1/command", None, 1) in site.writes


@pytest.mark.parametrize(
    "fault", [DeviceSilent("nobody listens", endpoint="x"), DeviceRefused("busy", exception_code=6, endpoint="x")]
)
def test_one_lost_write_does_not_keep_a_door_locked_in_a_fire(fault: FieldError) -> None:
    """The device was never away, so nothing else would ever bring it up again: it is tried until it is seen to hold."""

    @on_site
    async def test(site: Site) -> None:
        site.behaviour = silent_at_first(site, fault)
        site.rule("raise", FREE)
        await asyncio.sleep(5)
        assert site.writes == [("door-1/mode", "free", 1)] * 2
        assert site.outcomes()[-1] == ("confirmed", "")
        await asyncio.sleep(600)
        assert len(site.writes) == 2

    test()


@on_site
async def test_a_door_that_cannot_be_freed_is_tried_ever_more_rarely(site: Site) -> None:
    """A lock that does not obey must not fill its link or the audit."""

    async def ignores(point: str, value: Value) -> None:
        return

    site.behaviour = ignores
    site.rule("raise", FREE)
    await asyncio.sleep(600)
    assert 8 <= len(site.writes) <= 20
    assert site.commander.report()["unsettled"][0]["reason"] == "not-seen"


@on_site
async def test_a_way_out_that_closes_by_itself_in_a_fire_is_opened_again(site: Site) -> None:
    """A controller that started anew between two readings forgot it; that is told, and mended."""
    site.rule("raise", HOLD)
    await asyncio.sleep(5)
    site.set(**{"gate-1/hold_open": False, "gate-1/lane.state": "closed"})
    await asyncio.sleep(5)
    assert site.writes == [("gate-1/hold_open", True, 1)] * 2
    assert site.outcomes()[-3:] == [("unconfirmed", "not-seen"), ("accepted", ""), ("confirmed", "")]


@on_site
async def test_a_boom_that_is_up_for_a_car_is_not_held_open(site: Site) -> None:
    """A barrier comes back from an outage just as a car passes: it is not taken for one that obeyed."""
    site.behaviour = silent_at_first(site)
    site.set(**{"gate-1/online": False})
    site.rule("raise", HOLD)
    await asyncio.sleep(10)
    site.set(**{"gate-1/lane.state": "open"})
    site.set(**{"gate-1/online": True})
    await asyncio.sleep(1)
    assert site.writes == [("gate-1/hold_open", True, 1)] * 2


@on_site
async def test_a_lamp_that_is_full_for_another_reason_is_claimed_all_the_same(site: Site) -> None:
    """Its schedule may dim it the next minute."""
    site.behaviour = silent_at_first(site)
    site.set(**{"lamp-1/level": 100.0, "lamp-1/command": 100.0, "lamp-1/online": False})
    site.rule("raise", Write("lamp-1", "command", 100.0, 3))
    await asyncio.sleep(1)
    site.set(**{"lamp-1/online": True})
    await asyncio.sleep(1)
    assert site.writes == [("lamp-1/command", 100.0, 3)]


@on_site
async def test_a_door_that_could_not_be_bound_is_tried_again_though_it_was_never_away(site: Site) -> None:
    """One lost write must not leave it free for ever after the fire."""
    site.rule("raise", FREE)
    await asyncio.sleep(1)
    site.writes.clear()
    site.behaviour = silent_at_first(site)
    site.rule("clear")
    await asyncio.sleep(10)
    assert site.writes == [("door-1/mode", "controlled", 16)] * 2
    assert site.outcomes()[-2:] == [("timed_out", "no-answer"), ("released", "")]


@on_site
async def test_a_standing_claim_is_written_once_more_after_an_outage_if_it_does_not_hold(site: Site) -> None:
    """A door that lost it with its power gets it again; one that kept it is left alone."""
    site.rule("raise", FREE)
    await asyncio.sleep(1)
    site.set(**{"door-1/online": False})
    await asyncio.sleep(1)
    site.set(**{"door-1/online": True})
    await asyncio.sleep(10)
    assert len(site.writes) == 1
    site.set(**{"door-1/online": False})
    await asyncio.sleep(1)
    site.set(**{"door-1/lock.state": "locked", "door-1/online": True})
    await asyncio.sleep(10)
    assert site.writes == [("door-1/mode", "free", 1)] * 2


@on_site
async def test_a_point_that_could_not_be_given_back_is_given_back_after_the_outage(site: Site) -> None:
    """A door must not stay free because it was away when the fire ended."""
    site.rule("raise", FREE)
    await asyncio.sleep(1)
    site.set(**{"door-1/online": False})
    site.rule("clear")
    await asyncio.sleep(60)
    assert len(site.writes) == 1
    assert site.commander.report()["unsettled"], "and until then it shows"
    site.set(**{"door-1/online": True})
    await asyncio.sleep(1)
    assert site.writes[1:] == [("door-1/mode", "controlled", 16)]
    assert site.outcomes()[-1] == ("released", "")


@on_site
async def test_claims_survive_a_restart(site: Site) -> None:
    """A person's with what is left of its time, a rule's if it still stands; what ended meanwhile is given back."""
    await site.ask("door-1/mode", "free", lasts=60 * SECOND)
    site.rule("raise", Write("lamp-1", "command", 100.0, 1))
    site.rule("raise", Write("gate-1", "hold_open", True, 1), by="fire-1/FIRE-GATES")
    await asyncio.sleep(10)
    assert len(site.writes) == 3
    site.commander.stop()
    site.commander = site.made({}, [verdict("raise", Write("lamp-1", "command", 100.0, 1))])
    async with running(site):
        site.set(**{f"{device}/online": True for device in ("door-1", "gate-1", "lamp-1")})
        await asyncio.sleep(5)
        assert site.writes[3:] == [("gate-1/hold_open", False, 16)], "its rule is not active any more"
        assert site.outcomes("gate-1/hold_open")[-1] == ("released", "")
        await asyncio.sleep(60)
        assert site.writes[4:] == [("door-1/mode", "controlled", 16)]
        assert site.commander.report()["standing"] == 1


@on_site
async def test_what_a_killed_process_left_behind_is_given_back_once(site: Site) -> None:
    """It was killed while a command was on its way: the next start undoes it, the one after does nothing."""

    async def deaf(point: str, value: Value) -> None:
        return

    site.behaviour = deaf
    site.ask("door-1/mode", "free")
    await asyncio.sleep(1)
    site.commander.stop()  # what is stored now has no claim, and that something of ours may stand in the device
    site.behaviour = site.obey
    for _ in range(2):
        site.commander = site.made({}, ())
        async with running(site):
            site.set(**{"door-1/online": True})
            await asyncio.sleep(5)
    assert site.writes == [("door-1/mode", "free", 8), ("door-1/mode", "controlled", 16)]
    assert site.state == {}


@on_site
async def test_a_stop_tells_what_was_under_way(site: Site) -> None:
    """Nobody waits for an answer that will not come, and the next start knows what to give back."""

    async def deaf(point: str, value: Value) -> None:
        return

    site.behaviour = deaf
    answer = site.ask("door-1/mode", "free")
    await asyncio.sleep(1)
    site.commander.stop()
    assert (await answer).reason == "gateway-stopped"
    assert site.outcomes()[-1] == ("unconfirmed", "gateway-stopped")
    assert site.state.keys() == {"~claims/door-1/mode"}


@on_site
async def test_what_cannot_be_recorded_is_not_done_for_a_person_but_for_a_fire(site: Site) -> None:
    """A full disk must not keep a door locked in a fire; a person's command without its row is not carried out."""
    site.refuses = True
    result = await site.ask("door-1/mode", "free")
    assert (result.outcome, result.reason, site.writes) == ("refused", "not-recorded", [])
    site.rule("raise", FREE)
    await asyncio.sleep(1)
    assert site.writes == [("door-1/mode", "free", 1)]
    assert site.commander.report()["counts"]["unrecorded"] > 0


@on_site
async def test_a_row_that_does_not_become_durable_stops_a_persons_command(site: Site) -> None:
    """The disk hangs: after 2 s he is told so, and nothing was written."""
    site.durable = False
    result = await site.ask("door-1/mode", "free")
    assert (result.outcome, result.reason, site.writes) == ("refused", "not-recorded", [])


@on_site
async def test_a_pulse_leaves_nothing_behind(site: Site) -> None:
    """It acts once: no claim, no rest, nothing after an outage or a restart."""
    assert (await site.ask("gate-1/cmd.open", "true")).outcome == "confirmed"
    site.rule("raise", Write("gate-1", "cmd.open", True, 14), by="x/Y")
    await asyncio.sleep(1)
    site.rule("clear", by="x/Y")
    site.set(**{"gate-1/online": False})
    site.set(**{"gate-1/online": True})
    await asyncio.sleep(60)
    assert site.writes == [("gate-1/cmd.open", True, 8), ("gate-1/cmd.open", True, 14)]
    assert (site.state, site.commander.report()["standing"]) == ({}, 0)


@on_site
async def test_a_rules_pulse_for_a_device_that_is_away_is_dropped(site: Site) -> None:
    """A barrier that comes back after an hour must not open for a car of an hour ago."""
    site.set(**{"gate-1/online": False})
    site.rule("raise", Write("gate-1", "cmd.open", True, 14), by="x/Y")
    await asyncio.sleep(1)
    site.set(**{"gate-1/online": True})
    await asyncio.sleep(60)
    assert (site.writes, site.outcomes()) == ([], [("timed_out", "device-offline")])


@on_site
async def test_points_do_not_wait_for_each_other(site: Site) -> None:
    """A door that hangs keeps no other device from its command."""
    never = asyncio.Event()

    async def one_hangs(point: str, value: Value) -> None:
        if point == "door-1/mode":
            await never.wait()
        await site.obey(point, value)

    site.behaviour = one_hangs
    site.rule("raise", FREE, Write("lamp-1", "command", 100.0, 1), Write("gate-1", "hold_open", True, 1))
    await asyncio.sleep(1)
    assert site.outcomes("lamp-1/command")[-1] == site.outcomes("gate-1/hold_open")[-1] == ("confirmed", "")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"point": "door-1/mode", "value": "free", "reason": " "}, "reason-needed"),
        ({"point": "door-1/mode", "value": "free", "lasts": 0}, "bad-expiry"),
        ({"point": "door-1/mode", "value": "free", "lasts": 13 * HOUR}, "bad-expiry"),
        ({"point": "door-1/mode", "value": "free", "priority": 1}, "bad-priority"),
        ({"point": "door-1/mode", "value": "ajar"}, "bad-value"),
        ({"point": "gate-1/cmd.open", "value": "false"}, "bad-value"),
        ({"point": "gate-1/cmd.open", "value": "yes"}, "bad-value"),
        ({"point": "lamp-1/command", "value": "101"}, "bad-value"),
        ({"point": "lamp-1/command", "value": "nan"}, "bad-value"),
        ({"point": "door-1/mode", "value": "free", "actor": Actor("v", "viewer", "site")}, "not-permitted"),
        ({"point": "door-1/mode", "value": "free", "actor": Actor("o", "office", "office")}, "not-permitted"),
        ({"point": "gate-1/cmd.close", "value": "true", "actor": Actor("lee", "operator", "office")}, "site-only"),
    ],
)
def test_what_may_not_be_is_refused_told_and_never_written(asked: dict[str, Any], reason: str) -> None:
    """Each refusal is an event and a row of the audit, with its reason."""

    @on_site
    async def test(site: Site) -> None:
        assert await refused(site, **asked) == reason
        assert site.outcomes() == [("refused", reason)]
        assert [(row.outcome, row.reason) for row in site.rows] == [("refused", reason)]

    test()


@on_site
async def test_a_point_that_is_only_read_is_refused_and_the_attempt_is_told(site: Site) -> None:
    """The allow-list is the only list; who tries something else stands in the audit."""
    assert await refused(site, "door-1/lock.state", "unlocked") == "not-writable"
    assert [(row.user, row.target, row.reason) for row in site.rows] == [
        (LEE.name, "door-1/lock.state", "not-writable")
    ]
