"""What the store's queries need of a database, so that one set of them runs on SQLite and on PostgreSQL.

Statements keep to what both understand: `?` for arguments, `INSERT ... ON CONFLICT`, `RETURNING`, `CASE`, window
functions; no `INSERT OR`, no scalar `max`, no functions on JSON. Booleans are 0 and 1, times BIGINT microseconds, and
JSON is text. An argument that may be None and stands alone (`? IS NULL`) wants a CAST. Where the engines must differ,
`dialect` says it; `engine` tells which one it is.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sitekeeper.model.sample import Value

Engine = Literal["sqlite", "postgres"]
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Dialect:
    """All that the queries must say differently to the two engines.

    Attributes:
        values: the columns in which a sample's value lies, in `samples` and `latest`.
        cells: a value as these columns hold it. value: the way back; booleans come back as 0 and 1.
        number: the value of a sample `s` as a floating number, NULL for a word. word: as text, if it is one.
        device_of: the device in an event's `source_id`, as the index has it.
    """

    values: tuple[str, ...]
    cells: Callable[[Value], Row]
    value: Callable[[Sequence[Any]], Value]
    number: str
    word: str
    device_of: str


class Rows(Protocol):
    """What a statement found."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Row | None: ...
    def fetchall(self) -> list[Row]: ...
    def __iter__(self) -> Iterator[Row]: ...


class Sql(Protocol):
    """One connection, inside a transaction that its owner begins and ends. Errors are turned into ours at the owner."""

    @property
    def engine(self) -> Engine: ...
    @property
    def dialect(self) -> Dialect: ...

    def execute(self, statement: str, arguments: Sequence[object] = ()) -> Rows:
        """Run one statement."""

    def executemany(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        """Run one statement for each of `rows`; with none, do nothing."""

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Insert many rows that are certainly new, the quickest way."""

    def upsert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]], conflict: str) -> None:
        """Insert many rows of different keys the quickest way; `conflict` is the statement's ON CONFLICT clause."""


class NamedRow(Protocol):
    """A row of a reader: by place and by name; `named` makes a dictionary of it."""

    def __getitem__(self, key: int | str, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def keys(self) -> Sequence[str]: ...


class Reading(Protocol):
    """A connection that only reads. Belongs to the thread that made it."""

    @property
    def engine(self) -> Engine: ...
    @property
    def dialect(self) -> Dialect: ...

    def rows(self, statement: str, arguments: Sequence[object] = ()) -> Sequence[NamedRow]:
        """Return what a query finds. Raises StorageError."""

    def close(self) -> None:
        """Close the connection."""


def named(row: NamedRow) -> dict[str, Any]:
    """Return a row as a dictionary."""
    return {name: row[name] for name in row.keys()}  # noqa: SIM118 - a row iterates over its values
