"""The baseline of `benchmarks.blocks`: samples as rows of one SQLite table. Imports nothing of ours."""

import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path

Row = tuple[int, int, object, int]
"""(point, wall time in us, value, quality)"""


def row_bytes(rows: Sequence[Row]) -> float:
    """Return the bytes a row of a table without any index, as the file stands on disk after VACUUM."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.db"
        connection = sqlite3.connect(file)
        try:
            connection.execute("CREATE TABLE samples (point INTEGER, at INTEGER, value, q INTEGER)")
            connection.executemany("INSERT INTO samples VALUES (?, ?, ?, ?)", rows)
            connection.commit()
            connection.execute("VACUUM")
        finally:
            connection.close()
        return file.stat().st_size / len(rows)
