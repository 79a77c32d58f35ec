"""The whole flow on one page: what becomes of a reading or an event, from the driver to what is durable.

    Scan ──▶ changes ─▶ derives ─▶ latest ─┬─▶ rules ─▶ alarms ──┬─▶ outbox, and then the commands that rules ask for
    Heard ─▶ occurrences (new? gap?) ──────┴─▶ recorder (blocks) ┘

Rules see exactly the samples and events that are recorded, in that order. No protocol and no SQL here, and no waiting:
the outbox takes what it is given or says that it is behind. Everything runs on the event loop's thread.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Final, Protocol

from msgspec.structs import replace

from drivers.base import Heard, Scan
from edge.alarms import AlarmBook
from edge.changes import Changes
from edge.event_records import Enrich, recorded
from edge.latest import Latest
from edge.moves import Moves
from edge.occurrences import Occurrences
from edge.outbox import AsOf, Note
from edge.own import DEVICE, Watch
from edge.recorder import Recorder, SealedBlock
from edge.rules.derives import Derives
from edge.rules.engine import Engine, in_order
from edge.rules.instance import Instance, Verdict
from sitekeeper.block import GapCause, Stream
from sitekeeper.model.alarm import AlarmRecord, Cause, Transition
from sitekeeper.model.clock import Clock, Micros, Moment
from sitekeeper.model.errors import LinkDown, StorageError
from sitekeeper.model.event import Event
from sitekeeper.model.quality import Reason
from sitekeeper.model.sample import Sample, Value

State = Mapping[str, bytes | None]
"""States to be saved by key; None forgets one."""

_NOTHING: Final[State] = {}


class Store(Protocol):
    """What the pipeline needs of the outbox."""

    def behind(self, stream: Stream) -> bool: ...

    def append(
        self,
        blocks: Sequence[SealedBlock],
        *,
        alarms: Sequence[AlarmRecord] = (),
        rule_state: State | None = None,
        as_of: AsOf | None = None,
        until: Mapping[str, Micros] | None = None,
        audit: Sequence[bytes] = (),
        told: Note | None = None,
    ) -> "Future[None]": ...


Watcher = Callable[[Sequence[Sample]], None]

MovedWatcher = Callable[[Sequence[AlarmRecord], int], None]
"""Takes alarms as they stand after a move, and the newest block of the alarms stream. It only takes note."""

Commands = Callable[[Sequence[Verdict]], None]
"""Takes the verdicts that have been handed to the store, and sees to what they want written: never at once."""


class Pipeline:
    """One site's flow. Its methods are the only entrances: a reading, events, a failed link, time, a person's move."""

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
        occurrences: Occurrences | None = None,
        watches: Sequence[Watch] = (),
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.latest = latest
        self.book = book
        self.changes = changes
        self.watchers: set[Watcher] = set()
        self.moved_watchers: set[MovedWatcher] = set()
        self.commands: Commands = lambda _: None
        self.enrich: Enrich = lambda _, fields: fields
        self.occurrences = occurrences or Occurrences({})
        self.last_flow: Micros = clock.monotonic()
        self.dropped = 0
        self._boot = boot
        self._derives = derives
        self._engine = engine
        self._recorder = recorder
        self._store = store
        self._clock = clock
        self._watches = tuple(watches)
        self._wake = wake
        self._behind = False
        self._moves = Moves(book, recorder)
        self._taken_up = False
        self._state: dict[str, bytes | None] = {}
        self.last_append: Future[None] = Future()
        self.last_append.set_result(None)  # nothing is under way
        self._heard = self.last_append

    def scanned(self, scan: Scan) -> None:
        """Take one reading of one scan group."""
        now = self._now()
        self._flow(self.changes.accept(scan, now.mono), now)

    def heard(self, heard: Sequence[Heard]) -> "Future[None]":
        """Take what devices told unasked. The future resolves when it is durable; a repeat, when the first one is.

        It fails with StorageError if that cannot be, and then nothing of it counts as told.
        """
        if self._store.behind("events") or (self._heard.done() and self._heard.exception() is not None):
            # An append that fails is the store's last one, and the ledger is ahead of the disk from then on.
            return _failed(StorageError("events cannot be stored at present"))
        now = self._now()
        result = self.occurrences.sort(heard, now.wall)
        events = recorded(result.told, now, self._engine.now, enrich=self.enrich, behind=self.occurrences.behind)
        if events or result.state:
            try:
                self._heard = self._tell(events, now, state=result.state)
            except StorageError as error:
                return _failed(error)
            self.occurrences.keep(result)  # only now: what the store did not take will be told again
        return self._heard

    def told(
        self, source_id: str, fields: Mapping[str, Value], *, audit: bytes | None = None, state: State = _NOTHING
    ) -> "Future[None]":
        """Record what the gateway itself did, with its row in the audit and what must be known with it; rules see it.

        Raises:
            StorageError: the store is behind; nothing was taken.
        """
        if self._store.behind("events"):
            raise StorageError("events cannot be stored at present")
        now = self._now()
        event = Event(source_id, max(self._engine.now + 1, now.mono), dict(fields))
        return self._tell([event], now, audit=() if audit is None else (audit,), state=state)

    def noted(self, audit: Sequence[bytes] = (), state: State = _NOTHING) -> "Future[None]":
        """Make durable what is no event: rows of the audit, and what must be known after a restart.

        Raises:
            StorageError: as `told`.
        """
        if self._store.behind("events"):
            raise StorageError("nothing can be stored at present")
        return self._append([], self._now(), audit=audit, state=state)

    def link_failed(self, groups: tuple[str, ...], error: LinkDown) -> None:  # noqa: ARG002 - the poller logs it
        """Take note that none of `groups` can be read: their points turn bad, which is a change like any other."""
        now = self._now()
        samples = [s for group in groups for s in self.changes.failed(group, Reason.COMM, now.mono)]
        self._flow(samples, now)

    def tick(self) -> None:
        """Let time pass: staleness, rules' timers, sealing, and what the gateway watches of itself."""
        now = self._now()
        for watch in self._watches if not self._store.behind("events") else ():
            self._own(watch, now)
        self._flow(self.changes.advance(now.mono), now)
        self._pass(now)

    def next_deadline(self) -> Micros:
        """Return the monotonic time at which `tick` has something to do; the past means at once."""
        deadline = self._recorder.next_deadline()
        others = [self.changes.next_deadline(), self._derives.next_deadline(), self._engine.next_deadline()]
        for other in (*others, self.book.next_deadline(), *(watch.next_deadline() for watch in self._watches)):
            if other is not None and other < deadline:
                deadline = other
        return deadline

    def standing(self, rule: str, device: str) -> tuple[bool, bool]:
        """Return (the rule's condition is known to be false, its alarm may be reset) as things stand."""
        return self._engine.resettable(rule, device)

    def instance(self, rule: str, device: str) -> Instance | None:
        """Return a rule at work on a device, to be looked at only."""
        return self._engine.instance(rule, device)

    def forget(self, rule: str, device: str, audit: bytes) -> "Future[None] | None":
        """Let a rule forget what it has learned of a device; None if it learns nothing there.

        Raises:
            StorageError: as `told`; then nothing is forgotten.
        """
        if self._store.behind("events"):
            raise StorageError("nothing can be stored at present")
        return self.noted(audit=(audit,)) if self._engine.forget(rule, device) else None

    def moved(self, transition: Transition | None, audit: bytes) -> "Future[None]":
        """Make durable what a person did: the move, if it was allowed, and the row in the audit chain."""
        now = self._now()
        if transition is None:
            return self._append([], now, audit=(audit,))
        blocks = [*self._recorder.seal(now), self._recorder.transitions([transition], now)]
        records = {transition.key: self.book.record(transition.key)}
        released = self._released(transition, now)
        if transition.cause is Cause.RESET:
            more, uncovered = self._moves.released(transition, now)
            blocks += more
            records |= {record.key: record for record in uncovered}
        future = self._append(blocks, now, alarms=[r for r in records.values() if r is not None], audit=(audit,))
        if released:
            self.commands(released)  # after the append of what gives them up
        return future

    def serious(self) -> None:
        """Take note that a drill is over: what is still true was none, and rings.

        Raises:
            StorageError: the store is behind; nothing has moved.
        """
        if self._store.behind("alarms"):
            raise StorageError("alarms cannot be stored at present")
        now = self._now()
        blocks, records = self._moves.serious(now)
        if blocks:
            self._append([*self._recorder.seal(now), *blocks], now, alarms=records)

    def sequence(self) -> int:
        """Return the sequence of the alarms block that the next move will be in."""
        return self._recorder.next_sequence("alarms")

    def stop(self) -> None:
        """Hand everything that waits to the outbox, with the account of all scan groups up to now."""
        now = self._now()
        self._append(self._recorder.seal_all(now), now)

    def _flow(self, measured: Sequence[Sample], now: Moment) -> None:
        """From changes to what is durable, top to bottom."""
        samples = self._derives.feed(in_order(measured, self._engine.now)) + self._derives.advance(now.mono)
        self.latest.update(samples)
        self._recorder.add(samples, now.mono)
        verdicts = self._engine.feed(samples, now.mono)
        if verdicts:
            self._decide(verdicts, now)
        self._seal(now)
        self._flowed(samples, verdicts, now)

    def _tell(
        self,
        events: Sequence[Event],
        now: Moment,
        *,
        state: State,
        audit: Sequence[bytes] = (),
        lost: Note | None = None,
    ) -> "Future[None]":
        """From events to what is durable: the same way, with what must be known together with them.

        The moment of the last event is over with it, so that what they decide is in the same transaction.
        """
        until = events[-1].at + 1 if events else self._engine.now
        samples = self._derives.advance(until)
        self.latest.update(samples)
        self._recorder.add(samples, now.mono)
        verdicts = self._engine.feed(sorted([*samples, *events], key=_time), until)
        future = self._decide(verdicts, now, events=events, state=state, audit=audit, lost=lost)
        self._flowed(samples, verdicts, now)
        return future

    def _own(self, watch: Watch, now: Moment) -> None:
        """Record what one of the gateway's watches has to say of the gateway itself."""
        said = watch.advance(now)
        if said.told is not None:
            at = max(self._engine.now + 1, now.mono)
            told = [Event(f"{DEVICE}/{name}", at + n, dict(fields)) for n, (name, fields) in enumerate(said.events)]
            self._tell(told, now, state=_NOTHING, lost=said.told)
        for name, fields in said.events if said.told is None else ():
            event = Event(f"{DEVICE}/{name}", max(self._engine.now + 1, now.mono), dict(fields))
            self._tell([event], now, state=_NOTHING)
        if said.verdicts:
            self._decide(said.verdicts, now)

    def _flowed(self, samples: Sequence[Sample], verdicts: Sequence[Verdict], now: Moment) -> None:
        """Tell whoever waits for it that something flowed; commands come after the append of what asks for them."""
        self.last_flow = now.mono
        if verdicts:
            self.commands(verdicts)
        self._wake()
        for watcher in tuple(self.watchers) if samples else ():
            watcher(samples)

    def _decide(
        self,
        verdicts: Sequence[Verdict],
        now: Moment,
        *,
        events: Sequence[Event] = (),
        state: State = _NOTHING,
        audit: Sequence[bytes] = (),
        lost: Note | None = None,
    ) -> "Future[None]":
        """Turn verdicts into moves of alarms, and all of them into one transaction with what led to them.

        One, because it saves the state of the rules too: a rule that is known to have raised its alarm, without the
        alarm, would never raise it again.
        """
        heard = self._recorder.events(events, now) if events else ()  # first: notes are events too, with later numbers
        made, records = self._moves.of(verdicts, now)
        blocks = [*heard, *made]
        if verdicts and blocks:
            blocks = [*self._recorder.seal(now), *blocks]
        if lost is not None:
            blocks += self._recorder.past(lost.gaps, self.latest.past(lost.states, now), now)
        if not (blocks or state or audit):
            return self.last_append
        return self._append(blocks, now, alarms=records, audit=audit, state=state, told=lost)

    def _pass(self, now: Moment) -> None:
        """Move what time moves: shelves and permits that are over; after a restart, what is suppressed."""
        blocks, records = self._moves.due(now)
        if not self._taken_up:
            self._taken_up = True
            more, others = self._moves.taken_up(self._engine.standing(self.book.latched()), now)
            blocks += more
            records = list({record.key: record for record in (*records, *others)}.values())
        if blocks:
            self._append([*self._recorder.seal(now), *blocks], now, alarms=records)
            self._wake()

    def _released(self, move: Transition, now: Moment) -> list[Verdict]:
        """Return the end of what a rule claims until its alarm is reset, if this move is that reset."""
        if move.cause is not Cause.RESET:
            return []
        own = move.key.partition("/")[2]
        stood = (v for v in self._engine.standing({own}) if f"{v.device}/{v.rule}" == own and v.until == "reset")
        return [replace(verdict, kind="clear", at=now.mono, until="clear") for verdict in stood]

    def _seal(self, now: Moment) -> None:
        """Pack what is due. While the disk cannot keep up, samples become a gap and the present state is sent anew."""
        if self._recorder.next_deadline() > now.mono and not self._behind:
            return
        if self._store.behind("samples"):
            if self._recorder.next_deadline() <= now.mono:
                self.dropped += self._recorder.discard(GapCause.WRITER_BEHIND, now)
                self._behind = True
            return
        if self._behind:
            self._behind = False
            self._recorder.add(self.latest.resend(now.mono), now.mono)
        while not self._store.behind("samples") and (block := self._recorder.seal_due(now)) is not None:
            self._append([block], now)

    def _append(
        self,
        blocks: Sequence[SealedBlock],
        now: Moment,
        *,
        alarms: Sequence[AlarmRecord] = (),
        audit: Sequence[bytes] = (),
        state: State = _NOTHING,
        told: Note | None = None,
    ) -> "Future[None]":
        covered: dict[str, Micros] = {}
        for block in blocks:
            covered.update(block.covered)
        self._state |= self._engine.dirty() | self._derives.dirty()
        self.last_append = self._store.append(
            blocks,
            alarms=alarms,
            rule_state=self._state | dict(state),
            as_of=AsOf(wall=now.wall, mono=now.mono, boot=self._boot),
            until=covered,
            audit=audit,
            told=told,
        )
        self._state = {}  # only now: what the store did not take goes with the next append
        for watch in self._watches:
            watch.given(blocks, self.last_append, now.mono)
        for watcher in self.moved_watchers if alarms else ():
            watcher(alarms, self.sequence() - 1)
        return self.last_append

    def _now(self) -> Moment:
        return Moment(wall=self._clock.wall(), mono=self._clock.monotonic(), trusted=self._clock.trusted())


def _time(record: Sample | Event) -> Micros:
    return record.at


def _failed(error: StorageError) -> "Future[None]":
    future: Future[None] = Future()
    future.set_exception(error)
    return future
