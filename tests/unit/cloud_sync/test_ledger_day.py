"""The account of a day: each moment counts once, and the rules of precedence are those that the module states."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.ledger import CAUSES, DROPPED, Account, Interval, Windows, account, never_were, site_day
from sitekeeper.model.clock import HOUR, SECOND
from sitekeeper.model.errors import Refused

SPAN = st.tuples(st.integers(-10, 60), st.integers(1, 30)).map(lambda p: (p[0] * SECOND, (p[0] + p[1]) * SECOND))
SPANS = st.lists(SPAN, max_size=5)
GAPS = st.dictionaries(st.sampled_from([DROPPED, "silent", "gateway_off", "clock", "tomorrow"]), SPANS)


def whole(intervals: list[Interval]) -> set[int]:
    """Return the seconds of the intervals, one by one."""
    return {second for start, end in intervals for second in range(start // SECOND, end // SECOND)}


def by_hand(exists: Interval, known: list[Interval], gaps: dict[str, list[Interval]], windows: Windows) -> Account:
    """Do the same as `account`, second by second."""
    rank = [DROPPED, "", *CAUSES, "tomorrow"]
    claims = {cause: whole(gaps.get(cause, [])) for cause in rank} | {"": whole(known)}
    spent: dict[str, int] = {}
    left = []
    for second in range(exists[0] // SECOND, exists[1] // SECOND):
        cause = next((cause for cause in rank if second in claims[cause]), None)
        if cause is None:
            left.append(second)
        else:
            spent[cause] = spent.get(cause, 0) + SECOND
    stretches: list[list[int]] = []
    for second in left:
        if stretches and stretches[-1][-1] == second - 1:
            stretches[-1].append(second)
        else:
            stretches.append([second])
    for stretch in stretches:
        start, end = stretch[0] * SECOND, (stretch[-1] + 1) * SECOND
        name = "unexplained"
        for each, of in (
            ("awaited", windows.awaited),
            ("quarantined", windows.quarantined),
            ("missing", windows.missing),
        ):
            if any(a <= end and b >= start for a, b in of):
                name = each
        spent[name] = spent.get(name, 0) + end - start
    return Account(
        span=exists[1] - exists[0],
        known=spent.pop("", 0),
        awaited=spent.pop("awaited", 0),
        unexplained=spent.pop("unexplained", 0),
        causes=dict(sorted(spent.items())),
    )


@given(SPANS, GAPS, SPANS, SPANS, SPANS)
def test_the_account_equals_counting_second_by_second(known, gaps, missing, quarantined, awaited) -> None:
    """Whatever overlaps, repeats or reaches beyond the day: the figures are those of counting by hand, and add up."""
    windows = Windows(missing=missing, quarantined=quarantined, awaited=awaited)
    found = account((0, 60 * SECOND), known, gaps, windows)
    assert found == by_hand((0, 60 * SECOND), known, gaps, windows)
    assert found.known + sum(found.causes.values()) + found.awaited + found.unexplained == found.span
    assert found.unexplained >= 0


def test_what_was_dropped_is_not_known_even_where_a_later_block_vouches() -> None:
    """A vouch may come in the block after its samples: the drop wins over it, and it over every other cause."""
    found = account((0, 10), [(0, 8)], {DROPPED: [(2, 4)], "silent": [(6, 9)]}, Windows())
    assert (found.known, found.causes) == (6 + 1, {DROPPED: 2, "silent": 1})  # and 1 us of rounding


def test_holes_of_rounding_are_known_and_longer_ones_are_not() -> None:
    """Two blocks that touch may leave a millisecond between them; more than that is a hole."""
    assert account((0, 10_000), [(0, 4_000), (5_000, 10_000)], {}, Windows()).unexplained == 0
    assert account((0, 10_000), [(0, 4_000), (5_001, 10_000)], {}, Windows()).unexplained == 1_001


def test_accounts_add_up() -> None:
    """The sum over groups keeps every figure and every cause."""
    one = account((0, 10), [(0, 4)], {"silent": [(4, 10)]}, Windows())
    both = one + account((0, 5 * SECOND), [], {"clock": [(0, 2 * SECOND)]}, Windows())
    assert both == Account(
        span=10 + 5 * SECOND, known=4, causes={"clock": 2 * SECOND, "silent": 6}, unexplained=3 * SECOND
    )


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Asia/Hong_Kong", date(2026, 3, 29), 24),
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("America/Santiago", date(2026, 9, 6), 23),  # there is no midnight: the clocks go from 23:59 to 01:00
        ("America/Havana", date(2026, 11, 1), 25),  # midnight comes twice
    ],
)
def test_a_day_is_the_site_s_own_day(zone: str, day: date, hours: int) -> None:
    """It has 23 or 25 hours where the clocks are changed, and the days of a year touch."""
    begin, end = site_day(day, ZoneInfo(zone))
    assert end - begin == hours * HOUR
    assert site_day(date.fromordinal(day.toordinal() + 1), ZoneInfo(zone))[0] == end


@pytest.mark.parametrize("day", [date.min, date.max])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Hong_Kong", "America/Havana"])
def test_a_day_at_the_end_of_the_calendar_is_refused(day: date, zone: str) -> None:
    """It has no day beside it, in any zone: a clear word instead of an overflow; the next one inwards has a length."""
    with pytest.raises(Refused, match="end of the calendar") as refused:
        site_day(day, ZoneInfo(zone))
    assert refused.value.reason == "usage"
    inwards = date.fromordinal(day.toordinal() + (1 if day == date.min else -1))
    begin, end = site_day(inwards, ZoneInfo(zone))
    assert 23 * HOUR <= end - begin <= 25 * HOUR


@pytest.mark.parametrize(
    ("lacking", "first", "unsent", "found"),
    [
        ([(10, 19)], 10, 10, False),  # the site holds as many
        ([(10, 20)], 10, 10, True),
        ([(10, 14), (16, 21)], 10, 10, True),
        ([(9, 2**40)], 10, 10, False),  # below, it is asked for one: it will answer
        ([(10, 2**40)], None, 0, False),  # it has not said
        ([], 1, 0, False),
    ],
)
def test_a_hole_of_more_blocks_than_the_site_holds_is_awaited_by_nobody(lacking, first, unsent, found) -> None:
    """By its own word nobody will fill it."""
    assert never_were(lacking, first, unsent) is found
