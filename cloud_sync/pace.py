"""How many bytes may wait for the broker's answer, and how fast backfill may go: pure.

An alarm cannot overtake what was already given to TCP, so on a slow line that must be little: what the line carries in
about a second. How much that is shows in the time that the broker takes to answer. Answers in less than `BRISK` let
the bound grow by what they answered, as TCP's slow start does; one that takes longer than `SLOW` halves it, once per
such time. One block may always be under way, else nothing would ever be.
"""

from dataclasses import dataclass, field

from cloud_sync.uplink_records import SAMPLE_BYTES, BlockId, UplinkLimits
from sitekeeper.block import decode
from sitekeeper.model.clock import MS, SECOND, Micros
from sitekeeper.model.errors import FormatError

BRISK: Micros = 500 * MS
SLOW: Micros = 1 * SECOND


@dataclass(slots=True)
class Pace:
    """The byte side of the windows. The bound outlives connections, because lines do.

    Attributes:
        bound: bytes that may be unanswered at present.
        most_unanswered: how many publishes the broker wants unanswered at most (its receive maximum).
        now: when time passed last.
    """

    limits: UplinkLimits
    bound: int = 0
    most_unanswered: int = 65_535
    now: Micros = 0
    _unanswered: dict[BlockId, tuple[int, Micros]] = field(default_factory=dict)
    _slowed_at: Micros = 0
    _credit: float = 0.0

    def __post_init__(self) -> None:
        self.bound = self.bound or 4 * self.limits.least_bytes

    def connect(self, now: Micros, most_unanswered: int) -> None:
        """A new connection: nothing is under way on it."""
        self._unanswered.clear()
        self.most_unanswered = most_unanswered
        self._credit, self.now = 0.0, now

    def sent(self, block: BlockId, size: int) -> None:
        """A block was given to the connection, just after `refill`."""
        self._unanswered[block] = (size, self.now)

    def answered(self, block: BlockId, now: Micros) -> None:
        """The broker has answered; how fast tells how much the line carries."""
        size, at = self._unanswered.pop(block, (0, now))
        if not size:
            return
        if now - at > SLOW and at >= self._slowed_at:
            self.bound = max(self.limits.least_bytes, self.bound // 2)
            self._slowed_at = now
        elif now - at < BRISK:
            self.bound = min(self.limits.most_bytes, self.bound + size)

    def forget(self, block: BlockId) -> None:
        """Take back what `sent` was told."""
        self._unanswered.pop(block, None)

    def room(self, *, backfill: bool) -> bool:
        """Tell whether one more block that is not urgent may go; backfill leaves half of the room to live samples."""
        waiting = sum(size for size, _ in self._unanswered.values())
        return not waiting or waiting < (self.bound // 2 if backfill else self.bound)

    def full(self, *, spare: int) -> bool:
        """Tell whether the broker wants no further publish before it has answered one; `spare` are kept for others."""
        return len(self._unanswered) >= max(1, self.most_unanswered - spare)

    # the rate of backfill

    def refill(self, now: Micros) -> None:
        """Let time pass; at most 50 ms' worth is saved up."""
        rate = self.limits.backfill_rate
        self._credit = min(self._credit + (now - self.now) * rate / SECOND, rate / 20)
        self.now = now

    def charge(self, size: int, records: int | None = None) -> None:
        """A block of backfill of `size` bytes was read, with so many samples, or one in each `SAMPLE_BYTES`."""
        self._credit -= max(1.0, size / SAMPLE_BYTES if records is None else records)

    def owes(self) -> Micros | None:
        """Return how long backfill has to wait for its rate; None if it need not."""
        if self._credit >= 0:
            return None
        return max(5 * MS, int(-self._credit / self.limits.backfill_rate * SECOND))


def records_of(payload: bytes) -> int | None:
    """Return how many samples a block holds; None if its bytes are damaged."""
    try:
        return len(decode(payload).samples)
    except FormatError:
        return None
