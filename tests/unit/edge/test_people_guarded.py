"""What people may do less than rules: which priorities, how long off, in view of the place, and by two."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from edge.operations import points
from sitekeeper.model.clock import HOUR, MINUTE
from sitekeeper.model.command import Actor, Write
from sitekeeper.model.errors import Refused

from .commands_rig import LEE, Site, on_site, refused

WONG = Actor("wong", "operator", "site")
SEEN = Actor("seen", "viewer", "site")


@on_site
async def test_a_person_claims_at_eight_to_sixteen_only(site: Site) -> None:
    """What is stronger is for dangers, tests and rules."""
    for priority in (0, 1, 2, 3, 5, 7, 17):
        assert await refused(site, "lamp-1/command", "60", priority=priority) == "bad-priority"
    for priority in (8, 16):
        assert (await site.ask("lamp-1/command", "60", priority=priority)).outcome == "confirmed"


@on_site
async def test_a_way_out_is_dark_by_hand_for_a_quarter_of_an_hour_at_most(site: Site) -> None:
    """Off for longer is refused; dimmed may be as long as anything else."""
    assert await refused(site, "lamp-1/command", "0", lasts=15 * MINUTE + 1) == "off-too-long"
    assert (await site.ask("lamp-1/command", "0", lasts=15 * MINUTE)).outcome == "confirmed"
    assert (await site.ask("lamp-1/command", "20", lasts=HOUR)).outcome == "confirmed"


@on_site
async def test_a_barrier_is_closed_by_somebody_who_says_that_he_sees_it(site: Site) -> None:
    """However clear it is; and who sees it still does not close it while it is not known to be clear."""
    assert await refused(site, "gate-1/cmd.close", "true") == "interlock"
    site.set(**{"gate-1/close_clear": True})
    assert await refused(site, "gate-1/cmd.close", "true", in_view=False) == "not-in-view"
    assert (await site.ask("gate-1/cmd.close", "true")).outcome == "confirmed"


@on_site
async def test_a_door_is_opened_for_some_seconds(site: Site) -> None:
    """A pulse with a value: 1 to 30 s, seen by its lock whatever was written, done once."""
    for seconds in ("0", "31", "nan", "always"):
        assert await refused(site, "door-1/unlock.pulse", seconds) == "bad-value"
    assert (await site.ask("door-1/unlock.pulse", "5")).outcome == "confirmed"
    await asyncio.sleep(60)
    assert site.writes == [("door-1/unlock.pulse", 5.0, 8)]
    assert site.commander.report()["standing"] == 0


@on_site
async def test_a_door_is_held_open_by_two(site: Site) -> None:
    """Nothing is written before another person agrees; then it is the first one's command, and the row has both."""
    answer = site.ask("door-2/mode", "free", key="k", lasts=HOUR)
    await asyncio.sleep(60)
    assert (site.commander.waits("k"), site.writes, answer.done()) == (True, [], False)
    assert await site.commander.approve(WONG, "k") == await answer
    assert ((await answer).outcome, site.writes) == ("confirmed", [("door-2/mode", "free", 8)])
    assert {(row.user, row.note) for row in site.rows} == {("lee", "test (wong agreed)")}
    assert not site.commander.waits("k")
    with pytest.raises(Refused, match="waits for nobody"):
        site.commander.approve(WONG, "k")


AGREES: list[tuple[Actor, str]] = [
    (LEE, "same-person"), (Actor("LEE ", "engineer", "site"), "same-person"), (SEEN, "not-permitted"),
]  # fmt: skip


@pytest.mark.parametrize(("second", "why"), AGREES)
def test_not_everybody_may_agree(second: Actor, why: str) -> None:
    """Not the one who asked, however his name is spelt, nor who could not ask; it is told, and the request waits on."""

    @on_site
    async def test(site: Site) -> None:
        answer = site.ask("door-2/mode", "free", key="k")
        with pytest.raises(Refused) as error:
            site.commander.approve(second, "k")
        assert error.value.reason == why
        assert [(row.user, row.outcome, row.reason) for row in site.rows] == [(second.name, "refused", why)]
        assert (site.commander.waits("k"), answer.done(), site.writes) == (True, False, [])
        site.commander.approve(WONG, "k")
        assert (await answer).outcome == "confirmed"

    test()


@on_site
async def test_a_request_that_nobody_agrees_to_lapses(site: Site) -> None:
    """After two minutes it is refused, which is told, and nobody can agree to it any more."""
    answer = site.ask("door-2/mode", "free", key="k")
    await asyncio.sleep(119)
    assert not answer.done()
    await asyncio.sleep(2)
    assert ((await answer).outcome, (await answer).reason) == ("refused", "second-needed")
    assert site.outcomes() == [("refused", "second-needed")]
    with pytest.raises(Refused):
        site.commander.approve(WONG, "k")
    assert site.writes == []


@on_site
async def test_what_has_become_forbidden_is_not_agreed_to(site: Site) -> None:
    """The guard is asked again when the second person agrees: there is a fire by now."""
    answer = site.ask("door-2/mode", "free", key="k")
    site.rule("raise", Write("door-2", "mode", "free", 1))
    await asyncio.sleep(1)
    with pytest.raises(Refused, match="holds door-2"):
        site.commander.approve(WONG, "k")
    assert (await answer).reason == "life-safety"


@on_site
async def test_requests_for_two_are_bounded_and_the_same_key_is_one(site: Site) -> None:
    """Asked again with its key it is the same request; of too many at once the last is refused."""
    first = site.ask("door-2/mode", "free", key="k0")
    assert site.ask("door-2/mode", "free", key="k0") is first
    for n in range(1, 32):
        site.ask("door-2/mode", "free", key=f"k{n}")
    assert await refused(site, "door-2/mode", "free", key="more") == "busy"
    site.commander.stop()
    assert (await first).reason == "second-needed"


@on_site
async def test_an_order_of_the_office_brings_its_second_person_along(site: Site) -> None:
    """Two people signed it there (`edge.commands.orders`), so it does not wait on site once more."""
    more: dict[str, Any] = {"actor": Actor("ann", "operator", "office"), "in_view": False}
    assert (await site.ask("door-2/mode", "free", **more)).outcome == "confirmed"


async def said(operation: AsyncIterator[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(item["outcome"], item["reason"]) async for item in operation]


@on_site
async def test_both_persons_see_what_becomes_of_it(site: Site) -> None:
    """`point.write` says that it waits and for what key, and both it and `point.approve` end with the outcome."""
    latest = SimpleNamespace(find=site.points.__getitem__)
    gateway: Any = SimpleNamespace(commander=site.commander, pipeline=SimpleNamespace(latest=latest))
    asked = {"id": "door-2/mode", "value": "free", "reason": "removal", "key": "k"}
    write, approve = (points.operations(gateway)[f"point.{name}"] for name in ("write", "approve"))
    first = asyncio.create_task(said(write(LEE, asked)))  # type: ignore[arg-type]
    await asyncio.sleep(1)
    assert await said(approve(LEE, {"id": "k"})) == [("refused", "same-person")]  # type: ignore[arg-type]
    assert await said(approve(WONG, {"id": "k"})) == [("accepted", ""), ("confirmed", "")]  # type: ignore[arg-type]
    assert await first == [("waiting", ""), ("confirmed", "")]
    close = {"id": "gate-1/cmd.close", "value": "true", "reason": "test"}
    assert await said(write(LEE, close)) == [("refused", "not-in-view")]  # type: ignore[arg-type]
    assert await said(write(LEE, {**close, "in_view": True})) == [("refused", "interlock")]  # type: ignore[arg-type]
