"""How a poller listens: beside reading, as long as the link is open, and with one end for both."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

import pytest

from drivers.base import DeviceRead, Heard, PointRead, ReadGroup
from drivers.testing import FakeKind, FakeTeller
from edge.poller import Poller
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import LinkDown
from sitekeeper.model.point import ScanGroup
from tests import virtual


class Pipe:
    """What came out of the poller, in its order."""

    def __init__(self) -> None:
        self.story: list[str] = []

    def scanned(self, scan: Any) -> None:
        self.story.append("scan")

    def heard(self, heard: Any) -> "Future[None]":
        self.story += [each.name for each in heard]
        return Future()

    def link_failed(self, groups: tuple[str, ...], error: LinkDown) -> None:
        self.story.append(f"down: {error.what}")


READ = Heard(device="door", name="read.event", received=0, fields={})


class Rig:
    """One door on a link whose devices also speak."""

    def __init__(self) -> None:
        clock, self.pipe = virtual.VirtualClock(), Pipe()
        point = PointRead(handle=0, name="x", type="int", address=None)
        group = ReadGroup(id="door@1s", device="door", period=SECOND, points=(point,))
        device = DeviceRead(id="door", options=FakeKind().device_model(), groups=(group,))
        self.driver = FakeTeller([device], clock)
        groups = (ScanGroup(id="door@1s", device="door", period=SECOND, handles=(0,)),)
        self.poller = Poller("link", self.driver, groups, self.pipe, clock, rng=random.Random(1))
        self.task = asyncio.create_task(self.poller.run())


def on(story: Callable[[Rig], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        rig = Rig()
        await story(rig)
        rig.task.cancel()
        await asyncio.wait({rig.task})

    virtual.run(main())


def test_events_come_between_readings() -> None:
    """What a device says reaches the sink at once, while its points are read at their period."""

    async def story(rig: Rig) -> None:
        await asyncio.sleep(1.5)
        rig.driver.tell(READ)
        await asyncio.sleep(1)
        assert rig.pipe.story == ["scan", "scan", "read.event", "scan"]
        assert rig.driver.listening == 1

    on(story)


@pytest.mark.parametrize("end", ["cut", "hang_up"])
def test_whichever_fails_first_ends_both(end: str) -> None:
    """A link lost while reading or while listening is lost once, and both begin anew when it is back."""

    async def story(rig: Rig) -> None:
        await asyncio.sleep(1.5)
        getattr(rig.driver, end)()
        await asyncio.sleep(1)
        assert rig.pipe.story[2:] == ["down: cut by the test"] * rig.poller.counts.reconnects
        assert len(asyncio.all_tasks()) == 2, "the listener and the reader are gone"
        rig.driver.mend()
        await asyncio.sleep(3)
        rig.driver.tell(READ)
        assert (rig.driver.listening, rig.pipe.story[-1]) == (2, "read.event")

    on(story)


def test_a_link_that_is_lost_at_once_is_tried_ever_more_slowly() -> None:
    """A broker that hangs up as soon as somebody listens is not asked in a tight loop."""

    async def story(rig: Rig) -> None:
        async def hung_up(_sink: Any) -> None:
            raise LinkDown("hung up", endpoint="fake")

        rig.driver.listen = hung_up  # type: ignore[method-assign]
        await asyncio.sleep(60)
        assert 40 <= rig.poller.counts.reconnects <= 100

    on(story)


def test_a_fault_of_a_driver_is_no_lost_link() -> None:
    """Another error than a lost link ends the poller: it would come again for ever."""

    async def story(rig: Rig) -> None:
        async def broken(_sink: Any) -> None:
            raise ZeroDivisionError

        rig.driver.listen = broken  # type: ignore[method-assign]
        await asyncio.sleep(1.5)
        rig.driver.hang_up()
        await asyncio.wait({rig.task}, timeout=5)
        error = rig.task.exception()
        assert isinstance(error, ExceptionGroup)
        assert isinstance(error.exceptions[0], ZeroDivisionError)

    on(story)
