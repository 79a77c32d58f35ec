"""The engine decides what the slow reference decides, whatever comes, bad inputs and restarts included."""

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
from tests.reference_evaluator import Change, Reference, moments
from tests.unit.edge.rules.worlds import compiled, lift, rule, samples, thing

CLOCK_JUMP = 7_777_777
"""What the monotonic clock of the next start has gained when the gateway comes back."""


@dataclass(frozen=True)
class Step:
    """What happens at a tick. `split` feeds its samples in two calls; `wait` lets time pass first, on its own."""

    change: Change
    split: bool
    wait: bool


def play(rules: Rules, device: DeviceSpec, steps: list[Step], end: int) -> list[tuple[str, int, str, str]]:
    """Run the engine through the steps; a restart saves, forgets and starts on another clock. Times are one axis."""
    state: dict[str, bytes] = {}
    offset = 0
    engine = Engine(rules, state=state, as_of=None, now=0)
    out: list[tuple[str, int, str, str]] = []

    def take(verdicts: Any) -> None:
        out.extend((v.rule, v.at - offset, v.kind, v.priority) for v in verdicts)

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
        fed = samples(device, at, **step.change.values)
        for part in (fed[:1], fed[1:]) if step.split else (fed,):
            take(engine.feed(part))
        keep()
    take(engine.advance(end + offset))
    return sorted(out)


def expected(
    rules: Rules, device: DeviceSpec, steps: list[Step], tick: int, end: int
) -> list[tuple[str, int, str, str]]:
    history = moments([step.change for step in steps], tick, end)
    kinds = {name: point.kind for name, point in device.points.items()}
    out: list[tuple[str, int, str, str]] = []
    for plan in rules.plans:
        given_params = {name: setting.value for name, setting in device.settings.get(plan.rule.id, {}).items()}
        reference = Reference(dict(plan.rule.text.mapping), set(device.points), kinds, given_params)
        out += [(plan.rule.id, at, kind, priority) for at, kind, priority in reference.verdicts(history)]
    return sorted(out)


# --- any expression, on a small device, one tick a millisecond

DURATION = st.integers(0, 5).map("{}ms".format)
EVENT_OF = ("rose({0})", "changed(n)", "changed(m)")
LEAVES = ("a", "b", "sensor", "n > 1", "m == 'x'", "m in ('x', 'y')", "stale(device)", "n / n == 1", "-n < -1",
          "default(gone, false)", "default(a, true)", "default(rose(gone) and true, b)")  # fmt: skip
SHAPES = (
    "not ({0})", "({0}) and ({1})", "({0}) or ({1})", "({0}) if ({1}) else ({2})", "held({0}, {d})", "last({0})",
    "latch(set={0}, reset={1})", "default({0}, {1})", "within({e}, {d})", "count({e}, {d}) >= 2",
    "count({e}, {d}, reset={1}) >= 1", "({0}) and not ({1}) or held({2}, {d})",
)  # fmt: skip


@st.composite
def conditions(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from([leaf for leaf in LEAVES if "rose(gone)" not in leaf]))
    inner = [draw(conditions(depth - 1)) for _ in range(3)]
    event = draw(st.sampled_from(EVENT_OF)).format(inner[0])
    return draw(st.sampled_from(SHAPES)).format(*inner, d=draw(DURATION), e=event)


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "a": st.sampled_from([True, False, None]),
        "b": st.sampled_from([True, False, None]),
        "sensor": st.sampled_from([True, False, None]),
        "n": st.sampled_from([0.0, 1.0, 2.0, 3.0, None]),
        "m": st.sampled_from(["x", "y", "z", None]),
        "online": st.booleans(),
    },
)


@st.composite
def streams(draw: st.DrawFn, values: st.SearchStrategy[dict[str, Any]], tick: int, most: int, gap: int) -> list[Step]:
    at, steps = 0, []
    for _ in range(draw(st.integers(1, most))):
        at += tick * draw(st.integers(1, gap))
        restart = draw(st.integers(0, 5)) == 0
        change = Change(at, {} if restart else draw(values), restart)
        steps.append(Step(change, draw(st.booleans()), draw(st.booleans())))
    return steps


DIRECTED = (
    "held(a, 3ms)", "held(held(a, 2ms) or b, 3ms)", "last(a)", "default(last(a), b)", "latch(set=a, reset=b)",
    "within(changed(m), 3ms)", "count(rose(a), 4ms) >= 2", "count(changed(n), 5ms, reset=b) >= 1", "stale(device)",
)  # fmt: skip


@pytest.mark.parametrize("when", DIRECTED)
@settings(max_examples=30, deadline=None)
@given(delay=DURATION, unless=st.sampled_from([None, "sensor"]), steps=streams(VALUES, MS, 14, 3))
def test_each_operator_equals_the_reference(when, delay, unless, steps):
    """Each operator by itself, on any stream: what it keeps over a bad input and over a restart is what it should."""
    more = {"on_delay": delay} | ({"unless": unless} if unless else {})
    device = thing()
    rules = compiled(rule(when, **more), device)
    end = steps[-1].change.at + 8 * MS
    assert play(rules, device, steps, end) == expected(rules, device, steps, MS, end)


@settings(max_examples=100, deadline=None)
@given(
    when=conditions(),
    unless=st.none() | conditions(1),
    narrow=st.none() | conditions(1),
    delays=st.tuples(DURATION, DURATION, DURATION),
    steps=streams(VALUES, MS, 14, 4),
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
    rules = compiled(rule(when, **more), device)
    end = steps[-1].change.at + 12 * MS
    assert play(rules, device, steps, end) == expected(rules, device, steps, MS, end)


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
    assert play(rules, device, known, end) == expected(rules, device, known, SECOND, end)
