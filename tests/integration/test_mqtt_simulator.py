"""The driver against the simulated controllers, in virtual time: what their journal says is what the sink was told."""

import asyncio
import json
import random
from typing import Any

import pytest

from cloud_sync.memory import MemoryBroker
from edge.poller import Poller
from simulators.acts_connection import FaultPart
from simulators.estate import Estate
from simulators.journal import Journal
from simulators.scenario import Scenario
from sitekeeper.model.clock import SECOND
from sitekeeper.model.event import pseudonym
from sitekeeper.model.point import ScanGroup
from tests import virtual
from tests.fixtures import mqtt
from tests.fixtures.mqtt import CONTROLLER, SALT, Sink

KINDS = {"read": "read.event", "rex": "rex.event", "door": "door.event", "alarm": "alarm.event"}


class World:
    """Two doors of one controller with people coming and going, and a driver with its poller."""

    def __init__(self, **link: Any) -> None:
        self.broker, self.lines, self.sink = MemoryBroker(), [], Sink()
        doors = [
            {"id": f"door-{n}", "face": "mqtt-door", "controller": CONTROLLER, "door": n, "traffic": "4s"}
            for n in (1, 2)
        ]
        doors_link = {"id": "doors", "kind": "mqtt", "site": "harbour", "port": 1, "devices": doors}
        self.plan = Scenario.model_validate({"title": "t", "links": [doors_link | link]})

    async def live(self, story: Any) -> None:
        clock = virtual.VirtualClock()
        journal = Journal(lambda line: self.lines.append(json.loads(line)))
        self.estate = Estate(self.plan, clock=clock, journal=journal, mqtt=self.broker.connector)  # type: ignore[arg-type]
        doors = [mqtt.door(1), mqtt.door(2)]
        self.driver = mqtt.driver(mqtt.lent(self.broker), doors, clock)
        groups = tuple(
            ScanGroup(id=f"door-{n}@1s", device=f"door-{n}", period=SECOND, handles=(0, 1, 2)) for n in (1, 2)
        )
        self.poller = Poller("doors", self.driver, groups, self.sink, clock, rng=random.Random(1))
        await self.estate.start()
        tasks = {asyncio.create_task(self.poller.run()), asyncio.create_task(self.estate.run())}
        try:
            await story(self)
            assert not any(task.done() for task in tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self.estate.close()

    def truth(self) -> dict[int, dict[str, Any]]:
        """Return the journal's events by their numbers."""
        return {line["event"]["seq"]: line["event"] for line in self.lines if "event" in line}

    def agrees(self, *, after: int = 0) -> None:
        """Every event of the journal was told, as what it was; nothing else was; and no card is anywhere."""
        told = {heard.sequence: heard for heard in self.sink.events if heard.sequence is not None}
        truth = {seq: event for seq, event in self.truth().items() if seq > after}
        assert {seq for seq in told if seq > after} == set(truth)
        cards = set()
        for seq, event in truth.items():
            heard = told[seq]
            assert (heard.device, heard.name) == (f"door-{event['door']}", KINDS[event["kind"]])
            if card := event.get("cred"):
                cards.add(str(card))
                assert heard.fields["cred"] == pseudonym(SALT, "card", str(card))
            for field in ("granted", "reason", "dir", "state"):
                if field in heard.fields:
                    assert heard.fields[field] == event.get(field)
        everything = str((self.sink.story, self.driver.rejected.rows()))
        assert len(cards) > 5
        assert not [card for card in cards if card in everything]


def test_an_ordinary_quarter_of_an_hour() -> None:
    """Without faults every event is told once and in order, and the states in the end are those of the doors."""
    world = World()

    async def story(world: World) -> None:
        await asyncio.sleep(900)
        for number in (1, 2):
            entrance = world.estate.doors[f"door-{number}"]
            values = [value for value, _, _ in world.driver._states._groups[f"door-{number}@1s"].values]
            assert values[:2] == ["open" if entrance.open else "closed", "locked" if entrance.locked else "unlocked"]

    virtual.run(world.live(story))
    world.agrees()
    assert [heard.sequence for heard in world.sink.events] == sorted(world.truth())
    assert world.poller.counts.reconnects == world.driver.counts.dead == 0


@pytest.mark.parametrize("kind", ["lose", "twice", "garbage", "wrong_types", "huge", "retained", "shuffle", "babble"])
def test_a_controller_that_is_wrong(kind: str) -> None:
    """Whatever a controller does wrong, each of its events is told in the end, and the link is never lost for it."""
    world = World()

    async def story(world: World) -> None:
        await asyncio.sleep(60)
        world.estate.switch("door-1", FaultPart.model_validate({"kind": kind, "times": 20, **_more(kind)}))
        await asyncio.sleep(300)
        world.estate.switch("door-1", FaultPart.model_validate({"kind": "none"}))
        await asyncio.sleep(60)

    virtual.run(world.live(story))
    world.agrees()
    counts = world.driver.counts
    assert world.poller.counts.reconnects == 0
    assert counts.dead == {"garbage": 20, "wrong_types": 20, "huge": 20, "babble": 20 * 50}.get(kind, 0)
    rows = world.driver.rejected.rows()
    assert sum(row.times for row in rows) == counts.dead
    assert len(rows) < 5
    assert (world.driver._events.asking.asked > 0) == (kind in {"lose", "shuffle"})


def _more(kind: str) -> dict[str, Any]:
    return {
        "babble": {"count": 50},
        "garbage": {"count": 40},
        "huge": {"count": 300},
        "twice": {"count": 2},
        "shuffle": {"count": 3},
    }.get(kind, {})


def test_broker_cut_again_and_again() -> None:
    """With the broker cut every 7 s, and losing acknowledgements, everything is told and the doors come back."""
    world = World()

    async def story(world: World) -> None:
        for _ in range(40):
            await asyncio.sleep(7)
            world.broker.cut()
        await asyncio.sleep(10)

    virtual.run(world.live(story))
    world.agrees()
    assert world.poller.counts.reconnects == 40


def test_a_status_that_lies() -> None:
    """Who says that it is not there is not there, whatever else it tells: its events count, its states do not."""
    world = World()

    async def story(world: World) -> None:
        await asyncio.sleep(60)
        world.estate.switch("door-1", FaultPart.model_validate({"kind": "lies"}))
        await asyncio.sleep(60)
        scan = await world.driver.read("door-1@1s")
        assert (scan.answered, scan.errors[0].what) == (False, "offline, says its availability topic")
        world.estate.switch("door-1", FaultPart.model_validate({"kind": "none"}))
        await asyncio.sleep(20)
        assert (await world.driver.read("door-1@1s")).answered

    virtual.run(world.live(story))
    world.agrees()


def test_counters_that_begin_anew_under_a_gap() -> None:
    """After a restart the same numbers are other events; nothing of the first life is asked for in the second."""
    door = {"id": "door-1", "face": "mqtt-door", "controller": CONTROLLER, "door": 1, "traffic": "4s"}
    story = [{"at": "120s", "do": {"controller": {"reboot": "restarts"}}}]
    world = World(devices=[door | {"story": story}, door | {"id": "door-2", "door": 2}])

    async def story_of(world: World) -> None:
        await asyncio.sleep(240)
        sequences = [heard.sequence for heard in world.sink.events]
        assert sequences.count(1) == 2
        assert world.driver._events.asking.asked == 0

    virtual.run(world.live(story_of))
