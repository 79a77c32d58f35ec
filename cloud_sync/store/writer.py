"""One thread, one connection that writes: two of them can corrupt an SQLite file (before 3.51.3).

After any error the connection is closed and opened again, and the caller is told whether the outcome is known. A job
whose outcome is unknown may be given again: every job of the store changes nothing the second time.
"""

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from cloud_sync.store.sql import Sql
from sitekeeper.model.errors import StorageError

_T = TypeVar("_T")
Work = Callable[[Sql], _T]

MAX_JOBS = 1_000
"""Jobs waiting for the thread; beyond it `submit` refuses, and the caller tries again later."""


class Link(Protocol):
    """The writing connection; it opens itself when it is needed."""

    @property
    def retries(self) -> int:
        """Return how often a transaction is tried again that the database itself asked to be repeated."""

    def begin(self) -> Sql:
        """Begin a transaction."""

    def commit(self) -> None:
        """Make it durable."""

    def drop(self) -> None:
        """Close the connection; what is open is rolled back."""

    def again(self, err: Exception) -> bool:
        """Tell whether the same transaction may succeed at once if it is tried again as a whole."""

    def told(self, err: Exception, *, unknown: bool) -> Exception:
        """Return the library's error as ours."""


class Writer:
    """Runs jobs one after the other, each in a transaction of its own.

    Args:
        failed: called after a transaction that was not committed for sure.
        inline: no thread; a job has run when `submit` returns. For the virtual site.
    """

    def __init__(self, link: Link, *, failed: Callable[[], None], inline: bool = False) -> None:
        self._link = link
        self._failed = failed
        self._inline = inline
        self._jobs: queue.Queue[tuple[Work[Any], Future[Any]] | None] = queue.Queue(MAX_JOBS)
        self._thread = None if inline else threading.Thread(target=self._loop, name="store-writer", daemon=True)
        if self._thread is not None:
            self._thread.start()

    def submit(self, work: Work[_T]) -> "Future[_T]":
        """Run `work` in a transaction. The future resolves after its commit, or fails with StorageError."""
        future: Future[_T] = Future()
        future.set_running_or_notify_cancel()  # nobody can cancel what may be on its way to the disk
        if self._inline:
            self._run(work, future)
            return future
        try:
            self._jobs.put_nowait((work, future))
        except queue.Full:
            future.set_exception(StorageError("the store's writer is behind"))
        return future

    def close(self, patience_s: float | None = None) -> None:
        """Finish what was submitted and close the connection.

        Args:
            patience_s: for a database that may not answer: after this the thread is left behind and ends with the
                process. None waits until all is written.
        """
        if self._thread is None:
            self._link.drop()
            return
        with contextlib.suppress(queue.Full):
            self._jobs.put(None, timeout=patience_s)
        self._thread.join(patience_s)

    def _loop(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._run(*job)
        self._link.drop()

    def _run(self, work: Work[_T], future: "Future[_T]", tries: int = 0) -> None:
        """The store's task boundary: whatever happens goes to whoever waits for the future."""
        committing = False
        try:
            result = work(self._link.begin())
            committing = True
            self._link.commit()
        except Exception as err:  # noqa: BLE001 - task boundary; the future carries it
            self._link.drop()
            self._failed()
            if tries < self._link.retries and self._link.again(err):
                self._run(work, future, tries + 1)
            else:
                future.set_exception(self._link.told(err, unknown=committing))
        else:
            future.set_result(result)
