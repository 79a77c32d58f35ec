"""The planner against a brute force over all ways to share out the points."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.plan import Limits, Request, Span, plan, unbridged


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
def test_unbridged_reads_the_same_points(raw, limits):
    """Without its gaps a request becomes requests for the same points and no others."""
    for request in plan(spans_of(raw), limits):
        parts = unbridged(request, limits)
        assert sorted(span for part in parts for span in part.spans) == sorted(request.spans)
        assert not any(part.bridged for part in parts)


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
