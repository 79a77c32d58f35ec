"""Steps of the wall clock are told once each, trust that begins is told, and GW05 stands while it matters."""

import pytest

from edge.clock_watch import ClockWatch
from sitekeeper.model.clock import DAY, HOUR, MS, SECOND, ManualClock, Micros, Moment
from sitekeeper.model.sample import Value


class World:
    """A clock by hand, looked at once a second."""

    def __init__(self, *, trusted: bool = True, standing: bool = False, wall: Micros = 1_780_000_000 * SECOND) -> None:
        self.clock = ManualClock(wall, 500 * SECOND)
        self.trusted = trusted
        self.watch = ClockWatch("b1", self.moment(), standing=standing)

    def moment(self) -> Moment:
        return Moment(self.clock.monotonic(), self.clock.wall(), self.trusted)

    def passes(self, seconds: int) -> tuple[list[dict[str, Value]], list[tuple[str, int, str]]]:
        """Return the steps that were told, and verdicts with the second in which they came."""
        steps: list[dict[str, Value]] = []
        verdicts: list[tuple[str, int, str]] = []
        for second in range(1, seconds + 1):
            self.clock.advance(self.watch.next_deadline() - self.clock.monotonic())
            said = self.watch.advance(self.moment())
            steps += [dict(fields) for _, fields in said.events]
            verdicts += [(verdict.kind, second, verdict.detail) for verdict in said.verdicts]
        return steps, verdicts


def test_a_clock_that_runs_true_is_nothing_to_speak_of():
    """No step, no alarm, however long."""
    assert World().passes(3_600) == ([], [])


@pytest.mark.parametrize("step", [HOUR, -HOUR, 30 * DAY, -SECOND, 501 * MS])
def test_a_step_is_told_once_with_what_it_was(step):
    """Before and after are wall minus monotonic; the alarm stands for a minute."""
    world = World()
    world.passes(10)
    before = world.clock.wall() - world.clock.monotonic()
    world.clock.step_wall(step)
    steps, verdicts = world.passes(120)
    assert steps == [{"boot": "b1", "before": before, "after": before + step, "offset_us": step, "trusted": True}]
    assert [(kind, second) for kind, second, _ in verdicts] == [("raise", 1), ("clear", 61)]
    assert f"{step / SECOND:+.3f} s" in verdicts[0][2]


def test_less_than_half_a_second_is_told_when_it_adds_up():
    """A clock that is slewed is told in steps of half a second, each with what it has come to."""
    world = World()
    told: list[dict[str, Value]] = []
    for _ in range(12):
        world.clock.step_wall(100 * MS)
        told += world.passes(1)[0]
    assert [step["offset_us"] for step in told] == [600 * MS, 600 * MS]


def test_fifty_steps_of_a_second_are_fifty_events_and_one_alarm():
    """The alarm does not come and go with each of them."""
    world = World()
    steps, verdicts = [], []
    for _ in range(50):
        world.clock.step_wall(-SECOND)
        more, decided = world.passes(1)
        steps, verdicts = steps + more, verdicts + decided
    assert len(steps) == 50
    assert [kind for kind, _, _ in verdicts] == ["raise"]


def test_the_beginning_of_trust_is_told_even_without_a_step():
    """The office learns that what this boot recorded before was right after all."""
    world = World(trusted=False)
    world.passes(5)
    world.trusted = True
    steps, _ = world.passes(5)
    assert [(step["offset_us"], step["trusted"]) for step in steps] == [(0, True)]


def test_a_boot_in_1970_is_told_by_how_much_it_was_wrong():
    """The first word of a time server is a step of half a century, and trusted."""
    world = World(trusted=False, wall=60 * SECOND)
    world.passes(30)
    world.clock.step_wall(1_780_000_000 * SECOND)
    world.trusted = True
    [step], _ = world.passes(5)
    assert (step["offset_us"], step["trusted"]) == (1_780_000_000 * SECOND, True)


def test_a_clock_that_nobody_vouches_for_is_an_alarm_after_ten_minutes():
    """A start before the time server has spoken is none; trust ends it."""
    world = World(trusted=False)
    _, verdicts = world.passes(20 * 60)
    assert [(kind, second) for kind, second, _ in verdicts] == [("raise", 600)]
    world.trusted = True
    _, verdicts = world.passes(5)
    assert [kind for kind, _, _ in verdicts] == ["clear"]


def test_what_stands_from_before_a_restart_ends_or_goes_on():
    """GW05 of an earlier process is cleared at the first look at a clock that is well."""
    assert World(standing=True).passes(3)[1] == [("clear", 1, "")]
