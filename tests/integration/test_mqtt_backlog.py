"""A broker that hands over at once what it has kept for days: nothing is lost, and little of it waits here."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloud_sync.inbox import CROWD
from drivers.mqtt.driver import MqttDriver
from edge.brokers import real_brokers
from sitekeeper.model.clock import SystemClock
from tests.fixtures import mqtt
from tests.fixtures.mosquitto import Mosquitto
from tests.fixtures.mqtt import EVENT, Sink

EVENTS = 50_000 if os.environ.get("SITEKEEPER_FULL") else 2_500
UNBOUNDED = "allow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\nmax_queued_bytes 0"
"""Where a broker may have any number of messages on the way to a client of MQTT 3.1.1."""


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def driver(port: int, protocol: str) -> MqttDriver:
    return mqtt.driver(real_brokers, [mqtt.door(1)], SystemClock(), host="127.0.0.1", port=port, protocol=protocol)


async def kept(folder: Path, port: int, events: int) -> None:
    """Let the broker keep events for a gateway that is away."""
    (folder / "events").write_bytes(b"".join(mqtt.event(number + 1) + b"\n" for number in range(events)))
    with (folder / "events").open("rb") as lines:
        command = ("mosquitto_pub", "-p", str(port), "-q", "1", "-t", EVENT, "-l")
        said = await asyncio.create_subprocess_exec(*command, stdin=lines)
        async with asyncio.timeout(120):
            assert await said.wait() == 0


async def test_a_backlog_is_read_no_faster_than_it_is_taken(tmp_path):
    """With MQTT 3.1.1, and no bound at the broker, all events come once and in order, and few of them ever wait."""
    with Mosquitto(tmp_path, UNBOUNDED, persistence=False) as broker:
        made, sink = driver(broker.port, "3.1.1"), Sink(at_once=False)
        await made.open()  # so that the broker knows us
        await made.close()
        await kept(tmp_path, broker.port, EVENTS)
        await made.open()
        inbox: Any = made._session._client._queue
        await until(lambda: inbox.paused)
        listening = asyncio.create_task(made.listen(sink))
        most = 0
        async with asyncio.timeout(300):
            while len(sink.durable) < EVENTS:
                assert not listening.done(), listening.exception()
                most = max(most, inbox.qsize())
                sink.commit()
                await asyncio.sleep(0.002)
        assert [heard.sequence for heard in sink.durable] == list(range(1, EVENTS + 1))
        assert CROWD // 2 < most <= CROWD + 100  # a turn of the loop may read a few more
        assert made._session.dropped == 0
        await made.close()
        await asyncio.wait({listening})
