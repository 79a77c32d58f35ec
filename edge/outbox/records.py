"""What goes into the outbox and what comes back at the start: plain values, shared by its modules."""

from typing import NamedTuple, Protocol

import msgspec

from sitekeeper.block import Stream
from sitekeeper.model.alarm import AlarmRecord
from sitekeeper.model.clock import DAY, Micros
from sitekeeper.model.errors import StorageError


class NoRoom(StorageError):
    """The filesystem has no room: history goes, the reserve is given back, samples wait."""


class Damaged(StorageError):
    """What the file holds is not what was written. The next start saves what can be read."""

    damaged = True


class Sealed(Protocol):
    """A sealed block: bytes that are not looked into here, and what must be known about them.

    `t0` and `t1` are the wall times of its first and last record, `count` the number of records in it.
    """

    @property
    def stream(self) -> Stream: ...
    @property
    def sequence(self) -> int: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def count(self) -> int: ...
    @property
    def t0(self) -> Micros: ...
    @property
    def t1(self) -> Micros: ...


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of memory, file and time. The defaults are those of the specification.

    Attributes:
        group: seconds that samples wait for company before they are committed.
        receipts: seconds that receipts wait for something else to be committed with. The office would give them again.
        retry: seconds between attempts while the disk fails.
        samples_bytes: samples waiting in memory; beyond it the writer is behind.
        appends: other appends waiting in memory.
        flush_bytes: so much waiting is committed without waiting longer.
        history: released blocks are kept for so long after their end.
        max_size: bytes in use in the file above which blocks go earlier: history, then the oldest samples.
        reserve: bytes kept for alarms and events beside the file; 0 for none.
    """

    group: float = 0.25
    receipts: float = 2.0
    retry: float = 1.0
    samples_bytes: int = 16 << 20
    appends: int = 10_000
    flush_bytes: int = 1 << 20
    history: Micros = 14 * DAY
    max_size: int = 4 << 30
    reserve: int = 0


class AsOf(msgspec.Struct, frozen=True):
    """The moment for which the saved rule state is true. `mono` compares within `boot` only."""

    wall: Micros
    mono: Micros
    boot: str


class Unsent(NamedTuple):
    """Durable blocks of a stream without a receipt: both ends, and how many; with 0 the ends mean nothing."""

    oldest: int
    newest: int
    blocks: int


class StartState(msgspec.Struct, frozen=True, kw_only=True):
    """What a starting daemon goes on from.

    Attributes:
        rule_state: the engine's own bytes by rule instance; `as_of` is None in a new file.
        group_until: per scan group the wall time up to which the record accounts for it.
        sequences: last durable sequence per stream, 0 in a new file.
    """

    alarms: list[AlarmRecord]
    rule_state: dict[str, bytes]
    as_of: AsOf | None
    group_until: dict[str, Micros]
    sequences: dict[Stream, int]
