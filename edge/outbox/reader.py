"""Reading the outbox from another process: history of a point, the story of an occurrence, sizes. Never writes.

Long reads go block by block, so that no snapshot is held: a held one would keep the writer from emptying its log.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from edge.outbox import schema, trail
from sitekeeper import catalogue
from sitekeeper.block import STREAMS, Block, Stream, decode
from sitekeeper.model.alarm import Transition
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import NotFound
from sitekeeper.model.event import Event
from sitekeeper.model.quality import Q
from sitekeeper.model.sample import Value

_READ: Final[dict[Stream, str]] = {
    "alarms": "SELECT payload FROM blocks_alarms WHERE sequence = ?",
    "events": "SELECT payload FROM blocks_events WHERE sequence = ?",
    "samples": "SELECT payload FROM blocks_samples WHERE sequence = ?",
}


class HistoryRow(NamedTuple):
    """One recorded change of a point, at wall time `at`."""

    at: Micros
    value: Value
    q: Q
    source: Micros | None


class Depth(NamedTuple):
    """What the file holds of one stream. `oldest_t0` is the wall time at which its local history begins."""

    blocks: int
    records: int
    bytes: int
    unsent: int
    oldest_t0: Micros | None


class Sizes(NamedTuple):
    """Bytes of the file, of what is in use in it, and of the log that waits to be moved into it."""

    file: int
    in_use: int
    log: int


class Reader:
    """A read-only view of an outbox file, also while a gateway writes it."""

    def __init__(self, path: Path) -> None:
        """Open `path`.

        Raises:
            StorageError: no such file, not an outbox, needs a newer reader, or may not be read.
        """
        self._path = path
        self._connection = schema.connect_reader(path)
        self._handles: dict[str, dict[str, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def history(self, point: str, since: Micros, until: Micros) -> Iterator[HistoryRow]:
        """Yield the recorded changes of `point` (`<device>/<point>`) between two wall times, in recorded order.

        Raises:
            StorageError: the file cannot be read.
            FormatError: a block or catalogue in it cannot be read.
            NotFound: a block's catalogue is missing.
        """
        statement = "SELECT sequence FROM blocks_samples WHERE t1 >= ? AND t0 <= ?"
        for block in self._blocks("samples", sorted(self._column(statement, since, until))):
            handle = self._handles_of(block.catalogue).get(point)
            for sample in block.samples:
                at = block.wall(sample.at)
                if sample.handle == handle and since <= at <= until:
                    yield HistoryRow(at, sample.value, sample.q, sample.source)

    def block_of(self, point: str, since: Micros, until: Micros) -> tuple[int, bool] | None:
        """Return (sequence, released) of the newest block with a change of `point` between two wall times.

        Raises:
            StorageError, FormatError, NotFound: as `history`.
        """
        statement = (
            "SELECT sequence, released FROM blocks WHERE stream = 'samples' AND t1 >= ? AND t0 <= ?"
            " ORDER BY sequence DESC"
        )
        with schema.errors(self._path, "cannot read"):
            rows = self._connection.execute(statement, (since, until)).fetchall()
        for sequence, released in rows:
            for block in self._blocks("samples", [sequence]):
                handle = self._handles_of(block.catalogue).get(point)
                if any(s.handle == handle and since <= block.wall(s.at) <= until for s in block.samples):
                    return sequence, bool(released)
        return None

    def transitions(self, occurrence: str) -> list[Transition]:
        """Return what the site recorded of one occurrence, in order; empty if this file never held it.

        Raises:
            StorageError, FormatError: as `history`.
        """
        _, _, born = occurrence.rpartition("@")
        epoch, _, sequence = born.rpartition("-")
        if epoch != self.meta().get("epoch") or not sequence.isdecimal():
            return []
        statement = "SELECT sequence FROM blocks_alarms WHERE sequence >= ? ORDER BY sequence"
        blocks = self._blocks("alarms", self._column(statement, int(sequence)))
        return [move for block in blocks for move in block.transitions if move.occurrence == occurrence]

    def moves(self, since: Micros) -> list[Transition]:
        """Return all moves of alarms since a wall time, in order.

        Raises:
            StorageError, FormatError: as `history`.
        """
        statement = (
            "SELECT sequence FROM blocks_alarms WHERE sequence >= ("
            "SELECT coalesce(min(sequence), 0) FROM blocks_alarms WHERE t1 >= ?) ORDER BY sequence"
        )
        blocks = self._blocks("alarms", self._column(statement, since))
        return [move for block in blocks for move in block.transitions if move.at >= since]

    def events(self, source_id: str, since: Micros, most: int = 2_000) -> list[tuple[Micros, Event]]:
        """Return what one source said since a wall time, each with its own: of the newest `most` blocks of events.

        Raises:
            StorageError, FormatError: as `history`.
        """
        statement = "SELECT sequence FROM blocks_events WHERE t1 >= ? ORDER BY sequence DESC LIMIT ?"
        blocks = self._blocks("events", sorted(self._column(statement, since, most)))
        said = ((block.wall(event.at), event) for block in blocks for event in block.events)
        return [(at, event) for at, event in said if at >= since and event.source_id == source_id]

    def record(self, since: Micros | None = None) -> Iterator[Block]:
        """Yield the blocks of all streams, run by run of the gateway, each in the order of their first records.

        Args:
            since: leave out events that were all before this wall time, and samples of runs that ended before it.
                All moves of alarms are there.

        Raises:
            StorageError, FormatError: as `history`.
        """
        alarms = self._blocks("alarms", self._column("SELECT sequence FROM blocks_alarms ORDER BY sequence"))
        late = "SELECT sequence FROM blocks_{} WHERE t1 >= ? ORDER BY sequence"
        events = self._blocks("events", self._column(late.format("events"), since or 0))
        samples = self._blocks("samples", self._of_runs(since or 0))
        return _merged([alarms, events, samples])

    def span(self) -> tuple[Micros, Micros] | None:
        """Return the wall times between which there are samples or events; None if there are none.

        Raises:
            StorageError: the file cannot be read.
        """
        with schema.errors(self._path, "cannot read"):
            statement = "SELECT min(t0), max(t1) FROM blocks WHERE stream <> 'alarms' AND count > 0"
            first, last = self._connection.execute(statement).fetchone()
        return None if first is None else (first, last)

    def catalogue(self, hashed: str) -> catalogue.Catalogue:
        """Return the catalogue that a block names.

        Raises:
            StorageError, FormatError, NotFound: as `history`.
        """
        found = self._column("SELECT payload FROM catalogues WHERE hash = ?", hashed)
        if not found:
            msg = f"{self._path}: catalogue {hashed}"
            raise NotFound(msg)
        return catalogue.decode(found[0])

    def points(self) -> frozenset[str]:
        """Return the ids of all points that samples may be of.

        Raises:
            StorageError, FormatError: as `history`.
        """
        every = map(catalogue.decode, self._column("SELECT payload FROM catalogues"))
        return frozenset(row.id for one in every for row in one.points)

    def every_event(self, since: Micros, until: Micros) -> Iterator[tuple[Micros, Event]]:
        """Yield what was recorded between two wall times, each event with that of its recording, in recorded order.

        Raises:
            StorageError, FormatError: as `history`.
        """
        statement = "SELECT sequence FROM blocks_events WHERE t1 >= ? AND t0 <= ?"
        for block in self._blocks("events", sorted(self._column(statement, since, until))):
            for event in block.events:
                at = block.wall(event.at)
                if since <= at <= until:
                    yield at, event

    def begins(self, stream: Stream) -> Micros | None:
        """Return the wall time at which the local history of a stream begins; None if there is none.

        Raises:
            StorageError: the file cannot be read.
        """
        statement = "SELECT t0 FROM blocks WHERE stream = ? ORDER BY sequence LIMIT 1"
        return next(iter(self._column(statement, stream)), None)

    def meta(self) -> dict[str, str]:
        """Return what the file says of itself: epoch, site, version and others.

        Raises:
            StorageError: the file cannot be read.
        """
        with schema.errors(self._path, "cannot read"):
            return schema.meta(self._connection)

    def depth(self) -> dict[Stream, Depth]:
        """Return what there is of each stream. Looks at every row; for people, not for timers.

        Raises:
            StorageError: the file cannot be read.
        """
        statement = (
            "SELECT count(*), total(count), total(length(payload)), count(*) FILTER (WHERE NOT released), min(t0)"
            " FROM blocks WHERE stream = ?"
        )
        with schema.errors(self._path, "cannot read"):
            rows = {stream: self._connection.execute(statement, (stream,)).fetchone() for stream in STREAMS}
        return {
            stream: Depth(blocks, int(records), int(size), unsent, t0)
            for stream, (blocks, records, size, unsent, t0) in rows.items()
        }

    def sizes(self) -> Sizes:
        """Return the sizes of the files, in bytes.

        Raises:
            StorageError: the file cannot be read.
        """
        with schema.errors(self._path, "cannot read"):
            in_use = schema.in_use(self._connection)
        log = self._path.with_name(self._path.name + "-wal")
        return Sizes(self._path.stat().st_size, in_use, log.stat().st_size if log.exists() else 0)

    def anchor(self) -> tuple[int, bytes]:
        """Return number and hash of the last audit row that was folded: what the first one in the file stands on.

        Raises:
            StorageError: the file cannot be read.
        """
        with schema.errors(self._path, "cannot read"):
            return trail.anchor_of(schema.meta(self._connection))

    def audit(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield the audit rows: number, record, hash; for people and for `sitekeeper.chain.verify`.

        Raises:
            StorageError: the file cannot be read.
        """
        last = 0
        while True:
            with schema.errors(self._path, "cannot read"):
                statement = "SELECT n, record, hash FROM audit WHERE n > ? ORDER BY n LIMIT 500"
                rows = self._connection.execute(statement, (last,)).fetchall()
            if not rows:
                return
            yield from rows
            last = rows[-1][0]

    def _blocks(self, stream: Stream, sequences: Iterable[int]) -> Iterator[Block]:
        for sequence in sequences:
            for payload in self._column(_READ[stream], sequence):  # none if it was purged meanwhile
                yield decode(payload)

    def _of_runs(self, since: Micros) -> list[int]:
        """Return the sequences of the samples from the beginning of the run that was at work at a wall time."""
        every = self._column("SELECT sequence FROM blocks_samples ORDER BY sequence")
        late = self._column("SELECT min(sequence) FROM blocks_samples WHERE t1 >= ?", since)
        if not every or late[0] is None:
            return []
        first = bisect_left(every, late[0])
        boot = self._boot(every[first])
        begins = bisect_left(range(first), 1, key=lambda place: int(self._boot(every[place]) == boot))
        return every[begins:]

    def _boot(self, sequence: int) -> str:
        """Return in which run a block of samples was made; empty for one that was purged meanwhile."""
        return next((block.boot for block in self._blocks("samples", [sequence])), "")

    def _handles_of(self, hashed: str) -> dict[str, int]:
        known = self._handles.get(hashed)
        if known is None:
            points = self.catalogue(hashed).points
            known = self._handles[hashed] = {point.id: handle for handle, point in enumerate(points)}
        return known

    def _column(self, statement: str, *arguments: object) -> list[Any]:
        with schema.errors(self._path, "cannot read"):
            return [row[0] for row in self._connection.execute(statement, arguments)]


def _merged(streams: Sequence[Iterator[Block]]) -> Iterator[Block]:
    """Return blocks of several streams, each in its own order: one run after the other, within it by time."""
    heads = {place: block for place, stream in enumerate(streams) if (block := next(stream, None)) is not None}
    boot = ""
    while heads:
        same = [place for place, block in heads.items() if block.boot == boot]
        if not same:
            boot = min(heads.values(), key=lambda block: block.t0).boot
            continue
        place = min(same, key=lambda place: (_begins(heads[place]), place))
        yield heads.pop(place)
        if (block := next(streams[place], None)) is not None:
            heads[place] = block


def _begins(block: Block) -> Micros:
    records = block.samples or block.events
    return records[0].at if records else block.mono0
