"""Whatever happens, no change is lost or repeated, and no moment of any group is unaccounted for."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base import Outcome, Scan
from edge.changes import Changes, Heartbeat
from edge.recorder import Limits, Recorder, SealedBlock
from sitekeeper.block import Block, decode
from sitekeeper.model.clock import HOUR, SECOND, Micros, Moment
from sitekeeper.model.point import Point, ScanGroup
from sitekeeper.model.quality import GOOD, Reason, bad
from sitekeeper.model.sample import Sample

T0 = 1_767_225_600 * SECOND
IDS = ["a@1s", "b@1s"]
POINTS = [
    *(
        Point(handle=n, id=f"{d}/p{n}", device=d, name=f"p{n}", type="int", group=f"{d}@1s")
        for n, d in enumerate("aabb")
    ),
    *(
        Point(handle=n, id=f"{d}/online", device=d, name="online", type="bool", group="")
        for n, d in [(4, "a"), (5, "b")]
    ),
]
GROUPS = [ScanGroup(id=f"{d}@1s", device=d, period=SECOND, handles=h) for d, h in [("a", (0, 1)), ("b", (2, 3))]]

STEP = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 70_000_000)),
    st.tuples(st.just("wait"), st.integers(1, 1_500_000)),
    st.tuples(st.just("answer"), st.sampled_from(IDS), st.none() | st.integers(0, 3), st.none() | st.integers(0, 3)),
    st.tuples(st.just("answer"), st.sampled_from(IDS), st.none() | st.integers(0, 3), st.none()),
    st.tuples(st.just("silent"), st.sampled_from(IDS)),
    st.tuples(st.just("failed"), st.sampled_from(IDS), st.sampled_from([Reason.COMM, Reason.CONFIG])),
)
CLOCK = st.tuples(st.just("clock"), st.sampled_from([-2 * HOUR, -SECOND // 2, SECOND // 3, SECOND, HOUR]))


START = Moment(0, T0)


@dataclass
class Site:
    """The field chain with a driver that keeps its promise: what differs is listed, and all after a failure."""

    now: Moment = START
    said: dict[int, tuple[int | None, int]] = field(default_factory=dict)
    whole: set[str] = field(default_factory=lambda: set(IDS))
    added: list[Sample] = field(default_factory=list)
    blocks: list[SealedBlock] = field(default_factory=list)
    answers: dict[str, list[Micros]] = field(default_factory=lambda: {group: [] for group in IDS})

    def __post_init__(self) -> None:
        hearts = {"a": Heartbeat(handle=0, within=5 * SECOND)}
        self.changes = Changes(POINTS, GROUPS, hearts, now=0)
        self.recorder = Recorder(
            site="s",
            epoch="e",
            boot="b",
            catalogue="c",
            groups=IDS,
            ledger=self.changes,
            sequences={},
            covered={IDS[0]: T0 - 30 * SECOND},
            start=self.now,
            limits=Limits(changes=3),
        )

    def do(self, step: tuple[object, ...]) -> None:
        """Do one thing, then what the pipeline does: record, and seal what is due."""
        match step:
            case ("wait", int(by)):
                self.now = self.now._replace(mono=self.now.mono + by, wall=self.now.wall + by)
                self.take(self.changes.advance(self.now.mono))
            case ("clock", int(by)):
                self.now = self.now._replace(wall=self.now.wall + by)
            case ("answer", str(group), *values):
                self.answers[group].append(self.now.mono)
                self.scan(group, [(value, GOOD) for value in values], answered=True)
            case ("silent", str(group)):
                self.scan(group, [(None, bad(Reason.COMM))] * 2, answered=False)
            case ("failed", str(group), Reason() as reason):
                self.whole.add(group)
                self.take(self.changes.failed(group, reason, self.now.mono))

    def scan(self, group: str, values: list[tuple[object, int]], *, answered: bool) -> None:
        """Deliver a scan; a value of None with good quality stands for unchanged."""
        handles = GROUPS[IDS.index(group)].handles
        outcomes = []
        for index, (handle, (value, q)) in enumerate(zip(handles, values, strict=True)):
            before = self.said.get(handle, (0, GOOD))
            state = ((before[0] or 0), GOOD) if value is None and q == GOOD else (value, q)
            if group in self.whole or self.said.get(handle) != state:
                outcomes.append(Outcome(index, self.now.mono, state[0], state[1]))  # type: ignore[arg-type]
            self.said[handle] = state  # type: ignore[assignment]
        (self.whole.discard if answered else self.whole.add)(group)
        each = Scan(
            group=group,
            device=group[0],
            asked=self.now.mono,
            received=self.now.mono,
            outcomes=outcomes,
            complete=len(outcomes) == len(handles),
            answered=answered,
        )
        self.take(self.changes.accept(each, self.now.mono))

    def take(self, samples: list[Sample]) -> None:
        """Record samples and seal what is due."""
        self.added += samples
        self.recorder.add(samples, self.now.mono)
        while block := self.recorder.seal_due(self.now):
            self.blocks.append(block)

    def stop(self) -> list[Block]:
        """Stop in order; return all blocks, decoded."""
        self.blocks += self.recorder.seal_all(self.now)
        return [decode(block.payload) for block in self.blocks]


def intervals(blocks: list[Block], index: int) -> list[tuple[Micros, Micros, str]]:
    """Return what covers a group, sorted."""
    vouches = [(each.start, each.until, "") for block in blocks for each in block.vouch if each.group == index]
    gaps = [(gap.start, gap.end, str(gap.cause)) for block in blocks for gap in block.gaps if gap.group == IDS[index]]
    return sorted(vouches + gaps)


@settings(max_examples=25, deadline=None)
@given(st.lists(STEP | CLOCK, max_size=25))
def test_no_change_is_lost_or_repeated(steps: list[tuple[object, ...]]) -> None:
    """The blocks hold exactly the samples that were added, in order, under sequences without holes."""
    site = Site()
    for step in steps:
        site.do(step)
    blocks = site.stop()
    assert [sample for block in blocks for sample in block.samples] == site.added
    assert [block.sequence for block in blocks] == list(range(1, len(blocks) + 1))
    assert [sample.at for sample in site.added] == sorted(sample.at for sample in site.added)


@settings(max_examples=25, deadline=None)
@given(st.lists(STEP, max_size=25))
def test_every_moment_is_vouched_for_or_in_a_gap_and_never_both(steps: list[tuple[object, ...]]) -> None:
    """With a steady clock the intervals of a group touch, from the last covered time on to the stop."""
    site = Site()
    for step in steps:
        site.do(step)
    blocks = site.stop()
    for index in range(len(IDS)):
        found = intervals(blocks, index)
        edge = T0 - 30 * SECOND if index == 0 else T0
        for start, end, _ in found:
            assert start == edge
            assert end > start
            edge = end
        _, end = list(site.changes.legs(site.now.mono))[index][-1]
        assert T0 + end - SECOND // 10 < edge < T0 + end + SECOND // 10


@settings(max_examples=25, deadline=None)
@given(st.lists(STEP | CLOCK, max_size=25))
def test_a_moving_clock_leaves_no_hole_either(steps: list[tuple[object, ...]]) -> None:
    """Whatever steps the wall clock takes, in the end the union of a group's intervals is one piece."""
    site = Site()
    # Times that were begun before a step back are accounted for when the clock passes them again.
    for step in [*steps, ("wait", 60 * HOUR)]:
        site.do(step)
    blocks = site.stop()
    for index in range(len(IDS)):
        found = intervals(blocks, index)
        reach = found[0][1] if found else 0
        for start, end, _ in found[1:]:
            assert start <= reach
            reach = max(reach, end)


@settings(max_examples=25, deadline=None)
@given(st.lists(STEP, max_size=25))
def test_a_vouch_never_reaches_beyond_an_answer_or_into_a_later_block(steps: list[tuple[object, ...]]) -> None:
    """A group is vouched for up to one of its answers, and no later block holds a change from before."""
    site = Site()
    for step in steps:
        site.do(step)
    blocks = site.stop()
    vouched = dict.fromkeys(IDS, 0)
    for block in blocks:
        for sample in block.samples:
            group = POINTS[sample.handle].group
            assert not group or block.wall(sample.at) >= vouched[group]
        for each in block.vouch:
            assert any(each.until <= T0 + at < each.until + SECOND // 10 for at in site.answers[IDS[each.group]])
            vouched[IDS[each.group]] = max(vouched[IDS[each.group]], each.until)


@settings(max_examples=25, deadline=None)
@given(st.lists(STEP, max_size=25))
def test_the_record_says_what_the_driver_last_said_or_that_nothing_is_known(steps: list[tuple[object, ...]]) -> None:
    """Folding the samples gives each point's last reading, unless something larger made it bad."""
    site = Site()
    for step in steps:
        site.do(step)
    record = {sample.handle: sample for sample in site.added}
    for handle, (value, q) in site.said.items():
        sample = record[handle]
        assert (sample.value, sample.q) == (value, q) or (sample.value is None and sample.q != GOOD)


@settings(max_examples=25, deadline=None)
@given(st.lists(STEP, max_size=25))
def test_a_second_of_good_answers_brings_everything_back(steps: list[tuple[object, ...]]) -> None:
    """From any state, moving good answers make every point good and every device online."""
    site = Site()
    for step in steps:
        site.do(step)
    for beat in range(10, 13):
        site.do(("wait", SECOND))
        for group in IDS:
            site.do(("answer", group, beat, beat))
    record = {sample.handle: (sample.value, sample.q) for sample in site.added}
    assert record == {0: (12, 0), 1: (12, 0), 2: (12, 0), 3: (12, 0), 4: (True, 0), 5: (True, 0)}
