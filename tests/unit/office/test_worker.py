"""The notify worker: once, until accepted, never after an acknowledgement, nothing lost over a death."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from cloud_sync.store.base import Push
from office.notify.channels import Answer
from office.notify.lane import Retry
from office.notify.stages import Routing
from office.notify.worker import Notifier
from sitekeeper.model.clock import SECOND, ManualClock
from sitekeeper.model.errors import StorageError

from .conftest import MemoryLog, ScriptedChannel, case, compose, until

SOON = Retry(first=0, most=0)
NEVER = Retry(first=3_600 * SECOND, most=3_600 * SECOND)
FAILED = Answer("failed", "500 Internal Server Error")
UNKNOWN = Answer("unknown", "no answer")


@asynccontextmanager
async def running(
    log: MemoryLog, channels: dict[str, ScriptedChannel], retry: Retry = SOON, routes: tuple[str, ...] | None = None
) -> AsyncIterator[Notifier]:
    notifier = Notifier(log, channels, Routing({"P1": routes or tuple(channels)}), compose, ManualClock(), retry)
    task = asyncio.ensure_future(notifier.run())
    try:
        yield notifier
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_an_alarm_is_sent_once_over_each_channel_with_a_row_for_each() -> None:
    """One new alarm, two channels: two messages, two accepted rows, and nothing more when woken again."""
    log, desk, chat = MemoryLog([case()]), ScriptedChannel(), ScriptedChannel()
    async with running(log, {"desk": desk, "chat": chat}) as notifier:
        await until(lambda: log.states() == ["sent", "sent"])
        for _ in range(50):
            notifier.wake()
            await asyncio.sleep(0)
    assert [len(desk.sent), len(chat.sent), len(log.rows)] == [1, 1, 2]
    assert {row.channel for row in log.rows.values()} == {"desk", "chat"}
    assert log.decisions == {1: "send: desk chat"}


async def test_the_row_stands_before_the_send() -> None:
    """While the provider has not answered, the row says `sending`; then it holds the answer and the latency."""
    log, desk = MemoryLog([case()]), ScriptedChannel()
    desk.gate = asyncio.Event()
    async with running(log, {"desk": desk}):
        await until(lambda: desk.inside == 1)
        assert log.states() == ["sending"]
        assert log.rows[1].started is not None
        desk.gate.set()
        await until(lambda: log.rows[1].state == "sent")
    assert log.rows[1].answer == "200 OK"
    assert log.rows[1].latency_ms is not None


async def test_what_is_not_sent_is_decided_once_with_its_reason() -> None:
    """A decision against a push is recorded, and no row claims a send."""
    log, desk = MemoryLog([case(acknowledged=True)]), ScriptedChannel()
    async with running(log, {"desk": desk}):
        await until(lambda: bool(log.decisions))
    assert log.decisions == {1: "already-acknowledged"}
    assert not log.rows
    assert not desk.sent


async def test_a_refusal_is_tried_again_in_a_row_of_its_own() -> None:
    """Two refusals and an acceptance: three rows, attempts 1 to 3, one event id, none a possible repeat."""
    log, desk = MemoryLog([case()]), ScriptedChannel(FAILED, FAILED)
    async with running(log, {"desk": desk}):
        await until(lambda: log.states() == ["failed", "failed", "sent"])
    assert [(r.attempt, r.possible_repeat) for r in log.rows.values()] == [(1, False), (2, False), (3, False)]
    assert len({message.event_id for message in desk.sent}) == 1


async def test_a_lost_answer_makes_the_next_attempt_a_possible_repeat() -> None:
    """After an unknown outcome the repeat says so, in the row and to the receiver, and stays so marked."""
    log, desk = MemoryLog([case()]), ScriptedChannel(UNKNOWN, FAILED)
    async with running(log, {"desk": desk}):
        await until(lambda: log.states() == ["failed", "failed", "sent"])
    assert [(r.reason, r.possible_repeat) for r in log.rows.values()] == [
        ("answer-lost", False),
        ("", True),
        ("", True),
    ]
    assert [m.possible_repeat for m in desk.sent] == [False, True, True]


async def test_an_acknowledgement_ends_the_attempts() -> None:
    """Acknowledged while an attempt fails: nothing more is sent and the next row says why."""
    given = case()
    log, desk = MemoryLog([given]), ScriptedChannel(FAILED)
    desk.gate = asyncio.Event()
    async with running(log, {"desk": desk}):
        await until(lambda: desk.inside == 1)
        log.cases[given.event_id] = replace(given, acknowledged=True)
        desk.gate.set()
        await until(lambda: log.states() == ["failed", "given-up"])
    assert len(desk.sent) == 1
    assert log.rows[2].reason == "already-acknowledged"


async def test_a_send_cut_by_death_is_repeated_once_and_marked() -> None:
    """A row left `sending` becomes failed by death; the event goes out once more, marked, with the same event id."""
    log, desk = MemoryLog([case()]), ScriptedChannel()
    begun = Push(occurrence="x", event_id=case().event_id, recipient="desk", channel="desk", state="sending", started=1)
    await log.decide(case(), "send: desk", [begun])
    async with running(log, {"desk": desk}):
        await until(lambda: log.states() == ["failed", "sent"])
    assert log.rows[1].reason == "office-died"
    assert [(m.event_id, m.attempt, m.possible_repeat) for m in desk.sent] == [(case().event_id, 2, True)]


async def test_death_between_the_two_rows_of_a_failure_costs_no_event_and_no_second_repeat() -> None:
    """The next attempt was already planned when the office died: it goes out once, marked, and no third row appears."""
    log, desk = MemoryLog([case()]), ScriptedChannel()
    begun = Push(occurrence="x", event_id=case().event_id, recipient="desk", channel="desk", state="sending", started=1)
    await log.decide(case(), "send: desk", [begun, replace(begun, state="planned", attempt=2, started=None)])
    async with running(log, {"desk": desk}):
        await until(lambda: log.states() == ["failed", "sent"])
        for _ in range(50):
            await asyncio.sleep(0)
    assert [(m.attempt, m.possible_repeat) for m in desk.sent] == [(2, True)]
    assert len(log.rows) == 2


async def test_undecided_and_planned_events_of_an_earlier_process_are_taken_up() -> None:
    """At a start, what was committed but not decided and what was decided but not begun are both sent, unmarked."""
    log, desk = MemoryLog([case(1), case(2)]), ScriptedChannel()
    await log.decide(
        case(1), "send: desk", [Push(occurrence="x", event_id=case(1).event_id, recipient="desk", channel="desk")]
    )
    async with running(log, {"desk": desk}):
        await until(lambda: log.states() == ["sent", "sent"])
    assert sorted(m.event_id for m in desk.sent) == [case(1).event_id, case(2).event_id]
    assert not any(m.possible_repeat for m in desk.sent)


async def test_a_hanging_channel_delays_no_other() -> None:
    """With every slot of one channel hanging, the other channel still gets every alarm at once."""
    log = MemoryLog([case(n) for n in range(1, 21)])
    hanging, desk = ScriptedChannel(), ScriptedChannel()
    hanging.gate = asyncio.Event()
    async with running(log, {"hanging": hanging, "desk": desk}):
        await until(lambda: len(desk.sent) == 20)
    assert hanging.most_inside == SOON.width


async def test_a_fresh_alarm_goes_before_retries() -> None:
    """When a slot becomes free, an event never tried before takes it, however many are due again."""
    log, desk = MemoryLog([case(n) for n in range(1, 4)]), ScriptedChannel(FAILED, FAILED, FAILED)
    retry = Retry(first=0, most=0, width=1)
    desk.gate = asyncio.Event()
    async with running(log, {"desk": desk}, retry):
        await until(lambda: len(log.rows) == 3)
        desk.gate.set()
        await until(lambda: len(desk.sent) >= 6)
    assert [m.attempt for m in desk.sent[:3]] == [1, 1, 1]


async def test_pauses_hold_back_the_next_attempt() -> None:
    """With a pause of an hour and no time passing, a refused event is not tried again."""
    log, desk = MemoryLog([case()]), ScriptedChannel(FAILED)
    async with running(log, {"desk": desk}, NEVER):
        await until(lambda: log.states() == ["failed", "planned"])
        for _ in range(200):
            await asyncio.sleep(0)
    assert len(desk.sent) == 1


async def test_giving_up_is_a_row_with_its_reason() -> None:
    """After the last attempt that the settings allow, a row says that it was given up."""
    log, desk = MemoryLog([case()]), ScriptedChannel(*[FAILED] * 9)
    async with running(log, {"desk": desk}, Retry(first=0, most=0, attempts=3)):
        await until(lambda: log.states() == ["failed", "failed", "failed", "given-up"])
    assert log.rows[4].reason == "gave-up"
    assert len(desk.sent) == 3


async def test_more_events_than_memory_holds_wait_in_the_store() -> None:
    """With room for four in memory, thirty events still all arrive, each once."""
    log, desk = MemoryLog([case(n) for n in range(1, 31)]), ScriptedChannel()
    async with running(log, {"desk": desk}, Retry(first=0, most=0, width=2, waiting=4)):
        await until(lambda: log.states() == ["sent"] * 30)
    assert sorted(m.event_id for m in desk.sent) == sorted(log.cases)


async def test_a_log_that_cannot_be_written_stops_the_worker() -> None:
    """Without a row nothing is sent, and the failure is not swallowed."""

    class Broken(MemoryLog):
        async def decide(self, *_: object) -> list[int]:
            raise StorageError("disk full")

    log, desk = Broken([case()]), ScriptedChannel()
    notifier = Notifier(log, {"desk": desk}, Routing({"P1": ("desk",)}), compose, ManualClock())
    with pytest.raises(ExceptionGroup) as caught:
        await notifier.run()
    assert caught.group_contains(StorageError)
    assert not desk.sent


def test_pauses_double_up_to_the_longest() -> None:
    """1, 2, 4 ... seconds, never more than a minute, for any number of attempts."""
    retry = Retry(first=SECOND, most=60 * SECOND)
    assert [retry.pause(n) // SECOND for n in (1, 2, 3, 7, 40, 10**6)] == [1, 2, 4, 60, 60, 60]
