"""What the uplink leaves aside for a while, and why: pure. Bounded by the windows: only what was sent gets here."""

from dataclasses import dataclass, field

from cloud_sync.uplink_records import BlockId, UplinkLimits
from sitekeeper.block import Stream
from sitekeeper.model.clock import Micros


@dataclass(slots=True)
class Holds:
    """Blocks and streams that are held back until a time, and blocks that are suspects.

    Attributes:
        suspects: how often in a row the connection ended while the block had no answer.
    """

    limits: UplinkLimits
    suspects: dict[BlockId, int] = field(default_factory=dict)
    blocks: dict[BlockId, Micros] = field(default_factory=dict)
    streams: dict[Stream, Micros] = field(default_factory=dict)

    def died(self, unanswered: list[BlockId], now: Micros) -> None:
        """The broker ended a connection over one of these blocks; one that stood alone often enough is the one."""
        for block in unanswered:
            self.suspects[block] = self.suspects.get(block, 0) + 1
        if len(unanswered) == 1 and self.suspects[unanswered[0]] >= self.limits.suspect_after:
            self.leave(unanswered[0], now)
            del self.suspects[unanswered[0]]

    def leave(self, block: BlockId, now: Micros) -> None:
        """Leave a block aside."""
        self.blocks[block] = now + self.longest(block[0])

    def longest(self, stream: Stream) -> Micros:
        """Return how long something of a stream is held back at most: alarms not for long."""
        return min(self.limits.hold, self.limits.alarm_hold) if stream == "alarms" else self.limits.hold

    def done(self, stream: Stream, start: int, end: int) -> None:
        """These blocks need not be sent any more."""
        for known in (self.suspects, self.blocks):
            for block in [one for one in known if one[0] == stream and start <= one[1] <= end]:
                del known[block]

    def expire(self, now: Micros, *, everything: bool = False) -> list[BlockId]:
        """End what is over; return the blocks that may be sent again."""
        for stream in [stream for stream, until in self.streams.items() if until <= now or everything]:
            del self.streams[stream]
        free = [block for block, until in self.blocks.items() if until <= now or everything]
        for block in free:
            del self.blocks[block]
        return free

    def deadlines(self) -> list[Micros]:
        """Return when something is over."""
        return [*self.blocks.values(), *self.streams.values()]
