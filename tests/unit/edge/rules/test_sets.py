"""Conditions over other devices: who is meant, what is shared, what is unknown."""

import pytest

from edge.rules.engine import Engine
from sitekeeper.model.clock import SECOND
from tests.unit.edge.rules.worlds import compiled, event, found_in, rule, samples, thing, things


def asked(when: str, *devices) -> list[str]:
    """Return who is asked by the rule on `t1`."""
    plan = next(plan for plan in compiled(rule(when), *(devices or things())).plans if plan.device.id == "t1")
    return [spec.device.id for specs in plan.sets.values() for spec in specs]


@pytest.mark.parametrize(
    ("scope", "ids"),
    [
        ("site, thing, a", ["t1", "t2", "t3", "t4"]),
        ("zone, thing, a", ["t1", "t2", "t3"]),
        ("link, thing, a", ["t1", "t3", "t4"]),
        ("group('ends'), thing, a", ["t1", "t4"]),
        ("site, thing, a, tag='x'", ["t2", "t4"]),
        ("site, lift, door_zone", []),
    ],
)
def test_a_scope_means_these_devices(scope, ids):
    """The devices of the class in the scope, the rule's own among them."""
    assert asked(f"any_of({scope})") == ids


def test_a_device_without_a_zone_shares_none():
    """Two devices of which nobody said where they are, are not together."""
    rules = compiled(rule("any_of(zone, thing, a)"), *things())
    (plan,) = [plan for plan in rules.plans if plan.device.id == "t4"]
    assert list(plan.sets.values()) == [()]


def test_a_device_that_lacks_the_point_is_left_out_and_listed():
    """The sum is over those that can answer, and the list says who cannot."""
    rules = compiled(rule("all_of(site, thing, b)"), *things())
    assert [(n.rule, n.device, n.needs) for n in rules.not_applicable] == [("R1", "t3", "b")]
    assert asked("all_of(site, thing, b)") == ["t1", "t2", "t4"]


def test_equal_questions_are_answered_once():
    """Four rules that ask four devices make four answers, not sixteen."""
    rules = compiled(rule("any_of(site, thing, a)"), *things())
    engine = Engine(rules, state={}, as_of=None, now=0)
    assert (len(rules.plans), len(engine._sets.members)) == (4, 4)


def test_a_change_that_changes_no_answer_wakes_nobody():
    """Only a device whose own answer moved is told to the rules that ask."""
    engine = Engine(compiled(rule("any_of(site, thing, n > 1)"), *things()), state={}, as_of=None, now=0)
    t2 = things()[1]
    engine.feed(samples(t2, 1, n=2.0), now=2)
    engine.dirty()
    engine.feed(samples(t2, 3, n=3.0), now=4)
    assert engine.dirty() == {}


def test_all_devices_of_one_moment_are_one_step():
    """While one device goes and another comes in the same moment, any_of was never false."""
    device, t2, *_ = site = things()
    engine = Engine(compiled(rule("any_of(zone, thing, a)", on_delay="2s"), *site), state={}, as_of=None, now=0)
    engine.feed(samples(device, 1, a=True) + samples(t2, 1, a=False) + samples(site[2], 1, a=False))
    engine.feed(samples(device, SECOND, a=False))
    found = engine.feed(samples(t2, SECOND, a=True), now=3 * SECOND)
    assert [(v.device, v.at) for v in found] == [(d, 2 * SECOND + 1) for d in ("t1", "t2", "t3")]


def test_timers_of_one_time_are_one_step():
    """Two devices whose own watches end in the same moment are counted together."""
    device, t2, *_ = site = things()
    when = "count_of(group('ends'), thing, held(a, 1s)) == 1 or count_of(zone, thing, held(a, 1s)) == 1"
    engine = Engine(compiled(rule(when), *site), state={}, as_of=None, now=0)
    quiet = [s for spec in site for s in samples(spec, 1, a=False)]
    engine.feed(quiet + samples(device, 5, a=True) + samples(t2, 5, a=True) + samples(site[3], 5, a=True))
    assert engine.advance(5 * SECOND) == []


def test_an_answer_keeps_its_memory_over_a_restart():
    """What a device of a set had held for is not forgotten."""
    site = things()
    rules = compiled(rule("any_of(site, thing, held(a, 10s), tag='y')"), *site)
    engine = Engine(rules, state={}, as_of=None, now=0)
    engine.feed(samples(site[3], 0, a=True), now=8 * SECOND)
    state = {key: saved for key, saved in engine.dirty().items() if saved is not None}
    again = Engine(rules, state=state, as_of=8 * SECOND, now=100 * SECOND)
    again.feed(samples(site[3], 100 * SECOND, a=True))
    assert {v.at for v in again.advance(200 * SECOND)} == {102 * SECOND}


def test_the_memory_of_a_question_that_nobody_asks_any_more_is_forgotten():
    """A saved answer of another version of the rules is no verdict and no error."""
    engine = Engine(compiled(rule("a"), thing()), state={"t4/?0011": b"\x90"}, as_of=0, now=0)
    assert engine.advance(5) == []
    assert engine.dirty()["t4/?0011"] is None


def test_a_count_is_known_as_soon_as_the_unknown_cannot_change_it():
    """Two of four are known to be true: more than one is true, more than three is false only once two are not."""
    site = things()
    engine = Engine(compiled(rule("count_of(site, thing, a) > 3"), *site), state={}, as_of=None, now=0)
    instance = engine._instances[0]
    engine.feed([s for spec in site[:2] for s in samples(spec, 1, a=True)], now=2)
    assert instance.decision.when.value is None
    engine.feed(samples(site[2], 3, a=False), now=4)
    assert instance.decision.when.value is False


def test_an_event_of_another_device_is_heard():
    """Sets may ask for events as well as for states."""
    site = things()
    engine = Engine(compiled(rule("any_of(zone, thing, within(on(ev, f), 1s))"), *site), state={}, as_of=None, now=0)
    assert {v.device for v in engine.feed([event("ev", 5, device="t2", f=True)])} == {"t1", "t2", "t3"}


def test_a_rule_may_apply_once_in_a_zone():
    """`once: zone` is the first device of each zone; one without a zone has none."""
    rules = compiled(rule("any_of(zone, thing, a)", once="zone"), *things())
    assert [plan.device.id for plan in rules.plans] == ["t1"]


@pytest.mark.parametrize(
    ("when", "at", "code", "near"),
    [
        ("any_of(zonne, thing, a)", 7, "unknown-scope", "zone"),
        ("any_of(group('endz'), thing, a)", 13, "unknown-group", "ends"),
        ("any_of(group(a), thing, a)", 13, "text-wanted", ""),
        ("any_of(site, thign, a)", 13, "unknown-class", "thing"),
        ("any_of(site, thing, aa)", 20, "unknown-name", ""),
        ("any_of(site, thing, n)", 20, "types-differ", ""),
        ("any_of(site, thing)", 0, "argument-missing", ""),
        ("any_of(site, thing, a, tagg='x')", 28, "argument-unknown", ""),
        ("any_of(site, thing, a, tag=a)", 27, "text-wanted", ""),
        ("any_of(site, thing, any_of(site, thing, a))", 20, "set-here", ""),
        ("count_of(site, thing, a)", 0, "types-differ", ""),
    ],
)
def test_a_mistake_about_a_set_is_found_at_its_place(when, at, code, near):
    """The code, the column and what was probably meant."""
    faults = found_in(rule(when), *things())
    assert [(fault.code, fault.column) for fault in faults] == [(f"rule-{code}", 10 + at)]
    assert near in faults[0].hint
