"""What waits for the disk: appends in the order in which they came, their bounds, and when they are due. Pure."""

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from edge.outbox.drops import Note
from edge.outbox.records import AsOf, Limits, Sealed
from edge.outbox.trail import Anchor
from sitekeeper.block import Stream
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import StorageError

OVERHEAD: Final = 512
"""Bytes that a waiting append costs beside its payloads, so that empty blocks are bounded too."""

MAX_BATCH: Final = 8 << 20
"""Most bytes of one transaction; what waits behind it goes into the next one."""


@dataclass(slots=True, kw_only=True)
class Job:
    """One append, receipt or catalogue: all of it in one transaction. Encoded already; only bytes from here on."""

    blocks: tuple[Sealed, ...] = ()
    alarms: tuple[tuple[str, str], ...] = ()
    rule_state: tuple[tuple[str, bytes | None], ...] = ()
    as_of: AsOf | None = None
    until: tuple[tuple[str, Micros], ...] = ()
    audit: tuple[bytes, ...] = ()
    fold: Anchor | None = None
    release: tuple[tuple[Stream, int, int], ...] = ()
    release_salvaged: tuple[tuple[str, Stream, int, int], ...] = ()
    told: Note | None = None
    catalogue: tuple[str, bytes] | None = None
    urgent: bool = False
    at: float = 0.0
    future: Future[None] = field(default_factory=Future)

    def __post_init__(self) -> None:
        # A waiter that gives up must not be able to cancel what is already on its way to the disk.
        self.future.set_running_or_notify_cancel()

    @property
    def bytes(self) -> int:
        """What it costs to keep it waiting."""
        return OVERHEAD + sum(len(block.payload) for block in self.blocks)

    @property
    def receipt_only(self) -> bool:
        """Tell whether it can wait for another append: if it is lost, the block is sent and receipted once more."""
        return bool(self.release or self.release_salvaged) and not self.urgent

    @property
    def samples_only(self) -> bool:
        """Tell whether it may be refused for the amount of samples waiting."""
        return bool(self.blocks) and not self.urgent


class Pending:
    """The bounded queue in front of the writer. Full means that `add` refuses; nothing is ever thrown out."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._jobs: deque[Job] = deque()
        self._bytes = 0
        self._samples = 0
        self._others = 0
        self._urgent = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def full(self, *, samples: bool) -> bool:
        """Tell whether one more append of samples, or of anything else, would be refused."""
        return self._samples >= self._limits.samples_bytes if samples else self._others >= self._limits.appends

    def add(self, job: Job) -> None:
        """Put an append behind all others.

        Raises:
            StorageError: the writer is behind; nothing was taken.
        """
        if self.full(samples=job.samples_only):
            waiting = f"{self._samples >> 20} MiB of samples" if job.samples_only else f"{self._others} appends"
            msg = f"writer behind: {waiting} wait for the disk"
            raise StorageError(msg)
        self._jobs.append(job)
        self._count(job, 1)

    def batch(self) -> list[Job]:
        """Return the oldest appends, as many as one transaction takes; they stay until `done`."""
        taken: list[Job] = []
        room = MAX_BATCH
        for job in self._jobs:
            room -= job.bytes
            if taken and room < 0:
                break
            taken.append(job)
        return taken

    def first(self, count: int) -> list[Job]:
        """Return the `count` oldest appends; they stay."""
        return list(islice(self._jobs, count))

    def upto_urgent(self) -> list[Job]:
        """Return everything up to the last append that cannot wait for room, however much it is; it stays."""
        jobs = list(self._jobs)
        while jobs and not jobs[-1].urgent:
            jobs.pop()
        return jobs

    def receipts_first(self) -> int:
        """Put receipts in front, since they make history of blocks long durable; return how many there are."""
        receipts = [job for job in self._jobs if job.receipt_only]
        self._jobs = deque([*receipts, *(job for job in self._jobs if not job.receipt_only)])
        return len(receipts)

    @property
    def urgent(self) -> bool:
        """Tell whether something waits that cannot wait for room."""
        return self._urgent > 0

    @property
    def crowded(self) -> bool:
        """Tell whether half of the memory for samples is taken."""
        return 2 * self._samples >= self._limits.samples_bytes

    @property
    def bytes(self) -> int:
        """Return what waits, in bytes."""
        return self._bytes

    def done(self, count: int) -> list[Job]:
        """Take the `count` oldest appends out."""
        jobs = [self._jobs.popleft() for _ in range(count)]
        for job in jobs:
            self._count(job, -1)
        return jobs

    def due_in(self, now: float) -> float | None:
        """Return the seconds until the next commit is due, 0 for at once, None if nothing waits."""
        if not self._jobs:
            return None
        if self._urgent or self._bytes >= self._limits.flush_bytes:
            return 0.0
        head = self._jobs[0]
        first = next((job for job in self._jobs if not job.receipt_only), head)
        return max(0.0, min(self._due(head), self._due(first)) - now)

    def _due(self, job: Job) -> float:
        return job.at + (self._limits.receipts if job.receipt_only else self._limits.group)

    def _count(self, job: Job, sign: int) -> None:
        size = sign * job.bytes
        self._bytes += size
        if job.samples_only:
            self._samples += size
        else:
            self._others += sign
        self._urgent += sign * job.urgent
