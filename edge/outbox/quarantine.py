"""The folder beside the outbox into which a damaged or replaced file goes: `<file>.quarantine-<time>`, never deleted.

It holds the file as it was found, with its log, and when all that can be read of it is in the new file, a word about
what that was (`SAVED`), for people: it stays until somebody takes the folder away.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from edge.outbox import damage
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.errors import StorageError

UNFINISHED: Final = "UNFINISHED"
"""There from before the file is moved until the new one is in place; it holds why."""

SAVED: Final = "SAVED"
BESIDE: Final = ("", "-wal", "-shm", ".damaged")


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file that was damaged.

    Attributes:
        lost: per stream, blocks that nobody has any more; -1: not known. saved: blocks that were still to be sent.
        alarms: `kept`, or `check_site`: they were made anew from what blocks tell.
    """

    why: str
    epoch: str
    lost: dict[str, int]
    saved: dict[str, int]
    alarms: str


def quarantine(path: Path, why: str, wall: Micros) -> Path:
    """Move the file aside, with its log; return the folder. The file itself is not touched.

    Raises:
        StorageError: the disk refused.
    """
    stamp = datetime.fromtimestamp(wall / SECOND, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    folder = path.with_name(f"{path.name}.quarantine-{stamp}")
    try:
        folder.mkdir(mode=0o750)
        (folder / UNFINISHED).write_text(why, encoding="utf-8")
        _move(path, folder)
    except OSError as error:
        msg = f"{folder}: cannot move the damaged outbox aside: {error.strerror}"
        raise StorageError(msg) from error
    return folder


def set_aside(path: Path, wall: Micros) -> Path:
    """Move a file aside that a person replaces; nothing is to be saved from it by itself.

    Raises:
        StorageError: the disk refused.
    """
    folder = quarantine(path, "replaced by a backup", wall)
    (folder / UNFINISHED).unlink(missing_ok=True)
    return folder


def unfinished(path: Path) -> Path | None:
    """Return the quarantine that a kill interrupted, with the file moved into it; None if there is none.

    Raises:
        StorageError: the disk refused.
    """
    for folder in sorted(path.parent.glob(f"{path.name}.quarantine-*")):
        if (folder / UNFINISHED).exists():
            try:
                if path.exists() and (folder / path.name).exists():
                    (folder / UNFINISHED).unlink()  # the new file was in place already
                    continue
                _move(path, folder)
            except OSError as error:
                msg = f"{folder}: cannot move the damaged outbox aside: {error.strerror}"
                raise StorageError(msg) from error
            return folder
    return None


def leave_word(folder: Path, saved: Saved) -> None:
    """Write down in the quarantine what became of the file. Raises OSError."""
    (folder / SAVED).write_bytes(msgspec.json.encode(saved))


def word_of(events: Sequence[Mapping[str, Any]]) -> Saved:
    """Return that word, made of the events that tell of a salvage."""
    lost, saved = dict[str, int](), dict[str, int]()
    for each in events:
        lost[each["stream"]] = lost.get(each["stream"], 0) + each["lost_blocks"]
        saved[each["stream"]] = each["saved_blocks"]
    first = events[0]
    return Saved(why=first["why"], epoch=first["old_epoch"], lost=lost, saved=saved, alarms=first["alarms"])


def kept(path: Path) -> list[dict[str, Any]]:
    """Return the quarantines beside an outbox, oldest first: folder, time, and what became of the file, if known."""
    found = []
    for folder in sorted(path.parent.glob(f"{path.name}.quarantine-*")):
        try:
            word = msgspec.to_builtins(msgspec.json.decode((folder / SAVED).read_bytes(), type=Saved))
        except (OSError, msgspec.DecodeError):  # of an older version, or put there by hand
            word = {}
        found.append({"folder": str(folder), "at": folder.name.rpartition("-")[2], **word})
    return found


def _move(path: Path, folder: Path) -> None:
    if (kept := damage.kept_log(path)).exists():  # what it was before SQLite read it
        kept.replace(path.with_name(path.name + "-wal"))
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
    for end in BESIDE:
        source = path.with_name(path.name + end)
        if source.exists() and not (folder / source.name).exists():
            source.rename(folder / source.name)
    sync(folder)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
