"""Events in rules: none is lost, none counts twice, late ones count and start nothing."""

import pytest

from edge.rules.engine import Engine
from edge.rules.instance import Verdict
from sitekeeper.model.clock import SECOND
from tests.unit.edge.rules.worlds import compiled, event, found_in, rule, samples, thing


def fresh(yaml: str) -> Engine:
    return Engine(compiled(yaml, thing()), state={}, as_of=None, now=0)


def told(verdicts: list[Verdict]) -> list[tuple[str, int]]:
    return [(v.kind, v.at) for v in verdicts]


def test_two_events_of_one_time_are_two():
    """Even where the stamps are equal, each event is a moment of its own."""
    engine = fresh(rule("count(on(ev, f), 10s) >= 2"))
    assert told(engine.feed([event("ev", 5, f=True), event("ev", 5, f=True)])) == [("raise", 5)]


def test_an_event_is_decided_at_once():
    """Nobody waits for the moment to be over: what the event decides is returned by the call that brings it."""
    engine = fresh(rule("within(on(ev, f), 1s)"))
    assert told(engine.feed([event("ev", 5, f=True)])) == [("raise", 5)]


def test_what_is_of_the_same_time_comes_before_the_event():
    """Samples in front of an event are in force when its condition is judged, those behind it are not."""
    engine = fresh(rule("within(on(ev, a), 1s)"))
    before, after = samples(thing(), 5, a=False), samples(thing(), 5, a=True)
    assert told(engine.feed([*before, event("ev", 5), *after], now=10)) == []
    assert told(engine.feed([event("ev", 20)])) == [("raise", 20)]


@pytest.mark.parametrize("fields", [{}, {"f": None}, {"f": "yes"}, {"f": 1}])
def test_an_event_of_which_the_condition_is_not_known_does_not_count(fields):
    """A field that is missing, or not of its type, is unknown."""
    engine = fresh(rule("within(on(ev, f), 1s)"))
    assert engine.feed([event("ev", 5, **fields)], now=10) == []


def test_the_event_of_another_device_or_name_is_not_heard():
    """An event has one device and one name."""
    engine = fresh(rule("within(on(ev), 1s)"))
    assert engine.feed([event("ev", 5, device="t2"), event("other", 6)], now=10) == []


def test_a_late_event_counts_and_starts_no_delay():
    """It raises what needs no waiting; a delay starts only when the condition becomes true anew."""
    counted = fresh(rule("count(on(ev), 10s) >= 1"))
    assert told(counted.feed([event("ev", 5, late=True)])) == [("raise", 5)]
    delayed = fresh(rule("count(on(ev), 10s) >= 1", on_delay="2s"))
    held = fresh(rule("held(count(on(ev), 10s) >= 1, 2s)"))
    for engine in (delayed, held):
        assert engine.feed([event("ev", 5, late=True), event("ev", SECOND)], now=12 * SECOND) == []
        assert told(engine.feed([event("ev", 20 * SECOND)], now=25 * SECOND)) == [("raise", 22 * SECOND)]


def test_a_late_event_does_not_stop_a_delay_that_runs():
    """A watch that was started by something else goes on."""
    engine = fresh(rule("count(on(ev), 10s) >= 1", on_delay="2s"))
    assert told(engine.feed([event("ev", 0), event("ev", SECOND, late=True)], now=9 * SECOND)) == [
        ("raise", 2 * SECOND)
    ]


def test_a_rule_may_ask_whether_an_event_is_late():
    """Every event has the field `late`."""
    engine = fresh(rule("within(on(ev, not late), 1s)"))
    assert engine.feed([event("ev", 5, late=True)], now=10) == []
    assert told(engine.feed([event("ev", 20)])) == [("raise", 20)]


def test_a_latch_does_not_take_a_late_event():
    """What holds for good begins with something that is happening."""
    engine = fresh(rule("latch(set=on(ev), reset=a)"))
    engine.feed(samples(thing(), 1, a=False))
    assert engine.feed([event("ev", 5, late=True)], now=10) == []
    assert told(engine.feed([event("ev", 20)])) == [("raise", 20)]


def test_an_event_inside_the_condition_of_an_event_has_its_own_fields():
    """`f` is of the inner event here, so an operator with a memory may look back on that event."""
    engine = fresh(rule("within(on(ev, not f and within(on(ev, f), 1s)), 1s)"))
    assert engine.feed([event("ev", 5, f=False)], now=10) == []
    assert told(engine.feed([event("ev", 20, f=True), event("ev", 30, f=False)])) == [("raise", 30)]


def test_only_an_accepted_command_on_that_point_is_one():
    """`cmd(point)` hears the gateway's own event."""
    engine = fresh(rule("within(cmd(a), 1s)"))
    wrong = [{"point": "b", "outcome": "accepted"}, {"point": "a", "outcome": "refused"}, {"point": "a"}]
    assert engine.feed([event("command", 5 + n, **fields) for n, fields in enumerate(wrong)], now=10) == []
    assert told(engine.feed([event("command", 20, point="a", outcome="accepted")])) == [("raise", 20)]


def test_counts_and_bars_survive_a_restart():
    """What was counted stays counted, and a delay that a late event may not start does not start afterwards either."""
    rules = compiled(rule("count(on(ev), 60s) >= 2", on_delay="2s"), thing())
    engine = Engine(rules, state={}, as_of=None, now=0)
    engine.feed([event("ev", 5), event("ev", 6, late=True)], now=SECOND)
    state = {key: saved for key, saved in engine.dirty().items() if saved is not None}
    again = Engine(rules, state=state, as_of=SECOND, now=SECOND)
    assert again.advance(40 * SECOND) == []


def test_a_device_without_the_event_is_not_applicable_unless_the_rule_says_otherwise():
    """An event is needed like a point; `default` and `optional` do without it."""
    rules = compiled(rule("within(on(gone.ev, f), 1s)"), thing())
    assert [(n.device, n.needs) for n in rules.not_applicable] == [("t1", "gone.ev")]
    assert len(compiled(rule("optional(within(on(gone.ev, f), 1s), a)"), thing()).plans) == 1


@pytest.mark.parametrize(
    ("when", "at", "code", "near"),
    [
        ("within(on(evv, f), 1s)", 10, "unknown-event", "ev"),
        ("within(on(ev, ff), 1s)", 14, "unknown-name", "f"),
        ("within(on(ev, g), 1s)", 14, "types-differ", ""),
        ("within(on(ev, held(f, 1s)), 1s)", 19, "field-in-time", ""),
        ("on(ev, f)", 0, "types-differ", ""),
        ("held(on(ev, f), 1s)", 5, "wrong-type", ""),
        ("within(on(), 1s)", 7, "argument-missing", ""),
        ("within(on(ev, f, f), 1s)", 17, "argument-extra", ""),
        ("within(cmd(aa), 1s)", 11, "unknown-name", ""),
        ("tagged(a)", 7, "text-wanted", ""),
        ("witin(on(ev), 1s)", 0, "unknown-operator", "within"),
    ],
)
def test_a_mistake_about_an_event_is_found_at_its_place(when, at, code, near):
    """The code, the column and what was probably meant."""
    (fault,) = found_in(rule(when), thing())
    assert (fault.code, fault.column) == (f"rule-{code}", 10 + at)
    assert near in fault.hint
