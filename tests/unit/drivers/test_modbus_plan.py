"""The planner against a brute force over all ways to share out the points."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.learned import FIRST, OFTEN, RARELY, TOGETHER, Learned, Run
from drivers.modbus.plan import Limits, Request, Span, halves, plan


def partitions(items):
    """Yield every way to put `items` into unlabelled boxes."""
    if not items:
        yield []
        return
    first, *rest = items
    for smaller in partitions(rest):
        for at, box in enumerate(smaller):
            yield [*smaller[:at], [first, *box], *smaller[at + 1 :]]
        yield [[first], *smaller]


def allowed(box, limits):
    """Tell whether one request may read all of `box`."""
    used = sorted({address for span in box for address in range(span.address, span.end)})
    gaps = [after - before - 1 for before, after in pairwise(used)]
    return (
        len({span.table for span in box}) == 1
        and used[-1] - used[0] + 1 <= limits.most(box[0].table)
        and max(gaps, default=0) <= limits.gaps
    )


TABLES = ("holding", "coil")
SPAN = st.tuples(st.sampled_from(TABLES), st.integers(0, 24), st.integers(1, 4))
LIMITS = st.builds(Limits, max_registers=st.integers(4, 8), max_bits=st.integers(4, 8), gaps=st.integers(0, 3))


def spans_of(raw):
    return [Span(table, address, size, index) for index, (table, address, size) in enumerate(raw)]


@given(st.lists(SPAN, min_size=1, max_size=6), LIMITS)
def test_fewest_requests(raw, limits):
    """No other way to share out the points needs fewer requests."""
    spans = spans_of(raw)
    fewest = min(len(boxes) for boxes in partitions(spans) if all(allowed(box, limits) for box in boxes))
    assert len(plan(spans, limits)) == fewest


@given(st.lists(SPAN, min_size=1, max_size=40), LIMITS)
def test_every_point_whole_and_nothing_beyond(raw, limits):
    """Each point lies whole in the one request that carries it, and only bridged requests read what nobody uses."""
    spans = spans_of(raw)
    requests = plan(spans, limits)
    assert sorted(span.index for request in requests for span in request.spans) == list(range(len(spans)))
    for request in requests:
        assert 1 <= request.count <= limits.most(request.table)
        read = set(range(request.address, request.address + request.count))
        used = {address for span in request.spans for address in range(span.address, span.end)}
        assert used <= read
        assert {span.table for span in request.spans} == {request.table}
        assert request.bridged == bool(read - used)
        assert limits.gaps or not request.bridged


@given(st.lists(SPAN, min_size=1, max_size=20), LIMITS)
def test_halves_read_the_same_points(raw, limits):
    """Two halves share the points of the whole, neither is empty or as large, and points of one place stay together."""
    for request in plan(spans_of(raw), limits):
        parts = halves(request)
        if parts is None:
            assert len({(span.address, span.size) for span in request.spans}) == 1
            continue
        left, right = parts
        assert sorted((*left.spans, *right.spans)) == sorted(request.spans)
        places = [{(span.address, span.size) for span in part.spans} for part in parts]
        assert places[0]
        assert places[1]
        assert not places[0] & places[1]
        assert all(request.run.holds(part.run) for part in parts)


def test_a_gap_is_cut_before_anything_else():
    """The gap nearest to the middle is where a request is cut, and neither half reads it."""
    spans = [Span("holding", address, 1, index) for index, address in enumerate([0, 1, 2, 3, 4, 5, 9, 11])]
    (request,) = plan(spans, Limits(gaps=3))
    left, right = halves(request)
    assert [(part.address, part.count, part.bridged) for part in (left, right)] == [(0, 6, False), (9, 3, True)]


@pytest.mark.parametrize(
    ("table", "count", "requests"),
    [("holding", 125, 1), ("holding", 126, 2), ("input", 250, 2), ("coil", 2000, 1), ("discrete", 2001, 2)],
)
def test_limits_of_the_protocol(table, count, requests):
    """125 registers or 2000 bits go into one request, one more needs a second."""
    spans = [Span(table, address, 1, address) for address in range(count)]
    assert len(plan(spans, Limits())) == requests


def test_order_of_points_does_not_matter():
    """The same points in another order are read by the same requests."""
    spans = [Span("holding", address, 2, address) for address in range(0, 300, 2)]
    assert plan(reversed(spans), Limits()) == plan(spans, Limits())


def test_too_large_is_asked_for_alone():
    """A point larger than the device's limit spoils no other point's request."""
    large, small = Span("holding", 0, 20, 0), Span("holding", 20, 1, 1)
    assert plan([large, small], Limits(max_registers=10)) == [
        Request(table="holding", address=0, count=20, spans=(large,), bridged=False),
        Request(table="holding", address=20, count=1, spans=(small,), bridged=False),
    ]


RUN = st.tuples(st.sampled_from(TABLES), st.integers(0, 24), st.integers(1, 4))


@given(st.lists(SPAN, min_size=1, max_size=20), LIMITS, st.lists(RUN, max_size=4))
def test_what_was_refused_is_never_part_of_something_larger(raw, limits, refused):
    """No request but that for a refused point itself holds a refused run; every point is asked for once, whole."""
    learned = Learned()
    for table, address, count in refused:
        learned.denied(Run(table, address, count), "hole", 0)
    requests = plan(spans_of(raw), limits, learned)
    assert sorted(span.index for request in requests for span in request.spans) == list(range(len(raw)))
    for request in requests:
        places = {(span.address, span.size) for span in request.spans}
        if request.lone:
            assert places == {(request.address, request.count)}
        else:
            assert not learned.blocks(request.run)


@given(st.lists(SPAN, min_size=1, max_size=6), LIMITS, st.lists(RUN, max_size=3))
def test_fewest_requests_around_what_was_refused(raw, limits, refused):
    """With refused runs too, no other way to share out the points that can be read needs fewer requests."""
    learned = Learned()
    for table, address, count in refused:
        learned.denied(Run(table, address, count), "hole", 0)
    sound = [span for span in spans_of(raw) if not learned.blocks(Run(span.table, span.address, span.size))]

    def may(box):
        first, end = min(span.address for span in box), max(span.end for span in box)
        return allowed(box, limits) and not learned.blocks(Run(box[0].table, first, end - first))

    fewest = min((len(boxes) for boxes in partitions(sound) if all(may(box) for box in boxes)), default=0)
    assert len([request for request in plan(spans_of(raw), limits, learned) if not request.lone]) == fewest


def test_a_size_is_learned_from_what_was_refused_and_what_was_answered():
    """Too large is what was refused though its halves were answered, until something as large is answered elsewhere."""
    learned = Learned()
    assert learned.most("holding") > 2000
    learned.denied(Run("holding", 0, 100), "wide", 0)
    assert learned.sizes("holding") == (50, 100)
    learned.heard(Run("holding", 0, 70))
    assert (learned.most("holding"), learned.most("input") > 2000) == (70, True)
    learned.denied(Run("holding", 0, 90), "wide", 0)
    assert learned.sizes("holding") == (70, 90)
    learned.heard(Run("holding", 200, 90))
    assert learned.most("holding") > 2000
    assert learned.blocks(Run("holding", 0, 90))


def test_beliefs_are_tested_ever_more_rarely_and_fall_together():
    """The waits double up to a bound by kind; a wrong belief takes along those of its time, and no older ones."""
    learned, run, now = Learned(), Run("coil", 3, 1), 0
    learned.denied(run, "hole", now)
    waits = []
    for _ in range(20):
        due = next(belief.due for _, belief in learned.refused)
        assert learned.due(due - 1) is None
        assert learned.due(due) == run
        waits.append(due - now)
        now = due
        learned.denied(run, "hole", now)
    assert waits == sorted(waits)
    assert (waits[0], waits[OFTEN], waits[-1]) == (FIRST, 2 * FIRST, RARELY["hole"])
    later, same = now + TOGETHER + 1, Run("coil", 9, 1)
    learned.denied(same, "hole", later)
    learned.denied(Run("coil", 10, 8), "wide", later + 1)
    assert learned.heard(same)
    assert [each for each, _ in learned.refused] == [run]
