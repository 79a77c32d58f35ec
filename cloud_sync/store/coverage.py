"""Coverage as merged intervals per scan group: the result does not depend on the order in which blocks come."""

import sqlite3
from collections.abc import Iterable

from sitekeeper.model.clock import MS, Micros

Interval = tuple[Micros, Micros]

SLACK: Micros = MS
"""Intervals this close touch: a block rounds both ends down to whole milliseconds from its own t0."""


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the union as disjoint intervals in order; those that touch within SLACK become one."""
    merged: list[Interval] = []
    for start, until in sorted(intervals):
        if merged and start <= merged[-1][1] + SLACK:
            merged[-1] = (merged[-1][0], max(merged[-1][1], until))
        else:
            merged.append((start, until))
    return merged


def length(intervals: Iterable[Interval]) -> Micros:
    """Return how long disjoint intervals are together."""
    return sum(until - start for start, until in intervals)


def extend(sql: sqlite3.Connection, site: str, group: str, intervals: Iterable[Interval]) -> None:
    """Add intervals to a scan group's coverage."""
    for start, until in merge(intervals):
        touched = sql.execute(
            "SELECT start, until FROM coverage WHERE site = ? AND scan_group = ? AND start <= ? AND until >= ?"
            " AND start >= coalesce("
            "(SELECT max(start) FROM coverage WHERE site = ? AND scan_group = ? AND start <= ?), ?)",
            (site, group, until + SLACK, start - SLACK, site, group, start, start),
        ).fetchall()
        first = min([start, *(row[0] for row in touched)])
        last = max([until, *(row[1] for row in touched)])
        for row in touched:
            if row[0] != first:
                which = (site, group, row[0])
                sql.execute("DELETE FROM coverage WHERE site = ? AND scan_group = ? AND start = ?", which)
        sql.execute(
            "INSERT INTO coverage VALUES (?, ?, ?, ?)"
            " ON CONFLICT (site, scan_group, start) DO UPDATE SET until = excluded.until",
            (site, group, first, last),
        )
