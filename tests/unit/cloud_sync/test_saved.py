"""Blocks of an earlier outbox file go to the office under their old epoch, and leave with its receipt only."""

import asyncio
from typing import Any

import pytest

from cloud_sync import saved
from cloud_sync.saved import AGAIN, AGAIN_MOST, PAUSE, Turns
from cloud_sync.wire import Committed, Receipt

ALARMS = ("sitekeeper/1/harbour/up/alarms", b"e0 alarms 1")
SAMPLES = ("sitekeeper/1/harbour/up/samples", b"e0 samples 4")


class Source:
    """An outbox with three blocks of epoch e0, one of which is gone."""

    def __init__(self) -> None:
        self.released: list[Any] = []

    def salvaged(self) -> Any:
        return {("e0", "samples"): ((4, 5),), ("e0", "alarms"): ((1, 1),)}

    def read_salvaged(self, epoch: str, stream: str, sequence: int) -> bytes | None:
        return None if sequence == 5 else f"{epoch} {stream} {sequence}".encode()

    def release(self, epoch: str, ranges: Any) -> None:
        self.released.append((epoch, ranges))


class Line:
    """A session that keeps what is published, and may never answer for samples."""

    def __init__(self, *, mute: bool = False) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.mute = mute

    async def publish(self, topic: str, payload: bytes) -> int:
        self.sent.append((topic, payload))
        if self.mute and topic.endswith("samples"):
            await asyncio.get_running_loop().create_future()
        return 0


async def sent(line: Any, source: Source, enough: Any) -> None:
    """Send until it is enough."""
    turns = Turns()
    tasks = [asyncio.create_task(saved.send(source, line, "harbour", turns, urgent=one)) for one in (True, False)]
    async with asyncio.timeout(30):
        while not enough():
            await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "PAUSE", 0)
    monkeypatch.setattr(saved, "AGAIN", 0)


@pytest.mark.usefixtures("hurry")
async def test_alarms_go_first_and_all_again_until_there_is_a_receipt() -> None:
    """What is not there is left out; without a receipt the same goes again."""
    line, source = Line(), Source()
    await sent(line, source, lambda: min(map(line.sent.count, (ALARMS, SAMPLES))) >= 2)
    assert line.sent[0] == ALARMS
    assert set(line.sent) == {ALARMS, SAMPLES}
    assert source.released == []


@pytest.mark.usefixtures("hurry")
async def test_alarms_wait_for_no_answer_to_samples() -> None:
    """While the broker does not answer for a block of samples, alarms are sent again all the same."""
    line = Line(mute=True)
    await sent(line, Source(), lambda: line.sent.count(ALARMS) >= 3 and SAMPLES in line.sent)
    assert line.sent.count(SAMPLES) == 1


def pauses(turns: Turns, waiting: Any, *, urgent: bool, passes: int) -> list[float]:
    """Return the pauses after so many passes."""
    found: list[float] = []
    while len(found) < passes:
        turn = turns.next(waiting, urgent=urgent)
        assert turn is not None
        if turn[0] is None:
            found.append(turn[1])
    return found


def test_alarms_are_sent_again_soon_whatever_else_waits() -> None:
    """Their pause stays the same while that of the rest doubles up to its bound."""
    waiting = Source().salvaged()
    turns = Turns()
    assert pauses(turns, waiting, urgent=True, passes=8) == [AGAIN] * 8
    rest = pauses(turns, waiting, urgent=False, passes=8)
    assert rest == [min(AGAIN * 2**n, AGAIN_MOST) for n in range(8)]
    assert rest[-1] == AGAIN_MOST


def test_a_long_pass_holds_no_alarm_up() -> None:
    """In the midst of a hundred thousand blocks of samples the alarms have their turn; those go on where they were."""
    turns = Turns()
    waiting: Any = {("e0", "samples"): ((1, 100_000),), ("e0", "alarms"): ((7, 8),)}
    assert turns.next(waiting, urgent=False) == (None, PAUSE)  # the alarms go first
    first = [turns.next(waiting, urgent=True) for _ in range(3)]
    assert first == [(("e0", "alarms", 7), PAUSE), (("e0", "alarms", 8), PAUSE), (None, AGAIN)]
    assert turns.next(waiting, urgent=False) == (("e0", "samples", 1), PAUSE)
    assert turns.next(waiting, urgent=True) == (("e0", "alarms", 7), PAUSE)
    assert turns.next(waiting, urgent=False) == (("e0", "samples", 2), PAUSE)


def test_each_stream_goes_in_its_order_and_what_has_a_receipt_goes_no_more() -> None:
    """Events before samples, epochs and sequences in their order; a receipt in the midst of a pass counts at once."""
    turns = Turns()
    waiting: Any = {("e1", "events"): ((2, 2),), ("e0", "samples"): ((4, 5), (9, 9)), ("e0", "events"): ((6, 6),)}
    names = [turn[0] for _ in range(3) if (turn := turns.next(waiting, urgent=False)) is not None]
    assert names == [("e0", "events", 6), ("e1", "events", 2), ("e0", "samples", 4)]
    waiting = {("e0", "samples"): ((9, 9),)}
    assert turns.next(waiting, urgent=False) == (("e0", "samples", 9), PAUSE)
    assert turns.next(waiting, urgent=True) is None
    assert turns.next({}, urgent=False) is None


def test_receipts_of_other_epochs_are_handed_over() -> None:
    """Those of the present epoch are the machine's business."""
    source = Source()
    saved.release(source, "e1", Receipt(1, [Committed("e0", "samples", [(4, 5)]), Committed("e1", "alarms", [(1, 1)])]))
    assert source.released == [("e0", [("samples", 4, 5)])]
    saved.release(object(), "e1", Receipt(1, []))
