"""The engine decides what the slow reference decides, whatever comes: bad inputs, events, restarts, other devices."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.rules.compiling import Rules
from edge.rules.engine import Engine
from edge.rules.rule import DeviceSpec
from sitekeeper.data import data_path
from sitekeeper.model.clock import MS, SECOND
from tests.reference_evaluator import Change, Member, Reference, Told, moments
from tests.unit.edge.rules.worlds import GROUPS, compiled, event, lift, rule, said, samples, thing, things

CLOCK_JUMP = 7_777_777
"""What the monotonic clock of the next start has gained when the gateway comes back."""


Texts = dict[str, dict[str, Any]]
"""What the rules say, by id."""


@dataclass(frozen=True)
class Step:
    """What happens at a tick. `split` feeds its samples in two calls; `wait` lets time pass first, on its own."""

    change: Change
    split: bool
    wait: bool


def play(
    rules: Rules, device: DeviceSpec, steps: list[Step], end: int, *others: DeviceSpec
) -> list[tuple[str, int, str, str]]:
    """Run the engine through the steps; a restart saves, forgets and starts on another clock. Times are one axis."""
    site = {spec.id: spec for spec in others}
    state: dict[str, bytes] = {}
    offset = 0
    engine = Engine(rules, state=state, as_of=None, now=0)
    out: list[tuple[str, int, str, str]] = []

    def take(verdicts: Any) -> None:
        out.extend((v.rule, v.at - offset, v.kind, v.priority) for v in verdicts if v.device == device.id)

    def keep() -> None:
        state.update({key: saved for key, saved in engine.dirty().items() if saved is not None})

    for step in steps:
        at = step.change.at + offset
        if step.wait or step.change.restart:
            take(engine.advance(at))
            keep()
        if step.change.restart:
            offset += CLOCK_JUMP
            engine = Engine(rules, state=dict(state), as_of=at, now=at + CLOCK_JUMP)
            continue
        fed: list[Any] = []
        for name, value in step.change.values.items():
            owner, _, inside = name.rpartition("/")
            fed += samples(site.get(owner, device), at, **{inside: value})
        for told in step.change.events:
            owner, _, inside = told.name.rpartition("/")
            fed.append(event(inside, at, device=owner or device.id, late=told.late, **told.fields))
        for part in (fed[:1], fed[1:]) if step.split else (fed,):
            take(engine.feed(part))
        keep()
    take(engine.advance(end + offset))
    return sorted(out)


def expected(
    texts: Texts, rules: Rules, device: DeviceSpec, steps: list[Step], tick: int, end: int, *others: DeviceSpec
) -> list[tuple[str, int, str, str]]:
    far = {point.id for spec in others if spec.cls == "gateway" for point in spec.points.values()}
    site = {spec.id: _member(spec, far) for spec in (device, *others)}
    history = moments([step.change for step in steps], tick, end)
    kinds = {name: point.kind for name, point in device.points.items()}
    out: list[tuple[str, int, str, str]] = []
    for plan in rules.plans:
        if plan.device.id != device.id:
            continue
        given_params = {name: setting.value for name, setting in device.settings.get(plan.rule.id, {}).items()}
        reference = Reference(
            texts[plan.rule.id], set(plan.device.points), kinds, given_params, set(device.events), site,
            device.id, dict(device.asset),
        )  # fmt: skip
        out += [(plan.rule.id, at, kind, priority) for at, kind, priority in reference.verdicts(history)]
    return sorted(out)


def _member(spec: DeviceSpec, far: set[str]) -> Member:
    groups = tuple(name for name, ids in GROUPS.items() if spec.id in ids)
    return Member({*spec.points, *far}, set(spec.events), spec.zone, spec.link, spec.tags, groups, spec.via)


# --- any expression, on a small device, one tick a millisecond

DURATION = st.integers(0, 5).map("{}ms".format)
WINDOW = st.integers(1, 5).map("{}ms".format)
"""A window of no length holds an event for the one moment of it, and whether that is seen depends on the evaluator."""
EVENT_OF = ("rose({0})", "changed(n)", "changed(m)", "on(ev, {0})", "on(ev, f and ({0}))", "on(ev)", "cmd(a)",
            "on(ev, g > 1 and not late)")  # fmt: skip
LEAVES = ("a", "b", "sensor", "n > 1", "m == 'x'", "m in ('x', 'y')", "stale(device)", "n / n == 1", "-n < -1",
          "default(gone, false)", "default(a, true)", "default(rose(gone) and true, b)", "optional(gone, a)",
          "optional(b, gone)", "default(within(on(gone.ev, f), 1ms), b)", "tagged('own')", "tagged('x')")  # fmt: skip
SHAPES = (
    "held({0}, secs)", "latch(set={e}, reset={0})", "held(within({e}, {w}), 2ms)",
    "not ({0})", "({0}) and ({1})", "({0}) or ({1})", "({0}) if ({1}) else ({2})", "held({0}, {d})", "last({0})",
    "latch(set={0}, reset={1})", "default({0}, {1})", "within({e}, {w})", "count({e}, {w}) >= 2",
    "count({e}, {w}, reset={1}) >= 1", "({0}) and not ({1}) or held({2}, {d})",
)  # fmt: skip


@st.composite
def conditions(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from([leaf for leaf in LEAVES if "rose(gone)" not in leaf]))
    inner = [draw(conditions(depth - 1)) for _ in range(3)]
    event = draw(st.sampled_from(EVENT_OF)).format(inner[0])
    return draw(st.sampled_from(SHAPES)).format(*inner, d=draw(DURATION), w=draw(WINDOW), e=event)


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "a": st.sampled_from([True, False, None]),
        "b": st.sampled_from([True, False, None]),
        "sensor": st.sampled_from([True, False, None]),
        "n": st.sampled_from([0.0, 1.0, 2.0, 3.0, None]),
        "m": st.sampled_from(["x", "y", "z", None]),
        "secs": st.sampled_from([0.0, 0.002, 0.003, None]),
        "online": st.booleans(),
    },
)
FIELDS = st.fixed_dictionaries({}, optional={"f": st.booleans(), "g": st.sampled_from([1, 2])})
EVENTS = st.one_of(
    st.builds(Told, st.just("ev"), FIELDS, st.booleans()),
    st.just(Told("command", {"point": "a", "outcome": "accepted"})),
    st.just(Told("command", {"point": "a", "outcome": "refused"})),
)


@st.composite
def streams(
    draw: st.DrawFn,
    values: st.SearchStrategy[dict[str, Any]],
    tick: int,
    most: int,
    gap: int,
    events: st.SearchStrategy[Told] | None = None,
) -> list[Step]:
    at, steps = 0, []
    for _ in range(draw(st.integers(1, most))):
        at += tick * draw(st.integers(1, gap))
        restart = draw(st.integers(0, 5)) == 0
        told = () if restart or events is None else tuple(draw(st.lists(events, max_size=2)))
        change = Change(at, {} if restart else draw(values), restart, told)
        steps.append(Step(change, draw(st.booleans()), draw(st.booleans())))
    return steps


DIRECTED = (
    "held(a, 3ms)", "held(held(a, 2ms) or b, 3ms)", "last(a)", "default(last(a), b)", "latch(set=a, reset=b)",
    "within(changed(m), 3ms)", "count(rose(a), 4ms) >= 2", "count(changed(n), 5ms, reset=b) >= 1", "stale(device)",
    "within(on(ev, f), 3ms)", "count(on(ev), 4ms) >= 2", "count(on(ev, f and a), 5ms, reset=b) >= 1",
    "latch(set=on(ev, f), reset=b)", "held(within(on(ev), 4ms), 2ms)", "within(cmd(a), 2ms)",
    "held(a, secs)", "optional(held(gone, 2ms), held(a, 2ms))",
)  # fmt: skip
SETS = (
    "any_of(site, thing, a)", "all_of(zone, thing, b)", "count_of(site, thing, a) >= 2", "2 > count_of(link, thing, a)",
    "count_of(site, thing, a) == 1", "count_of(site, thing, a) != 1", "any_of(site, thing, held(a, 2ms), tag='x')",
    "count_of(site, thing, a) > 0.5 * count_of(site, thing, true)", "all_of(group('ends'), thing, a or sensor)",
    "any_of(zone, thing, within(on(ev, f), 2ms))", "held(any_of(zone, thing, b) and not a, 3ms)",
    "any_of(site, thing, held(within(on(ev), 3ms), 2ms))", "count_of(zone, thing, a) + 1 > 2",
    "within(on(ev, any_of(site, thing, a)), 2ms)", "latch(set=on(ev, f), reset=any_of(site, thing, b, tag='y'))",
)  # fmt: skip
SITE_VALUES = st.fixed_dictionaries(
    {},
    optional={
        f"{device}{name}": st.sampled_from([True, False, None])
        for device, names in (("", "ab"), ("t2/", "ab"), ("t3/", "a"), ("t4/", "ab"))
        for name in names
    },
)
SITE_EVENTS = st.builds(Told, st.sampled_from(["ev", "t2/ev", "t3/ev"]), FIELDS, st.booleans())


@pytest.mark.parametrize("when", DIRECTED)
@settings(max_examples=15, deadline=None)
@given(delay=DURATION, unless=st.sampled_from([None, "sensor"]), steps=streams(VALUES, MS, 14, 3, EVENTS))
def test_each_operator_equals_the_reference(when, delay, unless, steps):
    """Each operator by itself, on any stream: what it keeps over a bad input and over a restart is what it should."""
    more = {"on_delay": delay} | ({"unless": unless} if unless else {})
    device = thing()
    text = rule(when, **more)
    rules = compiled(text, device)
    end = steps[-1].change.at + 8 * MS
    assert play(rules, device, steps, end) == expected(said(text), rules, device, steps, MS, end)


@pytest.mark.parametrize("when", SETS)
@settings(max_examples=10, deadline=None)
@given(delay=DURATION, steps=streams(SITE_VALUES, MS, 12, 3, SITE_EVENTS))
def test_each_set_equals_the_reference(when, delay, steps):
    """Conditions over other devices, whatever those do: unknown members, events, timers of their own, restarts."""
    device, *others = things()
    text = rule(when, on_delay=delay)
    rules = compiled(text, device, *others)
    end = steps[-1].change.at + 8 * MS
    assert play(rules, device, steps, end, *others) == expected(said(text), rules, device, steps, MS, end, *others)


@settings(max_examples=100, deadline=None)
@given(
    when=conditions(),
    unless=st.none() | conditions(1),
    narrow=st.none() | conditions(1),
    delays=st.tuples(DURATION, DURATION, DURATION),
    steps=streams(VALUES, MS, 14, 4, EVENTS),
)
def test_the_engine_equals_the_reference(when, unless, narrow, delays, steps):
    """Any rule on any stream of good and bad samples, waits and restarts decides what the reference decides."""
    levels = [f"{{priority: P3, after: {delays[0]}}}"]
    if narrow is not None:
        levels.append(f'{{priority: P1, after: {delays[1]}, when: "{narrow}"}}')
    more = {"levels": f"[{', '.join(levels)}]", "off_delay": delays[2]}
    if unless is not None:
        more["unless"] = f'"{unless}"'
    device = thing()
    text = rule(when, **more)
    rules = compiled(text, device)
    end = steps[-1].change.at + 12 * MS
    assert play(rules, device, steps, end) == expected(said(text), rules, device, steps, MS, end)


# --- the shipped lift rules, one tick a second

LIFT_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "service_mode": st.sampled_from(["normal", "normal", "normal", "inspection", "emergency_power", None]),
        "car_status": st.sampled_from(["stopped", "stopped", "running", None]),
        "door_zone": st.sampled_from([True, False, False, None]),
        "door_closed": st.sampled_from([True, True, False, None]),
        "passenger": st.sampled_from([True, False, None]),
        "passenger_alarm": st.sampled_from([True, False, False, None]),
        "load": st.sampled_from([0.0, 0.0, 50.0, None]),
        "power": st.sampled_from(["mains", "mains", "failed", None]),
        "online": st.booleans(),
    },
)
PACK = data_path("rules", "lift.yaml").read_text(encoding="utf-8")
STUCK = {
    "service_mode": "normal", "car_status": "stopped", "door_zone": False, "door_closed": True, "passenger": True,
    "passenger_alarm": False, "load": 0.0, "power": "mains", "online": True,
}  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(
    steps=streams(LIFT_VALUES, SECOND, 8, 20),
    kind=st.sampled_from(["presence", "motion"]),
    stuck_for=st.sampled_from(["15s", "30s"]),
    without=st.sampled_from([(), ("load",), ("load", "power", "passenger")]),
)
def test_the_shipped_lift_rules_equal_the_reference(steps, kind, stuck_for, without):
    """The five lift rules decide what the reference decides on any stream, restarts and missing points included."""
    device = lift(kind, without=without, stuck_for=stuck_for)
    rules = compiled(PACK, device)
    first = Step(Change(0, STUCK), split=False, wait=False)
    known = [
        Step(
            Change(
                s.change.at + SECOND, {n: v for n, v in s.change.values.items() if n in device.points}, s.change.restart
            ),
            s.split,
            s.wait,
        )
        for s in [first, *steps]
    ]
    end = known[-1].change.at + 40 * SECOND
    assert play(rules, device, known, end) == expected(said(PACK), rules, device, known, SECOND, end)
