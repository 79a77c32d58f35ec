"""Points of other devices, the equipment record and windows: what is refused, and what a device lacks."""

from dataclasses import replace

import pytest

from edge.rules.engine import Engine
from edge.rules.rule import Setting
from sitekeeper.faults import Place
from sitekeeper.model.clock import MS, SECOND
from tests.unit.edge.rules.worlds import compiled, event, found_in, gateway, rule, samples, thing, things


@pytest.mark.parametrize(
    ("when", "code"),
    [
        ("asset('colour') > 1", "bad-asset"),
        ("asset(floors) > 1", "text-wanted"),
        ("asset('rated_speed') > n", "types-differ"),
        ("schedule('Night')", "unknown-schedule"),
        ("schedule(n)", "text-wanted"),
        ("schedule(number)", "text-wanted"),
        ("sun('down')", "unknown-member"),
        ("holiday('x')", "argument-extra"),
        ("sun()", "argument-missing"),
        ("point('t9/a')", "unknown-point"),
        ("point('t1/none')", "unknown-point"),
        ("point('gateway/none')", "unknown-point"),
        ("point('t1/n') == 'x'", "types-differ"),
        ("mean(n, 25h) > 1", "window-too-long"),
        ("mean(n, 0s) > 1", "window-too-long"),
        ("mean(n, secs) > 1", "wrong-type"),
        ("mean(a, 1s)", "wrong-type"),
        ("mean(n, 1s) > secs", "types-differ"),
        ("median(on(ev), f, 3)", "unknown-name"),
        ("median(on(ev), g, 2) > 1", "window-too-long"),
        ("median(on(ev), g, number) > 1", "window-too-long"),
        ("median(rose(a), g, 3) > 1", "wrong-type"),
        ("within(sequence(rose(a), within=3s), 1s)", "argument-missing"),
        ("within(sequence(rose(a), rose(b)), 1s)", "argument-missing"),
        ("within(sequence(rose(a), b, within=3s), 1s)", "wrong-type"),
        ("within(sequence(rose(a), rose(b), within=2d), 1s)", "window-too-long"),
        ("within(on(ev, mean(g, 1s) > 1), 1s)", "field-in-time"),
        ("baseline(n, by=secs, step=n, learn=a, settle=1s, least=2) > 1", "not-constant"),
        ("baseline(n, by=secs, step=1, learn=a, settle=1s) > 1", "argument-missing"),
        ("any_of(route, thing, a)", "unknown-scope"),
    ],
)
def test_what_does_not_fit_is_refused(when, code):
    """Each with its own code; the device is there, so a point that it lacks is a mistake and no lack."""
    faults = found_in(rule(when, params="{number: 5}"), thing(), gateway())
    assert [fault.code for fault in faults] == [f"rule-{code}"]


@pytest.mark.parametrize(
    ("when", "needs"),
    [
        ("schedule('none')", "gateway/schedule.none"),
        ("a and sun('light')", "gateway/sun.light"),
        ("point('gateway/table.cards.age') > 60", "gateway/table.cards.age"),
        ("n > 2 or asset('rated_speed') > 1", "asset.rated_speed"),
        ("median(on(gone.ev), h, 3) > 1", "gone.ev"),
        ("optional(schedule('none'), gone)", "gone"),
    ],
)
def test_what_a_site_lacks_makes_a_rule_not_applicable(when, needs):
    """A pack may speak of schedules, tables and records that a site does not have."""
    rules = compiled(rule(when), thing(), gateway())
    assert ([plan.device.id for plan in rules.plans], [n.needs for n in rules.not_applicable]) == ([], [needs])


def test_the_gateways_points_are_typed_without_its_class():
    """Schedules, the sun and tables are of known types; what a class says of the others is known where it is."""
    device = thing()
    when = "schedule('night') and sun('up') and not holiday()"
    engine = Engine(compiled(rule(when), device, gateway()), state={}, as_of=None, now=0)
    own = {"schedule.night": True, "sun.up": True, "holiday": False}
    (verdict,) = engine.feed(samples(gateway(), 5, **own), now=6)
    assert (verdict.device, verdict.kind) == ("t1", "raise")
    assert verdict.values["gateway/sun.up"] == (True, 0)


def test_each_device_hears_the_schedule_that_its_parameter_names():
    """A text parameter may be set at each device; both share the rule."""
    first, second, *_ = things()
    own = {"R1": {"plan": Setting("day", Place("site.yaml"))}}
    devices = [first, replace(second, settings=own), gateway()]
    engine = Engine(compiled(rule("schedule(plan)", params="{plan: night}"), *devices), state={}, as_of=None, now=0)
    found = engine.feed(samples(devices[2], 5, **{"schedule.night": False, "schedule.day": True}), now=6)
    assert [verdict.device for verdict in found] == ["t2"]


def test_a_mean_of_very_many_values_keeps_its_integral():
    """600 values in the window are remembered as at most 513 pieces, and their mean is still 99.5 and no more."""
    device = thing()
    engine = Engine(compiled(rule("mean(n, 600ms) > 99.5"), device), state={}, as_of=None, now=0)
    for tick in range(600):
        engine.feed(samples(device, tick * MS, n=float(tick % 200)))
    assert engine.feed([], now=599 * MS + 999) == []
    saved = engine.dirty()["t1/R1"]
    assert saved is not None
    assert len(saved) < 16_000
    assert engine.feed([], now=600 * MS + 1) == []
    (verdict,) = engine.feed(samples(device, 601 * MS, n=200.0), now=610 * MS)
    assert (verdict.kind, verdict.at) == ("raise", 601 * MS)


def test_a_window_that_a_site_sets_too_long_is_held_to_a_day():
    """A parameter is not bounded when it is read, so the window itself is."""
    device = thing(R1={"span": "48h"})
    engine = Engine(compiled(rule("mean(n, span) > 1", params="{span: 1s}"), device), state={}, as_of=None, now=0)
    engine.feed(samples(device, 0, n=2.0))
    found = engine.feed([], now=86_400 * SECOND)
    assert [(v.kind, v.at) for v in found] == [("raise", 86_400 * SECOND)]


def test_a_median_survives_a_restart():
    """Events that were heard before it count."""
    device = thing()
    rules = compiled(rule("median(on(ev), g, 3) > 1"), device)
    engine = Engine(rules, state={}, as_of=None, now=0)
    engine.feed([event("ev", 1, g=2), event("ev", 2, g=1)], now=3)
    state = {key: saved for key, saved in engine.dirty().items() if saved is not None}
    again = Engine(rules, state=state, as_of=3, now=100)
    assert [v.kind for v in again.feed([event("ev", 105, g=2)], now=106)] == ["raise"]


def test_a_sequence_goes_on_after_a_restart_on_an_earlier_clock():
    """The monotonic clock begins again when the machine does; what comes then comes later all the same."""
    device = thing()
    rules = compiled(rule("within(sequence(on(ev, f), on(ev, not f), within=9s), 1s)"), device)
    engine = Engine(rules, state={}, as_of=None, now=100 * SECOND)
    engine.feed([event("ev", 101 * SECOND, f=True)], now=102 * SECOND)
    state = {key: saved for key, saved in engine.dirty().items() if saved is not None}
    again = Engine(rules, state=state, as_of=102 * SECOND, now=SECOND)
    assert [v.kind for v in again.feed([event("ev", 2 * SECOND, f=False)])] == ["raise"]
