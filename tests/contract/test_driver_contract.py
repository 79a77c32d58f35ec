"""What every driver promises, whatever its protocol. One suite; a new driver adds a bench, not a test.

MQTT knows no refusal of a single value: there, a device that cannot tell one publishes what has no meaning.
"""

import asyncio
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest

from cloud_sync.memory import MemoryBroker
from drivers.base import DeviceRead, Driver, PointRead, ReadGroup, Scan, Services
from drivers.mqtt import KIND
from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.options import MqttPoint, Place
from drivers.testing import FakeDriver, FakeKind
from sitekeeper.model.clock import SECOND, ManualClock
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, FieldError, LinkDown, NotFound, ReplyMismatch
from sitekeeper.model.quality import GOOD, Reason, bad
from tests.fixtures import bacnet, modbus, mqtt

# Two devices, a and b, each with points p0, p1, p2 (whole numbers); p0 and p1 fail apart from p2.


class Bench(ABC):
    """A driver together with the means to change its world. `refusal`: what a point that the device refuses becomes."""

    driver: Driver
    refusal: tuple[Reason, type[FieldError]] = (Reason.REFUSED, DeviceRefused)

    @abstractmethod
    def set(self, device: str, point: int, value: int) -> None: ...
    @abstractmethod
    def silence(self, device: str) -> None: ...
    @abstractmethod
    def restore(self, device: str) -> None: ...
    @abstractmethod
    def refuse(self, device: str, point: int) -> None: ...
    @abstractmethod
    async def cut(self) -> None: ...
    @abstractmethod
    async def mend(self) -> None: ...


class FakeBench(Bench):
    def __init__(self) -> None:
        def device(name: str) -> DeviceRead:
            points = tuple(PointRead(handle=at, name=f"p{at}", type="int", address=None) for at in range(3))
            group = ReadGroup(id=f"{name}@1s", device=name, period=SECOND, points=points)
            return DeviceRead(id=name, options=FakeKind().device_model(), groups=(group,))

        self.fake = FakeDriver([device("a"), device("b")], ManualClock())
        self.driver = self.fake

    def set(self, device, point, value):
        self.fake.set(f"{device}/p{point}", value)

    def silence(self, device):
        self.fake.silence(device)

    def restore(self, device):
        self.fake.restore(device)

    def refuse(self, device, point):
        self.fake.refuse(f"{device}/p{point}")

    async def cut(self):
        self.fake.cut()

    async def mend(self):
        self.fake.mend()


class ModbusBench(Bench):
    """Registers 0, 1 and 50 of units 1 and 2, so that p2 has a request of its own."""

    PLACES = (0, 1, 50)
    UNITS = {"a": 1, "b": 2}

    def __init__(self) -> None:
        self.words: dict[tuple[int, int], int] = {}
        self.mute: set[int] = set()
        self.forbidden: set[tuple[int, int]] = set()
        self.server = modbus.ByteServer(self.script)

    def script(self, request, writer):
        address, count = modbus.asked(request)
        unit = request[6]
        places = [(unit, at) for at in range(address, address + count)]
        if unit in self.mute:
            return
        if self.forbidden & set(places):
            writer.write(modbus.frame(request, struct.pack(">BB", request[7] | 0x80, 2)))
            return
        writer.write(modbus.answer(request, *[self.words.get(place, 0) for place in places]))

    @asynccontextmanager
    async def running(self) -> AsyncIterator["ModbusBench"]:
        async with modbus.serving(self.script) as self.server:
            points = {f"p{at}": ({"input": place}, "int") for at, place in enumerate(self.PLACES)}
            devices = [modbus.device(name, points, unit=unit) for name, unit in self.UNITS.items()]
            self.driver = modbus.driver(self.server.port, *devices, timeout="100ms", clock=ManualClock())
            yield self
            await self.driver.close()

    def set(self, device, point, value):
        self.forbidden.discard((self.UNITS[device], self.PLACES[point]))
        self.words[self.UNITS[device], self.PLACES[point]] = value

    def silence(self, device):
        self.mute.add(self.UNITS[device])

    def restore(self, device):
        self.mute.discard(self.UNITS[device])

    def refuse(self, device, point):
        self.forbidden.add((self.UNITS[device], self.PLACES[point]))

    async def cut(self):
        await self.server.stop()

    async def mend(self):
        await self.server.start()


class BacnetBench(Bench):
    """Two BACnet devices in bytes; p2 does not fit into the answer with p0 and p1. The port is cut by a stranger."""

    DEVICES = ("a", "b")

    def __init__(self) -> None:
        self.values: dict[tuple[str, int], int] = {}
        self.peers: dict[str, bacnet.ByteDevice] = {}
        self.forbidden: set[tuple[str, int]] = set()
        self.stranger: socket.socket | None = None

    def script(self, name, asked):
        places = {place: (name, place[1] - 1) for place in bacnet.names(asked)}
        given = {place: bacnet.unsigned(self.values.get(key, 0)) for place, key in places.items()}
        refused = {place: (2, 32) for place, key in places.items() if key in self.forbidden}
        return bacnet.answer(asked, given | refused)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["BacnetBench"]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        async with AsyncExitStack() as stack:
            for name in self.DEVICES:
                script = partial(self.script, name)
                self.peers[name] = await stack.enter_async_context(bacnet.serving(script, max_apdu=50))
            points = bacnet.values(1, 2, 3)
            devices = [bacnet.device(name, points, port=peer.port) for name, peer in self.peers.items()]
            self.driver = bacnet.driver(*devices, timeout="100ms", port=self.port, clock=ManualClock())
            yield self
            await self.driver.close()
            await self.mend()

    def set(self, device, point, value):
        self.forbidden.discard((device, point))
        self.values[device, point] = value

    def silence(self, device):
        self.peers[device].mute = True

    def restore(self, device):
        self.peers[device].mute = False

    def refuse(self, device, point):
        self.forbidden.add((device, point))

    async def cut(self):
        self.driver._stack._server().local_transport.abort()
        await asyncio.sleep(0)
        self.stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.stranger.bind(("127.0.0.1", self.port))

    async def mend(self):
        if self.stranger is not None:
            self.stranger.close()


class MqttBench(Bench):
    """Two devices on a broker in memory, each with an availability topic and a topic for each point."""

    refusal = (Reason.UNMAPPED, ReplyMismatch)

    def __init__(self) -> None:
        self.broker = MemoryBroker()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["MqttBench"]:
        devices = [self.device(name) for name in ("a", "b")]
        options = KIND.link_model.model_validate({"host": "broker"})
        made = MqttDriver("link", options, devices, ManualClock(), Services(brokers=mqtt.lent(self.broker)))
        self.driver = Prompt(made)
        yield self
        await made.close()

    def device(self, name: str) -> DeviceRead:
        points = tuple(
            PointRead(
                handle=at,
                name=f"p{at}",
                type="int",
                address=Place(MqttPoint.model_validate({"topic": f"{name}/{at}", "json": "value"})),
            )
            for at in range(3)
        )
        group = ReadGroup(id=f"{name}@1s", device=name, period=SECOND, points=points)
        self.restore(name)
        options = KIND.device_model.model_validate({"availability": {"topic": f"{name}/there", "online": "yes"}})
        return DeviceRead(id=name, options=options, groups=(group,))

    def set(self, device, point, value):
        self.broker.publish(f"{device}/{point}", b'{"value":%d}' % value, retain=True)

    def silence(self, device):
        self.broker.publish(f"{device}/there", b"no", retain=True)

    def restore(self, device):
        self.broker.publish(f"{device}/there", b"yes", retain=True)

    def refuse(self, device, point):
        self.broker.publish(f"{device}/{point}", b'{"value":"?"}', retain=True)

    async def cut(self):
        self.broker.up = False
        self.broker.cut()

    async def mend(self):
        self.broker.up = True


class Prompt:
    """A driver that reads only after what was published has arrived, as it has when people look."""

    def __init__(self, driver: MqttDriver) -> None:
        self.open, self.close, self.write = driver.open, driver.close, driver.write
        self._read = driver.read

    async def read(self, group_id: str) -> Scan:
        for _ in range(10):
            await asyncio.sleep(0)
        return await self._read(group_id)


KINDS = {"modbus-tcp": ModbusBench, "bacnet-ip": BacnetBench, "mqtt": MqttBench}


@pytest.fixture(params=["fake", *KINDS])
async def bench(request, no_leaked_tasks):  # the guard goes first, so that it looks after the bench is gone
    if request.param == "fake":
        made = FakeBench()
        start(made)
        yield made
    else:
        async with KINDS[request.param]().running() as made:
            start(made)
            yield made


def start(bench: Bench) -> None:
    for device, base in (("a", 10), ("b", 20)):
        for point in range(3):
            bench.set(device, point, base + point)


def listed(scan):
    return [(outcome.index, outcome.value, outcome.q) for outcome in scan.outcomes]


ALL_OF_A = [(0, 10, GOOD), (1, 11, GOOD), (2, 12, GOOD)]
COMM = bad(Reason.COMM)


async def test_first_scan_lists_every_point(bench):
    """The first scan after opening has every point once, in order, with its value."""
    await bench.driver.open()
    scan = await bench.driver.read("a@1s")
    assert listed(scan) == ALL_OF_A
    assert (scan.group, scan.device, scan.complete, scan.answered, scan.errors) == ("a@1s", "a", True, True, ())


async def test_unchanged_is_answered_and_empty(bench):
    """If nothing changed, a scan lists nothing and says that all was answered."""
    await bench.driver.open()
    await bench.driver.read("a@1s")
    scan = await bench.driver.read("a@1s")
    assert (listed(scan), scan.complete, scan.answered) == ([], False, True)


async def test_a_change_lists_that_point_alone(bench):
    """If one point changed, a scan lists that one."""
    await bench.driver.open()
    await bench.driver.read("a@1s")
    bench.set("a", 1, 99)
    assert listed(await bench.driver.read("a@1s")) == [(1, 99, GOOD)]


async def test_silent_device_is_bad_and_its_neighbour_is_not(bench):
    """A silent device's points are all bad for want of communication, nothing is raised, and others go on."""
    await bench.driver.open()
    await bench.driver.read("a@1s")
    bench.silence("a")
    scan = await bench.driver.read("a@1s")
    assert listed(scan) == [(0, None, COMM), (1, None, COMM), (2, None, COMM)]
    assert not scan.answered
    error = scan.errors[0]
    assert isinstance(error, DeviceSilent)
    assert (error.device, error.count) == ("a", 1)
    again = await bench.driver.read("a@1s")
    assert again.errors[0].count == 2
    neighbour = await bench.driver.read("b@1s")
    assert [value for _, value, _ in listed(neighbour)] == [20, 21, 22]


async def test_back_from_silence_lists_every_point(bench):
    """The first scan of a device that answers again is complete, even with the values of before."""
    await bench.driver.open()
    await bench.driver.read("a@1s")
    bench.silence("a")
    await bench.driver.read("a@1s")
    bench.restore("a")
    scan = await bench.driver.read("a@1s")
    assert (listed(scan), scan.complete, scan.answered) == (ALL_OF_A, True, True)


async def test_refused_point_is_bad_and_the_others_stay(bench):
    """A refused point is bad and says why; the others keep their values, and the device counts as answering."""
    await bench.driver.open()
    await bench.driver.read("a@1s")
    bench.refuse("a", 2)
    scan = await bench.driver.read("a@1s")
    reason, error = bench.refusal
    assert listed(scan) == [(2, None, bad(reason))]
    assert scan.answered
    assert isinstance(scan.errors[0], error)
    still = await bench.driver.read("a@1s")
    assert listed(still) == []
    assert len(still.errors) == 1
    bench.set("a", 2, 12)
    assert listed(await bench.driver.read("a@1s")) == [(2, 12, GOOD)]


async def test_lost_link_raises_and_comes_back_complete(bench):
    """While the link is lost, reading and opening raise; after it is back, the first scan is complete."""
    await bench.driver.open()
    await bench.driver.read("a@1s")
    await bench.cut()
    for _ in range(2):
        with pytest.raises(LinkDown):
            await bench.driver.read("a@1s")
    await bench.driver.close()
    with pytest.raises(LinkDown):
        await bench.driver.open()
    await bench.mend()
    await bench.driver.open()
    scan = await bench.driver.read("a@1s")
    assert (listed(scan), scan.complete) == (ALL_OF_A, True)


async def test_read_before_open(bench):
    """A link that is not open is a lost link, not a crash."""
    with pytest.raises(LinkDown):
        await bench.driver.read("a@1s")


async def test_unknown_group(bench):
    """A group that is not on this link is not found."""
    await bench.driver.open()
    with pytest.raises(NotFound):
        await bench.driver.read("c@1s")


async def test_close_twice(bench):
    """Closing again, or without having opened, does nothing."""
    await bench.driver.close()
    await bench.driver.open()
    await bench.driver.close()
    await bench.driver.close()
