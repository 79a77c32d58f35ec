"""The tables, step by step: what each version added, and what a file of a version must therefore hold."""

import sqlite3
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

from edge.outbox import rows
from edge.outbox.records import Damaged
from sitekeeper.block import peek
from sitekeeper.model.errors import FormatError

BLOCKS: Final = ("blocks_alarms", "blocks_events", "blocks_samples")

_BLOCK_TABLE: Final = """
CREATE TABLE {name} (
  sequence INTEGER PRIMARY KEY, count INTEGER NOT NULL, t0 INTEGER NOT NULL, t1 INTEGER NOT NULL, payload BLOB NOT NULL
) STRICT
"""

_FIRST: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX blocks_samples_time ON blocks_samples (t1, t0);
CREATE TABLE released (
  stream TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (stream, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE catalogues (hash TEXT PRIMARY KEY, payload BLOB NOT NULL) STRICT;
CREATE TABLE alarms (key TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE rule_state (instance TEXT PRIMARY KEY, state BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE group_until (scan_group TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE audit (n INTEGER PRIMARY KEY, record BLOB NOT NULL, hash BLOB NOT NULL) STRICT;
CREATE VIEW blocks AS
  SELECT stream, sequence, count, t0, t1, payload, EXISTS (
    SELECT 1 FROM released r WHERE r.stream = b.stream AND b.sequence BETWEEN r.first AND r.last
  ) AS released
  FROM (SELECT 'alarms' AS stream, * FROM blocks_alarms UNION ALL SELECT 'events', * FROM blocks_events
        UNION ALL SELECT 'samples', * FROM blocks_samples) b;
"""

_SECOND: Final = """
CREATE TABLE dropped (
  first INTEGER PRIMARY KEY, last INTEGER NOT NULL, blocks INTEGER NOT NULL, records INTEGER NOT NULL,
  t0 INTEGER NOT NULL, t1 INTEGER NOT NULL, told INTEGER NOT NULL, digest BLOB
) STRICT;
CREATE TABLE dropped_groups (
  scan_group TEXT NOT NULL, cause TEXT NOT NULL, start INTEGER NOT NULL, until INTEGER NOT NULL, digest BLOB,
  PRIMARY KEY (scan_group, cause, start)
) STRICT, WITHOUT ROWID;
CREATE TABLE dropped_state (point TEXT PRIMARY KEY, sample BLOB NOT NULL, digest BLOB) STRICT, WITHOUT ROWID;
CREATE TABLE salvaged (
  epoch TEXT NOT NULL, stream TEXT NOT NULL, sequence INTEGER NOT NULL, count INTEGER NOT NULL, t0 INTEGER NOT NULL,
  t1 INTEGER NOT NULL, released INTEGER NOT NULL, payload BLOB NOT NULL, digest BLOB, UNIQUE (epoch, stream, sequence)
) STRICT;
CREATE INDEX salvaged_unsent ON salvaged (stream, epoch, sequence) WHERE NOT released;
"""

_WITH_DIGESTS: Final = (*BLOCKS, "meta", "released", "alarms", "rule_state", "group_until")


def _first(connection: sqlite3.Connection) -> None:
    for name in BLOCKS:
        connection.execute(_BLOCK_TABLE.replace("{name}", name))
    _execute(connection, _FIRST)
    connection.execute("PRAGMA application_id=0x534B4F42")
    connection.execute("INSERT INTO meta (key, value) VALUES ('version', '1'), ('min_reader', '1')")


def _second(connection: sqlite3.Connection) -> None:
    """Digests in every row of state; blocks get theirs from now on, those before are known by their own checksum."""
    for name in _WITH_DIGESTS:
        connection.execute(f"ALTER TABLE {name} ADD COLUMN digest BLOB")
    _execute(connection, _SECOND)
    connection.execute("UPDATE meta SET value = '2' WHERE key IN ('version', 'min_reader')")
    for name in (name for name in _WITH_DIGESTS if name not in BLOCKS):
        state = [row[:-1] for row in connection.execute(rows.select(name))]
        connection.executemany(rows.insert(name), rows.signed(name, state))


STEPS: Final[tuple[Callable[[sqlite3.Connection], None], ...]] = (_first, _second)
"""What makes each version out of the one before, in a transaction of its own; only ever adds."""


def strange(found: Iterable[tuple[str, str, str | None]], version: int) -> list[str]:
    """Return the names of what a file holds that its version does not; of a newer version, what could run by itself."""
    if version > len(STEPS):
        return [name for kind, name, sql in found if kind == "trigger" or (sql or "").upper().startswith("CREATE VIRT")]
    mine = {(kind, name, sql) for kind, name, sql in found if not is_plumbing(name)}
    return sorted({name for _, name, _ in mine ^ _expected(version)})


def is_plumbing(name: str) -> bool:
    """Tell whether a name belongs to SQLite itself or to the tool of migrations."""
    return name.startswith("sqlite_") or "_sqlite_migrations" in name


def block_sound(path: Path, table: str, row: tuple[Any, ...]) -> None:
    """Make sure that a block is what was written; `row` in the order of `rows.COLUMNS`, its digest last.

    Raises:
        Damaged: it is not.
    """
    if row[-1] is None:
        try:
            header = peek(row[4])
        except FormatError as error:
            msg = f"{path}: damaged: {table} {row[0]}: {error}"
            raise Damaged(msg) from None
        if (f"blocks_{header.stream}", header.sequence) == (table, row[0]):
            return
    elif rows.is_sound(table, row):
        return
    msg = f"{path}: damaged: {table} {row[0]} is not what was written"
    raise Damaged(msg)


@cache
def _expected(version: int) -> frozenset[tuple[str, str, str | None]]:
    connection = sqlite3.connect(":memory:")
    try:
        for step in STEPS[:version]:
            step(connection)
        found = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    finally:
        connection.close()
    return frozenset((kind, name, sql) for kind, name, sql in found if not is_plumbing(name))


def _execute(connection: sqlite3.Connection, script: str) -> None:
    for statement in filter(str.strip, script.split(";\n")):
        connection.execute(statement)
