"""What holds on every link, whatever is read there and whoever falls silent: random links in virtual time."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bus import BackOff, Bus
from sitekeeper.model.clock import MS, SECOND, Micros
from sitekeeper.model.point import ScanGroup

PERIODS = (200 * MS, 500 * MS, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND)


@dataclass(frozen=True, slots=True)
class Unit:
    """One device: the periods of its groups, how long it takes to answer, how long its silence takes to be sure of."""

    periods: tuple[Micros, ...]
    takes: Micros
    timeout: Micros = SECOND
    urgent: bool = False

    @property
    def demand(self) -> float:
        """The share of the link's time that it asks for."""
        return sum(self.takes / period for period in self.periods)


@dataclass(frozen=True, slots=True)
class Read:
    """One request."""

    asked: Micros
    ended: Micros
    group: int
    device: int
    answered: bool


@dataclass
class Line:
    """A link with its units: unit n has the name `n`. `answers` tells whether a unit answers at a time.

    `hush`: how long the line is left silent before each of the two requests after one in vain.
    """

    units: Sequence[Unit]
    answers: Callable[[int, Micros], bool] = lambda _unit, _now: True
    now: Micros = 0
    hush: Micros = 0
    log: list[Read] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.vain: Micros = 0
        self.groups = [
            ScanGroup(id=f"{n}@{period}", device=str(n), period=period, handles=())
            for n, unit in enumerate(self.units)
            for period in unit.periods
        ]
        urgent = {group.id for group in self.groups if self.units[int(group.device)].urgent}
        self.bus = Bus(self.groups, urgent=urgent, back_off=BackOff(), rng=random.Random(1), now=0)

    def run(self, until: Micros) -> "Line":
        """Read until then; a turn never lies in the past."""
        while True:
            turn = self.bus.next(self.now)
            assert turn.at >= self.now
            if turn.at >= until:
                return self
            device = int(self.groups[turn.group].device)
            unit, answered = self.units[device], self.answers(device, turn.at)
            hushed = self.hush if any(not read.answered for read in self.log[-2:]) else 0
            self.now = turn.at + hushed + (unit.takes if answered else unit.timeout)
            self.bus.done(turn.group, turn.at, self.now, answered=answered, hushed=hushed)
            self.vain += hushed if answered else self.now - turn.at
            self.log.append(Read(turn.at, self.now, turn.group, device, answered))

    def of(self, group: int, since: Micros = 0) -> list[Read]:
        return [read for read in self.log if read.group == group and read.asked >= since]


def units(periods: Sequence[Micros] = PERIODS, most: Micros = 200 * MS) -> st.SearchStrategy[list[Unit]]:
    each = st.builds(
        Unit,
        periods=st.lists(st.sampled_from(periods), min_size=1, max_size=2, unique=True).map(tuple),
        takes=st.integers(10 * MS, most),
        timeout=st.integers(50 * MS, 3 * SECOND),
    )
    return st.lists(each, min_size=2, max_size=8)


@settings(max_examples=25, deadline=None)
@given(units(), st.data())
def test_dead_units_have_a_tenth_of_the_time(found: list[Unit], data: st.DataObject) -> None:
    """From the third attempt on each wait in vain is paid for nine times before the next one, of whichever unit."""
    dead = data.draw(st.sets(st.integers(0, len(found) - 1), min_size=1, max_size=len(found) - 1))
    line = Line(found, lambda unit, _: unit not in dead).run(200 * SECOND)
    counts, paid = dict.fromkeys(dead, 0), []
    for read in line.log:
        if read.device in dead:
            counts[read.device] += 1
            if counts[read.device] > 2:
                paid.append(read)
    for before, after in pairwise(paid):
        assert before.asked + 10 * (before.ended - before.asked) <= after.asked
    assert min(counts.values()) >= 2
    longest = max(found[unit].timeout for unit in dead)
    every = 10 * longest * len(dead) + sum(unit.takes for unit in found) + 15 * SECOND
    for unit in dead if every < 120 * SECOND else ():
        tries = [read.asked for read in line.log if read.device == unit] + [line.now]
        assert all(after - before <= every + 60 * SECOND for before, after in pairwise(tries)), "nobody is given up"


@settings(max_examples=25, deadline=None)
@given(units(), st.sampled_from([0, 100 * MS, SECOND]), st.data())
def test_silence_that_follows_a_failure_is_paid_for_too(found: list[Unit], hush: Micros, data: st.DataObject) -> None:
    """Dead units have a tenth of the time with all that they cost, but for what finding them out took."""
    dead = data.draw(st.sets(st.integers(0, len(found) - 1), min_size=1, max_size=len(found) - 1))
    line = Line(found, lambda unit, _: unit not in dead, hush=hush).run(60 * SECOND)
    before, begin = line.vain, line.now
    line.run(260 * SECOND)
    longest = max(found[unit].timeout for unit in dead) + 2 * hush
    assert line.vain - before <= (line.now - begin) / 10 + longest
    assert line.vain > before


@settings(max_examples=25, deadline=None)
@given(units(), st.integers(0, 2**32), st.floats(0.1, 0.95))
def test_a_unit_that_answers_now_and_then_has_a_tenth_of_the_time(found: list[Unit], seed: int, luck: float) -> None:
    """However its answers and silences alternate, its silences take a tenth, and those that are paid for last."""
    rng = random.Random(seed)
    line = Line(found, lambda unit, _: unit != 0 or rng.random() < luck).run(200 * SECOND)
    vain = sum(read.ended - read.asked for read in line.log if not read.answered)
    assert vain <= line.now / 10 + 3 * found[0].timeout


@settings(max_examples=25, deadline=None)
@given(units(most=400 * MS))
def test_overload_stretches_all_periods_alike(found: list[Unit]) -> None:
    """In any link whose units all answer, what was read of each group is the same number of its periods, within two."""
    line = Line(found).run(65 * SECOND)
    read = [(len(line.of(index, 5 * SECOND)), group.period) for index, group in enumerate(line.groups)]
    assert max((count - 2) * period for count, period in read) <= min((count + 2) * period for count, period in read)
    assert all(count <= line.now // period + 2 for count, period in read), "never more often than asked for"
    fits = 2 * max(unit.takes for unit in found) <= min(period for unit in found for period in unit.periods)
    if fits and sum(unit.demand for unit in found) > 1.1:
        busy = sum(each.ended - each.asked for each in line.log)
        assert busy >= 0.98 * line.now - SECOND, "no time is left unused while somebody waits"
        assert line.bus.missed() > 0


@settings(max_examples=25, deadline=None)
@given(units(periods=PERIODS[2:], most=25 * MS))
def test_a_link_with_time_enough_keeps_every_period(found: list[Unit]) -> None:
    """Below half of what the link can give, every group is read in every period and nothing is missed."""
    assert sum(unit.demand for unit in found) < 0.5
    line = Line(found).run(100 * SECOND)
    assert line.bus.missed() == 0
    for index, group in enumerate(line.groups):
        assert len(line.of(index)) >= (line.now - SECOND) // group.period


@settings(max_examples=25, deadline=None)
@given(units(most=300 * MS), st.integers(1, 4), st.integers(MS, 30 * MS))
def test_urgent_groups_keep_their_period_and_leave_others_alive(ordinary: list[Unit], urgent: int, takes: int) -> None:
    """Whatever is asked besides, what a P1 rule reads is read in each second; and no other group is forgotten."""
    first = [Unit((SECOND,), takes, urgent=True) for _ in range(urgent)]
    line = Line([*first, *ordinary]).run(120 * SECOND)
    for index in range(urgent):
        assert len(line.of(index)) >= line.now // SECOND - 3
    stretch = sum(unit.demand for unit in ordinary) / 0.7 + 1
    for index, group in enumerate(line.groups):
        assert len(line.of(index)) >= line.now / (group.period * stretch) - 3


@pytest.mark.parametrize(("urgent", "ordinary"), [(1, 7), (2, 1), (4, 4), (8, 3)])
def test_urgent_groups_that_ask_for_everything_leave_a_tenth(urgent: int, ordinary: int) -> None:
    """With twice the link's time asked for by urgent groups, the others have a tenth, and all of a kind fare alike."""
    takes = 2 * SECOND // urgent
    found = [Unit((SECOND,), takes, urgent=True)] * urgent + [Unit((SECOND,), takes)] * ordinary
    line = Line(found).run(300 * SECOND)
    shares = [
        sum(read.ended - read.asked for read in line.log if read.device == n) / line.now for n in range(len(found))
    ]
    begin = (ordinary + 1) * takes / line.now  # each is tried once first
    assert 0.08 <= sum(shares[urgent:]) <= 0.11 + begin
    for some in (shares[:urgent], shares[urgent:]):
        assert max(some) - min(some) <= 4 * takes / line.now


@settings(max_examples=25, deadline=None)
@given(units(), st.integers(0, 11), st.integers(20, 100))
def test_a_unit_that_is_back_is_found(found: list[Unit], who: int, away: int) -> None:
    """The only silent unit is found within ten of its time-outs and its longest period, and read as before."""
    unit = who % len(found)
    back = away * SECOND
    line = Line(found, lambda each, now: each != unit or not 10 * SECOND <= now < back).run(back + 200 * SECOND)
    first = next(read.asked for read in line.log if read.device == unit and read.asked >= back)
    load = sum(each.takes * len(each.periods) for each in found)
    assert first - back <= 10 * found[unit].timeout + max(found[unit].periods) + 3 * SECOND + load
    assert not line.bus.silent(str(unit))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(100 * MS, 2 * SECOND))
def test_a_dead_unit_of_which_alarms_are_made_waits_for_no_dead_meter(meters: int, lifts: int, timeout: Micros) -> None:
    """Each is asked once in ten time-outs, or four for each dead one of its kind; together they have a quarter."""
    lift, meter = Unit((SECOND,), 20 * MS, timeout, urgent=True), Unit((SECOND,), 20 * MS, timeout)
    found = [Unit((SECOND,), 20 * MS), *[lift] * lifts, *[meter] * meters]
    line = Line(found, lambda unit, _: unit == 0).run(300 * SECOND)
    ours = [read for read in line.log if 1 <= read.device <= lifts]
    settled = [read for read in ours if read.asked > 60 * SECOND]
    assert sum(read.ended - read.asked for read in settled) <= 240 * SECOND // 4 + 2 * timeout
    apart = max(10, 4 * lifts) * timeout + 2 * timeout + 3 * SECOND
    for device in range(1, lifts + 1):
        asked = [read.asked for read in settled if read.device == device]
        assert asked
        assert all(10 * timeout <= after - before <= apart for before, after in pairwise(asked))


def test_after_an_opening_alarms_come_first_and_the_dead_last() -> None:
    """Whatever their order in the site's file; what was silent before does not keep the others waiting."""
    meter, lift = Unit((SECOND,), 20 * MS), Unit((SECOND,), 20 * MS, urgent=True)
    line = Line([meter] * 6 + [lift], lambda unit, _: unit in {5, 6}).run(120 * SECOND)
    assert line.log[0].device == 6
    opened, line.log = line.now, []
    line.bus.begin(line.now)
    line.run(opened + 30 * SECOND)
    assert [read.device for read in line.log[:2]] == [6, 5]
    assert all(after.asked - before.asked <= 2 * SECOND for before, after in pairwise(line.of(6)))
    assert any(not read.answered for read in line.log)
