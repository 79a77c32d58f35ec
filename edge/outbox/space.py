"""Room on the filesystem, and the reserve: a file of blocks really allocated, given back when alarms need them."""

import contextlib
import os
from pathlib import Path
from typing import Final

NONE: Final = 1 << 20
"""Bytes below which a filesystem counts as full, whatever the error says."""

MARGIN: Final = 4 << 20
"""Bytes that must stay free beyond the reserve before it is taken again."""


def room(path: Path) -> int:
    """Return the bytes that we may still write beside `path`; 0 if the filesystem does not answer."""
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


class Reserve:
    """A file beside the outbox that holds `size` bytes for alarms and events."""

    def __init__(self, outbox: Path, size: int) -> None:
        self.path = outbox.with_name(outbox.name + ".reserve")
        self.size = size

    @property
    def held(self) -> bool:
        """Tell whether the blocks are allocated; without a reserve, True."""
        try:
            return not self.size or self.path.stat().st_blocks * 512 >= self.size
        except OSError:
            return False

    def hold(self) -> bool:
        """Allocate the blocks if there is room for them and `MARGIN` more; tell whether they are ours now.

        A reserve that was configured smaller, or away, is cut down.
        """
        try:
            if self.path.exists() and (not self.size or self.path.stat().st_size > self.size):
                self._resize(self.size)
            if self.held:
                return True
            if room(self.path) < self.size + MARGIN:
                return False
            self._resize(self.size)
        except OSError:
            self.give_back()  # half a reserve would only hide that there is none
        return self.held

    def give_back(self) -> None:
        """Return the blocks to the filesystem. That it cannot be done shows in the next commit."""
        with contextlib.suppress(OSError):
            if self.path.exists():
                os.truncate(self.path, 0)

    def _resize(self, size: int) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            os.ftruncate(descriptor, min(size, os.fstat(descriptor).st_size))
            if size:
                os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)
