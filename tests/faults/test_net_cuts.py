"""The ways to the broker cut at any byte, and what comes down held back past every time-out: 100 cuts, or 2,000.

The uplink, mosquitto, the ingest and its store are real; their back-offs are short, else a cut would cost seconds. A
proxy of this file's own stands between uplink and broker, another between ingest and broker. It cuts exactly at byte n
of what comes next, be that a block, its acknowledgement or a receipt. Cutting after the office has committed, before
the receipt is through, makes the uplink send again what changes nothing.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

import pytest

from cloud_sync.mqtt import BrokerSettings
from cloud_sync.store.sqlite import SqliteStore
from simulators.proxy import reset
from sitekeeper.block import STREAMS
from tests.fixtures.mosquitto import Mosquitto
from tests.integration.test_sync_brokers import Door, judge, new_ingest, new_uplink, running, until
from tests.unit.cloud_sync.material import Listener, Source

FULL = os.environ.get("SITEKEEPER_FULL") == "1"
CUTS: Final = 2_000 if FULL else 100
EVERY_BYTE: Final = 700
"""With full counts the first cuts go through every byte of a publish of about this size."""
HELD_S: Final = 4.0
"""Longer than this uplink's patience, and than it waits for a receipt."""
PROVED_NOTHING: Final = "proved nothing: nothing was at risk"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_000 if FULL else 150)]


class Way:
    """Passes on to `target`; `cut_after(n)` ends the connection that carries n bytes more, at exactly that byte."""

    def __init__(self, target: tuple[str, int], random: Random) -> None:
        self._target, self._random = target, random
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._left: dict[str, int] = {}
        self._open = asyncio.Event()
        self._open.set()
        self.cuts = self.held = 0

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

    def cut_after(self, count: int, way: str) -> None:
        """Cut when so many bytes more have gone `up` or `down`."""
        self._left = {way: count}

    async def hold(self, seconds: float) -> None:
        """Let nothing come down for a while; what is held comes then, late."""
        self.held += 1
        self._open.clear()
        await asyncio.sleep(seconds)
        self._open.set()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ends, halves = [writer], []
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            ends.append(far_writer)
            for way, source, sink in (("up", reader, far_writer), ("down", far_reader, writer)):
                halves.append(asyncio.create_task(self._pass(way, source, sink, (writer, far_writer))))
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
        way: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while content := await reader.read(4096):
                if way == "down":
                    await self._open.wait()
                left = self._left.get(way)
                if left is not None and len(content) >= left:
                    self._left = {}
                    writer.write(content[:left])
                    with contextlib.suppress(ConnectionError):
                        await writer.drain()
                    await asyncio.sleep(0)
                    self.cuts += 1
                    self._end(ends)
                    return
                if left is not None:
                    self._left[way] = left - len(content)
                writer.write(content)
                await writer.drain()

    def _end(self, ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        """Half of the times with RST, which also destroys what was on its way, and else in good order."""
        for end in ends:
            if self._random.random() < 0.5:
                reset(end)
            else:
                end.close()


async def test_nothing_is_lost_or_doubled_wherever_the_ways_are_cut(tmp_path: Path) -> None:
    """Cuts at any byte, up and down, before site and office, and receipts held back: everything is there once."""
    random = Random(14)
    source, store = Source(), SqliteStore.open(tmp_path / "office.db")
    with Mosquitto(tmp_path, persistence=False) as broker:
        ways = {name: Way(("127.0.0.1", broker.port), random) for name in ("site", "office")}
        ports = {name: await way.start() for name, way in ways.items()}
        at = {name: BrokerSettings(host="127.0.0.1", port=port, timeout=1.0) for name, port in ports.items()}
        uplink = new_uplink(at["site"], source, Door())

        def more() -> None:
            source.add(random.choice(STREAMS))
            uplink.wake()

        try:
            async with running(new_ingest(at["office"], store, Listener()), uplink):
                for number in range(CUTS):
                    await _cut(ways["site" if number % 3 else "office"], number, random, more)
                    if number == CUTS // 2:
                        await ways["site"].hold(HELD_S)
                uplink.retry()  # what a cut made a suspect by chance need not wait for its minute
                await until(lambda: source.left() == 0)
                report = uplink.report()
        finally:
            for way in ways.values():
                await way.close()
            store.close()
    cuts, made = sum(way.cuts for way in ways.values()), sum(map(len, source.blocks.values()))
    print({"cuts": cuts, "blocks": made, "published": report.published, "connections": report.connections})
    assert cuts >= CUTS * 9 // 10, PROVED_NOTHING
    assert report.published - made >= cuts / 10, PROVED_NOTHING  # sent again, and stored once all the same
    judge(tmp_path / "office.db", source)


async def _cut(way: Way, number: int, random: Random, more: Callable[[], None]) -> None:
    """Have the way cut, and give it something to carry until it is."""
    before = way.cuts
    up = random.random() < 0.6
    exact = number + 1 if FULL and number < EVERY_BYTE else random.randrange(1, EVERY_BYTE if up else 120)
    way.cut_after(exact, "up" if up else "down")
    for _ in range(200):
        if random.random() < 0.3:
            more()
        await asyncio.sleep(0.01)
        if way.cuts > before:
            return
