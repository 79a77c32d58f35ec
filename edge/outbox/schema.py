"""The file: how it is locked, opened, recognised, created and checked. Migrations only ever add."""

import errno
import fcntl
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sitekeeper.model.errors import StorageError

APPLICATION_ID: Final = 0x534B4F42
"""`SKOB` in the header of every outbox, so that `file` and we know one from any other database."""

VERSION: Final = 1
"""Of the schema that this code writes. A step that old readers cannot live with raises `min_reader` too."""

PAGE: Final = 1024
"""Bytes of a page. A commit writes each page it touches whole, and most touch a few bytes of five pages: a quarter of
the usual size halves what is written at 50 changes/s (benchmarks/outbox.py) and costs nothing in full blocks."""

LOG_PAGES: Final = 4096
"""Pages in the log at which the writer moves them into the file."""

CHECK_WHOLE: Final = 64 << 20
"""Largest file that is checked as a whole after an unclean stop: under a second on a slow disk."""

_STATE_TABLES: Final = ("meta", "released", "catalogues", "alarms", "rule_state", "group_until", "audit")

_SIZES: Final = ("page_count", "freelist_count", "page_size")

_BLOCKS: Final = """
CREATE TABLE blocks_{stream} (
  sequence INTEGER PRIMARY KEY, count INTEGER NOT NULL, t0 INTEGER NOT NULL, t1 INTEGER NOT NULL, payload BLOB NOT NULL
) STRICT;
"""

_TABLES: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX blocks_samples_time ON blocks_samples (t1, t0);
CREATE TABLE released (
  stream TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (stream, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE catalogues (hash TEXT PRIMARY KEY, payload BLOB NOT NULL) STRICT;
CREATE TABLE alarms (key TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE rule_state (instance TEXT PRIMARY KEY, state BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE group_until (scan_group TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE audit (n INTEGER PRIMARY KEY, record BLOB NOT NULL, hash BLOB NOT NULL) STRICT;
CREATE VIEW blocks AS
  SELECT stream, sequence, count, t0, t1, payload, EXISTS (
    SELECT 1 FROM released r WHERE r.stream = b.stream AND b.sequence BETWEEN r.first AND r.last
  ) AS released
  FROM (SELECT 'alarms' AS stream, * FROM blocks_alarms UNION ALL SELECT 'events', * FROM blocks_events
        UNION ALL SELECT 'samples', * FROM blocks_samples) b;
"""


def lock(path: Path) -> int:
    """Take the file for this process alone; return the descriptor that holds the lock.

    Raises:
        StorageError: another process, or another outbox of this one, has the file; or the folder cannot be written.
    """
    beside = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        msg = f"{beside}: {error.strerror}"
        raise StorageError(msg) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        why = "another process has this outbox open" if error.errno == errno.EWOULDBLOCK else str(error.strerror)
        msg = f"{path}: {why}"
        raise StorageError(msg) from error
    return descriptor


@contextmanager
def errors(path: Path, doing: str) -> Iterator[None]:
    """Turn SQLite's errors into ours, with the file and what was being done."""
    try:
        yield
    except sqlite3.Error as error:
        msg = f"{path}: {doing}: {error}"
        raise StorageError(msg) from error


def connect_writer(path: Path, *, create: bool = True) -> sqlite3.Connection:
    """Open the one connection that writes: WAL, every commit on the disk, nothing in the file trusted.

    Raises:
        StorageError: the file cannot be opened or is not an outbox.
    """
    with errors(path, "cannot open"):
        uri = f"{path.resolve().as_uri()}?mode={'rwc' if create else 'rw'}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0)
        try:
            _set(connection, "trusted_schema=OFF", "mmap_size=0", "cell_size_check=ON")
            _recognise(connection, path)
            _set(connection, f"page_size={PAGE}", "journal_mode=WAL", "synchronous=FULL", "cache_size=-4096")
            _set(connection, f"wal_autocheckpoint={LOG_PAGES}", f"journal_size_limit={4 * PAGE * LOG_PAGES}")
        except BaseException:
            connection.close()
            raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that can only read; for the uplink and for the CLI.

    Raises:
        StorageError: no such file, not an outbox, or needs a newer reader.
    """
    if not path.is_file():
        msg = f"{path}: there is no outbox"
        raise StorageError(msg)
    with errors(path, "cannot read"):
        uri = f"{path.resolve().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0)
        try:
            _set(connection, "trusted_schema=OFF", "mmap_size=0", "query_only=ON", "cell_size_check=ON")
            if not _recognise(connection, path):
                msg = f"{path}: the outbox is empty; was it ever opened by a gateway?"
                raise StorageError(msg)
        except BaseException:
            connection.close()
            raise
    return connection


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the schema to `VERSION`; a new file gets all of it. Nothing is loaded if nothing is to be done.

    Raises:
        StorageError: the disk refused.
    """
    if int(meta(connection).get("version", "0")) >= VERSION:
        return
    import sqlite_utils  # 0.15 s and 6 MB that only a new or old file needs

    steps = sqlite_utils.Migrations("outbox")

    @steps(name="0001 first")
    def first(db: Any) -> None:
        for stream in ("alarms", "events", "samples"):
            db.conn.execute(_BLOCKS.replace("{stream}", stream))
        for statement in filter(str.strip, _TABLES.split(";\n")):
            db.conn.execute(statement)
        db.conn.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.conn.execute("INSERT INTO meta VALUES ('version', '1'), ('min_reader', '1')")

    with errors(path, "cannot create the tables"):
        steps.apply(sqlite_utils.Database(connection, recursive_triggers=False, execute_plugins=False))
    _sync_folder(path)


def inspect(connection: sqlite3.Connection, path: Path, site: str) -> None:
    """Make sure that the file is this site's, and that the last stop did it no harm. A new file passes.

    Raises:
        StorageError: the file belongs to another site, or is damaged.
    """
    known = meta(connection)
    if known.get("site", site) != site:
        msg = f"{path}: this is the outbox of site {known['site']}, not of {site}; it was left as it is"
        raise StorageError(msg)
    if known.get("clean") == "0":
        check(connection, path)


def begin(connection: sqlite3.Connection, site: str, make_epoch: Callable[[], str] | None) -> str:
    """Give a new file its epoch and site, mark the file as in use, and return the epoch."""
    epoch = meta(connection).get("epoch") or (make_epoch or _random_epoch)()
    values = {"epoch": epoch, "site": site, "clean": "0"}
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())
    connection.execute("COMMIT")
    return epoch


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Look for damage: in the whole file, or in all but the blocks if it is large.

    Raises:
        StorageError: the file is damaged; it is left as it is.
    """
    with errors(path, "damaged"):
        checks = (
            ["quick_check(1)"]
            if in_use(connection) <= CHECK_WHOLE
            else [f"quick_check({table})" for table in _STATE_TABLES]
        )
        for one in checks:
            found = connection.execute(f"PRAGMA {one}").fetchone()[0]
            if found != "ok":
                msg = f"{path}: damaged: {found}; it was left as it is"
                raise StorageError(msg)


def meta(connection: sqlite3.Connection) -> dict[str, str]:
    """Return what the file says of itself; empty for a new file."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        return {}
    return dict(connection.execute("SELECT key, value FROM meta"))


def in_use(connection: sqlite3.Connection) -> int:
    """Return the bytes of the file that hold something; the others are used again before the file grows."""
    pages, free, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _SIZES)
    return int((pages - free) * size)


def _recognise(connection: sqlite3.Connection, path: Path) -> bool:
    """Return True for an outbox that this version may use, False for a new or unfinished file; refuse all else."""
    ident = connection.execute("PRAGMA application_id").fetchone()[0]
    named = connection.execute(
        "SELECT type, name FROM sqlite_master WHERE name NOT LIKE '%\\_sqlite\\_migrations%' ESCAPE '\\'"
    )
    objects = [row for row in named if not row[1].startswith("sqlite_autoindex")]
    if ident == 0 and not objects:
        return False
    if ident != APPLICATION_ID:
        msg = f"{path}: this is a database, but not an outbox; it was left as it is"
        raise StorageError(msg)
    if any(kind == "trigger" for kind, _ in objects):
        msg = f"{path}: the file holds triggers, which no outbox has; it was left as it is"
        raise StorageError(msg)
    known = meta(connection)
    needs = known.get("min_reader", "")
    if not (needs.isdecimal() and known.get("version", "").isdecimal()):
        msg = f"{path}: damaged: the file does not tell its version; it was left as it is"
        raise StorageError(msg)
    if int(needs) > VERSION:
        msg = f"{path}: written by a newer version (format {needs}, this one reads {VERSION}); it was left as it is"
        raise StorageError(msg)
    return True


def _random_epoch() -> str:
    return secrets.token_hex(4)


def _set(connection: sqlite3.Connection, *pragmas: str) -> None:
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")


def _sync_folder(path: Path) -> None:
    """Make the file's own name durable, or its first commits could lie in a file that nobody finds."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
