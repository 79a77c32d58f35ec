"""What an office takes in while its store is slow, from a broker that sends more than it was asked for."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

import pytest

from cloud_sync.dealer import SITE_COUNT
from cloud_sync.ingest import AT_ONCE, Ingest, Lane
from cloud_sync.ingest_records import Answer, IngestLimits
from cloud_sync.memory import MemoryBroker
from cloud_sync.session import Allows, Connect, Delivery, Session, Will
from cloud_sync.store.base import Known, Outcome, Shape, Transaction
from cloud_sync.wire import Receipt, up_topic
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.model.clock import SystemClock
from sitekeeper.model.errors import PeerUnreachable
from tests.unit.cloud_sync.material import SITE, Listener, catalogue, payload


class Flood:
    """A session on which samples come without end, or `most` of them and then the connection is gone."""

    farewell, protocol = 0, "5"

    def __init__(self, most: int | None = None, *, unanswered: int = 65_535) -> None:
        self.allows = Allows(unanswered=unanswered)
        self.most, self.sent, self.acked, self.under_way, self.most_under_way = most, 0, 0, 0, 0

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        return 0

    async def subscribe(self, topic: str, *, queued: bool = True) -> None:
        return

    async def receive(self) -> Delivery:
        await asyncio.sleep(0)
        if self.sent == self.most:
            raise PeerUnreachable("broker", "gone")
        self.sent += 1
        content = payload("samples", self.sent)
        return Delivery(topic=up_topic(SITE, "samples"), payload=content, retained=False, mid=self.sent, qos=1)

    def ack(self, delivery: Delivery) -> None:
        self.acked += 1

    async def close(self) -> None:
        return


class Stuck:
    """A store of which no commit ends."""

    shared = False

    def known(self) -> Known:
        return Known(catalogues={catalogue_hash(catalogue()): Shape(SITE, 2, 1)})

    def commit(self, transaction: Transaction) -> "Future[Outcome]":
        return Future()


async def nothing(will: Will | None = None) -> Session:
    await asyncio.Event().wait()
    raise AssertionError("never")


def ingest(bulk: Connect, urgent: Connect = nothing) -> Ingest:
    lanes: dict[Lane, Connect] = {"bulk": bulk, "urgent": urgent}
    return Ingest(lanes, Stuck(), Listener(), clock=SystemClock())  # type: ignore[arg-type]


async def run_until(condition: Callable[[], bool], office: Ingest) -> None:
    running = asyncio.create_task(office.run())
    try:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_waits_for_a_slow_store_is_bounded_and_mostly_undecoded() -> None:
    """One transaction under way, one decoded ahead, a site's share as bytes; the rest is acknowledged and forgotten."""
    flood, decoded, waits = Flood(), 0, 0

    async def connect(will: Will | None = None) -> Session:
        return flood

    office = ingest(connect)

    def flooded() -> bool:
        nonlocal decoded, waits
        decoded, waits = max(decoded, office._machine.pending()[1]), max(waits, len(office._dealer))
        return flood.sent >= 10 * SITE_COUNT

    await run_until(flooded, office)
    blocks = IngestLimits().blocks
    assert 0 < decoded <= blocks
    assert waits == SITE_COUNT
    assert flood.sent - flood.acked <= 2 * blocks + SITE_COUNT + 1
    assert office.counts["overflowed"] >= flood.acked > 0


async def test_the_lane_of_samples_notices_its_end_while_the_store_is_stuck() -> None:
    """It reads on whatever waits, so that a connection that died is made anew although no commit ends."""
    made: list[Flood] = []

    async def connect(will: Will | None = None) -> Session:
        made.append(Flood(5 * SITE_COUNT))
        return made[-1]

    await run_until(lambda: len(made) == 2 and made[1].sent > 0, ingest(connect))
    assert made[0].sent == made[0].most


async def test_receipts_are_said_several_at_a_time_and_no_more_than_the_broker_takes() -> None:
    """A transaction holds blocks of many sites: their receipts do not wait for each other, within bounds."""
    for unanswered, most in ((65_535, AT_ONCE), (6, 3), (1, 1)):
        line = Flood(0, unanswered=unanswered)
        office = ingest(nothing)
        with suppress(PeerUnreachable):
            await office._receive("urgent", line)
        await office._do([Answer(f"site-{n}", Receipt(0, [])) for n in range(40)])
        assert line.most_under_way == most


@pytest.mark.parametrize("lane", ["urgent", "bulk"])
async def test_an_end_that_a_library_forgets_is_an_end(lane: Lane) -> None:
    """A cancellation that is lost because a lane's connection came together with it still ends the ingest."""
    broker, asked = MemoryBroker().connector("office"), asyncio.Event()

    async def forgetful(will: Will | None = None) -> Session:
        asked.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return await broker(will)

    office = ingest(forgetful) if lane == "bulk" else ingest(nothing, forgetful)
    task = asyncio.create_task(office.run())
    await asked.wait()
    task.cancel()
    done, _ = await asyncio.wait((task,), timeout=5)
    if not done:
        task.cancel()
        await asyncio.wait((task,), timeout=5)
    assert done
    assert task.cancelled()
