"""A disk that takes its time: polling keeps its pace, alarms arrive, nothing is lost.

The gateway runs under strace, which lets every fdatasync wait (experiment E7: 500 ms each; every 20th 5 s). 9 s of
500 ms each; with SITEKEEPER_FULL=1 120 s of both.
"""

import asyncio
import os
import shutil
from itertools import pairwise
from pathlib import Path
from statistics import quantiles

import pytest

from tests import oracle
from tests.estate_run import EstateRun, lift

FULL = os.environ.get("SITEKEEPER_FULL") == "1"
SECONDS = 120 if FULL else 9
PERIOD = 1_000_000
JITTER = 0.10 if FULL else 0.25
"""So far may nine of ten polls be from their time, in periods. A loop that waits for the disk is half a period late; a
part of that may be the machine's other work, where it has some."""
BEGUN_S = 4
"""Connecting and the first readings are not yet the pace."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class SlowRun(EstateRun):
    """A run whose gateway waits at every `inject`ed system call (strace(1), "Tampering")."""

    def __init__(self, folder: Path, inject: str) -> None:
        story = [{"at": "6s", "do": {"alarm_button": "1h"}}]
        super().__init__(folder, [lift(1, *story), *(lift(n, traffic="6s") for n in range(2, 8))], scan="1s")
        strace = shutil.which("strace")
        if strace is None:
            pytest.skip("strace is not installed")
        command, ready = self._start["gateway"]
        # -D: the gateway stays our child, so that it is the gateway that hears our signals.
        slowly = [strace, "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", inject]
        self._start["gateway"] = ([*slowly, *command], ready)


def polls(journal: Path, device: str) -> list[int]:
    """Return when a device was asked, one time a period: its replies to one reading come close together."""
    times = [line["t"] for line in oracle.lines(journal) if line.get("device") == device and "points" in line]
    return times[:1] + [later for sooner, later in pairwise(times) if later - sooner > PERIOD / 4]


@pytest.mark.parametrize("delay", ["delay_enter=500000", *(["delay_enter=5000000:when=20+20"] if FULL else [])])
async def test_polling_keeps_its_pace_while_the_disk_is_slow(tmp_path: Path, delay: str) -> None:
    """Nine in ten polls come within a part of their period, none is left out, and the record is complete."""
    async with SlowRun(tmp_path, f"inject=fdatasync:{delay}") as run:
        await asyncio.sleep(SECONDS)
        await run.until(lambda: run.alarms("L03") != [], 60.0, "no alarm")
        await run.drain()
    account = run.judge()
    off, count = [], 0
    for n in range(1, 8):
        times = polls(tmp_path / "lifts.jsonl", f"lift-{n}")
        times = [time for time in times if time > times[0] + BEGUN_S * 1_000_000]
        off += [abs(later - sooner - PERIOD) / PERIOD for sooner, later in pairwise(times)]
        count += len(times)
    ninth = quantiles(off, n=10)[-1]
    print(
        f"{count} polls, 90 % within {ninth:.1%} of the period, worst {max(off):.1%}; {account.figures['latency_ms']}"
    )
    assert count > 7 * (SECONDS - BEGUN_S - 2), "polls were left out"
    assert ninth <= JITTER
    assert account.wrong in ([], ["proved nothing: nothing was at risk"])
    assert account.figures["alarms_raised"]["L03"] == 1
