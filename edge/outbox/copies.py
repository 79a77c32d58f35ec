"""Backup and restore of an outbox. A backup is marked as one, so who opens it as an outbox begins a new epoch."""

import sqlite3
from pathlib import Path
from typing import Final

from edge.outbox import quarantine, rows, schema
from sitekeeper import files
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import StorageError

_STEP: Final = 256
"""Pages copied at a time; between two steps the gateway writes on."""


def backup(source: Path, target: Path) -> int:
    """Copy the outbox at `source` to the new file `target`, also while a gateway writes it; return its bytes.

    Raises:
        StorageError: there is a file already, the source cannot be read, or the disk refused.
    """
    if target.exists():
        msg = f"{target}: there is a file already"
        raise StorageError(msg)
    reader = schema.connect_reader(source)
    try:
        with schema.errors(target, "cannot back up"):
            files.make_empty(target)
            copy = sqlite3.connect(target, isolation_level=None)
            try:
                reader.backup(copy, pages=_STEP)
                copy.execute("PRAGMA journal_mode=DELETE")
                copy.execute(rows.insert("meta"), rows.signed("meta", [(schema.COPY, "1")])[0])
            finally:
                copy.close()
    finally:
        reader.close()
    return target.stat().st_size


def check(path: Path) -> dict[str, str]:
    """Read all of an outbox and compare it with its digests; return what it says of itself.

    Raises:
        Damaged: it is not what was written.
        StorageError: it cannot be read, or is none.
    """
    reader = schema.connect_reader(path)
    try:
        schema.check(reader, path, whole=True)
        with schema.errors(path, "cannot check"):
            for table in rows.KEYED if schema.has_digests(reader) else ():
                for _ in rows.sound(table, reader.execute(rows.select(table))):
                    continue
            return schema.meta(reader)
    finally:
        reader.close()


def restore(backup_file: Path, path: Path, wall: Micros) -> Path | None:
    """Put a backup in the place of an outbox that no gateway has open; return where the present file went, if any.

    Raises:
        Damaged: the backup is not what was written.
        StorageError: a gateway has the outbox open, or the disk refused.
    """
    check(backup_file)
    lock = schema.lock(path)
    try:
        moved = quarantine.set_aside(path, wall) if path.exists() else None
        backup(backup_file, path)
    finally:
        schema.unlock(lock)
    return moved
