"""The whole flow while somebody sets the wall clock: rules' timers and staleness know the monotonic time only."""

import pytest

from drivers.base import Outcome, Scan
from edge.alarms import AlarmBook
from edge.changes import Changes
from edge.latest import Latest
from edge.pipeline import Pipeline
from edge.recorder import Recorder
from edge.rules.derives import Derives
from edge.rules.engine import Engine
from sitekeeper.model.alarm import Cause
from sitekeeper.model.clock import HOUR, SECOND, ManualClock, Micros, Moment
from sitekeeper.model.point import ONLINE, ScanGroup
from sitekeeper.model.quality import GOOD, is_good

from .pipeline_rig import FakeStore
from .rules.worlds import compiled, rule, thing

DELAY = 30


class Site:
    """One device read every second, with one rule: `a` true for 30 s."""

    def __init__(self) -> None:
        self.clock, self.store = ManualClock(), FakeStore()
        device = thing()
        points = list(device.points.values())
        self.handles = tuple(point.handle for point in points if point.name != ONLINE)
        groups = (ScanGroup(id="t1@1s", device="t1", period=SECOND, handles=self.handles),)
        changes = Changes(points, groups, {}, now=0)
        recorder = Recorder(
            site="s", epoch="e", boot="b", catalogue="c", groups=("t1@1s",), ledger=changes, sequences={}, covered={},
            start=Moment(0, self.clock.wall()),
        )  # fmt: skip
        engine = Engine(compiled(rule("a", on_delay=f"{DELAY}s"), device), state={}, as_of=None, now=0)
        self.pipeline = Pipeline(
            boot="b", changes=changes, derives=Derives((), state={}, as_of=None, now=0), latest=Latest(points),
            engine=engine, book=AlarmBook("s", "e", []), recorder=recorder, store=self.store, clock=self.clock,
        )  # fmt: skip

    def second(self, *, first: bool = False) -> None:
        """Let a second pass and read the device, which says that all its points are true or 1."""
        self.clock.advance(SECOND)
        self.pipeline.tick()
        now = self.clock.monotonic()
        outcomes = [Outcome(index, now, True, GOOD, None) for index in range(len(self.handles))] if first else []
        self.pipeline.scanned(
            Scan(group="t1@1s", device="t1", asked=now, received=now, outcomes=outcomes, complete=first, answered=True)
        )


@pytest.mark.parametrize("step", [HOUR, 20 * SECOND, -HOUR])
def test_a_step_of_the_wall_clock_moves_no_timer(step: Micros) -> None:
    """Set on or back in the middle of a delay, the alarm still comes after 30 s, and nothing turns stale."""
    site = Site()
    site.second(first=True)
    for _ in range(10):
        site.second()
    site.clock.step_wall(step)
    for _ in range(DELAY - 11):
        site.second()
    assert site.store.moves() == []
    site.second()
    site.second()
    assert [(move.cause, move.mono) for move in site.store.moves()] == [(Cause.RAISE, (1 + DELAY) * SECOND)]
    assert all(is_good(sample.q) for sample in site.store.samples())
