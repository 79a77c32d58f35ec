"""The herd: many gateways come back at once after an outage, each with alarms and a backlog: 60 of them, or 500.

`SITEKEEPER_HERD=300,40,60` makes it 300 gateways with 40 blocks each, after 60 s.

The gateways live in the test's process: real uplinks on real connections, and an outbox in memory for each, which makes
the payload of a backlog block when it is read. Broker and office are real, in processes of their own.
"""

import asyncio
import os
import shutil
import sqlite3
import time
from bisect import bisect_right
from collections import Counter
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cloud_sync.mqtt import BrokerSettings, connector
from cloud_sync.session import Session, Will
from cloud_sync.uplink import Uplink, UplinkSettings
from simulators.stage import Stage, free_port, sk, write
from sitekeeper.block import Stream, encode
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.model.clock import SECOND, SystemClock
from sitekeeper.model.command import Ack
from sitekeeper.model.sample import Sample
from tests.net_run import PROVED_NOTHING, at_most
from tests.unit.cloud_sync.material import block, catalogue, transition

FULL = os.environ.get("SITEKEEPER_FULL") == "1"
SIZE = os.environ.get("SITEKEEPER_HERD", "500,120,600" if FULL else "60,4,3")
GATEWAYS, BLOCKS, OUTAGE_S = map(int, SIZE.split(","))
"""How many gateways, blocks of 500 samples each has waiting, and seconds for which the broker is away."""
ALARMS_WITHIN_S, STARVED_S, OFFICE_MIB = 30.0, 60.0, 400
SOON_S, APART_S = 0.85, 0.15
"""Who has an alarm to tell knocks after 0.5 to 1 s, by chance: a quarter of the waits is shorter than the first of
these, and a tenth longer by the second than another tenth. Without jitter none is shorter than 1 s, on any machine."""
BEAT_S, LATE_S = 0.02, 0.05
"""This process keeps up where a sleep of the first takes no more than the second longer: those waits are judged."""
MOSQUITTO: Final = """
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 20000
max_inflight_messages 100
user root
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_000 if GATEWAYS > 60 else 120)]


class Cellar:
    """An outbox in memory that holds numbers instead of blocks; `cloud_sync.uplink.BlockSource`."""

    def __init__(self, site: str) -> None:
        self.site, self.epoch = site, "e1"
        self.made: Counter[Stream] = Counter()
        self.read_out: Counter[Stream] = Counter()
        self.released: dict[Stream, set[int]] = {"alarms": set(), "events": set(), "samples": set()}

    def next_sequence(self, stream: Stream) -> int:
        return self.made[stream] + 1

    def unsent(self, stream: Stream) -> tuple[int, int, int]:
        waiting = self.made[stream] - len(self.released[stream])
        oldest = next((n for n in range(1, self.made[stream] + 1) if n not in self.released[stream]), 1)
        return oldest, self.made[stream], waiting

    def read(self, stream: Stream, sequence: int, *, history: bool = False) -> bytes | None:
        if sequence > self.made[stream] or (sequence in self.released[stream] and not history):
            return None
        self.read_out[stream] += 1
        more: dict[str, object] = {}
        if stream == "samples":
            start = sequence * SECOND
            more["samples"] = [Sample(1, start + n * 1_000, sequence * 500 + n, 0) for n in range(500)]
        if stream == "alarms":
            key, found = f"{self.site}/lift-a1/L01", f"{self.site}/lift-a1/L01@e1-{sequence}"
            more["transitions"] = [transition(sequence, key=key, occurrence=found)]
        return encode(block(stream, sequence, site=self.site, epoch=self.epoch, **more))

    def release(self, epoch: str, ranges: list[tuple[Stream, int, int]]) -> None:
        assert epoch == self.epoch
        for stream, start, end in ranges:
            self.released[stream] |= set(range(start, min(end, self.made[stream]) + 1))

    def catalogue(self, wanted: str) -> bytes | None:
        payload = catalogue(self.site)
        return payload if catalogue_hash(payload) == wanted else None

    def left(self) -> int:
        return sum(self.unsent(stream)[2] for stream in self.released)


class NoDoor:
    """Takes acknowledgements and does nothing."""

    async def acknowledge(self, ack: Ack) -> None:
        """Nothing of this test is acknowledged."""


async def test_a_herd_of_gateways_comes_back_and_none_is_starved(tmp_path: Path) -> None:
    """All alarms are there within 30 s, the office stays small, nobody waits for a minute, not all knock at once."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed")
    port, stage = free_port(), Stage(tmp_path)
    config = write(tmp_path / "mosquitto.conf", MOSQUITTO.format(port=port))
    office = {
        "store": {"path": str(tmp_path / "office.db")}, "broker": {"host": "127.0.0.1", "port": port},
        "socket": {"path": str(tmp_path / "office.sock")}, "routes": {},
    }  # fmt: skip
    write(tmp_path / "office.yaml", yaml.safe_dump(office))
    cellars = [Cellar(f"site-{n}") for n in range(GATEWAYS)]
    knocks: list[list[tuple[float, float]]] = [[] for _ in cellars]
    late: list[tuple[float, float]] = []
    uplinks = [_uplink(cellar, port, mine) for cellar, mine in zip(cellars, knocks, strict=True)]
    tasks = [asyncio.create_task(uplink.run()) for uplink in uplinks]
    try:
        await stage.start("broker", program, "-c", str(config), port=port)
        command = sk("office", "run", "--config", str(tmp_path / "office.yaml"))
        await stage.start("office", *command, file=tmp_path / "office.sock")
        await _until(lambda: all(uplink.report().state == "connected" for uplink in uplinks), 60)
        await stage.kill("broker")
        for cellar in cellars:
            cellar.made.update({"samples": BLOCKS, "alarms": 1})
        gone = time.monotonic()
        beating = asyncio.create_task(_beat(late))
        tasks.append(beating)
        await asyncio.sleep(OUTAGE_S)
        await _until(lambda: len(_waits(knocks, gone + OUTAGE_S / 3)) >= GATEWAYS, 60)
        beating.cancel()
        waits = _waits(knocks, gone + OUTAGE_S / 3)
        kept_up = sorted(b - a for a, b in waits if _kept_up(late, a, b))
        before = [uplink.report().connections for uplink in uplinks]
        await stage.start("broker", program, "-c", str(config), port=port)
        back, came, memory = time.monotonic(), [0.0] * GATEWAYS, 0.0
        back_wall = time.time_ns() // 1_000
        while any(cellar.left() for cellar in cellars):
            assert time.monotonic() - back < 1_800, "the herd is not drained"
            for n, uplink in enumerate(uplinks):
                if not came[n] and uplink.report().connections > before[n]:
                    came[n] = time.monotonic() - back
            memory = max(memory, _memory(stage, "office"))
            await asyncio.sleep(0.1)
        drained = time.monotonic() - back
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await stage.close()
    sent = sum((cellar.read_out for cellar in cellars), Counter())
    figures: dict[str, Any] = _figures(tmp_path / "office.db", back_wall) | {
        "gateways": GATEWAYS, "drained_s": round(drained, 1), "office_mib": round(memory),
        "first_and_last_back_s": (round(min(came), 2), round(max(came), 2)), "waits": len(waits),
        "kept_up": len(kept_up), "waits_s": [round(at_most(part, kept_up), 2) for part in (0.1, 0.25, 0.9) if kept_up],
        "sends_for_each_block": round(sent["samples"] / GATEWAYS / BLOCKS, 2),
        "sends_for_each_alarm": round(sent["alarms"] / GATEWAYS, 2),
    }  # fmt: skip
    print(figures)
    assert figures["alarms"] == GATEWAYS, PROVED_NOTHING
    assert figures["samples"] == GATEWAYS * BLOCKS * 500
    assert figures["alarms_last_s"] <= ALARMS_WITHIN_S
    assert figures["longest_without_s"] <= STARVED_S
    assert memory <= OFFICE_MIB
    if len(kept_up) >= GATEWAYS // 2:  # that it is by chance is shown without a clock in test_back_off
        assert at_most(0.25, kept_up) <= SOON_S
        assert at_most(0.9, kept_up) - at_most(0.1, kept_up) >= APART_S


def _uplink(cellar: Cellar, port: int, knocks: list[tuple[float, float]]) -> Uplink:
    """Return a gateway's uplink; when it begins and ends to try to connect is noted."""
    wanted = catalogue_hash(catalogue(cellar.site))
    settings = UplinkSettings(site=cellar.site, boot="b1", version="0", catalogue=wanted)
    broker = BrokerSettings(host="127.0.0.1", port=port, protocol="5")
    inner = connector(broker, f"sitekeeper-{cellar.site}")

    async def connect(will: Will | None = None) -> Session:
        began = time.monotonic()
        try:
            return await inner(will)
        finally:
            knocks.append((began, time.monotonic()))

    return Uplink(connect, cellar, NoDoor(), settings=settings, clock=SystemClock())


def _waits(knocks: list[list[tuple[float, float]]], since: float) -> list[tuple[float, float]]:
    """Return from when until when gateways waited between two attempts to connect."""
    return [(a, b) for mine in knocks for (_, a), (b, _) in pairwise(mine) if a > since]


async def _beat(late: list[tuple[float, float]]) -> None:
    """Note from when until when this process did not keep up."""
    while True:
        began = time.monotonic()
        await asyncio.sleep(BEAT_S)
        if (at := time.monotonic()) - began > BEAT_S + LATE_S:
            late.append((began, at))


def _kept_up(late: list[tuple[float, float]], since: float, until: float) -> bool:
    """Tell whether this process was late at no time in between; `late` is in order and does not overlap."""
    place = bisect_right(late, since, key=lambda one: one[1])
    return place == len(late) or late[place][0] >= until


def _figures(path: Path, back: int) -> dict[str, Any]:
    """Return what the office has: alarms, samples, when the last alarm came, and the longest a site was not served."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as sql:
        alarms = sql.execute("SELECT committed FROM blocks WHERE stream = 'alarms'").fetchall()
        samples = sql.execute("SELECT count(*) FROM samples").fetchone()[0]
        rows = sql.execute("SELECT site, committed FROM blocks ORDER BY site, committed").fetchall()
    last, longest = dict.fromkeys({site for site, _ in rows}, back), 0
    for site, committed in rows:
        longest = max(longest, committed - last[site])
        last[site] = max(last[site], committed)
    return {
        "alarms": len(alarms), "samples": samples, "alarms_last_s": round((max(alarms)[0] - back) / SECOND, 2),
        "longest_without_s": round(longest / SECOND, 2),
    }  # fmt: skip


def _memory(stage: Stage, name: str) -> float:
    text = Path(f"/proc/{stage._processes[name].pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS")) / 1024


async def _until(condition: object, within: float) -> None:
    async with asyncio.timeout(within):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.05)
