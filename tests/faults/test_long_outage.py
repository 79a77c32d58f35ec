"""The broker between a site of 500 points and its office is dead: for 14 s, with SITEKEEPER_FULL=1 for 10 minutes.

Gateway, mosquitto and office are real processes. Nothing is cut on the way here (`test_net_lines.py` does that): the
broker is killed, so that each attempt to reach it is refused at once, and it comes back with what its disk kept. Beside
three lifts, whose truth the oracle knows, stand five devices of 100 registers, of which 84 change with every reading.
What is printed are the figures of the run.
"""

import asyncio
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from statistics import linear_regression
from typing import Final

import pytest

from sitekeeper.model.clock import SECOND
from tests.estate_run import lift
from tests.net_run import PROVED_NOTHING, NetRun

FULL = os.environ.get("SITEKEEPER_FULL") == "1"
OUTAGE_S: Final = 600 if FULL else 14
EVERY_S: Final = 5.0 if FULL else 0.5
"""How often the gateway's memory is looked at."""
BULK, POINTS = 5, 100

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_500 if FULL else 150)]


async def test_a_broker_that_is_dead_for_long_costs_nothing_but_time(tmp_path: Path) -> None:
    """Alarms are there 5 s after its return, then the backlog; nothing lost or doubled; memory stays as it was."""
    lifts = [lift(n, {"at": f"{at:.1f}s", "do": {"alarm_button": "4s"}}) for n, at in enumerate(_presses(), 1)]
    async with NetRun(tmp_path, lifts, None, bulk=BULK, points=POINTS) as run:
        await asyncio.sleep(3)
        await run.kill("broker")
        gone = time.time_ns() // 1_000
        memory = await _memory(run)
        back = time.time_ns() // 1_000
        waiting = _waiting(run.outbox)
        await run.bring_back("broker")
        await run.until(lambda: not _waiting(run.outbox, before=back), 60 + OUTAGE_S / 5, "the backlog is not drained")
        drained = time.time_ns() // 1_000
        await run.drain()
    account = run.judge()
    pending = [a for a in run.arrivals("alarms") if gone < a.made < back]
    old = [block for block in run.arrivals("samples") if gone < block.made < back]
    settled = memory[len(memory) // 5 :]
    slope, _ = linear_regression(*zip(*settled, strict=True))
    figures = {
        "outage_s": round((back - gone) / SECOND, 1),
        "blocks_waiting": waiting,
        "rows_waiting": sum(block.records for block in old),
        "alarms_after_return_s": [round((a.committed - back) / SECOND, 2) for a in pending],
        "backlog_stored_after_s": round((max(block.committed for block in old) - back) / SECOND, 1),
        "receipts_after_s": round((drained - back) / SECOND, 1),
        "memory_mib": [round(memory[0][1], 1), round(settled[0][1], 1), round(settled[-1][1], 1)],
        "memory_kib_a_minute": round(slope * 1024 * 60, 1),
    }
    print(figures, account.figures, account.risk)
    assert len(pending) >= 2, PROVED_NOTHING
    assert figures["rows_waiting"] > 300 * OUTAGE_S, PROVED_NOTHING
    assert account.risk["blocks that waited"] >= 10, PROVED_NOTHING
    assert account.wrong == []
    assert max(figures["alarms_after_return_s"]) <= 5.0
    assert settled[-1][1] - settled[0][1] < 3.0, "the outbox holds the backlog, not the memory"


def _presses() -> list[float]:
    """Return when somebody presses the alarm button in each lift, in seconds of the devices' life: in the outage."""
    return [9.0, 5.0 + OUTAGE_S / 2, 2.0 + OUTAGE_S]


async def _memory(run: NetRun) -> list[tuple[float, float]]:
    """Return (second, MiB) of the gateway through the outage."""
    found, began = [], time.monotonic()
    while (at := time.monotonic() - began) < OUTAGE_S:
        found.append((at, run.gateway_memory()))
        await asyncio.sleep(EVERY_S)
    return found


def _waiting(outbox: Path, *, before: int = 1 << 62) -> int:
    """Return how many blocks of the outbox that were made before a wall time have no receipt."""
    with closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True)) as file:
        sql = "SELECT COUNT(*) FROM blocks WHERE NOT released AND t0 < ?"
        return int(file.execute(sql, (before,)).fetchone()[0])
