"""One suite over every session: in memory, mosquitto with MQTT 5 and 3.1.1, the embedded broker with 3.1.1."""

import asyncio
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from iotcore import Broker

from cloud_sync.memory import MemoryBroker
from cloud_sync.mqtt import BrokerSettings, connector
from cloud_sync.session import Connect, Delivery, Session, Will
from sitekeeper.model.errors import PeerUnreachable

Make = Callable[..., Connect]
PATIENCE = 5.0

MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages 20000
max_inflight_messages 50
acl_file {acl}
"""
ACL = "topic readwrite open/#\ntopic readwrite sitekeeper/#\ntopic read denied/#\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"nothing listens on {port}")


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed")
    folder: Path = tmp_path_factory.mktemp("mosquitto")
    port = free_port()
    (folder / "acl").write_text(ACL)
    (folder / "acl").chmod(0o644)
    folder.chmod(0o755)
    (folder / "mosquitto.conf").write_text(MOSQUITTO.format(port=port, acl=folder / "acl") + "user root\n")
    with subprocess.Popen(
        [program, "-c", str(folder / "mosquitto.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        wait_for_port(port)
        yield port
        process.terminate()


@pytest.fixture(scope="module")
def embedded() -> Iterator[int]:
    port = free_port()
    broker = Broker(port=port, listen="127.0.0.1", max_payload_size=512 * 1024)
    broker.start()
    yield port
    broker.stop()


@pytest.fixture
def ns() -> str:
    """Topics of this test alone begin with this, because brokers outlive tests."""
    return f"open/{uuid.uuid4().hex[:8]}"


@pytest.fixture(params=["memory", "mosquitto-5", "mosquitto-3.1.1", "mosquitto-auto", "embedded-3.1.1"])
async def make(request: pytest.FixtureRequest, no_leaked_tasks: None, ns: str) -> AsyncIterator[Make]:
    """A maker of connectors to one broker; its sessions are closed at the end."""
    opened: list[Session] = []
    build: Callable[..., Connect]
    if request.param == "memory":
        build = MemoryBroker().connector
    else:
        where, _, protocol = str(request.param).partition("-")
        settings = BrokerSettings(
            host="127.0.0.1",
            port=request.getfixturevalue(where),
            protocol=protocol,  # type: ignore[arg-type]
            receive_maximum=20,
        )

        def build(client_id: str, *, persistent: bool = False) -> Connect:
            return connector(settings, client_id, persistent=persistent)

    def tracked(client_id: str, **more: Any) -> Connect:
        inner = build(f"{client_id}-{ns[5:]}", **more)

        async def connect(will: Will | None = None) -> Session:
            session = await inner(will)
            opened.append(session)
            return session

        return connect

    yield tracked
    for session in opened:
        await session.close()


async def receive(session: Session, count: int) -> list[Delivery]:
    async with asyncio.timeout(PATIENCE):
        return [await session.receive() for _ in range(count)]


async def nothing_comes(session: Session, seconds: float = 0.3) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await session.receive()
    except TimeoutError:
        return True
    return False


async def test_a_message_arrives_as_it_was_sent(make: Make, ns: str):
    """What is published on a topic reaches a subscriber with these bytes, and the publisher hears success."""
    site, office = await make("site")(), await make("office")()
    await office.subscribe(f"{ns}/+/up/alarms")
    payload = bytes(range(256)) * 200
    assert await site.publish(f"{ns}/tower/up/alarms", payload) < 128
    [delivery] = await receive(office, 1)
    assert (delivery.topic, delivery.payload, delivery.retained) == (f"{ns}/tower/up/alarms", payload, False)
    office.ack(delivery)


async def test_two_hundred_publishes_at_once_all_arrive(make: Make, ns: str):
    """Publishes under way together are told apart and all arrive, in order."""
    site, office = await make("site")(), await make("office")()
    await office.subscribe(f"{ns}/many")
    async with asyncio.TaskGroup() as tasks:
        for number in range(200):
            tasks.create_task(site.publish(f"{ns}/many", str(number).encode()))
        found = []
        for _ in range(200):
            [delivery] = await receive(office, 1)
            office.ack(delivery)
            found.append(int(delivery.payload))
    assert found == list(range(200))


async def test_what_was_not_acknowledged_comes_again(make: Make, ns: str):
    """A persistent session that connects again gets what it never acknowledged, and not what it did."""
    site, office = await make("site")(), await make("office", persistent=True)()
    await office.subscribe(f"{ns}/work")
    for number in range(10):
        await site.publish(f"{ns}/work", str(number).encode())
    for delivery in (await receive(office, 10))[:5]:
        office.ack(delivery)
    await asyncio.sleep(0.1)
    await office.close()
    again = await make("office", persistent=True)()
    assert [int(delivery.payload) for delivery in await receive(again, 5)] == [5, 6, 7, 8, 9]
    assert await nothing_comes(again)


@pytest.mark.parametrize("make", ["memory", "mosquitto-5", "mosquitto-3.1.1"], indirect=True)
async def test_acknowledging_out_of_order_keeps_the_others(make: Make, ns: str):
    """Acknowledging every second message leaves the others to come again.

    The embedded broker takes acknowledgements in order only and loses one here: another reason why only the office's
    receipt may release a block.
    """
    site, office = await make("site")(), await make("office", persistent=True)()
    await office.subscribe(f"{ns}/work")
    for number in range(10):
        await site.publish(f"{ns}/work", str(number).encode())
    for delivery in (await receive(office, 10))[1::2]:
        office.ack(delivery)
    await asyncio.sleep(0.1)
    await office.close()
    again = await make("office", persistent=True)()
    assert [int(delivery.payload) for delivery in await receive(again, 5)] == [0, 2, 4, 6, 8]
    assert await nothing_comes(again)


async def test_a_persistent_session_gets_what_came_while_it_was_away(make: Make, ns: str):
    """Messages published while a persistent client is away wait for it."""
    site, office = await make("site")(), await make("office-away", persistent=True)()
    await office.subscribe(f"{ns}/away")
    await office.close()
    await site.publish(f"{ns}/away", b"late")
    back = await make("office-away", persistent=True)()
    [delivery] = await receive(back, 1)
    assert delivery.payload == b"late"
    back.ack(delivery)


async def test_a_retained_message_waits_for_subscribers_and_says_so(make: Make, ns: str):
    """A retained message reaches a later subscriber, marked as retained, and only the newest."""
    site, office = await make("site")(), await make("office")()
    await site.publish(f"{ns}/status", b"old", retain=True)
    await site.publish(f"{ns}/status", b"new", retain=True)
    await office.subscribe(f"{ns}/status")
    [delivery] = await receive(office, 1)
    assert (delivery.payload, delivery.retained) == (b"new", True)
    await site.publish(f"{ns}/status", b"", retain=True)


async def test_the_will_is_published_only_when_the_connection_dies(make: Make, ns: str):
    """Closing in good order says nothing; a second connection of the same client takes over and the will comes."""
    office = await make("office")()
    await office.subscribe(f"{ns}/will")
    polite = await make("polite")(Will(topic=f"{ns}/will", payload=b"polite"))
    await polite.close()
    assert await nothing_comes(office)
    await make("dying")(Will(topic=f"{ns}/will", payload=b"dying"))
    await make("dying")()
    [delivery] = await receive(office, 1)
    assert delivery.payload == b"dying"


async def test_a_lost_session_raises_and_its_acknowledgements_do_nothing(make: Make, ns: str):
    """After another connection took over, every use raises PeerUnreachable within the time-out; ack is silent."""
    site, first = await make("site")(), await make("twin", persistent=True)()
    await first.subscribe(f"{ns}/lost")
    await site.publish(f"{ns}/lost", b"x")
    [delivery] = await receive(first, 1)
    await make("twin", persistent=True)()
    with pytest.raises(PeerUnreachable):
        await receive(first, 5)
    with pytest.raises(PeerUnreachable):
        await first.publish(f"{ns}/lost", b"y")
    first.ack(delivery)


async def test_nobody_there_is_peer_unreachable():
    """A port on which nothing listens is PeerUnreachable, naming it."""
    port = free_port()
    with pytest.raises(PeerUnreachable, match=str(port)):
        await connector(BrokerSettings(host="127.0.0.1", port=port), "x")()


async def test_a_forbidden_publish_is_told_by_its_reason_code(mosquitto: int):
    """With MQTT 5 a publish outside the access list answers 135, and the connection stays usable."""
    session = await connector(BrokerSettings(host="127.0.0.1", port=mosquitto, protocol="5"), "site")()
    assert await session.publish("denied/x", b"x") == 135
    assert await session.publish("open/x", b"x") < 128
    await session.close()


async def test_a_silent_peer_is_given_up_after_the_timeout():
    """A server that accepts and never speaks costs the time-out once, is PeerUnreachable, and leaves nothing open."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        settings = BrokerSettings(host="127.0.0.1", port=mute.getsockname()[1], timeout=0.3)
        began = time.monotonic()
        with pytest.raises(PeerUnreachable):
            await connector(settings, "x")()
        assert time.monotonic() - began < 1.5
