"""Uplink and ingest on real brokers, in real time: kill -9 of the broker, of the office's shell and of the site's."""

import asyncio
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from iotcore import Broker

from cloud_sync.ingest import Ingest, IngestSettings
from cloud_sync.mqtt import BrokerSettings, connector
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.uplink import Uplink, UplinkSettings
from cloud_sync.uplink_machine import UplinkLimits
from sitekeeper.block import STREAMS
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.model.clock import MS, SECOND, SystemClock
from sitekeeper.model.command import Ack
from tests.fixtures.mosquitto import Mosquitto
from tests.unit.cloud_sync.material import EPOCH, KEY, SITE, Listener, Source, catalogue

PATIENCE = 30.0


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path, persistence=False) as broker:
        yield broker


class Door:
    def __init__(self) -> None:
        self.acks: list[Ack] = []

    async def acknowledge(self, ack: Ack) -> None:
        self.acks.append(ack)


LIMITS = UplinkLimits(receipt_timeout=1 * SECOND, probe_first=200 * MS, probe_most=1 * SECOND)


def new_uplink(broker: BrokerSettings, source: Source, door: Door) -> Uplink:
    settings = UplinkSettings(
        site=SITE,
        boot="b1",
        version="0",
        catalogue=catalogue_hash(catalogue()),
        backoff_first=50 * MS,
        backoff_most=300 * MS,
        limits=LIMITS,
    )
    return Uplink(connector(broker, f"{SITE}-uplink"), source, door, settings=settings, clock=SystemClock())


def new_ingest(broker: BrokerSettings, store: SqliteStore, listener: Listener) -> Ingest:
    lanes = {
        "urgent": connector(broker, "office-urgent", persistent=True),
        "bulk": connector(broker, "office-bulk", persistent=True),
    }
    settings = IngestSettings(backoff_first=50 * MS, backoff_most=300 * MS, ack_every=200 * MS)
    return Ingest(lanes, store, listener, clock=SystemClock(), settings=settings)  # type: ignore[arg-type]


@asynccontextmanager
async def running(*parts: Any):
    tasks = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield
    finally:
        died = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not died, [task.exception() for task in died]


async def until(condition: Any, seconds: float = PATIENCE) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def judge(path: Path, source: Source) -> None:
    """Compare what was made with what the store holds, through plain SQL."""
    with closing(sqlite3.connect(path)) as sql:
        for stream in STREAMS:
            rows = sql.execute("SELECT sequence FROM blocks WHERE stream = ? ORDER BY sequence", (stream,)).fetchall()
            assert [row[0] for row in rows] == sorted(source.blocks[stream]), stream
        values = sql.execute("SELECT value FROM v_samples WHERE point = 'lift-a1/floor' ORDER BY at").fetchall()
        made = len(source.blocks["samples"])
        assert [row[0] for row in values] == list(range(2, 2 * made + 2))
        moves = sql.execute("SELECT sequence FROM transitions ORDER BY id").fetchall()
        assert [row[0] for row in moves] == list(range(1, len(source.blocks["alarms"]) + 1))
        covered = sql.execute("SELECT count(*), sum(until - start) FROM coverage").fetchone()
        assert covered == (1, made * SECOND)


async def test_killing_the_broker_loses_and_doubles_nothing(mosquitto: Mosquitto, tmp_path: Path):
    """mosquitto without persistence is killed five times under load: every block is in the store once, in order."""
    random = Random(4)
    source, door, listener = Source(), Door(), Listener()
    settings = BrokerSettings(host="127.0.0.1", port=mosquitto.port, protocol="5", timeout=1.0)
    store = SqliteStore.open(tmp_path / "office.db")
    uplink = new_uplink(settings, source, door)
    at_risk = 0
    async with running(new_ingest(settings, store, listener), uplink):
        for _ in range(5):
            await until(lambda: uplink.report().state == "connected")
            for _ in range(40):
                source.add(random.choice(("samples", "samples", "events", "alarms")))
                uplink.wake()
                await asyncio.sleep(random.random() * 0.01)
            at_risk += uplink.report().in_flight
            mosquitto.kill()
            source.add("alarms", 2)
            source.add("samples", 20)
            await asyncio.sleep(random.random() * 0.2)
            mosquitto.start()
        await until(lambda: source.left() == 0)
    report = uplink.report()
    store.close()
    assert at_risk > 0, "nothing was under way when the broker died: this run proved nothing"
    assert report.connections >= 5
    assert [move.sequence for move in listener.moves] == list(range(1, len(source.blocks["alarms"]) + 1))
    judge(tmp_path / "office.db", source)


async def test_stopping_the_office_and_the_gateway_in_between_loses_nothing(mosquitto: Mosquitto, tmp_path: Path):
    """Office and gateway are dropped in mid-work ten times, and everything arrives once."""
    random = Random(5)
    source, door, listener = Source(), Door(), Listener()
    settings = BrokerSettings(host="127.0.0.1", port=mosquitto.port, protocol="5", timeout=1.0)
    for _ in range(10):
        store = SqliteStore.open(tmp_path / "office.db")
        uplink = new_uplink(settings, source, door)
        async with running(new_ingest(settings, store, listener), uplink):
            for _ in range(15):
                source.add(random.choice(STREAMS), 3)
                uplink.wake()
                await asyncio.sleep(random.random() * 0.02)
        store.close()
    left = source.left()
    store = SqliteStore.open(tmp_path / "office.db")
    async with running(new_ingest(settings, store, listener), new_uplink(settings, source, door)):
        await until(lambda: source.left() == 0)
    store.close()
    assert left > 0, "nothing was under way at the end: this run proved nothing"
    judge(tmp_path / "office.db", source)


async def test_the_embedded_broker_carries_everything(tmp_path: Path):
    """iotcore with MQTT 3.1.1 carries a backlog and an acknowledgement down."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    source, door, listener = Source(), Door(), Listener()
    for stream in STREAMS:
        source.add(stream, 101)
    settings = BrokerSettings(host="127.0.0.1", port=port, protocol="3.1.1", timeout=2.0)
    store = SqliteStore.open(tmp_path / "office.db")
    broker = Broker(port=port, listen="127.0.0.1", max_payload_size=512 * 1024)
    broker.start()
    try:
        async with running(new_ingest(settings, store, listener), new_uplink(settings, source, door)):
            await until(lambda: source.left() == 0)
            ack = Ack("a1", f"{KEY}@{EPOCH}-101", "lee", "on my way", 1)
            assert await asyncio.wrap_future(store.add_ack(SITE, ack)) == "pending"
            await until(lambda: len(door.acks) >= 2)  # repeated until a transition answers it
    finally:
        broker.stop()
        store.close()
    assert door.acks[0] == ack
    judge(tmp_path / "office.db", source)
