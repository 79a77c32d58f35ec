"""The whole flow on one page: what becomes of one reading, from the driver's scan to what is durable.

    Scan ─▶ changes ─▶ derives ─▶ latest ─▶ rules ─▶ alarms ──┐
                                    └─▶ recorder (blocks) ────┴─▶ outbox

Rules see exactly the samples that are recorded, in that order. No protocol and no SQL here, and no waiting: the outbox
takes what it is given or says that it is behind. Everything runs on the event loop's thread.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol

from drivers.base import Scan
from edge.alarms import AlarmBook
from edge.changes import Changes
from edge.latest import Latest
from edge.outbox import AsOf
from edge.recorder import TRANSITIONS_AT_ONCE, Recorder, SealedBlock
from edge.rules.derives import Derives
from edge.rules.engine import Engine, in_order
from edge.rules.instance import Verdict
from sitekeeper.block import GapCause, Stream
from sitekeeper.model.alarm import AlarmRecord, Transition
from sitekeeper.model.clock import Clock, Micros, Moment
from sitekeeper.model.errors import LinkDown
from sitekeeper.model.event import Event
from sitekeeper.model.quality import Reason
from sitekeeper.model.sample import Sample


class Store(Protocol):
    """What the pipeline needs of the outbox."""

    def behind(self, stream: Stream) -> bool: ...

    def append(
        self,
        blocks: Sequence[SealedBlock],
        *,
        alarms: Sequence[AlarmRecord] = (),
        rule_state: Mapping[str, bytes | None] | None = None,
        as_of: AsOf | None = None,
        until: Mapping[str, Micros] | None = None,
        audit: Sequence[bytes] = (),
    ) -> "Future[None]": ...


Watcher = Callable[[Sequence[Sample]], None]


class Pipeline:
    """One site's flow. Its methods are the only entrances: a reading, a failed link, time passing, a person's move."""

    def __init__(
        self,
        *,
        boot: str,
        changes: Changes,
        derives: Derives,
        latest: Latest,
        engine: Engine,
        book: AlarmBook,
        recorder: Recorder,
        store: Store,
        clock: Clock,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.latest = latest
        self.book = book
        self.changes = changes
        self.watchers: set[Watcher] = set()
        self.last_flow: Micros = clock.monotonic()
        self.dropped = 0
        self._boot = boot
        self._derives = derives
        self._engine = engine
        self._recorder = recorder
        self._store = store
        self._clock = clock
        self._wake = wake
        self._behind = False
        self._state: dict[str, bytes | None] = {}
        self.last_append: Future[None] = Future()

    def scanned(self, scan: Scan) -> None:
        """Take one reading of one scan group."""
        now = self._now()
        self._flow(self.changes.accept(scan, now.mono), now)

    def link_failed(self, groups: tuple[str, ...], error: LinkDown) -> None:  # noqa: ARG002 - the poller logs it
        """Take note that none of `groups` can be read: their points turn bad, which is a change like any other."""
        now = self._now()
        samples = [s for group in groups for s in self.changes.failed(group, Reason.COMM, now.mono)]
        self._flow(samples, now)

    def tick(self) -> None:
        """Let time pass: staleness, rules' timers, sealing."""
        now = self._now()
        self._flow(self.changes.advance(now.mono), now)

    def next_deadline(self) -> Micros:
        """Return the monotonic time at which `tick` has something to do; the past means at once."""
        deadline = self._recorder.next_deadline()
        for other in (self.changes.next_deadline(), self._derives.next_deadline(), self._engine.next_deadline()):
            if other is not None and other < deadline:
                deadline = other
        return deadline

    def standing(self, rule: str, device: str) -> tuple[bool, bool]:
        """Return (the rule's condition is known to be false, its alarm may be reset) as things stand."""
        return self._engine.resettable(rule, device)

    def moved(self, transition: Transition | None, audit: bytes) -> "Future[None]":
        """Make durable what a person did: the move, if it was allowed, and the row in the audit chain."""
        now = self._now()
        if transition is None:
            return self._append([], now, audit=(audit,))
        blocks = [*self._recorder.seal(now), self._recorder.transitions([transition], now)]
        return self._append(blocks, now, alarms=self._records([transition.key]), audit=(audit,))

    def sequence(self) -> int:
        """Return the sequence of the alarms block that the next move will be in."""
        return self._recorder.next_sequence("alarms")

    def stop(self) -> None:
        """Hand everything that waits to the outbox, with the account of all scan groups up to now."""
        now = self._now()
        self._append(self._recorder.seal_all(now), now)

    def _flow(self, measured: Sequence[Sample], now: Moment) -> None:
        """From changes to what is durable, top to bottom."""
        self.last_flow = now.mono
        samples = self._derives.feed(in_order(measured, self._engine.now)) + self._derives.advance(now.mono)
        self.latest.update(samples)
        self._recorder.add(samples, now.mono)
        self._decide(self._engine.feed(samples, now.mono), now)
        self._seal(now)
        self._wake()
        for watcher in tuple(self.watchers) if samples else ():
            watcher(samples)

    def _decide(self, verdicts: Iterable[Verdict], now: Moment) -> None:
        """Turn verdicts into moves of alarms, and all of them into one transaction with what led to them.

        One, because it saves the state of the rules too: a rule that is known to have raised its alarm, without the
        alarm, would never raise it again.
        """
        moves: dict[tuple[str, str], Transition] = {}
        blocks: list[SealedBlock] = []
        keys: dict[str, None] = {}
        for verdict in verdicts:
            if verdict.kind == "note":
                blocks.append(self._recorder.event(_event(verdict), now))
                continue
            alarm = (verdict.device, verdict.rule)
            if alarm in moves or len(moves) == TRANSITIONS_AT_ONCE:
                # The block's sequence names an occurrence: one block never holds two moves of one alarm.
                blocks.append(self._recorder.transitions(tuple(moves.values()), now))
                moves = {}
            if (move := self.book.apply(verdict, now.wall - (now.mono - verdict.at), self.sequence())) is not None:
                moves[alarm] = move
                keys[move.key] = None
        if moves:
            blocks.append(self._recorder.transitions(tuple(moves.values()), now))
        if blocks:
            self._append([*self._recorder.seal(now), *blocks], now, alarms=self._records(keys))

    def _records(self, keys: Iterable[str]) -> list[AlarmRecord]:
        return [record for key in keys if (record := self.book.record(key)) is not None]

    def _seal(self, now: Moment) -> None:
        """Pack what is due. While the disk cannot keep up, samples become a gap and the present state is sent anew."""
        if self._store.behind("samples"):
            if self._recorder.next_deadline() <= now.mono:
                self.dropped += self._recorder.discard(GapCause.WRITER_BEHIND, now)
                self._behind = True
            return
        if self._behind:
            self._behind = False
            self._recorder.add(self.latest.resend(now.mono), now.mono)
        while (block := self._recorder.seal_due(now)) is not None:
            self._append([block], now)

    def _append(
        self,
        blocks: Sequence[SealedBlock],
        now: Moment,
        *,
        alarms: Sequence[AlarmRecord] = (),
        audit: Sequence[bytes] = (),
    ) -> "Future[None]":
        covered: dict[str, Micros] = {}
        for block in blocks:
            covered.update(block.covered)
        self._state |= self._engine.dirty() | self._derives.dirty()
        self.last_append = self._store.append(
            blocks,
            alarms=alarms,
            rule_state=self._state,
            as_of=AsOf(wall=now.wall, mono=now.mono, boot=self._boot),
            until=covered,
            audit=audit,
        )
        self._state = {}  # only now: what the store did not take goes with the next append
        return self.last_append

    def _now(self) -> Moment:
        return Moment(wall=self._clock.wall(), mono=self._clock.monotonic(), trusted=self._clock.trusted())


def _event(verdict: Verdict) -> Event:
    fields = {"rule": verdict.rule, "detail": verdict.detail, "priority": verdict.priority}
    return Event(source_id=f"{verdict.device}/note", at=verdict.at, fields=dict(fields))
