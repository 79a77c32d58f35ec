"""What can be read of a damaged outbox: row by row, each one checked, by SQLite first and past it where it gives up."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from edge.outbox import rows, schema, trail
from edge.outbox.carve import Pages
from sitekeeper import catalogue, chain
from sitekeeper.block import Stream, decode
from sitekeeper.model.errors import FormatError

_PAGE_SIZES: Final = frozenset(1 << n for n in range(9, 17))
_CARVE_LIMIT: Final = 1 << 30

BlockRow = tuple[int, int, int, int, bytes]
"""sequence, count, t0, t1, payload"""

_Carved = list[tuple[int, tuple[Any, ...]]]


class Remains:
    """A quarantined file, opened only to be read. Every method returns what is sound and never raises for the rest.

    Args:
        path: the file; its log beside it is read too.
        page: its page size, if its own header does not tell.
        until: on `time.monotonic`, when to stop looking for more history.
    """

    def __init__(self, path: Path, page: int, until: float) -> None:
        self.path, self.until = path, until
        self._page = page
        self._pages: _Carved | None = None
        self._small = path.exists() and path.stat().st_size <= schema.CHECK_WHOLE
        self._connections = [c for query in ("mode=ro", "mode=ro&immutable=1") if (c := self._open(query)) is not None]
        self.meta = {row[0]: row[1] for row in self.state("meta")[0]}

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def state(self, table: str) -> tuple[list[rows.Row], bool]:
        """Return the sound rows of a table of state, without digests, and whether that is surely all of them."""
        found: dict[rows.Row, rows.Row] = {}
        whole = bool(self._connections)
        for connection in self._connections[:1]:
            key = ", ".join(rows.COLUMNS[table][: rows.KEYED[table]])
            for order in (key, f"{key} DESC"):
                ended = yield_all(connection, f"{rows.select(table)} ORDER BY {order}")
                for row in ended.rows:
                    if rows.is_sound(table, row):
                        found[row[: rows.KEYED[table]]] = row[:-1]
                    else:
                        whole = False
                if ended.whole:
                    break
                whole = False
            whole = whole and yield_all(connection, f"PRAGMA quick_check({table})").rows == [("ok",)]
        return sorted(found.values()), whole

    def blocks(self, stream: Stream) -> dict[int, Callable[[], BlockRow]]:
        """Return the sound blocks of a stream by sequence; each is read when it is called for."""
        table = f"blocks_{stream}"
        found: dict[int, Callable[[], BlockRow]] = {}
        for connection in self._connections:
            for lot in self._walk(connection, table, rows.COLUMNS[table]):
                for row in lot:
                    if row[0] not in found and (block := sound_block(table, row)) is not None:
                        found[row[0]] = self._later(connection, table, block)
        for rowid, columns in self._carved():
            row = (rowid, *columns[1:])
            if len(row) in {5, 6} and columns[0] is None and rowid not in found:
                block = sound_block(table, row if len(row) == 6 else (*row, None), strict=True)
                if block is not None:
                    found[rowid] = lambda block=block: block  # type: ignore[misc]
        return found

    def salvaged(self) -> Iterator[rows.Row]:
        """Yield the blocks that an earlier salvage saved into this file."""
        for connection in self._connections[:1]:
            for lot in self._walk(connection, "salvaged", rows.COLUMNS["salvaged"], key="rowid"):
                yield from (row[:-1] for row in lot if rows.is_sound("salvaged", row))

    def catalogues(self) -> dict[str, bytes]:
        """Return the catalogues that are what their hash says."""
        found: dict[str, bytes] = {}
        for connection in self._connections:
            for row in yield_all(connection, "SELECT hash, payload FROM catalogues").rows:
                found[row[0]] = row[1]
            for row in yield_all(connection, "SELECT hash, payload FROM catalogues ORDER BY rowid DESC").rows:
                found[row[0]] = row[1]
        for _, columns in self._carved():
            if len(columns) == 2 and isinstance(columns[0], str) and isinstance(columns[1], bytes):
                found[columns[0]] = columns[1]
        return {key: each for key, each in found.items() if _is_catalogue(key, each)}

    def audit(self) -> list[bytes]:
        """Return the audit's records, in order: as long as the chain holds, and then what else can be read."""
        found: dict[int, bytes] = {}
        hashes = dict([trail.BEGINNING])
        with contextlib.suppress(ValueError):
            hashes = dict([trail.anchor_of(self.meta)])
        for connection in self._connections[:1]:
            for order in ("n", "n DESC"):
                for row in yield_all(connection, f"SELECT n, record, hash FROM audit ORDER BY {order}").rows:  # noqa: S608
                    found[row[0]], hashes[row[0]] = row[1], row[2]
        # A record counts if its own hash stands on the hash before it, whatever became of the others.
        return [
            found[n]
            for n in sorted(found)
            if isinstance(found[n], bytes)
            and len(before := hashes.get(n - 1, b"")) == len(chain.GENESIS)
            and chain.link(before, found[n]) == hashes[n]
        ]

    def _later(self, connection: sqlite3.Connection, table: str, block: BlockRow) -> Callable[[], BlockRow]:
        """Return what gives a block later: a large file is read again rather than held in memory, where that works."""
        statement = f"SELECT payload FROM {table} WHERE sequence = {block[0]}"  # noqa: S608 - names of ours
        if self._small or yield_all(connection, statement).rows != [(block[4],)]:
            return lambda: block
        kept = block[:4]
        return lambda: (*kept, connection.execute(statement).fetchone()[0])

    def _walk(
        self, connection: sqlite3.Connection, table: str, columns: tuple[str, ...], key: str = "sequence"
    ) -> Iterator[list[rows.Row]]:
        """Yield what can be read of a table in lots, from both ends up to the damage."""
        names = ", ".join(columns)
        for order, beyond in (("", ">"), (" DESC", "<")):
            place: int | None = None
            while True:
                where = "" if place is None else f" WHERE {key} {beyond} {place}"
                for wanted in (f"{names}, digest", f"{names}, NULL"):  # a file of version 1 has no digests
                    ended = yield_all(
                        connection,
                        f"SELECT {key}, {wanted} FROM {table}{where} ORDER BY {key}{order} LIMIT 200",  # noqa: S608
                    )
                    if ended.rows or ended.whole:
                        break
                keys = [row[0] for row in ended.rows]
                yield [row[1:] for row in ended.rows]
                last, place = place, (max if beyond == ">" else min)(keys, default=place)
                knotted = bool(keys) and last is not None and place is not None and not _beyond(place, beyond, last)
                if not ended.whole or knotted:
                    self._carved()
                    break
                if len(ended.rows) < 200:
                    return

    def _carved(self) -> _Carved:
        """Return the rows of all leaf pages, once they were needed."""
        if self._pages is None and self._damaged_trees():
            try:
                pages = Pages(self.path, self._page_size()) if self.path.stat().st_size <= _CARVE_LIMIT else None
            except (OSError, MemoryError):
                pages = None
            self._pages = []
            for row in pages.rows() if pages is not None else ():
                self._pages.append(row)
                if time.monotonic() > self.until:
                    break
        return self._pages or []

    def _damaged_trees(self) -> bool:
        """Tell whether SQLite cannot lead to everything: by its trees, or for a log that it reads a part of only."""
        wal = self.path.with_name(self.path.name + "-wal")
        return (wal.exists() and wal.stat().st_size > 0) or not any(
            yield_all(c, "PRAGMA quick_check(1)").rows == [("ok",)] for c in self._connections[:1]
        )

    def _page_size(self) -> int:
        with self.path.open("rb") as file:
            size = int.from_bytes(file.read(18)[16:18], "big") or 1
        return size if size in _PAGE_SIZES else self._page

    def _open(self, query: str) -> sqlite3.Connection | None:
        try:
            connection = sqlite3.connect(f"{self.path.resolve().as_uri()}?{query}", uri=True, isolation_level=None)
        except sqlite3.Error:
            return None
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        with contextlib.suppress(sqlite3.Error, ValueError):
            for pragma in ("trusted_schema=OFF", "mmap_size=0", "query_only=ON"):
                connection.execute(f"PRAGMA {pragma}")
            if any(kind == "table" for (kind,) in connection.execute("SELECT type FROM sqlite_master")):
                return connection
        connection.close()
        return None


def _beyond(place: int, beyond: str, last: int) -> bool:
    """Tell whether a walk went on; a tree in knots leads back to where it was."""
    return place > last if beyond == ">" else place < last


class Ended:
    """Rows up to where the damage is; `whole` if there was none."""

    def __init__(self) -> None:
        self.rows: list[rows.Row] = []
        self.whole = False


def yield_all(connection: sqlite3.Connection, statement: str) -> Ended:
    """Return what a statement gives before it fails, if it does."""
    ended = Ended()
    try:
        for row in connection.execute(statement):
            ended.rows.append(row)
        ended.whole = True
    except (sqlite3.Error, OverflowError, ValueError):
        return ended
    return ended


def sound_block(table: str, row: rows.Row, *, strict: bool = False) -> BlockRow | None:
    """Return a block's row if it is what was written; without a digest, by what the block says of itself.

    Args:
        strict: the row may be of any table: a block without a digest must say that it is of this one.
    """
    if row[-1] is not None and rows.is_sound(table, row):
        return row[:-1]
    if row[-1] is not None or not isinstance(row[4], bytes):
        return None
    try:
        block = decode(row[4])
    except FormatError:
        return None
    if (f"blocks_{block.stream}", block.sequence) != (table, row[0]) and (strict or block.sequence != row[0]):
        return None
    times = [block.wall(sample.at) for sample in block.samples] + [block.wall(event.at) for event in block.events]
    times += [move.at for move in block.transitions]
    return row[0], len(times), min(times, default=block.t0), max(times, default=block.t0), row[4]


def _is_catalogue(key: str, payload: object) -> bool:
    return isinstance(payload, bytes) and catalogue.catalogue_hash(payload) == key
