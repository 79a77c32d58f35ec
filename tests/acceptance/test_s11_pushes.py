"""S11 at the office: fourteen faults and one entrapment in six minutes, and a contact that comes and goes."""

import re
from pathlib import Path

import pytest

from office.quality import quality
from sitekeeper.model.alarm import Cause
from sitekeeper.model.clock import MINUTE, SECOND
from tests import virtual
from tests.pushing import Pushing, minutes

ROUTES = "routes: {P1: [desk], P2: [desk], P3: [desk], P4: [desk]}\n"
STEP = 25 / 60
"""Minutes between two of the fourteen: all are there in six minutes."""


async def flood(site: Pushing) -> None:
    """Nine held doors, five dark lamps, and after the twelfth somebody is trapped."""
    for number in range(14):
        rule, priority = ("A02", "P3") if number % 3 else ("G04", "P4")
        site.move(f"door-{number:02}/{rule}", priority=priority)
        if number == 11:
            await minutes(STEP / 2)
            site.move("lift-1/L01", priority="P1", latched=True)
            await minutes(STEP / 2)
        else:
            await minutes(STEP)


def counts(body: str) -> dict[str, int]:
    """Return how many of which rule a digest tells."""
    return {rule: int(count) for count, rule in re.findall(r"^(\d+) x .* \((\w+), P\d\)$", body, re.MULTILINE)}


def test_a_flood_begins_with_the_eleventh_and_the_entrapment_is_pushed_alone_within_two_seconds(tmp_path: Path) -> None:
    """Ten singly, then one digest; P1 at once; one digest every 10 min and one at the end; nothing is decided twice."""

    async def main() -> None:
        site = Pushing(tmp_path, ROUTES)
        async with site.running():
            begun = site.clock.monotonic()
            await flood(site)
            await minutes(30)
        desk = site.phones["desk"].got
        digests = [(at, one) for at, one in desk if one.rule == "FLOOD"]
        single = [(at, one) for at, one in desk if one.rule != "FLOOD"]
        assert [one.rule for _, one in single[:10]] == ["G04", "A02", "A02"] * 3 + ["G04"]
        assert len(single) == 11
        trapped, message = single[10]
        assert (message.rule, message.priority) == ("L01", "P1")
        raised = site.moves[12].mono - site.moves[0].mono + begun
        assert trapped - raised < 2 * SECOND
        eleventh = site.moves[10].mono - site.moves[0].mono + begun
        assert [one.cause for _, one in digests] == ["begun", "over"]
        assert digests[0][0] - eleventh < 2 * SECOND
        assert counts(digests[0][1].body) == {"A02": 7, "G04": 4}
        assert counts(digests[1][1].body) == {"A02": 9, "G04": 5, "L01": 1}
        assert all("First: Lamp dark (G04), Door 0 (door-00)" in one.body for _, one in digests)
        assert site.decisions() == ["send"] * 10 + ["flood"] * 2 + ["send"] + ["flood"] * 2
        fifth_from_last = site.moves[10].mono - site.moves[0].mono + begun
        assert 0 <= digests[1][0] - (fifth_from_last + 10 * MINUTE) < 2 * SECOND

    virtual.run(main())


def test_the_figures_of_the_flood_equal_a_count_by_hand(tmp_path: Path) -> None:
    """15 annunciations in 6 min of an hour, two of them acknowledged after 1 and 3 min."""

    async def main() -> None:
        site = Pushing(tmp_path, ROUTES)
        start = site.clock.wall()
        async with site.running():
            await flood(site)
            site.move("lift-1/L01", Cause.ACK, priority="P1")
            site.move("door-13/A02", Cause.ACK)
            await minutes(1)
        acked = site.clock.wall() - MINUTE
        found = quality(site.store.reader, [site.moves[0].key.partition("/")[0]], start, start + 60 * MINUTE, {})
        waits = sorted([acked - site.moves[12].at, acked - site.moves[14].at])
        assert (found.annunciated, found.most, found.floods) == (15, 15, 1)
        assert found.average == pytest.approx(2.5)
        assert found.over == pytest.approx(1 / 6)
        assert found.in_flood == 10 * MINUTE  # from the eleventh until the fifth from the end is ten minutes old
        assert found.priorities == {"P1": 1, "P2": 0, "P3": 9, "P4": 5}
        assert (found.acknowledged, found.ack_median, found.ack_p90) == (2, *waits)
        assert (found.stale, found.chattering, found.fleeting) == ((), {}, {})
        assert len(found.top) == 10

    virtual.run(main())


def test_a_contact_that_comes_and_goes_is_pushed_twice_then_once_in_ten_minutes(tmp_path: Path) -> None:
    """A loop toggles every 8 s for 5 min: the third push says so, the last one follows 10 min later; all are kept."""

    async def main() -> None:
        site = Pushing(tmp_path, ROUTES)
        async with site.running():
            for number in range(38):
                site.move("lane-1/B06", Cause.CLEAR if number % 2 else Cause.RAISE)
                await minutes(8 / 60)
            await minutes(30)
        desk = [one for _, one in site.phones["desk"].got if one.rule == "B06"]
        assert len(desk) == 4
        assert ["comes and goes" in one.body for one in desk] == [False, False, True, True]
        decisions = site.decisions()
        assert len(decisions) == 19
        assert decisions.count("send") == 4
        at = [when for when, one in site.phones["desk"].got if one.rule == "B06"]
        assert 0 <= at[3] - at[2] - 10 * MINUTE < 2 * SECOND

    virtual.run(main())
