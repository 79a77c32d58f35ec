"""Floods, chatter, children, security and the ladder over a real store, in virtual time, and over any death."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cloud_sync.store.base import Chatter, Digest
from office.notify.bundles import Bundles
from office.notify.ladder import AT_ONCE, Ladder
from office.notify.stages import Case, Step
from sitekeeper.model.alarm import Cause, alarm_key, occurrence_id
from sitekeeper.model.clock import DAY, MINUTE, SECOND
from sitekeeper.model.command import Ack
from tests import virtual
from tests.pushing import SITE, Pushing, catalogue, minutes

from .conftest import case, transition

ROUTES = "routes: {P1: [desk], P2: [desk], P3: [desk], P4: [desk]}\n"
LADDER = (
    "routes: {P1: [desk]}\nladder: {P1: [{after: 30s, channels: [second]}, {after: 3min, channels: [boss, second]}]}\n"
)
T0 = 1_800_000_000 * SECOND
THREE = ("desk", "second", "boss")


def of_ladder(tmp_path: Path, *what: Any, steps: float = 10) -> dict[str, list[str]]:
    """Raise an entrapment, do things to it after given minutes, and return what came over each channel."""

    async def main() -> dict[str, list[str]]:
        site = Pushing(tmp_path, LADDER, THREE)
        async with site.running():
            site.move("lift-1/L01", priority="P1", latched=False)
            for after, cause in what:
                await minutes(after)
                site.move("lift-1/L01", cause, priority="P1")
            await minutes(steps)
        return {name: [one.partition("#")[2] for one in phone.events()] for name, phone in site.phones.items()}

    return virtual.run(main())


def test_nobody_answers_and_the_next_ones_are_called(tmp_path: Path) -> None:
    """After 30 s the second contact, after 3 min boss and second: each step an event of its own, each once."""
    assert of_ladder(tmp_path) == {"desk": [""], "second": ["1", "2"], "boss": ["2"]}


def test_an_acknowledgement_ends_the_ladder(tmp_path: Path) -> None:
    """Acknowledged on site after a minute: the step at 30 s was made, the one at 3 min is not."""
    assert of_ladder(tmp_path, (1, Cause.ACK)) == {"desk": [""], "second": ["1"], "boss": []}


def test_a_pending_acknowledgement_of_the_office_ends_the_ladder(tmp_path: Path) -> None:
    """The site has not answered yet, and nobody else is called all the same."""

    async def main() -> None:
        site = Pushing(tmp_path, LADDER, THREE)
        async with site.running():
            moved = site.move("lift-1/L01", priority="P1", latched=True)
            await minutes(0.25)
            site.store.add_ack(SITE, Ack("a1", moved.occurrence, "lee", "", site.clock.wall())).result()
            await minutes(10)
        assert [len(site.phones[name].got) for name in THREE] == [1, 0, 0]

    virtual.run(main())


def test_a_clear_ends_the_ladder_of_an_alarm_that_no_latch_holds(tmp_path: Path) -> None:
    """Over after 10 s: nobody else is called. Over but latched: people are still missing an answer, so they are."""
    assert of_ladder(tmp_path, (1 / 6, Cause.CLEAR)) == {"desk": [""], "second": [], "boss": []}

    async def latched() -> None:
        (tmp_path / "latched").mkdir()
        site = Pushing(tmp_path / "latched", LADDER, THREE)
        async with site.running():
            site.move("lift-1/L01", priority="P1", latched=True)
            await minutes(1 / 6)
            site.move("lift-1/L01", Cause.CLEAR, priority="P1")
            await minutes(5)
        assert [len(site.phones[name].got) for name in THREE] == [1, 2, 1]

    virtual.run(latched())


def test_the_ladder_goes_on_where_it_was_after_a_death(tmp_path: Path) -> None:
    """Killed after the first step, dark until long after the second was due: that one comes at the start, each once."""

    async def main() -> None:
        site = Pushing(tmp_path, LADDER, THREE)
        async with site.running():
            site.move("lift-1/L01", priority="P1", latched=True)
            await minutes(1)
        await minutes(7)
        async with site.running():
            await minutes(5)
        async with site.running():
            await minutes(5)
        assert [len(site.phones[name].got) for name in THREE] == [1, 2, 1]
        assert [one.possible_repeat for phone in site.phones.values() for _, one in phone.got] == [False] * 4

    virtual.run(main())


def test_a_ladder_that_is_full_asks_the_store_again() -> None:
    """More steps than memory holds are not lost: it says that it wants filling as soon as there is room."""
    ladder = Ladder({"P1": (Step(SECOND, ("desk",)),)})
    assert ladder.wants_filling
    ladder.fill([replace(case(number), committed=number * SECOND) for number in range(1, 10_003)])
    assert ladder.spilled
    assert not ladder.wants_filling
    taken = list(iter(lambda: len(ladder.due(6_000 * SECOND)), 0))
    assert (sum(taken), max(taken)) == (5_999, AT_ONCE)
    assert ladder.wants_filling


async def flood(site: Pushing, count: int = 16) -> None:
    for number in range(count):
        site.move(f"door-{number:02}/A02")
        await minutes(1 / 4)


def test_a_flood_that_goes_on_is_told_every_ten_minutes(tmp_path: Path) -> None:
    """Four in a minute for 25 min: begun, that it goes on, over; every alarm is counted once, and again at the end."""

    async def main() -> None:
        site = Pushing(tmp_path, ROUTES)
        async with site.running():
            await flood(site, 100)
            await minutes(30)
        digests = [one for _, one in site.phones["desk"].got if one.rule == "FLOOD"]
        assert [one.cause for one in digests] == ["begun", "going-on", "going-on", "going-on", "over"]
        assert len({one.event_id for one in digests}) == 5
        told = [int(line.split(" x ")[0]) for one in digests for line in one.body.splitlines() if " x " in line]
        assert (told[0], sum(told[:4]), told[4]) == (11, 100, 100)
        at = [when for when, one in site.phones["desk"].got if one.rule == "FLOOD"]
        assert [round((b - a) / MINUTE, 1) for a, b in pairwise(at[:4])] == [10.0] * 3

    virtual.run(main())


def test_a_flood_that_ends_while_the_office_is_dark_is_over_at_its_start(tmp_path: Path) -> None:
    """Killed in the flood and back after an hour: a digest says that all sixteen are over; the next is pushed alone."""

    async def main() -> None:
        site = Pushing(tmp_path, ROUTES)
        async with site.running():
            await flood(site)
        await minutes(60)
        async with site.running():
            await minutes(1)
            site.move("door-29/A02")
            await minutes(1)
        desk = [one for _, one in site.phones["desk"].got]
        assert [one.cause for one in desk] == ["raise"] * 10 + ["begun", "over", "raise"]
        assert "16 x Door held open" in desk[-2].body

    virtual.run(main())


def test_what_was_stored_while_the_office_was_dark_is_told_as_if_it_had_been_there(tmp_path: Path) -> None:
    """Workers take in sixteen alarms while nobody pushes: ten singly, one digest and its end, though decided late."""

    async def main() -> None:
        site = Pushing(tmp_path, ROUTES)
        await flood(site)
        await minutes(30)
        async with site.running():
            await minutes(1)
        assert site.decisions() == ["send"] * 10 + ["flood"] * 6
        assert sorted(one.cause for _, one in site.phones["desk"].got) == ["begun", "over"] + ["raise"] * 10

    virtual.run(main())


def test_a_clock_set_back_ends_a_flood(tmp_path: Path) -> None:
    """A wall that jumps a year back must not keep faults back for a year."""

    async def main() -> None:
        site = Pushing(tmp_path, ROUTES)
        async with site.running():
            await flood(site, 12)
            site.clock.step_wall(-365 * 24 * 60 * MINUTE)
            await minutes(1)
            site.move("door-29/A02")
            await minutes(1)
        assert site.phones["desk"].got[-1][1].device == "door-29"

    virtual.run(main())


def runs(folder: Path, last: int) -> tuple[list[str], list[str], int]:
    """Return decisions, accepted events and the number of marked repeats, with a death after the write `last`."""

    async def main() -> tuple[list[str], list[str], int]:
        folder.mkdir()
        site = Pushing(folder, ROUTES)
        async with site.running(last):
            for number in range(8):
                site.move("lane-1/B06", Cause.CLEAR if number % 2 else Cause.RAISE)
                await minutes(1 / 10)
            await flood(site, 12)
        async with site.running():
            await minutes(25)
        got = [one for _, one in site.phones["desk"].got]
        return site.decisions(), [one.event_id for one in got], sum(one.possible_repeat for one in got)

    return virtual.run(main())


def test_no_death_loses_a_digest_or_sends_one_twice_unmarked(tmp_path: Path) -> None:
    """Killed right after any write: the same decisions, every event delivered, a second time only when marked."""
    whole, events, _ = runs(tmp_path / "whole", -1)
    assert Counter(whole) == {"send": 10, "flood": 6}
    assert len(set(events)) == len(events)
    for last in range(1, 41, 5):
        decisions, got, marked = runs(tmp_path / f"dies-{last}", last)
        assert decisions == whole, last
        assert set(got) == set(events), last
        assert len(got) - len(set(got)) <= marked <= 1, last


def test_a_worker_whose_clock_is_ahead_lets_nothing_out_early() -> None:
    """Taken in a second ahead of the office's clock: it waits its ten minutes all the same; set back by a day not."""
    one = Chatter(key="hq/lane-1/B06", told=T0, held=7)
    assert Bundles(chatters=[one]).due(T0 - SECOND) == []
    assert Bundles(chatters=[one]).due(T0 + 10 * MINUTE - 1) == []
    for now in (T0 + 10 * MINUTE, T0 - DAY):
        bundles = Bundles(chatters=[one])
        assert bundles.due(now) == [one]
        assert bundles.due(now) == []


def test_what_only_security_may_know_goes_nowhere_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A duress alarm reaches the channels under `security` alone; neither a flood nor a log counts or names it."""

    async def main() -> None:
        site = Pushing(tmp_path, "routes: {P1: [desk], P3: [desk], security: {P1: [guard]}}\n", ("desk", "guard"))
        async with site.running():
            site.move("door-00/A06", priority="P1")
            await flood(site, 12)
            await minutes(30)
        assert [one.rule for _, one in site.phones["guard"].got] == ["A06"]
        assert "A06" not in str(site.phones["desk"].got)
        assert "Duress" not in str(site.phones["desk"].got)
        digest = next(one for _, one in site.phones["desk"].got if one.cause == "begun")
        assert "11 x Door held open" in digest.body

    virtual.run(main())
    logged = capsys.readouterr().out
    assert "door-00/A02" in logged
    assert "A06" not in logged
    assert "guard" not in logged


def test_without_a_channel_of_security_nobody_is_told_and_a_rule_once_secret_stays_so(tmp_path: Path) -> None:
    """The decision says why; a newer catalogue without the rule does not make its alarms known."""

    async def main() -> None:
        site = Pushing(tmp_path, ROUTES)
        async with site.running():
            site.move("door-00/A06", priority="P1")
            await minutes(1)
            site.know(catalogue(secret=()))
            site.move("door-01/A06", priority="P1")
            await minutes(1)
        assert site.decisions() == ["not-for-this-channel"] * 2
        assert site.phones["desk"].got == []

    virtual.run(main())


def test_the_ladder_of_a_secret_alarm_stays_with_security(tmp_path: Path) -> None:
    """A step calls those of its channels that are security's for this priority, and nobody else."""

    async def main() -> None:
        settings = (
            "routes: {P1: [desk], security: {P1: [desk, second]}}\n"
            "ladder: {P1: [{after: 30s, channels: [second, boss]}]}\n"
        )
        site = Pushing(tmp_path, settings, THREE)
        async with site.running():
            site.move("door-00/A06", priority="P1", latched=True)
            await minutes(5)
        assert [len(site.phones[name].got) for name in THREE] == [1, 2, 0]

    virtual.run(main())


def test_a_child_is_not_pushed_while_its_parent_stands(tmp_path: Path) -> None:
    """The doors' release beside the fire is no second message; once the fire is over it is one of its own."""

    async def main() -> None:
        site = Pushing(tmp_path, ROUTES)
        async with site.running():
            site.move("panel-1/F01", priority="P1")
            site.move("panel-1/A13", priority="P1", parent="F01")
            await minutes(1)
            site.move("panel-1/F01", Cause.CLEAR, priority="P1")
            site.move("panel-2/A13", priority="P1", parent="F01")
            await minutes(1)
        assert site.decisions() == ["send", "follows-from-another", "send"]

    virtual.run(main())


def test_a_drill_is_pushed_to_nobody_and_makes_no_flood(tmp_path: Path) -> None:
    """Twenty alarms of a drill: none pushed, and the real one after them comes alone."""

    async def main() -> None:
        site = Pushing(tmp_path, ROUTES)
        async with site.running():
            for number in range(20):
                site.move(f"door-{number:02}/A02", mode="drill")
            site.move("door-29/A02")
            await minutes(1)
        assert site.decisions() == ["drill"] * 20 + ["send"]
        assert len(site.phones["desk"].got) == 1

    virtual.run(main())


def test_what_is_held_back_of_a_chatter_is_not_lost_over_a_long_darkness(tmp_path: Path) -> None:
    """Killed while the last activation waits for its ten minutes, back after an hour: it is pushed then, once."""

    async def main() -> None:
        site = Pushing(tmp_path, ROUTES)
        async with site.running():
            for number in range(8):
                site.move("lane-1/B06", Cause.CLEAR if number % 2 else Cause.RAISE)
                await minutes(1 / 10)
        await minutes(60)
        async with site.running():
            await minutes(30)
        async with site.running():
            await minutes(30)
        assert site.decisions() == ["send"] * 4
        assert site.phones["desk"].events() == [one.occurrence for one in site.moves if one.cause is Cause.RAISE]

    virtual.run(main())


@pytest.mark.parametrize("lang", ["en", "zh-Hant", "zh-Hans"])
def test_a_digest_is_in_words_of_every_language_and_within_its_bytes(tmp_path: Path, lang: str) -> None:
    """Forty rules with long names: the counts that find no room go, the event id stays."""
    from office.notify.roundup_text import message
    from office.notify.stages import Roundup
    from office.notify.text import MAX_BYTES
    from tests.unit.office.test_text import ROW, msg_catalogue

    first = transition(key="hq/lift-a1/R01", priority="P3")
    told = {(f"R{n:02}", "P3"): n for n in range(1, 41)}
    digest = Digest(
        event_id="hq/gateway/FLOOD@office-7#1", site="hq", kind="begun", at=1_800_000_000_000_000, first_id=1,
        after_id=0, upto_id=40,
    )  # fmt: skip
    made = message(
        Roundup(digest=digest, first=first, told=told),
        ROW,
        msg_catalogue("r" * 200, "d" * 200, "s" * 50),
        lang,
        {"P3"},
    )
    assert "office.push" not in made.title + made.body
    assert len(made.title.encode()) + 1 + len(made.body.encode()) <= MAX_BYTES
    assert made.body.endswith(digest.event_id)
    assert (made.priority, made.device, made.rule) == ("P3", "gateway", "FLOOD")
    assert alarm_key("hq", "gateway", "FLOOD") == made.occurrence.partition("@")[0]
    assert occurrence_id("hq/gateway/FLOOD", "office", 7) == made.occurrence


def test_a_step_of_the_ladder_says_that_nobody_has_answered() -> None:
    """Within the first forty characters, and in the body which step it is."""
    from office.notify.text import GLANCE, message
    from tests.unit.office.test_text import CATALOGUE, ROW, trapped

    step: Case = replace(trapped(), step=2, event_id="e#2")
    made = message(step, ROW, CATALOGUE, "en", 0)
    assert "(no answer)" in made.title[:GLANCE]
    assert "step 2" in made.body
    assert made.event_id == "e#2"
