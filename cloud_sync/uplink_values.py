"""What the uplink's shell needs and tells: the outbox as it sees it, its settings, its report."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol

from cloud_sync.uplink_records import TAKEN_OVER, UplinkLimits
from sitekeeper.block import Stream
from sitekeeper.model.clock import MS, SECOND, Micros

KEPT: Final = 50
"""How many quarantined blocks the report names; the office keeps them all."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A block that the office could not read and keeps in quarantine. `at`: wall time of its word."""

    at: Micros
    stream: Stream
    sequence: int
    digest: str


class AuditDesk(Protocol):
    """What the office is told of the site's audit."""

    def head(self) -> tuple[int, str] | None:
        """Return `Status.audit`."""

    def links(self) -> tuple[int, tuple[str, ...]] | None:
        """Return the number of a row and the hashes from it on, of rows that the office has not confirmed yet."""

    def held(self, epoch: str, n: int, hash_: str) -> None:
        """The office has committed the links up to row `n`, which has this hash."""


class BlockSource(Protocol):
    """What the uplink needs of the outbox."""

    @property
    def epoch(self) -> str:
        """Return the id of the outbox file."""

    def next_sequence(self, stream: Stream) -> int:
        """Return the sequence that the next block of this stream will get."""

    def unsent(self, stream: Stream) -> tuple[int, int, int]:
        """Return (oldest, newest, count) of the unreleased blocks.

        When count is 0, newest means nothing, and oldest is the first one that is not on the disk yet, or 0.
        """

    def read(self, stream: Stream, sequence: int, *, history: bool = False) -> bytes | None:
        """Return an unreleased block's bytes, with `history` also those of a released one; None if it is not there."""

    def release(self, epoch: str, ranges: list[tuple[Stream, int, int]]) -> object:
        """The office has committed these closed ranges; ids that do not exist are passed over."""

    def catalogue(self, catalogue_hash: str) -> bytes | None:
        """Return an encoded catalogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkSettings:
    """Who we are and how often we speak; times in microseconds."""

    site: str
    boot: str
    version: str
    catalogue: str
    status_every: Micros = 10 * SECOND
    backoff_first: Micros = 500 * MS
    backoff_most: Micros = 4 * SECOND  # with the 1 s that a broken way may go unasked: back within 5 s
    backoff_alarms: Micros = SECOND
    backoff_twin: Micros = 15 * SECOND  # another one with our name takes the connection: do not fight for it
    limits: UplinkLimits = field(default_factory=UplinkLimits)


@dataclass(slots=True, kw_only=True)
class UplinkReport:
    """How the uplink stands, for `sk status` and `sk sync status`.

    Attributes:
        state: `connecting`, `connected`, `waiting` (no receipts) or `refused`; key `sync.uplink.<state>` of the texts.
        window: blocks of samples that may be in flight. window_bytes: bytes that may wait for the broker's answer.
        in_flight, by_stream: blocks without a receipt.
        last_receipt: monotonic time. office_offset: the office's wall time minus our monotonic time, by that receipt:
            later than true by the way here, so for display only.
        refused: the broker's reason codes per stream.
        farewell: the reason code with which the broker ended the last connection; 0 if it gave none.
        taken_over: monotonic time at which another one with our name last took the connection.
        silent: the last connection seemed to stand and nobody answered: half open. nobody: nobody listens there.
        suspects, held: blocks over which the broker ended connections, and blocks left aside for that or for size.
        quarantined: the latest blocks that the office could not read.
        published, released: blocks since the start, repeats counted.
    """

    state: str = "connecting"
    protocol: str = ""
    window: int = 0
    window_bytes: int = 0
    in_flight: int = 0
    by_stream: dict[Stream, int] = field(default_factory=dict)
    last_receipt: Micros | None = None
    office_offset: Micros | None = None
    last_error: str = ""
    refused: dict[Stream, int] = field(default_factory=dict)
    farewell: int = 0
    taken_over: Micros | None = None
    silent: bool = False
    nobody: bool = False
    suspects: int = 0
    held: list[tuple[Stream, int]] = field(default_factory=list)
    quarantined: deque[Quarantined] = field(default_factory=lambda: deque(maxlen=KEPT))
    connections: int = 0
    published: int = 0
    released: int = 0
    ignored: int = 0

    def ended(self, farewell: int, now: Micros) -> None:
        """Take note of how the broker ended a connection."""
        self.farewell = farewell
        if farewell == TAKEN_OVER:
            self.taken_over = now


def first_to_send(source: BlockSource, stream: Stream) -> int:
    """Return the lowest sequence that the site can still send: what waits for a disk that fails is yet to come."""
    oldest, _, count = source.unsent(stream)
    return oldest if count or oldest else source.next_sequence(stream)
