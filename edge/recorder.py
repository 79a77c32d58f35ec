"""Seals what is recorded into blocks, and accounts for every second of every scan group. Pure: no I/O, no clock.

Samples wait in memory until 500 have gathered, the first has waited 1 s, or 60 s passed without any. Alarms and events
seal at once. Coverage goes into the block that takes the last waiting sample, never into an earlier one: a block must
not vouch for changes that lie in the next.

Coverage lies on a grid of 100 ms of wall time: a vouch ends on the place before, a gap on the place after, so that the
intervals of a group touch. When the wall clock is set forward, the times that never were are a gap `clock`; when it is
set back, times are covered twice. Steps under a second are absorbed.

The caller seals after each `add`, so no more than one reading's samples and one unsealed rest wait here.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from sitekeeper.block import STREAMS, Block, BlockTooLarge, Gap, GapCause, Stream, Vouch, encode
from sitekeeper.model.alarm import Transition
from sitekeeper.model.clock import MINUTE, MS, SECOND, Micros, Moment
from sitekeeper.model.errors import FormatError
from sitekeeper.model.event import Event
from sitekeeper.model.quality import Reason, bad
from sitekeeper.model.sample import Sample

TRANSITIONS_AT_ONCE: Final = 100
"""Transitions that fit into one block whatever they say; a caller with more seals several blocks."""
_GRID: Final = 100 * MS
_VOUCHES: Final = 5_000
_GAPS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When samples are sealed: changes gathered, wait of the first, and longest time without a block."""

    changes: int = 500
    wait: Micros = SECOND
    idle: Micros = MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedBlock:
    """A block as the outbox takes it.

    Attributes:
        count: records in it.
        t0, t1: wall times of its first and last record; of the sealing, if it has none.
        covered: by scan group id, the wall time up to which this block accounts for the group.
    """

    stream: Stream
    sequence: int
    payload: bytes
    count: int
    t0: Micros
    t1: Micros
    covered: Mapping[str, Micros] = field(default_factory=dict)


class Ledger(Protocol):
    """Where coverage comes from: `edge.changes.Changes`."""

    def legs(self, now: Micros) -> Iterable[list[tuple[GapCause | None, Micros]]]:
        """Yield per group the stretches of time since the last call, each with its end; the last is still running."""


class Recorder:
    """The one place where sequences are given out.

    Args:
        boot: random id of this process.
        catalogue: hash of the catalogue in use.
        groups: ids of all scan groups, in the order of the catalogue and of `ledger.legs`.
        sequences: next sequence by stream; 1 for a stream not named.
        covered: by scan group, the wall time up to which earlier runs accounted for it. What lies between that and the
            first good answer becomes a gap `gateway_off`; a group not named begins at `start`.
    """

    def __init__(
        self,
        *,
        site: str,
        epoch: str,
        boot: str,
        catalogue: str,
        groups: Sequence[str],
        ledger: Ledger,
        sequences: Mapping[Stream, int],
        covered: Mapping[str, Micros],
        start: Moment,
        limits: Limits | None = None,
    ) -> None:
        self._site, self._epoch, self._boot, self._catalogue = site, epoch, boot, catalogue
        self._groups = tuple(groups)
        self._ledger = ledger
        self._limits = limits or Limits()
        self._next: dict[Stream, int] = {stream: sequences.get(stream, 1) for stream in STREAMS}
        # A clock that stands before the last covered time is wrong; the step that corrects it accounts for the rest.
        self._edges = [_floor(min(covered.get(group, start.wall), start.wall)) for group in self._groups]
        self._offset = start.wall - start.mono
        self._pending: list[Sample] = []
        self._first: Micros | None = None
        self._accounted = start.mono
        self._vouches: deque[Vouch] = deque()
        self._gaps: deque[Gap] = deque()
        self._lost: tuple[GapCause, Micros] | None = None

    def next_sequence(self, stream: Stream) -> int:
        """Return the sequence that the stream's next block will have."""
        return self._next[stream]

    def add(self, samples: Sequence[Sample], now: Micros) -> None:
        """Take changes, in the order in which rules saw them; `now` is monotonic."""
        if samples:
            self._pending += samples
            self._first = now if self._first is None else self._first

    def transitions(self, transitions: Sequence[Transition], now: Moment) -> SealedBlock:
        """Seal moves of alarms, at most TRANSITIONS_AT_ONCE.

        Raises:
            FormatError: they do not fit into a block.
        """
        block = self._block("alarms", now, transitions=list(transitions))
        return self._sealed(block, encode(block), [transition.at for transition in transitions])

    def events(self, events: Sequence[Event], now: Moment) -> list[SealedBlock]:
        """Seal events, in their order, in as few blocks as hold them.

        Raises:
            FormatError: one of them does not fit into a block.
        """
        block = self._block("events", now, events=list(events))
        try:
            payload = encode(block)
        except BlockTooLarge:
            if len(events) == 1:
                raise
            half = len(events) // 2
            return [*self.events(events[:half], now), *self.events(events[half:], now)]
        return [self._sealed(block, payload, [block.wall(event.at) for event in events])]

    def past(self, gaps: Sequence[Gap], samples: Sequence[Sample], now: Moment) -> list[SealedBlock]:
        """Seal what is to be said of times long accounted for: gaps and states of records that were dropped since."""
        if not gaps and not samples:
            return []
        block = self._block("samples", now, gaps=list(gaps), samples=list(samples))
        try:
            payload = encode(block) if len(gaps) + len(samples) <= 2 * _GAPS else b""
        except BlockTooLarge:
            if len(gaps) + len(samples) == 1:
                raise
            payload = b""
        if not payload:
            halves = len(gaps) // 2, len(samples) // 2
            first = self.past(gaps[: halves[0]], samples[: halves[1]], now)
            return [*first, *self.past(gaps[halves[0] :], samples[halves[1] :], now)]
        sealed = self._sealed(block, payload, [block.wall(sample.at) for sample in samples])
        return [replace(sealed, covered={})]

    def seal_due(self, now: Moment) -> SealedBlock | None:
        """Return the next block of samples if one is due. Call again until it returns None."""
        deadline = self.next_deadline()
        return self._seal(now) if deadline <= now.mono else None

    def seal(self, now: Moment) -> list[SealedBlock]:
        """Return all samples that wait, so that a record which builds on them can follow in the same transaction."""
        blocks = []
        while self._pending:
            blocks.append(self._seal(now))
        return blocks

    def seal_all(self, now: Moment) -> list[SealedBlock]:
        """Return everything that waits, and the account of all groups up to now: for an orderly stop."""
        self._account(now, final=True)
        blocks = [self._seal(now)]
        while self._pending or self._vouches or self._gaps:
            blocks.append(self._seal(now))
        return blocks

    def next_deadline(self) -> Micros:
        """Return the monotonic time at which `seal_due` has something to do; the past means at once."""
        if len(self._pending) >= self._limits.changes or self._vouches or self._gaps:
            return 0
        idle = self._accounted + self._limits.idle
        return idle if self._first is None else min(idle, self._first + self._limits.wait)

    def discard(self, cause: GapCause, now: Moment) -> int:
        """Throw away the samples that wait, because there is no room for blocks; return how many they were.

        All groups get a gap up to now. Before going on, add the present state of all points (`Latest.resend`), since
        the record has missed changes.
        """
        for vouch in self._vouches:
            self._edges[vouch.group] = min(self._edges[vouch.group], vouch.start)
        self._vouches.clear()
        for _ in self._ledger.legs(now.mono):
            pass  # whatever they say, the record does not have it
        count = len(self._pending)
        self._pending.clear()
        self._first = None
        self._accounted = now.mono
        self._lost = (cause, now.mono)
        return count

    def _seal(self, now: Moment) -> SealedBlock:
        # Twice the threshold, so that a steady flow of large readings still empties the queue and gets its coverage.
        take = min(len(self._pending), 2 * self._limits.changes)
        if take == len(self._pending):
            self._account(now)
        while True:
            block = self._samples(take, now)
            try:
                payload = encode(block)
            except FormatError:
                # Too large, or one sample that no block can hold: halve until it stands alone, then record it as bad.
                if not take:
                    raise
                if take == 1:
                    self._pending[0] = _unusable(self._pending[0])
                take = max(1, take // 2)
            else:
                break
        for _ in block.vouch:
            self._vouches.popleft()
        for _ in block.gaps:
            self._gaps.popleft()
        del self._pending[:take]
        if not self._pending:
            self._first = None
        return self._sealed(block, payload, [block.wall(sample.at) for sample in block.samples])

    def _samples(self, take: int, now: Moment) -> Block:
        last = take == len(self._pending)
        return self._block(
            "samples",
            now,
            samples=self._pending[:take],
            vouch=[self._vouches[i] for i in range(min(_VOUCHES, len(self._vouches)))] if last else [],
            gaps=[self._gaps[i] for i in range(min(_GAPS, len(self._gaps)))] if last else [],
        )

    def _block(
        self,
        stream: Stream,
        now: Moment,
        *,
        vouch: list[Vouch] | None = None,
        gaps: list[Gap] | None = None,
        samples: list[Sample] | None = None,
        events: list[Event] | None = None,
        transitions: list[Transition] | None = None,
    ) -> Block:
        past = now.wall % _GRID
        return Block(
            site=self._site,
            epoch=self._epoch,
            stream=stream,
            sequence=self._next[stream],
            boot=self._boot,
            catalogue=self._catalogue,
            trusted=now.trusted,
            t0=now.wall - past,
            mono0=now.mono - past,
            vouch=vouch or [],
            gaps=gaps or [],
            samples=samples or [],
            events=events or [],
            transitions=transitions or [],
        )

    def _sealed(self, block: Block, payload: bytes, times: list[Micros]) -> SealedBlock:
        self._next[block.stream] += 1
        covered: dict[str, Micros] = {}
        for vouch in block.vouch:
            covered[self._groups[vouch.group]] = vouch.until
        for gap in block.gaps:
            covered[gap.group] = max(gap.end, covered.get(gap.group, gap.end))
        return SealedBlock(
            stream=block.stream,
            sequence=block.sequence,
            payload=payload,
            count=len(times),
            t0=min(times, default=block.t0),
            t1=max(times, default=block.t0),
            covered=covered,
        )

    def _account(self, now: Moment, *, final: bool = False) -> None:
        """Turn the ledger's legs into vouches and gaps that touch the ones before."""
        self._set_clock(now.wall - now.mono)
        for index, legs in enumerate(self._ledger.legs(now.mono)):
            if self._lost is not None:
                self._cover(index, *self._lost, closed=True)
            for cause, end in legs[:-1]:
                self._cover(index, cause, end, closed=True)
            for cause, end in legs[-1:]:
                # A gap that is still open is written down once per idle time, or it would grow every block.
                if cause is None or final or end + self._offset - self._edges[index] >= self._limits.idle:
                    self._cover(index, cause, end, closed=False)
        self._lost = None
        self._accounted = now.mono

    def _cover(self, index: int, cause: GapCause | None, end: Micros, *, closed: bool) -> None:
        edge, wall = self._edges[index], end + self._offset
        until = _floor(wall) if cause is None or not closed else -_floor(-wall)
        if until <= edge:
            return
        if cause is None:
            self._vouches.append(Vouch(index, until, until - edge))
        else:
            self._gaps.append(Gap(self._groups[index], edge, until, cause))
        self._edges[index] = until

    def _set_clock(self, offset: Micros) -> None:
        step = offset - self._offset
        self._offset = offset
        if abs(step) < SECOND:
            return
        for index, edge in enumerate(self._edges):
            self._edges[index] = _floor(edge + step)
            if step > 0:
                self._gaps.append(Gap(self._groups[index], edge, self._edges[index], GapCause.CLOCK))


def _floor(wall: Micros) -> Micros:
    return wall - wall % _GRID


def _unusable(sample: Sample) -> Sample:
    return Sample(sample.handle, sample.at, None, bad(Reason.OUT_OF_RANGE), None)
