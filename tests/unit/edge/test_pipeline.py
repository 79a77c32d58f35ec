"""What becomes of a reading, in what order the store is handed it, and what happens when it cannot take it."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from edge.outbox import AsOf
from edge.recorder import TRANSITIONS_AT_ONCE, SealedBlock
from edge.rules.instance import Verdict
from sitekeeper.block import GapCause, decode
from sitekeeper.model.alarm import AlarmState, Cause
from sitekeeper.model.clock import HOUR, SECOND, Micros
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import LinkDown, StorageError
from sitekeeper.model.quality import GOOD
from sitekeeper.model.sample import Sample, Value

from .pipeline_rig import GROUP, Rig

LEE = Actor("lee", "technician", "site")


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
    rig.pipeline._decide(raised, rig.moment())
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
    rig.pipeline._decide([_verdict(rig, f"R{n}", kind) for n, kind in enumerate(kinds)], rig.moment())
    [append] = rig.store.appended
    assert sorted(append.streams()) == ["alarms", *["events"] * kinds.count("note")]


def test_two_raises_of_one_alarm_in_one_step_are_two_occurrences() -> None:
    """After a stall one step may raise, clear and raise the same alarm: each occurrence gets a name of its own."""
    rig = Rig("a").settled()
    kinds = ("raise", "clear", "raise")
    rig.pipeline._decide([_verdict(rig, "R1", kind) for kind in kinds], rig.moment())
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


def test_a_writer_that_is_behind_after_the_first_of_several_blocks_takes_no_second_one() -> None:
    """What fills the last room must not end the gateway with the next block: that one waits, or becomes a gap."""
    rig = Rig("a").settled()
    store, now = rig.store, rig.clock.monotonic()
    take = store.append

    def append(blocks: Sequence[SealedBlock], **more: Any) -> "Future[None]":
        assert not store.is_behind, "the real one raises StorageError here"
        store.is_behind = True
        return take(blocks, **more)

    store.append = append  # type: ignore[method-assign]
    rig.recorder.add([Sample(rig.handle("n"), now, float(n), GOOD) for n in range(2_400)], now)
    rig.passes(1)
    assert len(store.blocks("samples")) == 1
    assert rig.pipeline.dropped > 0


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
    move = rig.book.ack("hq/t1/R1@e1-1", LEE, "seen", "", rig.moment())
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
