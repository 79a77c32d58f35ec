"""Both shells on the broker in memory: the whole way without a socket and without waiting for real time."""

import asyncio
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from cloud_sync import wire
from cloud_sync.ingest import Ingest, IngestSettings
from cloud_sync.memory import MemoryBroker, matches
from cloud_sync.store.base import Outcome, PutBlock, Transaction
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.uplink import Uplink, UplinkSettings
from cloud_sync.uplink_machine import UplinkLimits
from cloud_sync.wire import Receipt, Request, Resend
from sitekeeper.block import STREAMS
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.model.clock import MS, SystemClock
from sitekeeper.model.command import Ack
from sitekeeper.model.errors import Refused, StorageError
from tests.unit.cloud_sync.material import EPOCH, KEY, SITE, Listener, Source, catalogue, payload

pytestmark = pytest.mark.timeout(20)


class Door:
    """Acknowledges once; the second time it is already acknowledged."""

    def __init__(self) -> None:
        self.acks: list[Ack] = []

    async def acknowledge(self, ack: Ack) -> None:
        self.acks.append(ack)
        if len(self.acks) > 1:
            raise Refused("already-acknowledged")


class World:
    def __init__(self, path: Path) -> None:
        self.broker = MemoryBroker(random=Random(3))
        self.source, self.door, self.listener = Source(), Door(), Listener()
        self.store = SqliteStore.open(path / "office.db", inline=True)

    def uplink(self, receipt_timeout: int = 40 * MS) -> Uplink:
        settings = UplinkSettings(
            site=SITE,
            boot="b1",
            version="0",
            catalogue=catalogue_hash(catalogue()),
            backoff_first=2 * MS,
            backoff_most=5 * MS,
            status_every=10 * MS,
            limits=UplinkLimits(receipt_timeout=receipt_timeout, probe_first=5 * MS, probe_most=10 * MS, hold=20 * MS),
        )
        connect = self.broker.connector(SITE)
        return Uplink(connect, self.source, self.door, settings=settings, clock=SystemClock(), random=Random(1))

    def ingest(self) -> Ingest:
        lanes = {lane: self.broker.connector(lane, persistent=True) for lane in ("urgent", "bulk")}
        settings = IngestSettings(
            linger=2 * MS, quiet=1 * MS, ack_every=5 * MS, retry=5 * MS, backoff_first=2 * MS, backoff_most=5 * MS
        )
        return Ingest(lanes, self.store, self.listener, clock=SystemClock(), settings=settings)  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path):
    made = World(tmp_path)
    yield made
    made.store.close()


@asynccontextmanager
async def running(*parts):
    tasks = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield
    finally:
        died = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not died, [task.exception() for task in died]


async def until(condition, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


async def test_everything_goes_up_and_is_released_by_receipts(world: World):
    """All three streams arrive, the listener hears of each new transition once, and the outbox is released."""
    for stream in STREAMS:
        world.source.add(stream, 3)
    uplink = world.uplink()
    async with running(uplink, world.ingest()):
        await until(lambda: world.source.left() == 0)
    assert [move.sequence for move in world.listener.moves] == [1, 2, 3]
    assert uplink.report().released >= 9
    assert (SITE, True) in world.listener.signs


async def test_a_receipt_that_the_outbox_cannot_take_is_given_again(world: World, monkeypatch):
    """Its writer may be behind; the block is not sent again on a connection that stands, so the receipt is kept."""
    sound, refused = world.source.release, [False] * 3
    monkeypatch.setattr(world.source, "release", lambda *which: refused.pop() if refused else sound(*which))
    world.source.add("events", 1)
    uplink = world.uplink()
    async with running(uplink, world.ingest()):
        await until(lambda: world.source.left() == 0)
    assert uplink.report().connections == 1


async def test_without_an_office_nothing_is_released_whatever_the_broker_says(world: World):
    """The broker acknowledges every publish; as long as no office commits, every block stays in the outbox."""
    for stream in STREAMS:
        world.source.add(stream, 3)
    uplink = world.uplink()
    async with running(uplink):
        await until(lambda: uplink.report().published >= 5)
        await asyncio.sleep(0.01)
    assert world.source.left() == 9


async def test_a_block_that_the_disk_does_not_give_at_present_ends_nothing(world: World, monkeypatch):
    """The block is passed by for a while; a disk that gives what was never written ends the uplink, and the process."""
    read, errors = world.source.read, [StorageError("input/output error")] * 3

    def failing(stream, sequence, *, history=False):
        if stream == "events" and errors:
            raise errors.pop()
        return read(stream, sequence, history=history)

    monkeypatch.setattr(world.source, "read", failing)
    world.source.add("events", 2)
    world.source.add("samples", 2)
    uplink = world.uplink(receipt_timeout=5_000 * MS)  # so that a busy machine is no reason to connect again
    async with running(uplink, world.ingest()):
        await until(lambda: world.source.left() == 0)
    assert uplink.report().connections == 1
    damaged = StorageError("not what was written")
    damaged.damaged = True
    errors.append(damaged)
    world.source.add("events", 1)
    with pytest.raises(ExceptionGroup):
        async with asyncio.timeout(5):
            await world.uplink().run()


async def test_a_block_of_which_nobody_can_read_the_name_leaves_a_hole_that_is_stated(world: World):
    """The office keeps its bytes, the site remembers that they are of no use, and says so when it is asked again."""
    world.source.add("samples", 3)
    world.source.blocks["samples"][2] = b"\x01rotten"
    uplink, ingest = world.uplink(), world.ingest()
    async with running(uplink, ingest):
        await until(lambda: world.source.left() == 0)
        assert uplink.report().quarantined[0].sequence == 2
        uplink._history.want(Resend(EPOCH, "samples", 1, 3))
        await until(lambda: uplink._history.absent == (Resend(EPOCH, "samples", 2, 2),))
        await until(lambda: uplink._history.sent == 2)


async def test_a_bad_line_is_survived(world: World):
    """With messages lost, repeated and reordered, and connections cut, everything arrives once and in order."""
    faults = world.broker.faults
    faults.drop, faults.duplicate, faults.reorder = 0.1, 0.2, 0.2
    async with running(world.uplink(), world.ingest()):
        for _ in range(4):
            for stream in STREAMS:
                world.source.add(stream, 2)
            await asyncio.sleep(0.004)
            world.broker.restart(keep=False)
        faults.drop = 0.0
        await until(lambda: world.source.left() == 0)
    assert [move.sequence for move in world.listener.moves] == list(range(1, 9))


async def test_an_acknowledgement_goes_down_until_its_answer_comes(world: World):
    """It is repeated, handed to the door each time, and an already acknowledged one disturbs nobody."""
    world.source.add("alarms", 1)
    ingest = world.ingest()
    async with running(world.uplink(), ingest):
        await until(lambda: world.source.left() == 0)
        ack = Ack("a1", f"{KEY}@{EPOCH}-1", "lee", "", 1)
        world.store.add_ack(SITE, ack).result()
        await ingest.send_acks()
        await until(lambda: len(world.door.acks) >= 3)
        assert world.door.acks[0] == ack
        world.source.add("alarms", 2)  # the second of them is the next occurrence: the first one is over
        await until(lambda: world.store.pending_acks() == [])


async def test_the_office_asks_for_a_catalogue_that_it_lost(world: World):
    """Blocks wait for the catalogue, which the site sends when asked, although it had sent it before."""
    uplink = world.uplink()
    async with running(uplink):
        await until(lambda: uplink.report().state == "connected")
    world.broker.restart(keep=False)
    world.source.add("samples", 2)
    async with running(uplink, world.ingest()):
        await until(lambda: world.source.left() == 0)
    assert world.store.reader.latest(SITE)[0].value == 5


async def test_a_block_that_the_office_cannot_read_stops_nothing(world: World):
    """Bytes that rotted on the site's disk end in quarantine, are released, and the blocks behind them arrive."""
    world.source.add("samples", 3)
    world.source.blocks["samples"][2] = b"\x01rotten"
    async with running(world.uplink(), world.ingest()):
        await until(lambda: world.source.left() == 0)
    assert world.store.reader.latest(SITE)[0].value == 7


async def test_no_receipt_without_a_commit(world: World, monkeypatch):
    """A store that fails is asked again, and until it has committed no site lets go of anything."""
    sound = world.store.commit

    def commit(transaction: Transaction) -> "Future[Outcome]":
        if not any(isinstance(one, PutBlock) for one in transaction.entries):
            return sound(transaction)
        failed: Future[Outcome] = Future()
        failed.set_exception(StorageError("disk full"))
        return failed

    monkeypatch.setattr(world.store, "commit", commit)
    for stream in STREAMS:
        world.source.add(stream, 2)
    uplink, ingest = world.uplink(), world.ingest()
    async with running(uplink, ingest):
        await until(lambda: bool(ingest.store_problem) and uplink.report().published >= 3)
        await asyncio.sleep(0.02)
        assert (world.source.left(), uplink.report().released) == (6, 0)
        monkeypatch.setattr(world.store, "commit", sound)
        await until(lambda: world.source.left() == 0)


async def test_what_the_store_cannot_hold_stops_nothing(world: World, monkeypatch):
    """Told from those beside it, it lies in quarantine with its bytes; a receipt goes out for the others only."""
    sound = world.store.commit

    def commit(transaction: Transaction) -> "Future[Outcome]":
        if not any(isinstance(one, PutBlock) and one.block.sequence == 2 for one in transaction.entries):
            return sound(transaction)
        failed: Future[Outcome] = Future()
        failed.set_exception(StorageError("a number too large", refused=True))
        return failed

    monkeypatch.setattr(world.store, "commit", commit)
    world.source.add("events", 3)
    world.source.add("alarms", 3)
    async with running(world.uplink(), world.ingest()):
        await until(lambda: world.source.left() == 0)
    rows = world.store.reader.ask("SELECT stream, sequence, reason FROM quarantine ORDER BY stream")
    assert [tuple(row) for row in rows] == [("alarms", 2, "constraint"), ("events", 2, "constraint")]
    assert world.store.reader.ask("SELECT count(*) FROM events")[0][0] == 2
    assert [move.sequence for move in world.listener.moves] == [1, 3]


async def test_a_last_will_says_that_the_site_is_gone(world: World):
    """When the connection dies the listener hears offline."""
    async with running(world.ingest()):
        uplink = world.uplink()
        async with running(uplink):
            await until(lambda: (SITE, True) in world.listener.signs)
            world.broker.up = False
            world.broker._clients[SITE].session.lose()
            await until(lambda: (SITE, False) in world.listener.signs)


async def test_a_mute_connection_is_given_up(world: World):
    """When nothing comes back at all the uplink stands at `connecting` or `waiting`, and works again afterwards."""
    uplink = world.uplink()
    async with running(uplink, world.ingest()):
        await until(lambda: uplink.report().state == "connected")
        world.broker.faults.mute = True
        world.source.add("samples", 1)
        uplink.wake()
        await until(lambda: uplink.report().connections > 1 or uplink.report().state == "waiting")
        world.broker.faults.mute = False
        world.broker.cut()
        await until(lambda: world.source.left() == 0)


async def test_a_refused_topic_shows_and_does_not_reconnect(world: World):
    """Reason code 135 is reported by stream; the connection stays, and alarms pass."""
    world.broker.faults.denied = {wire.up_topic(SITE, "samples")}
    for stream in STREAMS:
        world.source.add(stream)
    uplink = world.uplink()
    async with running(uplink, world.ingest()):
        await until(lambda: world.source.left() == 1)
        await until(lambda: uplink.report().refused == {"samples": 135})
        assert uplink.report().connections == 1
        world.broker.faults.denied = set()
        await until(lambda: world.source.left() == 0)


async def test_nonsense_from_the_office_is_counted_and_ignored(world: World):
    """Bytes that are no receipt, and requests for other epochs, change nothing."""
    world.source.add("alarms", 1)
    uplink = world.uplink()
    async with running(uplink):
        await until(lambda: uplink.report().state == "waiting")
        world.broker.publish(wire.down_topic(SITE, "receipt"), b"nonsense")
        other = Receipt(1, [wire.Committed("other", "alarms", [(1, 9)])])
        world.broker.publish(wire.down_topic(SITE, "receipt"), wire.encode_receipt(other))
        resend = Request(resend=Resend("other", "alarms", 1, 9))
        world.broker.publish(wire.down_topic(SITE, "request"), wire.encode_request(resend))
        await until(lambda: uplink.report().ignored == 1 and uplink.report().last_receipt is not None)
    assert world.source.left() == 1


def test_subscriptions_match_as_the_standard_says():
    """`+` is one level, a final `#` any number."""
    assert matches("a/+/c", "a/b/c")
    assert not matches("a/+", "a/b/c")
    assert matches("a/#", "a/b/c")
    assert not matches("a/b/c", "a/b")


def test_material_is_what_it_says():
    """The payloads of these tests are real blocks."""
    assert payload("alarms", 1)[0] == 1
