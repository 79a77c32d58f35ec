"""What leaves the file, and in which order: history too old first; then, if space is short, the oldest history; then
the oldest samples that the office does not have. Alarms and events that it does not have stay, however full the file.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Final

from edge.outbox.drops import Lost
from edge.outbox.ranges import Ranges, contains
from sitekeeper.block import Stream
from sitekeeper.model.clock import Micros

AT_ONCE: Final = 500
"""Most blocks of one purge: at 2 KiB each about 20 ms, in which an alarm's commit waits."""

ORDER: Final[tuple[Stream, ...]] = ("samples", "events", "alarms")

_SELECT: Final[dict[Stream, str]] = {
    "alarms": (
        "SELECT sequence, t1, length(payload) FROM blocks_alarms"
        " WHERE sequence BETWEEN ? AND ? ORDER BY sequence LIMIT ?"
    ),
    "events": (
        "SELECT sequence, t1, length(payload) FROM blocks_events"
        " WHERE sequence BETWEEN ? AND ? ORDER BY sequence LIMIT ?"
    ),
    "samples": (
        "SELECT sequence, t1, length(payload) FROM blocks_samples"
        " WHERE sequence BETWEEN ? AND ? ORDER BY sequence LIMIT ?"
    ),
}
DELETE: Final[dict[Stream, str]] = {
    "alarms": "DELETE FROM blocks_alarms WHERE sequence = ?",
    "events": "DELETE FROM blocks_events WHERE sequence = ?",
    "samples": "DELETE FROM blocks_samples WHERE sequence = ?",
}
_SALVAGED: Final = "SELECT rowid, t1, length(payload) FROM salvaged WHERE released ORDER BY rowid LIMIT ?"


def purge(
    connection: sqlite3.Connection,
    released: Mapping[Stream, Ranges],
    wall: Micros | None,
    history: Micros,
    excess: int,
) -> tuple[bool, int]:
    """Delete at most `AT_ONCE` blocks of history in one transaction.

    Freed pages are used again by what comes next; the file itself does not shrink.

    Args:
        wall: the time now; None while the clock is not trusted: then nothing goes for its age.
        excess: bytes that are to go, however young the history is.

    Returns:
        Whether that was too few, and how much of the excess is left.

    Raises:
        sqlite3.Error: the disk refused; the caller owns the connection and turns it into ours.
    """
    before = wall - history if wall is not None else None
    doomed: list[tuple[str, int]] = []
    for row, t1, size in connection.execute(_SALVAGED, (AT_ONCE,)).fetchall():
        if not (before is not None and t1 < before) and excess <= 0:
            break
        doomed.append(("DELETE FROM salvaged WHERE rowid = ?", row))
        excess -= size
    for stream in ORDER:
        for sequence, t1, size in _oldest(connection, stream, released[stream], AT_ONCE - len(doomed)):
            if not (before is not None and t1 < before) and excess <= 0:
                break
            doomed.append((DELETE[stream], sequence))
            excess -= size
    if doomed:
        connection.execute("BEGIN IMMEDIATE")
        for statement, key in doomed:
            connection.execute(statement, (key,))
        connection.execute("COMMIT")
    return len(doomed) >= AT_ONCE, excess


def oldest_unsent(connection: sqlite3.Connection, gone: Ranges, excess: int) -> list[Lost]:
    """Return the oldest sample blocks without a receipt that hold `excess` bytes, `AT_ONCE` at most."""
    found: list[Lost] = []
    statement = "SELECT sequence, count, t0, t1, payload FROM blocks_samples ORDER BY sequence"
    for row in connection.execute(statement):
        if excess <= 0 or len(found) >= AT_ONCE:
            break
        if not contains(gone, row[0]):
            found.append(Lost(*row))
            excess -= len(row[4])
    return found


def _oldest(
    connection: sqlite3.Connection, stream: Stream, released: Ranges, count: int
) -> Iterator[tuple[int, Micros, int]]:
    for first, last in released:
        for row in connection.execute(_SELECT[stream], (first, last, count)):
            yield row
            count -= 1
