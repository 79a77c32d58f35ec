"""What a site sends out of its history: only what was receipted, politely, and it says what is gone."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cloud_sync.history import MOST, History
from cloud_sync.pace import Pace
from cloud_sync.uplink_records import UplinkLimits
from cloud_sync.wire import MAX_ABSENT, Resend
from sitekeeper.model.clock import SECOND, SystemClock
from tests.unit.cloud_sync.material import EPOCH, SITE, Source, payload


class Session:
    """Takes every block."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []

    async def publish(self, topic: str, data: bytes, *, retain: bool = False) -> int:
        assert not retain
        self.sent.append((topic, data))
        await asyncio.sleep(0)
        return 0


def source(receipted: int, more: int = 0) -> Source:
    made = Source()
    made.add("samples", receipted + more)
    made.release(EPOCH, [("samples", 1, receipted)])
    return made


def history(of: Source, rate: int = 10**9) -> History:
    pace = Pace(UplinkLimits(backfill_rate=rate))
    return History(SITE, of, pace, SystemClock())


@contextmanager
def serving(made: History, session: Session) -> Iterator[None]:
    task = asyncio.create_task(made.run(session))  # type: ignore[arg-type]
    try:
        yield
    finally:
        task.cancel()


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_only_what_has_a_receipt_is_history() -> None:
    """Of 1 to 9 the blocks 7 to 9 wait for their first receipt: they come by themselves and are not sent twice."""
    made, session = history(source(6, 3)), Session()
    made.want(Resend(EPOCH, "samples", 4, 9))
    with serving(made, session):
        await until(lambda: made.sent == 3)
    assert session.sent == [(f"sitekeeper/1/{SITE}/up/samples", payload("samples", n)) for n in (4, 5, 6)]
    assert made.absent == ()


async def test_what_is_gone_is_answered_in_few_ranges() -> None:
    """Purged blocks become one range each; another epoch is gone as a whole; the answers are bounded."""
    of, session = source(9), Session()
    for sequence in (1, 2, 5, 6):
        del of.blocks["samples"][sequence]
    of.next_sequence = lambda stream: 10  # type: ignore[method-assign, assignment]
    made = history(of)
    made.want(Resend(EPOCH, "samples", 1, 9))
    made.want(Resend("e0", "events", 3, 8))
    with serving(made, session):
        await until(lambda: made.sent == 5)
    assert set(made.absent) == {
        Resend(EPOCH, "samples", 1, 2),
        Resend(EPOCH, "samples", 5, 6),
        Resend("e0", "events", 3, 8),
    }
    for number in range(100):
        made.want(Resend(f"old-{number}", "events", 1, 2))
        made.want(Resend(EPOCH, "samples", 1, number % 9 + 1))
    assert len(made.absent) == MAX_ABSENT
    assert len(made._wanted) <= MOST


async def test_an_alarm_that_waits_stops_history_and_its_rate_is_that_of_backfill() -> None:
    """Nothing goes while an alarm has no receipt; a rate of one sample in a while lets one block through."""
    of, session = source(5), Session()
    of.add("alarms")
    made = history(of)
    made.want(Resend(EPOCH, "samples", 1, 5))
    with serving(made, session):
        for _ in range(50):
            await asyncio.sleep(0)
        assert session.sent == []
        of.release(EPOCH, [("alarms", 1, 1)])
        await until(lambda: made.sent == 5)
    slow, session = history(source(5), rate=1), Session()
    slow.want(Resend(EPOCH, "samples", 1, 5))
    with serving(slow, session):
        await until(lambda: slow.sent == 1 and slow._wanted == deque())
        for _ in range(50):
            await asyncio.sleep(0)
    assert slow.sent == 1
    owed = slow._pace.owes()
    assert owed is not None
    assert owed > SECOND


async def test_what_was_saved_of_an_earlier_epoch_is_history_too() -> None:
    """Blocks of another file are sent as they are, released or not; what was not saved of it is answered."""
    of, session = source(3), Session()
    of.salvaged = dict  # type: ignore[attr-defined]
    of.read_salvaged = lambda epoch, stream, n: b"old" if (epoch, stream, n) == ("e0", "events", 2) else None  # type: ignore[attr-defined]
    made = history(of)
    made.want(Resend("e0", "events", 1, 3))
    with serving(made, session):
        await until(lambda: len(made.absent) == 2)
    assert session.sent == [(f"sitekeeper/1/{SITE}/up/events", b"old")]
    assert set(made.absent) == {Resend("e0", "events", 1, 1), Resend("e0", "events", 3, 3)}


async def test_a_block_of_no_use_is_answered_and_few_are_kept_in_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not sent again; beyond the bound the oldest is forgotten."""
    monkeypatch.setattr("cloud_sync.history.MOST_USELESS", 2)
    made, session = history(source(3)), Session()
    for sequence in (1, 2, 3):
        made.useless((EPOCH, "samples", sequence))
    made.want(Resend(EPOCH, "samples", 1, 3))
    with serving(made, session):
        await until(lambda: made.absent == (Resend(EPOCH, "samples", 2, 3),))
    assert [sent for _, sent in session.sent] == [payload("samples", 1)]


def test_an_alarm_that_the_office_cannot_read_is_news_for_the_next_status() -> None:
    """Others wait behind it at the office, which knows no number of it; nobody waits for samples."""
    made = history(source(0))
    made.useless((EPOCH, "samples", 1))
    assert (made.absent, made.news.is_set()) == ((), False)
    made.useless((EPOCH, "alarms", 7))
    assert (made.absent, made.news.is_set()) == ((Resend(EPOCH, "alarms", 7, 7),), True)
