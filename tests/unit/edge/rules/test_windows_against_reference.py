"""Operators that look back over numbers and orders of events decide what the slow reference decides."""

import os
import random
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitekeeper.model.clock import MS
from tests.reference_evaluator import Change, Told
from tests.unit.edge.rules.test_against_reference import DIRECTED, DURATION, EVENTS, Step, expected, play, streams
from tests.unit.edge.rules.worlds import compiled, gateway, rule, said, thing, things

NUMBERS = [n / 64 for n in (0, 1, 5, 64, 65, 128, 130, 640)]
"""Multiples of 1/64: their sums over time are exact in either way of working them out."""
WINDOWED = (
    "mean(n, 4ms) > 1", "mean(n, 3ms) < mean(n, 7ms)", "rate(n, 3ms) > 0", "rate(n, 1ms) < 100 or a",
    "held(mean(n, 2ms) > 1.5, 3ms)", "default(rate(n, 5ms) > 1, b)", "mean(n, 120ms) > 1", "mean(n * 2, 3ms) > 1",
    "median(on(ev), g, 3) > 1", "median(on(ev, f), g, 4) >= 1.5", "held(median(on(ev, not late), g, 3) == 2, 2ms)",
)  # fmt: skip
ORDERED = (
    "within(sequence(rose(a), rose(b), within=4ms), 3ms)", "within(sequence(on(ev, f), rose(a), within=3ms), 2ms)",
    "within(sequence(on(ev), on(ev, g > 1), on(ev, f), within=5ms), 2ms)",
    "within(sequence(rose(a), rose(b), rose(a), within=6ms, reset=sensor), 3ms)",
    "count(sequence(rose(a), changed(n), within=9ms), 8ms) >= 2",
    "latch(set=sequence(cmd(a), rose(b), within=4ms), reset=sensor)",
    "within(sequence(rose(a), on(ev), within=3ms, reset=within(on(ev, not f), 2ms)), 4ms)",
    "within(sequence(on(ev), on(ev), within=4ms), 1ms)",
)  # fmt: skip
LEARNED = (
    "n > baseline(n, by=secs, step=1, learn=a, settle=2ms, least=2)",
    "baseline(n, by=secs, step=1, learn=a and not b, settle=1ms, least=3) > 1",
    "n < 0.8 * baseline(n, by=n, step=1, learn=true, settle=3ms, least=1)",
    "held(n > baseline(n, by=secs, step=2, learn=sensor, settle=1ms, least=2), 2ms)",
)
FAR = (
    "schedule('night') and a", "schedule(plan) or b", "held(sun('up') and not holiday(), 3ms)", "point('t2/a') and b",
    "optional(schedule('none'), a)", "within(rose(point('t2/a')), 3ms)", "count(rose(a), 9ms) >= asset('floors')",
    "n > 1 and optional(asset('rated_speed'), 1) == 1", "any_of(site, thing, a and schedule('day'))",
    "any_of(via, thing, a and not b)", "all_of(via, thing, b)", "count_of(via, thing, a) >= 2",
)  # fmt: skip
ON_DEVICES = {
    **{name: st.sampled_from([True, False, None]) for name in ("a", "b", "sensor", "t2/a", "t2/b", "t3/a")},
    **{f"gateway/{name}": st.booleans() for name in ("schedule.night", "schedule.day", "sun.up", "holiday")},
    "n": st.sampled_from([*NUMBERS, None]),
    "secs": st.sampled_from([0.0, 1.0, 2.0, None]),
}


def values(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return samples of some points; each may be there or not."""
    return st.fixed_dictionaries({}, optional={name: ON_DEVICES[name] for name in names})


def agree(when: str, steps: list[Step], *others: Any, **more: str) -> None:
    """Compare engine and reference."""
    device = thing()
    text = rule(when, **more)
    rules = compiled(text, device, *others)
    end = steps[-1].change.at + 10 * MS
    assert play(rules, device, steps, end, *others) == expected(said(text), rules, device, steps, MS, end, *others)


@pytest.mark.parametrize("when", [*WINDOWED, *ORDERED, *LEARNED])
@settings(max_examples=15, deadline=None)
@given(delay=DURATION, steps=streams(values("a", "b", "sensor", "n", "secs"), MS, 14, 3, EVENTS))
def test_each_window_equals_the_reference(when, delay, steps):
    """Means, rates, medians, sequences and baselines: over bad inputs, late events and restarts."""
    agree(when, steps, on_delay=delay)


@pytest.mark.parametrize("when", FAR)
@settings(max_examples=10, deadline=None)
@given(steps=streams(values("a", "b", "n", "t2/a", "t2/b", "t3/a", *(n for n in ON_DEVICES if "gate" in n)), MS, 10, 3))
def test_each_far_point_equals_the_reference(when, steps):
    """Schedules, the sun, the equipment record, points of others, and those behind one controller."""
    agree(when, steps, *things()[1:], gateway(), params="{plan: day}")


EVERY = (*WINDOWED, *ORDERED, *LEARNED, *DIRECTED)
SHARDS = 10
STREAMS = 10_000 if os.environ.get("SITEKEEPER_FULL") else 1_000
"""In each shard."""
CPU = 30.0 * STREAMS / 1_000
"""Seconds of CPU that a shard may take: nine times what it takes on an idle core of today, for a busy one is slower."""


def _stream(random_: random.Random) -> list[Step]:
    """Return some changes within forty ticks."""
    steps, at = [], 0
    while (at := at + random_.choice((1, 1, 2, 3, 6)) * MS) <= 40 * MS and len(steps) < 12:
        restart = random_.random() < 0.08
        named = random_.sample(("a", "b", "sensor", "n", "secs", "m"), random_.randrange(1, 4))
        told = [_told(random_) for _ in range(random_.choice((0, 0, 1, 1, 2)))]
        change = Change(at, {} if restart else {n: random_.choice(POOL[n]) for n in named}, restart, tuple(told))
        steps.append(
            Step(replace(change, events=()) if restart else change, random_.random() < 0.5, random_.random() < 0.3)
        )
    return steps


def _told(random_: random.Random) -> Told:
    if random_.random() < 0.3:
        return Told("command", {"point": "a", "outcome": random_.choice(("accepted", "refused"))})
    fields = {"f": random_.choice((True, False)), "g": random_.choice((1, 2))}
    return Told("ev", dict(random_.sample(sorted(fields.items()), random_.randrange(3))), random_.random() < 0.2)


POOL: dict[str, list[Any]] = {
    **{key: [True, False, None] for key in ("a", "b", "sensor")},
    "n": [*NUMBERS[:5], None],
    "secs": [0.0, 0.002, 1.0, None],
    "m": ["x", "y", None],
}


@pytest.mark.parametrize("shard", range(SHARDS))
def test_ten_thousand_streams(shard):
    """Every operator by itself, on thousands of streams of forty ticks each, with a bounded cost."""
    begun = time.process_time()
    device = thing()
    texts = [rule(when, on_delay=delay) for when in EVERY for delay in ("0s", "2ms")]
    known = [(said(text), compiled(text, device)) for text in texts]
    decided = 0
    for seed in range(shard * STREAMS, (shard + 1) * STREAMS):
        random_ = random.Random(seed)
        steps, (text, rules) = _stream(random_), random_.choice(known)
        found = play(rules, device, steps, 44 * MS)
        assert found == expected(text, rules, device, steps, MS, 44 * MS), (seed, text["R1"]["when"])
        decided += len(found)
    assert decided > STREAMS / 2, "the streams must make the rules decide something"
    assert time.process_time() - begun < CPU
