"""Asking a database from an event loop: in a thread of its own, and never for long.

A database may accept a question and not answer. `Thread` carries questions away from the loop; `Bounded` is for the
small ones that the loop asks itself: it waits for `PATIENCE_S` once, and from then on refuses at once until the
database has answered again, which its thread finds out by itself.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from cloud_sync.store.sql import Dialect, Engine, NamedRow, Reading
from sitekeeper.model.errors import StorageError

PATIENCE_S: Final = 0.5
AGAIN_S: Final = 0.5
"""Between two looks whether a database that did not answer does by now."""
CLOSE_S: Final = 2.0
"""A thread that is still waiting for its database after this is left behind; it ends with the process."""
MOST: Final = 1_000
"""Questions that wait for one thread."""

_T = TypeVar("_T")


class Thread:
    """One thread that answers questions in their order. It holds up neither its process's end nor who asks."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.Queue[tuple[Callable[[], Any], Future[Any]] | None] = queue.Queue(MOST)
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def submit(self, question: Callable[[], _T]) -> "Future[_T]":
        """Have `question` run; the future holds what it returned or raised, StorageError if too many wait."""
        future: Future[_T] = Future()
        try:
            self._jobs.put_nowait((question, future))
        except queue.Full:
            future.set_exception(StorageError("too many questions to the store at once"))
        return future

    def close(self, last: Callable[[], object] = lambda: None) -> None:
        """Drop what waits, run `last` in the thread, end it; one that does not come to an end is left behind."""
        while not self._jobs.empty():
            try:
                dropped = self._jobs.get_nowait()
            except queue.Empty:
                break
            if dropped is not None:
                dropped[1].cancel()
        self.submit(last)
        self._jobs.put(None)
        self._thread.join(CLOSE_S)

    def _loop(self) -> None:
        """The thread's task boundary: whatever happens goes to whoever waits for the future."""
        while (job := self._jobs.get()) is not None:
            question, future = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                answer = question()
            except Exception as err:  # noqa: BLE001 - task boundary; the future carries it
                future.set_exception(err)
            else:
                future.set_result(answer)
            del question, future, job


class Bounded:
    """Implements `cloud_sync.store.sql.Reading` for the event loop, on any other one."""

    def __init__(self, reading: Reading, patience_s: float = PATIENCE_S) -> None:
        self._reading = reading
        self._patience_s = patience_s
        self._thread = Thread("store-reader")
        self._away = ""
        self._closed = threading.Event()

    @property
    def engine(self) -> Engine:
        return self._reading.engine

    @property
    def dialect(self) -> Dialect:
        return self._reading.dialect

    def rows(self, statement: str, arguments: Sequence[object] = ()) -> Sequence[NamedRow]:
        """Return what a query finds. Raises StorageError, also if there is no answer in time."""
        if self._away:
            raise StorageError(self._away)
        asked = self._thread.submit(lambda: self._reading.rows(statement, arguments))
        try:
            return asked.result(self._patience_s)
        except TimeoutError:
            self._away = "central store: the database does not answer"
            self._thread.submit(self._until_it_answers)
            raise StorageError(self._away) from None

    def close(self) -> None:
        """Close the connection, if the database lets go of it."""
        self._closed.set()
        self._thread.close(self._reading.close)

    def _until_it_answers(self) -> None:
        while not self._closed.is_set():
            try:
                self._reading.rows("SELECT 1")
            except StorageError:
                self._closed.wait(AGAIN_S)
            else:
                break
        self._away = ""
