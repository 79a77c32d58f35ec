"""SQLite as the store's queries see it: the dialect, the writing connection, the reading one."""

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from cloud_sync.store.sql import Dialect, Engine, NamedRow, Row, Rows
from sitekeeper.model.errors import StorageError
from sitekeeper.model.sample import Value

LOG_PAGES = 4_096
"""Pages in the log at which they are moved into the file: 16 MiB. Samples of 5,000 points touch a page of each point
again with every few transactions; moving such a page at SQLite's usual 4 MiB writes it a quarter to a third more often.
"""


def _cells(value: Value) -> Row:
    """Return a value as SQLite can hold it: integers beyond 63 bits as decimal text."""
    if type(value) is int and not -(2**63) <= value < 2**63:
        return (str(value),)
    return (value,)


def _value(cells: Sequence[Any]) -> Value:
    found: Value = cells[0]
    return found


DIALECT = Dialect(
    values=("value",),
    cells=_cells,
    value=_value,
    number="CASE WHEN typeof(s.value) IN ('integer', 'real') THEN CAST(s.value AS REAL) END",
    word="s.value",
    device_of="substr(source_id, 1, instr(source_id, '/') - 1)",
)


class SqliteSql:
    """Implements `cloud_sync.store.sql.Sql` on a connection whose transactions its owner begins and ends."""

    engine: Engine = "sqlite"
    dialect = DIALECT

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def execute(self, statement: str, arguments: Sequence[object] = ()) -> Rows:
        return self.connection.execute(statement, arguments)

    def executemany(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        self.connection.executemany(statement, rows)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        self.connection.executemany(_insert(table, tuple(columns)), rows)

    def upsert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]], conflict: str) -> None:
        self.connection.executemany(f"{_insert(table, tuple(columns))} {conflict}", rows)


@lru_cache(64)
def _insert(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608


class SqliteLink:
    """Implements `cloud_sync.store.writer.Link`: the connection that writes."""

    retries = 0

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sql: SqliteSql | None = None

    def begin(self) -> SqliteSql:
        if self._sql is None:
            # Inline, the thread that opened it may not be the one that closes it.
            opened = sqlite3.connect(self._path, isolation_level=None, timeout=5.0, check_same_thread=False)
            self._sql = SqliteSql(opened)
            opened.execute("PRAGMA journal_mode = WAL")
            opened.execute("PRAGMA synchronous = FULL")
            opened.execute("PRAGMA cache_size = -16384")
            opened.execute("PRAGMA journal_size_limit = 67108864")
            opened.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        self._sql.execute("BEGIN IMMEDIATE")
        return self._sql

    def commit(self) -> None:
        if self._sql is not None:
            self._sql.execute("COMMIT")

    def drop(self) -> None:
        if self._sql is not None:
            self._sql.connection.close()  # rolls back what is open
            self._sql = None

    def again(self, err: Exception) -> bool:
        del err
        return False

    def told(self, err: Exception, *, unknown: bool) -> Exception:
        if isinstance(err, sqlite3.Error | OverflowError):
            refused = isinstance(err, sqlite3.IntegrityError | sqlite3.DataError | OverflowError)
            return StorageError(f"central store: {err}", unknown=unknown, refused=refused)
        return err


class SqliteReading:
    """Implements `cloud_sync.store.sql.Reading` on a read-only connection."""

    engine: Engine = "sqlite"
    dialect = DIALECT

    def __init__(self, path: Path) -> None:
        self._sql = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5.0)
        self._sql.row_factory = sqlite3.Row

    def rows(self, statement: str, arguments: Sequence[object] = ()) -> Sequence[NamedRow]:
        try:
            return self._sql.execute(statement, arguments).fetchall()
        except sqlite3.Error as err:
            raise StorageError(f"central store: {err}") from None

    def close(self) -> None:
        self._sql.close()
