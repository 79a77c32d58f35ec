"""The driver on a real mosquitto: who is let in, what it is told if not, and that no event is lost or doubled."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from iotcore import Broker

from cloud_sync.mqtt import BrokerSettings, connector
from drivers.mqtt.driver import MqttDriver
from edge.brokers import real_brokers
from edge.poller import Poller
from sitekeeper.model.clock import SECOND, SystemClock
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, LinkDown
from sitekeeper.model.point import ScanGroup
from tests.fixtures import mqtt
from tests.fixtures.mosquitto import Authority, Mosquitto, passwords
from tests.fixtures.mqtt import BASE, EVENT, REQUEST, STATUS, Sink

GROUP = "door-1@1s"
SET = f"{BASE}/door/1/set"
LOCALHOST = "IP:127.0.0.1,DNS:localhost"


def driver(port: int, **link: Any) -> MqttDriver:
    doors = [mqtt.door(1), mqtt.door(2)]
    return mqtt.driver(real_brokers, doors, SystemClock(), **{"host": "127.0.0.1", "port": port} | link)


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def controller(port: int, **how: Any):
    """Be a controller: a session that may publish."""
    session = await connector(BrokerSettings(host="127.0.0.1", port=port, **how), "controller")()
    try:
        yield session
    finally:
        await session.close()


@asynccontextmanager
async def running(made: MqttDriver, sink: Sink):
    """Let a poller read and listen."""
    groups = tuple(ScanGroup(id=f"door-{n}@1s", device=f"door-{n}", period=SECOND, handles=(0, 1, 2)) for n in (1, 2))
    poller = Poller("doors", made, groups, sink, SystemClock(), rng=random.Random(1))
    task = asyncio.create_task(poller.run())
    try:
        yield poller
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.wait({task})


async def works(made: MqttDriver) -> None:
    """Open, read what is retained, write, close."""
    await made.open()
    try:
        await until(lambda: made._states.all_heard, 5)
        assert (await made.read(GROUP)).answered
    finally:
        await made.close()


async def refused(made: MqttDriver) -> str:
    """Return what is said by a link that cannot be opened, more than once, and leaves nothing behind."""
    said = []
    for _ in range(2):
        with pytest.raises(LinkDown) as failure:
            await made.open()
        said.append(str(failure.value))
    await made.close()
    assert said[0] == said[1]
    return said[0]


async def present(session: Any) -> None:
    await session.publish(STATUS, b'{"online":true}', retain=True)
    for number in (1, 2):
        await session.publish(f"{BASE}/door/{number}", mqtt.state(), retain=True)


async def test_password(tmp_path):
    """With the right password the doors are read; with a wrong one, or none, the remedy is named and no secret told."""
    file = passwords(tmp_path, gateway="open-sesame", controller="knock")
    with Mosquitto(tmp_path, f"allow_anonymous false\npassword_file {file}") as broker:
        async with controller(broker.port, username="controller", password="knock") as session:
            await present(session)
        await works(driver(broker.port, username="gateway", password="open-sesame"))
        await works(driver(broker.port, username="gateway", password="open-sesame", protocol="3.1.1"))
        for wrong in ({"username": "gateway", "password": "open-barley"}, {}):
            for protocol in ("auto", "3.1.1"):
                said = await refused(driver(broker.port, protocol=protocol, **wrong))
                assert "check username and password" in said
                assert "barley" not in said


async def test_nobody_there(tmp_path):
    """Where no broker listens, that is what is said."""
    broker = Mosquitto(tmp_path)
    said = await refused(driver(broker.port))
    assert "no broker listens there" in said
    assert said.count("mqtt 127.0.0.1") == 1


async def test_tls(tmp_path):
    """TLS works with the broker's own authority, and says what is wrong with another one, a missing file or no TLS."""
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    certificate, key = ours.sign("broker", host=LOCALHOST)
    more = f"allow_anonymous true\ncafile {ours.ca}\ncertfile {certificate}\nkeyfile {key}"
    with Mosquitto(tmp_path, more) as broker:
        async with controller(broker.port, ca_file=str(ours.ca)) as session:
            await present(session)
        await works(driver(broker.port, tls={"ca": str(ours.ca)}))
        assert "not from the authority in tls ca" in await refused(driver(broker.port, tls={"ca": str(theirs.ca)}))
        assert "check the files under tls" in await refused(driver(broker.port, tls={"ca": str(tmp_path / "no.pem")}))
        assert "both or neither" in await refused(driver(broker.port))


async def test_tls_for_another_host(tmp_path):
    """A certificate for another host is not believed."""
    ours = Authority(tmp_path / "ours")
    certificate, key = ours.sign("broker", host="DNS:other.example")
    more = f"allow_anonymous true\ncafile {ours.ca}\ncertfile {certificate}\nkeyfile {key}"
    with Mosquitto(tmp_path, more) as broker:
        assert "for another host" in await refused(driver(broker.port, tls={"ca": str(ours.ca)}))


async def test_tls_where_none_is_spoken(tmp_path):
    """TLS to a port without it is named as just that."""
    ours = Authority(tmp_path / "ours")
    with Mosquitto(tmp_path) as broker:
        assert "both or neither" in await refused(driver(broker.port, tls={"ca": str(ours.ca)}))


async def test_client_certificate(tmp_path):
    """A broker that asks for certificates lets us in with ours, and without one, or with a stranger's, says so."""
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    certificate, key = ours.sign("broker", host=LOCALHOST)
    more = (
        f"cafile {ours.ca}\ncertfile {certificate}\nkeyfile {key}\n"
        "require_certificate true\nuse_identity_as_username true\nallow_anonymous false"
    )
    own, own_key = ours.sign("gateway")
    strange, strange_key = theirs.sign("gateway")
    files = {"ca_file": str(ours.ca), "cert_file": str(own), "key_file": str(own_key)}
    with Mosquitto(tmp_path, more) as broker:
        async with controller(broker.port, **files) as session:
            await present(session)
        tls = {"ca": str(ours.ca)}
        await works(driver(broker.port, tls={**tls, "certificate": str(own), "key": str(own_key)}))
        assert "give tls certificate and key" in await refused(driver(broker.port, tls=tls))
        said = await refused(driver(broker.port, tls={**tls, "certificate": str(strange), "key": str(strange_key)}))
        assert "does not know the authority of our tls certificate" in said
        said = await refused(driver(broker.port, tls={**tls, "certificate": str(own), "key": str(strange_key)}))
        assert "check the files under tls" in said


ACL = """
user controller
topic readwrite sp/#
user gateway
topic read sp/harbour/#
topic write {allowed}
"""


async def test_access_list(tmp_path):
    """A write that the broker forbids is refused, one that nobody hears is silence; the link stays for others."""
    file = passwords(tmp_path, gateway="g", controller="c")
    acl = tmp_path / "acl"
    acl.write_text(ACL.format(allowed=SET))
    with Mosquitto(tmp_path, f"allow_anonymous false\npassword_file {file}\nacl_file {acl}") as broker:
        made, sink = driver(broker.port, username="gateway", password="g"), Sink()
        async with controller(broker.port, username="controller", password="c") as session:
            await present(session)
            async with running(made, sink) as poller:
                await until(lambda: len(sink.story) >= 2)
                with pytest.raises(DeviceSilent, match="nobody listens there"):
                    await made.write("door-1", "mode", "free", 1)
                await session.subscribe(SET)
                await made.write("door-1", "mode", "free", 1)
                delivery = await session.receive()
                assert (delivery.topic, json.loads(delivery.payload)) == (SET, {"mode": "free"})
                with pytest.raises(DeviceRefused) as refusal:
                    await made.write("door-2", "mode", "free", 1)
                assert refusal.value.exception_code == 135
                await session.publish(EVENT, mqtt.event(1))
                await session.publish(EVENT, mqtt.event(5))  # a gap, and asking for it is not allowed
                await session.publish(EVENT, mqtt.event(6))
                await until(lambda: len(sink.durable) == 3 and made.refused_requests == 1)
                assert poller.counts.reconnects == 0


async def test_range_request_and_command_reach_the_controller(tmp_path):
    """What the driver asks for after a gap arrives as the profile says, and the answers are told."""
    with Mosquitto(tmp_path) as broker:
        made, sink = driver(broker.port), Sink()
        async with controller(broker.port) as session, running(made, sink):
            await session.subscribe(REQUEST)
            await present(session)
            await until(lambda: len(sink.story) >= 2)
            for seq in (4710, 4713):
                await session.publish(EVENT, mqtt.event(seq))
            delivery = await session.receive()
            wanted = json.loads(delivery.payload)
            for seq in range(wanted["from"], wanted["to"] + 1):
                await session.publish(EVENT, mqtt.event(seq, buffered=True))
            await until(lambda: len(sink.durable) == 4)
            assert [heard.sequence for heard in sink.durable] == [4710, 4713, 4711, 4712]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_broker_killed_before_the_commit(tmp_path, protocol):
    """A kill -9 of the broker while events wait for the disk: all come again, and each is durable in the end."""
    with Mosquitto(tmp_path) as broker:
        made, sink = driver(broker.port, protocol=protocol), Sink(at_once=False)
        async with running(made, sink) as poller:
            async with controller(broker.port) as session:
                await present(session)
                await until(lambda: len(sink.story) >= 2)
                for seq in range(1, 41):
                    await session.publish(EVENT, mqtt.event(seq))
            await until(lambda: len(sink.events) == 40)
            sink.commit(15)
            await asyncio.sleep(2.5)  # mosquitto writes its file once a second
            broker.kill()
            await until(lambda: poller.counts.reconnects >= 1)
            broker.start()
            await until(lambda: len(made._waiting) == 25 + 25)  # what was taken before, and what came again
            assert [heard.sequence for heard in sink.events] == list(range(1, 41))  # each is told once
            sink.commit()
            await until(lambda: _nothing_left(made))
            assert [heard.sequence for heard in sink.durable] == list(range(1, 41))
        # Nothing is left with the broker: the next connection hears of none.
        after = Sink()
        async with running(driver(broker.port, protocol=protocol), after):
            await until(lambda: len(after.story) >= 2)
            await asyncio.sleep(0.3)
            assert not after.events


async def test_the_embedded_broker_of_the_demo():
    """On the embedded broker doors are read, commanded and heard; what was not durable comes again after a cut."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with Broker(port=port, listen="127.0.0.1"):
        made, sink = driver(port, protocol="3.1.1"), Sink(at_once=False)
        async with controller(port, protocol="3.1.1") as session:
            await present(session)
            await session.subscribe(SET)
            async with running(made, sink) as poller:
                await until(lambda: len(sink.story) >= 2)
                await made.write("door-1", "mode", "free", 1)
                assert (await session.receive()).topic == SET
                for seq in range(1, 31):
                    await session.publish(EVENT, mqtt.event(seq))
                await until(lambda: len(sink.events) == 30)
                sink.commit(10)
                await asyncio.sleep(0.3)
                assert made._session is not None
                made._session._client._client.socket().shutdown(socket.SHUT_RDWR)  # the network, not we, ends it
                await until(lambda: poller.counts.reconnects >= 1 and len(sink.events) >= 50)
                sink.commit()
                await until(lambda: _nothing_left(made))
                assert sorted({heard.sequence for heard in sink.durable}) == list(range(1, 31))


def _nothing_left(made: MqttDriver) -> bool:
    return not len(made._waiting)


CHILD = """
import asyncio, os, sys
from concurrent.futures import Future
from edge.brokers import real_brokers
from sitekeeper.model.clock import SystemClock
from tests.fixtures import mqtt

class Disk:
    # Keeps each event once, as the ledger of the pipeline does, 20 ms after it was told.
    def __init__(self, path):
        self.file = open(path, "a+b", buffering=0)
        self.file.seek(0)
        self.known = {int(line) for line in self.file.read().split()}
        self.told = open(path + ".told", "ab", buffering=0)
    def scanned(self, scan): pass
    def heard(self, heard):
        self.told.write(b"".join(b"%d\\n" % each.sequence for each in heard))
        future = Future()
        asyncio.get_running_loop().call_later(0.02, self.commit, future, heard)
        return future
    def commit(self, future, heard):
        for each in heard:
            if each.sequence not in self.known:
                self.file.write(b"%d\\n" % each.sequence)
                os.fsync(self.file.fileno())
                self.known.add(each.sequence)
        future.set_result(None)

async def main(port, path):
    doors = [mqtt.door(1), mqtt.door(2)]
    made = mqtt.driver(real_brokers, doors, SystemClock(), host="127.0.0.1", port=port)
    await made.open()
    open(path + ".open", "w").close()
    await made.listen(Disk(path))

asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
"""


async def test_killed_ourselves_again_and_again(tmp_path):
    """Our process, killed -9 eight times with events in hand: each of 400 is on disk exactly once, some told twice."""
    path, told = tmp_path / "disk", tmp_path / "disk.told"
    path.touch()
    told.touch()

    def start() -> subprocess.Popen[bytes]:
        root = str(Path(__file__).parents[2])
        return subprocess.Popen([sys.executable, "-c", CHILD, str(broker.port), str(path)], cwd=root,
                                env={**os.environ, "PYTHONPATH": root})  # fmt: skip

    def numbers(file: Path) -> list[int]:
        return [int(line) for line in file.read_text().split()]

    async def tell(session, first: int) -> None:
        for seq in range(first, first + 50):
            await session.publish(EVENT, mqtt.event(seq, door=seq % 2 + 1))

    with Mosquitto(tmp_path) as broker:
        child = start()
        try:
            async with controller(broker.port) as session:
                await until((tmp_path / "disk.open").exists, 30)  # the session has to be there before anything is told
                for kill in range(8):
                    telling = asyncio.create_task(tell(session, kill * 50 + 1))
                    await until(lambda: set(numbers(told)) > set(numbers(path)))
                    child.send_signal(signal.SIGKILL)
                    child.wait()
                    await telling
                    child = start()
                await until(lambda: len(numbers(path)) == 400, 60)
                await asyncio.sleep(0.5)
        finally:
            child.kill()
            child.wait()
    assert sorted(numbers(path)) == list(range(1, 401))
    assert numbers(path) == sorted(numbers(path))
    assert len(numbers(told)) > 400, "nothing was at risk: no event was told twice"
