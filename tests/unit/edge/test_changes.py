"""What becomes a sample, when, and with which quality."""

from typing import NoReturn

import pytest
from msgspec import structs

from drivers.base import Outcome, Scan
from edge.changes import Changes, Heartbeat
from sitekeeper.block import GapCause
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.point import Point, ScanGroup, stale_after
from sitekeeper.model.quality import GOOD, Q, Reason, bad
from sitekeeper.model.sample import Sample, Value

COMM, STALE = bad(Reason.COMM), bad(Reason.STALE)
FAST, SLOW = "lift@1s", "lift@60s"
DOOR, SPEED, BEAT, ONLINE, HOURS = range(5)
POINTS = [
    Point(handle=DOOR, id="lift/door", device="lift", name="door", type="enum", group=FAST),
    Point(handle=SPEED, id="lift/speed", device="lift", name="speed", type="float", group=FAST, deadband=0.5),
    Point(handle=BEAT, id="lift/beat", device="lift", name="beat", type="int", group=FAST),
    Point(handle=ONLINE, id="lift/online", device="lift", name="online", type="bool", group=""),
    Point(handle=HOURS, id="lift/hours", device="lift", name="hours", type="int", group=SLOW, stale_after=180 * SECOND),
]
GROUPS = [
    ScanGroup(id=FAST, device="lift", period=SECOND, handles=(DOOR, SPEED, BEAT)),
    ScanGroup(id=SLOW, device="lift", period=60 * SECOND, handles=(HOURS,)),
]


def site(*, beat: bool = False, groups: int = 1) -> Changes:
    """Return the lift, with one scan group or two, started at 0."""
    hearts = {"lift": Heartbeat(handle=BEAT, within=5 * SECOND)} if beat else {}
    return Changes(POINTS, GROUPS[:groups], hearts, now=0)


def scan(
    at: float, *values: tuple[int, Value] | tuple[int, Value, Q], group: str = FAST, answered: bool = True
) -> Scan:
    """Return a scan answered `at` seconds, with (index, value, quality) outcomes."""
    received = round(at * SECOND)
    outcomes = [Outcome(each[0], received, each[1], each[2] if len(each) == 3 else GOOD) for each in values]
    return Scan(
        group=group,
        device="lift",
        asked=received - 1000,
        received=received,
        outcomes=outcomes,
        complete=False,
        answered=answered,
    )


def take(changes: Changes, each: Scan) -> list[tuple[int, Value, Q]]:
    """Accept a scan at the time of its answer; return (handle, value, quality) of the samples."""
    return short(changes.accept(each, each.received))


def short(samples: list[Sample]) -> list[tuple[int, Value, Q]]:
    """Return the samples without their times."""
    return [(sample.handle, sample.value, sample.q) for sample in samples]


FIRST = scan(1, (0, "closed"), (1, 0.0), (2, 7))
ALL_SILENT = ((0, None, COMM), (1, None, COMM), (2, None, COMM))
ALL = [(DOOR, "closed", GOOD), (SPEED, 0.0, GOOD), (BEAT, 7, GOOD)]


def test_the_first_scan_records_every_point_and_that_the_device_is_online() -> None:
    """A first answer is a change of everything."""
    assert take(site(), FIRST) == [*ALL, (ONLINE, True, GOOD)]


def test_a_scan_without_outcomes_records_nothing() -> None:
    """Unchanged is answered, and answered is fresh, without a sample."""
    changes = site()
    take(changes, FIRST)
    assert take(changes, scan(2)) == []
    assert changes.good_until(FAST) == 2 * SECOND


def test_a_number_within_the_deadband_of_the_recorded_value_is_no_change() -> None:
    """The deadband counts from what was recorded, so a slow drift is recorded once it adds up."""
    changes = site()
    take(changes, FIRST)
    assert take(changes, scan(2, (1, 0.3))) == []
    assert take(changes, scan(3, (1, 0.49))) == []
    assert take(changes, scan(4, (1, 0.5))) == [(SPEED, 0.5, GOOD)]
    assert take(changes, scan(5, (1, 0.1))) == []


def test_a_change_of_quality_is_a_change_whatever_the_value() -> None:
    """A point that goes bad and comes back is recorded both times."""
    changes = site()
    take(changes, FIRST)
    refused = bad(Reason.REFUSED)
    assert take(changes, scan(2, (1, None, refused))) == [(SPEED, None, refused)]
    assert take(changes, scan(3, (1, 0.0))) == [(SPEED, 0.0, GOOD)]


def test_a_sample_carries_the_time_of_the_answer_that_carried_it() -> None:
    """Receipt times of single outcomes survive, in order of time."""
    first = Scan(
        group=FAST,
        device="lift",
        asked=10,
        received=30,
        outcomes=[Outcome(0, 20, "open", GOOD, 99), Outcome(1, 15, 1.0, GOOD)],
        complete=True,
        answered=True,
    )
    assert site().accept(first, 31)[:2] == [Sample(SPEED, 15, 1.0, GOOD), Sample(DOOR, 20, "open", GOOD, 99)]


def test_an_answer_that_comes_behind_a_later_time_counts_from_there() -> None:
    """Once `advance` has acted on a time, no sample is dated before it, so a replay sees the same order."""
    changes = site()
    changes.advance(3 * SECOND)
    assert {sample.at for sample in changes.accept(scan(2.5, (0, "open")), 3 * SECOND)} == {3 * SECOND}


def test_a_silent_device_is_offline_at_once_and_online_after_two_good_polls() -> None:
    """Values are good again with the first answer, the device is online with the second."""
    changes = site()
    take(changes, FIRST)
    bad_points = [(DOOR, None, COMM), (SPEED, None, COMM), (BEAT, None, COMM)]
    assert take(changes, scan(2, *ALL_SILENT, answered=False)) == [*bad_points, (ONLINE, False, GOOD)]
    assert take(changes, scan(3, answered=False)) == []
    assert take(changes, scan(4, (0, "closed"), (1, 0.0), (2, 7))) == ALL
    assert take(changes, scan(5)) == [(ONLINE, True, GOOD)]


def test_a_poll_missed_in_between_starts_the_count_of_good_polls_anew() -> None:
    """Two good polls in a row bring a device back, not two in all."""
    changes = site()
    for each in (FIRST, scan(2, answered=False), scan(3), scan(4, answered=False)):
        take(changes, each)
    assert take(changes, scan(5)) == []
    assert take(changes, scan(6)) == [(ONLINE, True, GOOD)]


def test_one_of_two_groups_that_never_answers_does_not_make_the_device_flap() -> None:
    """A device that answers one group is online; two missed polls in a row are needed for offline."""
    changes = site(groups=2)
    take(changes, FIRST)
    for at in range(2, 40, 2):
        samples = take(changes, scan(at, (0, None, COMM), group=SLOW, answered=False)) + take(changes, scan(at + 1))
        assert ONLINE not in {handle for handle, _, _ in samples}
    assert take(changes, scan(40, answered=False)) == []
    assert take(changes, scan(41, answered=False, group=SLOW)) == [(ONLINE, False, GOOD)]


def test_a_failed_link_makes_every_point_bad_once() -> None:
    """Repeated failures of the same kind record nothing more, and recovery records every point again."""
    changes = site()
    take(changes, FIRST)
    lost = changes.failed(FAST, Reason.COMM, 2 * SECOND)
    assert short(lost) == [(DOOR, None, COMM), (SPEED, None, COMM), (BEAT, None, COMM), (ONLINE, False, GOOD)]
    assert changes.failed(FAST, Reason.COMM, 3 * SECOND) == []
    assert take(changes, scan(4, (0, "closed"), (1, 0.0), (2, 7))) == ALL


def test_points_not_listed_after_a_failure_come_back_as_they_were_last_read() -> None:
    """A driver that says `unchanged` after a stale time restores what it last said."""
    changes = site()
    take(changes, FIRST)
    changes.advance(6 * SECOND)
    back = changes.accept(scan(7, (0, "open")), 7 * SECOND)
    assert short(back) == [(DOOR, "open", GOOD), (SPEED, 0.0, GOOD), (BEAT, 7, GOOD)]
    assert {sample.at for sample in back} == {7 * SECOND}


@pytest.mark.parametrize(("period", "limit"), [(SECOND // 2, 5), (SECOND, 5), (2 * SECOND, 6), (60 * SECOND, 180)])
def test_staleness_is_three_periods_but_at_least_five_seconds(period: Micros, limit: int) -> None:
    """The default limit of a scan group follows from its period."""
    assert stale_after(period) == limit * SECOND


def test_a_group_that_is_not_read_goes_stale_at_its_deadline_and_not_before() -> None:
    """Nobody calling is no excuse: the time alone makes points stale."""
    changes = site()
    take(changes, FIRST)
    assert changes.advance(6 * SECOND - 1) == []
    deadline = changes.next_deadline()
    assert deadline is not None
    assert deadline <= 6 * SECOND
    stale = [(DOOR, None, STALE), (SPEED, None, STALE), (BEAT, None, STALE), (ONLINE, False, GOOD)]
    assert short(changes.advance(6 * SECOND)) == stale
    assert changes.advance(7 * SECOND) == []
    assert changes.next_deadline() is None


def test_a_group_never_read_since_the_start_is_not_yet_known() -> None:
    """Without any reading the reason is NOT_YET, not STALE."""
    unknown = bad(Reason.NOT_YET)
    expected = [(DOOR, None, unknown), (SPEED, None, unknown), (BEAT, None, unknown), (ONLINE, False, GOOD)]
    assert short(site().advance(5 * SECOND)) == expected


def test_a_frozen_heartbeat_makes_the_whole_device_stale_though_it_answers() -> None:
    """All groups of the device are bad until the heartbeat moves; then every point is stated again."""
    changes = site(beat=True, groups=2)
    take(changes, FIRST)
    take(changes, scan(1, (0, 100), group=SLOW))
    for at in range(2, 6):
        take(changes, scan(at))
        assert changes.advance(at * SECOND) == []
    frozen = [(h, None, STALE) for h in (DOOR, SPEED, BEAT, HOURS)]
    assert short(changes.advance(6 * SECOND)) == [*frozen, (ONLINE, False, GOOD)]
    assert take(changes, scan(6.5, (0, "open"))) == []
    thawed = take(changes, scan(7, (2, 8)))
    assert thawed == [(DOOR, "open", GOOD), (SPEED, 0.0, GOOD), (BEAT, 8, GOOD), (HOURS, 100, GOOD)]
    assert take(changes, scan(8, (2, 9))) == [(BEAT, 9, GOOD), (ONLINE, True, GOOD)]


def test_a_group_still_failed_does_not_come_back_with_the_heartbeat() -> None:
    """A thaw restores only groups that were themselves read."""
    changes = site(beat=True, groups=2)
    take(changes, FIRST)
    take(changes, scan(1, (0, 100), group=SLOW))
    for at in range(2, 6):
        take(changes, scan(at))
    changes.advance(6 * SECOND)
    changes.failed(SLOW, Reason.CONFIG, 6 * SECOND)
    assert HOURS not in {handle for handle, _, _ in take(changes, scan(7, (2, 8)))}


def test_a_heartbeat_that_stands_still_between_missed_polls_is_found_out() -> None:
    """Silence gives a heartbeat one more chance, not one for every missed poll."""
    changes = site(beat=True)
    take(changes, FIRST)
    frozen: list[Sample] = []
    for at in range(2, 14, 2):
        take(changes, scan(at, *ALL_SILENT, answered=False))
        take(changes, scan(at + 1, (0, "closed"), (1, 0.0), (2, 7)))
        frozen += changes.advance((at + 1) * SECOND)
    assert (DOOR, None, STALE) in short(frozen)


def test_a_heartbeat_is_given_time_after_a_silence() -> None:
    """The time without answers does not count as standing still."""
    changes = site(beat=True)
    take(changes, FIRST)
    changes.failed(FAST, Reason.COMM, 2 * SECOND)
    assert changes.advance(30 * SECOND) == []
    take(changes, scan(31, (0, "closed"), (1, 0.0), (2, 7)))
    assert changes.advance(31 * SECOND) == []
    take(changes, scan(35))
    assert changes.advance(36 * SECOND - 1) == []
    assert (DOOR, None, STALE) in short(changes.advance(36 * SECOND))


def test_coverage_of_a_device_that_comes_and_goes_leaves_no_hole() -> None:
    """Off, vouched, silent, link down, vouched: each leg begins where the one before ended."""
    changes = site()
    assert list(changes.legs(SECOND // 2)) == [[(GapCause.GATEWAY_OFF, SECOND // 2)]]
    for each in (FIRST, scan(2), scan(3, answered=False)):
        take(changes, each)
    changes.failed(FAST, Reason.COMM, 4 * SECOND)
    take(changes, scan(6))
    (legs,) = changes.legs(6 * SECOND)
    assert legs == [
        (GapCause.GATEWAY_OFF, SECOND),
        (None, 2 * SECOND),
        (GapCause.SILENT, 4 * SECOND),
        (GapCause.LINK_DOWN, 6 * SECOND),
        (None, 6 * SECOND),
    ]
    assert list(changes.legs(7 * SECOND)) == [[(None, 6 * SECOND)]]


def test_a_frozen_device_is_not_vouched_for() -> None:
    """Time in which the heartbeat stands still is a gap from the last answer to the thaw."""
    changes = site(beat=True)
    take(changes, FIRST)
    take(changes, scan(5))
    changes.advance(6 * SECOND)
    take(changes, scan(6.5))
    take(changes, scan(7, (2, 8)))
    (legs,) = changes.legs(7 * SECOND)
    assert legs[1:] == [(None, 5 * SECOND), (GapCause.SILENT, 7 * SECOND), (None, 7 * SECOND)]


def test_a_link_that_comes_back_with_a_frozen_device_shows_it_stale() -> None:
    """Answers alone do not bring a frozen device back, but its link is no longer to blame."""
    changes = site(beat=True)
    take(changes, FIRST)
    take(changes, scan(5))
    changes.advance(6 * SECOND)
    changes.failed(FAST, Reason.COMM, 7 * SECOND)
    assert (DOOR, None, STALE) in take(changes, scan(8, (0, "open"), (1, 0.0), (2, 7)))
    (legs,) = changes.legs(9 * SECOND)
    assert legs[-2:] == [(GapCause.LINK_DOWN, 8 * SECOND), (GapCause.SILENT, 9 * SECOND)]


def test_a_group_refused_as_a_whole_is_a_gap_of_its_own_cause_and_the_device_stays_online() -> None:
    """Exceptions for every point are answers, but vouch for nothing."""
    changes = site()
    take(changes, FIRST)
    refused = bad(Reason.REFUSED)
    samples = take(changes, scan(2, (0, None, refused), (1, None, refused), (2, None, refused)))
    assert ONLINE not in {handle for handle, _, _ in samples}
    take(changes, scan(3, (0, "open")))
    (legs,) = changes.legs(3 * SECOND)
    assert legs[1:] == [(None, SECOND), (GapCause.REFUSED, 3 * SECOND), (None, 3 * SECOND)]


class Untouchable(tuple[int, ...]):
    """Handles that nobody may look at."""

    __slots__ = ()

    def __iter__(self) -> NoReturn:
        msg = "somebody went through the points"
        raise AssertionError(msg)

    def __getitem__(self, _: object) -> NoReturn:
        iter(self)


def test_an_unchanged_scan_costs_the_same_for_one_point_as_for_a_thousand() -> None:
    """When nothing changed, nobody even looks at the list of the group's points."""

    changes = site(beat=True)
    take(changes, FIRST)
    changes._groups[FAST].handles = Untouchable()
    assert take(changes, scan(2)) == []
    assert changes.advance(2 * SECOND) == []
    assert list(changes.legs(2 * SECOND)) != []
    with pytest.raises(AssertionError):
        take(changes, scan(3, (0, "open")))


def told(at: float, *values: tuple[int, Value]) -> Scan:
    """Return what the lift said unasked."""
    return structs.replace(scan(at, *values), told=True)


def test_what_is_told_unasked_vouches_for_nothing_else():
    """A point that the device tells by itself is a change at once; the others of its group are as old as they were."""
    changes = site()
    take(changes, scan(1, (DOOR, "open"), (SPEED, 1.0), (BEAT, 1)))
    assert take(changes, told(4, (DOOR, "closed"))) == [(DOOR, "closed", GOOD)]
    assert changes.good_until(FAST) == SECOND
    assert (ONLINE, False, GOOD) in short(changes.advance(6 * SECOND)), "telling is no sign that the rest is read"


def test_what_is_told_while_nothing_can_be_read_counts_later():
    """While the group is bad, what is told is kept, and stands with the next reading, as of that reading."""
    changes = site()
    take(changes, scan(1, (DOOR, "open"), (SPEED, 1.0), (BEAT, 1)))
    changes.failed(FAST, Reason.COMM, 2 * SECOND)
    assert take(changes, told(3, (DOOR, "closed"))) == []
    assert (DOOR, "closed", GOOD) in take(changes, scan(4))


def test_a_heartbeat_may_be_told():
    """A heartbeat that is told keeps its device alive, and brings a frozen one back."""
    changes = site(beat=True)
    take(changes, scan(1, (DOOR, "open"), (SPEED, 1.0), (BEAT, 1)))
    for second in range(2, 5):
        take(changes, scan(second))
    take(changes, told(5, (BEAT, 2)))
    assert short(changes.advance(7 * SECOND)) == []
    take(changes, scan(8))
    assert (DOOR, None, STALE) in short(changes.advance(10 * SECOND))
    assert (DOOR, "open", GOOD) in take(changes, told(11, (BEAT, 3)))
