"""What a site has on its disk: a model of `edge.outbox` as far as the sync can see it, and the book of what was sealed.

A seal, a release and an eviction are durable with the next `flush` and not before; what was not is gone at a crash, as
in the real outbox, whose uplink is never shown a block before its commit. A released block stays readable as history.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from cloud_sync import wire
from sitekeeper.block import STREAMS, Block, Stream
from tests.simulation.material import newer

Identity = tuple[str, str, Stream, int]
"""(site, epoch, stream, sequence)."""

Fate = Literal["due", "dropped", "lost"]


@dataclass(slots=True, eq=False)
class Entry:
    """A block that was durable once.

    Attributes:
        block: what is in it; None if it was made to be useless.
        newer: other bytes for it, made when the office is too old to read what we send.
        fate: `due` at the office; `dropped` by policy, which must be told; `lost` with a disk, or with the office's.
    """

    identity: Identity
    payload: bytes
    block: Block | None
    newer: bytes = b""
    digest: str = ""
    fate: Fate = "due"

    def __post_init__(self) -> None:
        self.digest = wire.digest(self.payload)


Book = dict[Identity, list[Entry]]
"""Everything that was ever durable; more than one entry where a twin has used a sequence for other bytes."""

Kept = dict[Stream, dict[int, Entry]]
Saved = dict[tuple[str, Stream], dict[int, Entry]]
"""What was carried over from an earlier file, by epoch and stream."""


@dataclass(slots=True)
class Outbox:
    """One outbox file. Entries of a stream are kept in the order of their sequence."""

    site: str
    epoch: str
    book: Book
    unreleased: Kept = field(default_factory=lambda: {stream: {} for stream in STREAMS})
    history: Kept = field(default_factory=lambda: {stream: {} for stream in STREAMS})
    sealed: dict[Stream, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))
    durable: dict[Stream, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))
    catalogues: dict[str, bytes] = field(default_factory=dict)
    saved: Saved = field(default_factory=dict)
    saved_history: Saved = field(default_factory=dict)
    newer: bool = False
    sick: bool = False
    _pending: list[Callable[[], None]] = field(default_factory=list)
    _told: dict[int, Entry] = field(default_factory=dict)

    # what the uplink needs (cloud_sync.uplink.BlockSource)

    def next_sequence(self, stream: Stream) -> int:
        return self.durable[stream] + 1

    def unsent(self, stream: Stream) -> tuple[int, int, int]:
        waiting = self.unreleased[stream]
        return (next(iter(waiting)), next(reversed(waiting)), len(waiting)) if waiting else (0, 0, 0)

    def read(self, stream: Stream, sequence: int, *, history: bool = False) -> bytes | None:
        entry = self.unreleased[stream].get(sequence)
        if entry is None and history:
            entry = self.history[stream].get(sequence)
        if entry is None:
            return None
        if self.newer and entry.block is not None and entry.block.samples:
            entry.newer = entry.newer or newer(entry.block)
            return entry.newer
        return entry.payload

    def catalogue(self, catalogue_hash: str) -> bytes | None:
        return self.catalogues.get(catalogue_hash)

    def release(self, epoch: str, ranges: list[tuple[Stream, int, int]]) -> None:
        if epoch == self.epoch:
            self._pending.append(lambda: self._forget(ranges))
        elif any((epoch, stream) in self.saved for stream, _, _ in ranges):
            self._pending.append(lambda: self._forget_saved(epoch, ranges))

    # what it may have of earlier files (cloud_sync.saved.SavedSource)

    def salvaged(self) -> dict[tuple[str, Stream], tuple[tuple[int, int], ...]]:
        return {key: tuple(wire.ranges(kept)) for key, kept in self.saved.items() if kept}

    def read_salvaged(self, epoch: str, stream: Stream, sequence: int) -> bytes | None:
        key = (epoch, stream)
        entry = self.saved.get(key, {}).get(sequence) or self.saved_history.get(key, {}).get(sequence)
        return None if entry is None else entry.payload

    def standing(self) -> dict[int, bytes]:
        """Return the alarms that are to be told past the disk, because it does not take them."""
        return {sequence: entry.payload for sequence, entry in self._told.items()} if self.sick else {}

    def is_sound(self, told: int) -> bool:
        """Tell whether an alarms block that is told past the disk can be read."""
        return self._told[told].block is not None

    # what the recorder does

    def seal(self, entry: Entry, *, then: Callable[[], None] | None = None) -> None:
        """Put a block on its way to the disk, together with `then`, in one transaction."""
        self.sealed[entry.identity[2]] = entry.identity[3]
        if entry.identity[2] == "alarms":
            self._told[entry.identity[3]] = entry
        self._pending.append(lambda: self._keep(entry, then))

    def next_to_seal(self, stream: Stream) -> int:
        return self.sealed[stream] + 1

    def drop_oldest(self, count: int) -> list[Entry]:
        """Return which samples blocks have to make room."""
        return list(self.unreleased["samples"].values())[:count]

    def dropped(self, entries: list[Entry]) -> None:
        for entry in entries:
            if self.unreleased["samples"].pop(entry.identity[3], None) is not None:
                entry.fate = "dropped"

    # the disk

    def waits(self) -> bool:
        """Tell whether something is not durable yet."""
        return bool(self._pending)

    def flush(self) -> None:
        """Make durable what is pending, in its order; a disk that is sick takes nothing."""
        if self.sick:
            return
        pending, self._pending = self._pending, []
        self._told.clear()
        for work in pending:
            work()

    def crash(self) -> None:
        """Forget what is not durable."""
        self._pending.clear()
        self._told.clear()
        self.sealed = dict(self.durable)

    def left(self) -> int:
        """Return how many blocks wait for a receipt."""
        return sum(map(len, self.unreleased.values())) + sum(map(len, self.saved.values()))

    def _keep(self, entry: Entry, then: Callable[[], None] | None) -> None:
        _, _, stream, sequence = entry.identity
        self.unreleased[stream][sequence] = entry
        self.durable[stream] = sequence
        self.book.setdefault(entry.identity, []).append(entry)
        if then is not None:
            then()

    def _forget(self, ranges: list[tuple[Stream, int, int]]) -> None:
        for stream, start, end in ranges:
            waiting = self.unreleased[stream]
            for sequence in [one for one in range(start, end + 1) if one in waiting]:
                self.history[stream][sequence] = waiting.pop(sequence)

    def _forget_saved(self, epoch: str, ranges: list[tuple[Stream, int, int]]) -> None:
        for stream, start, end in ranges:
            waiting = self.saved.get((epoch, stream), {})
            for sequence in [one for one in waiting if start <= one <= end]:
                self.saved_history.setdefault((epoch, stream), {})[sequence] = waiting.pop(sequence)
