"""What becomes of an event: durable with what it leads to or not at all, acknowledged only then, and never twice."""

from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from drivers.base import Heard
from edge.occurrences import Occurrences
from edge.rules.compiling import Rules, compile_rules
from edge.rules.instance import Verdict
from edge.rules.packs import shipped_classes
from edge.rules.types import Type
from sitekeeper.block import decode
from sitekeeper.faults import Faults
from sitekeeper.model.clock import SECOND, ManualClock
from sitekeeper.model.command import Write
from sitekeeper.model.errors import StorageError
from sitekeeper.model.event import Event

from .pipeline_rig import FakeStore, Rig
from .rules.worlds import THING, rule, texts, thing

EVENTS = {"read.event": {"granted": Type("bool")}}


def rules_on_events(when: str, **more: Any) -> Rules:
    faults = Faults()
    device = replace(thing(), events=EVENTS)
    compiled = compile_rules(
        texts(rule(when, **more), faults), {"thing": THING, **shipped_classes()}, [device], {}, faults,
        events={"thing": EVENTS},
    )  # fmt: skip
    assert faults.found == []
    return compiled


def read(rig: Rig, sequence: int | None, *, granted: bool = False, **more: Any) -> Heard:
    fields: dict[str, Any] = {"device": "t1", "name": "read.event", "received": rig.clock.monotonic(), "counter": "c1"}
    return Heard(**{**fields, **more}, fields={"granted": granted}, sequence=sequence)


def told(store: FakeStore) -> list[Event]:
    return [event for block in store.blocks("events") for event in decode(block.payload).events]


def test_an_event_its_alarm_and_the_ledger_are_one_append() -> None:
    """Event, alarm, rule state and the counter's state are one transaction, so no kill can part them."""
    rig = Rig(rules_on_events("count(on(read.event, granted == false), 60s) >= 1")).settled()
    future = rig.pipeline.heard([read(rig, 7)])
    [append] = rig.store.appended
    assert append.streams() == ["events", "alarms"]
    assert [record.rule for record in append.alarms] == ["R1"]
    assert {"~events/c1", "t1/R1"} <= append.rule_state.keys()
    assert future.result(0) is None


def test_an_event_does_not_wait_for_samples() -> None:
    """What has gathered of samples stays where it is, and the event is handed over at once."""
    rig = Rig("a").settled()
    rig.scan(n=5.0)
    rig.pipeline.heard([read(rig, 1)])
    [append] = rig.store.appended
    assert append.streams() == ["events"]
    rig.passes(2)
    assert [s.value for s in rig.store.samples(rig.handle("n"))] == [5.0]


def test_events_keep_their_order_and_each_has_a_microsecond_of_its_own() -> None:
    """Two hundred of one moment stay in order, whatever else flows between them."""
    rig = Rig("a").settled()
    before = rig.clock.monotonic()
    rig.pipeline.heard([read(rig, n) for n in range(1, 101)])
    rig.scan(a=True)
    rig.pipeline.heard([read(rig, n) for n in range(101, 201)])
    found = told(rig.store)
    assert [event.device_sequence for event in found] == list(range(1, 201))
    times = [event.at for event in found]
    assert times == sorted(set(times))
    assert before <= times[0] <= times[-1] <= before + 1000


def test_an_event_before_a_sample_is_before_it_in_the_record_too() -> None:
    """Who was let in comes before the door that opened: rules and record have one order."""
    rig = Rig("a").settled()
    rig.pipeline.heard([read(rig, 1, granted=True)])
    rig.scan(a=True)
    rig.passes(2)
    [sample] = rig.store.samples(rig.handle("a"))
    assert told(rig.store)[0].at < sample.at


def test_a_repeat_is_not_told_again_and_is_acknowledged_with_the_first() -> None:
    """The broker delivers again while the first copy is on its way to the disk: both are durable at the same moment."""
    rig = Rig("a").settled()
    pending: Future[None] = Future()
    rig.store.answer = pending
    first, second = rig.pipeline.heard([read(rig, 1)]), rig.pipeline.heard([read(rig, 1)])
    assert len(told(rig.store)) == 1
    assert not first.done()
    assert not second.done(), "a repeat acknowledged now would be lost with the first, if the disk fails"
    pending.set_result(None)
    assert second.result(0) is None


@pytest.mark.parametrize("how", ["behind", "refuses"])
def test_a_store_that_does_not_take_it_leaves_no_trace(how: str) -> None:
    """The future fails, so the broker keeps the event; told again, it is new, and its gap is told with it."""
    rig = Rig(rules_on_events("count(on(read.event, granted == false), 60s) >= 2")).settled()
    rig.pipeline.heard([read(rig, 1)])
    setattr(rig.store, "events_behind" if how == "behind" else "refuses", True)
    with pytest.raises(StorageError):
        rig.pipeline.heard([read(rig, 3)]).result(0)
    assert "~events/c1" not in rig.pipeline._state
    setattr(rig.store, "events_behind" if how == "behind" else "refuses", False)
    assert [h.sequence for h in rig.pipeline.occurrences.sort([read(rig, 3)]).told if isinstance(h, Heard)] == [3]
    if how == "behind":  # after a refusal without warning a sequence is spent: then the gateway ends
        rig.pipeline.heard([read(rig, 3)]).result(0)
        assert [e.source_id for e in told(rig.store)] == ["t1/read.event", "t1/audit_gap", "t1/read.event"]


def test_after_a_failed_commit_nothing_is_acknowledged_any_more() -> None:
    """An append that fails is the last one. The ledger in memory is ahead of the disk from then on."""
    rig = Rig("a").settled()
    failing: Future[None] = Future()
    rig.store.answer = failing
    rig.pipeline.heard([read(rig, 1)])
    failing.set_exception(StorageError("never written"))
    for sequence in (1, 2):
        with pytest.raises(StorageError):
            rig.pipeline.heard([read(rig, sequence)]).result(0)
    assert [e.device_sequence for e in told(rig.store)] == [1]
    assert Occurrences({}).sort([read(rig, 1)]).told, "and the next process, which knows what is durable, takes it"


def test_a_gap_is_an_event_of_the_device_that_showed_it() -> None:
    """Counter, first and last missing sequence; a counter that begins anew says so without numbers."""
    rig = Rig("a").settled()
    rig.pipeline.heard([read(rig, 910), read(rig, 914)])
    rig.pipeline.heard([read(rig, 1, source=5)])
    gaps = [event.fields for event in told(rig.store) if event.source_id == "t1/audit_gap"]
    assert gaps == [
        {"counter": "c1", "from": 911, "to": 913, "restarted": False},
        {"counter": "c1", "from": None, "to": None, "restarted": True},
    ]


def test_what_no_device_claims_is_counted_and_not_recorded() -> None:
    """A door that this site does not list has its place in the sequence, and nothing more."""
    rig = Rig("a").settled()
    rig.pipeline.heard([read(rig, 1), read(rig, 2, device=""), read(rig, 3)])
    assert [e.device_sequence for e in told(rig.store)] == [1, 3]
    rig.store.appended.clear()
    assert rig.pipeline.heard([read(rig, 4, device="")]).result(0) is None
    [append] = rig.store.appended
    assert (append.blocks, set(append.rule_state)) == ([], {"~events/c1"})
    assert rig.pipeline.heard([read(rig, None, device="")]).result(0) is None


@pytest.mark.parametrize(
    ("age", "buffered", "trusted", "late"),
    [
        (4, False, True, False),
        (6, False, True, True),
        (0, True, True, True),
        (6, False, False, False),
        (None, False, True, False),
    ],
)
def test_an_old_event_is_late(age: int | None, buffered: bool, trusted: bool, late: bool) -> None:
    """Older than 5 s by its own time, if ours can be believed; or told late by the device's own word."""
    rig = Rig("a").settled()
    rig.clock._trusted = trusted
    source = None if age is None else rig.clock.wall() - age * SECOND
    rig.pipeline.heard([read(rig, 1, buffered=buffered, source=source)])
    [event] = told(rig.store)
    assert (event.late, event.source) == (late, source)


@pytest.mark.parametrize(
    ("age", "behind", "late"),
    [
        (24, 20, False),
        (26, 20, True),
        (-15, -20, False),
        (-14, -20, True),
        (24, 0, True),
    ],
)
def test_the_age_of_an_event_is_by_a_clock_that_is_known_to_be_wrong(age: int, behind: int, late: bool) -> None:
    """What the clock is off is taken away first; the time stored is what the device gave."""
    rig = Rig("a").settled()
    source = rig.clock.wall() - age * SECOND
    rig.pipeline.heard([read(rig, 1, source=source, behind=behind * SECOND)])
    [event] = told(rig.store)
    assert (event.late, event.source) == (late, source)


@pytest.mark.parametrize(
    ("behind", "age", "late"), [(-20, -5, True), (-20, -16, False), (20, 15, True), (None, 4, False)]
)
def test_after_a_restart_a_clock_that_was_ahead_is_believed_to_be_so(behind: int | None, age: int, late: bool) -> None:
    """Until the clock is known anew nothing that waited looks fresh: not 15 s behind a clock that was 20 s ahead."""
    rig = Rig("a").settled()
    earlier = read(rig, 1, behind=None if behind is None else behind * SECOND)
    rig.pipeline.occurrences = Occurrences(Occurrences({}).sort([earlier]).state)
    rig.pipeline.heard([read(rig, 2, source=rig.clock.wall() - age * SECOND)])
    [event] = told(rig.store)
    assert event.late == late


def test_long_texts_are_cut_and_never_stop_the_flow() -> None:
    """A device that tells a novel is quoted with its first thousand characters."""
    rig = Rig("a").settled()
    novel = Heard(device="t1", name="read.event", received=rig.clock.monotonic(), fields={"cred": "x" * 200_000})
    rig.pipeline.heard([novel])
    assert len(told(rig.store)[0].fields["cred"]) == 1_000  # type: ignore[arg-type]


def test_a_restart_knows_what_was_told_before() -> None:
    """The counter's state of the last append is enough: repeats are known, and a gap over the restart is found."""
    rig = Rig("a").settled()
    rig.pipeline.heard([read(rig, 1), read(rig, 2)])
    saved = {k: v for each in rig.store.appended for k, v in each.rule_state.items() if v is not None}
    again = Occurrences(saved)
    assert again.sort([read(rig, 1), read(rig, 2)]).told == ()
    assert [type(each).__name__ for each in again.sort([read(rig, 4)]).told] == ["AuditGap", "Heard"]


def test_a_verdict_without_alarm_moves_none_and_its_writes_come_after_the_append() -> None:
    """A rule that only writes never reaches the book; what it wants goes to the commands, once all is handed over."""
    rig = Rig("a").settled()
    order: list[str] = []
    rig.pipeline.commands = lambda verdicts: order.append(f"commands {len(rig.store.appended)}")
    write = (Write("t1", "a", value=True, priority=1),)
    one = Verdict("R1", "t1", "raise", rig.clock.monotonic(), "P1", {}, {}, "", False, "r", "", write, False)
    both = Verdict("R2", "t1", "raise", rig.clock.monotonic(), "P1", {}, {}, "", False, "r", "", write)
    rig.pipeline._engine.feed = lambda *_: [one, both]  # type: ignore[method-assign]
    rig.pipeline.tick()
    assert [record.rule for record in rig.book.records()] == ["R2"]
    assert order == ["commands 1"]


def test_what_the_gateway_did_is_one_append_and_rules_see_it() -> None:
    """A command's event, its audit row and its claims are together, and a rule may hang on it."""
    rig = Rig(rules_on_events("count(cmd(a), 60s) >= 1")).settled()
    fields = {"id": "1", "point": "a", "value": "true", "priority": 8, "by": "lee", "outcome": "accepted", "reason": ""}
    rig.pipeline.told("t1/command", fields, audit=b"row", state={"~claims/t1/a": b"c"})
    [append] = rig.store.appended
    assert append.streams() == ["events", "alarms"]
    assert append.audit == [b"row"]
    assert append.rule_state["~claims/t1/a"] == b"c"
    rig.store.events_behind = True
    with pytest.raises(StorageError):
        rig.pipeline.told("t1/command", fields, audit=b"row", state={})


def test_the_clock_of_events_never_runs_away() -> None:
    """A burst is stamped some microseconds ahead; the next reading comes behind it, timers keep their time."""
    rig = Rig("held(a, 10s)").settled()
    assert isinstance(rig.clock, ManualClock)
    began = rig.clock.monotonic()
    rig.scan(a=True)
    rig.pipeline.heard([read(rig, n) for n in range(1, 300)])
    rig.passes(9.9)
    assert rig.store.blocks("alarms") == []
    rig.passes(0.2)
    [move] = [m for block in rig.store.blocks("alarms") for m in decode(block.payload).transitions]
    assert move.mono == began + 10 * SECOND


def test_what_tables_add_is_recorded_and_rules_see_it() -> None:
    """An event is enriched before anything is done with it, so the record has what the rule decided on."""
    rig = Rig(rules_on_events("count(on(read.event, granted == false), 60s) >= 1")).settled()
    rig.pipeline.enrich = lambda source, fields: fields | {"granted": False, "status": source}
    rig.pipeline.heard([read(rig, 7, granted=True)])
    assert [event.fields for event in told(rig.store)] == [{"granted": False, "status": "t1/read.event"}]
    assert [record.rule for record in rig.store.appended[0].alarms] == ["R1"]
