"""The ways to the broker cut at any byte, batches that come twice or out of order, and answers held back: E14.

The uplink, mosquitto, the ingest and its store are real; their back-offs are short, else a cut would cost seconds. A
proxy of this file's own stands between uplink and broker, another between ingest and broker. It knows where an MQTT
packet begins and ends, so it can cut exactly at byte n of a batch of samples, or of the receipt for one: after the
office has committed, and before the site knows. With SITEKEEPER_FULL=1 (`make faults`) that is every byte of both, and
2,000 cuts in all; else about 100.
"""

import asyncio
import contextlib
import os
from collections import Counter
from pathlib import Path
from random import Random
from typing import Final

import pytest

from cloud_sync.ingest import Ingest, IngestSettings
from cloud_sync.mqtt import BrokerSettings, connector
from cloud_sync.session import NoAnswer
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.uplink import Uplink, UplinkSettings
from simulators.proxy import reset
from sitekeeper.block import STREAMS
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.model.clock import MS, SystemClock
from tests.fixtures.mosquitto import Mosquitto
from tests.integration.test_sync_brokers import LIMITS, Door, judge, running, until
from tests.unit.cloud_sync.material import SITE, Listener, Source, catalogue

FULL = os.environ.get("SITEKEEPER_FULL") == "1"
CUTS, EACH, HOLDS = (2_000, 1, 20) if FULL else (100, 18, 1)
"""How many cuts, which bytes of a batch and of a receipt, and how often the broker's answers are held back."""
RANDOM_BYTES: Final = 700
HELD_S: Final = 2.0
"""Longer than this uplink waits for a broker's answer, and for a receipt."""
PUBLISH, BATCH, RECEIPT = 3, b"/up/samples", b"/down/receipt"
PROVED_NOTHING: Final = "proved nothing: nothing was at risk"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_000 if FULL else 150)]


class Way:
    """Passes whole MQTT packets on to `target`, and does to them what `order` says, once.

    Attributes:
        did: how often each was done: `cut`, `twice`, `swap`, `held`.
        size: the bytes of the latest packet to which something was done.
    """

    def __init__(self, target: tuple[str, int], random: Random) -> None:
        self._target, self._random = target, random
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._order, self._mark, self._left = "", b"", 0
        self.did = Counter[str]()
        self.size = 0

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        await asyncio.sleep(0.05)  # who has just come in gets a task first
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def order(self, what: str, mark: bytes = b"", at: int = 1) -> None:
        """Have something done to the next publish in which `mark` stands; without one, to the next that comes.

        `cut` ends the connection after `at` bytes of it, or without a mark, after `at` bytes of whatever comes; `twice`
        repeats it; `swap` lets the next packet pass first.
        """
        self._order, self._mark, self._left = what, mark, at

    async def hold(self, seconds: float) -> None:
        """Let nothing come down for a while; what is held comes then, late."""
        self._open.clear()
        await asyncio.sleep(seconds)
        self._open.set()
        self.did["held"] += 1

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ends, halves = [writer], []
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            ends.append(far_writer)
            for source, sink, gate in ((reader, far_writer, None), (far_reader, writer, self._open)):
                halves.append(asyncio.create_task(self._pass(source, sink, gate, (writer, far_writer))))
            await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
        except (OSError, asyncio.CancelledError):
            reset(writer)  # as the target would have; `close` cancels
        finally:
            for half in halves:
                half.cancel()
            await asyncio.gather(*halves, return_exceptions=True)
            for end in ends:  # all of them before anything is waited for: that may be cancelled
                end.transport.abort()
            for end in ends:
                with contextlib.suppress(OSError):
                    await end.wait_closed()
            self._tasks.discard(task)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        gate: asyncio.Event | None,
        ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        kept: list[bytes] = []
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                packet = await _packet(reader)
                if gate is not None:
                    await gate.wait()
                content, cut = self._spoilt(packet, kept)
                writer.write(content)
                await writer.drain()
                if cut:
                    await asyncio.sleep(0)
                    self._end(ends)
                    return

    def _spoilt(self, packet: bytes, kept: list[bytes]) -> tuple[bytes, bool]:
        """Return what passes on instead of a packet, and whether the connection ends then; `kept` is what waits."""
        late = b"".join(kept)
        kept.clear()
        anything = self._order == "cut" and not self._mark
        if not self._order or not (anything or (packet[0] >> 4 == PUBLISH and self._mark in packet)):
            return packet + late, False
        if anything and self._left > len(packet):
            self._left -= len(packet)
            return packet + late, False
        order, self._order = self._order, ""
        self.did[order] += 1
        self.size = len(packet)
        if order == "cut":
            return packet[: self._left], True
        if order == "twice":
            return packet + packet + late, False
        kept.append(packet)
        return late, False

    def _end(self, ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        """Half of the times with RST, which also destroys what was on its way, and else in good order."""
        for end in ends:
            if self._random.random() < 0.5:
                reset(end)
            else:
                end.close()


async def _packet(reader: asyncio.StreamReader) -> bytes:
    """Return the next MQTT packet: a byte of kind, its length in groups of seven bits, the lowest first, and the rest.

    Raises IncompleteReadError at the end.
    """
    head, length = await reader.readexactly(1), 0
    while True:
        head += await reader.readexactly(1)
        length |= (head[-1] & 127) << 7 * (len(head) - 2)
        if head[-1] < 128:
            return head + await reader.readexactly(length)


class Line:
    """Site and office with a way each to their broker, and what is done to the ways."""

    def __init__(self, ways: dict[str, Way], ports: dict[str, int], store: SqliteStore) -> None:
        site, office = (BrokerSettings(host="127.0.0.1", port=ports[name], timeout=1.0) for name in ("site", "office"))
        self.ways, self.random, self.source = ways, Random(14), Source()
        settings = UplinkSettings(
            site=SITE, boot="b1", version="0", catalogue=catalogue_hash(catalogue()), backoff_first=20 * MS,
            backoff_most=60 * MS, limits=LIMITS,
        )  # fmt: skip
        self.uplink = Uplink(
            connector(site, f"{SITE}-uplink"), self.source, Door(), settings=settings, clock=SystemClock()
        )
        lanes = {lane: connector(office, f"office-{lane}", persistent=True) for lane in ("urgent", "bulk")}
        self.ingest = Ingest(
            lanes, store, Listener(), clock=SystemClock(),  # type: ignore[arg-type]
            settings=IngestSettings(backoff_first=20 * MS, backoff_most=60 * MS, ack_every=200 * MS),
        )  # fmt: skip

    def cuts(self) -> int:
        return sum(way.did["cut"] for way in self.ways.values())

    async def have(self, name: str, what: str, mark: bytes = b"", at: int = 1) -> None:
        """Have something done, and give the way something to carry until it is."""
        way = self.ways[name]
        before = way.did[what]
        way.order(what, mark, at)
        for _ in range(150):
            self.source.add("samples" if mark else self.random.choice(STREAMS))
            self.uplink.wake()
            with contextlib.suppress(TimeoutError):
                return await until(lambda: way.did[what] > before, 0.2)
        raise AssertionError(f"nothing came along that could be {what}: {name} {mark!r}")

    async def every_byte(self, name: str, mark: bytes) -> None:
        """Cut after each byte of such a packet; it comes complete when it is sent again."""
        at = 1
        while at <= max(1, self.ways[name].size):
            await self.have(name, "cut", mark, at)
            at += EACH
        await self.settled()

    async def hold(self, name: str) -> None:
        """Hold back what comes down for longer than anybody waits for it."""
        holding = asyncio.create_task(self.ways[name].hold(HELD_S))
        for _ in range(int(HELD_S * 10)):
            self.source.add(self.random.choice(STREAMS))
            self.uplink.wake()
            await asyncio.sleep(0.1)
        await holding

    async def settled(self) -> None:
        """Wait until all is receipted; what a cut made a suspect by chance need not wait for its minute."""
        self.uplink.retry()
        await until(lambda: self.source.left() == 0)


async def test_nothing_is_lost_or_doubled_wherever_the_ways_are_cut(tmp_path: Path) -> None:
    """Cuts at every byte, packets twice and out of order, answers held back: everything is there once, in order."""
    store = SqliteStore.open(tmp_path / "office.db")
    with Mosquitto(tmp_path, persistence=False) as broker:
        ways = {name: Way(("127.0.0.1", broker.port), Random(name)) for name in ("site", "office")}
        line = Line(ways, {name: await way.start() for name, way in ways.items()}, store)
        try:
            async with running(line.ingest, line.uplink):
                for name in ways:
                    for mark in (BATCH, RECEIPT):
                        await line.every_byte(name, mark)
                    for _ in range(HOLDS):
                        await line.hold(name)
                        await line.settled()
                swept = line.cuts()
                while line.cuts() < CUTS:
                    await _anything(line)
                await line.settled()
                report, again = line.uplink.report(), line.ingest.counts["repeat"]
        finally:
            for way in ways.values():
                await way.close()
            store.close()
    made, did = sum(map(len, line.source.blocks.values())), ways["site"].did + ways["office"].did
    figures = {"at_every_byte": swept, "blocks": made, "published": report.published, "repeats_stored_once": again}
    print(dict(did), figures, {"connections": report.connections})
    assert min(did["twice"], did["swap"]) >= CUTS // 40, PROVED_NOTHING
    assert again >= swept / 10, PROVED_NOTHING  # cut after the commit and before the receipt, or sent twice
    assert report.published > made, PROVED_NOTHING
    judge(tmp_path / "office.db", line.source)


async def _anything(line: Line) -> None:
    """Cut somewhere, and let a packet come twice, or after the next one."""
    name, random = line.random.choice(("site", "office")), line.random
    if random.random() < 0.3:
        mark = random.choice((BATCH, RECEIPT))
        await line.have(name, random.choice(("twice", "swap")), mark)
    await line.have(name, "cut", at=random.randrange(1, RANDOM_BYTES))


async def test_who_only_listens_hears_of_a_publish_without_an_answer(tmp_path: Path) -> None:
    """It ends `receive` on the same connection at once, and does not leave it to the pings."""
    with Mosquitto(tmp_path, persistence=False) as broker:
        way = Way(("127.0.0.1", broker.port), Random(1))
        try:
            session = await connector(BrokerSettings(host="127.0.0.1", port=await way.start(), timeout=0.5), "x")()
            await session.subscribe("nothing/comes")
            listening = asyncio.create_task(session.receive())
            holding = asyncio.create_task(way.hold(1.5))
            await asyncio.sleep(0)
            with pytest.raises(NoAnswer):
                await session.publish("x", b"x")
            with pytest.raises(NoAnswer):
                await asyncio.wait_for(listening, 0.5)
            await session.close()
            await holding
        finally:
            await way.close()
