"""What is told while a device is read, what is in doubt, and devices that ignore subscriptions."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from drivers.bacnet.cov import Subscriptions
from drivers.bacnet.groups import Group
from drivers.bacnet.listening import Listening, Watched
from drivers.bacnet.message import Reference
from drivers.bacnet.subscription import Wanted
from drivers.base import Scan
from sitekeeper.model.clock import SECOND, ManualClock
from sitekeeper.model.errors import LinkDown
from sitekeeper.model.quality import GOOD
from tests.fixtures.bacnet import PIV
from tests.fixtures.bacnet_told import TellingDevice, told_by

PLACES = [(PIV, instance) for instance in range(1, 25)]
SMALL = 128
"""Bytes of one message: the 24 points need four requests."""


async def quiet(device: TellingDevice, scans: int = 12) -> None:
    """Let time pass until every request was read at its own time."""
    for _ in range(scans):
        device.clock.advance(SECOND)
        await device.read()


def told_while_read(device: TellingDevice, at: int, value: float, behind: int | None = None, **more: Any) -> None:
    """Have a place change, and be told, when the answer with its old value is already on its way; or, if that is
    another place, the answer with the value of `behind`."""

    def answered(places: list[int]) -> None:
        if (at if behind is None else behind) in places:
            device.answered = lambda places: None  # type: ignore[method-assign]
            device.truth[at] = value
            device.tell(at, **more)

    device.answered = answered  # type: ignore[method-assign]


@pytest.mark.parametrize("behind", [0, 23])
async def test_what_is_told_during_a_complete_scan_is_not_lost(behind: int):
    """The complete scan has read the old value and swallows the notification: a reading of it at once says the new."""
    device = TellingDevice(PLACES)
    async with told_by(device, max_apdu=SMALL):
        await quiet(device)
        device.broken = True
        device.clock.advance(SECOND)
        assert not (await device.read()).answered
        told_while_read(device, 0, 999, behind)
        device.clock.advance(SECOND)
        assert (await device.read()).complete
        assert device.stand[0] == (1, GOOD)
        await device.settled()
        assert device.stand[0] == (999, GOOD)


@pytest.mark.parametrize("at", [0, 8, 16, 23])
async def test_what_is_in_doubt_is_read_at_once_in_whatever_request_it_stands(at: int):
    """A notification with a wrong age is not believed; what it is about is read, not what was read longest ago."""
    device = TellingDevice(PLACES)
    async with told_by(device, max_apdu=SMALL) as field:
        await quiet(device)
        assert len(field.requests("d@1s")) == 4
        device.clock.advance(SECOND)
        reads, device.truth[at] = device.reads, 777
        device.tell(at, late=-9)
        assert device.stand[at] == (at + 1, GOOD)
        await device.settled()
        assert device.stand[at] == (777, GOOD)
        assert device.reads == reads + 1


async def test_a_reading_under_way_takes_back_nothing_that_was_told_meanwhile():
    """The new value is said once: the answer that was on its way is older, and the reading after it decides."""
    device = TellingDevice(PLACES)
    async with told_by(device, max_apdu=SMALL):
        await quiet(device)
        at = PLACES.index(min(device.group.blocks, key=lambda block: block.read_at or 0).request.references[0][:2])
        device.said.clear()
        told_while_read(device, at, 555)
        device.clock.advance(SECOND)
        reads = device.reads
        await device.read()
        await device.settled()
        assert device.said == [(at, 555)]
        assert device.reads == reads + 2, "read once more"


async def test_what_is_doubted_during_a_reading_is_read_after_it():
    """The answer on its way may be older than what was doubted: it is said, and does not settle the doubt."""
    device = TellingDevice(PLACES)
    async with told_by(device, max_apdu=SMALL):
        await quiet(device)
        at = PLACES.index(min(device.group.blocks, key=lambda block: block.read_at or 0).request.references[0][:2])
        told_while_read(device, at, 555, late=-9)
        device.clock.advance(SECOND)
        await device.read()
        assert device.stand[at] == (at + 1, GOOD)
        await device.settled()
        assert device.stand[at] == (555, GOOD)


# --- devices that ignore subscriptions


class Port:
    """Stands for a station: `answer` is awaited for each subscription."""

    met = True

    def __init__(self, clock: ManualClock, answer: Callable[[], Awaitable[None]]) -> None:
        self.asked, self._answer = 0, answer
        self.subscriptions = Subscriptions(process=1, lifetime=300 * SECOND, confirmed=True)
        references = [Reference(5, instance, 85) for instance in range(60)]
        self.subscriptions.want(Wanted(one) for one in references)
        self.subscriptions.read(references, clock.monotonic())

    async def subscribe(self, service: int, data: bytes) -> None:
        self.asked += 1
        await self._answer()


class Reading:
    """Stands for a scan group."""

    def __init__(self, name: str, station: Port) -> None:
        self.memory = type("Memory", (), {"group": type("Read", (), {"id": name})})
        self.station = station

    def doubt(self, references: object) -> None:
        """Nothing is planned here."""


async def never() -> None:
    await asyncio.Event().wait()


async def at_once() -> None:
    await asyncio.sleep(0)


def listening(ports: list[Port], clock: ManualClock, read: Callable[[Group], Awaitable[Scan]]) -> Listening:
    watched = {(str(at), at): Watched(cast("Any", port)) for at, port in enumerate(ports)}
    return Listening(watched, read, clock)


async def test_devices_that_do_not_answer_hold_up_nobody():
    """Behind ten that leave subscriptions and readings unanswered, another is subscribed and read at once; and when
    the link is closed nothing of it is left."""
    clock = ManualClock()
    mute, good = [Port(clock, never) for _ in range(10)], Port(clock, at_once)
    done = []

    async def read(group: Group) -> Scan:
        if group.station in mute:
            await never()
        done.append(group)
        return cast("Scan", None)

    made = listening([*mute, good], clock, read)
    before = asyncio.all_tasks()
    task = asyncio.create_task(made.run(cast("Any", type("Sink", (), {"scanned": lambda self, scan: None})())))
    wanted = Reference(5, 1, 85)
    for number, port in enumerate([*mute, good]):
        group = cast("Group", Reading(f"g{number}", port))
        made._hurry(Watched(cast("Any", port), {wanted: [group]}), [wanted], clock.monotonic())
    for _ in range(200):
        await asyncio.sleep(0)
    assert [port.asked for port in mute] == [1] * 10, "one at a time"
    assert good.asked == 60
    assert [group.station for group in done] == [good]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0)
    assert (task.cancelled(), made._busy, asyncio.all_tasks()) == (True, set(), before)


async def test_a_lost_port_ends_it_with_what_was_lost():
    """Whoever of the tasks finds it, the listener fails as a link does, and the others are over."""

    async def lost() -> None:
        await asyncio.sleep(0)
        raise LinkDown("the port is gone", endpoint="udp")

    clock, before = ManualClock(), asyncio.all_tasks()
    made = listening([Port(clock, never), Port(clock, lost)], clock, cast("Any", None))
    with pytest.raises(LinkDown, match="the port is gone"):
        await made.run(cast("Any", None))
    await asyncio.sleep(0)
    assert (made._busy, asyncio.all_tasks()) == (set(), before)
