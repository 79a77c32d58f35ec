"""Reading the outbox from another process: history of a point, the story of an occurrence, sizes. Never writes.

Long reads go block by block, so that no snapshot is held: a held one would keep the writer from emptying its log.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from edge.outbox import schema, trail
from sitekeeper import catalogue
from sitekeeper.block import STREAMS, Block, Stream, decode
from sitekeeper.model.alarm import Transition
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import NotFound
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

    def _handles_of(self, hashed: str) -> dict[str, int]:
        known = self._handles.get(hashed)
        if known is None:
            found = self._column("SELECT payload FROM catalogues WHERE hash = ?", hashed)
            if not found:
                msg = f"{self._path}: catalogue {hashed}"
                raise NotFound(msg)
            points = catalogue.decode(found[0]).points
            known = self._handles[hashed] = {point.id: handle for handle, point in enumerate(points)}
        return known

    def _column(self, statement: str, *arguments: object) -> list[Any]:
        with schema.errors(self._path, "cannot read"):
            return [row[0] for row in self._connection.execute(statement, arguments)]
