"""One thread, one connection that writes and checkpoints: two of them can corrupt a file (SQLite before 3.51.3).

After any error the connection is closed and opened again, and the caller is told whether the outcome is known. A job
whose outcome is unknown may be given again: every job of the store changes nothing the second time.
"""

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from sitekeeper.model.errors import StorageError

_T = TypeVar("_T")
Work = Callable[[sqlite3.Connection], _T]

LOG_PAGES = 4_096
"""Pages in the log at which they are moved into the file: 16 MiB. Samples of 5,000 points touch a page of each point
again with every few transactions; moving such a page at SQLite's usual 4 MiB writes it a quarter to a third more often.
"""

MAX_JOBS = 1_000
"""Jobs waiting for the thread; beyond it `submit` refuses, and the caller tries again later."""


class Writer:
    """Runs jobs one after the other, each in a transaction of its own.

    Args:
        failed: called after a transaction that was not committed for sure.
        inline: no thread; a job has run when `submit` returns. For the virtual site.
    """

    def __init__(
        self,
        path: Path,
        *,
        failed: Callable[[], None],
        inline: bool = False,
    ) -> None:
        self._path = path
        self._failed = failed
        self._inline = inline
        self._sql: sqlite3.Connection | None = None
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

    def close(self) -> None:
        """Finish what was submitted and close the connection."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
        self._drop()

    def _loop(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._run(*job)
        self._drop()

    def _run(self, work: Work[_T], future: "Future[_T]") -> None:
        """The store's task boundary: whatever happens goes to whoever waits for the future."""
        committing = False
        try:
            sql = self._connection()
            sql.execute("BEGIN IMMEDIATE")
            result = work(sql)
            committing = True
            sql.execute("COMMIT")
        except Exception as err:  # noqa: BLE001 - task boundary; the future carries it
            self._drop()
            self._failed()
            future.set_exception(_as_storage_error(err, unknown=committing))
        else:
            future.set_result(result)

    def _connection(self) -> sqlite3.Connection:
        if self._sql is None:
            # Inline, the thread that opened it may not be the one that closes it.
            self._sql = sqlite3.connect(self._path, isolation_level=None, timeout=5.0, check_same_thread=False)
            self._sql.execute("PRAGMA journal_mode = WAL")
            self._sql.execute("PRAGMA synchronous = FULL")
            self._sql.execute("PRAGMA cache_size = -16384")
            self._sql.execute("PRAGMA journal_size_limit = 67108864")
            self._sql.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        return self._sql

    def _drop(self) -> None:
        if self._sql is not None:
            self._sql.close()  # rolls back what is open
            self._sql = None


def _as_storage_error(err: Exception, *, unknown: bool) -> Exception:
    if isinstance(err, sqlite3.Error | OverflowError):
        return StorageError(f"central store: {err}", unknown=unknown)
    return err
