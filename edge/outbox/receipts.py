"""Receipts in the file: which blocks are released, of this epoch and of those that were saved from earlier ones."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from edge.outbox import ranges, rows
from edge.outbox.pending import Job
from sitekeeper.block import STREAMS, Stream

Released = dict[Stream, ranges.Ranges]
Salvaged = dict[tuple[str, Stream], ranges.Ranges]
"""By epoch and stream the blocks that wait for a receipt."""


def with_jobs(released: Mapping[Stream, ranges.Ranges], jobs: Iterable[Job], last: Mapping[Stream, int]) -> Released:
    """Return the receipts with those of `jobs`; never for a sequence that is not durable yet."""
    after = dict(released)
    for stream, first, end in (entry for job in jobs for entry in job.release):
        after[stream] = ranges.add(after[stream], max(first, 1), min(end, last[stream]))
    return after


def write(connection: sqlite3.Connection, before: Released, after: Released) -> None:
    """Write what has changed."""
    for stream in STREAMS:
        gone = [(stream, first) for first, _ in set(before[stream]) - set(after[stream])]
        new = [(stream, first, last) for first, last in set(after[stream]) - set(before[stream])]
        if gone:
            connection.executemany("DELETE FROM released WHERE stream = ? AND first = ?", gone)
        if new:
            connection.executemany(rows.insert("released"), rows.signed("released", new))


def salvaged(connection: sqlite3.Connection) -> Salvaged:
    """Return which saved blocks wait for a receipt."""
    found: Salvaged = {}
    for epoch, stream, sequence in connection.execute(
        "SELECT epoch, stream, sequence FROM salvaged WHERE NOT released"
    ):
        found[epoch, stream] = ranges.add(found.get((epoch, stream), ()), sequence, sequence)
    return found


def release_salvaged(connection: sqlite3.Connection, waiting: Salvaged, jobs: Sequence[Job]) -> Salvaged:
    """Note the receipts of `jobs` for saved blocks, and return which still wait for theirs."""
    left = dict(waiting)
    for epoch, stream, first, last in (entry for job in jobs for entry in job.release_salvaged):
        key = (epoch, stream)
        found = connection.execute(
            "SELECT rowid, epoch, stream, sequence, count, t0, t1, 1, payload FROM salvaged"
            " WHERE epoch = ? AND stream = ? AND sequence BETWEEN ? AND ? AND NOT released",
            (epoch, stream, first, last),
        ).fetchall()
        signs = [(rows.digest("salvaged", row[1:]), row[0]) for row in found]
        connection.executemany("UPDATE salvaged SET released = 1, digest = ? WHERE rowid = ?", signs)
        left[key] = ranges.remove(left.get(key, ()), first, last)
        if not left[key]:
            del left[key]
    return left
