"""Who is still told: after an old acknowledgement, in the place of another occurrence, beside a parent, at a start."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from cloud_sync.store import bundles
from cloud_sync.store.reader import StoreReader
from cloud_sync.store.sqlite import SqliteStore
from office.notify.cases import Cases
from office.notify.ladder import AT_ONCE
from office.notify.stages import Case, Routing, Step
from office.notify.worker import Notifier
from sitekeeper.model.alarm import Cause
from sitekeeper.model.clock import DAY, SECOND, ManualClock
from sitekeeper.model.command import Ack
from tests import virtual
from tests.pushing import SITE, Pushing, minutes

from .conftest import MemoryLog, ScriptedChannel, case, compose, until
from .test_told_together import LADDER, ROUTES, THREE


def test_an_acknowledgement_of_before_does_not_silence_what_comes_after_it(tmp_path: Path) -> None:
    """Acknowledged at the office, unanswered by the site, then it grows worse: pushed, and its ladder is climbed."""

    async def main() -> None:
        site = Pushing(tmp_path, LADDER, THREE)
        async with site.running():
            moved = site.move("lift-1/L01", priority="P1", latched=True)
            await minutes(1 / 6)
            site.store.add_ack(SITE, Ack("a1", moved.occurrence, "lee", "", site.clock.wall())).result()
            await minutes(1)
            site.move("lift-1/L01", Cause.REANNUNCIATE, priority="P1")
            await minutes(10)
        assert site.decisions() == ["send", "send"]
        assert [len(site.phones[name].got) for name in THREE] == [2, 2, 1]

    virtual.run(main())


def test_nobody_else_is_called_for_an_occurrence_that_another_has_replaced(tmp_path: Path) -> None:
    """The site forgets, raises anew, and that is acknowledged: the ladder of the first ends with it."""

    async def main() -> None:
        site = Pushing(tmp_path, LADDER, THREE)
        async with site.running():
            site.move("lift-1/L01", priority="P1", latched=True)
            await minutes(1)
            site.records.clear()
            site.move("lift-1/L01", priority="P1", latched=True)
            await minutes(1 / 6)
            site.move("lift-1/L01", Cause.ACK, priority="P1")
            await minutes(10)
        assert [len(site.phones[name].got) for name in THREE] == [2, 1, 0]

    virtual.run(main())


def test_what_was_held_back_of_a_chatter_is_not_told_after_what_came_in_its_place(tmp_path: Path) -> None:
    """The fourth activation waits; the fifth is urgent and pushed at once: ten minutes later nothing more comes."""

    async def main() -> None:
        site = Pushing(tmp_path, ROUTES)
        async with site.running():
            for number in range(8):
                site.move("lane-1/B06", Cause.CLEAR if number % 2 else Cause.RAISE)
                await minutes(1 / 10)
            site.move("lane-1/B06", priority="P1")
            await minutes(30)
        assert site.decisions() == ["send"] * 3 + ["condition-over", "send"]
        assert [one.priority for _, one in site.phones["desk"].got] == ["P3"] * 3 + ["P1"]

    virtual.run(main())


def test_a_child_is_told_beside_a_parent_that_is_less_urgent_or_hidden_from_it(tmp_path: Path) -> None:
    """P1 under P3 is pushed, and so is what all may know of under what only security may; P3 under P1 is not."""

    async def main() -> None:
        site = Pushing(tmp_path, "routes: {P1: [desk], P3: [desk], security: {P1: [guard]}}\n", ("desk", "guard"))
        async with site.running():
            for device, parent, priority in (
                ("door-01", "A02", "P3"),
                ("door-02", "A06", "P1"),
                ("door-03", "L01", "P1"),
            ):
                site.move(f"{device}/{parent}", priority=priority)
            site.move("door-01/A13", priority="P1", parent="A02")
            site.move("door-02/A13", priority="P3", parent="A06")
            site.move("door-03/A13", priority="P3", parent="L01")
            await minutes(1)
        assert site.decisions() == ["send"] * 5 + ["follows-from-another"]

    virtual.run(main())


async def test_a_fresh_alarm_does_not_wait_for_a_hundred_steps_that_are_due() -> None:
    """At a start a hundred steps are past due; one alarm comes with the first of them, and is pushed after eight."""
    before: list[int] = []

    class Log(MemoryLog):
        steps = 0

        async def unanswered(self, priorities: Iterable[str], now: int) -> list[Case]:
            return [case(number) for number in range(1, 101)]

        async def step(self, occurrence: str, event: str) -> Case | None:
            self.steps += 1
            fresh = case(101)
            if fresh.event_id not in self.cases:
                self.cases[fresh.event_id] = fresh
                notifier.wake()
            return None

        async def decide(self, case: Case, *rest: object) -> list[int]:
            before.append(self.steps)
            return await super().decide(case, *rest)

    log = Log()
    routing = Routing({"P1": ("desk",)}, ladder={"P1": (Step(SECOND, ("desk",)),)})
    notifier = Notifier(log, {"desk": ScriptedChannel()}, routing, compose, ManualClock())
    task = asyncio.ensure_future(notifier.run())
    try:
        await until(lambda: bool(before))
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert before == [AT_ONCE]


def test_what_nobody_has_answered_is_one_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pushed within a day, of the wanted priority, still standing: no story of another alarm is read for it."""

    async def main() -> Pushing:
        site = Pushing(tmp_path, LADDER, THREE)
        async with site.running():
            site.move("lift-2/L01", priority="P1", latched=True)
            site.move("lift-3/L01", priority="P1", latched=True, mode="watch")
            site.move("lift-4/L01", priority="P1", latched=True)
            site.move("lift-4/L01", Cause.ACK, priority="P1")
            site.move("door-00/A02")
            site.move("lift-5/L01", priority="P1", latched=True)
            await minutes(1)
            site.move("lift-5/L01", Cause.CLEAR, priority="P1")
            await minutes(1)
        return site

    site = virtual.run(main())
    asked: list[str] = []
    plain = StoreReader.ask

    def ask(reader: StoreReader, statement: str, *arguments: object) -> object:
        asked.append(statement)
        return plain(reader, statement, *arguments)

    monkeypatch.setattr(StoreReader, "ask", ask)
    monkeypatch.setattr(StoreReader, "story", None)
    now = site.clock.wall()
    found = Cases().unanswered(["P1"], now, site.store.reader)
    assert [one.occurrence.split("/")[1] for one in found] == ["lift-2", "lift-5"]
    assert Cases().unanswered(["P1"], now + DAY, site.store.reader) == []
    assert "USING INDEX transitions_by_arrival" in plan(site.store.reader, asked[0], now - DAY, "P1")


def plan(reader: StoreReader, statement: str, *arguments: object) -> str:
    return "\n".join(str(row[3]) for row in reader.ask(f"EXPLAIN QUERY PLAN {statement}", *arguments))


def test_which_floods_last_is_looked_up_in_an_index(tmp_path: Path) -> None:
    """For each digest its successor is searched, however many a site has had."""
    store = SqliteStore.open(tmp_path / "office.db", inline=True)
    asked: list[str] = []
    bundles.lasting(lambda statement: asked.append(statement) or [])
    assert "INDEX digests_of_site (site=? AND first_id>" in plan(store.reader, asked[0])
    store.close()
