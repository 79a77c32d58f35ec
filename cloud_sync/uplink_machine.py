"""Which block a site sends next, and when it may forget one: pure, `now` comes in, outputs come out.

Rules, in the order in which they matter:

1. A block is released by the office's receipt and by nothing else (`receipt`, `quarantined`). That it was published,
   or acknowledged by the broker (`published`), only says that the broker is alive.
2. Alarms overtake events overtake live samples overtake backfill. One alarms block is in flight, so that the office
   can apply them strictly in order; events and samples have a window each.
3. A block without a receipt is sent again, after a delay that doubles up to `resend_most`.
4. When blocks wait and no receipt at all comes for `receipt_timeout`, the window shrinks to one, the oldest block
   is sent as a probe with jittered back-off, and every few probes the connection is made anew: a half-open link is
   found by receipts, not by TCP.
5. A connection that dies while a publish is unanswered makes that block a suspect: from then on one publish at a time
   is unanswered, and a block that was alone under way in `suspect_after` deaths in a row is held back for a while, so
   that a message the broker dislikes cannot reconnect us for ever nor stop the blocks behind it.

Live samples are those newer than the newest at the moment of connecting; the older ones are backfill, oldest first, at
a rate reckoned in samples of `SAMPLE_BYTES` each.
"""

from dataclasses import dataclass, field
from random import Random

from cloud_sync.wire import Receipt
from sitekeeper.block import STREAMS, Stream
from sitekeeper.model.clock import MINUTE, MS, SECOND, Micros

SAMPLE_BYTES = 5
"""What a sample costs in a full block, roughly; only the backfill rate uses it."""

FIRST_WINDOW = 4
ALARMS, EVENTS, LIVE, BACKFILL = range(4)
"""The lanes, the most urgent first."""

BlockId = tuple[Stream, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkLimits:
    """Times and bounds of the uplink; times in microseconds."""

    window: int = 32
    events_window: int = 8
    receipt_timeout: Micros = 10 * SECOND
    alarm_timeout: Micros = 2 * SECOND  # an alarm that met no listener after a cut must not wait as long as samples may
    resend_most: Micros = MINUTE
    probe_first: Micros = 1 * SECOND
    probe_most: Micros = 15 * SECOND
    probes_per_connection: int = 4
    backfill_rate: int = 20_000
    suspect_after: int = 3
    hold: Micros = MINUTE


@dataclass(frozen=True, slots=True)
class Send:
    """Publish this block, then call `published` with the broker's answer."""

    stream: Stream
    sequence: int


@dataclass(frozen=True, slots=True)
class Release:
    """The office has committed these closed ranges: the outbox may make history of them."""

    epoch: str
    ranges: list[tuple[Stream, int, int]]


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Close this connection and make a new one."""

    reason: str


Output = Send | Release | Reconnect


@dataclass(slots=True)
class _InFlight:
    sent: Micros
    due: Micros
    attempt: int
    answered: bool = False


@dataclass(slots=True)
class _Lane:
    """Blocks of one stream that were not sent on this connection: from `cursor` to `end`, both included."""

    stream: Stream
    cursor: int = 1
    end: int = 0


@dataclass(slots=True)
class UplinkMachine:
    """The sending half of a site. The shell reads blocks and publishes; everything decided is decided here.

    Attributes:
        window: how many sample blocks may be in flight at present; it grows with receipts and shrinks with silence.
        refused: the broker's latest reason code of 128 and up, per stream; gone with the next accepted publish.
    """

    epoch: str
    limits: UplinkLimits = field(default_factory=UplinkLimits)
    random: Random = field(default_factory=Random)
    window: int = FIRST_WINDOW
    connected: bool = False
    refused: dict[Stream, int] = field(default_factory=dict)
    _lanes: tuple[_Lane, ...] = ()
    _split: int | None = None
    _in_flight: dict[BlockId, _InFlight] = field(default_factory=dict)
    _held: dict[BlockId, Micros] = field(default_factory=dict)
    _stream_held: dict[Stream, Micros] = field(default_factory=dict)
    _suspects: dict[BlockId, int] = field(default_factory=dict)
    _quiet_since: Micros = 0
    _probe_at: Micros | None = None
    _probes: int = 0
    _credit: float = 0.0
    _credit_at: Micros = 0

    # what the shell tells

    def connect(self, now: Micros) -> None:
        """A new connection stands; whatever waits for a receipt is to be sent again."""
        self.connected = True
        self._in_flight.clear()
        self._lanes = (_Lane("alarms"), _Lane("events"), _Lane("samples"), _Lane("samples"))
        self._split = None
        self._quiet_since = self._credit_at = now
        self._credit = 0.0
        if self.probing:
            self._probe_at = now

    def disconnect(self, now: Micros) -> None:
        """The connection is gone. Blocks without the broker's answer become suspects."""
        self.connected = False
        unanswered = [block for block, flight in self._in_flight.items() if not flight.answered]
        for block in unanswered:
            self._suspects[block] = self._suspects.get(block, 0) + 1
        if len(unanswered) == 1 and self._suspects[unanswered[0]] >= self.limits.suspect_after:
            self._held[unanswered[0]] = now + self.limits.hold
            del self._suspects[unanswered[0]]
        self._in_flight.clear()

    def offer(self, stream: Stream, oldest: int, newest: int) -> None:
        """The outbox holds unreleased blocks of `stream` from `oldest` to `newest`; some between may be released."""
        if stream != "samples":
            _extend(self._lanes[STREAMS.index(stream)], oldest, newest)
            return
        if self._split is None:
            self._split = newest + 1
        _extend(self._lanes[BACKFILL], oldest, min(newest, self._split - 1))
        _extend(self._lanes[LIVE], max(oldest, self._split), newest)

    def absent(self, stream: Stream, sequence: int) -> None:
        """The outbox does not hold this block (any more): it was released, or dropped by policy."""
        self._done(stream, sequence, sequence)

    def published(self, stream: Stream, sequence: int, reason: int, now: Micros) -> None:
        """The broker has answered a publish. This releases nothing: only the office's commit does.

        A refusal (128 and up, for example 135 not authorised) holds the stream back for a while instead of
        reconnecting: the next connection would be refused in the same way.
        """
        self._suspects.pop((stream, sequence), None)
        if reason >= 128:
            self.refused[stream] = reason
            self._hold_stream(stream, now)
            return
        self.refused.pop(stream, None)
        flight = self._in_flight.get((stream, sequence))
        if flight is not None:
            flight.answered = True

    def receipt(self, receipt: Receipt, now: Micros) -> list[Output]:
        """The office has committed blocks. With `quarantined` the only place from which a release comes."""
        released = [
            (committed.stream, start, end)
            for committed in receipt.blocks
            if committed.epoch == self.epoch
            for start, end in committed.ranges
        ]
        return self._release(released, now)

    def quarantined(self, stream: Stream, sequence: int, now: Micros) -> list[Output]:
        """The office keeps the bytes of this block in quarantine, committed: nothing is gained by sending it again."""
        return self._release([(stream, sequence, sequence)], now)

    def too_new(self, stream: Stream, now: Micros) -> None:
        """The office does not understand our format yet: keep the blocks of this stream, ask again after a while."""
        self._hear(now)
        self._hold_stream(stream, now)

    def resend(self, stream: Stream, start: int, now: Micros) -> None:
        """The office lacks blocks from `start` on. What it has already it will receipt again."""
        self._hear(now)
        for block in self.in_flight():
            if block[0] == stream:
                self._rewind(block)
        self._back_to((stream, start))

    # what the machine decides

    def advance(self, now: Micros) -> list[Output]:
        """Return what is to be done now; to be called again until nothing is."""
        if not self.connected:
            return []
        self._expire_holds(now)
        self._refill(now)
        if self._in_flight and now - self._quiet_since >= self.limits.receipt_timeout and not self.probing:
            self._shrink(now)
        if self.probing:
            return self._advance_probing(now)
        due = [block for block in self.in_flight() if self._in_flight[block].due <= now]
        outputs: list[Output] = [self._send(block, now) for block in due if self._may_publish()]
        while (fresh := self._next_block()) is not None:
            outputs.append(self._send(fresh, now))
            if self._is_backfill(fresh):
                break  # its cost is known when it was read: one at a time
        return outputs

    def spent(self, stream: Stream, sequence: int, size: int) -> None:
        """A block of `size` bytes was read; if it is backfill, charge it to the backfill rate."""
        if self._is_backfill((stream, sequence)):
            self._credit -= max(1.0, size / SAMPLE_BYTES)

    def next_deadline(self, now: Micros) -> Micros | None:
        """Return the monotonic time by which `advance` wants to be called; None if only events can change anything."""
        if not self.connected:
            return None
        times = [*self._held.values(), *self._stream_held.values()]
        if self._probe_at is not None:
            times.append(self._probe_at)
        elif self._in_flight:
            times += [flight.due for flight in self._in_flight.values()]
            times.append(self._quiet_since + self.limits.receipt_timeout)
        if self._credit < 0:
            times.append(now + max(5 * MS, int(-self._credit / self.limits.backfill_rate * SECOND)))
        return min((time for time in times if time > now), default=None)

    def in_flight(self) -> list[BlockId]:
        """Return the blocks that were sent and have no receipt, the most urgent first."""
        return sorted(self._in_flight, key=lambda block: (STREAMS.index(block[0]), block[1]))

    @property
    def probing(self) -> bool:
        """Tell whether blocks wait and the office has been silent for too long."""
        return self._probe_at is not None

    # choosing

    def _advance_probing(self, now: Micros) -> list[Output]:
        outputs: list[Output] = []
        alarm = self._next_of(self._lanes[ALARMS]) if self._count("alarms") == 0 and self._may_publish() else None
        if alarm is not None:  # a new alarm never waits for an answer to something else
            return [self._send(alarm, now)]
        if self._probe_at is None or now < self._probe_at:
            return []
        self._probes += 1
        self._probe_at = now + self._probe_delay()
        if self._probes % self.limits.probes_per_connection == 0:
            return [Reconnect("no receipts")]
        waiting = self.in_flight()
        block = waiting[0] if waiting else self._next_block()
        if block is not None:
            outputs.append(self._send(block, now))
        elif not waiting:  # nothing is left to ask about
            self._probe_at = None
        return outputs

    def _next_block(self) -> BlockId | None:
        if not self._may_publish():
            return None
        room = (1, self.limits.events_window, self.window, self.window)
        for index, lane in enumerate(self._lanes):
            if self._count(lane.stream) >= room[index] or (index == BACKFILL and self._credit < 0):
                continue
            block = self._next_of(lane)
            if block is not None:
                return block
        return None

    def _next_of(self, lane: _Lane) -> BlockId | None:
        if lane.stream in self._stream_held:
            return None
        while lane.cursor <= lane.end:
            block = (lane.stream, lane.cursor)
            if block in self._held and lane.stream == "alarms":
                return None  # strictly in order: the ones behind it could not be applied
            lane.cursor += 1
            if block not in self._held and block not in self._in_flight:
                return block
        return None

    def _may_publish(self) -> bool:
        """While there are suspects, one publish at a time is unanswered, so that the guilty one stands alone."""
        return not self._suspects or all(flight.answered for flight in self._in_flight.values())

    def _count(self, stream: Stream) -> int:
        return sum(1 for block in self._in_flight if block[0] == stream)

    def _send(self, block: BlockId, now: Micros) -> Send:
        if not self._in_flight:
            self._quiet_since = now
        before = self._in_flight.get(block)
        attempt = before.attempt + 1 if before else 1
        patience = self.limits.receipt_timeout
        if block[0] == "alarms":
            patience = min(patience, self.limits.alarm_timeout)
        delay = min(patience << min(attempt - 1, 10), self.limits.resend_most)
        self._in_flight[block] = _InFlight(now, now + self._jitter(delay), attempt)
        return Send(*block)

    # bookkeeping

    def _release(self, released: list[tuple[Stream, int, int]], now: Micros) -> list[Output]:
        if not released:
            return []
        self._hear(now)
        for stream, start, end in released:
            self._done(stream, start, end)
        return [Release(self.epoch, released)]

    def _done(self, stream: Stream, start: int, end: int) -> None:
        for block in [one for one in self._in_flight if one[0] == stream and start <= one[1] <= end]:
            del self._in_flight[block]
            self.window = min(self.window + 1, self.limits.window)
        for block in [one for one in self._suspects if one[0] == stream and start <= one[1] <= end]:
            del self._suspects[block]
        for block in [one for one in self._held if one[0] == stream and start <= one[1] <= end]:
            del self._held[block]

    def _hear(self, now: Micros) -> None:
        self._quiet_since = now
        self._probe_at = None
        self._probes = 0

    def _shrink(self, now: Micros) -> None:
        """Keep one block in flight (and the alarms block); the others are to be sent again when there is an answer."""
        self.window = 1
        self._probe_at = now
        for block in self.in_flight()[1:]:
            if block[0] != "alarms":
                self._rewind(block)

    def _rewind(self, block: BlockId) -> None:
        self._in_flight.pop(block, None)
        self._back_to(block)

    def _back_to(self, block: BlockId) -> None:
        stream, sequence = block
        if not self._lanes:
            return
        index = STREAMS.index(stream) if stream != "samples" else BACKFILL if self._is_backfill(block) else LIVE
        self._lanes[index].cursor = min(self._lanes[index].cursor, sequence)

    def _is_backfill(self, block: BlockId) -> bool:
        return block[0] == "samples" and block[1] < (self._split or 0)

    def _hold_stream(self, stream: Stream, now: Micros) -> None:
        self._stream_held[stream] = now + self.limits.hold
        for block in self.in_flight():
            if block[0] == stream:
                self._rewind(block)

    def _expire_holds(self, now: Micros) -> None:
        for stream in [stream for stream, until in self._stream_held.items() if until <= now]:
            del self._stream_held[stream]
        for block in [block for block, until in self._held.items() if until <= now]:
            del self._held[block]
            self._back_to(block)

    def _refill(self, now: Micros) -> None:
        earned = (now - self._credit_at) * self.limits.backfill_rate / SECOND
        self._credit = min(self._credit + earned, self.limits.backfill_rate / 20)  # at most 50 ms' worth at once
        self._credit_at = now

    def _probe_delay(self) -> Micros:
        return self._jitter(min(self.limits.probe_first << min(self._probes, 10), self.limits.probe_most))

    def _jitter(self, delay: Micros) -> Micros:
        return int(delay * self.random.uniform(0.75, 1.25))


def _extend(lane: _Lane, oldest: int, newest: int) -> None:
    """Let the lane reach to `newest`. Its cursor is set once; it may go back into history later."""
    if lane.end == 0:
        lane.cursor = oldest
    lane.end = max(lane.end, newest)
