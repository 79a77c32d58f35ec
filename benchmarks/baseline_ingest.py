"""Baseline for the ingest bench: the same rows into the same kind of table, with executemany and nothing around it."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

Row = tuple[int, int, object, int, int | None, int, int]


def insert(path: Path, batches: Sequence[Sequence[Row]]) -> None:
    """Insert each batch in one transaction; WAL and synchronous=FULL, as a store must."""
    sql = sqlite3.connect(path, isolation_level=None)
    sql.execute("PRAGMA journal_mode = WAL")
    sql.execute("PRAGMA synchronous = FULL")
    sql.execute(
        "CREATE TABLE samples (point INTEGER NOT NULL, at INTEGER NOT NULL, value, q INTEGER NOT NULL, source INTEGER,"
        " block INTEGER NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (point, at, block, position)) WITHOUT ROWID"
    )
    for batch in batches:
        sql.execute("BEGIN")
        sql.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?)", batch)
        sql.execute("COMMIT")
    sql.close()
