"""Coverage as merged intervals per scan group: the result does not depend on the order in which blocks come."""

from collections.abc import Iterable, Mapping

from cloud_sync.store.sql import Sql
from sitekeeper.model.clock import MS, Micros

Interval = tuple[Micros, Micros]

SLACK: Micros = MS
"""Intervals this close touch: a block rounds both ends down to whole milliseconds from its own t0."""


AT_ONCE = 200
"""Intervals asked about in one query."""


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


def extend(sql: Sql, site: str, intervals: Mapping[str, Iterable[Interval]]) -> None:
    """Add intervals to the coverage of a site's scan groups."""
    new = {group: merge(found) for group, found in intervals.items()}
    wanted = [(group, start - SLACK, start, until + SLACK) for group, found in new.items() for start, until in found]
    touched: dict[str, set[Interval]] = {group: set() for group in new}
    for at in range(0, len(wanted), AT_ONCE):
        some = wanted[at : at + AT_ONCE]
        rows = sql.execute(_TOUCHED.format(", ".join(["(?, ?, ?, ?)"] * len(some))), (*sum(some, ()), site, site))
        for group, start, until in rows:
            touched[group].add((start, until))
    whole = {group: merge([*found, *touched[group]]) for group, found in new.items()}
    over = [(site, group, one) for group, old in touched.items() for one in _starts(old) - _starts(whole[group])]
    sql.executemany("DELETE FROM coverage WHERE site = ? AND scan_group = ? AND start = ?", sorted(over))
    grown = [(site, group, *one) for group, found in whole.items() for one in found if one not in touched[group]]
    sql.upsert("coverage", ("site", "scan_group", "start", "until"), sorted(grown), _LONGER)


def _starts(intervals: Iterable[Interval]) -> set[Micros]:
    return {start for start, _ in intervals}


_TOUCHED = """
SELECT c.scan_group, c.start, c.until FROM (VALUES {}) AS w
JOIN coverage c ON c.scan_group = w.column1 AND c.start <= w.column4 AND c.until >= w.column2
WHERE c.site = ? AND c.start >= coalesce((
    SELECT max(m.start) FROM coverage m WHERE m.site = ? AND m.scan_group = w.column1 AND m.start <= w.column3
), w.column3)"""
"""Disjoint intervals in order: of those that begin before `start` only the last one can reach it."""
_LONGER = "ON CONFLICT (site, scan_group, start) DO UPDATE SET until = excluded.until"
