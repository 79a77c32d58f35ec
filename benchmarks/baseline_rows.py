"""Baseline of the outbox: one plain row per sample, WAL, synchronous=FULL, one commit per batch. Stdlib only."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

Row = tuple[int, int, object, int]
"""Point, time, value, quality."""


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE samples (id INTEGER PRIMARY KEY, point INTEGER, at INTEGER, value, q INTEGER)")
    return connection


def store(path: Path, rows: Sequence[Row], batch: int) -> None:
    """Insert `rows` with one commit per `batch` rows."""
    connection = connect(path)
    for start in range(0, len(rows), batch):
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO samples (point, at, value, q) VALUES (?, ?, ?, ?)", rows[start : start + batch]
        )
        connection.execute("COMMIT")
    connection.close()
