"""Devices that tell their changes: through the real port and driver, against a device in bytes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest

from drivers.bacnet.driver import BacnetDriver
from drivers.base import Scan
from simulators.scenario import FaultPart, Scenario
from sitekeeper.model.clock import ManualClock
from sitekeeper.model.quality import GOOD
from tests.fixtures import bacnet
from tests.fixtures.bacnet import PIV, Asked, ByteDevice, notice, simple_ack, unsigned
from tests.fixtures.bacnet_peers import simulated

LIMIT = 30.0
"""Seconds that anything may take on a machine that stands still for a while."""


async def until(what: Callable[[], Any]) -> None:
    end = monotonic() + LIMIT
    while not what():
        assert monotonic() < end, "it never came"
        await asyncio.sleep(0.005)


I_AM = b"\x10\x00\xc4\x02\x00\x04\xb0\x22\x05\xc4\x91\x03\x21\x63"
"""Of device 1200, which takes 1476 bytes, without segmentation."""


class Telling(ByteDevice):
    """A device whose positive integer values have the numbers in `now`, and that tells them when subscribed."""

    def __init__(self, **more: Any) -> None:
        super().__init__(self.honest, **more)
        self.now = {1: 11, 2: 12, 3: 13}
        self.subscribes = self.accept
        self.first = True

    def honest(self, asked: Asked) -> bytes:
        return bacnet.answer(asked, {name: unsigned(self.now[name[1]]) for name in bacnet.names(asked)})

    def accept(self, asked: Asked) -> bytes:
        wanted = self.subscribed[-1]
        if wanted.seconds is not None and self.first:
            asyncio.get_running_loop().call_soon(self.tell, self.saying(wanted.place[1]))
        return simple_ack(asked, asked.service)

    def saying(self, instance: int, **more: Any) -> bytes:
        return notice((PIV, instance), {85: unsigned(self.now[instance]), 111: b"\x82\x04\x00"}, **more)

    def change(self, instance: int, value: int, invoke: int | None = None, **more: Any) -> None:
        self.now[instance] = value
        self.tell(self.saying(instance, **more), invoke)


class Rig:
    """The driver with its listener, the sink it tells, and a clock that stands still until it is moved."""

    def __init__(self, peer: Telling, driver: BacnetDriver | None = None) -> None:
        self.peer, self.clock = peer, ManualClock()
        if driver is None:
            written = bacnet.values(1, 2, 3)
            for how in written.values():
                how[0]["cov"] = True
            driver = bacnet.driver(bacnet.device("d", written, port=peer.port), clock=self.clock, timeout="1s")
        self.driver = driver
        self.scans: list[Scan] = []
        self.stand: dict[int, tuple[Any, int]] = {}

    def scanned(self, scan: Scan) -> None:
        self.scans.append(scan)
        self.stand |= {outcome.index: (outcome.value, outcome.q) for outcome in scan.outcomes}

    def heard(self, heard: Any) -> Any:
        raise AssertionError("BACnet has no events")

    async def read(self) -> Scan:
        scan = await self.driver.read("d@1s")
        self.scanned(scan)
        return scan

    def cov(self) -> Any:
        (found,) = self.driver.report("d")["cov"]
        return found

    def told(self) -> list[Scan]:
        return [scan for scan in self.scans if scan.told]


@asynccontextmanager
async def listened(made: Rig) -> AsyncIterator[None]:
    """Open it and have it listen."""
    await made.driver.open()
    listening = asyncio.create_task(made.driver.listen(made))  # type: ignore[arg-type]
    try:
        yield
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await made.driver.close()


@asynccontextmanager
async def rig(peer: Telling, *, alive: int = 3) -> AsyncIterator[Rig]:
    """Return it open, read once, and with so many subscriptions alive."""
    await peer.start()
    made = Rig(peer)
    try:
        async with listened(made):
            await made.read()
            await until(lambda: made.cov()["alive"] == alive)
            yield made
    finally:
        await peer.stop()


@pytest.mark.parametrize("invoke", [None, 9])
async def test_a_change_is_a_value_at_once(invoke: int | None):
    """A notification becomes a scan of that point alone, confirmed or not; a confirmed one is acknowledged."""
    peer = Telling()
    async with rig(peer) as made:
        assert [(one.place, one.prop, one.seconds) for one in peer.subscribed] == [
            ((PIV, instance), None, 300) for instance in (1, 2, 3)
        ]
        asked = len(peer.requests)
        made.clock.advance(3_000_000)
        peer.change(2, 99, invoke, left=297)
        await until(lambda: made.stand[1] == (99, GOOD))
        (scan,) = made.told()
        assert ([outcome.index for outcome in scan.outcomes], scan.complete) == ([1], False)
        assert len(peer.requests) == asked, "nothing was read for it"
        if invoke is not None:
            await until(lambda: peer.replies == [bytes([0x20, 9, 1])])
        assert (await made.read()).outcomes == [], "a reading finds the same, which is no news"


async def test_what_is_not_ours_is_no_value():
    """Another process, device or object, a wrong type, garbage, an old one and another sender: no value ever."""
    peer, other = Telling(), Telling()
    await other.start()
    async with rig(peer) as made:
        before = dict(made.stand)
        strange = made.driver._listening.strange
        other.client = peer.client
        for data in (
            notice((PIV, 1), {85: unsigned(66)}, process=5),
            notice((PIV, 1), {85: unsigned(66)}, device=1201),
            notice((PIV, 9), {85: unsigned(66)}),
            notice((2, 1), {85: unsigned(66)}),
            notice((PIV, 1), {85: unsigned(66)})[:-3],
            b"\xff" * 40,
        ):
            peer.tell(data, invoke=3)
        other.tell(notice((PIV, 1), {85: unsigned(66)}))
        await until(lambda: made.driver._listening.strange == strange + 7)
        assert made.told() == []
        await until(lambda: len(peer.replies) == 6)
        assert set(peer.replies) == {bytes([0x50, 3, 1, 0x91, 5, 0x91, 79])}, "unknown subscription"
        assert made.stand == before
    await other.stop()


@pytest.mark.parametrize(
    "data",
    [notice((PIV, 1), {85: b"\x44\x42\x82\x00\x00"}), notice((PIV, 1), {85: unsigned(66)}, left=100)],
    ids=["another type", "too old"],
)
async def test_what_is_in_doubt_is_read(data: bytes):
    """A value of another type and one that was held up are no values: the scan group is read at once instead."""
    peer = Telling()
    async with rig(peer) as made:
        made.clock.advance(1_000_000)
        peer.now[1] = 50
        peer.tell(data)
        await until(lambda: made.stand[0] == (50, GOOD))
        assert made.told() == []


async def test_the_same_again_is_read():
    """A confirmed notification that is sent again, its acknowledgement lost, does not bring the old value back."""
    peer = Telling()
    async with rig(peer) as made:
        first = peer.saying(1, left=299)
        peer.change(1, 70, invoke=1, left=299)
        await until(lambda: made.stand[0] == (70, GOOD))
        made.clock.advance(5_000_000)
        peer.change(1, 71, invoke=2, left=294)
        await until(lambda: made.stand[0] == (71, GOOD))
        asked = len(peer.requests)
        peer.now[1] = 71
        again = notice((PIV, 1), {85: unsigned(70), 111: b"\x82\x04\x00"}, left=299)
        peer.tell(again, invoke=1)
        await until(lambda: len(peer.requests) > asked)
        await until(lambda: len(peer.replies) == 3)
        assert made.stand[0] == (71, GOOD)
        assert first != again


@pytest.mark.parametrize("refusal", ["reject", "error", "silent", "mute"])
async def test_who_does_not_tell_is_polled(refusal: str):
    """A device that rejects, refuses, ignores or accepts and never tells is read like any other, and says why."""
    peer = Telling()
    peer.subscribes = {
        "reject": lambda asked: bacnet.reject(asked, 9),
        "error": lambda asked: bacnet.error(asked, 2, 45),
        "silent": lambda _asked: None,
        "mute": lambda asked: simple_ack(asked, asked.service),
    }[refusal]
    async with rig(peer, alive=0) as made:
        why = {"reject": "reject 9", "error": "error 45", "silent": "", "mute": "no notification comes"}[refusal]
        await until(lambda: len(peer.subscribed) >= (1 if refusal in {"reject", "silent"} else 3))
        made.clock.advance(6_000_000)
        made.driver._listening.wake()
        await until(lambda: why in made.cov()["refused"])
        peer.now[3] = 88
        await made.read()
        assert made.stand[2] == (88, GOOD)
        assert made.told() == []


async def test_a_device_that_was_switched_off_and_on_is_subscribed_anew():
    """Silence ends every subscription; the device's return reads everything and subscribes again."""
    peer = Telling()
    async with rig(peer) as made:
        peer.mute = True
        assert not (await made.read()).answered
        assert made.cov()["alive"] == 0
        peer.mute, peer.now = False, {1: 21, 2: 22, 3: 23}
        peer.subscribed.clear()
        assert (await made.read()).answered
        assert [made.stand[at] for at in range(3)] == [(21, GOOD), (22, GOOD), (23, GOOD)]
        await until(lambda: made.cov()["alive"] == 3)
        assert len(peer.subscribed) == 3


async def test_a_device_that_forgot_its_subscriptions_is_found():
    """Restarted in silence, a device tells nothing more: the next reading brings the value, and subscribes it anew."""
    peer = Telling()
    async with rig(peer) as made:
        peer.subscribed.clear()
        peer.now[2] = 77  # and nobody is told
        await made.read()
        assert made.stand[1] == (77, GOOD)
        made.clock.advance(4_000_000)
        made.driver._listening.wake()
        await until(lambda: len(peer.subscribed) == 3 and made.cov()["alive"] == 3)
        assert (made.cov()["untold"], made.cov()["renewed"]) == (1, 2), "the others with it, before they too change"


async def test_an_i_am_renews_at_once():
    """A device that introduces itself may have been restarted: its subscriptions are renewed then and there."""
    peer = Telling()
    async with rig(peer) as made:
        peer.subscribed.clear()
        peer.send(I_AM, peer.client)
        await until(lambda: len(peer.subscribed) == 3)
        assert made.cov()["alive"] == 3


async def test_what_is_told_is_read_less():
    """Of a device that is read one by one, a scan reads one told property in turn, and each again within the minute."""
    peer = Telling()
    honest = peer.script
    peer.script = lambda asked: bacnet.reject(asked, 9) if asked.service == 14 else honest(asked)
    async with rig(peer) as made:
        await made.read()
        peer.requests.clear()
        for _ in range(6):
            made.clock.advance(1_000_000)
            await made.read()
        assert [bacnet.names(asked)[0][1] for asked in peer.requests] == [1, 2, 3, 1, 2, 3]
        made.clock.advance(61_000_000)
        peer.requests.clear()
        await made.read()
        assert len(peer.requests) == 3


async def test_the_link_closed_gives_up_its_subscriptions():
    """A gateway that leaves says so, once for each, and does not leave the device telling nobody."""
    peer = Telling()
    async with rig(peer):
        peer.subscribed.clear()
    assert [(one.place[1], one.seconds) for one in peer.subscribed] == [(1, None), (2, None), (3, None)]


async def test_two_devices_with_one_instance_are_found_and_never_mixed():
    """A second device that says that it is ours, from elsewhere, is counted and shown; nothing of it is a value."""
    peer, other = Telling(), Telling()
    other.now = {1: 66, 2: 66, 3: 66}
    await other.start()
    async with rig(peer) as made:
        assert (made.driver.doubled(), "also_at" in made.driver.report("d")) == (0, False)
        other.client = peer.client
        other.send(I_AM, other.client)
        await until(lambda: made.driver.doubled() == 1)
        assert made.driver.report("d")["also_at"] == f"127.0.0.1:{other.port}"
        strange = made.driver._listening.strange
        other.tell(other.saying(1))
        await until(lambda: made.driver._listening.strange > strange)
        await made.read()
        assert {value for value, _ in made.stand.values()} == {11, 12, 13}
        assert other.requests == []
    await other.stop()


@pytest.mark.parametrize("how", ["confirmed", "unconfirmed"])
async def test_our_simulated_lift_tells_forgets_and_refuses(how: str, monkeypatch: pytest.MonkeyPatch):
    """Properties of a Lift are told; when it has forgotten us it is found and asked anew; when it refuses, polled."""
    monkeypatch.setattr("drivers.bacnet.cov.UNTOLD", 300_000)
    lift = {"id": "lift", "object": 1, "face": "bacnet-lift"}
    plan = {"title": "t", "links": [{"id": "bms", "kind": "bacnet", "cov": True, "devices": [lift]}]}
    points: dict[str, bacnet.Written] = {
        "alarm": ({"object": "lift", "property": "passenger-alarm", "cov": True}, "bool"),
        "load": ({"object": "lift", "property": "car-load", "cov": 1.0}, "float"),
        "doors": ({"object": "lift", "property": "car-door-status", "bool": {True: 0, False: 1}, "cov": True}, "bool"),
        "faults": ({"object": "lift", "property": "fault-signals", "contains": 5, "cov": True}, "bool"),
    }
    async with simulated(Scenario.model_validate(plan)) as (estate, address, _):
        device = bacnet.device("d", points, port=int(address.rpartition(":")[2]), cov=how)
        rig = Rig(Telling(), driver=bacnet.driver(device, timeout="1s"))
        async with listened(rig):
            await rig.read()
            await until(lambda: rig.cov()["alive"] == 4)
            assert rig.stand[0] == (False, GOOD)
            estate.lifts["lift"].alarm_button = True
            await until(lambda: rig.stand[0] == (True, GOOD))
            assert [[outcome.index for outcome in scan.outcomes] for scan in rig.told()] == [[0]]
            estate.switch("lift", FaultPart(kind="forget"))
            estate.lifts["lift"].alarm_button = False
            await rig.read()
            assert rig.stand[0] == (False, GOOD), "read, for nobody told it"
            await until(lambda: rig.cov()["untold"] == 1 and rig.cov()["alive"] == 4)
            estate.switch("lift", FaultPart(kind="no_cov"))
            estate.lifts["lift"].alarm_button = True
            await rig.read()
            await until(lambda: "45" in rig.cov()["refused"])
            assert rig.stand[0] == (True, GOOD)
