"""How a rule stands is told piece by piece, with what each waits for; looking disturbs nothing."""

import pytest

from edge.cli.explain import _lasting, lines
from edge.operations.rules import _part, _wait
from edge.rules.compiling import compile_rules
from edge.rules.engine import Engine
from edge.rules.explaining import Explained, Part, explain
from edge.rules.packs import load, shipped_classes, shipped_events
from sitekeeper.faults import Faults, Place
from sitekeeper.model.clock import SECOND
from sitekeeper.model.quality import Reason, bad
from tests.unit.edge.rules.worlds import compiled, event, lift, rule, samples, thing, things


def at_work(when: str, *others, fed=(), now: int = 0, **more) -> tuple[Engine, Explained]:
    """Run one rule on the thing up to `now`; return the engine and how the rule stands."""
    engine = Engine(compiled(rule(when, **more), thing(), *others), state={}, as_of=None, now=0)
    engine.feed(list(fed), now=now + 1)
    instance = engine.instance("R1", "t1")
    assert instance is not None
    return engine, explain(instance, now)


def texts(part: Part) -> list[tuple[str, object]]:
    return [(part.text, part.value), *(row for child in part.children for row in texts(child))]


def every(part: Part) -> list[Part]:
    return [part, *(one for child in part.children for one in every(child))]


def find(part: Part, text: str) -> Part:
    return next(one for one in every(part) if one.text == text)


def test_every_piece_has_its_value_and_what_it_waits_for():
    """Terms, points with their quality, a `held` half way, and a named expression by its name."""
    fed = [*samples(thing(), 0, a=True, b=None), *samples(thing(), 2 * SECOND, n=3.0)]
    let = "{far: n > 2}"
    _, found = at_work("held(a, 5s) and far and not b", fed=fed, now=3 * SECOND, let=let)
    assert texts(found.when) == [
        ("held(a, 5s) and far and not b", False), ("held(a, 5s)", False), ("a", True),
        ("far", True), ("n > 2", True), ("n", 3.0), ("not b", None), ("b", None),
    ]  # fmt: skip
    held = found.when.children[0]
    assert held.wait is not None
    assert (held.wait.shown, held.wait.of, held.wait.due) == (3 * SECOND, 5 * SECOND, 5 * SECOND)
    assert find(found.when, "b").q == bad(Reason.COMM)
    assert (found.state, found.priority) == ("idle", "P2")


def test_levels_tell_how_long_they_still_wait():
    """A rule that waits says for which level, and how far that is; one that is active what it waits for to be over."""
    levels = "[{priority: P3, after: 4s}, {priority: P1, after: 9s, when: b}]"
    fed = samples(thing(), 0, a=True, b=False)
    _, waiting = at_work("a", fed=fed, now=SECOND, levels=levels)
    assert [(one.priority, one.wait.shown, one.wait.due) for one in waiting.levels] == [
        ("P1", 0, None), ("P3", SECOND, 4 * SECOND)
    ]  # fmt: skip
    assert (waiting.state, waiting.levels[0].when and waiting.levels[0].when.text) == ("waiting", "b")
    over = [*fed, *samples(thing(), 6 * SECOND, a=False)]
    _, active = at_work("a", fed=over, now=7 * SECOND, levels=levels, off_delay="10s")
    assert (active.state, active.priority) == ("active", "P3")
    assert active.off is not None
    assert (active.off.shown, active.off.due) == (SECOND, 16 * SECOND)


def test_sets_say_how_many_and_operators_what_they_have_seen():
    """Devices true, false and unknown; events counted; steps of a sequence; what is learned."""
    a_set = "any_of(site, thing, b)"
    fed = [*samples(things()[0], 0, b=False), *samples(things()[1], 0, b=True)]
    _, found = at_work(f"{a_set} and a", *things()[1:], fed=fed, now=SECOND)
    assert found.when.children[0].tally == (1, 1, 1)
    assert [child.text for child in found.when.children] == [a_set, "a"]
    assert found.when.children[0].children == ()
    told = [event("ev", 1, f=True), event("ev", 5, f=True), event("ev", 9, f=False)]
    _, found = at_work("count(on(ev, f), 9s) >= 3", fed=told, now=SECOND)
    counted = found.when.children[0]
    assert (counted.seen, counted.value, counted.again) == (2, 2, 9 * SECOND + 1)
    _, found = at_work("within(sequence(on(ev, f), rose(a), within=9s), 1s)", fed=told[:1], now=SECOND)
    assert found.when.children[0].seen == 1
    _, found = at_work("mean(n, 8s) > 1", fed=samples(thing(), 0, n=3.0), now=6 * SECOND)
    window = found.when.children[0].wait
    assert window is not None
    assert (window.shown, window.of, window.due) == (6 * SECOND, 8 * SECOND, 8 * SECOND)


def test_what_a_device_lacks_is_left_out():
    """The v of an `optional` stands there, and what was never built has no line."""
    _, found = at_work("optional(gone, false) or a", fed=samples(thing(), 0, a=False), now=1)
    assert texts(found.when) == [
        ("optional(gone, false) or a", False), ("a", False)
    ]  # fmt: skip


def test_looking_changes_nothing():
    """The engine decides and saves the same with and without a look at every step."""
    when, fed = (
        "held(a, 2s) and count(rose(b), 9s) < 3",
        [samples(thing(), n * SECOND, a=n % 5 > 0, b=n % 2 > 0) for n in range(20)],
    )
    rules = compiled(rule(when), thing())
    looked, alone = (Engine(rules, state={}, as_of=None, now=0) for _ in range(2))
    for one in fed:
        instance = looked.instance("R1", "t1")
        assert instance is not None
        explain(instance, looked.now)
        assert looked.feed(one) == alone.feed(one)
        assert looked.dirty() == alone.dirty()


def test_a_rule_forgets_what_it_has_learned():
    """Its bins are empty, its value is unknown, and that is saved; a rule that learns nothing says so."""
    when = "n < 0.5 * baseline(n, by=secs, step=1, learn=a, settle=1s, least=2)"
    fed = [*samples(thing(), 0, a=True, secs=0.0, n=4.0), *samples(thing(), 5 * SECOND, b=True)]
    engine, found = at_work(when, fed=fed, now=5 * SECOND)
    learned = find(found.when, "baseline(n, by=secs, step=1, learn=a, settle=1s, least=2)")
    assert (learned.seen, learned.value) == (5, 4.0)
    before = engine.dirty()
    assert engine.forget("R1", "t1")
    engine.advance(engine.now + 2)
    instance = engine.instance("R1", "t1")
    assert instance is not None
    again = find(explain(instance, engine.now).when, learned.text)
    assert (again.seen, again.value) == (0, None)
    saved = engine.dirty()
    assert saved.keys() == {"t1/R1"}
    assert saved != before
    assert engine.feed(samples(thing(), 9 * SECOND, n=1.0)) == []
    assert not at_work("a")[0].forget("R1", "t1")
    assert not engine.forget("R1", "t9")


@pytest.mark.parametrize("lang", ["en", "zh-Hant", "zh-Hans"])
def test_it_is_told_in_words(lang):
    """Each state, wait and note has its words; what only runs is no news for a watch."""
    fed = [*samples(thing(), 0, a=True, b=None)]
    _, found = at_work("held(a, 5s) and not b", fed=fed, now=3 * SECOND, unless="speed > 3", on_delay="9s")
    now = 3 * SECOND
    item = {
        "rule": "R1", "device": "t1", "state": found.state, "alarm": "B", "priority": "P2", "mode": "watch",
        "veiled": ["g/GW20"], "limits": dict(found.limits), "off": _wait(found.levels[0].wait, now),
        "levels": [{"priority": "P2", "wait": _wait(found.levels[0].wait, now), "when": None}],
        "when": _part(found.when, now), "unless": found.unless and _part(found.unless, now), "reset": None,
    }  # fmt: skip
    told = list(lines(item, lang))
    assert len(told) == 16
    assert not [line for line in told if "{" in line or "cli." in line]
    if lang == "en":
        assert told[0] == "R1 on t1: quiet"
        assert "    false  held(a, 5s) and not b" in told
        assert "      false  held(a, 5s)  (3 s of 5 s, in 2 s)" in told
        assert "        unknown  b  (bad comm)" in told
    later = {**item, "levels": [{**item["levels"][0], "wait": {"shown_s": 4, "of_s": 9, "due_in_s": 5}}]}
    assert _lasting(later) == _lasting(item)
    assert _lasting({**item, "alarm": "A"}) != _lasting(item)


def test_every_rule_of_a_shipped_pack_can_be_explained():
    """On a lift that has everything, before anything was heard."""
    device, faults = lift(), Faults()
    shipped = load([("lift", Place("t", 1, 1))], faults)
    rules = compile_rules(shipped, shipped_classes(), [device], {}, faults, events=shipped_events())
    engine = Engine(rules, state={}, as_of=None, now=0)
    for plan in rules.plans:
        instance = engine.instance(plan.rule.id, device.id)
        assert instance is not None
        found = explain(instance, 0)
        assert found.state == "idle"
        assert [one.text for one in every(found.when) if one.q is not None or one.tally is not None] != []
    assert len(rules.plans) > 15
