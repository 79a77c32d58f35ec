"""When a poller reads, on a virtual loop: the grid, what comes too late, and how it waits for what does not answer."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from drivers.base import DeviceRead, PointRead, ReadGroup, Scan
from drivers.testing import FakeDriver, FakeKind
from edge.bus import BackOff
from edge.poller import Poller
from sitekeeper.model.clock import MS, SECOND, Micros
from sitekeeper.model.errors import LinkDown, NotFound
from sitekeeper.model.point import ScanGroup
from tests import virtual

FULL = BackOff()


class SlowDriver(FakeDriver):
    """A fake whose answers take `delay`, and whose silence takes `timeout` to be sure of."""

    delay: Micros = 0
    timeout: Micros = 0

    async def read(self, group_id: str) -> Scan:
        scan = await super().read(group_id)
        wait = self.delay if scan.answered else self.timeout
        if wait:
            await asyncio.sleep(wait / SECOND)
        return scan


@dataclass
class Pipe:
    """What came out of the poller: scans and lost links, each with its time."""

    loop: virtual.VirtualLoop
    scans: list[tuple[Micros, Scan]] = field(default_factory=list)
    lost: list[tuple[Micros, tuple[str, ...]]] = field(default_factory=list)

    def scanned(self, scan: Scan) -> None:
        self.scans.append((self.loop.now, scan))

    def link_failed(self, groups: tuple[str, ...], error: LinkDown) -> None:
        assert isinstance(error, LinkDown)
        self.lost.append((self.loop.now, groups))


class Rig:
    """One link with a lift, or more of them, read each second; `periods` are those of the scan groups of each.

    `urgent`: the lifts that go first.
    """

    def __init__(
        self,
        devices: int = 1,
        periods: tuple[Micros, ...] = (SECOND,),
        back_off: BackOff = FULL,
        urgent: tuple[str, ...] = (),
    ) -> None:
        self.loop, clock = virtual.virtual_loop(), virtual.VirtualClock()
        reads, groups = [], []
        for number in range(devices):
            name = f"lift-{number}"
            for period in periods:
                groups.append(ScanGroup(id=f"{name}@{period}", device=name, period=period, handles=(0,)))
            point = PointRead(handle=0, name="floor", type="int", address=None)
            own = [
                ReadGroup(id=g.id, device=name, period=g.period, points=(point,)) for g in groups if g.device == name
            ]
            reads.append(DeviceRead(id=name, options=FakeKind().device_model(), groups=tuple(own)))
        self.driver, self.pipe = SlowDriver(reads, clock), Pipe(self.loop)
        self.poller = Poller(
            "link", self.driver, tuple(groups), self.pipe, clock, back_off=back_off, rng=random.Random(1),
            urgent={group.id for group in groups if group.device in urgent},
        )  # fmt: skip

    async def run(self, seconds: float, change: Callable[[], None] | None = None) -> None:
        """Let the poller work for so long, do `change`, and go on; the poller is made anew only the first time."""
        if not hasattr(self, "task"):
            self.task = asyncio.create_task(self.poller.run())
        await asyncio.sleep(seconds)
        if change is not None:
            change()

    def reads(self, device: str = "lift-0") -> list[Micros]:
        """Return when a device was asked."""
        return [reading.at for reading in self.driver.log if reading.group.startswith(device)]


def on(story: Callable[[Rig], Coroutine[Any, Any, None]], **rig: Any) -> None:
    """Run a story on a rig; the poller has to be alive at its end."""

    async def main() -> None:
        each = Rig(**rig)
        await story(each)
        assert not each.task.done(), each.task.exception()
        each.task.cancel()
        await asyncio.wait({each.task})

    virtual.run(main())


def test_readings_lie_on_the_grid_however_long_an_answer_takes() -> None:
    """With answers that take 0.3 s, a group of 1 s is asked exactly every second."""

    async def story(rig: Rig) -> None:
        rig.driver.delay = 300 * MS
        await rig.run(20.5)
        assert rig.reads() == [n * SECOND for n in range(21)]
        assert (rig.poller.counts.scans, rig.poller.counts.missed) == (21, 0)

    on(story)


def test_each_group_keeps_its_own_period() -> None:
    """Of two groups of a device, one is read each second and one every ten, a moment apart at the start."""

    async def story(rig: Rig) -> None:
        await rig.run(30.5)
        fast = [r.at for r in rig.driver.log if r.group.endswith(f"@{SECOND}")]
        slow = [r.at for r in rig.driver.log if r.group.endswith(f"@{10 * SECOND}")]
        assert fast == [n * SECOND for n in range(31)]
        assert slow == [50 * MS + n * 10 * SECOND for n in range(4)]

    on(story, periods=(SECOND, 10 * SECOND))


def test_missed_turns_are_counted_and_never_made_up_for() -> None:
    """An answer of 3.4 s costs the turns of 2.4 s; the next reading comes at once, and one, not three in a row."""

    async def story(rig: Rig) -> None:
        await rig.run(2.5, lambda: setattr(rig.driver, "delay", 3400 * MS))
        await rig.run(2, lambda: setattr(rig.driver, "delay", 0))
        await rig.run(5)
        assert rig.reads() == [0, SECOND, 2 * SECOND, 3 * SECOND, *(6400 * MS + n * SECOND for n in range(4))]
        assert rig.poller.counts.missed == 2

    on(story)


def test_a_link_that_is_always_too_slow_gets_behind_openly() -> None:
    """When an answer takes 2.5 periods, readings follow one another, what did not come is counted, and it is told."""

    async def story(rig: Rig) -> None:
        rig.driver.delay = 2500 * MS
        await rig.run(70.1)
        assert rig.reads() == [n * 2500 * MS for n in range(29)]
        assert rig.poller.counts.missed == 28 * 3 // 2
        usage = rig.poller.usage()
        assert usage is not None
        assert (usage.busy, usage.stretch) == (pytest.approx(1, abs=0.05), pytest.approx(2.5, abs=0.1))
        assert rig.poller.pace("lift-0")[f"lift-0@{SECOND}"].achieved == pytest.approx(2.5 * SECOND, rel=0.05)

    on(story)


def test_one_request_at_a_time() -> None:
    """Ten devices on a link never have two requests under way."""
    under_way: list[int] = []

    async def story(rig: Rig) -> None:
        rig.driver.delay = 20 * MS
        read, busy = rig.driver.read, 0

        async def counted(group: str) -> Scan:
            nonlocal busy
            busy += 1
            under_way.append(busy)
            scan = await read(group)
            busy -= 1
            return scan

        rig.driver.read = counted  # type: ignore[method-assign]
        await rig.run(5)

    on(story, devices=10)
    assert len(under_way) > 40
    assert set(under_way) == {1}


def test_a_silent_device_is_asked_once_per_place_and_never_tried_again_at_once() -> None:
    """This is the only layer that retries: between two questions to a silent device lies its back-off."""

    async def story(rig: Rig) -> None:
        rig.driver.timeout = SECOND
        rig.driver.silence("lift-0")
        await rig.run(60)
        asked = rig.reads()
        waits = [b - a - SECOND for a, b in pairwise(asked)]
        assert min(waits) >= FULL.first // 2
        assert max(waits) <= FULL.alone  # it has the link to itself
        assert rig.poller.counts.unanswered == len(rig.pipe.scans) >= 20
        assert "silenced by the test" in rig.poller.last_errors["lift-0"]

    on(story)


@pytest.mark.parametrize("silent_for", [0.9, 7.3, 100.0])
def test_a_device_that_comes_back_is_found_within_two_seconds(silent_for: float) -> None:
    """However long it was silent, its first good scan comes within 2 s of its return."""

    async def story(rig: Rig) -> None:
        await rig.run(5.5, lambda: rig.driver.silence("lift-0"))
        await rig.run(silent_for, lambda: rig.driver.restore("lift-0"))
        back = rig.loop.now
        await rig.run(3)
        found = next(at for at, scan in rig.pipe.scans if at >= back and scan.answered)
        assert found - back <= 2 * SECOND

    on(story)


def test_a_device_that_answers_again_is_read_at_its_period_again() -> None:
    """Back-off leaves no trace: after the return the readings are one period apart."""

    async def story(rig: Rig) -> None:
        rig.driver.silence("lift-0")
        await rig.run(30, lambda: rig.driver.restore("lift-0"))
        await rig.run(2)
        good = len(rig.reads())
        await rig.run(10)
        after = rig.reads()[good:]
        assert {b - a for a, b in pairwise(after)} == {SECOND}

    on(story)


def test_a_silent_neighbour_costs_others_nothing_where_time_is_enough() -> None:
    """With one of five devices silent, the others are read at every place, and it is asked in a tenth of the time."""

    async def story(rig: Rig) -> None:
        rig.driver.timeout = 200 * MS
        rig.driver.silence("lift-4")
        await rig.run(50)
        for number in range(4):
            assert len(rig.reads(f"lift-{number}")) == 50
        assert rig.poller.counts.missed == 0
        assert 20 <= len(rig.reads("lift-4")) <= 26
        assert rig.poller.pace("lift-4") == {f"lift-4@{SECOND}": (False, None)}

    on(story, devices=5)


def test_dead_neighbours_take_turns_and_the_living_one_is_read_between_any_two_time_outs() -> None:
    """With four of five devices silent, at 1 s each, they share a tenth of the time; the fifth is read all the time."""

    async def story(rig: Rig) -> None:
        rig.driver.timeout, rig.driver.delay = SECOND, 10 * MS
        for number in range(1, 5):
            rig.driver.silence(f"lift-{number}")
        await rig.run(10)
        gaps = {b - a for a, b in pairwise(rig.reads())}
        assert max(gaps) <= 2 * SECOND, "not even while it is found out who is silent"
        begin, tried = len(rig.reads()), [len(rig.reads(f"lift-{number}")) for number in range(1, 5)]
        await rig.run(400)
        assert len(rig.reads()) - begin >= 0.95 * 400
        dead = [len(rig.reads(f"lift-{number}")) - old for number, old in enumerate(tried, 1)]
        assert 36 <= sum(dead) <= 41
        assert max(dead) - min(dead) <= 1

    on(story, devices=5)


def test_a_bus_without_power_is_whole_again_soon() -> None:
    """When all but one of twelve were silent and are back, the first is found by its turn, and the rest at once."""

    async def story(rig: Rig) -> None:
        rig.driver.timeout, rig.driver.delay = SECOND, 10 * MS
        away = [f"lift-{number}" for number in range(1, 12)]
        await rig.run(5, lambda: [rig.driver.silence(name) for name in away])
        await rig.run(300, lambda: [rig.driver.restore(name) for name in away])
        back = rig.loop.now
        await rig.run(12)
        found = [min(at for at in rig.reads(name) if at >= back) for name in away]
        assert min(found) - back <= 10 * SECOND
        assert max(found) - min(found) <= 3 * SECOND

    on(story, devices=12)


def test_a_link_full_of_answers_still_tries_the_silent_one() -> None:
    """When those that answer take more time than there is, the silent device keeps its turn and comes back."""

    async def story(rig: Rig) -> None:
        rig.driver.timeout, rig.driver.delay = SECOND, 600 * MS
        rig.driver.silence("lift-2")
        await rig.run(60, lambda: rig.driver.restore("lift-2"))
        assert 5 <= len(rig.reads("lift-2")) <= 7
        await rig.run(13)
        assert any(scan.answered for _, scan in rig.pipe.scans if scan.device == "lift-2")

    on(story, devices=3)


def test_a_unit_that_breaks_the_link_does_not_keep_it_from_the_others() -> None:
    """Some converters hang up when a unit is silent: after each opening it comes last, and all others are read."""

    async def story(rig: Rig) -> None:
        read = rig.driver.read

        async def breaks(group: str) -> Scan:
            if group.startswith("lift-0"):
                raise LinkDown("hung up", endpoint="fake")
            return await read(group)

        rig.driver.read = breaks  # type: ignore[method-assign]
        await rig.run(60)
        assert rig.poller.counts.reconnects >= 20
        for name in ("lift-1", "lift-2"):
            assert len(rig.reads(name)) >= rig.poller.counts.reconnects - 1

    on(story, devices=3)


def test_urgent_groups_keep_their_period_on_a_link_that_is_asked_for_too_much() -> None:
    """Two of six groups go first and are read each second; the other four stretch alike, and it is told."""

    async def story(rig: Rig) -> None:
        rig.driver.delay = 250 * MS
        await rig.run(70)
        counts = [len(rig.reads(f"lift-{number}")) for number in range(6)]
        assert min(counts[:2]) >= 69
        assert max(counts[2:]) - min(counts[2:]) <= 2
        assert sum(counts) >= 278
        usage = rig.poller.usage()
        assert usage is not None
        assert (usage.urgent, usage.stretch) == (pytest.approx(1, abs=0.01), pytest.approx(2, abs=0.1))
        assert rig.poller.pace("lift-0")[f"lift-0@{SECOND}"].urgent
        assert not rig.poller.pace("lift-2")[f"lift-2@{SECOND}"].urgent

    on(story, devices=6, urgent=("lift-0", "lift-1"))


def test_whatever_the_periods_all_stretch_alike() -> None:
    """Six devices with groups of 1 s and of 5 s ask for twice what there is: each kind has half of its turns."""

    async def story(rig: Rig) -> None:
        rig.driver.delay = 280 * MS
        await rig.run(300)
        counts = {period: [0] * 6 for period in (SECOND, 5 * SECOND)}
        for reading in rig.driver.log:
            device, period = reading.group.split("@")
            counts[int(period)][int(device[-1])] += 1
        for period, each in counts.items():
            assert min(each) >= 300 * SECOND // period / 2.05 - 2
            assert max(each) <= 300 * SECOND // period / 2 + 3

    on(story, devices=6, periods=(SECOND, 5 * SECOND))


def test_a_lost_link_is_told_for_all_its_groups_and_found_within_two_seconds() -> None:
    """Every failed attempt names all groups; when the link can be opened again, all are read within 2 s."""

    async def story(rig: Rig) -> None:
        await rig.run(5.5, rig.driver.cut)
        await rig.run(60)
        every = rig.pipe.lost[0][1]
        assert every == (f"lift-0@{SECOND}", f"lift-1@{SECOND}")
        assert {groups for _, groups in rig.pipe.lost} == {every}
        rig.driver.mend()
        back = rig.loop.now
        await rig.run(3)
        for device in ("lift-0", "lift-1"):
            found = next(at for at, scan in rig.pipe.scans if at >= back and scan.device == device)
            assert found - back <= 2 * SECOND
        assert rig.driver.opened == 2

    on(story, devices=2)


def test_when_the_link_is_lost_what_a_device_said_before_is_no_longer_its_last_error() -> None:
    """Otherwise a technician would look for a silent unit where a cable is pulled."""

    async def story(rig: Rig) -> None:
        rig.driver.silence("lift-0")
        await rig.run(5, rig.driver.cut)
        assert rig.poller.last_errors
        await rig.run(60)
        assert not rig.poller.last_errors
        assert rig.poller.last_error

    on(story)


def test_the_back_off_of_a_link_grows_to_its_limit_and_begins_anew_after_an_answer() -> None:
    """Waits between attempts double from 1/8..1/4 s to 0.75..1.5 s; after the link was back they are short again."""

    async def story(rig: Rig) -> None:
        for _ in range(2):
            rig.driver.cut()
            begin = len(rig.pipe.lost)
            await rig.run(30, rig.driver.mend)
            times = [at for at, _ in rig.pipe.lost[begin:]]
            waits = [b - a for a, b in pairwise(times)]
            for failures, wait in enumerate(waits, 1):
                full = min(FULL.most, FULL.first * 2 ** (failures - 1))
                assert full / 2 <= wait <= full
            assert len({*waits[4:]}) > 5, "spread, so that the links of a site do not knock in step"
            await rig.run(10)
            assert rig.poller.counts.reconnects == len(rig.pipe.lost)

    on(story)


def test_the_driver_is_closed_before_it_is_opened_again_and_at_the_end() -> None:
    """No attempt leaves a connection behind, and cancelling the poller closes it."""
    calls: list[str] = []

    async def story(rig: Rig) -> None:
        inner_open, inner_close = rig.driver.open, rig.driver.close

        async def opened() -> None:
            calls.append("open")
            await inner_open()

        async def closed() -> None:
            calls.append("close")
            await inner_close()

        rig.driver.open, rig.driver.close = opened, closed  # type: ignore[method-assign]
        rig.driver.cut()
        await rig.run(3, rig.driver.mend)
        await rig.run(5)

    on(story)
    assert calls == ["open", "close"] * (len(calls) // 2)
    assert len(calls) >= 4


def test_any_other_error_ends_the_poller_visibly() -> None:
    """What is not the link's failure is a fault of ours: it is raised, and the driver is closed."""

    async def main() -> None:
        rig = Rig()
        poller = Poller(
            "link",
            rig.driver,
            (ScanGroup(id="nowhere@1s", device="nowhere", period=SECOND, handles=()),),
            rig.pipe,
            virtual.VirtualClock(),
        )
        with pytest.raises(NotFound):
            await poller.run()
        with pytest.raises(LinkDown):
            await rig.driver.read(f"lift-0@{SECOND}")

    virtual.run(main())


def test_the_wait_is_between_half_and_all_of_the_doubled_first() -> None:
    """It never exceeds `most`, however many failures there were."""
    rng = random.Random(7)
    for failures in (1, 2, 3, 10, 17, 1_000_000):
        full = min(FULL.most, FULL.first << min(failures - 1, 16))
        waits = [FULL.wait(failures, rng) for _ in range(200)]
        assert full // 2 <= min(waits) < 0.6 * full
        assert 0.9 * full < max(waits) <= full


@pytest.mark.parametrize("opens", [False, True])
def test_an_end_that_a_library_forgets_is_an_end(opens: bool) -> None:
    """A cancellation that is lost while a link is being opened, in vain or not, still ends the poller."""

    async def main() -> None:
        rig = Rig()

        async def forgetful() -> None:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            if not opens:
                raise LinkDown("nobody there", endpoint="fake")

        rig.driver.open = forgetful  # type: ignore[method-assign]
        await rig.run(1.0)
        rig.task.cancel()
        await asyncio.wait({rig.task}, timeout=10)
        assert rig.task.cancelled()

    virtual.run(main())
