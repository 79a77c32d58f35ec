"""The way past the outbox: told at once, on each connection, again while it stands, and taken in by the ingest."""

import asyncio
import contextlib
from typing import Any

import pytest

from cloud_sync.direct import EVERY, Direct
from cloud_sync.ingest_machine import IngestMachine
from cloud_sync.ingest_records import Arrival
from cloud_sync.session import Delivery
from cloud_sync.store.base import Known, Outcome, PutVolatile
from sitekeeper.block import encode
from sitekeeper.model.clock import SECOND
from tests import virtual
from tests.unit.cloud_sync.material import SITE, block

TOPIC = f"sitekeeper/1/{SITE}/up/alarms-volatile"


class Line:
    """A session that notes what is published, and when."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, str, bytes]] = []

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        assert not retain
        self.sent.append((virtual.virtual_loop().time(), topic, payload))
        return 0


async def told(direct: Direct, line: Line, seconds: float) -> None:
    """Let a connection stand for so long."""
    session: Any = line
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await direct.run(session)


def test_what_stands_is_told_at_once_and_again_until_it_is_durable() -> None:
    """Each block when it comes, all of them every half minute, none after the disk has it."""

    async def main() -> Line:
        direct, line = Direct(SITE, virtual.VirtualClock()), Line()
        loop = asyncio.get_running_loop()
        loop.call_later(1, direct.stand, {7: b"7"})
        loop.call_later(2, direct.stand, {7: b"7", 8: b"8"})
        loop.call_later(40, direct.stand, {})
        await told(direct, line, 120)
        return line

    again = EVERY / SECOND
    expected = [(1, b"7"), (2, b"8"), (1 + again, b"7"), (2 + again, b"8")]
    sent = virtual.run(main()).sent
    assert [(round(at, 3), payload) for at, _, payload in sent] == expected
    assert {topic for _, topic, _ in sent} == {TOPIC}


def test_a_new_connection_is_told_all_over() -> None:
    """Nobody receipts what was told, so the next connection cannot know that it arrived."""

    async def main() -> Line:
        direct, line = Direct(SITE, virtual.VirtualClock()), Line()
        direct.stand({7: b"7"})
        await told(direct, line, 3)
        await told(direct, line, 3)
        return line

    assert [payload for _, _, payload in virtual.run(main()).sent] == [b"7", b"7"]


def arrival(payload: bytes) -> Arrival:
    return Arrival("urgent", 1, Delivery(topic=TOPIC, payload=payload, retained=False, mid=1, qos=1))


def test_the_office_stores_it_at_once_and_receipts_nothing() -> None:
    """It goes before the order of blocks, even the tenth as the first of all, and no receipt releases it."""
    machine = IngestMachine(Known())
    machine.accept(arrival(encode(block("alarms", 10))), 0)
    batch = machine.batch(0)
    assert batch is not None
    assert batch.transaction.entries == (PutVolatile(block=block("alarms", 10)),)
    outputs = machine.committed(batch, Outcome(applied=("new",)))
    assert [type(output).__name__ for output in outputs] == ["Acknowledge"]


@pytest.mark.parametrize(
    "payload",
    [b"nonsense", encode(block("samples", 1)), encode(block("alarms", 1, site="other"))],
    ids=["undecodable", "no alarms", "another site's"],
)
def test_what_is_not_an_alarms_block_of_the_site_is_passed_over(payload: bytes) -> None:
    """Its durable block will be judged in its place; nothing of it is stored."""
    machine = IngestMachine(Known())
    machine.accept(arrival(payload), 0)
    assert machine.batch(0) is None
    assert machine.counts["ignored"] == 1
