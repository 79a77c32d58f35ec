"""What a unit refuses is learned, over the real link on a virtual line: no value ever moves, and requests stay few.

The register n of a sound unit holds n + 1000, so a value that was taken from another place shows.
"""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitekeeper.model.quality import GOOD, Reason, bad
from tests import virtual
from tests.fixtures.modbus_space import Space, at, fewest, read_on

SPACES = st.builds(
    Space,
    holes=st.sets(st.integers(0, 60), max_size=5),
    borders=st.sets(st.integers(1, 60), max_size=2),
    most=st.sampled_from([1, 2, 5, 16, 32, 125]),
    how=st.sampled_from([2, 3]),
)


ADDRESSES = st.sets(st.integers(0, 60), min_size=1, max_size=40)


@settings(max_examples=30, deadline=None)
@given(SPACES, ADDRESSES, st.integers(0, 3))
def test_nothing_moves_and_requests_become_few(space, addresses, gaps):
    """Whatever a unit refuses, each value is its own register's or bad, and what can be read is soon good.

    In the end a reading takes no more requests than a plan by somebody who knows the unit; where borders come together
    with a largest number, what was refused because of the one may be taken for the other, and cost one request each.
    """
    found = virtual.run(read_on(space, at(addresses), 20, gaps=gaps))
    for name, (_, q) in found.stands.items():
        assert q == (bad(Reason.REFUSED) if int(name[1:]) in space.holes else GOOD), name
    unclear = len(space.borders) if space.most < 125 else 0
    assert len(found.plan) <= fewest(space, addresses, gaps) + unclear


@settings(max_examples=15, deadline=None)
@given(SPACES, ADDRESSES, st.integers(0, 3))
def test_a_unit_that_answers_with_less(space, addresses, gaps):
    """A unit that gives fewer registers instead of an exception is learned the same way, and nothing is made up."""
    space.how = "short"
    found = virtual.run(read_on(space, at(addresses), 60, gaps=gaps))
    missing = {name for name, (_, q) in found.stands.items() if q != GOOD}
    assert missing == {f"r{hole}" for hole in space.holes & addresses}


@pytest.mark.parametrize("how", ["mute", "jam"])
@pytest.mark.parametrize("most", [1, 5, 16, 60])
def test_a_unit_that_says_nothing_to_a_large_request(most, how):
    """Silence where a smaller request is answered is a size: the points come, in as few requests as it takes."""
    space = Space(most=most, how=how)
    found = virtual.run(read_on(space, at(range(61)), 120))
    assert {q for _, q in found.stands.values()} == {GOOD}
    assert len(found.plan) == fewest(space, range(61), 0)


def test_a_silent_unit_teaches_nothing():
    """A unit that answers nobody keeps its plan, however long it is away."""
    space = Space(most=0, how="mute")
    found = virtual.run(read_on(space, at(range(61)), 30))
    assert found.plan == [(0, 61)]
    assert {q for _, q in found.stands.values()} == {bad(Reason.COMM)}


def test_a_refused_point_is_asked_ever_more_rarely_and_its_neighbours_never_notice():
    """A register that is not there costs a search once, three more requests, and then one every ten minutes."""
    space = Space(holes={40})
    found = virtual.run(read_on(space, at(range(80)), 2300))
    assert [len(asked_for) for asked_for in found.requests[:6]] == [1, 13, 3, 3, 2, 3]
    alone = [number for number, asked_for in enumerate(found.requests) if (40, 1) in asked_for]
    assert alone == [1, 2, 3, 5, 9, 17, 33, 65, 129, 257, 513, 1025, 1625, 2225]
    assert found.plan == [(0, 40), (41, 39)]
    assert found.stands["r40"] == (None, bad(Reason.REFUSED))


def test_a_hiccup_leaves_no_trace():
    """A unit that refuses everything while it starts is read by one request again, soon after it does not any more."""
    space = Space(holes=set(range(61)))

    async def story() -> list[list[tuple[int, int]]]:
        asyncio.get_running_loop().call_later(30, space.holes.clear)
        return (await read_on(space, at(range(61)), 90)).requests

    requests = virtual.run(story())
    assert requests[89] == [(0, 61)]
    back = next(number for number, asked_for in enumerate(requests) if number > 30 and asked_for[-1] == (0, 61))
    assert back <= 62
    assert max(len(asked_for) for asked_for in requests) <= 61 + 61


def test_one_refusal_of_what_was_answered_before_is_not_believed():
    """A single exception makes the points of its request bad for one reading and cuts nothing."""
    space = Space()

    async def story() -> list[list[tuple[int, int]]]:
        asyncio.get_running_loop().call_later(4.5, setattr, space, "most", 0)
        asyncio.get_running_loop().call_later(5.5, setattr, space, "most", 125)
        return (await read_on(space, at(range(61)), 10)).requests

    assert virtual.run(story()) == [[(0, 61)]] * 10
