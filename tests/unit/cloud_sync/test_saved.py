"""Blocks of an earlier outbox file go to the office under their old epoch, and leave with its receipt only."""

import asyncio
from typing import Any

import pytest

from cloud_sync import saved
from cloud_sync.wire import Committed, Receipt


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
    """A session that keeps what is published."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []

    async def publish(self, topic: str, payload: bytes) -> int:
        self.sent.append((topic, payload))
        return 0


async def test_alarms_go_first_and_all_again_until_there_is_a_receipt(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not there is left out; without a receipt the same goes again."""
    monkeypatch.setattr(saved, "PAUSE", 0)
    monkeypatch.setattr(saved, "AGAIN", 0)
    line: Any = Line()
    source = Source()
    task = asyncio.create_task(saved.send(source, line, "harbour"))
    while len(line.sent) < 4:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    once = [
        ("sitekeeper/1/harbour/up/alarms", b"e0 alarms 1"),
        ("sitekeeper/1/harbour/up/samples", b"e0 samples 4"),
    ]
    assert line.sent[:4] == once * 2
    assert source.released == []


def test_receipts_of_other_epochs_are_handed_over() -> None:
    """Those of the present epoch are the machine's business."""
    source = Source()
    saved.release(source, "e1", Receipt(1, [Committed("e0", "samples", [(4, 5)]), Committed("e1", "alarms", [(1, 1)])]))
    assert source.released == [("e0", [("samples", 4, 5)])]
    saved.release(object(), "e1", Receipt(1, []))
