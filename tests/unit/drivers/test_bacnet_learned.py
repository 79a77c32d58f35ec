"""What a device takes at once is learned once: over new plans, silences and restarts, of this device and no other."""

from typing import Any

import pytest

from drivers.bacnet import IP
from drivers.bacnet.driver import BacnetDriver
from drivers.bacnet.learned import Learned
from drivers.bacnet.message import Reference
from drivers.bacnet.plan import Item, plan
from drivers.base import Services
from sitekeeper.model.clock import SystemClock
from sitekeeper.model.quality import GOOD
from tests.fixtures import bacnet
from tests.fixtures.bacnet import Asked, ByteDevice, abort, answer, names, reject, unsigned, values

ITEMS = [Item(Reference(48, instance, 85)) for instance in range(1, 9)]
SEGMENTATION, RESOURCES, TOO_LONG = 4, 9, 11
WHO = {120, 70, 44}


class Kept:
    """A memory that counts."""

    def __init__(self) -> None:
        self.there: dict[str, bytes] = {}
        self.times = 0

    def recall(self, device: str) -> bytes | None:
        return self.there.get(device)

    def keep(self, device: str, what: bytes) -> None:
        self.there[device], self.times = what, self.times + 1


class Narrow:
    """A device whose answers have at most `most` properties, or that knows no ReadPropertyMultiple (0)."""

    def __init__(self, most: int, code: int = SEGMENTATION) -> None:
        self.most, self.code, self.model = most, code, b"\x75\x03\x00M7"
        self.who = 0
        self.naks = 0

    def __call__(self, asked: Asked) -> bytes:
        if len(names(asked)) > max(self.most, 1) or (asked.service == 14 and not self.most):
            self.naks += 1
            return abort(asked, self.code) if self.most else reject(asked, 9)
        return answer(asked, {name: unsigned(name[1] + 1000) for name in names(asked)})


class Peer(ByteDevice):
    """It says what it is."""

    def _answer(self, asked: Asked, addr: tuple[str, int]) -> None:
        if asked.service == 12 and names(asked)[0][0] == 8 and names(asked)[0][2] in WHO:
            assert isinstance(self.script, Narrow)
            self.script.who += 1
            said = {120: unsigned(999), 70: self.script.model}
            self.open -= 1
            self.send(answer(asked, {(8, self.instance, key): value for key, value in said.items()}), addr)
        else:
            super()._answer(asked, addr)


def field(peer: ByteDevice, memory: Kept | None, points: int = 8) -> BacnetDriver:
    link = IP.link_model.model_validate({"address": "127.0.0.1/8", "port": 0, "instance": 990001, "timeout": "300ms"})
    device = bacnet.device("d", values(*range(1, points + 1)), port=peer.port)
    made = IP.create("link", link, [device], SystemClock(), Services(memory=memory))
    assert isinstance(made, BacnetDriver)
    return made


async def read(driver: BacnetDriver, times: int = 1) -> Any:
    """Open a driver, read so many times, and close it; return the requests that it then sends."""
    await driver.open()
    try:
        for _ in range(times):
            scan = await driver.read("d@1s")
            assert scan.answered
            assert all(outcome.q == GOOD for outcome in scan.outcomes)
        return [len(request.items) for request in driver.requests("d@1s")]
    finally:
        await driver.close()


@pytest.mark.parametrize(("most", "plan"), [(3, [2, 2, 2, 2]), (4, [4, 4]), (0, [1] * 8)])
async def test_a_restart_asks_as_before(most: int, plan: list[int]):
    """Halved, or asked one by one: after a restart nothing is declined any more."""
    device, memory = Narrow(most), Kept()
    peer = Peer(device)
    await peer.start()
    try:
        assert await read(field(peer, memory), 3) == plan
        assert (device.naks > 0, device.who, memory.times) == (True, 3, 1)
        device.naks = 0
        assert await read(field(peer, memory), 2) == plan
        assert (device.naks, device.who, memory.times) == (0, 6, 1)
    finally:
        await peer.stop()


async def test_another_device_is_learned_anew():
    """One of another model answers there under the same instance: it is asked for all at once, and that is kept."""
    device, memory = Narrow(3), Kept()
    peer = Peer(device)
    await peer.start()
    try:
        await read(field(peer, memory), 2)
        device.most, device.model = 8, b"\x75\x03\x00M8"
        assert await read(field(peer, memory), 2) == [8]
        device.model = b"\x75\x03\x00M7"
        assert await read(field(peer, memory), 2) == [8], "not remembered of the first either"
    finally:
        await peer.stop()


async def test_a_silence_forgets_nothing_of_the_same_device():
    """Silent for a while and back as what it was, it is not asked for too much again."""
    device, memory = Narrow(0), Kept()
    peer = Peer(device)
    await peer.start()
    driver = field(peer, memory)
    await driver.open()
    try:
        await driver.read("d@1s")
        peer.mute = True
        assert not (await driver.read("d@1s")).answered
        peer.mute, device.naks = False, 0
        assert (await driver.read("d@1s")).answered
        assert device.naks == 0
    finally:
        await driver.close()
        await peer.stop()


async def test_what_a_device_lacks_for_the_moment_is_not_kept():
    """Out of resources today says nothing of tomorrow."""
    device, memory = Narrow(4, RESOURCES), Kept()
    peer = Peer(device)
    await peer.start()
    try:
        assert await read(field(peer, memory), 2) == [4, 4]
        assert (memory.there, device.who) == ({}, 0)
    finally:
        await peer.stop()


async def test_a_device_that_takes_everything_is_asked_nothing_more():
    """Nothing to learn: not one request to find out who it is, and nothing is kept."""
    device, memory = Narrow(8), Kept()
    peer = Peer(device)
    await peer.start()
    try:
        assert await read(field(peer, memory), 2) == [8]
        assert (memory.there, device.who) == ({}, 0)
    finally:
        await peer.stop()


def test_cuts_hold_for_any_part_of_the_properties():
    """A request never goes on over a cut, whether or not the property that it stands before is among those asked."""
    cuts = {ITEMS[3].reference}

    def counts(*items: Item) -> list[int]:
        return [len(request.items) for request in plan(items, 1476, cuts=cuts)]

    assert counts(*ITEMS) == [3, 5]
    assert counts(*ITEMS[:3], *ITEMS[4:]) == [3, 4]
    assert counts(*ITEMS[3:]) == [5]
    assert counts(*ITEMS[:3]) == [3]


@pytest.mark.parametrize("kept", [b"", b"\xff\xff", b"\x93\x01\x02\x03", b"\x94\xa1x\x90\xc3\x80"])
def test_what_cannot_be_read_is_learned_anew(kept: bytes):
    """Of another version, of another address, or of nobody: nothing of it is taken."""
    learned = Learned("10.0.0.7 1200")
    learned.unpack(kept)
    assert (bool(learned), learned.who) == (False, None)


def test_it_is_kept_whole():
    """What is packed is unpacked, cuts at elements of arrays among them; for another address it is not."""
    learned = Learned("10.0.0.7 1200")
    learned.who = (b"\x21\x07", b"")
    learned.alone()
    learned.cut("d@1s", Reference(59, 1, 450, 1))
    learned.cut("d@1s", Reference(59, 1, 450))
    same, other = Learned("10.0.0.7 1200"), Learned("10.0.0.8 1200")
    same.unpack(learned.pack())
    other.unpack(learned.pack())
    assert (same.who, same.single, same.cuts) == (learned.who, True, learned.cuts)
    assert not other
