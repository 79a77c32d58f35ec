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

from edge.outbox import rows, space, tables
from edge.outbox.records import Damaged, NoRoom
from sitekeeper import files
from sitekeeper.model.errors import StorageError

APPLICATION_ID: Final = 0x534B4F42
"""`SKOB` in the header of every outbox, so that `file` and we know one from any other database."""

VERSION: Final = 2
"""Of the schema that this code writes. A step that old readers cannot live with raises `min_reader` too."""

_CORRUPT, _NO_ROOM, _NOT_A_DATABASE, _IO = 11, 13, 26, 10
"""SQLite's primary result codes."""

_UNREADABLE: Final = frozenset({_IO | 1 << 8, _IO | 2 << 8, _IO | 33 << 8})
"""IOERR_READ, IOERR_SHORT_READ, IOERR_CORRUPTFS: the disk does not give back what it was given."""

PAGE: Final = 1024
"""Bytes of a page. A commit writes each page it touches whole, and most touch a few bytes of five pages: a quarter of
the usual size halves what is written at 50 changes/s (benchmarks/outbox.py) and costs nothing in full blocks."""

COPY: Final = "copy"
"""Key of `meta` in a backup: who opens it as an outbox begins a new epoch."""

REMEDY: Final = "Install the version that wrote it, or let `outbox: path` of site.yaml name another file."

LOG_PAGES: Final = 4096
"""Pages in the log at which the writer moves them into the file."""

CACHE: Final = 512
"""KiB of pages that the writer keeps in memory. It fills while the file grows, for an hour of outage if it were 4 MiB;
what is appended is not read again, so little is enough. A larger transaction goes to the log in parts."""

BUSY_S: Final = 5.0
"""How long another program's lock is waited for."""

CHECK_WHOLE: Final = 64 << 20
"""Largest file that is checked as a whole after an unclean stop: under a second on a slow disk."""

_STATE_TABLES: Final = (*rows.KEYED, "catalogues", "audit")

_SIZES: Final = ("page_count", "freelist_count", "page_size")


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


def unlock(descriptor: int) -> None:
    """Let go of a file that `lock` took."""
    os.close(descriptor)


@contextmanager
def errors(path: Path, doing: str, *, unknown: bool = False) -> Iterator[None]:
    """Turn SQLite's errors into ours, with the file and what was being done.

    Raises:
        Damaged, NoRoom, StorageError: by what SQLite says; `unknown` is passed on.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0)
        kind = StorageError
        # 1 is an error in SQL: ours has none, unless the schema in the file is not the one that we made.
        broken = code & 0xFF in {1, _CORRUPT, _NOT_A_DATABASE} or code in _UNREADABLE
        if broken or "decode to UTF-8" in str(error):
            kind = Damaged
        elif code & 0xFF == _NO_ROOM or (code & 0xFF == _IO and space.room(path) < space.NONE):
            kind = NoRoom
        msg = f"{path}: {doing}: {error}"
        raise kind(msg, unknown=unknown) from error
    except (OverflowError, UnicodeDecodeError, ValueError) as error:  # what no row of ours makes the library say
        msg = f"{path}: {doing}: damaged: {error}"
        raise Damaged(msg, unknown=unknown) from error


def connect_writer(path: Path, *, create: bool = True) -> sqlite3.Connection:
    """Open the one connection that writes: WAL, every commit on the disk, nothing in the file trusted.

    Raises:
        StorageError: the file cannot be opened or is not an outbox.
    """
    if path.exists() and path.stat().st_nlink > 1:
        msg = f"{path}: the file has a second name (a hard link), and SQLite damages such files; remove the other name"
        raise StorageError(msg)
    with errors(path, "cannot open"):
        if create:
            files.make_empty(path)
        uri = f"{path.resolve().as_uri()}?mode={'rwc' if create else 'rw'}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
        try:
            _set(connection, "trusted_schema=OFF", "mmap_size=0", "cell_size_check=ON")
            _recognise(connection, path)
            _set(connection, f"page_size={PAGE}", "journal_mode=WAL", "synchronous=FULL", f"cache_size=-{CACHE}")
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
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
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
    for number, step in enumerate(tables.STEPS, start=1):

        @steps(name=f"{number:04} {step.__name__.lstrip('_')}")
        def apply(db: Any, step: Callable[[sqlite3.Connection], None] = step) -> None:
            step(db.conn)

    with errors(path, "cannot create the tables"):
        steps.apply(sqlite_utils.Database(connection, recursive_triggers=False, execute_plugins=False))
    _sync_folder(path)


def inspect(connection: sqlite3.Connection, path: Path, site: str) -> None:
    """Make sure that the file is this site's, and that nothing is damaged that can be seen. A new file passes.

    Raises:
        StorageError: the file belongs to another site.
        Damaged: see `check`.
    """
    if not meta(connection):
        return
    check(connection, path)
    known = meta(connection)
    if has_digests(connection):
        known = {row[0]: row[1] for row in rows.sound("meta", connection.execute(rows.select("meta")))}
    if known.get("site", site) != site:
        msg = f"{path}: this is the outbox of site {known['site']}, not of {site}; it was left as it is. {REMEDY}"
        raise StorageError(msg)
    if COPY in known:
        msg = f"{path}: this file is a backup; its blocks may have been followed by others"
        raise Damaged(msg)


def begin(connection: sqlite3.Connection, site: str, make_epoch: Callable[[], str] | None, instance: str) -> str:
    """Give a new file its epoch and site, mark the file as in use by this start, and return the epoch."""
    epoch = meta(connection).get("epoch") or (make_epoch or _random_epoch)()
    values = {"epoch": epoch, "site": site, "clean": "0", "instance": instance}
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(rows.insert("meta"), rows.signed("meta", values.items()))
    connection.execute("COMMIT")
    return epoch


def check(connection: sqlite3.Connection, path: Path, *, whole: bool = False) -> None:
    """Look for damage: in the whole file, or in all but the blocks if it is large and `whole` is not asked for.

    Raises:
        Damaged: the file is damaged.
    """
    with errors(path, "damaged"):
        found = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        if strange := tables.strange(found, int(meta(connection)["version"])):
            msg = f"{path}: damaged: the file holds what no outbox has: {', '.join(strange)}"
            raise Damaged(msg)
        present = {name for kind, name, _ in found if kind == "table"}
        whole = whole or in_use(connection) <= CHECK_WHOLE
        checks = ["quick_check(1)"] if whole else [f"quick_check({name})" for name in _STATE_TABLES if name in present]
        for one in checks:
            result = connection.execute(f"PRAGMA {one}").fetchone()[0]
            if result != "ok":
                msg = f"{path}: damaged: {result}"
                raise Damaged(msg)
        if whole and has_digests(connection):
            for name in tables.BLOCKS:
                for row in connection.execute(rows.select(name)):
                    tables.block_sound(path, name, row)


def meta(connection: sqlite3.Connection) -> dict[str, str]:
    """Return what the file says of itself; empty for a new file."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        return {}
    return dict(connection.execute("SELECT key, value FROM meta"))


def in_use(connection: sqlite3.Connection) -> int:
    """Return the bytes of the file that hold something; the others are used again before the file grows."""
    pages, free, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _SIZES)
    return int((pages - free) * size)


def spare(connection: sqlite3.Connection) -> int:
    """Return the bytes of the file that hold nothing: room for what comes next, whatever the filesystem says."""
    return int(
        connection.execute("PRAGMA freelist_count").fetchone()[0] * connection.execute("PRAGMA page_size").fetchone()[0]
    )


def _recognise(connection: sqlite3.Connection, path: Path) -> bool:
    """Return True for an outbox that this version may use, False for a new or unfinished file; refuse all else."""
    ident = connection.execute("PRAGMA application_id").fetchone()[0]
    found = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    objects = {name: kind for kind, name, _ in found if not tables.is_plumbing(name)}
    if ident == 0 and not objects:
        return False
    ours = objects.keys() & {"meta", *tables.BLOCKS}
    if ident != APPLICATION_ID and not ours:
        msg = f"{path}: this is a database, but not an outbox; it was left as it is. {REMEDY}"
        raise StorageError(msg)
    if ident != APPLICATION_ID or objects.get("meta") != "table" or "trigger" in objects.values():
        msg = f"{path}: damaged: the file holds triggers, or lacks what every outbox has"
        raise Damaged(msg)
    known = meta(connection)
    needs = known.get("min_reader", "")
    if not (needs.isdecimal() and known.get("version", "").isdecimal()):
        msg = f"{path}: damaged: the file does not tell its version"
        raise Damaged(msg)
    if int(needs) > VERSION:
        newer = f"written by a newer version (format {needs}, this one reads {VERSION})"
        msg = f"{path}: {newer}; it was left as it is. {REMEDY}"
        raise StorageError(msg)
    return True


def has_digests(connection: sqlite3.Connection) -> bool:
    """Tell whether the rows of this file carry digests."""
    return int(meta(connection).get("version", "0")) >= 2


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
