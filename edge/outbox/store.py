"""The one connection that writes: a batch of appends as one transaction, and what is known of the file in memory."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from edge.outbox import ranges, retention, schema
from edge.outbox.pending import Job
from edge.outbox.records import AsOf, StartState, Unsent
from sitekeeper import chain
from sitekeeper.block import STREAMS, Stream
from sitekeeper.model.alarm import AlarmRecord
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import StorageError

_INSERT: Final[dict[Stream, str]] = {
    "alarms": "INSERT INTO blocks_alarms VALUES (?, ?, ?, ?, ?)",
    "events": "INSERT INTO blocks_events VALUES (?, ?, ?, ?, ?)",
    "samples": "INSERT INTO blocks_samples VALUES (?, ?, ?, ?, ?)",
}
_LAST: Final[dict[Stream, str]] = {
    "alarms": "SELECT max(sequence) FROM blocks_alarms",
    "events": "SELECT max(sequence) FROM blocks_events",
    "samples": "SELECT max(sequence) FROM blocks_samples",
}


class Store:
    """Owns the writing connection and the numbers that are true of the file: last sequences, receipts, chain head.

    The numbers change only after a COMMIT has returned. Used by one thread at a time.
    """

    def __init__(self, path: Path, site: str, make_epoch: Callable[[], str] | None = None) -> None:
        self.path = path
        self._connection = schema.connect_writer(path)
        try:
            with schema.errors(path, "cannot start"):
                schema.inspect(self._connection, path, site)
                schema.migrate(self._connection, path)
                self.epoch = schema.begin(self._connection, site, make_epoch)
                self._load()
        except BaseException:
            self._connection.close()
            raise

    # what is known

    def unsent(self, stream: Stream) -> Unsent:
        """Return which durable blocks have no receipt; plain arithmetic on what is in memory."""
        last, released = self.last[stream], self.released[stream]
        oldest, newest = ranges.first_missing(released), ranges.last_missing(released, last)
        return Unsent(oldest, newest, last - ranges.size(released))

    def start_state(self) -> StartState:
        """Read what a starting daemon goes on from.

        Raises:
            StorageError: a record cannot be read.
        """
        query = self._connection.execute
        with schema.errors(self.path, "cannot read the state"):
            as_of = schema.meta(self._connection).get("as_of")
            records = [row[0] for row in query("SELECT record FROM alarms ORDER BY key")]
            rule_state = dict(query("SELECT instance, state FROM rule_state"))
            group_until = dict(query("SELECT scan_group, until FROM group_until"))
        try:
            return StartState(
                alarms=[msgspec.json.decode(record, type=AlarmRecord) for record in records],
                rule_state=rule_state,
                as_of=msgspec.json.decode(as_of, type=AsOf) if as_of else None,
                group_until=group_until,
                sequences=dict(self.last),
            )
        except msgspec.DecodeError as error:
            msg = f"{self.path}: an alarm record, or the time of the rule state, cannot be read: {error}"
            raise StorageError(msg) from error

    # one transaction

    def commit(self, jobs: Sequence[Job]) -> None:
        """Write `jobs` as one transaction. When it returns they are durable.

        Raises:
            StorageError: with `unknown`: it may or may not be there; `recover` tells.
        """
        released = self._with_receipts(jobs)
        audit = self._linked(jobs)
        with self._transaction():
            self._write_blocks(jobs)
            self._write_state(jobs)
            self._write_receipts(released)
            self._many("INSERT INTO audit VALUES (?, ?, ?)", audit)
            self._many("INSERT OR IGNORE INTO catalogues VALUES (?, ?)", [j.catalogue for j in jobs if j.catalogue])
        for block in (block for job in jobs for block in job.blocks):
            self.last[block.stream] = block.sequence
        self.released = released
        if audit:
            self._audited, self._head = audit[-1][0], audit[-1][2]

    def recover(self, jobs: Sequence[Job]) -> bool:
        """After a failure: open the file anew, make what it holds durable, and tell whether `jobs` are in it.

        Jobs without blocks and audit rows may be done twice, so they count as absent.

        Raises:
            StorageError: the file cannot be opened yet.
        """
        audited = self._audited
        self._connection.close()
        self._connection = schema.connect_writer(self.path, create=False)
        with schema.errors(self.path, "cannot read after a failed commit"):
            # After a failed fsync the log's pages may be in memory only. Moving them into the file proves the disk.
            busy = self._connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()[0]
            if busy:
                msg = f"{self.path}: a reader holds the log; it cannot be made durable yet"
                raise StorageError(msg)
            if schema.meta(self._connection).get("epoch") != self.epoch:
                msg = f"{self.path}: somebody put another file in its place"
                raise StorageError(msg)
            self._load()
        block = next((block for job in jobs for block in job.blocks), None)
        if block is not None:
            return self.last[block.stream] >= block.sequence
        return any(job.audit for job in jobs) and self._audited > audited

    def purge(self, wall: Micros | None, history: Micros, max_size: int) -> bool:
        """Delete released blocks that are too old or too many; tell whether there is more to do at once.

        Args:
            wall: the time now, or None while the clock is not trusted: then nothing goes for its age.

        Raises:
            StorageError: the disk refused.
        """
        try:
            return retention.purge(self._connection, self.released, wall, history, max_size)
        except sqlite3.Error as error:
            msg = f"{self.path}: cannot purge history: {error}"
            raise StorageError(msg, unknown=True) from error

    def close(self, *, clean: bool) -> None:
        """Close the file; `clean` spares the next start its check.

        Raises:
            StorageError: the disk refused; everything durable stays so.
        """
        try:
            if clean:
                with self._transaction():
                    self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('clean', '1')")
        finally:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            msg = f"{self.path}: {error}"
            raise StorageError(msg, unknown=True) from error

    def _write_blocks(self, jobs: Sequence[Job]) -> None:
        for stream in STREAMS:
            rows = [(b.sequence, b.count, b.t0, b.t1, b.payload) for j in jobs for b in j.blocks if b.stream == stream]
            self._many(_INSERT[stream], rows)

    def _write_state(self, jobs: Sequence[Job]) -> None:
        """Of each key only the last value of the batch is written."""
        alarms = dict(pair for job in jobs for pair in job.alarms)
        state = dict(pair for job in jobs for pair in job.rule_state)
        until = dict(pair for job in jobs for pair in job.until)
        as_of = [job.as_of for job in jobs if job.as_of is not None][-1:]
        self._many("INSERT OR REPLACE INTO alarms VALUES (?, ?)", list(alarms.items()))
        kept = [(instance, value) for instance, value in state.items() if value is not None]
        self._many("INSERT OR REPLACE INTO rule_state VALUES (?, ?)", kept)
        gone = [(instance,) for instance, value in state.items() if value is None]
        self._many("DELETE FROM rule_state WHERE instance = ?", gone)
        self._many("INSERT OR REPLACE INTO group_until VALUES (?, ?)", list(until.items()))
        marks = [("as_of", msgspec.json.encode(mark).decode()) for mark in as_of]
        self._many("INSERT OR REPLACE INTO meta VALUES (?, ?)", marks)

    def _with_receipts(self, jobs: Sequence[Job]) -> dict[Stream, ranges.Ranges]:
        """Return the receipts with those of `jobs`; never for a sequence that is not durable yet."""
        released = dict(self.released)
        for stream, first, last in (entry for job in jobs for entry in job.release):
            released[stream] = ranges.add(released[stream], max(first, 1), min(last, self.last[stream]))
        return released

    def _write_receipts(self, released: Mapping[Stream, ranges.Ranges]) -> None:
        for stream in STREAMS:
            gone = [(stream, first) for first, _ in set(self.released[stream]) - set(released[stream])]
            new = [(stream, first, last) for first, last in set(released[stream]) - set(self.released[stream])]
            self._many("DELETE FROM released WHERE stream = ? AND first = ?", gone)
            self._many("INSERT INTO released VALUES (?, ?, ?)", new)

    def _linked(self, jobs: Sequence[Job]) -> list[tuple[int, bytes, bytes]]:
        """Return the audit rows of `jobs`, chained to the last one in the file."""
        rows: list[tuple[int, bytes, bytes]] = []
        head = self._head
        for n, record in enumerate((record for job in jobs for record in job.audit), start=self._audited + 1):
            head = chain.link(head, record)
            rows.append((n, record, head))
        return rows

    def _many(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            self._connection.executemany(statement, rows)

    def _load(self) -> None:
        query = self._connection.execute
        released: dict[Stream, ranges.Ranges] = dict.fromkeys(STREAMS, ())
        for stream, first, last in query("SELECT stream, first, last FROM released"):
            released[stream] = ranges.add(released[stream], first, last)
        self.released = released
        # When all of history has been purged, only the receipts still know how far the stream went.
        self.last: dict[Stream, int] = {
            stream: max(query(_LAST[stream]).fetchone()[0] or 0, *(last for _, last in released[stream]), 0)
            for stream in STREAMS
        }
        row = query("SELECT n, hash FROM audit ORDER BY n DESC LIMIT 1").fetchone()
        self._audited = int(row[0]) if row else 0
        self._head = bytes(row[1]) if row else chain.GENESIS
