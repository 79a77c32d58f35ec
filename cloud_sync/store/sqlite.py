"""The central store on SQLite: one file, one process, one writing connection on its own thread.

`SqliteStore` is what ingest and the office write through; `SqliteStore.reader` reads, on a read-only connection
that belongs to the thread that opened the store.
"""

import fcntl
import os
import sqlite3
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from cloud_sync.store import alarms, schema
from cloud_sync.store.apply import Applier
from cloud_sync.store.base import Known, Outcome, PendingAck, Push, StoredTransition, Transaction
from cloud_sync.store.reader import PUSH_COLUMNS, StoreReader
from cloud_sync.store.writer import Writer
from sitekeeper.model.alarm import Transition, split_key
from sitekeeper.model.clock import Micros
from sitekeeper.model.command import Ack
from sitekeeper.model.errors import StorageError


class SqliteStore:
    """Implements `cloud_sync.store.base.OfficeStore`."""

    def __init__(self, path: Path, lock: int, *, inline: bool) -> None:
        self._lock = lock
        self._applier = Applier()
        self._writer = Writer(path, failed=self._applier.forget, inline=inline)
        self.reader = StoreReader(path)

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
        self._writer.close()
        self.reader.close()
        os.close(self._lock)
        self._lock = -1

    # ingest

    def known(self) -> Known:
        return self.reader.known()

    def commit(self, transaction: Transaction) -> "Future[Outcome]":
        return self._writer.submit(lambda sql: self._applier.apply(sql, transaction))

    def pending_acks(self) -> list[PendingAck]:
        return self.reader.pending_acks()

    # office

    def add_ack(self, site: str, ack: Ack) -> "Future[str]":
        return self._writer.submit(lambda sql: alarms.add_ack(sql, site, ack))

    def add_transitions(
        self, epoch: str, at: Micros, moves: Sequence[Transition]
    ) -> "Future[Sequence[StoredTransition]]":
        def work(sql: sqlite3.Connection) -> list[StoredTransition]:
            stored: list[StoredTransition] = []
            for move in moves:
                site = split_key(move.key)[0]
                stored += alarms.add(sql, (site, epoch, alarms.next_sequence(sql, site, epoch)), [move], at)
            return stored

        return self._writer.submit(work)

    def undecided(self) -> list[StoredTransition]:
        return self.reader.undecided()

    def decide(self, transition: int, decision: str, pushes: Sequence[Push]) -> "Future[Sequence[int]]":
        def work(sql: sqlite3.Connection) -> list[int]:
            sql.execute("UPDATE transitions SET decision = ? WHERE id = ?", (decision, transition))
            return [_save(sql, push) for push in pushes]

        return self._writer.submit(work)

    def save_push(self, push: Push) -> "Future[int]":
        return self._writer.submit(lambda sql: _save(sql, push))

    def unfinished_pushes(self) -> list[Push]:
        return self.reader.unfinished_pushes()


def _save(sql: sqlite3.Connection, push: Push) -> int:
    row = (push.id or None, push.occurrence, push.event_id, push.recipient, push.channel, push.attempt, push.state)
    cursor = sql.execute(
        f"INSERT OR REPLACE INTO pushes ({PUSH_COLUMNS}) VALUES (?{', ?' * 12})",  # noqa: S608 - our own columns
        (*row, push.started, push.finished, push.latency_ms, push.answer, push.possible_repeat, push.reason),
    )
    return int(cursor.lastrowid or 0)


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
