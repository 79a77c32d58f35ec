"""The line between a site and its office, gone, bad and half open: real gateway, mosquitto and office, and namespaces.

The site (gateway and devices) and the office live in namespaces of their own, with a third one on the way, where
packets are dropped, slowed and mixed up as on a real line. With SITEKEEPER_FULL=1 (`make faults`) each fault lasts as
long as reliability asks for, and the machine has to be quiet enough for the promised rates; else it lasts until there
is something to judge. What is printed are the figures of the run.
"""

import asyncio
import json
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge.cli.client import ask
from sitekeeper.model.clock import SECOND
from tests.estate_run import lift
from tests.fixtures.network import Rooms
from tests.net_run import PROVED_NOTHING, NetRun, at_most, latencies

FULL = os.environ.get("SITEKEEPER_FULL") == "1"
OUTAGE_S, BAD_S, HALF_OPEN_S = (600, 600, 300) if FULL else (7, 5, 0)
RATE, LAG_S, DEVICE_BAD_S, MISSED_S = (10_000, 2.0, 4.0, 15.0) if FULL else (2_500, 4.0, 6.0, 20.0)
"""Rows a second, and seconds: three periods and the one that had just been answered until a device is bad. The short
form runs beside other tests on a small machine."""
FLOWING = 12
"""Devices of which 84 registers change with every reading, each second: 1,008 samples a second."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2_000 if FULL else 150)]


def presses(count: int, last: float) -> list[dict[str, Any]]:
    """Return lifts in each of which somebody presses the alarm button for 4 s once, evenly from 5 s to `last`.

    In the short form that is for longer than the fault lasts, because nobody knows how long the parts need to start.
    """
    gap = (last - 5) / (count - 1)
    return [lift(n + 1, {"at": f"{5 + n * gap:.1f}s", "do": {"alarm_button": "4s"}}) for n in range(count)]


async def test_a_line_that_was_gone_brings_alarms_first_and_then_the_rest(tmp_path: Path) -> None:
    """Alarms are there 5 s after link-up, the backlog drains at 10,000 samples a second, live ones lag at most 2 s."""
    memory: list[float] = []
    with Rooms("site", "desk") as rooms:
        async with NetRun(tmp_path, presses(16, max(38, OUTAGE_S)), rooms, bulk=FLOWING) as run:
            await run.until(lambda: bool(run.arrivals("samples")), 30, "nothing comes")
            run.cut()
            run.site.plug(up=False)
            gone = time.time_ns() // 1_000
            for _ in range(10):
                await asyncio.sleep(OUTAGE_S / 10)
                memory.append(run.gateway_memory())
            await run.until(lambda: _kept(run, "alarms", gone + 2 * SECOND) >= 2, 30, PROVED_NOTHING)
            run.site.plug(up=True)
            up = run.healed()
            await run.until(lambda: not _waiting(run), 60 + OUTAGE_S / 5, "the backlog is not drained")
            drained = time.time_ns() // 1_000
            await run.until(lambda: run.arrivals("samples")[-1].made > drained, 20, PROVED_NOTHING)
            seen = time.time_ns() // 1_000
            await run.drain()
    account = run.judge()
    pending = [a for a in run.arrivals("alarms") if gone + 2 * SECOND < a.made < up]
    blocks = [block for block in run.arrivals("samples") if block.committed >= up]
    old = [block for block in blocks if block.made < up]
    first = min(block.committed for block in old)
    lags = sorted((b.committed - b.made) / SECOND for b in blocks if first <= b.made <= seen)
    figures: dict[str, Any] = {
        "alarms": len(pending),
        "last_alarm_after_link_up_s": round(max((a.committed - up) / SECOND for a in pending), 2),
        "backlog_rows": sum(block.records for block in old),
        "drain_rows_a_second": round(_rate(old)),
        "live_lag_most_s": round(max(lags), 2),
        "memory_mib": [round(memory[0], 1), round(memory[-1], 1)],
        "memory_mib_an_hour": round((memory[-1] - memory[4]) / (OUTAGE_S / 2) * 3600, 1),
    }
    print(figures, account.figures)
    assert len(pending) >= 2, PROVED_NOTHING
    assert figures["backlog_rows"] > 400 * OUTAGE_S, PROVED_NOTHING
    assert account.risk["blocks that waited"] >= OUTAGE_S // 2, PROVED_NOTHING
    assert account.wrong == []
    assert figures["last_alarm_after_link_up_s"] <= 5.0
    assert figures["drain_rows_a_second"] >= RATE
    assert figures["live_lag_most_s"] <= LAG_S
    assert memory[-1] - memory[4] < 3.0


async def test_a_bad_line_lets_alarms_through_within_seconds(tmp_path: Path) -> None:
    """64 kbit/s of which 30 % is lost each way, then packets late, mixed up and doubled: alarms come within 8 s."""
    figures: dict[str, Any] = {}
    lifts = presses(100, 2 * BAD_S) if FULL else presses(20, 45)
    with Rooms("site", "desk") as rooms:
        async with NetRun(tmp_path, lifts, rooms, scan="1s" if FULL else "500ms") as run:
            await run.until(lambda: bool(run.arrivals("samples")), 30, "nothing comes")
            run.cut()
            run.site.lose(30)
            run.site.slow("64kbit")
            figures["lossy"] = await _bad_time(run, lambda _: run.site.lost() >= 25)
            run.site.heal()
            run.site.weather(delay=800, jitter=300, reorder=25, duplicate=5)
            figures["late"] = await _bad_time(run, lambda alarms: alarms[-1] > 0.5)
            run.site.heal()
            run.healed()
            await run.drain()
    account = run.judge()
    print(figures, {"resent": account.figures["resent"]}, account.figures)
    assert [sentence for sentence in account.wrong if not sentence.startswith("proved nothing")] == []
    for bad in figures.values():
        assert bad["p99_s"] <= 8.0
        assert bad["reconnections"] <= max(2, 6 * BAD_S / 60)


async def test_half_open_ways_are_found_and_healed(tmp_path: Path) -> None:
    """Packets vanish without a word: the device is bad within 3 periods, broker and office are missed within 15 s."""
    figures: dict[str, float] = {}
    with Rooms("site", "desk") as rooms:
        async with NetRun(tmp_path, presses(2, 10 + HALF_OPEN_S), rooms, scan="1s") as run:
            await run.until(lambda: bool(run.arrivals("samples")), 30, "nothing comes")
            run.cut()
            run.site.swallow(run.modbus, run.broker)
            bad = asyncio.create_task(_how_long(_device_bad(run, bad=True), 10))
            figures["broker_missed_s"] = await _missed_for(run, HALF_OPEN_S)
            figures["device_bad_s"] = await bad
            run.site.heal()
            run.healed()
            back = asyncio.create_task(_how_long(_device_bad(run, bad=False), 60))
            figures["broker_back_s"] = await _how_long(_uplink_is(run, "connected"), 30)
            figures["device_back_s"] = await back
            run.cut()
            run.desk.swallow(run.broker)
            noticed = asyncio.create_task(_how_long(_nobody_connected(run), 40))
            figures["office_missed_s"] = await _missed_for(run, HALF_OPEN_S)
            figures["office_notices_s"] = await noticed
            run.desk.heal()
            run.healed()
            figures["office_back_s"] = await _how_long(_uplink_is(run, "connected"), 30)
            await run.drain()
    account = run.judge()
    print(figures, account.figures)
    assert account.risk["blocks that waited"] >= 5, PROVED_NOTHING
    vanished = account.figures["lost"] <= 2  # replies on their way when the devices' packets were swallowed: one each
    assert [sentence for sentence in account.wrong if not (vanished and "replies lost" in sentence)] == []
    assert figures["device_bad_s"] <= DEVICE_BAD_S
    assert figures["broker_missed_s"] <= MISSED_S
    assert figures["office_missed_s"] <= MISSED_S
    assert figures["office_notices_s"] <= MISSED_S
    assert figures["broker_back_s"] <= 5.0
    assert figures["office_back_s"] <= 5.0


async def _bad_time(run: NetRun, bad_enough: Callable[[list[float]], bool]) -> dict[str, float]:
    """Let a fault last until it has done something; return what it did to alarms and connections.

    Alarms of its last 2 s may be under way when it ends; these do not count.
    """
    began, before = time.time_ns() // 1_000, _said(run, "uplink connected")
    await asyncio.sleep(BAD_S)

    def waited() -> list[float]:
        return latencies(run.arrivals("alarms"), began, time.time_ns() // 1_000 - 2 * SECOND)

    await run.until(lambda: len(waited()) >= 2 and bad_enough(waited()), 40, PROVED_NOTHING)
    alarms = waited()
    return {
        "alarms": len(alarms), "p50_s": round(at_most(0.5, alarms), 2), "p99_s": round(at_most(0.99, alarms), 2),
        "reconnections": _said(run, "uplink connected") - before,
    }  # fmt: skip


def _kept(run: NetRun, stream: str, since: int) -> int:
    """Return how many blocks made after that the gateway holds for the office."""
    sql = "SELECT COUNT(*) FROM blocks WHERE stream = ? AND t0 > ? AND NOT released"
    with closing(sqlite3.connect(f"file:{run.outbox}?mode=ro", uri=True)) as outbox:
        return int(outbox.execute(sql, (stream, since)).fetchone()[0])


def _waiting(run: NetRun) -> bool:
    """Tell whether samples that are older than a few seconds wait for the office."""
    arrived = run.arrivals("samples")
    return (
        not arrived or arrived[-1].made < time.time_ns() // 1_000 - 3 * SECOND or _gaps([a.sequence for a in arrived])
    )


def _gaps(sequences: list[int]) -> bool:
    return len(sequences) != max(sequences)


def _rate(blocks: list[Any]) -> float:
    """Return the rows a second from the first commit of these blocks to the last but for what came in the first."""
    by_commit = Counter[int]()
    for block in blocks:
        by_commit[block.committed] += block.records
    times = sorted(by_commit)
    rows = sum(by_commit.values())
    return rows / max(0.05, (times[-1] - times[0]) / SECOND)


def _said(run: NetRun, event: str) -> int:
    text = (run.folder / "gateway.log").read_text(encoding="utf-8")
    return sum(json.loads(line).get("event") == event for line in text.splitlines() if line.startswith("{"))


def _uplink_is(run: NetRun, state: str, *, other: bool = False) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        said = (await run.status())["uplink"]["state"]
        return bool((said == state) != other)

    return look


def _nobody_connected(run: NetRun) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return run.desk.connections(run.broker) == 0

    return look


def _device_bad(run: NetRun, *, bad: bool) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        found = await asyncio.to_thread(lambda: list(ask(run.folder / "gateway.sock", "device.list", {})))
        return all((device["state"] != "answers") is bad for device in found)

    return look


async def _how_long(look: Callable[[], Awaitable[bool]], within: float) -> float:
    """Return the seconds until something is so."""
    began = time.monotonic()
    while not await look():
        assert time.monotonic() - began < within, f"not so after {within} s"
        await asyncio.sleep(0.1)
    return round(time.monotonic() - began, 2)


async def _missed_for(run: NetRun, lasts: float) -> float:
    """Return the seconds after which the site knows that its office is gone; the fault lasts for as long as it does."""
    began = time.monotonic()
    missed = await _how_long(_uplink_is(run, "connected", other=True), lasts + 20)
    await asyncio.sleep(max(0.0, began + lasts - time.monotonic()))
    return missed
