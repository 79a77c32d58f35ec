"""The outbox as the rest of the gateway sees it. The specification is the package's docstring."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final, Self

import msgspec

from edge.outbox import damage, quarantine, salvage, schema, space, tables
from edge.outbox.drops import Note
from edge.outbox.pace import Depth, Usage, depth
from edge.outbox.pending import Job
from edge.outbox.ranges import Ranges, contains
from edge.outbox.records import AsOf, Damaged, Limits, Sealed, StartState, Unsent
from edge.outbox.store import Store
from edge.outbox.trail import Anchor
from edge.outbox.writer import Committed, Writer
from sitekeeper import catalogue
from sitekeeper.block import Stream
from sitekeeper.model.alarm import AlarmRecord
from sitekeeper.model.clock import Clock, Micros
from sitekeeper.model.errors import StorageError

_READ: Final[dict[Stream, str]] = {
    "alarms": "SELECT sequence, count, t0, t1, payload, digest FROM blocks_alarms WHERE sequence = ?",
    "events": "SELECT sequence, count, t0, t1, payload, digest FROM blocks_events WHERE sequence = ?",
    "samples": "SELECT sequence, count, t0, t1, payload, digest FROM blocks_samples WHERE sequence = ?",
}
_READ_SALVAGED: Final = (
    "SELECT epoch, stream, sequence, count, t0, t1, released, payload, digest FROM salvaged"
    " WHERE epoch = ? AND stream = ? AND sequence = ?"
)


class Outbox:
    """One open outbox file. Made by `open`; all calls come from one thread, except that futures resolve on another."""

    def __init__(
        self, lock: int, store: Store, writer: Writer, reader: sqlite3.Connection, state: StartState, clock: Clock
    ) -> None:
        self._clock = clock
        self._lock = lock
        self._store = store
        self._writer = writer
        self._reader = reader
        self._state = state
        self._next = {stream: last + 1 for stream, last in state.sequences.items()}
        self._closed = False
        self._telling: Future[None] = Future()
        self._telling.set_result(None)

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
        own: bytes | None = None,
    ) -> Self:
        """Open or create the outbox of `site` at `path`.

        Args:
            inline: no thread; every append has committed when it returns.
            on_commit: told the blocks of every commit, on the writer's thread; neither blocks nor raises.
            make_epoch: names the epoch of a new file; random by default.
            own: the site's catalogue, for a damaged file that has lost it: without one no block says what times
                it accounts for.

        Raises:
            StorageError: in use by another process, not an outbox, of another site, newer, or damaged.
        """
        lock = schema.lock(path)
        try:
            store = _open_or_save(path, site, make_epoch, lock, clock, own)
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
        return cls(lock, store, writer, reader, state, clock)

    @property
    def epoch(self) -> str:
        """The random id made with the file."""
        return self._store.epoch

    @property
    def problem(self) -> StorageError | None:
        """Why nothing becomes durable at present; None while all is well."""
        return self._writer.problem

    @property
    def short(self) -> StorageError | None:
        """Why samples have no room at present; None while they have. Alarms and events go on in the reserve."""
        return self._writer.short

    def losses(self) -> tuple[int, int, Micros]:
        """Return blocks and records that were dropped for want of space, as far as known, and the last one's time."""
        return self._store.drops.sum()

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
        told: Note | None = None,
    ) -> Future[None]:
        """Store all of this in one transaction; the future resolves when it is durable, and cannot be cancelled.

        Args:
            blocks: the next ones of their streams.
            alarms: records as they stand after the transitions in `blocks`.
            rule_state: by rule instance; None removes it. `as_of`: the moment for which it is true.
            until: per scan group the wall time up to which the record accounts for it now.
            audit: rows for the hash chain.
            told: what `untold` gave, if `blocks` tell it: it is forgotten in this transaction.

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
            told=told,
            urgent=bool(alarms or audit) or any(block.stream != "samples" for block in blocks),
        )
        future = self._writer.submit(job)
        self._next = following
        if told is not None:
            self._telling = future
        return future

    def untold(self) -> Note | None:
        """Return what was dropped, or lost with another file, and was not told yet; None if there is nothing.

        It is given once: after an append with `told` nothing comes until that append is durable. Nothing comes while
        samples have no room either: what tells of them would be dropped too.
        """
        if self.short is not None or not self._telling.done():
            return None
        note = self._store.untold()
        return note if note.dropped or note.gaps or note.salvage else None

    def fold_audit(self, upto: int, record: Callable[[bytes], bytes]) -> Future[None] | None:
        """Fold the audit up to row `upto`: those rows are deleted; None if there is no such row (any more).

        Args:
            record: makes, of the hash of the last row that goes, the row that says so; stored in the same transaction.

        Raises:
            StorageError: as `append`, or the file cannot be read.
        """
        with schema.errors(self._store.path, "cannot read"):
            row = self._reader.execute("SELECT hash FROM audit WHERE n = ?", (upto,)).fetchone()
        if row is None:
            return None
        return self._writer.submit(Job(audit=(record(row[0]),), fold=Anchor(upto, row[0]), urgent=True))

    @property
    def audit_kept(self) -> tuple[int, int]:
        """Return the numbers of the last row of the audit that was folded, and of the last one."""
        found = self._store.trail
        return found.anchor.n, found.last

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
        if self._writer.full(samples=False) or not (epoch == self.epoch or any(epoch == e for e, _ in self.salvaged())):
            return False
        if epoch == self.epoch:
            self._writer.submit(Job(release=tuple(ranges)))
        else:
            self._writer.submit(Job(release_salvaged=tuple((epoch, *each) for each in ranges)))
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
        return self._one(f"blocks_{stream}", _READ[stream], sequence)

    def salvaged(self) -> Mapping[tuple[str, Stream], Ranges]:
        """Return which blocks of earlier epochs still wait for a receipt: ranges by epoch and stream."""
        return self._store.salvaged

    def read_salvaged(self, epoch: str, stream: Stream, sequence: int) -> bytes | None:
        """Return the bytes of a block that was saved from an earlier file; None if it is not there.

        Raises:
            StorageError: the file cannot be read; `Damaged` if it is.
        """
        return self._one("salvaged", _READ_SALVAGED, epoch, stream, sequence)

    def depth(self) -> Depth:
        """Return how much the outbox can still take, and how long that lasts."""
        (in_use, spare), limits = self._writer.sizes, self._writer.limits
        room = in_use + spare + space.room(self._store.path)
        kept, waiting = self._store.counts()
        unsent = int(in_use * waiting / kept) if kept else 0
        return depth(self._writer.pace, self._clock.monotonic(), unsent=unsent, capacity=min(limits.max_size, room))

    def hours(self) -> float | None:
        """Return for how many hours without the office there is room, at the rate of the last hour; None: not known."""
        hours = self.depth().hours
        return None if hours is None else round(hours, 1)

    def usage(self) -> Usage:
        """Return the bytes of the file, of the filesystem and of the reserve."""
        in_use, spare = self._writer.sizes
        reserve = self._writer.limits.reserve
        kept = space.Reserve(self._store.path, reserve).held
        return Usage(in_use, spare, self._writer.limits.max_size, space.room(self._store.path), reserve if kept else 0)

    def catalogue(self, catalogue_hash: str) -> bytes | None:
        """Return a durable catalogue's bytes.

        Raises:
            StorageError: the file cannot be read.
        """
        with schema.errors(self._store.path, "cannot read"):
            row = self._reader.execute("SELECT payload FROM catalogues WHERE hash = ?", (catalogue_hash,)).fetchone()
        return bytes(row[0]) if row else None

    def audit_tail(self, count: int = 1_000) -> list[bytes]:
        """Return the latest durable audit rows, oldest first.

        Raises:
            StorageError: the file cannot be read.
        """
        with schema.errors(self._store.path, "cannot read"):
            rows = self._reader.execute("SELECT record FROM audit ORDER BY n DESC LIMIT ?", (count,)).fetchall()
        return [row[0] for row in reversed(rows)]

    def _one(self, table: str, statement: str, *key: int | str) -> bytes | None:
        """Return the payload of a block, checked: damage ends this process, and the next start saves what it can."""
        try:
            with schema.errors(self._store.path, "cannot read"):
                row = self._reader.execute(statement, key).fetchone()
            if row is not None:
                tables.block_sound(self._store.path, table, row)
        except Damaged as error:
            damage.mark(self._store.path, str(error))
            raise
        return bytes(row[-2]) if row else None


def _open_or_save(
    path: Path, site: str, make_epoch: Callable[[], str] | None, lock: int, clock: Clock, own: bytes | None
) -> Store:
    """Open the file; one that is damaged or not the one of before is moved aside, and what it holds is saved.

    Raises:
        StorageError: the file is not ours to touch, or the disk refused.
    """
    instances = damage.Instances(lock)
    if (folder := quarantine.unfinished(path)) is not None:
        salvage.rebuild(path, folder, site, make_epoch, own)
    else:
        try:
            if why := damage.marked(path):
                raise Damaged(why)
            before = instances.epoch
            store = Store(path, site, make_epoch, instances=instances)
            if before not in {"", store.epoch}:
                store.tell_of(before)
            return store
        except Damaged as error:
            salvage.refuse_foreign(path, site)
            folder = quarantine.quarantine(path, str(error), clock.wall())
        salvage.rebuild(path, folder, site, make_epoch, own)
    instances.forget()
    return Store(path, site, make_epoch, instances=instances)
