"""Rollups: `minutes` and `hours` of every point, folded from the raw rows, right also for what comes late.

Ingest marks what is to be folded, in the transaction that brings it (`mark`): the hour of every sample, and where it
comes late the stretch that a scan group's coverage or gap touches. `step` takes marks away and folds whole hours anew,
a bounded number of them in a transaction of its own. An hour begins with what stood at the end of the point's hour
before; when that changes, the next hour in which anything changed is marked. So the tables end up the same in whatever
order blocks came.

A minute or an hour without a change has no row: the value is the one before, and coverage tells whether it was known.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final

from cloud_sync.store.coverage import Interval, merge
from cloud_sync.store.fold import Bucket, Carry, Change, fold
from cloud_sync.store.sql import Row, Sql
from cloud_sync.store.streams import Ask
from sitekeeper.model.clock import DAY, HOUR, MINUTE, SECOND, Micros

TABLES: Final = """
CREATE TABLE minutes (
    point INTEGER NOT NULL, at INTEGER NOT NULL, n INTEGER NOT NULL, low REAL, high REAL, mean REAL, last REAL,
    word TEXT, good_s REAL NOT NULL, stands INTEGER NOT NULL, PRIMARY KEY (point, at)) WITHOUT ROWID;
CREATE TABLE hours (
    point INTEGER NOT NULL, at INTEGER NOT NULL, n INTEGER NOT NULL, low REAL, high REAL, mean REAL, last REAL,
    word TEXT, good_s REAL NOT NULL, stands INTEGER NOT NULL, last_at INTEGER, PRIMARY KEY (point, at)) WITHOUT ROWID;
CREATE TABLE rollup_due (
    hour INTEGER NOT NULL, point INTEGER NOT NULL, PRIMARY KEY (hour, point)) WITHOUT ROWID;
CREATE TABLE rollup_due_groups (
    site TEXT NOT NULL, scan_group TEXT NOT NULL, start INTEGER NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (site, scan_group, start)) WITHOUT ROWID;
CREATE TABLE kept (
    what TEXT PRIMARY KEY, since INTEGER NOT NULL, purged INTEGER NOT NULL DEFAULT 0, at INTEGER NOT NULL DEFAULT 0);
CREATE TABLE store_sizes (at INTEGER NOT NULL, what TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (at, what));
CREATE VIEW v_minutes AS
    SELECT p.site, p.point, r.at, r.n, r.low, r.high, r.mean, r.last, r.word, r.good_s, r.stands
    FROM minutes r JOIN points p ON p.id = r.point;
CREATE VIEW v_hours AS
    SELECT p.site, p.point, r.at, r.n, r.low, r.high, r.mean, r.last, r.word, r.good_s, r.stands
    FROM hours r JOIN points p ON p.id = r.point;
DROP VIEW v_holes;
CREATE VIEW v_holes AS
    SELECT site, epoch, stream, "end" + 1 AS start, following - 1 AS "end"
    FROM (SELECT site, epoch, stream, "end",
                 LEAD(start) OVER (PARTITION BY site, epoch, stream ORDER BY start) AS following FROM streams) s
    WHERE following > "end" + 1"""
"""`n`: good changes. `mean`: weighted by known time, `good_s` seconds of it. `last` is a number; else there is `word`;
it `stands` unless something bad came after it. `kept`: what has been purged for its age (`store.retention`).
`store_sizes`: how it grows (`store.sizes`). `v_holes` looks at `streams`, because blocks' own rows are purged."""
FILL: Final = """
INSERT INTO rollup_due SELECT DISTINCT at - ((at % 3600000000) + 3600000000) % 3600000000, point FROM samples"""
"""Marks for what came before there were any."""

SETTLE: Final[Micros] = 2 * MINUTE
"""An hour is folded this long after its end: until then its last blocks are on their way."""
MOST_ROWS: Final = 1_000
"""Samples in one step, unless a single point has more of them in its hour: some 10 ms."""
MOST_POINTS: Final = 200
AT_ONCE: Final = 10
"""Points read in one query: PostgreSQL sorts the whole hour of all of them."""
_ALL: Final = 2**31
OLDEST: Final[Micros] = 400 * DAY
"""Coverage of a time longer ago than this marks nothing: a vouch without end must not fill the table of marks."""
CHUNK: Final[Micros] = 4 * HOUR
"""Of a stretch that a scan group's coverage touched, this much is spread over its points in one step."""

Spans = Mapping[str, Iterable[Interval]]
_NOTHING: Final = "ON CONFLICT DO NOTHING"
_BUCKET: Final = ("point", "at", "n", "low", "high", "mean", "last", "word", "good_s", "stands")


def mark(sql: Sql, samples: Iterable[Row], coverage: Mapping[str, Spans], gaps: Iterable[Row], at: Micros) -> None:
    """Mark what a transaction touches.

    Args:
        samples: rows that begin with point and wall time. coverage: intervals by site and scan group.
        gaps: rows of site, scan group, start, end. at: the office's wall time.
    """
    due = {(row[1] - row[1] % HOUR, row[0]) for row in samples}
    sql.upsert("rollup_due", ("hour", "point"), sorted(due), _NOTHING)
    late = [
        (site, group, *span) for site, spans in coverage.items() for group, found in spans.items() for span in found
    ]
    late += [(row[0], row[1], row[2], row[3]) for row in gaps]
    closed = at - SETTLE
    closed -= closed % HOUR
    stretches: dict[tuple[str, str, Micros], Micros] = {}
    for site, group, start, until in late:
        if start < closed and until > at - OLDEST:
            begin, end = max(start, at - OLDEST), min(until, closed)
            which = (site, group, begin - begin % HOUR)
            stretches[which] = max(end, stretches.get(which, end))
    rows = sorted((*which, until) for which, until in stretches.items())
    sql.upsert("rollup_due_groups", ("site", "scan_group", "start", "until"), rows, _LONGER)


def step(sql: Sql, now: Micros) -> int:
    """Fold what is due by now, within a bound; return how many marks were worked off, 0 if none was due."""
    if spread := _spread(sql):
        return spread
    held: set[str] = set()
    done = read = 0
    while done < MOST_POINTS and read < MOST_ROWS:
        [found] = sql.execute("SELECT min(hour) FROM rollup_due WHERE hour <= ?", (now - SETTLE - HOUR,))
        if found[0] is None:
            break
        points = sql.execute(_POINTS, (int(found[0]), AT_ONCE)).fetchall()
        sites = {row[1] for row in points}
        if held and not sites <= held:
            break  # sites are taken once and in order of names, so that no writers wait for each other in a ring
        if not held:
            _hold(sql, sites)
            held = sites
        points, samples = _samples_of(sql, int(found[0]), points)
        _fold(sql, int(found[0]), points, samples)
        done += len(points)
        read += len(samples)
    return done


def newest(ask: Ask, now: Micros) -> Micros:
    """Return up to when the rollups are complete, apart from what came late."""
    closed = now - SETTLE
    closed -= closed % HOUR
    [found] = ask("SELECT min(hour) FROM rollup_due WHERE hour >= ?", now - DAY)
    return closed if found[0] is None else min(closed, int(found[0]))


def raw_since(sql: Sql) -> Micros:
    """Return from when on raw rows have never been purged."""
    found = sql.execute("SELECT since FROM kept WHERE what = 'raw'").fetchone()
    return -(2**62) if found is None else int(found[0])


def _spread(sql: Sql) -> int:
    """Give the marks of one scan group to its points, for the next part of its stretch."""
    found = sql.execute(
        "SELECT site, scan_group, start, until FROM rollup_due_groups ORDER BY site, scan_group, start LIMIT 1"
    ).fetchone()
    if found is None:
        return 0
    site, group, start, until = found
    _hold(sql, {site})
    end = min(until, start + CHUNK)
    which = (site, group, site, group)
    sql.execute(_DUE_INSIDE, (*which, start, end))
    sql.execute(_DUE_AFTER, (end, *which))
    sql.execute("DELETE FROM rollup_due_groups WHERE site = ? AND scan_group = ? AND start = ?", (site, group, start))
    if end < until:
        rest = (site, group, end, until)
        sql.upsert("rollup_due_groups", ("site", "scan_group", "start", "until"), [rest], _LONGER)
    return 1


def _hold(sql: Sql, sites: Iterable[str]) -> None:
    """Keep other writers from these sites until the commit: what they bring is either seen or marks again."""
    for site in sorted(sites):
        sql.execute("UPDATE sites SET last_seen = last_seen WHERE site = ?", (site,))


def _samples_of(sql: Sql, hour: Micros, points: list[Row]) -> tuple[list[Row], list[Row]]:
    """Return as many points as are allowed in one step, at least the first, and their samples in the hour."""
    statement = _SAMPLES.format(values=", ".join(f"s.{one}" for one in sql.dialect.values))
    which, span = (points[0][0], points[-1][0]), (hour, hour + HOUR)
    samples = sql.execute(statement, (hour, *which, *span, MOST_ROWS)).fetchall()
    if len(samples) < MOST_ROWS:
        return points, samples
    last = samples[-1][0]
    if last == samples[0][0]:
        samples = sql.execute(statement, (hour, last, last, *span, _ALL)).fetchall()
        return [row for row in points if row[0] <= last], samples
    return [row for row in points if row[0] < last], [row for row in samples if row[0] < last]


def _fold(sql: Sql, hour: Micros, points: list[Row], samples: list[Row]) -> None:
    span = (hour, points[0][0], points[-1][0])
    carries = {row[0]: _carry(row) for row in sql.execute(_CARRIES.format("max", "<"), (*span, hour))}
    before = {row[0]: _carry(row) for row in sql.execute(_CARRIES.format("max", "="), (*span, hour))}
    changes = _changes(sql, samples)
    known = _Known(sql, hour)
    gone = hour < raw_since(sql)
    minutes: list[Row] = []
    hours: list[Row] = []
    changed: list[int] = []
    for point, site, device, group in points:
        if point not in changes or (gone and point in before):  # purged since: what was folded then stays
            continue
        each, whole = fold(hour, carries.get(point), changes[point], known.of(site, device, group))
        minutes += [_row(point, bucket) for bucket in each]
        hours.append((*_row(point, whole), whole.last_at))
        if point not in before or whole.carry() != before[point]:
            changed.append(point)
    replaced = [(row[0], hour, hour + HOUR) for row in hours]
    for table, columns, rows in (("minutes", _BUCKET, minutes), ("hours", (*_BUCKET, "last_at"), hours)):
        sql.executemany(f"DELETE FROM {table} WHERE point = ? AND at >= ? AND at < ?", replaced)  # noqa: S608
        sql.insert(table, columns, rows)
    sql.execute("DELETE FROM rollup_due WHERE hour = ? AND point >= ? AND point <= ?", span)
    sql.executemany(_DUE_NEXT, [(point, hour) for point in changed])


def _row(point: int, bucket: Bucket) -> Row:
    figures = (bucket.low, bucket.high, bucket.mean, bucket.last, bucket.word)
    return (point, bucket.at, bucket.changes, *figures, bucket.good / SECOND, int(bucket.stands))


def _carry(row: Row) -> Carry | None:
    _, last, word, last_at, stands = row
    return Carry(last_at, last if word is None else word) if stands and last_at is not None else None


def _changes(sql: Sql, samples: Sequence[Row]) -> dict[int, list[Change]]:
    """Return the changes of each point in order; those of one moment in the order of recording, not of arrival."""
    value = sql.dialect.value
    found: dict[int, list[Change]] = {}
    for point, rows in groupby(samples, key=itemgetter(0)):
        ordered = list(rows)
        if len({row[1] for row in ordered}) < len(ordered):
            ordered = _recorded(sql, ordered)
        found[point] = [(row[1], value(row[5:]), row[4]) for row in ordered]
    return found


def _recorded(sql: Sql, rows: list[Row]) -> list[Row]:
    numbers = sorted({row[2] for row in rows})
    places: dict[int, tuple[str, int]] = {}
    for number in numbers:
        for epoch, sequence in sql.execute("SELECT epoch, sequence FROM blocks WHERE id = ?", (number,)):
            places[number] = (epoch, sequence)
    return sorted(rows, key=lambda row: (row[1], places.get(row[2], ("", 0)), row[3]))


class _Known:
    """What the record vouches for, of the scan groups that a step needs, with the whole length of the intervals."""

    def __init__(self, sql: Sql, hour: Micros) -> None:
        self._sql, self._hour = sql, hour
        self._found: dict[tuple[str, str], list[Interval]] = {}
        self._groups: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._of_device: dict[tuple[str, str], list[Interval]] = {}

    def of(self, site: str, device: str, group: str) -> list[Interval]:
        """Return the intervals that reach into the hour; of a point without a scan group those of its device."""
        if group:
            return self._of(site, group)
        if (site, device) not in self._of_device:
            rows = self._sql.execute(
                "SELECT DISTINCT scan_group FROM points WHERE site = ? AND device = ? AND scan_group <> ''",
                (site, device),
            )
            self._of_device[site, device] = merge(one for row in rows.fetchall() for one in self._of(site, row[0]))
        return self._of_device[site, device]

    def _of(self, site: str, group: str) -> list[Interval]:
        if (site, group) not in self._found:
            which = (site, group)
            rows = self._sql.execute(_COVERAGE, (*which, self._hour + HOUR, self._hour, *which, self._hour, self._hour))
            self._found[site, group] = merge((row[0], row[1]) for row in rows)
        return self._found[site, group]


_LONGER: Final = """
ON CONFLICT (site, scan_group, start) DO UPDATE SET until = excluded.until
WHERE excluded.until > rollup_due_groups.until"""
_OF_GROUP: Final = """p.site = ? AND (p.scan_group = ? OR p.scan_group = '' AND p.device IN (
    SELECT o.device FROM points o WHERE o.site = ? AND o.scan_group = ?))"""
_DUE_INSIDE: Final = f"""
INSERT INTO rollup_due (hour, point) SELECT h.at, h.point FROM points p JOIN hours h ON h.point = p.id
WHERE {_OF_GROUP} AND h.at >= ? AND h.at < ? ON CONFLICT DO NOTHING"""  # noqa: S608 - our own words
# What stands over the end of a stretch is known for longer or shorter in the point's next hour.
_DUE_AFTER: Final = f"""
INSERT INTO rollup_due (hour, point) SELECT hour, id FROM (
    SELECT (SELECT min(h.at) FROM hours h WHERE h.point = p.id AND h.at >= ?) AS hour, p.id FROM points p
    WHERE {_OF_GROUP}) d
WHERE hour IS NOT NULL ON CONFLICT DO NOTHING"""  # noqa: S608 - our own words
_DUE_NEXT: Final = """
INSERT INTO rollup_due (hour, point) SELECT hour, point FROM (
    SELECT h.at AS hour, h.point FROM hours h WHERE h.point = ? AND h.at > ? ORDER BY h.at LIMIT 1) d
WHERE hour IS NOT NULL ON CONFLICT DO NOTHING"""
_POINTS: Final = """
SELECT d.point, p.site, p.device, p.scan_group FROM rollup_due d JOIN points p ON p.id = d.point
WHERE d.hour = ? ORDER BY d.point LIMIT ?"""
_SAMPLES: Final = """
SELECT d.point, s.at, s.block, s.position, s.q, {values} FROM rollup_due d JOIN samples s ON s.point = d.point
WHERE d.hour = ? AND d.point >= ? AND d.point <= ? AND s.at >= ? AND s.at < ?
ORDER BY d.point, s.at, s.block, s.position LIMIT ?"""
_CARRIES: Final = """
SELECT h.point, h.last, h.word, h.last_at, h.stands FROM rollup_due d JOIN hours h ON h.point = d.point
WHERE d.hour = ? AND d.point >= ? AND d.point <= ?
    AND h.at = (SELECT {0}(x.at) FROM hours x WHERE x.point = d.point AND x.at {1} ?)"""
_COVERAGE: Final = """
SELECT start, until FROM coverage WHERE site = ? AND scan_group = ? AND start < ? AND until > ?
    AND start >= coalesce((SELECT max(start) FROM coverage WHERE site = ? AND scan_group = ? AND start <= ?), ?)"""
