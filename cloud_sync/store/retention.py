"""What is old enough is purged: raw rows, minutes, hours and events, each after a time of its own; a bounded step each.

Digests of floods go with the events, all but the newest of each site.

Raw rows go when both their date and their arrival are that long ago, so that a site's wrong clock costs nothing, and
never before their hour is folded. With them go the rows of their blocks; `streams` remembers that the office had
them, so that one that comes again is a repeat (`had`). SQLite deletes rows, PostgreSQL drops the partitions of whole
days. `latest`, alarms, gaps and coverage stay for ever. `kept` tells from when on a table is whole,
and what was purged.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from cloud_sync.store import bundles, streams
from cloud_sync.store.sql import Row, Sql
from sitekeeper.block import Block
from sitekeeper.model.clock import DAY, SECOND, Micros

What = Literal["raw", "minutes", "hours", "events"]
WHATS: Final[tuple[What, ...]] = ("raw", "minutes", "hours", "events")
MOST_ROWS: Final = 2_000
"""Rows deleted in one step: some 10 ms."""
MOST_POINTS: Final = 100
A_DAY_MORE: Final[Micros] = DAY
"""The rows of blocks stay so much longer than their samples, for sites whose clock is ahead of the office's."""
OLD: Final[Micros] = 20 * DAY
"""Blocks younger than this are never looked up among the purged ones."""
_LOCK_TIMEOUT_MS: Final = 200
_TABLES: Final[Mapping[What, str]] = {"raw": "samples"}


class Purged(msgspec.Struct, frozen=True):
    """What one step did: rows deleted, or partitions dropped."""

    what: str
    count: int


class Retention:
    """Purges by `limits`, how long each is kept; what is not named is kept for ever. Give `step` to the store's writer.

    It goes through each table once a day; where it stands in that is in memory, and begins anew with the process.
    """

    def __init__(self, limits: Mapping[What, Micros]) -> None:
        self._limits = limits
        self._done: dict[What, Micros] = {}
        self._point: dict[What, int] = {}

    def step(self, sql: Sql, now: Micros) -> Purged | None:
        """Purge some rows; return None when nothing is left to do today. `now` must be a time to be believed."""
        for what in WHATS:
            if what not in self._limits:
                continue
            cut = now - self._limits[what]
            cut -= cut % DAY
            if self._done.get(what) == cut:
                continue
            folded = min(cut, _folded(sql)) if what == "raw" else cut
            found = self._purge(sql, what, folded)
            if found is None:
                if folded < cut:
                    continue  # the rollups are behind; later
                self._done[what] = cut
                self._point.pop(what, None)
                continue
            sql.execute(_KEPT, (what, folded, 0, now))
            sql.execute(_KEPT, (found.what, folded, found.count, now))
            return found
        return None

    def _purge(self, sql: Sql, what: What, cut: Micros) -> Purged | None:
        if what == "events":
            found = _some("events", sql.execute(_EVENTS, (cut, _block_before(sql, cut), MOST_ROWS)).rowcount)
            return found or _some("digests", bundles.purge(sql, cut, MOST_ROWS))
        if what != "raw":
            return self._of_points(sql, what, _OF_POINT.format(table=what), (cut, MOST_ROWS))
        oldest = cut
        before = _block_before(sql, cut)
        if sql.engine == "postgres":
            name, oldest = _first_day(sql, cut)
            if name and _newest_block(sql, name) <= before:
                sql.execute(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}")  # one who reads for long must not stop all
                sql.execute(f"DROP TABLE {name}")
                return Purged("days", 1)
            found = _some("samples", sql.execute(_OTHER, (cut, before, MOST_ROWS)).rowcount)
        else:
            found = self._of_points(sql, what, _RAW_OF_POINT, (cut, before, MOST_ROWS))
        return found or self._blocks(sql, min(cut, oldest))

    def _of_points(self, sql: Sql, what: What, delete: str, arguments: tuple[int, ...]) -> Purged | None:
        """Delete of one point after the other; a point is left when it has nothing more."""
        points = sql.execute(
            "SELECT id FROM points WHERE id > ? ORDER BY id LIMIT ?", (self._point.get(what, 0), MOST_POINTS)
        ).fetchall()
        for (point,) in points:
            count = sql.execute(delete, (point, *arguments)).rowcount
            if count < MOST_ROWS:
                self._point[what] = point
            if count:
                return Purged(_TABLES.get(what, what), count)
        return Purged(_TABLES.get(what, what), 0) if points else None

    def _blocks(self, sql: Sql, cut: Micros) -> Purged | None:
        """Delete the rows of samples blocks, in the order of their arrival, from where it stood the last time.

        Those beside a hole stay: their times bound it, and the ledger asks for them.
        """
        kept = sql.execute("SELECT since FROM kept WHERE what = 'blocks_looked_at'").fetchone()
        first = 0 if kept is None else kept[0]
        last = sql.execute(
            "SELECT max(id) FROM (SELECT id FROM blocks WHERE id > ? AND id <= ? ORDER BY id LIMIT ?) b",
            (first, _block_before(sql, cut - A_DAY_MORE), MOST_ROWS),
        ).fetchall()[0][0]
        if last is None:
            return None
        sql.execute(_KEPT, ("blocks_looked_at", last, 0, 0))
        return Purged("blocks", sql.execute(_BLOCKS, (first, last, cut)).rowcount)


def had(sql: Sql, block: Block, at: Micros) -> bool:
    """Tell whether a block that has no row was here before, and its row purged."""
    if block.stream != "samples" or block.t0 > at - OLD:
        return False
    kept = sql.execute("SELECT since FROM kept WHERE what = 'blocks'").fetchone()
    if kept is None or block.t0 >= kept[0]:
        return False

    def ask(statement: str, *arguments: object) -> list[Row]:
        return sql.execute(statement, arguments).fetchall()

    return not streams.holes(ask, block.site, block.epoch, block.stream, (block.sequence, block.sequence))


def _some(what: str, count: int) -> Purged | None:
    return Purged(what, count) if count > 0 else None


def _folded(sql: Sql) -> Micros:
    """Return up to when everything is folded."""
    [found] = sql.execute("SELECT (SELECT min(hour) FROM rollup_due), (SELECT min(start) FROM rollup_due_groups)")
    return min([int(one) for one in found if one is not None], default=2**62)


def _block_before(sql: Sql, cut: Micros) -> int:
    """Return the last block that was committed before `cut`: their numbers grow with time."""
    [found] = sql.execute("SELECT coalesce(max(id), 0) FROM blocks")
    low, high = 0, int(found[0])
    while low < high:
        middle = (low + high + 1) // 2
        row = sql.execute(
            "SELECT id, committed FROM blocks WHERE id <= ? ORDER BY id DESC LIMIT 1", (middle,)
        ).fetchone()
        if row is None or row[1] < cut:
            low = middle
        else:
            high = int(row[0]) - 1
    return low


def _first_day(sql: Sql, cut: Micros) -> tuple[str, Micros]:
    """Return the oldest day's partition that lies before `cut`, if there is one, and the beginning of the oldest."""
    rows = sql.execute(
        "SELECT min(c.relname) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'samples'::regclass AND c.relname ~ '^samples_[0-9]{8}$'"
    ).fetchall()
    name = rows[0][0]
    if name is None:
        return "", cut
    day = int(datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC).timestamp()) * SECOND
    return (name if day + DAY <= cut else ""), day


def _newest_block(sql: Sql, name: str) -> int:
    """Return the newest block in a day's partition: rows are only ever added to it, at its end."""
    [size] = sql.execute("SELECT pg_relation_size(?::text::regclass) / current_setting('block_size')::bigint", (name,))
    [found] = sql.execute(
        f"SELECT coalesce(max(block), 0) FROM {name} WHERE ctid >= ('(' || ? || ',0)')::tid",  # noqa: S608 - our own name
        (str(max(int(size[0]) - 64, 0)),),
    )
    return int(found[0])


_KEPT: Final = """
INSERT INTO kept (what, since, purged, at) VALUES (?, ?, ?, ?) ON CONFLICT (what) DO UPDATE SET
    since = CASE WHEN excluded.since > kept.since THEN excluded.since ELSE kept.since END,
    purged = kept.purged + excluded.purged, at = excluded.at"""
_OF_POINT: Final = """
DELETE FROM {table} WHERE (point, at) IN (SELECT point, at FROM {table} WHERE point = ? AND at < ? LIMIT ?)"""
_RAW_OF_POINT: Final = """
DELETE FROM samples WHERE (point, at, block, position) IN (
    SELECT point, at, block, position FROM samples WHERE point = ? AND at < ? AND block <= ? LIMIT ?)"""
_OTHER: Final = """
DELETE FROM samples_other WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM samples_other WHERE at < ? AND block <= ? LIMIT ?))"""
_BLOCKS: Final = """
DELETE FROM blocks WHERE id > ? AND id <= ? AND stream = 'samples' AND quarantined = 0 AND t0 < ?
    AND NOT EXISTS (SELECT 1 FROM streams s WHERE s.site = blocks.site AND s.epoch = blocks.epoch
        AND s.stream = 'samples' AND (s.start = blocks.sequence OR s."end" = blocks.sequence))"""
# Numbers grow with arrival: the first event that came too late ends the search.
_EVENTS: Final = """
DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at < ? AND id < coalesce(
    (SELECT id FROM events WHERE block > ? ORDER BY id LIMIT 1), 4611686018427387904) ORDER BY id LIMIT ?)"""
