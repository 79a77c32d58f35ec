"""Baseline for alarm latency: three small commits in a row on the same disk, over and over, while an alarm bench runs.

    python -m benchmarks.baseline_commits DATABASE FILE

An alarm is committed three times on its way: at the site, at the office, and with the decision whom to tell. This does
nothing but three such commits (SQLite, WAL, synchronous=FULL), ten times a second, and writes down after each round how
many ms it took: the least that this machine and its disk allowed in that very run, whatever else they had to do.
"""

import json
import sqlite3
import sys
import time
from pathlib import Path

EVERY_S = 0.1


def main() -> None:
    """Commit until killed."""
    database, file = map(Path, sys.argv[1:])
    sql = sqlite3.connect(database, isolation_level=None)
    sql.execute("PRAGMA journal_mode = WAL")
    sql.execute("PRAGMA synchronous = FULL")
    sql.execute("CREATE TABLE alarms (id INTEGER PRIMARY KEY, at INTEGER, record BLOB)")
    with file.open("w", encoding="utf-8", buffering=1) as out:
        while True:
            began = time.perf_counter()
            for _ in range(3):
                sql.execute("INSERT INTO alarms (at, record) VALUES (?, ?)", (time.time_ns(), bytes(400)))
            out.write(json.dumps((time.perf_counter() - began) * 1e3) + "\n")
            time.sleep(EVERY_S)


if __name__ == "__main__":
    main()
