"""Door controllers on a broker in memory, in virtual time: what an independent subscriber hears of the journal."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest

from cloud_sync.memory import MemoryBroker
from simulators.acts_connection import FaultPart
from simulators.estate import Estate
from simulators.journal import Journal
from simulators.mqtt_face import STATUS_EVERY
from simulators.mqtt_link import Connect
from simulators.scenario import Scenario
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import PeerUnreachable
from tests import virtual

BASE = "sp/s1/access/405419896"
Step = dict[str, Any]


class Ear:
    """Writes down every message of the controllers with its virtual time in seconds."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self.heard: list[tuple[float, str, bytes]] = []

    async def listen(self) -> None:
        while True:
            with suppress(PeerUnreachable):
                await self._listen()
            await asyncio.sleep(0.01)

    async def _listen(self) -> None:
        session = await self._broker.connector("ear", persistent=True)()
        await session.subscribe("sp/#")
        while True:
            delivery = await session.receive()
            session.ack(delivery)
            at = virtual.virtual_loop().now / SECOND
            self.heard.append((at, delivery.topic.removeprefix(BASE + "/"), delivery.payload))

    def told(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(payload) for _, where, payload in self.heard if where == topic]

    def numbers(self) -> list[int]:
        """Return the sequence numbers of sound events, in the order of arrival."""
        found = []
        for _, where, payload in self.heard:
            try:
                body = json.loads(payload)
            except ValueError:
                continue
            if where == "event" and isinstance(body.get("seq"), int):
                found.append(body["seq"])
        return found


class World:
    """An estate with one controller of two doors, its broker, its journal, and the ear."""

    def __init__(self, stories: dict[int, list[Step]], **link: Any) -> None:
        self.broker = MemoryBroker()
        self.ear = Ear(self.broker)
        self.lines: list[dict[str, Any]] = []
        doors = [
            {
                "id": f"d{number}", "face": "mqtt-door", "controller": "405419896", "door": number,
                "story": stories.get(number, []),
            }
            for number in (1, 2)
        ]  # fmt: skip
        self.plan = Scenario.model_validate(
            {"title": "t", "links": [{"id": "doors", "kind": "mqtt", "port": 1, "devices": doors} | link]}
        )
        self.estate: Estate

    def _connector(self, client_id: str) -> Connect:
        return self.broker.connector(client_id)  # type: ignore[return-value]

    @asynccontextmanager
    async def live(self) -> AsyncIterator[None]:
        journal = Journal(lambda line: self.lines.append(json.loads(line)))
        self.estate = Estate(self.plan, clock=virtual.VirtualClock(), journal=journal, mqtt=self._connector)
        hearing = asyncio.create_task(self.ear.listen())
        await self.estate.start()
        running = asyncio.create_task(self.estate.run())
        try:
            yield
            assert not running.done(), running.exception()
        finally:
            running.cancel()
            await asyncio.wait({running}, timeout=1)
            await asyncio.sleep(0.1)
            hearing.cancel()
            await asyncio.wait({hearing}, timeout=1)
            await self.estate.close()

    async def until(self, seconds: float) -> None:
        await asyncio.sleep(seconds - virtual.virtual_loop().now / SECOND)

    def events(self) -> list[dict[str, Any]]:
        return [line["event"] for line in self.lines if "event" in line]

    def order(self, topic: str, payload: object, *, retain: bool = False) -> None:
        self.broker.publish(f"{BASE}/{topic}", json.dumps(payload).encode(), retain=retain)

    def fault(self, **part: Any) -> None:
        self.estate.switch("d1", FaultPart.model_validate(part))


def denied(times: int, at: str = "1s", every: str = "1s") -> Step:
    return {"at": at, "do": {"deny": {"times": times, "every": every}}}


def test_what_a_passage_looks_like() -> None:
    """The read comes before the open door, its event before the retained state, and each is told when it happens."""
    world = World({1: [{"at": "5s", "do": {"enter": "3s"}}]})

    async def story() -> None:
        async with world.live():
            await world.until(12)

    virtual.run(story())
    seen = [(round(at, 1), topic) for at, topic, _ in world.ear.heard if at >= 4]
    assert seen == [
        (5.0, "event"), (5.0, "door/1"), (5.8, "event"), (5.8, "door/1"), (8.8, "event"), (8.8, "door/1"),
        (10.0, "status"), (10.0, "door/1"), (12.0, "status"),
    ]  # fmt: skip
    assert [state["lock"] for state in world.ear.told("door/1")] == [
        "locked",
        "unlocked",
        "unlocked",
        "unlocked",
        "locked",
    ]
    assert [state["state"] for state in world.ear.told("door/1")] == ["closed", "closed", "open", "closed", "closed"]
    assert world.ear.told("event")[0].items() >= world.events()[0].items()
    assert world.ear.told("status")[-1] == {"online": False}
    assert [line["t"] - virtual.START for line in world.lines if "event" in line] == [5e6, 5.8e6, 8.8e6]


def test_broker_away() -> None:
    """What happens without a broker is told in order when it is back, buffered and with its own time; nothing twice."""
    world = World({1: [denied(20)], 2: [denied(20, at="1500ms")]})

    async def story() -> None:
        async with world.live():
            await world.until(6.2)
            world.broker.up = False
            world.broker.cut()
            await world.until(15.2)
            world.broker.up = True
            await world.until(30)

    virtual.run(story())
    told = world.ear.told("event")
    assert [event["seq"] for event in told] == list(range(1, 41))
    late = [event["seq"] for event in told if event["buffered"]]
    assert late == list(range(late[0], late[-1] + 1))
    assert 15 < len(late) < 21
    assert [{**event, "buffered": 0, "v": 0, "device": 0} for event in told] == [
        {**event, "buffered": 0, "v": 0, "device": 0} for event in world.events()
    ]


def test_lost_acknowledgements_repeat_and_lose_nothing() -> None:
    """A broker that goes mute in mid-flood loses the acknowledgement: the event comes again, and none is missing."""
    world = World({1: [{"at": "1s", "do": {"controller": {"flood": 500}}}]})

    async def story() -> None:
        async with world.live():
            for at in (1.2, 1.5, 1.8):
                await world.until(at)
                world.broker.faults.mute = True
                await world.until(at + 0.1)
                world.broker.faults.mute = False
                world.broker.cut()
            await world.until(10)

    virtual.run(story())
    assert sorted(set(world.ear.numbers())) == [event["seq"] for event in world.events()] == list(range(1, 501))


def test_commands() -> None:
    """A door obeys its mode and shows it; what is retained or not understood changes nothing."""
    world = World({})

    async def story() -> None:
        async with world.live():
            await world.until(1)
            world.order("door/1/set", {"mode": "free"})
            world.order("door/2/set", {"mode": "ajar"})
            world.order("door/9/set", {"mode": "free"})
            world.broker.publish(f"{BASE}/door/2/set", b"\xff{")
            await world.until(2)
            assert (world.estate.doors["d1"].locked, world.estate.doors["d2"].locked) == (False, True)
            world.order("door/1/set", {"mode": "controlled"})
            await world.until(3)
            world.order("door/2/set", {"mode": "free"}, retain=True)
            world.broker.cut()
            world.broker.publish(f"{BASE}/door/2/set", b"")
            await world.until(5)

    virtual.run(story())
    assert [state["mode"] for state in world.ear.told("door/1")][:3] == ["controlled", "free", "controlled"]
    assert [state["lock"] for state in world.ear.told("door/1")][:3] == ["locked", "unlocked", "locked"]
    obeyed = [(line["device"], line["wrote"]["mode"]) for line in world.lines if "wrote" in line]
    assert obeyed[:2] == [("d1", "free"), ("d1", "controlled")]
    assert sum(line.get("fact") == "command not understood" for line in world.lines) == 3


def test_a_retained_command_is_no_command() -> None:
    """A set that the broker has kept from long ago is not obeyed by a controller that connects."""
    world = World({})
    world.order("door/1/set", {"mode": "free"}, retain=True)

    async def story() -> None:
        async with world.live():
            await world.until(3)
            assert world.estate.doors["d1"].locked

    virtual.run(story())


def test_a_range_is_answered() -> None:
    """Lost events come when they are asked for, buffered; skipped numbers do not; nonsense is ignored."""
    steps = [denied(5), {"at": "6s", "do": {"controller": {"skip": 1}}}, denied(2, at="7s")]
    world = World({1: steps})

    async def story() -> None:
        async with world.live():
            world.fault(kind="lose", times=3)
            await world.until(10)
            assert world.ear.numbers() == [4, 5, 7, 8]
            world.order("request", {"from": 1, "to": 3})
            world.order("request", {"from": 6, "to": 6})
            world.order("request", {"from": "x"})
            await world.until(11)

    virtual.run(story())
    assert world.ear.numbers() == [4, 5, 7, 8, 1, 2, 3]
    assert [event["buffered"] for event in world.ear.told("event")] == [False] * 4 + [True] * 3
    facts = [line for line in world.lines if line.get("fact") == "sequence skipped"]
    assert [(fact["controller"], fact["from"], fact["to"]) for fact in facts] == [("405419896", 6, 6)]


def test_overwritten_events_are_owned_up_to() -> None:
    """When the ring was too small for the time without a broker, the gap is asked for and answered with reason 255."""
    world = World({1: [denied(12, every="100ms")]}, store=8)

    async def story() -> None:
        world.broker.up = False
        async with world.live():
            await world.until(5)
            world.broker.up = True
            await world.until(8)
            assert world.ear.numbers() == list(range(5, 13))
            world.order("request", {"from": 1, "to": 4})
            await world.until(9)

    virtual.run(story())
    assert [(event["seq"], event["reason"]) for event in world.ear.told("event")[8:]] == [
        (n, 255) for n in (1, 2, 3, 4)
    ]
    lost = [line["seq"] for line in world.lines if line.get("fact") == "unsent event overwritten"]
    assert lost == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("restarts", "numbers"), [("goes_on", [1, 2, 3, 4, 5, 6, 7]), ("restarts", [1, 2, 3, 1, 2, 3, 4])]
)
def test_reboots(restarts: str, numbers: list[int]) -> None:
    """A rebooting controller is gone for a moment, the will is out, and its counter goes on or begins anew."""
    world = World({1: [denied(6), {"at": "3500ms", "do": {"controller": {"reboot": restarts}}}]})

    async def story() -> None:
        async with world.live():
            await world.until(12)

    virtual.run(story())
    assert world.ear.numbers() == numbers
    runs = [(line["run"], line["event"]["seq"]) for line in world.lines if "event" in line]
    assert [seq for _, seq in runs] == numbers
    assert {run for run, _ in runs} == ({1} if restarts == "goes_on" else {1, 2})
    assert False in [status["online"] for status in world.ear.told("status")[:3]]


def test_offline_and_silent() -> None:
    """Off the network the will is out; silent, nothing is, though it lives on. Both tell everything afterwards."""
    world = World({1: [denied(40)]})

    async def story() -> None:
        async with world.live():
            await world.until(5.5)
            world.fault(kind="offline")
            await world.until(10.5)
            assert world.ear.told("status")[-1] == {"online": False}
            world.fault(kind="none")
            await world.until(15.5)
            world.fault(kind="silence")
            await world.until(30.5)
            assert max(at for at, _, _ in world.ear.heard) < 15.6
            assert world.ear.told("status")[-1]["online"] is True
            world.fault(kind="none")
            await world.until(50)

    virtual.run(story())
    assert world.ear.numbers() == list(range(1, 41))
    switched = [line["switched"] for line in world.lines if line.get("controller") and "switched" in line]
    assert switched == ["offline", "none", "silence", "none"]


def test_a_broker_out_of_reach() -> None:
    """The link's fault takes every controller off the broker and back."""
    world = World(
        {1: [denied(10)]}, story=[{"at": "3500ms", "do": {"fault": {"kind": "refuse", "for": "4s"}}}]
    )  # fmt: skip

    async def story() -> None:
        async with world.live():
            await world.until(7)
            assert world.ear.numbers() == [1, 2, 3]
            await world.until(15)

    virtual.run(story())
    assert world.ear.numbers() == list(range(1, 11))


@pytest.mark.parametrize("kind", ["twice", "shuffle", "garbage", "wrong_types", "huge", "retained"])
def test_wrong_ways_of_telling(kind: str) -> None:
    """However wrongly a controller tells, each event is told soundly at least once, and the journal has it once."""
    world = World({1: [denied(6)], 2: [denied(6)]})

    async def story() -> None:
        async with world.live():
            world.fault(kind=kind, count=3, delay="5s")
            await world.until(20)

    virtual.run(story())
    numbers = world.ear.numbers()
    assert sorted(set(numbers)) == [event["seq"] for event in world.events()] == list(range(1, 13))
    assert len(numbers) == (48 if kind == "twice" else 12)
    assert (numbers != sorted(numbers)) is (kind == "shuffle")
    rubbish = sum(topic == "event" for _, topic, _ in world.ear.heard) - len(numbers)
    assert rubbish == (12 if kind in {"garbage", "wrong_types", "huge"} else 0)
    kept = [topic for topic, _, _ in world.broker.retained_for(f"{BASE}/event")]
    assert bool(kept) is (kind == "retained")


def test_a_wrong_clock_dates_events_and_nothing_else() -> None:
    """A clock that is behind shows in `ts`, for as many events as it was told; the journal's own time stays true."""
    world = World({1: [denied(3)]})

    async def story() -> None:
        async with world.live():
            world.fault(kind="clock_behind", delay="2h", times=2)
            await world.until(5)

    virtual.run(story())
    assert [event["ts"][11:19] for event in world.ear.told("event")] == ["06:00:01", "06:00:02", "08:00:03"]
    assert [line["t"] - virtual.START for line in world.lines if "event" in line] == [1e6, 2e6, 3e6]
    assert [line["switched"] for line in world.lines if "switched" in line] == ["clock_behind", "none"]


def test_status_comes_every_ten_seconds() -> None:
    """The retained status is renewed every 10 s and tells the last number sent."""
    world = World({1: [denied(3, at="12s")]})

    async def story() -> None:
        async with world.live():
            await world.until(35)

    virtual.run(story())
    statuses = [(at, json.loads(payload)) for at, topic, payload in world.ear.heard if topic == "status"][:4]
    times = [at for at, _ in statuses]
    assert [round(b - a, 1) for a, b in pairwise(times)] == [STATUS_EVERY / SECOND] * 3
    assert [status["last"] for _, status in statuses] == [0, 0, 3, 3]
