"""The engine: order of time, moments, restarts, and the record as its only input."""

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.alarms import AlarmBook, encode
from edge.rules.engine import Engine, in_order
from edge.rules.instance import Verdict
from sitekeeper.data import data_path
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import FormatError
from sitekeeper.model.quality import GOOD
from sitekeeper.model.sample import Sample
from tests.unit.edge.rules.worlds import compiled, lift, rule, samples, thing

PACK = data_path("rules", "lift.yaml").read_text(encoding="utf-8")
STUCK = {"service_mode": "normal", "car_status": "stopped", "door_zone": False, "door_closed": True}


def fresh(yaml: str, device=None, *, now: int = 0) -> Engine:
    return Engine(compiled(yaml, device or thing()), state={}, as_of=None, now=now)


def told(verdicts: list[Verdict]) -> list[tuple[str, str, int]]:
    return [(v.rule, v.kind, v.at) for v in verdicts]


def test_a_moment_is_decided_when_it_is_over():
    """Two samples of one moment, fed apart, never show a state that was not there."""
    engine = fresh(rule("a and b"))
    assert engine.feed(samples(thing(), 100, a=True, b=False)) == []
    assert engine.feed(samples(thing(), 200, b=True), now=200) == []
    assert engine.next_deadline() == 201
    assert engine.feed(samples(thing(), 200, a=False), now=201) == []


def test_a_timer_fires_at_its_own_time_before_a_sample_of_that_time():
    """A verdict carries the time at which it became true, not the time at which the engine was asked."""
    engine = fresh(rule("a", on_delay="1s"))
    engine.feed(samples(thing(), SECOND, a=True))
    assert told(engine.feed(samples(thing(), 2 * SECOND, a=False))) == [("R1", "raise", 2 * SECOND)]
    assert told(engine.advance(9 * SECOND)) == [("R1", "clear", 2 * SECOND)]


def test_timers_fire_in_order_of_time_between_samples():
    """Verdicts of different rules come in the order of their times, however long nobody asked."""
    later = rule("a", on_delay="3s").replace("R1", "A1")
    engine = fresh(later + rule("a", on_delay="2s"))
    engine.feed(samples(thing(), SECOND, a=True))
    assert told(engine.advance(60 * SECOND)) == [("R1", "raise", 3 * SECOND), ("A1", "raise", 4 * SECOND)]


def test_what_arrives_late_counts_from_now():
    """A sample older than what was decided is taken as of now, and `in_order` stamps it so for the record."""
    engine = fresh(rule("a", on_delay="1s"))
    engine.advance(10 * SECOND)
    late = samples(thing(), 4 * SECOND, a=True)
    assert [s.at for s in in_order([*late, *samples(thing(), 11 * SECOND, b=True)], engine.now)] == [
        10 * SECOND,
        11 * SECOND,
    ]
    engine.feed(late)
    assert told(engine.advance(20 * SECOND)) == [("R1", "raise", 11 * SECOND)]


def test_an_uncertain_value_decides_nothing():
    """Anything but good is unknown."""
    device = thing()
    engine = fresh(rule("a"))
    assert engine.feed([Sample(device.points["a"].handle, 5, True, 1 << 6)], now=10) == []


def test_deadlines_do_not_pile_up():
    """A delay restarted two thousand times leaves a bounded heap, and the right deadline."""
    engine = fresh(rule("a", on_delay="7d"))
    for at in range(2_000):
        engine.feed(samples(thing(), at, a=bool(at % 2)))
    assert len(engine._timers._heap) < 100
    engine.advance(2_000)
    assert engine.next_deadline() == 1_999 + 7 * 86_400 * SECOND


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_replay_gives_the_same_transitions_byte_for_byte(data):
    """The recorded samples, fed again in other pieces and with other waits, move the alarms in exactly the same way."""
    device = lift("presence")
    rules = compiled(PACK, device)
    words = st.fixed_dictionaries(
        {},
        optional={
            "car_status": st.sampled_from(["stopped", "running", None]),
            "door_zone": st.sampled_from([False, True, None]),
            "passenger": st.sampled_from([True, False, None]),
            "power": st.sampled_from(["mains", "failed", None]),
            "online": st.booleans(),
        },
    )
    at, recorded = SECOND, samples(device, SECOND, **STUCK, passenger=True, online=True, power="mains")
    for change in data.draw(st.lists(st.tuples(words, st.integers(1, 25)), max_size=12)):
        at += change[1] * SECOND
        recorded += samples(device, at, **change[0])
    end = at + 100 * SECOND

    def replay(cuts: list[int]) -> bytes:
        engine = Engine(rules, state={}, as_of=None, now=0)
        book = AlarmBook("site", "e1")
        verdicts: list[Verdict] = []
        edges = sorted({0, len(recorded), *(cut % (len(recorded) + 1) for cut in cuts)})
        for start, stop in itertools.pairwise(edges):
            verdicts += engine.feed(recorded[start:stop])
            if stop < len(recorded) and cuts[0] % 2:
                verdicts += engine.advance(recorded[stop].at)
        verdicts += engine.advance(end)
        moved = (book.apply(v, 1_000_000 + v.at, number) for number, v in enumerate(verdicts, 1))
        return encode(move for move in moved if move is not None)

    first = replay([0])
    assert len(msgspec.msgpack.decode(first)) >= 0
    for _ in range(3):
        assert replay(data.draw(st.lists(st.integers(0, 200), min_size=1, max_size=8))) == first


def test_a_replay_has_something_to_repeat():
    """The stream of the replay test does raise alarms, so equality there means something."""
    device = lift("presence")
    engine = fresh(PACK, device)
    engine.feed(samples(device, SECOND, **STUCK, passenger=True, online=True, power="mains"))
    assert told(engine.advance(100 * SECOND)) == [("L01", "raise", 31 * SECOND)]


def test_a_restart_in_the_middle_of_the_delay_keeps_evidence_and_time():
    """L01 with its evidence latched goes on where it was: off-time does not count, nothing is forgotten, no L04."""
    device = lift("motion", stuck_for="15s")
    rules = compiled(PACK, device)
    engine = Engine(rules, state={}, as_of=None, now=0)
    engine.feed(samples(device, 1 * SECOND, **{**STUCK, "car_status": "running"}, passenger=False))
    for second in (16, 20, 24):
        engine.feed(samples(device, second * SECOND, passenger=True))
        engine.feed(samples(device, (second + 1) * SECOND, passenger=False))
    engine.feed(samples(device, 26 * SECOND, car_status="stopped"), now=33 * SECOND)
    saved = {key: state for key, state in engine.dirty().items() if state is not None}

    again = Engine(rules, state=saved, as_of=33 * SECOND, now=5 * SECOND)  # another boot, another clock
    assert again.advance(600 * SECOND) == []
    back = samples(device, 600 * SECOND, **STUCK, passenger=False)
    assert told(again.feed(back, now=607 * SECOND)) == []
    assert told(again.advance(900 * SECOND)) == [("L01", "raise", 608 * SECOND)]


def test_without_its_state_a_restart_would_forget():
    """The control of the test above: an engine without the saved state raises L04 and not L01."""
    device = lift("motion", stuck_for="15s")
    engine = fresh(PACK, device, now=5 * SECOND)
    engine.feed(samples(device, 600 * SECOND, **STUCK, passenger=False))
    assert told(engine.advance(900 * SECOND)) == [("L04", "raise", 615 * SECOND)]


def test_only_what_changed_is_saved_again():
    """`dirty` gives the state of an instance once, and again only after it moved."""
    engine = fresh(rule("held(a, 1s)") + rule("held(b, 1s)").replace("R1", "R2"))
    engine.advance(1)
    assert set(engine.dirty()) == {"t1/R1", "t1/R2"}
    assert engine.dirty() == {}
    engine.feed(samples(thing(), 10, a=True), now=11)
    assert set(engine.dirty()) == {"t1/R1"}


def test_another_text_of_a_rule_keeps_only_that_its_alarm_is_active():
    """A changed rule starts anew, but clears the alarm that its old text raised."""
    engine = fresh(rule("a"))
    engine.feed(samples(thing(), 10, a=True), now=20)
    saved = engine.dirty()
    changed = Engine(compiled(rule("a and b"), thing()), state=saved, as_of=20, now=0)
    assert told(changed.feed(samples(thing(), 30, a=True, b=False), now=40)) == [("R1", "clear", 30)]


def test_the_alarm_of_a_rule_that_is_gone_is_cleared():
    """A saved active state without a rule clears its alarm and is forgotten."""
    engine = fresh(rule("a"))
    engine.feed(samples(thing(), 10, a=True), now=20)
    without = Engine(compiled(rule("b").replace("R1", "R2"), thing()), state=engine.dirty(), as_of=20, now=7)
    assert told(without.advance(8)) == [("R1", "clear", 7)]
    assert without.dirty()["t1/R1"] is None
    assert without.resettable("R1", "t1") == (True, True)


def test_a_state_that_cannot_be_read_is_an_error():
    """Bytes that are no state are not silently taken for a fresh start."""
    with pytest.raises(FormatError):
        Engine(compiled(rule("a"), thing()), state={"t1/R1": b"\xc1 nonsense"}, as_of=0, now=0)


def test_a_verdict_tells_inputs_limits_and_reasons():
    """Values with quality, parameters in words, the true sub-expressions, shown points."""
    device = lift("presence", stuck_for="15s", express_allowance="40s")
    engine = fresh(PACK, device)
    engine.feed(samples(device, SECOND, **STUCK, passenger=True, floor=7.0))
    verdict = next(v for v in engine.advance(90 * SECOND) if v.rule == "L01")
    assert verdict.at == 56 * SECOND
    assert verdict.latched
    assert verdict.priority == "P1"
    assert verdict.values["floor"] == (7.0, GOOD)
    assert verdict.values["load"][0] is None
    assert verdict.limits == {"stuck_for": "15s", "express_allowance": "40s", "button_for": "3s"}
    assert "person" in verdict.detail
    assert "calling" not in verdict.detail


def test_a_reset_needs_the_doors_to_have_opened_at_a_landing():
    """L01 may be reset once its condition is false and the doors opened in zone since, even if they closed again."""
    device = lift("presence")
    engine = fresh(PACK, device)
    engine.feed(samples(device, SECOND, **STUCK, passenger=True), now=60 * SECOND)
    assert engine.resettable("L01", "lift-1") == (False, False)
    engine.feed(samples(device, 61 * SECOND, door_zone=True), now=62 * SECOND)
    assert engine.resettable("L01", "lift-1") == (True, False)
    engine.feed(samples(device, 63 * SECOND, door_closed=False), now=64 * SECOND)
    engine.feed(samples(device, 65 * SECOND, door_closed=True), now=66 * SECOND)
    assert engine.resettable("L01", "lift-1") == (True, True)
    engine.feed(samples(device, 67 * SECOND, door_zone=None), now=68 * SECOND)
    assert engine.resettable("L01", "lift-1") == (False, False), "unknown is neither"


def test_levels_rise_and_fall():
    """A level that is reached later and is more severe is told, and so is its end; neither is a new alarm."""
    levels = "[{priority: P3, after: 1s}, {priority: P1, after: 2s, when: b}]"
    device = thing()
    engine = fresh(rule("a", levels=levels))
    engine.feed(samples(device, 1, a=True, b=False))
    engine.feed(samples(device, 3 * SECOND, b=True))
    engine.feed(samples(device, 8 * SECOND, b=False))
    made = engine.feed(samples(device, 9 * SECOND, a=False), now=10 * SECOND)
    assert [(v.kind, v.priority, v.at) for v in made] == [("level", "P3", 8 * SECOND), ("clear", "P3", 9 * SECOND)]


def test_a_note_is_told_once_however_often_inputs_fail():
    """An input that goes bad and comes back under `unless` makes no second note; the end of the condition does."""
    device = thing()
    engine = fresh(rule("a", unless="b"))
    made = engine.feed(samples(device, 1, a=True, b=True), now=2)
    for at, value in ((3, None), (5, True), (7, False), (9, True)):
        made += engine.feed(samples(device, at, a=value), now=at + 1)
    assert told(made) == [("R1", "note", 1), ("R1", "note", 9)]


def test_unless_keeps_a_rule_from_raising_and_no_more():
    """An alarm that is active is not cleared by `unless`, and one that was kept back is raised when it ends."""
    device = thing()
    engine = fresh(rule("a", unless="b"))
    made = engine.feed(samples(device, 1, a=True, b=True), now=2)
    made += engine.feed(samples(device, 3, b=False), now=4)
    made += engine.feed(samples(device, 5, b=True), now=1000)
    made += engine.feed(samples(device, 1001, a=False), now=1002)
    assert told(made) == [("R1", "note", 1), ("R1", "raise", 3), ("R1", "clear", 1001)]


@pytest.mark.parametrize("when", ["not a", "a == false", "not held(a, 0s)", "b and not a"])
def test_a_bad_input_is_unknown_and_not_false(when):
    """A bad sample raises nothing that a false one would raise."""
    device = thing()
    bad_input, false_input = fresh(rule(when)), fresh(rule(when))
    assert bad_input.feed(samples(device, 1, b=True, a=None), now=SECOND) == []
    assert told(false_input.feed(samples(device, 1, b=True, a=False), now=SECOND)) == [("R1", "raise", 1)]


def test_a_state_saved_before_anything_is_heard_is_on_the_new_clock():
    """A second death right after the start takes nothing from the time that was known, and adds nothing."""
    device = thing()
    rules = compiled(rule("held(a, 10s)"), device)
    engine = Engine(rules, state={}, as_of=None, now=0)
    engine.feed(samples(device, 500 * SECOND, a=True), now=504 * SECOND)
    again = Engine(rules, state=engine.dirty(), as_of=504 * SECOND, now=7 * SECOND)
    third = Engine(rules, state=again.dirty(), as_of=7 * SECOND, now=90 * SECOND)
    third.feed(samples(device, 100 * SECOND, a=True))
    assert told(third.advance(200 * SECOND)) == [("R1", "raise", 106 * SECOND)]


def test_a_chain_of_names_that_doubles_costs_nothing():
    """Named expressions that each use the one before twice are built once each, however many there are."""
    names = "{p0: a, " + ", ".join(f"p{n}: p{n - 1} and not (b and p{n - 1})" for n in range(1, 200)) + "}"
    device = thing()
    engine = fresh(rule("p199", let=names))
    assert told(engine.feed(samples(device, 1, a=True, b=False), now=2)) == [("R1", "raise", 1)]
