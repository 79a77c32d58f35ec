"""What one transaction writes, in SQL, on the writer's connection. Everything here runs inside that transaction.

`_claim` is the one place where a repeat is told from a new block; whatever it does not claim as new writes nothing.
"""

import sqlite3
from collections import defaultdict

import msgspec

from cloud_sync.store import alarms
from cloud_sync.store.base import (
    Applied,
    Outcome,
    PutBlock,
    PutCatalogue,
    PutMissing,
    PutQuarantine,
    PutStatus,
    StoredTransition,
    Transaction,
)
from cloud_sync.store.coverage import Interval, extend
from sitekeeper.block import Block
from sitekeeper.catalogue import Catalogue, decode
from sitekeeper.model.clock import Micros
from sitekeeper.model.sample import Value

Row = tuple[object, ...]
_json = msgspec.json.Encoder()


class Applier:
    """Applies transactions. It remembers points by catalogue; `forget` after a transaction that failed."""

    _sql: sqlite3.Connection

    def __init__(self) -> None:
        self._points: dict[str, list[int]] = {}
        self._groups: dict[str, list[str]] = {}

    def forget(self) -> None:
        """Forget what was learnt, because the transaction in which it was learnt may not have happened."""
        self._points.clear()
        self._groups.clear()

    def apply(self, sql: sqlite3.Connection, transaction: Transaction) -> Outcome:
        """Write all entries in their order, inside a transaction of `sql`; repeats write nothing."""
        self._sql = sql
        applied: list[Applied] = []
        moves: list[StoredTransition] = []
        bulk = _Bulk()
        for entry in transaction.entries:
            match entry:
                case PutBlock():
                    applied.append(self._block(entry, transaction.at, bulk, moves))
                case PutCatalogue():
                    applied.append(self._catalogue(entry, transaction.at))
                case PutStatus():
                    self._status(entry, transaction.at)
                    applied.append("new")
                case PutQuarantine():
                    self._quarantine(entry, transaction.at)
                    applied.append("quarantined")
                case PutMissing():
                    row = (entry.site, entry.epoch, entry.stream, entry.start, entry.end, transaction.at)
                    self._sql.execute("INSERT OR IGNORE INTO missing VALUES (?, ?, ?, ?, ?, ?)", row)
                    applied.append("new")
        self._flush(bulk, transaction.at)
        return Outcome(applied=tuple(applied), transitions=tuple(moves))

    # blocks

    def _block(self, put: PutBlock, at: Micros, bulk: "_Bulk", moves: list[StoredTransition]) -> Applied:
        block = put.block
        bulk.heard.add(block.site)
        block_id, applied = self._claim(put, at)
        if applied != "new":
            return applied
        if block.samples:
            self._collect_samples(block, block_id, bulk)
        for position, event in enumerate(block.events):
            row = (block.site, event.source_id, block.wall(event.at), _text(event.fields), event.device_sequence)
            self._sql.execute(
                "INSERT INTO events (site, source_id, at, fields, device_sequence, source, late, block, position)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, event.source, event.late, block_id, position),
            )
        if block.transitions:
            source = (block.site, block.epoch, block.sequence)
            moves += alarms.add(self._sql, source, block.transitions, at)
        if block.vouch:
            groups = self._groups_of(block.catalogue)
            for vouch in block.vouch:
                bulk.coverage[block.site, groups[vouch.group]].append((vouch.start, vouch.until))
        bulk.gaps += [(block.site, gap.group, gap.start, gap.end, gap.cause, block_id) for gap in block.gaps]
        return "new"

    def _claim(self, put: PutBlock, at: Micros) -> tuple[int, Applied]:
        """Take a block's identity, in the same transaction as its records: new, a repeat, or a conflict.

        Of two blocks with one identity and different bytes the first stays; the other is kept as a conflict.
        """
        block = put.block
        identity = (block.site, block.epoch, block.stream, block.sequence)
        found = self._sql.execute(
            "SELECT id, digest FROM blocks WHERE site = ? AND epoch = ? AND stream = ? AND sequence = ?", identity
        ).fetchone()
        if found is None:
            return self._insert_block(put, at), "new"
        if found[1] == put.digest:
            return found[0], "repeat"
        self._sql.execute(
            "INSERT OR IGNORE INTO conflicts (site, epoch, stream, sequence, kept, other, payload, seen)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*identity, found[1], put.digest, put.payload, at),
        )
        return found[0], "conflict"

    def _insert_block(self, put: PutBlock, at: Micros) -> int:
        block = put.block
        identity = (block.site, block.epoch, block.stream, block.sequence)
        clock = (block.trusted, block.t0, block.mono0)
        records = len(block.samples) + len(block.events) + len(block.transitions)
        cursor = self._sql.execute(
            "INSERT INTO blocks (site, epoch, stream, sequence, boot, catalogue, trusted, t0, mono0, records, size,"
            " digest, committed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*identity, block.boot, block.catalogue, *clock, records, len(put.payload), put.digest, at),
        )
        return int(cursor.lastrowid or 0)

    def _collect_samples(self, block: Block, block_id: int, bulk: "_Bulk") -> None:
        points, shift = self._points_of(block.catalogue), block.t0 - block.mono0
        rows = [
            (points[sample.handle], sample.at + shift, _cell(sample.value), sample.q, sample.source, block_id, position)
            for position, sample in enumerate(block.samples)
        ]
        bulk.samples += rows
        newest = bulk.latest.setdefault(block.epoch, {})
        for row in rows:  # ascending, so the last one of each point stays
            before = newest.get(row[0])
            if before is None or block.sequence >= before[0]:
                newest[row[0]] = (block.sequence, row)

    def _flush(self, bulk: "_Bulk", at: Micros) -> None:
        """Write what was collected over all blocks, sorted by key, so that each page is touched once."""
        bulk.samples.sort(key=lambda row: row[:2])
        self._sql.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?)", bulk.samples)
        for epoch, newest in bulk.latest.items():
            self._sql.executemany(_LATEST, [(*row[:5], epoch, sequence, row[6]) for sequence, row in newest.values()])
        for (site, group), intervals in bulk.coverage.items():
            extend(self._sql, site, group, intervals)
        self._sql.executemany("INSERT INTO gaps VALUES (?, ?, ?, ?, ?, ?)", bulk.gaps)
        for site in bulk.heard:
            self._sql.execute(
                "INSERT INTO sites (site, first_seen, last_seen) VALUES (?, ?, ?)"
                " ON CONFLICT (site) DO UPDATE SET last_seen = max(last_seen, excluded.last_seen)",
                (site, at, at),
            )

    # everything else

    def _catalogue(self, put: PutCatalogue, at: Micros) -> Applied:
        found = self._sql.execute("SELECT 1 FROM catalogues WHERE hash = ?", (put.hash,)).fetchone()
        if found is None:
            self._sql.execute(
                "INSERT INTO catalogues (hash, site, payload, received) VALUES (?, ?, ?, ?)",
                (put.hash, put.site, put.payload, at),
            )
        catalogue = put.catalogue
        self._sql.execute(
            "INSERT INTO sites (site, names, timezone, catalogue, first_seen, last_seen) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (site) DO UPDATE SET names = excluded.names, timezone = excluded.timezone,"
            " catalogue = excluded.catalogue, last_seen = max(last_seen, excluded.last_seen)",
            (put.site, _text(catalogue.names), catalogue.timezone, put.hash, at, at),
        )
        classes = {device.id: device.cls for device in catalogue.devices}
        self._sql.executemany(
            "INSERT INTO points (site, point, device, class, type, unit, scan_group, names)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (site, point) DO UPDATE SET device = excluded.device,"
            " class = excluded.class, type = excluded.type, unit = excluded.unit, scan_group = excluded.scan_group,"
            " names = excluded.names",
            [
                (put.site, row.id, row.device, classes[row.device], row.type, row.unit, row.group, _text(row.names))
                for row in catalogue.points
            ],
        )
        return "new" if found is None else "repeat"

    def _status(self, put: PutStatus, at: Micros) -> None:
        status = put.status
        seen = at if put.live and status.online else 0
        state = (status.online, status.epoch, status.boot, status.version, status.clock, status.window)
        self._sql.execute(
            "INSERT INTO sites (site, first_seen, last_seen) VALUES (?, ?, ?) ON CONFLICT (site) DO NOTHING",
            (status.site, at, seen),
        )
        self._sql.execute(
            "UPDATE sites SET online = ?, epoch = ?, boot = ?, version = ?, clock_trusted = ?, window = ?, first = ?,"
            " unsent = ?, nonce = ?, status_at = ?, last_seen = max(last_seen, ?) WHERE site = ?",
            (*state, _text(status.first), _text(status.unsent), status.nonce, status.at, seen, status.site),
        )

    def _quarantine(self, put: PutQuarantine, at: Micros) -> None:
        identity = (put.epoch, put.stream, put.sequence)
        self._sql.execute(
            "INSERT INTO quarantine (site, kind, epoch, stream, sequence, digest, payload, reason, detail, seen)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (site, kind, digest) DO UPDATE SET times = times + 1",
            (put.site, put.kind, *identity, put.digest, put.payload, put.reason, put.detail, at),
        )
        if put.sequence is not None and put.reason != "too-new":  # its place is taken: those behind it go on
            self._sql.execute(
                "INSERT OR IGNORE INTO blocks (site, epoch, stream, sequence, boot, catalogue, trusted, t0, mono0,"
                " records, size, digest, quarantined, committed) VALUES (?, ?, ?, ?, '', '', 0, 0, 0, 0, ?, ?, 1, ?)",
                (put.site, *identity, len(put.payload), put.digest, at),
            )

    def _points_of(self, catalogue_hash: str) -> list[int]:
        if catalogue_hash not in self._points:
            self._learn(catalogue_hash)
        return self._points[catalogue_hash]

    def _groups_of(self, catalogue_hash: str) -> list[str]:
        if catalogue_hash not in self._groups:
            self._learn(catalogue_hash)
        return self._groups[catalogue_hash]

    def _learn(self, catalogue_hash: str) -> None:
        row = self._sql.execute("SELECT site, payload FROM catalogues WHERE hash = ?", (catalogue_hash,)).fetchone()
        catalogue: Catalogue = decode(row[1])
        ids = dict(self._sql.execute("SELECT point, id FROM points WHERE site = ?", (row[0],)))
        self._points[catalogue_hash] = [ids[point.id] for point in catalogue.points]
        self._groups[catalogue_hash] = [group.id for group in catalogue.groups]


class _Bulk:
    """Rows collected over the blocks of one transaction."""

    def __init__(self) -> None:
        self.samples: list[tuple[int, int, object, int, int | None, int, int]] = []
        self.latest: dict[str, dict[int, tuple[int, tuple[int, int, object, int, int | None, int, int]]]] = {}
        self.coverage: dict[tuple[str, str], list[Interval]] = defaultdict(list)
        self.gaps: list[Row] = []
        self.heard: set[str] = set()


_LATEST = """
INSERT INTO latest (point, at, value, q, source, epoch, sequence, position) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (point) DO UPDATE SET at = excluded.at, value = excluded.value, q = excluded.q, source = excluded.source,
    epoch = excluded.epoch, sequence = excluded.sequence, position = excluded.position
WHERE (excluded.epoch = latest.epoch
       AND (excluded.sequence, excluded.position) > (latest.sequence, latest.position))
   OR (excluded.epoch <> latest.epoch AND excluded.at > latest.at)
"""
"""Within an epoch the order of recording decides, whatever the clock did; between epochs there is only time."""


def _cell(value: Value) -> object:
    """Return a value as SQLite can hold it: integers beyond 63 bits as decimal text."""
    if type(value) is int and not -(2**63) <= value < 2**63:
        return str(value)
    return value


def _text(value: object) -> str:
    return _json.encode(value).decode()
