"""When blocks are sealed, and that they account for every moment."""

import random
from collections.abc import Iterable, Iterator

import pytest

from edge.recorder import Limits, Recorder, SealedBlock
from sitekeeper.block import MAX_BLOCK, Gap, GapCause, Vouch, decode
from sitekeeper.model.alarm import AlarmState, Cause, Transition
from sitekeeper.model.clock import HOUR, SECOND, Micros, Moment
from sitekeeper.model.errors import FormatError
from sitekeeper.model.event import Event
from sitekeeper.model.quality import Reason, bad
from sitekeeper.model.sample import Sample, Value

Legs = list[tuple[GapCause | None, Micros]]
T0 = 1_767_225_600 * SECOND
G1, G2 = "lift-a1@1s", "lift-a2@1s"
OFF = GapCause.GATEWAY_OFF


class Book:
    """A ledger that says what a test wrote into it, once."""

    def __init__(self, *groups: Legs) -> None:
        self.groups: list[Legs | None] = list(groups)

    def legs(self, now: Micros) -> Iterator[Legs]:
        """Hand out the legs; what runs on is vouched for up to now."""
        groups, self.groups = self.groups, [None for _ in self.groups]
        return iter([[(None, now)] if legs is None else legs for legs in groups])


def moment(seconds: float, *, wall: Micros = T0) -> Moment:
    """Return a moment so many seconds after the start."""
    mono = round(seconds * SECOND)
    return Moment(mono, wall + mono)


def recorder(
    book: Book | None = None, *, covered: dict[str, Micros] | None = None, limits: Limits | None = None
) -> Recorder:
    """Return a recorder of two groups, started at 0 s."""
    return Recorder(
        site="harbour-east",
        epoch="7f3a",
        boot="b-1",
        catalogue="c0ffee",
        groups=(G1, G2),
        ledger=book or Book([], []),
        sequences={"samples": 5},
        covered=covered or {},
        start=moment(0),
        limits=limits,
    )


def samples(count: int, at: Micros = 0, value: Value = 1) -> list[Sample]:
    """Return so many samples."""
    return [Sample(handle, at, value, 0) for handle in range(count)]


def seal(each: Recorder, now: Moment) -> SealedBlock:
    """Return the block that must be due."""
    block = each.seal_due(now)
    assert block is not None
    return block


def spans(blocks: Iterable[SealedBlock], group: int) -> list[tuple[float, float, str]]:
    """Return the coverage of a group as (from, to, cause or nothing), in seconds after the start."""
    found = []
    for sealed in blocks:
        block = decode(sealed.payload)
        found += [(v.start, v.until, "") for v in block.vouch if v.group == group]
        found += [(gap.start, gap.end, str(gap.cause)) for gap in block.gaps if gap.group == (G1, G2)[group]]
    return [((start - T0) / SECOND, (end - T0) / SECOND, cause) for start, end, cause in sorted(found)]


def test_five_hundred_changes_seal_a_block_at_once() -> None:
    """The threshold needs no time to pass; below it nothing is due."""
    each = recorder()
    each.add(samples(499), 0)
    assert each.seal_due(moment(0)) is None
    each.add(samples(1), 0)
    block = seal(each, moment(0))
    assert (block.stream, block.sequence, block.count) == ("samples", 5, 500)
    assert each.seal_due(moment(0)) is None


def test_the_first_change_waits_a_second_at_most() -> None:
    """The wait counts from the first unsealed change, and `next_deadline` says so."""
    each = recorder()
    each.add(samples(1), 2 * SECOND)
    each.add(samples(1), 2 * SECOND + 900_000)
    assert each.next_deadline() == 3 * SECOND
    assert each.seal_due(moment(2.999)) is None
    assert seal(each, moment(3)).count == 2


def test_a_site_without_changes_seals_a_block_each_minute() -> None:
    """Silence is vouched for at least every 60 s."""
    each = recorder(Book([(OFF, SECOND), (None, 59 * SECOND)], [(OFF, 2 * SECOND), (None, 60 * SECOND)]))
    assert each.seal_due(moment(59.9)) is None
    first = seal(each, moment(60))
    assert first.count == 0
    assert spans([first], 0) == [(0, 1, "gateway_off"), (1, 59, "")]
    assert first.covered == {G1: T0 + 59 * SECOND, G2: T0 + 60 * SECOND}
    assert each.seal_due(moment(119.9)) is None
    assert spans([seal(each, moment(120))], 0) == [(59, 120, "")]


def test_sequences_run_on_per_stream_without_holes() -> None:
    """Each stream counts for itself, from where the outbox left off."""
    each = recorder(limits=Limits(changes=1))
    each.add(samples(3), 0)
    numbers = [each.seal_due(moment(0)), each.seal_due(moment(0))]
    assert [block.sequence for block in numbers if block] == [5, 6]
    assert each.next_sequence("samples") == 7
    event = Event("door/read", 5, {"granted": True})
    assert [each.events([event], moment(1))[0].sequence for _ in range(2)] == [1, 2]
    assert each.next_sequence("alarms") == 1


def test_a_reading_larger_than_a_block_is_split_and_only_the_last_part_vouches() -> None:
    """No block vouches for changes that lie in the next one."""
    each = recorder(Book([(None, SECOND)], [(None, SECOND)]))
    each.add(samples(2400), 0)
    blocks = [seal(each, moment(1)) for _ in range(3)]
    assert [block.count for block in blocks] == [1000, 1000, 400]
    assert [len(decode(block.payload).vouch) for block in blocks] == [0, 0, 2]
    assert each.seal_due(moment(1)) is None


def test_long_texts_make_smaller_blocks_and_nothing_is_lost() -> None:
    """Samples that would burst 64 KiB are spread over more blocks, in order."""
    each = recorder()
    texts = ["".join(chr(0x4E00 + (i * 7919 * j + i) % 20_000) for j in range(250)) for i in range(500)]
    sent = [Sample(n, n, value, 0) for n, value in enumerate(texts)]
    each.add(sent, 0)
    blocks = [block for block in iter(lambda: each.seal_due(moment(1)), None) if block]
    assert len(blocks) > 1
    assert max(len(block.payload) for block in blocks) <= MAX_BLOCK
    assert [sample for block in blocks for sample in decode(block.payload).samples] == sent


@pytest.mark.parametrize("value", [2**70, "\ud800"])
def test_a_value_that_no_block_can_hold_is_recorded_as_bad(value: Value) -> None:
    """One impossible value neither stops the recorder nor takes its neighbours along."""
    each = recorder()
    each.add([Sample(0, 1, 1, 0), Sample(1, 2, value, 0), Sample(2, 3, 3, 0)], 0)
    blocks = [block for block in iter(lambda: each.seal_due(moment(1)), None) if block]
    found = [sample for block in blocks for sample in decode(block.payload).samples]
    assert found == [Sample(0, 1, 1, 0), Sample(1, 2, None, bad(Reason.OUT_OF_RANGE)), Sample(2, 3, 3, 0)]


def test_the_time_the_gateway_was_off_is_a_gap_up_to_the_first_good_answer() -> None:
    """A restart accounts for the time since the last covered moment, group by group."""
    each = recorder(
        Book([(OFF, 3 * SECOND), (None, 60 * SECOND)], [(OFF, 60 * SECOND)]), covered={G1: T0 - 90 * SECOND}
    )
    block = seal(each, moment(60))
    assert spans([block], 0) == [(-90, 3, "gateway_off"), (3, 60, "")]
    assert spans([block], 1) == [(0, 60, "gateway_off")]


def test_vouches_end_on_the_grid_before_and_gaps_on_the_grid_after() -> None:
    """A vouch never reaches beyond the answer, and the intervals of a group touch."""
    times = [1_010_000, 2_350_000, 3_020_000, 4_090_000]
    each = recorder(Book([(OFF, times[0]), (None, times[1]), (GapCause.SILENT, times[2]), (None, times[3])], []))
    block = seal(each, moment(60))
    expected = [(0, 1.1, "gateway_off"), (1.1, 2.3, ""), (2.3, 3.1, "silent"), (3.1, 4.0, "")]
    assert spans([block], 0) == expected


def test_a_gap_that_lasts_is_written_down_once_a_minute_not_with_every_block() -> None:
    """An outage of any length costs one record a minute, and its end closes it."""
    blocks: list[SealedBlock] = []
    book = Book([], [])
    each = recorder(book)
    for second in range(1, 150):
        gone: Legs = [(GapCause.LINK_DOWN, second * SECOND)]
        book.groups = [gone if second < 149 else [*gone, (None, 149 * SECOND)], []]
        each.add(samples(1), (second - 1) * SECOND)
        blocks.append(seal(each, moment(second)))
    assert spans(blocks, 0) == [(0, 60, "link_down"), (60, 120, "link_down"), (120, 149, "link_down")]


def test_a_wall_clock_set_forward_leaves_a_gap_named_clock() -> None:
    """The hour that never was is accounted for, and vouching goes on behind it."""
    book = Book([(None, 60 * SECOND)], [])
    each = recorder(book)
    blocks = [seal(each, moment(60)), seal(each, moment(120, wall=T0 + HOUR))]
    assert spans(blocks, 0) == [(0, 60, ""), (60, 3660, "clock"), (3660, 3720, "")]


def test_a_wall_clock_set_back_covers_times_twice_and_leaves_no_hole() -> None:
    """After a step back the groups are vouched for in the new time at once."""
    each = recorder(Book([(None, 60 * SECOND)], []))
    blocks = [seal(each, moment(60)), seal(each, moment(120, wall=T0 - HOUR))]
    assert spans(blocks, 0) == [(60 - 3600, 120 - 3600, ""), (0, 60, "")]


def test_a_clock_that_is_behind_at_the_start_is_accounted_for_when_it_is_set() -> None:
    """Covered times that lie in the future of a wrong clock do not silence the account."""
    each = recorder(Book([(OFF, SECOND), (None, 60 * SECOND)], []), covered={G1: T0 + 2 * HOUR})
    blocks = [seal(each, moment(60)), seal(each, moment(120, wall=T0 + 2 * HOUR + 30 * SECOND))]
    found = spans(blocks, 0)
    assert found[0] == (0, 1, "gateway_off")
    assert found[2] == (60, 60 + 7230, "clock")
    assert found[3] == (7290, 7350, "")


def test_samples_thrown_away_for_want_of_room_leave_a_gap_and_no_vouch() -> None:
    """What could not be recorded is accounted for with its cause, however often room was wanting."""
    book = Book([(None, SECOND)], [(None, SECOND)])
    each = recorder(book)
    each.add(samples(3), SECOND)
    assert each.discard(GapCause.WRITER_BEHIND, moment(2)) == 3
    assert each.discard(GapCause.WRITER_BEHIND, moment(30)) == 0
    block = seal(each, moment(90))
    assert block.count == 0
    assert spans([block], 0) == spans([block], 1) == [(0, 30, "writer_behind"), (30, 90, "")]


def test_an_orderly_stop_leaves_nothing_behind() -> None:
    """All samples are sealed, and gaps still open are written down up to the stop."""
    each = recorder(Book([(OFF, 4 * SECOND)], [(None, 4 * SECOND)]))
    each.add(samples(1500), 4 * SECOND)
    blocks = each.seal_all(moment(4))
    assert sum(block.count for block in blocks) == 1500
    assert spans(blocks, 0) == [(0, 4, "gateway_off")]
    assert spans(blocks, 1) == [(0, 4, "")]


def test_a_thousand_gaps_are_spread_over_blocks_that_follow_at_once() -> None:
    """However many groups fail at the same time, each gap is recorded."""
    groups = [f"d{n}@1s" for n in range(1200)]
    each = Recorder(
        site="s",
        epoch="e",
        boot="b",
        catalogue="c",
        groups=groups,
        ledger=Book(*([(OFF, 60 * SECOND)] for _ in groups)),
        sequences={},
        covered={},
        start=moment(0),
    )
    blocks = [block for block in iter(lambda: each.seal_due(moment(60)), None) if block]
    gaps = [gap for block in blocks for gap in decode(block.payload).gaps]
    assert gaps == [Gap(group, T0, T0 + 60 * SECOND, OFF) for group in groups]
    assert {group for block in blocks for group in block.covered} == set(groups)


def transition(note: str = "") -> Transition:
    """Return a raise."""
    states = (AlarmState.NORMAL, AlarmState.UNACKED, Cause.RAISE)
    return Transition("o", "s/d/L01", "L01", *states, "P1", T0, 0, latched=True, note=note)


def test_alarms_and_events_seal_at_once_and_carry_no_coverage() -> None:
    """They wait for nothing and vouch for nothing."""
    each = recorder(Book([(None, SECOND)], []))
    alarm = each.transitions([transition()], moment(1.05))
    assert (alarm.stream, alarm.count, alarm.t0, alarm.covered) == ("alarms", 1, T0, {})
    event = Event("door/read", 900_000, {})
    [sealed] = each.events([event], moment(1.05))
    assert (sealed.stream, sealed.t0, sealed.t1) == ("events", T0 + 900_000, T0 + 900_000)
    assert decode(sealed.payload).events == [event]


def test_an_alarm_too_large_for_a_block_takes_no_sequence() -> None:
    """A refused block leaves no hole in its stream."""
    each = recorder()
    noise = "".join(random.Random(1).choices([chr(0x4E00 + n) for n in range(20_000)], k=40_000))
    with pytest.raises(FormatError):
        each.transitions([transition(noise)], moment(1))
    assert each.transitions([transition()], moment(1)).sequence == 1


def test_a_block_says_which_moment_its_two_clocks_shared() -> None:
    """t0 lies on the grid of 100 ms, and wall times of samples come out exactly."""
    each = recorder(Book([(None, 1_345_678)], [(None, 1_399_999)]), limits=Limits(changes=1))
    each.add([Sample(0, 1_234_567, 1, 0)], 1_300_000)
    sealed = seal(each, Moment(1_345_678, T0 + 1_345_678, trusted=False))
    block = decode(sealed.payload)
    assert (block.t0, block.mono0, block.trusted) == (T0 + 1_300_000, 1_300_000, False)
    assert block.wall(block.samples[0].at) == T0 + 1_234_567 == sealed.t0
    assert block.vouch == [Vouch(0, T0 + 1_300_000, 1_300_000), Vouch(1, T0 + 1_300_000, 1_300_000)]
