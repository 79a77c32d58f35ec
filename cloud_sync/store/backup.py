"""Copies of an SQLite store: made while the office writes, checked, put back while it does not run."""

import fcntl
import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from cloud_sync.store.schema import APPLICATION_ID, VERSION
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.errors import NotFound, Refused, StorageError

COUNTED: Final = ("sites", "blocks", "transitions", "events", "quarantine", "hours")
"""Tables whose rows are counted on both sides."""
_SAID_WRONGLY: Final = "NULL value in samples."
"""SQLite 3.40.1, which Debian 12 has, says so of any table without rowid whose key is not its first columns. Pages are
looked at before rows, so damage is told first.
"""
_BESIDE: Final = ("-wal", "-shm", "-journal")


class Copied(msgspec.Struct, frozen=True):
    """What a copy holds: its bytes, and rows by table."""

    size: int
    rows: dict[str, int]


def backup(store: Path, target: Path) -> Copied:
    """Copy a store as it stands at this moment, and check the copy.

    It reads in one transaction through a connection of its own; the office goes on writing to its log meanwhile.

    Raises:
        NotFound: there is no store. Refused: `exists`, the target is there already. StorageError: it cannot be read
        or written, or the copy is not what it should be.
    """
    if not store.is_file():
        raise NotFound(f"no central store at {store}")
    if target.exists():
        raise Refused("exists", f"{target} is there already")
    part = target.with_name(f"{target.name}.part")
    try:
        part.unlink(missing_ok=True)
        with closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as source:
            source.execute("BEGIN")
            counted = _count(source)
            with closing(sqlite3.connect(part, isolation_level=None)) as copy:
                os.chmod(part, 0o600)  # noqa: PTH101 - before anything is in it
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        found = check(part)
        if found.rows != counted:
            raise StorageError(f"{part}: has {found.rows} where the store had {counted}")
        _to_disk(part)
        part.rename(target)
        _to_disk(target.parent)
    except StorageError:
        part.unlink(missing_ok=True)
        raise
    except (sqlite3.Error, OSError) as err:
        part.unlink(missing_ok=True)
        raise StorageError(f"backup of {store}: {err}") from None
    return found


def check(path: Path) -> Copied:
    """Read a whole copy and tell what it holds.

    Raises:
        NotFound: there is none. StorageError: it is damaged, no central store, or of a newer version.
    """
    if not path.is_file():
        raise NotFound(f"no file {path}")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as sql:
            if sql.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise StorageError(f"{path} is not a central store of Sitekeeper")
            if sql.execute("PRAGMA user_version").fetchone()[0] > VERSION:
                raise StorageError(f"{path} was made by a newer version")
            said = sql.execute("PRAGMA quick_check(1)").fetchone()[0]
            if said != "ok" and not said.startswith(_SAID_WRONGLY):
                raise StorageError(f"{path} is damaged: {said}")
            return Copied(path.stat().st_size, _count(sql))
    except sqlite3.Error as err:
        raise StorageError(f"{path}: {err}") from None


def restore(copy: Path, store: Path, now: Micros) -> Path | None:
    """Put a copy in the place of the store; return the folder where what was there lies now, if anything was.

    Raises:
        Refused: `running`, an office uses the store. NotFound, StorageError: as `check`, or it cannot be written.
    """
    check(copy)
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        owner = (store if store.exists() else store.parent).stat()
        lock = os.open(f"{store}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as err:
        raise StorageError(f"central store {store}: {err}") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused("running", f"an office uses {store}; stop it first") from None
        part = store.with_name(f"{store.name}.restored")
        shutil.copyfile(copy, part)
        part.chmod(0o600)
        if os.geteuid() == 0:  # the office runs as the owner of the store, or of its folder
            for path in (part, Path(f"{store}.lock")):
                os.chown(path, owner.st_uid, owner.st_gid)
        _to_disk(part)
        return _exchange(part, store, now)
    except OSError as err:
        raise StorageError(f"restore of {store}: {err}") from None
    finally:
        os.close(lock)


def _exchange(part: Path, store: Path, now: Micros) -> Path | None:
    """Move aside what is there and give the copy its name: a death in between loses neither."""
    beside = [path for path in (store, *(Path(f"{store}{end}") for end in _BESIDE)) if path.exists()]
    aside: Path | None = None
    if beside:
        moment = datetime.fromtimestamp(now / SECOND, UTC)
        aside = store.with_name(f"{store.name}.before-{moment:%Y%m%dT%H%M%SZ}")
        aside.mkdir(mode=0o700)
        for path in beside:
            path.rename(aside / path.name)
    part.rename(store)
    _to_disk(store.parent)
    return aside


def _count(sql: sqlite3.Connection) -> dict[str, int]:
    return {name: sql.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in COUNTED}  # noqa: S608


def _to_disk(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
