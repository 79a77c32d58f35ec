"""Simulated door controllers on real brokers: mosquitto, and the embedded one. A broker dies in mid-flood."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from simulators.estate import Estate
from simulators.journal import Journal
from simulators.mqtt_link import Will, brokers
from simulators.scenario import Scenario
from simulators.stage import Stage, free_port, program, sk, write
from sitekeeper.model.clock import SystemClock
from sitekeeper.model.errors import PeerUnreachable

BASE = "sp/s1/access/405419896"
ROOT = Path(__file__).parents[2]
MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages 20000
persistence false
user root
log_type error
"""


class Broker:
    """A broker as a process of its own, which may be killed and started again on the same port."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.port = free_port()
        self._stage = Stage(folder)
        self._command = [*program("simulators.broker"), "--port", str(self.port)]
        if kind == "mosquitto":
            found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
            if found is None:
                pytest.skip("mosquitto is not installed")
            config = write(folder / "mosquitto.conf", MOSQUITTO.format(port=self.port))
            self._command = [found, "-c", str(config)]

    async def start(self) -> None:
        await self._stage.start("broker", *self._command, port=self.port)

    async def kill(self) -> None:
        await self._stage.kill("broker")

    async def close(self) -> None:
        await self._stage.close()


@pytest.fixture(autouse=True)
def reaped(no_leaked_threads: None) -> Iterator[None]:
    """Look for leaked threads last."""
    return


@pytest.fixture(params=["mosquitto", "iotcore"])
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    found = Broker(request.param, tmp_path)
    await found.start()
    yield found
    await found.close()


class Ear:
    """An independent subscriber that comes back by itself and may ask for what it missed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.connected = False
        self.events: list[dict[str, Any]] = []
        self.retained: dict[str, dict[str, Any]] = {}
        self._client: aiomqtt.Client | None = None

    async def run(self) -> None:
        while True:
            with suppress(aiomqtt.MqttError):
                await self._listen()
            self.connected = False
            await asyncio.sleep(0.1)

    async def _listen(self) -> None:
        async with aiomqtt.Client(
            "127.0.0.1", self._port, identifier="ear", protocol=aiomqtt.ProtocolVersion.V311, timeout=2
        ) as client:
            await client.subscribe("sp/#", qos=1)
            self._client, self.connected = client, True
            async for message in client.messages:
                topic = str(message.topic).removeprefix("sp/")
                body = json.loads(bytes(message.payload))  # type: ignore[arg-type]
                if topic.endswith("/event"):
                    self.events.append(body)
                else:
                    self.retained[topic.partition("/access/")[2]] = body

    async def say(self, topic: str, body: object) -> None:
        assert self._client is not None
        await self._client.publish(f"{BASE}/{topic}", json.dumps(body), qos=1)

    def numbers(self) -> set[int]:
        return {event["seq"] for event in self.events}


@asynccontextmanager
async def going(*parts: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield
        assert not [task.exception() for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def plan(port: int, *story: dict[str, Any]) -> Scenario:
    device = {"id": "d1", "face": "mqtt-door", "controller": "405419896", "door": 1, "story": list(story)}
    link = {"id": "doors", "kind": "mqtt", "port": port, "devices": [device]}
    return Scenario.model_validate({"title": "t", "links": [link]})


async def test_a_broker_that_dies_in_mid_flood_costs_no_event(broker: Broker) -> None:
    """500 events in a second, the broker killed amid them and back later: the subscriber has every one of the journal.

    What waited comes by itself, buffered and in order. What the dead broker had acknowledged and taken with it comes
    when the subscriber asks for the range that it sees missing, as the gateway does.
    """
    lines: list[dict[str, Any]] = []
    journal = Journal(lambda line: lines.append(json.loads(line)))
    ear = Ear(broker.port)
    async with going(ear):
        await until(lambda: ear.connected)
        steps = ({"at": "1s", "do": {"controller": {"flood": 500}}}, {"at": "2500ms", "do": {"deny": {"times": 3}}})
        estate = Estate(plan(broker.port, *steps), clock=SystemClock(), journal=journal)
        assert await estate.start() == {"doors": broker.port}
        async with going(estate):
            await until(lambda: len(ear.events) > 150)
            await broker.kill()
            before = ear.numbers()
            await asyncio.sleep(1.0)
            await broker.start()
            await until(lambda: 503 in ear.numbers())
            unasked = ear.numbers()
            missing = sorted(set(range(1, 504)) - unasked)
            if missing:
                await ear.say("request", {"from": missing[0], "to": missing[-1]})
            await until(lambda: ear.numbers() == set(range(1, 504)))
        await until(lambda: ear.retained["405419896/status"] == {"online": False})
    recorded = {line["event"]["seq"]: line["event"] for line in lines if "event" in line}
    assert len(recorded) == 503
    assert all(event.items() >= recorded[event["seq"]].items() for event in ear.events)
    waited = [event["seq"] for event in ear.events if event["buffered"] and event["seq"] not in missing]
    assert len(waited) > 100, "nothing waited for the broker: this run proved nothing"
    assert len(unasked - before) > 100
    assert sorted(set(waited)) == list(dict.fromkeys(waited))


async def test_a_command_and_the_will_on_a_real_broker(broker: Broker) -> None:
    """A door obeys its mode within a second and shows it retained; a controller off the network leaves its will."""
    ear = Ear(broker.port)
    offline = {"at": "2s", "do": {"fault": {"kind": "offline", "for": "1s"}}}
    estate = Estate(plan(broker.port, offline), clock=SystemClock(), journal=Journal.open(None))
    async with going(ear):
        await until(lambda: ear.connected)
        await estate.start()
        async with going(estate):
            await until(lambda: ear.retained.get("405419896/door/1", {}).get("mode") == "controlled")
            await ear.say("door/1/set", {"mode": "free"})
            await until(lambda: ear.retained["405419896/door/1"]["lock"] == "unlocked", 1.0)
            await until(lambda: ear.retained["405419896/status"] == {"online": False}, 5)
            await until(lambda: ear.retained["405419896/status"]["online"], 5)


async def test_a_broker_that_says_nothing() -> None:
    """A broker that takes the connection and never answers is given up in time; nothing is left behind."""
    taken: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _reader, writer: taken.append(writer), "127.0.0.1", 0)
    connect = brokers("127.0.0.1", server.sockets[0].getsockname()[1], timeout=0.3)("sim")
    with pytest.raises(PeerUnreachable):
        await connect(Will(topic="t", payload=b""))
    attempt = asyncio.create_task(connect(Will(topic="t", payload=b"")))  # type: ignore[arg-type]
    await until(lambda: len(taken) == 2)
    attempt.cancel()
    await asyncio.wait({attempt})
    for writer in taken:
        writer.close()
    server.close()
    await server.wait_closed()


async def test_sk_sim_with_a_broker(broker: Broker, tmp_path: Path) -> None:
    """`sk sim --broker` plays the short S5 fast: the subscriber gets the 209 events of the journal, once each."""
    ear, stage, journal = Ear(broker.port), Stage(tmp_path), tmp_path / "doors.jsonl"
    async with going(ear):
        await until(lambda: ear.connected)
        scenario = str(ROOT / "config/scenarios/s5-short.yaml")
        command = sk("sim", scenario, "--broker", f"127.0.0.1:{broker.port}", "--speed", "40")
        await stage.start("sim", *command, "--journal", str(journal), ready=f"doors\t127.0.0.1:{broker.port}")
        await until(lambda: len(ear.events) >= 209, 20)
        assert await stage.stop("sim") == 0
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    recorded = [line["event"]["seq"] for line in lines if "event" in line]
    assert [event["seq"] for event in ear.events] == recorded == list(range(1, 210))
