"""What leaves the local history, and in which order: too old first, then, if too much is in use, the oldest.

Released blocks only. A row that is not released is stepped over, however old it is, and however full the file.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Final

from edge.outbox.ranges import Ranges
from edge.outbox.schema import in_use
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
_DELETE: Final[dict[Stream, str]] = {
    "alarms": "DELETE FROM blocks_alarms WHERE sequence = ?",
    "events": "DELETE FROM blocks_events WHERE sequence = ?",
    "samples": "DELETE FROM blocks_samples WHERE sequence = ?",
}


def purge(
    connection: sqlite3.Connection,
    released: Mapping[Stream, Ranges],
    wall: Micros | None,
    history: Micros,
    max_size: int,
) -> bool:
    """Delete at most `AT_ONCE` blocks in one transaction; tell whether that was too few.

    Freed pages are used again by what comes next; the file itself does not shrink.

    Raises:
        sqlite3.Error: the disk refused; the caller owns the connection and turns it into ours.
    """
    excess = in_use(connection) - max_size
    before = wall - history if wall is not None else None
    doomed: list[tuple[Stream, int]] = []
    for stream in ORDER:
        for sequence, t1, size in _oldest(connection, stream, released[stream], AT_ONCE - len(doomed)):
            if not (before is not None and t1 < before) and excess <= 0:
                break
            doomed.append((stream, sequence))
            excess -= size
    if doomed:
        connection.execute("BEGIN IMMEDIATE")
        for stream, sequence in doomed:
            connection.execute(_DELETE[stream], (sequence,))
        connection.execute("COMMIT")
    return len(doomed) >= AT_ONCE


def _oldest(
    connection: sqlite3.Connection, stream: Stream, released: Ranges, count: int
) -> Iterator[tuple[int, Micros, int]]:
    for first, last in released:
        for row in connection.execute(_SELECT[stream], (first, last, count)):
            yield row
            count -= 1
