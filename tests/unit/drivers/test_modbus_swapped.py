"""A unit that becomes another one, or goes, while it is read: what was learned of the old one binds nobody."""

from typing import Any

import msgspec
import pytest

from drivers.modbus.identity import Identity
from drivers.modbus.learned import HAD, HAD_FOR, OFTEN, Learned, Run
from drivers.modbus.memory import pack, unpack
from drivers.modbus.scanning import IN_VAIN
from sitekeeper.model.clock import HOUR, MINUTE, SECOND
from sitekeeper.model.quality import GOOD, Reason, bad
from tests import virtual
from tests.fixtures.hostile_modbus import connect_to
from tests.fixtures.modbus import Kept, answer, asked, device, driver, registers
from tests.fixtures.modbus_space import Result, Space, at, fewest, read_on

SWAPPED = 5
"""The reading before which a unit is exchanged."""
SOON = 40
"""Within so many readings everything that there is stands good again."""


def swapped(before: Space, after: Space, points: dict[str, Any], times: int = 60, **options: Any) -> Result:
    """Read a unit, and from reading `SWAPPED` on another one at the same address, on the same connection."""

    async def story() -> Result:
        return await read_on(before, points, times, changes={SWAPPED: lambda: before.become(after)}, **options)

    return virtual.run(story())


@pytest.mark.parametrize(
    ("most", "how"), [(1, "jam"), (40, "mute"), *((10, how) for how in (2, 3, "short", "mute", "jam"))]
)
def test_a_unit_exchanged_for_one_that_takes_less(most: int, how: int | str) -> None:
    """Whatever it does with requests that the old one answered, it is read soon, by as few requests as it takes."""
    found = swapped(Space(), Space(most=most, how=how, base=3000), at(range(61)))
    assert found.good is not None
    assert SWAPPED <= found.good <= SWAPPED + SOON
    assert len(found.plan) == fewest(Space(most=most), range(61), 0)


@pytest.mark.parametrize("how", ["short", "mute"])
def test_the_same_with_a_hole_where_the_request_begins(how: str) -> None:
    """That somebody is there is asked of other points in turn, and what is refused alone says it as well."""
    found = swapped(Space(), Space(most=10, how=how, holes={0}), at(range(31)))
    assert found.good is not None
    assert found.good <= SWAPPED + SOON
    assert found.stands["r0"][1] == bad(Reason.REFUSED if how == "short" else Reason.COMM)


def test_a_block_that_was_refused_and_came_back_says_its_value_again() -> None:
    """Its points are bad while it is refused, though its registers never change, and good with the next answer."""
    space, seen = Space(), []

    async def story() -> None:
        connect_to(space)  # type: ignore[arg-type]
        field = driver(502, device("d", registers(3)), timeout="100ms", clock=virtual.VirtualClock())
        await field.open()
        for most in (125, 0, 125, 125):
            space.most = most
            seen.append([(each.index, each.value, each.q) for each in (await field.read("d@1s")).outcomes])
        await field.close()

    virtual.run(story())
    right = [(0, 1000, GOOD), (1, 1001, GOOD), (2, 1002, GOOD)]
    assert seen == [right, [(each, None, bad(Reason.REFUSED)) for each in range(3)], right, []]


def test_three_requests_in_vain_end_a_reading() -> None:
    """Even of a unit that answers others; the rest is bad for this reading, and is asked for first in the next one."""
    requests: list[int] = []

    def unit(request: bytes) -> list[bytes]:
        start, _ = asked(request)
        requests.append(start)
        return [answer(request, start)] if start < 100 else []

    async def story() -> list[tuple[list[int], list[Any]]]:
        connect_to(unit)  # type: ignore[arg-type]
        points = at([0, 2, *range(100, 118, 2)])
        field = driver(502, device("d", points, identify=False), timeout="100ms", clock=virtual.VirtualClock())
        await field.open()
        found = []
        for _ in range(3):
            requests.clear()
            scan = await field.read("d@1s")
            found.append((list(requests), [each.value for each in scan.outcomes if each.q == GOOD]))
            assert {each.q for each in scan.outcomes} == {GOOD, bad(Reason.COMM)}
        await field.close()
        return found

    found = virtual.run(story())
    assert [values for _, values in found] == [[0, 2]] * 3
    assert [len(requests) for requests, _ in found] == [2 + IN_VAIN] * 3
    assert sorted({start for requests, _ in found for start in requests}) == [0, 2, *range(100, 118, 2)]


# --- what is kept


def test_a_point_that_was_answered_once_is_asked_every_15_s_for_an_hour() -> None:
    """It is there, and refused for a while; after that it is asked as rarely as one that never was."""
    learned, now = Learned(), 0
    waits: list[int] = []
    while now < 3 * HAD_FOR:
        learned.denied(Run("holding", 4, 1), "hole", now, had=not waits)
        ((_, belief),) = learned.refused
        waits.append(belief.due - now)
        now = belief.due
    assert waits[OFTEN : OFTEN + 5] == [4 * SECOND, 8 * SECOND, HAD, HAD, HAD]
    assert max(waits[: HAD_FOR // HAD]) == HAD
    assert waits[-1] == 10 * MINUTE


def test_what_was_answered_is_known_after_a_restart() -> None:
    """Gateway and unit start together: points of a unit that refuses everything for minutes are back 15 s later."""
    memory, space = Kept(), Space()
    virtual.run(read_on(space, at(range(6)), 3, memory=memory, identify=False))
    space.most = 0

    async def story() -> Result:
        return await read_on(space, at(range(6)), 340, changes={300: lambda: space.become(Space())}, memory=memory)

    found = virtual.run(story())
    assert found.good is not None
    assert 300 <= found.good <= 300 + HAD // SECOND + 1


def test_a_point_refused_before_the_restart_is_asked_soon_after_it() -> None:
    """A belief of a point that was answered once says so when it comes back, too."""
    learned, fresh = Learned(), Learned()
    learned.denied(Run("holding", 4, 1), "hole", 0, had=True)
    kept = pack("plan", learned, Identity(), [Run("holding", 0, 9)])
    assert unpack(kept, "plan", fresh, Identity(), HOUR) == [Run("holding", 0, 9)]
    assert [belief.had for _, belief in fresh.refused] == [True]


def test_what_an_older_version_kept_is_read() -> None:
    """Before it was kept what had been answered; functions that must never be asked again are not forgotten."""
    kept = msgspec.msgpack.encode(["plan", [["holding", 4, 1, "hole"]], {"holding": 9}, {"vendor": "Acme"}, [17, 43]])
    learned, identity = Learned(), Identity()
    assert unpack(kept, "plan", learned, identity, 0) == []
    assert [run for run, _ in learned.refused] == [Run("holding", 4, 1)]
    assert (identity.known, identity.never) == ({"vendor": "Acme"}, {17, 43})


@pytest.mark.parametrize(
    "damage",
    [
        {1: [["holding", 4, 0, "hole"]]},
        {1: [["holding", -1, 1, "hole"]]},
        {1: [["coils", 4, 1, "hole"]]},
        {2: {"holding": 0}},
        {5: [["holding", 4, -1]]},
    ],
)
def test_what_cannot_be_is_not_taken_up(damage: dict[int, Any]) -> None:
    """Kept bytes that are damaged teach nothing: a run without addresses would keep a point apart for ever."""
    right = ["plan", [], {"holding": 9}, {}, [], []]
    learned = Learned()
    kept = msgspec.msgpack.encode([damage.get(at, part) for at, part in enumerate(right)])
    unpack(kept, "plan", learned, Identity(), 0)
    assert (learned.refused, learned.taken("holding")) == ((), 0)
    unpack(msgspec.msgpack.encode(right), "plan", learned, Identity(), 0)
    assert learned.taken("holding") == 9


# --- a cable that is pulled while something is found out


@pytest.mark.parametrize("whole", [True, False], ids=["cable", "line behind a converter"])
@pytest.mark.parametrize("how", [2, "mute"])
def test_a_line_that_goes_while_a_unit_is_learned_teaches_nothing_wrong(how: int | str, whole: bool) -> None:
    """Wherever in the search nobody answers any more: once the line is back, so are all values, and no size shrank."""

    for cut in range(1, 26, 4):
        space = Space(most=10, how=how, cut=cut, whole=whole)
        found = virtual.run(read_on(space, at(range(31)), 50))
        assert {q for _, q in found.stands.values()} == {GOOD}, cut
        assert len(found.plan) == fewest(space, range(31), 0), cut


@pytest.mark.parametrize("whole", [True, False], ids=["cable", "line behind a converter"])
def test_a_line_that_goes_leaves_a_unit_as_it_was(whole: bool) -> None:
    """A unit that takes everything is read by the same single request after its line was gone."""
    for cut in range(1, 8, 2):
        found = virtual.run(read_on(Space(cut=cut, whole=whole), at(range(31)), 30))
        assert found.plan == [(0, 31)]
        assert found.told["refused"] == []
        assert found.good is not None
