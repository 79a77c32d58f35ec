"""The site's salt: the secret with which card numbers and the like become pseudonyms (`sitekeeper.model.event`).

It lies beside the outbox and outlives it, so that the same card keeps its pseudonym in a new one. It is made once and
never changed: with another salt nothing that was recorded could be joined with what is recorded from then on.
"""

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from sitekeeper.model.errors import StorageError

NAME: Final = "salt"
LENGTH: Final = 32


def load(folder: Path) -> bytes:
    """Return the salt in `folder`, made now if there is none; durable when this returns.

    The caller holds the lock of the outbox beside it, so that no two processes make one.

    Raises:
        StorageError: it cannot be read or made, others may read it, or it is not 32 bytes.
    """
    path = folder / NAME
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None
    try:
        _make(path)
        return _read(path)
    except OSError as error:
        raise StorageError(f"{path}: the site's salt cannot be made: {error.strerror}") from None


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        mode = os.fstat(descriptor).st_mode
        found = os.read(descriptor, LENGTH + 1) if stat.S_ISREG(mode) else b""
    finally:
        os.close(descriptor)
    if stat.S_IMODE(mode) & 0o177:
        raise StorageError(f"{path}: mode {stat.S_IMODE(mode):04o}, but only the daemon may read it; chmod 0600 {path}")
    if len(found) != LENGTH:
        length = "more than 32" if len(found) > LENGTH else len(found)
        raise StorageError(f"{path}: {length} bytes where the site's salt has {LENGTH}; restore it from a backup")
    return found


def _make(path: Path) -> None:
    """Write it beside its place, make it durable, and only then give it its name."""
    beside = path.with_name(f"{NAME}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, secrets.token_bytes(LENGTH))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
