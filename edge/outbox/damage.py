"""Signs of damage that SQLite passes over: a mark left by the last run, a log cut short, another file in its place."""

import os
import shutil
import struct
from pathlib import Path
from typing import Final

from edge.outbox.records import Damaged
from sitekeeper.model.errors import StorageError

_WAL_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_INDEX_HEADER: Final = 48


def mark(path: Path, why: str) -> None:
    """Leave word for the next start that the file is damaged. The disk may refuse; then the damage shows once more."""
    try:
        path.with_name(path.name + ".damaged").write_text(why, encoding="utf-8")
    except OSError:
        return


def marked(path: Path) -> str:
    """Return the word that was left; empty for none."""
    try:
        return path.with_name(path.name + ".damaged").read_text(encoding="utf-8", errors="replace")[:500] or "marked"
    except OSError:
        return ""


class Log:
    """What is known of the write-ahead log before SQLite opens it, to be compared with what it made of it.

    SQLite ends a damaged log at its first bad frame without a word, and what was committed behind it is gone, although
    it may have been sent. The index beside the log says how far it was committed: after kill -9 exactly, after a power
    cut perhaps less, never more.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        if (kept := kept_log(path)).exists() and not self._wal.exists():
            kept.rename(self._wal)  # a kill came between finding the damage and moving the file aside
        index = path.with_name(path.name + "-shm")
        self._size = self._wal.stat().st_size if self._wal.exists() else 0
        head = _head(self._wal, _WAL_HEADER)
        self.header_bad = len(head) == _WAL_HEADER and not _wal_header_sound(head)
        self._salts = head[16:24]
        self._page = struct.unpack(">I", head[8:12])[0] if len(head) == _WAL_HEADER else 0
        self._committed = self._of_index(_head(index, 2 * _INDEX_HEADER + 4))

    def keep(self) -> None:
        """Keep the log under a second name: SQLite deletes it when it closes a file, with all that it passed over.

        Raises:
            StorageError: the disk refused.
        """
        kept = kept_log(self._path)
        try:
            kept.unlink(missing_ok=True)
            if self._size:
                try:
                    kept.hardlink_to(self._wal)
                except OSError:  # a filesystem without links
                    shutil.copyfile(self._wal, kept)
        except OSError as error:
            msg = f"{kept}: {error.strerror}"
            raise StorageError(msg) from error

    def sound(self) -> None:
        """Let go of the second name: the file is whole."""
        kept_log(self._path).unlink(missing_ok=True)

    def compare(self, frames: int) -> None:
        """Make sure that SQLite found all that was committed: `frames`, as a checkpoint counts them.

        Raises:
            Damaged: the log has lost commits.
        """
        if frames < self._committed or (self.header_bad and self._committed != 0) or self._commits_behind(frames) > 2:
            msg = f"{self._path}: damaged: the log ends at frame {max(frames, 0)}, before what was committed"
            raise Damaged(msg)

    def _of_index(self, index: bytes) -> int:
        """Return the frames that the index knows as committed and not yet in the file; 0 if it knows nothing."""
        if len(index) < 2 * _INDEX_HEADER + 4 or index[:_INDEX_HEADER] != index[_INDEX_HEADER : 2 * _INDEX_HEADER]:
            return 0
        words = struct.unpack("=12I", index[:_INDEX_HEADER])
        backfilled = struct.unpack("=I", index[2 * _INDEX_HEADER :])[0]
        if _sums(words[:10], 0, 0) != words[10:] or words[4] == backfilled:
            return 0
        stale = len(self._salts) == 8 and not self.header_bad and index[32:40] != self._salts
        return 0 if stale else words[4]

    def _commits_behind(self, frames: int) -> int:
        """Return how many commits of this log lie behind its end; two that were cut short may be left over."""
        if not self._page or self.header_bad:
            return 0
        found, step = 0, _FRAME_HEADER + self._page
        with self._wal.open("rb") as log:
            for place in range(_WAL_HEADER + max(frames, 0) * step, self._size - step + 1, step):
                log.seek(place)
                head = log.read(_FRAME_HEADER)
                found += head[8:16] == self._salts and head[4:8] != bytes(4)
        return found


class Instances:
    """Which start of the gateway wrote the file last, kept beside it too: a file put in its place is of another start.

    Kept in the lock file: the mark that is in the file, the one that is about to be, and the file's epoch.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        words = os.pread(descriptor, 400, 0).decode("ascii", "replace").split()
        self.marks: tuple[str, ...] = tuple(words[:2]) if len(words) == 3 else ()
        self.epoch = words[2].strip("-") if len(words) == 3 else ""

    def check(self, path: Path, found: str) -> None:
        """Make sure that the file is the one that was used last; `found` is its mark.

        Raises:
            Damaged: it is a copy.
        """
        if self.marks and found and found not in self.marks:
            msg = f"{path}: another file was put in the place of this gateway's outbox"
            raise Damaged(msg)

    def forget(self) -> None:
        """Accept whatever is there next: a new file was made."""
        self.marks = ()

    def write(self, found: str, following: str, epoch: str) -> None:
        """Keep the file's mark and the one that it gets next, durable before the file has it."""
        text = f"{found or '-'} {following} {epoch or '-'}\n".encode()
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))
        os.fsync(self._descriptor)


def kept_log(path: Path) -> Path:
    """Return the second name of the log while a file is examined."""
    return path.with_name(path.name + "-wal.examined")


def _head(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""


def _wal_header_sound(head: bytes) -> bool:
    big = head[3] & 1
    words = struct.unpack((">" if big else "<") + "6I", head[:24])
    return _sums(words, 0, 0) == struct.unpack(">2I", head[24:32])


def _sums(words: tuple[int, ...], first: int, second: int) -> tuple[int, int]:
    """SQLite's checksum of a log (fileformat2, section 4.2)."""
    for x, y in zip(words[::2], words[1::2], strict=True):
        first = (first + x + second) & 0xFFFFFFFF
        second = (second + y + first) & 0xFFFFFFFF
    return first, second
