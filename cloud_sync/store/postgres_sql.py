"""The one door to psycopg: PostgreSQL as the store's queries see it. None of its exceptions gets out.

Integers, times and flags are sent as bigint and texts as text, so that a statement is prepared once and not once for
each mixture of sizes. Text cannot hold a NUL character here; it is kept as U+2400, its picture.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import psycopg
from psycopg import errors
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper

from cloud_sync.store.sql import Dialect, Engine, NamedRow, Row, Rows
from sitekeeper.model.errors import StorageError
from sitekeeper.model.sample import Value

NUL: Final = "\u2400"
DEFAULTS: Final[Mapping[str, str | int]] = {
    "connect_timeout": 3,  # s
    "application_name": "sitekeeper",
    "keepalives_idle": 10,  # s
    "keepalives_interval": 5,  # s
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # ms; a link that swallows what we send is found by this
    "options": "-c statement_timeout=30s -c idle_in_transaction_session_timeout=60s",
}
"""For what the address does not say itself: nothing waits for ever."""
PAUSE_S: Final = 1.0
"""A reader whose connection failed answers so for this long before it tries again; the event loop reads through one."""
_TYPES: Final = {
    "samples": ("int4", "int8", "int2", "int8", "int8", "int4", "float8", "int8", "text"),
    "latest": ("int8", "int8", "int2", "int8", "text", "int8", "int4", "float8", "int8", "text", "int8"),
    "coverage": ("text", "text", "int8", "int8"),
    "rollup_due": ("int8", "int8"),
    "rollup_due_groups": ("text", "text", "int8", "int8"),
}
"""Column types of the tables that get many rows at once, in the order in which `apply` gives them."""


def _cells(value: Value) -> Row:
    """Return (number, whole, word): what is not a number, and integers beyond 63 bits, are text; NaN is no value."""
    if isinstance(value, float):
        return (None if math.isnan(value) else value, None, None)
    if isinstance(value, int):
        return (None, int(value), None) if -(2**63) <= value < 2**63 else (None, None, str(value))
    return (None, None, None if value is None else value.replace("\0", NUL))


def _value(cells: Sequence[Any]) -> Value:
    return next((cell for cell in cells if cell is not None), None)


DIALECT = Dialect(
    values=("number", "whole", "word"),
    cells=_cells,
    value=_value,
    number="coalesce(s.number, s.whole)",
    word="s.word",
    device_of="split_part(source_id, '/', 1)",
)


class _Text(StrDumper):
    def dump(self, obj: str) -> bytes:
        return (obj.replace("\0", NUL) if "\0" in obj else obj).encode()


class _Flag(Int8Dumper):
    def dump(self, obj: Any) -> bytes:
        return b"1" if obj else b"0"


class _Number(Loader):
    """Sums of integers are `numeric` here; they come back as the integers that they are."""

    def load(self, data: Any) -> int | float:
        text = bytes(data).decode()
        return int(text) if text.lstrip("-").isdigit() else float(text)


def parsed(url: str) -> dict[str, Any]:
    """Return what a url says.

    Raises:
        StorageError: it is none; libpq's own words are not told, because they hold parts of the password.
    """
    try:
        return conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        msg = "central store: this is no url of a PostgreSQL database; % in a password is written %25, @ %40, / %2F"
        raise StorageError(msg) from None


def connect(url: str) -> "psycopg.Connection[Any]":
    """Connect, in autocommit mode. Raises psycopg.Error, or StorageError for a url that is none."""
    given = parsed(url)
    opened = psycopg.connect(
        make_conninfo(url, **{key: value for key, value in DEFAULTS.items() if key not in given}), autocommit=True
    )
    for kind, dumper in ((int, Int8Dumper), (bool, _Flag), (str, _Text)):
        opened.adapters.register_dumper(kind, dumper)
    opened.adapters.register_loader("numeric", _Number)
    if opened.execute("SHOW synchronous_commit").fetchone() == ("off",):
        opened.execute("SET synchronous_commit = on")  # a receipt is given for what is on the disk
    return opened


@lru_cache(1_000)
def _translated(statement: str) -> str:
    return statement.replace("%", "%%").replace("?", "%s")


def told(err: Exception, *, unknown: bool = False) -> Exception:
    """Return an error of the library as ours; any other as it is."""
    if not isinstance(err, psycopg.Error):
        return err
    first = str(err).strip().splitlines() or [type(err).__name__]
    code = f" ({err.sqlstate})" if err.sqlstate else ""
    refused = isinstance(err, psycopg.DataError | psycopg.IntegrityError | errors.ProgramLimitExceeded)
    return StorageError(f"central store: {first[0]}{code}", unknown=unknown, refused=refused)


class PostgresSql:
    """Implements `cloud_sync.store.sql.Sql` on a connection whose transactions its owner begins and ends."""

    engine: Engine = "postgres"
    dialect = DIALECT

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self.connection = connection

    def execute(self, statement: str, arguments: Sequence[object] = ()) -> Rows:
        return self.connection.execute(_translated(statement), arguments)

    def executemany(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        if rows:
            with self.connection.cursor() as cursor:
                cursor.executemany(_translated(statement), rows)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        if not rows:
            return
        types = _TYPES.get(table)
        form = " (FORMAT BINARY)" if types else ""
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN{form}"
        with self.connection.cursor() as cursor, cursor.copy(statement) as copy:
            if types:
                copy.set_types(types)
            for row in rows:
                copy.write_row(row)

    def upsert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]], conflict: str) -> None:
        if rows:
            arrays = ", ".join(f"%s::{kind}[]" for kind in _TYPES[table])
            statement = f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({arrays}) {conflict}"  # noqa: S608
            columns_of = zip(_TYPES[table], zip(*rows, strict=True), strict=True)
            self.connection.execute(statement, [_array(kind, column) for kind, column in columns_of])


def _array(kind: str, cells: Sequence[Any]) -> str:
    """Return an array in PostgreSQL's own notation: ten times as quick as leaving it to the library."""
    if kind != "text":
        return "{" + ",".join(["NULL" if cell is None else str(cell) for cell in cells]) + "}"
    words = ["NULL" if cell is None else _quoted(cell) for cell in cells]
    return "{" + ",".join(words) + "}"


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class PostgresLink:
    """Implements `cloud_sync.store.writer.Link`: the connection that writes."""

    retries = 8
    """A transaction that lost a deadlock is tried again as a whole; keys are sorted, so that is hardly ever."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._sql: PostgresSql | None = None

    def begin(self) -> PostgresSql:
        if self._sql is not None:
            try:
                self._sql.execute("BEGIN")
                return self._sql
            except psycopg.OperationalError:  # it died while nothing was under way: nothing is lost with it
                self.drop()
        self._sql = PostgresSql(connect(self._url))
        self._sql.execute("BEGIN")
        return self._sql

    def commit(self) -> None:
        if self._sql is not None:
            self._sql.execute("COMMIT")

    def drop(self) -> None:
        if self._sql is not None:
            self._sql.connection.close()
            self._sql = None

    def again(self, err: Exception) -> bool:
        return isinstance(err, errors.SerializationFailure | errors.DeadlockDetected)

    def told(self, err: Exception, *, unknown: bool) -> Exception:
        return told(err, unknown=unknown)


class PostgresRow:
    """Implements `cloud_sync.store.sql.NamedRow`."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: dict[str, int], values: Sequence[Any]) -> None:
        self._places = places
        self._values = values

    def __getitem__(self, key: int | str) -> Any:
        return self._values[self._places[key] if isinstance(key, str) else key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> Sequence[str]:
        return list(self._places)


class PostgresReading:
    """Implements `cloud_sync.store.sql.Reading`. A lost connection is made again by the next question."""

    engine: Engine = "postgres"
    dialect = DIALECT

    def __init__(self, url: str, now: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._now = now
        self._sql: psycopg.Connection[Any] | None = None
        self._failed: tuple[float, str] | None = None

    def rows(self, statement: str, arguments: Sequence[object] = ()) -> Sequence[NamedRow]:
        try:
            return self._rows(statement, arguments)
        except psycopg.OperationalError:  # perhaps it died while nobody asked: reading twice is harmless
            self.close()
        try:
            return self._rows(statement, arguments)
        except psycopg.Error as err:
            self.close()
            raise told(err) from None

    def close(self) -> None:
        if self._sql is not None:
            self._sql.close()
            self._sql = None

    def _rows(self, statement: str, arguments: Sequence[object]) -> Sequence[NamedRow]:
        cursor = self._connection().execute(_translated(statement), arguments)
        places = {column.name: place for place, column in enumerate(cursor.description or ())}
        return [PostgresRow(places, row) for row in cursor.fetchall()]

    def _connection(self) -> "psycopg.Connection[Any]":
        if self._sql is None:
            if self._failed is not None and self._now() - self._failed[0] < PAUSE_S:
                raise StorageError(self._failed[1])
            try:
                self._sql = connect(self._url)
                self._sql.execute("SET default_transaction_read_only = on")
            except psycopg.Error as err:
                self.close()
                self._failed = (self._now(), str(told(err)))
                raise
            self._failed = None
        return self._sql
