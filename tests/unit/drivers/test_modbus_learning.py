"""What a unit refuses is learned, over the real link on a virtual line: no value ever moves, and requests stay few.

The register n of a sound unit holds n + 1000, so a value that was taken from another place shows.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitekeeper.model.errors import LinkDown
from sitekeeper.model.quality import GOOD, Reason, bad, is_good
from tests import virtual
from tests.fixtures.hostile_modbus import connect_to
from tests.fixtures.modbus import answer, asked, device, driver, frame, registers


@dataclass
class Space:
    """The address space of one unit: addresses that are not there, borders that no request may cross, a largest number.

    `how`: what it does with a request beyond them: an exception, fewer registers, nothing at all, or nothing at all to
    anybody until it is connected anew (`jam`).
    """

    holes: set[int] = field(default_factory=set)
    borders: set[int] = field(default_factory=set)
    most: int = 125
    how: int | str = 2
    jammed: bool = False
    requests: list[tuple[int, int]] = field(default_factory=list)

    def refused(self, start: int, count: int) -> bool:
        inside = range(start, start + count)
        return count > self.most or bool(self.holes & {*inside}) or any(at in inside[1:] for at in self.borders)

    def __call__(self, request: bytes) -> list[bytes]:
        if request[7] not in {3, 4}:
            return [frame(request, bytes([request[7] | 0x80, 1]))]
        start, count = asked(request)
        self.requests.append((start, count))
        if self.jammed:
            return []
        if not self.refused(start, count):
            return [answer(request, *range(start + 1000, start + count + 1000))]
        if self.how == "short":
            return [answer(request, *range(start + 1000, start + count // 2 + 1000))]
        self.jammed = self.how == "jam"
        return [] if self.how in {"mute", "jam"} else [frame(request, bytes([request[7] | 0x80, int(self.how)]))]


@dataclass
class Result:
    """What stands of each point, the requests of each reading, and the plan in the end."""

    stands: dict[str, Any]
    requests: list[list[tuple[int, int]]]
    plan: list[tuple[int, int]]


async def read_on(space: Space, points: dict[str, Any], times: int, **options: int) -> Result:
    """Read so often, a second apart; a value that is another register's fails at once."""
    escaped = connect_to(space)  # type: ignore[arg-type]
    make = asyncio.get_running_loop().create_connection

    async def connect(*args: Any, **kwargs: Any) -> Any:
        space.jammed = False
        return await make(*args, **kwargs)

    asyncio.get_running_loop().create_connection = connect  # type: ignore[method-assign, assignment]
    field = driver(502, device("d", points, **options), timeout="100ms", clock=virtual.VirtualClock())
    names, stands, requests = list(points), dict[str, Any](), []
    await field.open()
    for _ in range(times):
        before = len(space.requests)
        try:
            scan = await field.read("d@1s")
        except LinkDown:
            await field.open()
            continue
        stands |= {names[each.index]: (each.value, each.q) for each in scan.outcomes}
        requests.append(space.requests[before:])
        for name, (value, q) in stands.items():
            assert value == int(name[1:]) + 1000 if is_good(q) else value is None, (name, value)
        await asyncio.sleep(1)
    made = [(request.address, request.count) for request in field.requests("d@1s") if not request.lone]
    await field.close()
    assert escaped == []
    return Result(stands, requests, made)


def at(addresses: Iterable[int]) -> dict[str, Any]:
    """Return a point for each address."""
    points: dict[str, Any] = {}
    for address in sorted(addresses):
        points |= registers(1, start=address)
    return points


SPACES = st.builds(
    Space,
    holes=st.sets(st.integers(0, 60), max_size=5),
    borders=st.sets(st.integers(1, 60), max_size=2),
    most=st.sampled_from([1, 2, 5, 16, 32, 125]),
    how=st.sampled_from([2, 3]),
)


ADDRESSES = st.sets(st.integers(0, 60), min_size=1, max_size=40)


def fewest(space: Space, addresses: Iterable[int], gaps: int) -> int:
    """Return how many requests somebody needs for the points that are there who knows what the unit refuses."""
    count, first, last = 0, 0, -99
    for address in sorted(set(addresses) - space.holes):
        if address - last - 1 > gaps or space.refused(first, address - first + 1):
            count, first = count + 1, address
        last = address
    return count


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


@pytest.mark.parametrize(
    ("most", "how"), [(1, "mute"), *((most, how) for most in (5, 16, 60) for how in ("mute", "jam"))]
)
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
