"""What becomes of a reading, in what order the store is handed it, and what happens when it cannot take it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest

from drivers.base import Outcome, Scan
from edge.alarms import AlarmBook
from edge.changes import Changes
from edge.latest import Latest
from edge.outbox import AsOf
from edge.pipeline import Pipeline
from edge.recorder import TRANSITIONS_AT_ONCE, Limits, Recorder, SealedBlock
from edge.rules.compiling import Rules
from edge.rules.derives import Derives
from edge.rules.engine import Engine
from edge.rules.instance import Verdict
from sitekeeper.block import GapCause, Stream, decode
from sitekeeper.model.alarm import AlarmRecord, AlarmState, Cause
from sitekeeper.model.clock import HOUR, SECOND, ManualClock, Micros
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import LinkDown, StorageError
from sitekeeper.model.point import Point, ScanGroup
from sitekeeper.model.quality import GOOD, Reason, bad
from sitekeeper.model.sample import Sample, Value

from .rules.worlds import compiled, rule, thing

GROUP = "t1@1s"
LEE = Actor("lee", "technician", "site")


@dataclass
class Appended:
    """One call of `append`."""

    blocks: list[SealedBlock]
    alarms: list[AlarmRecord]
    rule_state: dict[str, bytes | None]
    as_of: AsOf | None
    until: dict[str, Micros]
    audit: list[bytes]

    def streams(self) -> list[Stream]:
        return [block.stream for block in self.blocks]


@dataclass
class FakeStore:
    """An outbox that keeps what it is given, and can be behind or refuse."""

    appended: list[Appended] = field(default_factory=list)
    is_behind: bool = False
    events_behind: bool = False
    refuses: bool = False
    answer: "Future[None] | None" = None
    """What the next append answers, instead of being durable at once."""

    def behind(self, stream: Stream) -> bool:
        return self.is_behind if stream == "samples" else self.events_behind

    def append(
        self,
        blocks: Sequence[SealedBlock],
        *,
        alarms: Sequence[AlarmRecord] = (),
        rule_state: Mapping[str, bytes | None] | None = None,
        as_of: AsOf | None = None,
        until: Mapping[str, Micros] | None = None,
        audit: Sequence[bytes] = (),
    ) -> "Future[None]":
        if self.refuses:
            raise StorageError("writer behind")
        self.appended.append(
            Appended(list(blocks), list(alarms), dict(rule_state or {}), as_of, dict(until or {}), list(audit))
        )
        if self.answer is not None:
            answer, self.answer = self.answer, None
            return answer
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def blocks(self, stream: Stream) -> list[SealedBlock]:
        return [block for each in self.appended for block in each.blocks if block.stream == stream]

    def samples(self, handle: int | None = None) -> list[Sample]:
        """Return what the record says, in order."""
        every = [sample for block in self.blocks("samples") for sample in decode(block.payload).samples]
        return [sample for sample in every if handle is None or sample.handle == handle]


class Rig:
    """The device `t1` of class `thing`, read each second, with one rule; the store is a fake and the clock by hand."""

    def __init__(self, rules: Rules | str = "a", **more: Any) -> None:
        device = thing()
        self.names = sorted((p for p in device.points.values() if p.name != "online"), key=lambda p: p.handle)
        online = device.points["online"]
        self.points = tuple(
            sorted(
                (Point(**{**_fields(p), "group": "" if p is online else GROUP}) for p in device.points.values()),
                key=lambda p: p.handle,
            )
        )
        groups = (ScanGroup(id=GROUP, device="t1", period=SECOND, handles=tuple(p.handle for p in self.names)),)
        self.clock, self.store, self.woken = ManualClock(monotonic=1000 * SECOND), FakeStore(), 0
        self.start = self.clock.monotonic()
        self.rules = compiled(rule(rules, **more), device) if isinstance(rules, str) else rules
        changes = Changes(self.points, groups, {}, now=self.start)
        self.recorder = Recorder(
            site="hq", epoch="e1", boot="b1", catalogue="c0", groups=[GROUP], ledger=changes, sequences={}, covered={},
            start=_moment(self.clock), limits=Limits(),
        )  # fmt: skip
        self.book = AlarmBook("hq", "e1")
        self.engine = Engine(self.rules, state={}, as_of=None, now=self.start)
        self.pipeline = Pipeline(
            boot="b1",
            changes=changes,
            derives=Derives((), state={}, as_of=None, now=self.start),
            latest=Latest(self.points),
            engine=self.engine,
            book=self.book,
            recorder=self.recorder,
            store=self.store,
            clock=self.clock,
            wake=self._woken,
        )

    def _woken(self) -> None:
        self.woken += 1

    def handle(self, name: str) -> int:
        return next(p.handle for p in self.points if p.name == name)

    def scan(self, *, answered: bool = True, **values: Value) -> None:
        """Read the device now; a value of None is a bad one."""
        now = self.clock.monotonic()
        outcomes = [
            Outcome(index, now, values[p.name], GOOD if values[p.name] is not None else bad(Reason.COMM))
            for index, p in enumerate(self.names)
            if p.name in values
        ]
        self.pipeline.scanned(
            Scan(
                group=GROUP, device="t1", asked=now, received=now, outcomes=outcomes, complete=False, answered=answered
            )
        )

    def passes(self, seconds: float, *, scans: bool = True) -> None:
        """Let time pass, tick by deadline as the daemon does, with an unchanged reading each second."""
        until = self.clock.monotonic() + round(seconds * SECOND)
        next_scan = self.clock.monotonic() + SECOND
        while True:
            due = max(self.pipeline.next_deadline(), self.clock.monotonic())
            if scans:
                due = min(due, next_scan)
            if due > until:
                break
            self.clock.advance(due - self.clock.monotonic())
            if scans and due == next_scan:
                next_scan += SECOND
                self.scan()
            else:
                self.pipeline.tick()
        self.clock.advance(until - self.clock.monotonic())

    def settled(self) -> "Rig":
        """Return the rig with the device online and everything before sealed."""
        self.scan(a=False, b=False, n=1.0, speed=0.0, m="x", sensor=False, secs=1.0)
        self.passes(3)
        self.store.appended.clear()
        return self


def _fields(point: Point) -> dict[str, Any]:
    return {name: getattr(point, name) for name in Point.__dataclass_fields__}


def _moment(clock: ManualClock) -> Any:
    from sitekeeper.model.clock import Moment

    return Moment(mono=clock.monotonic(), wall=clock.wall(), trusted=True)


def test_an_alarm_its_samples_and_its_rule_state_are_one_append_samples_first() -> None:
    """What led to an alarm is in the same transaction before it, with the record and the state of the rule after it."""
    rig = Rig("a").settled()
    rig.scan(a=True)
    rig.clock.advance(1)
    rig.pipeline.tick()  # a moment is decided when it is over
    [append] = [each for each in rig.store.appended if each.alarms]
    assert append.streams() == ["samples", "alarms"]
    assert [s.value for s in decode(append.blocks[0].payload).samples if s.handle == rig.handle("a")] == [True]
    [move] = decode(append.blocks[1].payload).transitions
    assert (move.cause, move.target, move.occurrence) == (Cause.RAISE, AlarmState.UNACKED, "hq/t1/R1@e1-1")
    assert [record.state for record in append.alarms] == [AlarmState.UNACKED]
    assert any(key.startswith("R1") or "R1" in key for key in append.rule_state)
    assert append.as_of == AsOf(wall=rig.clock.wall(), mono=rig.clock.monotonic(), boot="b1")


def test_rules_see_exactly_what_is_recorded() -> None:
    """A change within the deadband reaches neither the record nor a rule; the same reading twice is one sample."""
    rig = Rig("n > 5").settled()
    for value in (5.0, 5.0, 6.0):
        rig.scan(n=value)
        rig.passes(1.1)
    assert [s.value for s in rig.store.samples(rig.handle("n"))] == [5.0, 6.0]
    assert len(rig.store.blocks("alarms")) == 1


def test_many_moves_at_once_are_several_blocks_and_one_transaction() -> None:
    """More alarms than one block takes: blocks of at most 100, sequences without holes, one append with all records."""
    rig = Rig("a").settled()
    raised = [_verdict(rig, f"R{n}") for n in range(2 * TRANSITIONS_AT_ONCE + 1)]
    rig.pipeline._decide(raised, _moment(rig.clock))
    [append] = rig.store.appended
    assert append.streams() == ["alarms"] * 3
    assert [block.count for block in append.blocks] == [100, 100, 1]
    assert [block.sequence for block in append.blocks] == [1, 2, 3]
    assert len(append.alarms) == len(raised)
    moves = [move for block in append.blocks for move in decode(block.payload).transitions]
    assert [move.occurrence.rpartition("-")[2] for move in moves] == ["1"] * 100 + ["2"] * 100 + ["3"]


def _verdict(rig: Rig, name: str, kind: Any = "raise") -> Verdict:
    return Verdict(
        rule=name, device="t1", kind=kind, at=rig.clock.monotonic(), priority="P2", values={}, limits={}, detail="x",
        latched=False, revision="r", mode="",
    )  # fmt: skip


@pytest.mark.parametrize("kinds", [("note", "raise"), ("raise", "note"), ("note", "raise", "note")])
def test_a_note_never_parts_a_rule_state_from_its_alarm(kinds: tuple[str, ...]) -> None:
    """Whatever else was decided at that moment, the state that knows of an alarm is in the alarm's own transaction."""
    rig = Rig("a").settled()
    rig.pipeline._decide([_verdict(rig, f"R{n}", kind) for n, kind in enumerate(kinds)], _moment(rig.clock))
    [append] = rig.store.appended
    assert sorted(append.streams()) == ["alarms", *["events"] * kinds.count("note")]


def test_two_raises_of_one_alarm_in_one_step_are_two_occurrences() -> None:
    """After a stall one step may raise, clear and raise the same alarm: each occurrence gets a name of its own."""
    rig = Rig("a").settled()
    kinds = ("raise", "clear", "raise")
    rig.pipeline._decide([_verdict(rig, "R1", kind) for kind in kinds], _moment(rig.clock))
    [append] = rig.store.appended
    moves = [move for block in append.blocks for move in decode(block.payload).transitions]
    assert [move.cause for move in moves] == list(kinds)
    assert len({move.occurrence for move in moves}) == 2


def test_a_note_becomes_an_event() -> None:
    """What `unless` holds back is told as an event of the device, without an alarm."""
    rig = Rig("a", unless='"b"').settled()
    rig.scan(a=True, b=True)
    rig.passes(1)
    assert rig.store.blocks("alarms") == []
    [event] = [e for block in rig.store.blocks("events") for e in decode(block.payload).events]
    assert event.source_id == "t1/note"
    assert event.fields == {"rule": "R1", "detail": "", "priority": "P2"}


def test_rule_state_is_kept_when_an_append_is_refused() -> None:
    """State that the store did not take goes with the next append, and what changed since on top of it."""
    rig = Rig("held(a, 5s)").settled()
    rig.scan(a=True)
    rig.store.refuses = True
    with pytest.raises(StorageError):
        rig.passes(2, scans=False)
    kept = dict(rig.pipeline._state)
    assert kept, "the rule was changed by the sample"
    assert rig.engine.dirty() == {}, "the engine has handed it over and will not tell again"
    rig.store.refuses = False
    rig.pipeline.moved(None, b"row")
    assert rig.store.appended[-1].rule_state.items() >= kept.items()
    assert rig.pipeline._state == {}


def test_a_slow_disk_makes_a_gap_and_then_the_present_state_is_sent_anew() -> None:
    """While the writer is behind nothing is sealed; afterwards there is a gap, and every point's state stands in it."""
    rig = Rig("a").settled()
    rig.store.is_behind = True
    for number in range(20):
        rig.scan(n=10.0 + number)
        rig.passes(1)
    assert rig.store.appended == []
    assert rig.pipeline.dropped > 0
    assert len(rig.recorder._pending) < 5, "what cannot be kept is let go, not piled up"
    rig.store.is_behind = False
    rig.passes(3)
    assert [s.value for s in rig.store.samples(rig.handle("n"))][-1] == 29.0
    assert {s.handle for s in rig.store.samples()} == {p.handle for p in rig.points if p.name != "gone"}
    gaps = [gap for block in rig.store.blocks("samples") for gap in decode(block.payload).gaps]
    assert {gap.cause for gap in gaps} == {GapCause.WRITER_BEHIND}
    assert sum(gap.end - gap.start for gap in gaps) >= 18 * SECOND


def test_an_alarm_is_recorded_while_samples_are_behind() -> None:
    """Backpressure on samples never delays an alarm, and the samples that led to it go with it."""
    rig = Rig("a").settled()
    rig.store.is_behind = True
    rig.scan(a=True)
    rig.passes(0.5)
    [append] = rig.store.appended
    assert append.streams() == ["samples", "alarms"]


@pytest.mark.parametrize("step", [-2 * HOUR, 2 * HOUR])
def test_a_step_of_the_wall_clock_changes_no_timer(step: Micros) -> None:
    """A rule that counts 10 s counts 10 s, whatever the wall does meanwhile; only what is told to people moves."""
    rig = Rig("held(a, 10s)").settled()
    rig.scan(a=True)
    began = rig.clock.monotonic()
    rig.passes(4)
    rig.clock.step_wall(step)
    rig.passes(5.9)
    assert rig.store.blocks("alarms") == []
    rig.passes(0.2)
    [move] = [m for block in rig.store.blocks("alarms") for m in decode(block.payload).transitions]
    assert move.mono == began + 10 * SECOND
    assert move.at == rig.clock.wall() - (rig.clock.monotonic() - move.mono)


def test_a_link_that_fails_makes_all_points_bad_once() -> None:
    """The first failure changes every point; the hundredth changes nothing."""
    rig = Rig("a").settled()
    error = LinkDown("refused", endpoint="tcp 10.0.0.1:502")
    rig.pipeline.link_failed((GROUP,), error)
    rig.passes(1.1, scans=False)
    first = rig.store.samples()
    assert {s.value for s in first if s.handle != rig.handle("online")} == {None}
    for _ in range(100):
        rig.pipeline.link_failed((GROUP,), error)
    rig.passes(1.1, scans=False)
    assert len(rig.store.samples()) <= len(first) + 1  # `online` may follow


def test_what_a_person_did_is_one_append_with_its_audit_row() -> None:
    """An acknowledgement: transition, record and audit row together; a refused attempt leaves its row alone."""
    rig = Rig("a").settled()
    rig.scan(a=True)
    rig.passes(0.5)
    rig.store.appended.clear()
    move = rig.book.ack("hq/t1/R1@e1-1", LEE, "seen", "", _moment(rig.clock))
    rig.pipeline.moved(move, b"row 1")
    rig.pipeline.moved(None, b"row 2")
    done, refused = rig.store.appended
    assert done.streams()[-1] == "alarms"
    assert (done.audit, [r.state for r in done.alarms]) == ([b"row 1"], [AlarmState.ACKED])
    assert (refused.blocks, refused.audit, refused.alarms) == ([], [b"row 2"], [])


def test_a_stop_hands_over_everything_that_waits() -> None:
    """Unsealed samples and the account of all groups up to now go out with the stop."""
    rig = Rig("a").settled()
    rig.scan(n=7.0)
    rig.pipeline.stop()
    assert [s.value for s in rig.store.samples(rig.handle("n"))] == [7.0]
    assert abs(rig.store.appended[-1].until[GROUP] - rig.clock.wall()) <= SECOND // 10


def test_the_next_deadline_lies_ahead_after_every_tick() -> None:
    """The ticker never spins: over a minute of every kind of work it is called less than ten times a second."""
    rig = Rig("held(a, 5s)").settled()
    ticks = 0
    tick = rig.pipeline.tick

    def counted() -> None:
        nonlocal ticks
        ticks += 1
        tick()

    rig.pipeline.tick = counted  # type: ignore[method-assign]
    for number in range(30):
        rig.scan(a=number % 3 == 0, n=float(number))
        rig.passes(2, scans=number % 2 == 0)
    assert ticks < 600


def test_watchers_get_every_change_after_it_is_in_latest() -> None:
    """A watcher sees the samples of one reading together, may leave while being told, and is not told of nothing."""
    rig = Rig("a").settled()
    seen: list[list[tuple[int, Value]]] = []

    def watch(samples: Sequence[Sample]) -> None:
        seen.append([(s.handle, s.value) for s in samples])
        assert rig.pipeline.latest.get(samples[0].handle) == samples[0]
        rig.pipeline.watchers.discard(watch)

    rig.pipeline.watchers.add(watch)
    rig.scan()
    rig.scan(n=9.0, a=True)
    rig.scan(n=10.0)
    assert seen == [[(rig.handle("a"), True), (rig.handle("n"), 9.0)]]
