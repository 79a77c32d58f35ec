"""The outbox as the rest of the gateway sees it. The specification is the package's docstring."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final, Self

import msgspec

from edge.outbox import schema
from edge.outbox.pending import Job
from edge.outbox.ranges import contains
from edge.outbox.records import AsOf, Limits, Sealed, StartState, Unsent
from edge.outbox.store import Store
from edge.outbox.writer import Committed, Writer
from sitekeeper import catalogue
from sitekeeper.block import Stream
from sitekeeper.model.alarm import AlarmRecord
from sitekeeper.model.clock import Clock, Micros
from sitekeeper.model.errors import StorageError

_READ: Final[dict[Stream, str]] = {
    "alarms": "SELECT payload FROM blocks_alarms WHERE sequence = ?",
    "events": "SELECT payload FROM blocks_events WHERE sequence = ?",
    "samples": "SELECT payload FROM blocks_samples WHERE sequence = ?",
}


class Outbox:
    """One open outbox file. Made by `open`; all calls come from one thread, except that futures resolve on another."""

    def __init__(self, lock: int, store: Store, writer: Writer, reader: sqlite3.Connection, state: StartState) -> None:
        self._lock = lock
        self._store = store
        self._writer = writer
        self._reader = reader
        self._state = state
        self._next = {stream: last + 1 for stream, last in state.sequences.items()}
        self._closed = False

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        site: str,
        clock: Clock,
        inline: bool = False,
        limits: Limits | None = None,
        on_commit: Committed | None = None,
        make_epoch: Callable[[], str] | None = None,
    ) -> Self:
        """Open or create the outbox of `site` at `path`.

        Args:
            inline: no thread; every append has committed when it returns.
            on_commit: told the blocks of every commit, on the writer's thread; neither blocks nor raises.
            make_epoch: names the epoch of a new file; random by default.

        Raises:
            StorageError: in use by another process, not an outbox, of another site, newer, or damaged.
        """
        lock = schema.lock(path)
        try:
            store = Store(path, site, make_epoch)
            try:
                state = store.start_state()
                reader = schema.connect_reader(path)
            except BaseException:
                store.close(clean=False)
                raise
        except BaseException:
            os.close(lock)
            raise
        writer = Writer(store, clock, limits or Limits(), inline=inline, on_commit=on_commit)
        return cls(lock, store, writer, reader, state)

    @property
    def epoch(self) -> str:
        """The random id made with the file."""
        return self._store.epoch

    @property
    def problem(self) -> StorageError | None:
        """Why nothing becomes durable at present; None while all is well."""
        return self._writer.problem

    @property
    def dead(self) -> bool:
        """Tell whether nothing will become durable any more in this process."""
        return self._writer.dead

    def state(self) -> StartState:
        """Return what was in the file when it was opened."""
        return self._state

    # writing

    def next_sequence(self, stream: Stream) -> int:
        """Return the sequence that the next block of `stream` must have; 1 in a new file."""
        return self._next[stream]

    def behind(self, stream: Stream) -> bool:
        """Tell whether an append would be refused now. Ask before sealing: a refused block would leave a hole."""
        return self._writer.full(samples=stream == "samples")

    def append(
        self,
        blocks: Sequence[Sealed],
        *,
        alarms: Sequence[AlarmRecord] = (),
        rule_state: Mapping[str, bytes | None] | None = None,
        as_of: AsOf | None = None,
        until: Mapping[str, Micros] | None = None,
        audit: Sequence[bytes] = (),
    ) -> Future[None]:
        """Store all of this in one transaction; the future resolves when it is durable, and cannot be cancelled.

        Args:
            blocks: the next ones of their streams.
            alarms: records as they stand after the transitions in `blocks`.
            rule_state: by rule instance; None removes it. `as_of`: the moment for which it is true.
            until: per scan group the wall time up to which the record accounts for it now.
            audit: rows for the hash chain.

        Raises:
            ValueError: a block is not the next of its stream.
            StorageError: the writer is behind, closed or dead. Nothing was taken.
        """
        following = dict(self._next)
        for block in blocks:
            if block.sequence != following[block.stream]:
                msg = f"{block.stream} block {block.sequence} where {following[block.stream]} is the next"
                raise ValueError(msg)
            following[block.stream] += 1
        job = Job(
            blocks=tuple(blocks),
            alarms=tuple((record.key, msgspec.json.encode(record).decode()) for record in alarms),
            rule_state=tuple((rule_state or {}).items()),
            as_of=as_of,
            until=tuple((until or {}).items()),
            audit=tuple(audit),
            urgent=bool(alarms or audit) or any(block.stream != "samples" for block in blocks),
        )
        future = self._writer.submit(job)
        self._next = following
        return future

    def put_catalogue(self, payload: bytes) -> Future[None]:
        """Store a catalogue under its hash; appends made after it become durable after it.

        Raises:
            StorageError: as `append`.
        """
        return self._writer.submit(Job(catalogue=(catalogue.catalogue_hash(payload), payload)))

    def release(self, epoch: str, ranges: Iterable[tuple[Stream, int, int]]) -> bool:
        """Make history of what the office has committed: (stream, first, last), both included.

        Returns:
            False if it was not taken: another epoch, or the writer is behind. Nothing is lost by that: the office
            gives its receipt again when it gets the block again.
        """
        if epoch != self.epoch or self._writer.full(samples=False):
            return False
        self._writer.submit(Job(release=tuple(ranges)))
        return True

    def flush(self, timeout: float = 10.0) -> None:
        """Wait until all that was appended before is durable.

        Raises:
            StorageError: it is not, after `timeout` seconds.
        """
        try:
            self._writer.submit(Job(urgent=True)).result(timeout if self._writer.threaded else 0)
        except TimeoutError as error:
            raise self.problem or StorageError(f"{self._store.path}: not durable after {timeout:g} s") from error

    def close(self, timeout: float = 10.0) -> None:
        """Make durable what waits, close the file and let go of it. A second call does nothing.

        Raises:
            StorageError: not everything could be made durable; the futures concerned say which.
        """
        if self._closed:
            return
        self._closed = True
        self._reader.close()
        try:
            self._writer.close(timeout)
        finally:
            if self._writer.ended:  # a disk that hangs may still come back and write: then the file stays ours
                os.close(self._lock)

    # reading

    def unsent(self, stream: Stream) -> Unsent:
        """Return which durable blocks of `stream` have no receipt. No disk is touched."""
        return self._store.unsent(stream)

    def read(self, stream: Stream, sequence: int, *, history: bool = False) -> bytes | None:
        """Return a durable block's bytes; None if it was released (unless `history`), purged, or never there.

        Raises:
            StorageError: the file cannot be read.
        """
        if not history and contains(self._store.released[stream], sequence):
            return None
        return self._one(_READ[stream], sequence)

    def catalogue(self, catalogue_hash: str) -> bytes | None:
        """Return a durable catalogue's bytes.

        Raises:
            StorageError: the file cannot be read.
        """
        return self._one("SELECT payload FROM catalogues WHERE hash = ?", catalogue_hash)

    def audit_tail(self, count: int = 1_000) -> list[bytes]:
        """Return the latest durable audit rows, oldest first.

        Raises:
            StorageError: the file cannot be read.
        """
        with schema.errors(self._store.path, "cannot read"):
            rows = self._reader.execute("SELECT record FROM audit ORDER BY n DESC LIMIT ?", (count,)).fetchall()
        return [row[0] for row in reversed(rows)]

    def _one(self, statement: str, key: int | str) -> bytes | None:
        with schema.errors(self._store.path, "cannot read"):
            row = self._reader.execute(statement, (key,)).fetchone()
        return bytes(row[0]) if row else None
