"""Which block a site sends next, and when it may forget one: pure, `now` comes in, outputs come out. The rules:

1. A block is released by the office's receipt and by nothing else (`receipt`, `quarantined`). That it was published,
   or acknowledged by the broker (`published`), only says that the broker is alive.
2. Alarms overtake events overtake live samples overtake backfill, and never wait for the answer to anything else. Up
   to `alarms_window` blocks of them are in flight (docs/decisions/014); the office applies them strictly in order.
   Events and samples have a window each, in blocks (by receipts) and in bytes (by the broker's answers, see `pace`).
3. A block that the broker has and the office does not receipt is sent again, after a delay that doubles up to
   `resend_most`. What the broker has not answered is still with TCP: sending it again would only lengthen the queue.
4. When blocks wait and no receipt at all comes for as long as receipts take lately (`tempo`; 10 s at least), or the
   broker says that nobody listens, the window shrinks to one, the oldest block is sent as a probe with jittered
   back-off, and every few probes the connection is made anew: a half-open link is found by receipts, not by TCP.
5. A connection that the broker ends while a publish is unanswered makes that block a suspect: from then on one publish
   at a time is unanswered, alarms apart, and a block that was alone under way in `suspect_after` deaths in a row is
   held back for a while, so that a message the broker dislikes cannot reconnect us for ever nor stop the blocks behind
   it. Silence makes no suspects: it is the line's fault.

What was not sent yet stands in `lanes`; backfill has a rate in samples (`pace`).
"""

from dataclasses import dataclass, field
from random import Random

from cloud_sync.holds import Holds
from cloud_sync.lanes import ALARMS, BACKFILL, EVENTS, Lanes
from cloud_sync.pace import Pace
from cloud_sync.probing import Probing, jitter
from cloud_sync.tempo import Tempo
from cloud_sync.uplink_records import (
    NOBODY,
    REACTIONS,
    REFUSED,
    BlockId,
    InFlight,
    Output,
    Reconnect,
    Release,
    Send,
    UplinkLimits,
)
from cloud_sync.wire import Receipt
from sitekeeper.block import STREAMS, Stream
from sitekeeper.model.clock import Micros

__all__ = ["BlockId", "Output", "Reconnect", "Release", "Send", "UplinkLimits", "UplinkMachine"]


@dataclass(slots=True)
class UplinkMachine:
    """The sending half of a site: everything decided is decided here.

    Attributes:
        refused: the broker's latest reason code of 128 and up, per stream; gone with the next accepted publish.
        nobody: the broker's latest answer was that nobody listens.
        tempo: the window, and the patience with the office. pace: the bounds in bytes. holds: what is left aside.
    """

    epoch: str
    limits: UplinkLimits = field(default_factory=UplinkLimits)
    random: Random = field(default_factory=Random)
    connected: bool = False
    refused: dict[Stream, int] = field(default_factory=dict)
    nobody: bool = False
    tempo: Tempo = field(init=False)
    pace: Pace = field(init=False)
    holds: Holds = field(init=False)
    _probing: Probing = field(init=False)
    _lanes: Lanes = field(default_factory=Lanes)
    _in_flight: dict[BlockId, InFlight] = field(default_factory=dict)
    _connected_at: Micros = 0
    _quiet_since: Micros = 0
    _answered_at: Micros = 0

    def __post_init__(self) -> None:
        self.tempo, self.pace, self.holds = Tempo(self.limits), Pace(self.limits), Holds(self.limits)
        self._probing = Probing(self.limits, self.random)

    # what the shell tells

    def connect(self, now: Micros, most_unanswered: int = 65_535) -> None:
        """A new connection stands; whatever waits for a receipt is to be sent again."""
        self.connected, self.nobody = True, False
        self._leave_all()
        self._lanes = Lanes()
        self._quiet_since = self._connected_at = now
        self.pace.connect(now, most_unanswered)
        if self.probing:
            self._probing.at = now

    def disconnect(self, now: Micros, *, silent: bool = False) -> None:
        """The connection is gone. Blocks without the broker's answer become suspects, unless it only fell silent."""
        self.connected = False
        if not silent:
            self.holds.died([block for block, flight in self._in_flight.items() if not flight.answered], now)
        self._leave_all()

    def offer(self, stream: Stream, oldest: int, newest: int) -> None:
        """The outbox holds unreleased blocks of `stream` from `oldest` to `newest`; some between may be released."""
        self._lanes.offer(stream, oldest, newest)

    def absent(self, stream: Stream, sequence: int) -> None:
        """The outbox does not hold this block (any more): it was released, or dropped by policy."""
        self._done(stream, sequence, sequence)

    def spent(self, stream: Stream, sequence: int, size: int, records: int | None = None) -> None:
        """A block of `size` bytes was read and is being published; if it is backfill, charge it to its rate."""
        block = (stream, sequence)
        self.pace.sent(block, size)
        if self._lanes.is_backfill(block):
            self.pace.charge(size, records)

    def published(self, stream: Stream, sequence: int, reason: int, now: Micros) -> None:
        """The broker has answered a publish. This releases nothing: only the office's commit does.

        A refusal holds the stream or the block back for a while: the next connection would be refused in the same way.
        """
        block = (stream, sequence)
        self._answered_at = now
        self.holds.suspects.pop(block, None)
        self.pace.answered(block, now)
        if reason >= REFUSED:
            self._refuse(block, reason, now)
            return
        self.refused.pop(stream, None)
        flight = self._in_flight.get(block)
        if flight is not None and not flight.answered:
            if not any(other.answered for other in self._in_flight.values()):
                self._quiet_since = max(self._quiet_since, now)  # the office's time to answer begins here
            flight.since = now
            flight.due = now + self._patience(block, flight.attempt, now)
        self.nobody = reason == NOBODY
        if self.nobody and not self.probing and self._in_flight:
            self._shrink(now)

    def aside(self, stream: Stream, sequence: int, now: Micros, reason: int = 0) -> None:
        """Pass this block by for a while: it cannot be read, or with a `reason` of the broker's it would be refused."""
        block = (stream, sequence)
        self.pace.forget(block)
        self._in_flight.pop(block, None)
        self.holds.leave(block, now)
        if reason:
            self.refused[stream] = reason

    def receipt(self, receipt: Receipt, now: Micros) -> list[Output]:
        """The office has committed blocks. With `quarantined` the only place from which a release comes.

        Those of an earlier file are no business of ours, but who receipts them is not silent.
        """
        if receipt.blocks:
            self._hear(now)
        released = [
            (committed.stream, start, end)
            for committed in receipt.blocks
            if committed.epoch == self.epoch
            for start, end in committed.ranges
        ]
        return self._release(released, now)

    def quarantined(self, epoch: str, stream: Stream, sequence: int, now: Micros) -> list[Output]:
        """The office keeps this block's bytes in quarantine, committed: nothing is gained by sending it again."""
        self._hear(now)
        if epoch != self.epoch:  # of an earlier file: it was not sent by us
            return [Release(epoch, [(stream, sequence, sequence)])]
        return self._release([(stream, sequence, sequence)], now)

    def too_new(self, stream: Stream, now: Micros) -> None:
        """The office does not understand our format yet: keep the blocks of this stream, ask again after a while."""
        self._hear(now)
        self._hold_stream(stream, now + self.limits.hold)

    def resend(self, stream: Stream, start: int, now: Micros) -> None:
        """The office lacks blocks from `start` on. What it has already it will receipt again."""
        self._hear(now)
        self._rewind_all(stream)
        self._lanes.back_to(stream, start)

    def retry(self, now: Micros) -> None:
        """Somebody has mended something: hold nothing back any longer, and ask again at once."""
        for block in self.holds.expire(now, everything=True):
            self._lanes.back_to(*block)
        for flight in self._in_flight.values():
            flight.due = now
        if self.probing:
            self._probing.at = now

    # what the machine decides

    def advance(self, now: Micros) -> list[Output]:
        """Return what is to be done now; to be called again until nothing is."""
        if not self.connected:
            return []
        for block in self.holds.expire(now):
            self._lanes.back_to(*block)
        self.pace.refill(now)
        if self._office_silent(now) and not self.probing:
            self.tempo.silence()
            self._shrink(now)
        again = [block for block in self.in_flight() if self._is_due(block, now)]
        if again or self.probing:
            return [self._send(block, now) for block in again] or self._advance_probing(now)
        outputs: list[Output] = []
        while (fresh := self._next_block()) is not None:
            outputs.append(self._send(fresh, now))
            if fresh[0] != "alarms":
                break  # its size is known when it was read: one at a time
        return outputs

    def next_deadline(self, now: Micros) -> Micros | None:
        """Return the monotonic time by which `advance` wants to be called; None if only events can change anything."""
        if not self.connected:
            return None
        times = self.holds.deadlines()
        times += [flight.due for flight in self._in_flight.values() if flight.answered]
        if self._probing.at is not None:
            times.append(self._probing.at)
        elif self._in_flight:
            times += [self._quiet_since + n * self._patience_with_office() for n in (1, 2)]
        owes = self.pace.owes()
        if owes is not None:
            times.append(now + owes)
        return min((time for time in times if time > now), default=None)

    def in_flight(self) -> list[BlockId]:
        """Return the blocks without a receipt, the most urgent first."""
        return sorted(self._in_flight, key=lambda block: (STREAMS.index(block[0]), block[1]))

    def count(self, stream: Stream) -> int:
        """Return how many blocks of a stream were sent and have no receipt."""
        return sum(1 for block in self._in_flight if block[0] == stream)

    @property
    def window(self) -> int:
        """Return how many blocks of samples may be in flight at present."""
        return self.tempo.window

    @property
    def probing(self) -> bool:
        """Tell whether blocks wait and the office has been silent for too long."""
        return self._probing.at is not None

    # choosing

    def _office_silent(self, now: Micros) -> bool:
        """Tell whether the office's time to answer is over; twice as long where the broker has not answered either."""
        answered = any(flight.answered for flight in self._in_flight.values())
        most = self._patience_with_office() if answered else 2 * self._patience_with_office()
        return bool(self._in_flight) and now - self._quiet_since >= most

    def _patience_with_office(self) -> Micros:
        """Return how long no receipt at all may come: as long as those of samples take, where some are waited for."""
        return self.tempo.patience if self.count("samples") else self.limits.receipt_timeout

    def _is_due(self, block: BlockId, now: Micros) -> bool:
        """Tell whether a block is to be sent again; while the office is silent only alarms are, the rest is probed."""
        flight = self._in_flight[block]
        wanted = block[0] == "alarms" or not self.probing
        return flight.answered and flight.due <= now and wanted and self._may_publish(block[0])

    def _advance_probing(self, now: Micros) -> list[Output]:
        alarm = self._lanes.next_of(ALARMS, self.holds, self._in_flight) if self._has_room(ALARMS) else None
        if alarm is not None:  # a new alarm never waits for an answer to something else
            return [self._send(alarm, now)]
        if not self._probing.turn(now, nobody=self.nobody):
            return []
        alive = self.nobody and now - self._answered_at < self.limits.receipt_timeout  # it says so itself, and lately
        if self._probing.times % self.limits.probes_per_connection == 0 and not alive:
            return [Reconnect("no receipts")]
        block = next(iter(self.in_flight()), None) or self._next_block()
        if block is None:  # nothing is left to ask about
            self._probing.at = None
            return []
        return [self._send(block, now)]

    def _next_block(self) -> BlockId | None:
        for index in range(ALARMS, BACKFILL + 1):
            block = self._lanes.next_of(index, self.holds, self._in_flight) if self._has_room(index) else None
            if block is not None:
                return block
        return None

    def _has_room(self, index: int) -> bool:
        """Tell whether a lane may send one more. Backfill leaves a quarter of the window to live samples."""
        if index == ALARMS:
            most = 1 if any(one == "alarms" for one, _ in self.holds.suspects) else self.limits.alarms_window
            return self.count("alarms") < most and self._may_publish("alarms")
        backfill = index == BACKFILL
        stream: Stream = "events" if index == EVENTS else "samples"
        window = (0, self.limits.events_window, self.window, max(1, self.window * 3 // 4))[index]
        paced = self.pace.room(backfill=backfill) and not (backfill and self.pace.owes() is not None)
        return paced and self.count(stream) < window and self._may_publish(stream)

    def _may_publish(self, stream: Stream) -> bool:
        """While there are suspects, one publish at a time is unanswered, so that the guilty one stands alone."""
        if stream == "alarms":
            return not self.pace.full(spare=0)
        alone = not self.holds.suspects or all(flight.answered for flight in self._in_flight.values())
        return alone and not self.pace.full(spare=1)

    def _send(self, block: BlockId, now: Micros) -> Send:
        if not self._in_flight:
            self._quiet_since = now
        attempt = 1
        if before := self._in_flight.get(block):
            attempt += before.attempt
            self.tempo.again(block)
        self._in_flight[block] = InFlight(now + self._patience(block, attempt, now), attempt)
        return Send(*block)

    def _patience(self, block: BlockId, attempt: int, now: Micros) -> Micros:
        """Return how long to wait for a receipt before this block is sent again."""
        first = self.tempo.patience if block[0] == "samples" else self.limits.receipt_timeout
        most = max(first, self.limits.resend_most)
        if block[0] == "alarms":
            first = min(first, self.limits.alarm_timeout)
            if self.nobody or now - self._connected_at < self.limits.settling:
                most = self.limits.alarm_again
        return jitter(min(first << min(attempt - 1, 10), most), self.random)

    # bookkeeping

    def _release(self, released: list[tuple[Stream, int, int]], now: Micros) -> list[Output]:
        if not released:
            return []
        for stream, start, end in released:
            self._done(stream, start, end, now)
        for block, flight in self._in_flight.items():
            if block[0] == "samples" and flight.since is not None:
                flight.due = max(flight.due, self.tempo.due(flight.since))
        return [Release(self.epoch, released)]

    def _done(self, stream: Stream, start: int, end: int, now: Micros | None = None) -> None:
        """Have done with these blocks; `now` if their receipt has come."""
        for block in [one for one in self._in_flight if one[0] == stream and start <= one[1] <= end]:
            flight = self._in_flight.pop(block)
            self.pace.forget(block)
            if now is not None:
                self.tempo.receipted(block, flight.since, now)
        self.tempo.done(stream, start, end)
        self.holds.done(stream, start, end)

    def _hear(self, now: Micros) -> None:
        self._quiet_since = now
        self._probing.end()
        self.nobody = False

    def _shrink(self, now: Micros) -> None:
        """Keep one block in flight (and the alarms block); the others are to be sent again when there is an answer."""
        self.tempo.window = 1
        self._probing.begin(now, nobody=self.nobody)
        for block in self.in_flight()[1:]:
            if block[0] != "alarms":
                self._rewind(block)

    def _rewind(self, block: BlockId) -> None:
        self._in_flight.pop(block, None)
        self.tempo.again(block)
        self._lanes.back_to(*block)

    def _rewind_all(self, stream: Stream) -> None:
        for block in [one for one in self._in_flight if one[0] == stream]:
            self._rewind(block)

    def _leave_all(self) -> None:
        for block in self._in_flight:
            self.tempo.again(block)
        self._in_flight.clear()

    def is_backfill(self, block: BlockId) -> bool:
        """Tell whether a block holds samples from before this connection."""
        return self._lanes.is_backfill(block)

    def _refuse(self, block: BlockId, reason: int, now: Micros) -> None:
        self.refused[block[0]] = reason
        match REACTIONS.get(reason, "stream"):
            case "block":
                self._in_flight.pop(block, None)
                self.holds.leave(block, now)
            case "briefly":
                self.tempo.window = 1
                self._hold_stream(block[0], now + self.limits.brief_hold)
            case _:
                self._hold_stream(block[0], now + self.holds.longest(block[0]))

    def _hold_stream(self, stream: Stream, until: Micros) -> None:
        self.holds.streams[stream] = until
        self._rewind_all(stream)
