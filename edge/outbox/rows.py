"""A row with its digest: SQLite does not notice a flipped bit in a value, so each row that matters says what it was."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, Final

import msgspec

from edge.outbox.records import Damaged

SIZE: Final = 8
"""Bytes of a digest: against accidents, not against people."""

KEYED: Final[dict[str, int]] = {
    "meta": 1,
    "released": 2,
    "alarms": 1,
    "rule_state": 1,
    "group_until": 1,
    "dropped": 1,
    "dropped_groups": 3,
    "dropped_state": 1,
}
"""The tables of state, and how many of their first columns are the key."""

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "meta": ("key", "value"),
    "released": ("stream", "first", "last"),
    "alarms": ("key", "record"),
    "rule_state": ("instance", "state"),
    "group_until": ("scan_group", "until"),
    "dropped": ("first", "last", "blocks", "records", "t0", "t1", "told"),
    "dropped_groups": ("scan_group", "cause", "start", "until"),
    "dropped_state": ("point", "sample"),
    "blocks_alarms": ("sequence", "count", "t0", "t1", "payload"),
    "blocks_events": ("sequence", "count", "t0", "t1", "payload"),
    "blocks_samples": ("sequence", "count", "t0", "t1", "payload"),
    "salvaged": ("epoch", "stream", "sequence", "count", "t0", "t1", "released", "payload"),
}
"""The columns that a digest covers, in this order; `digest` itself is the last of each table."""

PLAIN: Final = {
    "catalogues": "INSERT OR IGNORE INTO catalogues VALUES (?, ?)",
    "audit": "INSERT INTO audit VALUES (?, ?, ?)",
}
"""Tables whose rows are known by what they are, and carry no digest: how one is written."""

Row = tuple[Any, ...]


def digest(table: str, row: Row) -> bytes:
    """Return what tells whether this row of this table is what was written."""
    return blake2b(msgspec.msgpack.encode((table, *row)), digest_size=SIZE).digest()


def insert(table: str) -> str:
    """Return the statement that writes or replaces one row with its digest; its arguments are made by `signed`."""
    names = (*COLUMNS[table], "digest")
    return f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608


def insert_new(table: str) -> str:
    """Return the statement that writes one row which must not be there yet."""
    return insert(table).replace("INSERT OR REPLACE", "INSERT", 1)


def delete(table: str) -> str:
    """Return the statement that deletes one row of a table of state by its key."""
    return f"DELETE FROM {table} WHERE {' AND '.join(f'{name} = ?' for name in COLUMNS[table][: KEYED[table]])}"  # noqa: S608 - names of ours


def select(table: str) -> str:
    """Return the statement that reads all rows of a table of state, each with its digest."""
    return f"SELECT {', '.join(COLUMNS[table])}, digest FROM {table}"  # noqa: S608 - names of ours


def signed(table: str, rows: Iterable[Row]) -> list[Row]:
    """Return rows with their digests."""
    return [(*row, digest(table, row)) for row in rows]


def is_sound(table: str, row: Row) -> bool:
    """Tell whether a row that was read with its digest is what was written."""
    return bool(row[-1] == digest(table, row[:-1]))


def sound(table: str, rows: Iterable[Row]) -> Iterator[Row]:
    """Yield rows without their digests.

    Raises:
        Damaged: one of them is not what was written.
    """
    for row in rows:
        if not is_sound(table, row):
            msg = f"damaged: a row of {table} is not what was written ({str(row[0])[:80]!r})"
            raise Damaged(msg)
        yield row[:-1]
