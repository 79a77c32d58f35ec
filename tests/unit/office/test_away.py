"""GW16: told from memory while the database is away, stored on its return, one event id throughout."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.store.sqlite import SqliteStore
from office.away import AwayAlarm
from office.notify.channels import Answer
from office.notify.lane import Retry
from office.notify.log import StoreLog
from office.notify.stages import Routing, decide
from office.own_alarms import OFFICE, OwnAlarms
from sitekeeper.model.clock import SECOND, ManualClock
from sitekeeper.model.errors import StorageError

from .conftest import ScriptedChannel, case, compose, until

AFTER = 60 * SECOND
ROUTING = Routing({"P2": ("desk", "chat")})


class Gone:
    """A database that is away until it is told to be back; waiting for it takes no time."""

    def __init__(self, clock: ManualClock) -> None:
        self.away, self.since_mono = "connection refused", clock.monotonic() - AFTER
        self.held = 0

    async def returned(self, most: int | None = None) -> None:
        while self.away:
            await asyncio.sleep(0)
            if most is not None:
                return

    async def hold(self, tries: int) -> None:
        self.held += 1
        await asyncio.sleep(0)

    def back(self) -> None:
        self.away, self.since_mono = "", None


class Rig:
    def __init__(self, path: Path, *answers: Answer) -> None:
        self.clock = ManualClock(monotonic=1_000 * SECOND)
        self.store = SqliteStore.open(path / "office.db", inline=True)
        self.own = OwnAlarms(self.store, self.store.reader, self.clock, lambda: None)
        self.database: Any = Gone(self.clock)
        self.desk, self.chat = ScriptedChannel(), ScriptedChannel(*answers)
        self.alarm = AwayAlarm(
            self.database, self.store, self.own, {"desk": self.desk, "chat": self.chat}, {"P2": ("desk", "chat")},
            compose, self.clock, retry=Retry(first=0, most=0), after=AFTER, language="en",
        )  # fmt: skip


async def test_it_is_told_once_over_each_channel_and_stored_with_its_pushes(tmp_path: Path) -> None:
    """A refusal is tried again from memory; then alarm, rows and ids are in the store, and nothing goes out again."""
    rig = Rig(tmp_path, Answer("failed", "500"), Answer("failed", "500"))
    task = asyncio.ensure_future(rig.alarm.run())
    await until(lambda: (len(rig.desk.sent), len(rig.chat.sent)) == (1, 3))
    assert rig.store.undecided() == []
    rig.database.back()
    await until(lambda: len(rig.store.undecided()) == 2)
    task.cancel()
    await asyncio.wait({task})
    raised = rig.store.undecided()[0]
    [event] = {message.event_id for message in (*rig.desk.sent, *rig.chat.sent)}
    assert (raised.transition.occurrence, raised.transition.key) == (event, f"{OFFICE}/database/GW16")
    assert raised.transition.detail == "the store's database has not answered for 1 min 0 s (connection refused)"
    pushes = rig.store.reader.pushes(event)
    assert sorted((row.channel, row.state, row.attempt) for row in pushes) == [("chat", "sent", 3), ("desk", "sent", 1)]
    found = [one async for one in StoreLog(rig.store, rig.store.reader).undecided()]
    assert [str(getattr(decide(one, ROUTING), "reason", "")) for one in found] == [
        "already-sent", "not-annunciating",
    ]  # fmt: skip
    assert rig.own.record(OFFICE, "GW16").state == "D"  # type: ignore[union-attr]
    rig.store.close()


async def test_a_channel_that_took_nothing_is_left_to_the_worker(tmp_path: Path) -> None:
    """The database came back before the provider did: the push is still to be made, and will be."""
    rig = Rig(tmp_path, *[Answer("failed", "500")] * 1_000)
    task = asyncio.ensure_future(rig.alarm.run())
    await until(lambda: len(rig.desk.sent) == 1 and len(rig.chat.sent) > 3)
    rig.database.back()
    await until(lambda: len(rig.store.undecided()) == 2)
    task.cancel()
    await asyncio.wait({task})
    [first, _] = [one async for one in StoreLog(rig.store, rig.store.reader).undecided()]
    assert decide(first, ROUTING).channels == ("chat",)  # type: ignore[union-attr]
    rig.store.close()


async def test_what_is_stored_twice_is_stored_once(tmp_path: Path) -> None:
    """A commit whose answer was lost is given again: one transition, one row for each push."""
    rig = Rig(tmp_path)
    do, lost = rig.store.do, 2

    def losing(work: Any) -> Any:
        nonlocal lost
        done = do(work)
        if lost and not rig.database.away:
            lost -= 1
            done = type(done)()
            done.set_exception(StorageError("connection lost", unknown=True))
        return done

    rig.store.do = losing  # type: ignore[method-assign]
    task = asyncio.ensure_future(rig.alarm.run())
    await until(lambda: len(rig.desk.sent) == 1 and len(rig.chat.sent) == 1)
    rig.database.back()
    await until(lambda: len(rig.store.undecided()) == 2)
    task.cancel()
    await asyncio.wait({task})
    assert rig.database.held == 2
    assert len(rig.store.reader.pushes()) == 2
    rig.store.close()


async def test_the_push_log_waits_for_its_store_and_makes_no_row_twice(tmp_path: Path) -> None:
    """A decision and a row whose answer was lost are given again; without patience the worker ends, as before."""
    rig = Rig(tmp_path)
    rig.database.back()
    given = case()
    lane_row = rig.store.reader
    decide_, failing = rig.store.decide, 1

    def losing(*arguments: Any) -> Any:
        nonlocal failing
        done = decide_(*arguments)
        if failing:
            failing -= 1
            done = type(done)()
            done.set_exception(StorageError("connection lost", unknown=True))
        return done

    rig.store.decide = losing  # type: ignore[method-assign]
    from cloud_sync.store.base import Push

    row = Push(occurrence="o", event_id="e", recipient="desk", channel="desk", state="sending")
    [number] = await StoreLog(rig.store, rig.store.reader, hold=rig.database.hold).decide(given, "send: desk", [row])
    assert [one.id for one in lane_row.pushes()] == [number]
    assert rig.database.held == 1
    failing = 1
    with pytest.raises(StorageError):
        await StoreLog(rig.store, rig.store.reader).decide(given, "send: desk", [row])
    rig.store.close()
