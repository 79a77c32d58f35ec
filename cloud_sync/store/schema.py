"""The tables of the central store on SQLite, made to be read with plain SQL by a company's own tools.

Times are microseconds since the epoch, UTC. `q` is the packed quality byte (`sitekeeper.model.quality`), 0 is good.
Booleans are 0 and 1, enumerations their words. Migrations only ever add.

Read the views `v_samples`, `v_latest`, `v_minutes`, `v_hours` and `v_holes`; the tables behind them hold numbers for
points and blocks to save space. `coverage` and `gaps` together say what is known: inside coverage, no sample means no
change; in a gap nothing is known, for the cause given.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cloud_sync.store import bundles, clocks, heads, leaving, orders, rollups, statuses, streams
from sitekeeper import files
from sitekeeper.model.errors import StorageError

if TYPE_CHECKING:
    from sqlite_utils import Database

APPLICATION_ID = 0x53_4B_4F_46  # "SKOF"
VERSION = 1

_FIRST = """
CREATE TABLE sites (
    site TEXT PRIMARY KEY, names TEXT NOT NULL DEFAULT '{}', timezone TEXT NOT NULL DEFAULT 'UTC', catalogue TEXT,
    online INTEGER NOT NULL DEFAULT 0, epoch TEXT, boot TEXT, version TEXT, clock_trusted INTEGER, "window" INTEGER,
    first TEXT, unsent TEXT, nonce TEXT, status_at INTEGER, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL);
CREATE TABLE catalogues (
    hash TEXT PRIMARY KEY, site TEXT NOT NULL, payload BLOB NOT NULL, received INTEGER NOT NULL);
CREATE TABLE points (
    id INTEGER PRIMARY KEY, site TEXT NOT NULL, point TEXT NOT NULL, device TEXT NOT NULL, class TEXT NOT NULL,
    type TEXT NOT NULL, unit TEXT NOT NULL, scan_group TEXT NOT NULL, names TEXT NOT NULL, UNIQUE (site, point));
CREATE TABLE blocks (
    id INTEGER PRIMARY KEY, site TEXT NOT NULL, epoch TEXT NOT NULL, stream TEXT NOT NULL, sequence INTEGER NOT NULL,
    boot TEXT NOT NULL, catalogue TEXT NOT NULL, trusted INTEGER NOT NULL, t0 INTEGER NOT NULL, mono0 INTEGER NOT NULL,
    records INTEGER NOT NULL, size INTEGER NOT NULL, digest TEXT NOT NULL, quarantined INTEGER NOT NULL DEFAULT 0,
    committed INTEGER NOT NULL, UNIQUE (site, epoch, stream, sequence));
CREATE TABLE samples (
    point INTEGER NOT NULL, at INTEGER NOT NULL, value, q INTEGER NOT NULL, source INTEGER,
    block INTEGER NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (point, at, block, position)) WITHOUT ROWID;
CREATE TABLE latest (
    point INTEGER PRIMARY KEY, at INTEGER NOT NULL, value, q INTEGER NOT NULL, source INTEGER,
    epoch TEXT NOT NULL, sequence INTEGER NOT NULL, position INTEGER NOT NULL);
CREATE TABLE coverage (
    site TEXT NOT NULL, scan_group TEXT NOT NULL, start INTEGER NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (site, scan_group, start)) WITHOUT ROWID;
CREATE TABLE gaps (
    site TEXT NOT NULL, scan_group TEXT NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL, cause TEXT NOT NULL,
    block INTEGER NOT NULL);
CREATE INDEX gaps_of_group ON gaps (site, scan_group, start);
CREATE TABLE events (
    id INTEGER PRIMARY KEY, site TEXT NOT NULL, source_id TEXT NOT NULL, at INTEGER NOT NULL, fields TEXT NOT NULL,
    device_sequence INTEGER, source INTEGER, late INTEGER NOT NULL, block INTEGER NOT NULL, position INTEGER NOT NULL);
CREATE INDEX events_by_time ON events (site, at);
CREATE TABLE transitions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, site TEXT NOT NULL, epoch TEXT NOT NULL, sequence INTEGER NOT NULL,
    position INTEGER NOT NULL, occurrence TEXT NOT NULL, key TEXT NOT NULL, rule TEXT NOT NULL, source TEXT NOT NULL,
    target TEXT NOT NULL, cause TEXT NOT NULL, priority TEXT NOT NULL, at INTEGER NOT NULL, mono INTEGER NOT NULL,
    latched INTEGER NOT NULL, actor TEXT, role TEXT, origin TEXT, note TEXT NOT NULL, detail TEXT NOT NULL,
    inputs TEXT NOT NULL, limits TEXT NOT NULL, revision TEXT NOT NULL, ack_id TEXT NOT NULL, mode TEXT NOT NULL,
    volatile INTEGER NOT NULL, committed INTEGER NOT NULL, decision TEXT, UNIQUE (site, epoch, sequence, position));
CREATE INDEX transitions_of_occurrence ON transitions (occurrence);
CREATE INDEX transitions_undecided ON transitions (id) WHERE decision IS NULL;
CREATE TABLE alarms (
    key TEXT PRIMARY KEY, site TEXT NOT NULL, device TEXT NOT NULL, rule TEXT NOT NULL, occurrence TEXT NOT NULL,
    state TEXT NOT NULL, priority TEXT NOT NULL, latched INTEGER NOT NULL, raised INTEGER NOT NULL,
    changed INTEGER NOT NULL, acked_by TEXT NOT NULL, mode TEXT NOT NULL, epoch TEXT NOT NULL,
    sequence INTEGER NOT NULL, position INTEGER NOT NULL);
CREATE TABLE acks (
    id TEXT PRIMARY KEY, site TEXT NOT NULL, occurrence TEXT NOT NULL, who TEXT NOT NULL, note TEXT NOT NULL,
    made INTEGER NOT NULL, state TEXT NOT NULL, settled INTEGER);
CREATE INDEX acks_pending ON acks (occurrence) WHERE state = 'pending';
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY, site TEXT NOT NULL, kind TEXT NOT NULL, epoch TEXT, stream TEXT, sequence INTEGER,
    digest TEXT NOT NULL, payload BLOB NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, seen INTEGER NOT NULL,
    times INTEGER NOT NULL DEFAULT 1, UNIQUE (site, kind, digest));
CREATE TABLE conflicts (
    id INTEGER PRIMARY KEY, site TEXT NOT NULL, epoch TEXT NOT NULL, stream TEXT NOT NULL, sequence INTEGER NOT NULL,
    kept TEXT NOT NULL, other TEXT NOT NULL, payload BLOB NOT NULL, seen INTEGER NOT NULL,
    UNIQUE (site, epoch, stream, sequence, other));
CREATE TABLE missing (
    site TEXT NOT NULL, epoch TEXT NOT NULL, stream TEXT NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL,
    noticed INTEGER NOT NULL, PRIMARY KEY (site, epoch, stream, start)) WITHOUT ROWID;
CREATE TABLE pushes (
    id INTEGER PRIMARY KEY, occurrence TEXT NOT NULL, event_id TEXT NOT NULL, recipient TEXT NOT NULL,
    channel TEXT NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL, started INTEGER, finished INTEGER,
    latency_ms REAL, answer TEXT NOT NULL, possible_repeat INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE INDEX pushes_of_occurrence ON pushes (occurrence);
CREATE VIEW v_samples AS
    SELECT p.site, p.point, s.at, s.value, s.q, s.source, b.epoch, b.sequence, s.position
    FROM samples s JOIN points p ON p.id = s.point JOIN blocks b ON b.id = s.block;
CREATE VIEW v_latest AS
    SELECT p.site, p.point, l.at, l.value, l.q, l.source, l.epoch, l.sequence, l.position
    FROM latest l JOIN points p ON p.id = l.point;
CREATE VIEW v_holes AS
    SELECT site, epoch, stream, sequence + 1 AS start, following - 1 AS "end"
    FROM (SELECT site, epoch, stream, sequence,
                 LEAD(sequence) OVER (PARTITION BY site, epoch, stream ORDER BY sequence) AS following FROM blocks) b
    WHERE following > sequence + 1;
"""

_EVENTS_IN_ORDER = """
CREATE INDEX events_of_site ON events (site);
CREATE INDEX events_of_device ON events (site, substr(source_id, 1, instr(source_id, '/') - 1))"""
"""Both end in the row's id, as every index does: so the newest of a site or a device cost no sorting."""

_LATEST_BY_EPOCH = """
ALTER TABLE latest RENAME TO latest_before;
CREATE TABLE latest (
    point INTEGER NOT NULL, at INTEGER NOT NULL, value, q INTEGER NOT NULL, source INTEGER,
    epoch TEXT NOT NULL, sequence INTEGER NOT NULL, position INTEGER NOT NULL, reach INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (point, epoch)) WITHOUT ROWID;
INSERT INTO latest SELECT point, at, value, q, source, epoch, sequence, position, at FROM latest_before;
DROP VIEW v_latest;
DROP TABLE latest_before;
CREATE VIEW v_latest AS
    SELECT p.site, p.point, l.at, l.value, l.q, l.source, l.epoch, l.sequence, l.position
    FROM latest l JOIN points p ON p.id = l.point
    WHERE NOT EXISTS (SELECT 1 FROM latest o WHERE o.point = l.point AND (o.reach, o.epoch) > (l.reach, l.epoch))"""
"""The last sample of each point in each epoch, and the latest time that the epoch reached for it: the furthest counts.

So which one counts does not depend on the order in which the blocks of two epochs come.
"""

_VOLATILE = "CREATE INDEX transitions_told ON transitions (site) WHERE volatile = 1"
"""Alarms told from memory that nothing has settled yet (`store.volatile`): hardly ever a row."""

_HELD_BACK = """
ALTER TABLE transitions ADD COLUMN base TEXT NOT NULL DEFAULT '';
ALTER TABLE transitions ADD COLUMN until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE transitions ADD COLUMN by_whom TEXT NOT NULL DEFAULT '';
ALTER TABLE transitions ADD COLUMN parent TEXT NOT NULL DEFAULT '';
ALTER TABLE transitions ADD COLUMN through INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alarms ADD COLUMN base TEXT NOT NULL DEFAULT '';
ALTER TABLE alarms ADD COLUMN veils TEXT NOT NULL DEFAULT '[]';
ALTER TABLE alarms ADD COLUMN through INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alarms ADD COLUMN shelved TEXT NOT NULL DEFAULT 'null';
ALTER TABLE alarms ADD COLUMN permit TEXT NOT NULL DEFAULT 'null';
ALTER TABLE alarms ADD COLUMN parent TEXT NOT NULL DEFAULT ''"""
"""What lies over an alarm (`sitekeeper.model.veil`): an empty base is the state itself, holds and veils are JSON."""

_NEWEST_OF_SITE = """
CREATE INDEX catalogues_of_site ON catalogues (site, received);
CREATE INDEX events_of_drills ON events (site, source_id, id) WHERE source_id = 'gateway/drill'"""
"""The newest catalogues of a site, and the newest word about a drill, however much else its gateway told since."""


STEPS: Final = (
    ("first", _FIRST),
    ("events_in_order", _EVENTS_IN_ORDER),
    ("volatile_alarms", _VOLATILE),
    ("latest_by_epoch", _LATEST_BY_EPOCH),
    ("commands_and_audit_heads", f"{orders.SCHEMA};\n{heads.SCHEMA}"),
    ("completeness", f"{streams.TABLES};\n{streams.FILL}"),
    ("boot_clocks", clocks.TABLE),
    ("rollups", f"{rollups.TABLES};\n{rollups.FILL}"),
    ("room_left", heads.ROOM),
    ("status_order", statuses.ORDER),
    ("revocations", leaving.SCHEMA),
    ("held_back", _HELD_BACK),
    ("bundles", bundles.TABLES),
    ("newest_of_site", _NEWEST_OF_SITE),
)
"""All migrations in order, by name; PostgreSQL gets the same ones, in its own words (`postgres_schema`)."""


def statements(text: str) -> list[str]:
    """Return the statements of a migration."""
    return [one for one in text.split(";\n") if one.strip()]


def _step(text: str) -> "Callable[[Database], None]":
    def run(db: "Database") -> None:
        for statement in statements(text):
            db.execute(statement)

    return run


def prepare(path: Path) -> None:
    """Create the tables, or bring those of an older version up to date. To be called before any other connection.

    Raises:
        StorageError: the file is not a central store, or was made by a newer version; it is left as it is.
    """
    from sqlite_utils import Database, Migrations

    migrations = Migrations("office")

    for name, text in STEPS:
        migrations(name=name)(_step(text))

    files.make_empty(path)
    db = Database(path)
    try:
        found = db.execute("PRAGMA application_id").fetchone()[0]
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, APPLICATION_ID) or (found == 0 and db.table_names()):
            raise StorageError(f"{path} is not a central store of Sitekeeper")
        if version > VERSION:
            raise StorageError(f"{path} was made by a newer version ({version}, this one reads up to {VERSION})")
        migrations.apply(db)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
    finally:
        db.close()


def _each(db: "Database", script: str) -> None:
    """Run the statements of a script inside the migration's own transaction."""
    for statement in script.split(";\n"):
        if statement.strip():
            db.execute(statement)
