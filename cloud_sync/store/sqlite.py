"""The central store on SQLite: one file, one process, one writing connection on its own thread.

`SqliteStore` is what ingest and the office write through; `SqliteStore.reader` reads, on a read-only connection
that belongs to the thread that opened the store.
"""

import fcntl
import os
import sqlite3
from pathlib import Path

from cloud_sync.store import schema
from cloud_sync.store.apply import Applier
from cloud_sync.store.sqlite_sql import SqliteLink, SqliteReading
from cloud_sync.store.store import Store
from cloud_sync.store.writer import Writer
from sitekeeper.model.errors import StorageError


class SqliteStore(Store):
    """Implements `cloud_sync.store.base.OfficeStore`."""

    def __init__(self, path: Path, lock: int, *, inline: bool) -> None:
        self._lock = lock
        applier = Applier()
        super().__init__(
            applier, Writer(SqliteLink(path), failed=applier.forget, inline=inline), lambda: SqliteReading(path)
        )

    @classmethod
    def open(cls, path: Path, *, inline: bool = False) -> "SqliteStore":
        """Open or create the store; `inline` commits on the caller's thread, for the virtual site.

        Raises:
            StorageError: in use by another process, not a central store, of a newer version, or not readable.
        """
        lock = _lock(path)
        try:
            schema.prepare(path)
            return cls(path, lock, inline=inline)
        except sqlite3.Error as err:
            os.close(lock)
            raise StorageError(f"central store {path}: {err}") from None
        except StorageError:
            os.close(lock)
            raise

    def close(self) -> None:
        """Finish what was submitted and close the file; a second time does nothing."""
        if self._lock < 0:
            return
        super().close()
        os.close(self._lock)
        self._lock = -1


def _lock(path: Path) -> int:
    """Hold `<path>.lock` for this process: a second writing process could corrupt the file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as err:
        raise StorageError(f"central store {path}: {err}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise StorageError(f"central store {path} is in use by another process") from None
    return lock
