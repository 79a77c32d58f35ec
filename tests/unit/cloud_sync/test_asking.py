"""Asking a database that may be mute: who asks waits once, for half a second at most, and knows it when it is back."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from cloud_sync.store.asking import MOST, Bounded, Thread
from sitekeeper.model.errors import StorageError


class Mute:
    """A reading that answers only while it may."""

    engine = "postgres"
    dialect: Any = None

    def __init__(self) -> None:
        self.may = threading.Event()
        self.may.set()
        self.asked: list[str] = []
        self.closed = False

    def rows(self, statement: str, arguments: Sequence[object] = ()) -> list[Any]:
        self.asked.append(statement)
        assert self.may.wait(30), "nobody let it answer"
        return [(statement, *arguments)]

    def close(self) -> None:
        self.closed = True


def test_a_mute_database_is_waited_for_once_and_refused_at_once_from_then_on() -> None:
    """The second and every later question is not even asked; after the answer the next one is."""
    reading = Mute()
    bounded = Bounded(reading, patience_s=0.05)  # type: ignore[arg-type]
    assert bounded.rows("one", (1,)) == [("one", 1)]
    reading.may.clear()
    for _ in range(3):
        with pytest.raises(StorageError, match="does not answer"):
            bounded.rows("two")
    assert reading.asked == ["one", "two"]
    reading.may.set()
    back = threading.Event()
    while bounded._away:
        assert not back.wait(0.01)
    assert bounded.rows("three") == [("three",)]
    assert reading.asked.count("two") == 1, "the others never reached it"
    bounded.close()
    assert reading.closed


def test_a_thread_that_hangs_holds_up_no_end() -> None:
    """What waits is dropped, the hanging one left behind; who waited is told."""
    hang, began = threading.Event(), threading.Event()
    thread = Thread("test-asking")

    def hanging() -> None:
        began.set()
        hang.wait(30)

    first = thread.submit(hanging)
    assert began.wait(10)
    waiting = [thread.submit(lambda: 1) for _ in range(MOST)]
    with pytest.raises(StorageError, match="too many questions"):
        thread.submit(lambda: 1).result(1)
    closing = threading.Thread(target=thread.close)
    closing.start()
    hang.set()
    closing.join(10)
    assert first.result(10) is None
    assert all(one.done() for one in waiting)
