"""Small files that must be whole: written beside their place, made durable, then renamed. Secrets are for their owner.

A reader finds the old content or the new one, also after a power cut at any moment.
"""

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from sitekeeper.model.errors import StorageError

DATABASE: Final = 0o640
PRIVATE: Final = 0o600
MAX_BYTES: Final = 8 * 1024 * 1024
"""No file of this kind is near it; a larger one is not ours."""


def put(path: Path, content: bytes, *, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
    """Write a file whole and durably, with exactly this mode.

    Args:
        owner: whose it is (user, group); else of whoever writes it.

    Raises:
        StorageError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(beside, flags, PRIVATE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if owner is not None:
                    os.fchown(descriptor, *owner)
                os.fchmod(descriptor, mode)
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _settle(path.parent)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from None


def get(path: Path, *, private: bool = False) -> bytes | None:
    """Return a file's content; None if there is none.

    Args:
        private: nobody but its owner may be able to read it.

    Raises:
        StorageError: it cannot be read, is no plain file, is too large, or is open to others although `private`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise StorageError(f"{path}: not a plain file")
            if private and stat.S_IMODE(mode) & 0o077:
                shown = f"{stat.S_IMODE(mode):04o}"
                raise StorageError(f"{path}: mode {shown}, but only its owner may read it; chmod 0600 {path}")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from None
    if len(content) > MAX_BYTES:
        raise StorageError(f"{path}: more than {MAX_BYTES} bytes")
    return content


def drop(path: Path) -> None:
    """Remove a file, if it is there.

    Raises:
        StorageError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None


def folder(path: Path, *, mode: int = 0o700) -> None:
    """Make a folder and those above it; one that is there stays as it is.

    Raises:
        StorageError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=mode)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None


def _settle(path: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_empty(path: Path) -> None:
    """Make an empty file for a database that others cannot read, if there is none; SQLite's log and index follow it.

    Where that cannot be done, SQLite says why when it opens it.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, DATABASE))
