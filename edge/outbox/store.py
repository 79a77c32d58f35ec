"""The one connection that writes: a batch of appends as one transaction, and what is known of the file in memory."""

import contextlib
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from edge.outbox import damage, drops, ranges, receipts, retention, rows, schema, trail
from edge.outbox.drops import Drops, Lost, Note
from edge.outbox.pending import Job
from edge.outbox.records import AsOf, Damaged, StartState, Unsent
from edge.outbox.trail import Trail
from sitekeeper import catalogue
from sitekeeper.block import STREAMS, Stream
from sitekeeper.model.alarm import AlarmRecord
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import FormatError, StorageError

_LAST: Final[dict[Stream, str]] = {
    "alarms": "SELECT max(sequence) FROM blocks_alarms",
    "events": "SELECT max(sequence) FROM blocks_events",
    "samples": "SELECT max(sequence) FROM blocks_samples",
}
SALVAGE: Final = "salvage"
"""Key of `meta` under which the events about a salvage wait to be told."""


class Store:
    """Owns the writing connection and the numbers that are true of the file: last sequences, receipts, chain head.

    The numbers change only after a COMMIT has returned. Used by one thread at a time.
    """

    def __init__(
        self,
        path: Path,
        site: str,
        make_epoch: Callable[[], str] | None = None,
        *,
        instances: damage.Instances | None = None,
    ) -> None:
        self.path = path
        self._catalogues: dict[str, catalogue.Catalogue | None] = {}
        self.salvage: tuple[dict[str, Any], ...] = ()
        self.salvaged: receipts.Salvaged = {}
        self.released: receipts.Released = {}
        self.trail = Trail()
        log = damage.Log(path)
        log.keep()
        self._connection = schema.connect_writer(path)
        try:
            with schema.errors(path, "cannot start"):
                log.compare(self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])
                schema.inspect(self._connection, path, site)
                log.sound()
                schema.migrate(self._connection, path)
                known = schema.meta(self._connection)
                instance = secrets.token_hex(8)
                if instances is not None:
                    instances.check(path, known.get("instance", ""))
                    instances.write(known.get("instance", ""), instance, known.get("epoch", ""))
                self.epoch = schema.begin(self._connection, site, make_epoch, instance)
                if instances is not None:
                    instances.write(instance, instance, self.epoch)
                self._load()
                self.start_state()  # its rows are looked at now, while there is time to save what is sound
        except BaseException:
            self._connection.close()
            raise

    # what is known

    def unsent(self, stream: Stream) -> Unsent:
        """Return which durable blocks have no receipt; plain arithmetic on what is in memory."""
        last, gone = self.last[stream], self.gone[stream]
        return Unsent(ranges.first_missing(gone), ranges.last_missing(gone, last), last - ranges.size(gone))

    def start_state(self) -> StartState:
        """Read what a starting daemon goes on from.

        Raises:
            Damaged: a record cannot be read.
        """
        try:
            with schema.errors(self.path, "cannot read the state"):
                as_of = self._meta().get("as_of")
                return StartState(
                    alarms=[msgspec.json.decode(record, type=AlarmRecord) for _, record in self._rows("alarms")],
                    rule_state=dict(self._rows("rule_state")),
                    as_of=msgspec.json.decode(as_of, type=AsOf) if as_of else None,
                    group_until=dict(self._rows("group_until")),
                    sequences=dict(self.last),
                )
        except msgspec.DecodeError as error:
            msg = f"{self.path}: an alarm record, or the time of the rule state, cannot be read: {error}"
            raise Damaged(msg) from error

    def untold(self) -> Note:
        """Return what is to be told."""
        return msgspec.structs.replace(self.drops.note(), salvage=self.salvage)

    def counts(self) -> tuple[int, int]:
        """Return about how many blocks the file holds, and how many of them wait for a receipt."""
        waiting = sum(self.unsent(stream).blocks for stream in STREAMS)
        return max(sum(self.last[stream] - self.first[stream] + 1 for stream in STREAMS), waiting), waiting

    def sizes(self) -> tuple[int, int]:
        """Return the bytes in use in the file, and those in it that are free.

        Raises:
            StorageError: the disk refused.
        """
        with schema.errors(self.path, "cannot tell its size"):
            return schema.in_use(self._connection), schema.spare(self._connection)

    # one transaction

    def commit(self, jobs: Sequence[Job], *, strip: bool = False) -> None:
        """Write `jobs` as one transaction. When it returns they are durable.

        Args:
            strip: sample blocks are not written: they are dropped, as if they had been written and dropped then.

        Raises:
            StorageError: with `unknown`: it may or may not be there; `recover` tells.
        """
        blocks = [block for job in jobs for block in job.blocks]
        lost = [Lost(b.sequence, b.count, b.t0, b.t1, b.payload) for b in blocks if strip and b.stream == "samples"]
        with self._transaction():
            released = receipts.with_jobs(self.released, jobs, self.last)
            audit = self.trail.linked(record for job in jobs for record in job.audit)
            after = self._dropped(lost, [job.told for job in jobs if job.told is not None])
            for stream in STREAMS:
                if not (strip and stream == "samples"):
                    table = f"blocks_{stream}"
                    new = [(b.sequence, b.count, b.t0, b.t1, b.payload) for b in blocks if b.stream == stream]
                    self._many(rows.insert_new(table), rows.signed(table, new))
            self._write_state(jobs)
            receipts.write(self._connection, self.released, released)
            self._write_drops(after)
            if any(job.told is not None and job.told.salvage for job in jobs):
                self._many(rows.delete("meta"), [(SALVAGE,)])
            salvaged = receipts.release_salvaged(self._connection, self.salvaged, jobs)
            self._many(rows.PLAIN["audit"], audit)
            anchor = trail.fold(self._connection, max((job.fold for job in jobs if job.fold), default=None))
            self._many(rows.PLAIN["catalogues"], [j.catalogue for j in jobs if j.catalogue])
        for block in blocks:
            self.last[block.stream] = block.sequence
        self.released, self.drops, self.salvaged = released, after, salvaged
        if any(job.told is not None and job.told.salvage for job in jobs):
            self.salvage = ()
        self.trail = self.trail.followed(audit, anchor)
        self._renew()

    def recover(self, jobs: Sequence[Job]) -> bool:
        """After a failure: open the file anew, make what it holds durable, and tell whether `jobs` are in it.

        Jobs without blocks and audit rows may be done twice, so they count as absent.

        Raises:
            StorageError: the file cannot be opened yet.
        """
        audited = self.trail.last
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
        return any(job.audit for job in jobs) and self.trail.last > audited

    def purge(self, wall: Micros | None, history: Micros, excess: int, *, unsent: bool) -> bool:
        """Delete history that is too old, and `excess` bytes of the oldest; tell whether there is more to do at once.

        Args:
            wall: the time now, or None while the clock is not trusted: then nothing goes for its age.
            unsent: when history has gone and there is still an excess, samples that nobody has go too, accounted for.

        Raises:
            StorageError: the disk refused.
        """
        with schema.errors(self.path, "cannot make room", unknown=True):
            more, excess = retention.purge(self._connection, self.released, wall, history, excess)
            if more or excess <= 0 or not unsent:
                return more
            lost = retention.oldest_unsent(self._connection, self.gone["samples"], excess)
        if lost:
            with self._transaction():
                after = self._dropped(lost, [])
                self._many(retention.DELETE["samples"], [(each.sequence,) for each in lost])
                self._write_drops(after)
            self.drops = after
            self._renew()
        return len(lost) >= retention.AT_ONCE

    def put(self, table: str, found: Iterable[rows.Row]) -> None:
        """Write rows that were saved from another file, a thousand in a transaction.

        Raises:
            StorageError: the disk refused.
        """
        names = rows.PLAIN.get(table)
        statement = rows.insert(table) if names is None else names
        more = iter(found)
        while lot := list(islice(more, 1_000)):
            with self._transaction():
                self._many(statement, rows.signed(table, lot) if names is None else lot)

    def tell_of(self, epoch: str) -> None:
        """Leave word that a file of `epoch` was here and is gone, with all that it held.

        Raises:
            StorageError: the disk refused.
        """
        why = "the file was missing or empty"
        gone = {
            "old_epoch": epoch,
            "lost": "all",
            "lost_blocks": -1,
            "saved_blocks": 0,
            "alarms": "check_site",
            "why": why,
        }
        self.put("meta", [(SALVAGE, msgspec.json.encode([{**gone, "stream": stream} for stream in STREAMS]).decode())])
        with schema.errors(self.path, "cannot start"):
            self._load()

    def put_drops(self, after: Drops) -> None:
        """Write what is to be told of another file's losses."""
        with self._transaction():
            self._write_drops(after)

    def close(self, *, clean: bool) -> None:
        """Close the file; `clean` spares the next start its check.

        Raises:
            StorageError: the disk refused; everything durable stays so.
        """
        try:
            if clean:
                with self._transaction():
                    self._many(rows.insert("meta"), rows.signed("meta", [("clean", "1")]))
        finally:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with schema.errors(self.path, "cannot write", unknown=True):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(
                    sqlite3.Error
                ):  # the connection is made anew; its error is the one that counts
                    self._connection.execute("ROLLBACK")
                raise

    def _write_state(self, jobs: Sequence[Job]) -> None:
        """Of each key only the last value of the batch is written."""
        state = dict(pair for job in jobs for pair in job.rule_state)
        as_of = [job.as_of for job in jobs if job.as_of is not None][-1:]
        self._put("alarms", dict(pair for job in jobs for pair in job.alarms))
        self._put("rule_state", {instance: value for instance, value in state.items() if value is not None})
        self._many(rows.delete("rule_state"), [(instance,) for instance, value in state.items() if value is None])
        self._put("group_until", dict(pair for job in jobs for pair in job.until))
        if as_of:
            self._put("meta", {"as_of": msgspec.json.encode(as_of[0]).decode()})

    def _put(self, table: str, values: Mapping[str, object]) -> None:
        self._many(rows.insert(table), rows.signed(table, values.items()))

    def _dropped(self, lost: Sequence[Lost], told: Sequence[Note]) -> Drops:
        after = self.drops.with_blocks(lost, self._catalogue) if lost else self.drops
        for note in told:
            after = after.without(note)
        return after

    def _write_drops(self, after: Drops) -> None:
        if after is self.drops:
            return
        old, new = self.drops.tables(), after.tables()
        for table in drops.TABLES:
            gone = old[table] - new[table]
            self._many(rows.delete(table), [row[: rows.KEYED[table]] for row in gone])
            self._many(rows.insert(table), rows.signed(table, new[table] - old[table]))

    def _catalogue(self, hashed: str) -> catalogue.Catalogue | None:
        """Return a catalogue of the file; None for one that is not there."""
        if hashed not in self._catalogues:
            row = self._connection.execute("SELECT payload FROM catalogues WHERE hash = ?", (hashed,)).fetchone()
            try:
                self._catalogues[hashed] = catalogue.decode(row[0]) if row else None
            except FormatError:
                self._catalogues[hashed] = None
        return self._catalogues[hashed]

    def _many(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            self._connection.executemany(statement, rows)

    def _rows(self, table: str) -> list[rows.Row]:
        return list(rows.sound(table, self._connection.execute(f"{rows.select(table)} ORDER BY 1")))

    def _meta(self) -> dict[str, str]:
        return {row[0]: row[1] for row in self._rows("meta")}

    def _load(self) -> None:
        """Read what is to be known of the file.

        Raises:
            Damaged: a row of it is not what was written.
        """
        query = self._connection.execute
        released: receipts.Released = dict.fromkeys(STREAMS, ())
        for stream, first, last in self._rows("released"):
            released[stream] = ranges.add(released[stream], first, last)
        self.released = released
        try:
            self.drops = Drops.of_rows({table: self._rows(table) for table in drops.TABLES})
            self.salvage = tuple(msgspec.json.decode(self._meta().get(SALVAGE, "[]")))
        except msgspec.DecodeError as error:
            msg = f"{self.path}: damaged: the account of what was dropped cannot be read: {error}"
            raise Damaged(msg) from error
        self._renew()
        # When all of history has been purged, only receipts and drops still know how far the stream went.
        self.last: dict[Stream, int] = {
            stream: max(query(_LAST[stream]).fetchone()[0] or 0, *(last for _, last in self.gone[stream]), 0)
            for stream in STREAMS
        }
        self.first: dict[Stream, int] = {
            stream: query(_LAST[stream].replace("max", "min")).fetchone()[0] or self.last[stream] + 1
            for stream in STREAMS
        }
        self.salvaged = receipts.salvaged(self._connection)
        self.trail = trail.load(self._connection, self._meta())

    def _renew(self) -> None:
        """Take what follows from receipts and drops: what there is no need to send."""
        self.gone: dict[Stream, ranges.Ranges] = dict(self.released)
        for first, last in self.drops.sequences():
            self.gone["samples"] = ranges.add(self.gone["samples"], first, last)
