"""A trend holds values only where the record vouches for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.store.coverage import merge
from cloud_sync.store.history import Mark, Step
from office.trend import NOT_REPORTED, UNEXPLAINED, Window, _clipped, complement, envelope, name_holes, window
from sitekeeper.model.clock import DAY, SECOND
from sitekeeper.model.errors import Refused

intervals = st.lists(st.tuples(st.integers(0, 100), st.integers(1, 30)).map(lambda p: (p[0], p[0] + p[1])), max_size=8)


def step(at: int, low: float | None, high: float | None, last: float | None, samples: int = 1) -> Step:
    return Step(at=at, low=low, high=high, last=last, samples=samples)


@given(intervals)
def test_the_complement_and_the_intervals_share_out_the_window(found: list[tuple[int, int]]) -> None:
    """Every moment is either covered or in a hole, never both."""
    covered = [(max(a, 10), min(b, 90)) for a, b in merge(found) if a < 90 and b > 10]
    holes = complement(covered, 10, 90)
    inside = {t for a, b in covered for t in range(a, b)}
    missing = {t for a, b in holes for t in range(a, b)}
    slack = set(range(10, 90)) - inside - missing
    assert not slack
    assert not inside & missing


def test_a_value_is_held_until_the_next_one_and_its_envelope_has_both() -> None:
    """A step without samples holds the value before it; one with a sample begins at the value before."""
    asked = Window(start=0, end=40, step=10)
    found = envelope([step(-5, 3, 3, 3, 0), step(20, 7, 9, 8)], asked, [])
    assert [(s.low, s.high, s.last) for s in found] == [(3, 3, 3), (3, 3, 3), (3, 9, 8), (8, 8, 8)]


def test_nothing_is_drawn_where_nothing_is_known() -> None:
    """A step inside a hole has no value; the one in which the hole begins keeps what was known of it."""
    asked = Window(start=0, end=50, step=10)
    found = envelope([step(-5, 3, 3, 3, 0), step(40, 5, 5, 5)], asked, [(15, 40)])
    assert [s.low for s in found] == [3, 3, None, None, 3]
    assert [s.last for s in found] == [3, 3, None, None, 5]


def test_a_hole_to_the_end_leaves_no_value_at_the_end() -> None:
    """What has not been reported yet is not drawn as if it stood still."""
    found = envelope([step(0, 3, 3, 3)], Window(start=0, end=30, step=10), [(10, 30)])
    assert [s.last for s in found] == [3, None, None]


def test_a_hole_tells_the_causes_that_the_site_gave() -> None:
    """Two causes in one hole are both told; the last one, without any, has not been reported yet."""
    gaps = [Mark(start=5, end=8, what="silent"), Mark(start=7, end=9, what="link_down")]
    named = name_holes([(4, 10), (20, 30), (40, 10 * SECOND)], gaps, 10 * SECOND)
    assert [mark.what for mark in named[:1]] == ["link_down silent"]
    assert named[-1].what == NOT_REPORTED
    assert name_holes([(0, 5)], [], 10 * SECOND)[0].what == UNEXPLAINED


@pytest.mark.parametrize(
    ("start", "end", "width"), [(5, 5, None), (9, 5, None), (0, 3700 * DAY, None), (0, DAY, SECOND), (0, SECOND, 1)]
)
def test_a_window_that_cannot_be_answered_is_refused(start: int, end: int, width: int | None) -> None:
    """Empty, backwards, too long, or with too many steps."""
    with pytest.raises(Refused):
        window(start, end, width)


def test_without_a_step_a_window_has_six_hundred() -> None:
    """The default fits a screen."""
    asked = window(0, 3_600 * SECOND, None)
    assert asked.step == 6 * SECOND


def test_blind_intervals_are_cut_to_their_step() -> None:
    """What lies outside is left out, what reaches over an edge is cut there."""
    blind = [(0, 5), (8, 12), (15, 30), (40, 50)]
    assert _clipped(blind, 10, 20) == [(10, 12), (15, 20)]
    assert _clipped(blind, 5, 8) == []
    assert _clipped(blind, 16, 18) == [(16, 18)]
    assert complement(_clipped(blind, 10, 20), 10, 20) == [(12, 15)]
