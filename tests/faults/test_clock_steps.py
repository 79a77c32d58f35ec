"""The gateway's wall clock is set on and back while it polls, raises alarms and sends: nothing is early, late or lost.

The gateway is a real process whose wall clock alone is shifted (`tests/fixtures/shifted_clock.c`); devices, broker,
office and telephone keep the true time, and are what it is judged by. Phases of a few seconds in the test tier; with
SITEKEEPER_FULL=1 (`make faults`) of a minute.
"""

import asyncio
import os
import shutil
import sqlite3
import struct
import subprocess
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from tests.estate_run import SITE, EstateRun, lift
from tests.oracle_record import Office, lines, serial_of
from tests.oracle_truths import truths

FULL = os.environ.get("SITEKEEPER_FULL") == "1"
PHASE_S: Final = 60.0 if FULL else 1.5
SCAN_S: Final = 0.5
PRESSED_FOR_S: Final = 3.0
"""L03 is due after this; so every alarm here has a step in its delay."""
CADENCE: Final = 0.05
"""How far the mean time between two polls may be from what was asked for: in a phase of a minute, and over a run. In a
phase of seconds a poll and a half may be late, because the machine is busy, and in a run of seconds two."""
PROMPT_S: Final = 1.5 if FULL else 4.0
"""An alarm is at the telephone so soon after it is due: a poll, two commits, the way there; on a busy machine longer,
which no step but those of a second hides."""
BUTTONS: Final = 3
HOUR_S, MONTH_S = 3_600, 30 * 86_400
LEAPS: Final = 50
SOURCE: Final = Path(__file__).parents[1] / "fixtures" / "shifted_clock.c"
SECOND = 1_000_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900 if FULL else 120),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc"),
]


class Wall:
    """What the gateway sees of the time of day: true time and a shift. Steps, and phases by their true beginning."""

    def __init__(self, folder: Path) -> None:
        self._library, self._file = folder / "shifted_clock.so", folder / "shift"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", self._library, SOURCE], check=True)
        self.steps: list[int] = []
        self.phases: list[tuple[float, float]] = []
        self._write()

    def _write(self) -> None:
        with self._file.open("r+b" if self._file.exists() else "w+b") as file:
            file.write(struct.pack("=q", sum(self.steps)))

    async def phase(self, *steps: int) -> None:
        """Make these steps, in seconds, evenly over a phase."""
        began = time.time()
        for number, by in enumerate(steps, 1):
            self.steps.append(by)
            self._write()
            await asyncio.sleep(max(0.0, began + PHASE_S * number / len(steps) - time.time()))
        self.phases.append((began, time.time()))

    def under(self, command: list[str]) -> list[str]:
        """Return the command that runs with this wall clock and everybody's monotonic one."""
        return ["env", f"LD_PRELOAD={self._library}", f"SHIFT_FILE={self._file}", *command]


class SteppedRun(EstateRun):
    """An estate whose gateway has a wall clock of its own."""

    def __init__(self, folder: Path, devices: list[dict[str, Any]]) -> None:
        super().__init__(folder, devices, scan=f"{SCAN_S * 1_000:.0f}ms")
        self.wall = Wall(folder)
        command, ready = self._start["gateway"]
        self._start["gateway"] = (self.wall.under(command), ready)

    def journal(self) -> list[dict[str, Any]]:
        return lines(self.folder / "lifts.jsonl")

    def office(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.folder}/office.db?mode=ro", uri=True)) as db:
            return db.execute(sql).fetchall()


def estate() -> list[dict[str, Any]]:
    """Three lifts with a button each, pressed one after the other before the steps are over, and one with traffic."""
    times = [5.0 + n * 1.5 * PHASE_S for n in range(BUTTONS)]
    return [
        *(lift(10 + n, {"at": f"{at:g}s", "do": {"alarm_button": "12s"}}) for n, at in enumerate(times)),
        lift(1, traffic="5s"),
    ]


def polls(journal: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Return the true times at which each device was read."""
    found: dict[str, list[float]] = defaultdict(list)
    for line in journal:
        if "n" in line:
            found[line["device"]].append(line["t"] / SECOND)
    return found


def off_beat(run: SteppedRun) -> list[str]:
    """Return the phases in which a device was read more or less often than asked for."""
    wrong, phases = [], run.wall.phases
    whole = (phases[0][0], phases[-1][1])
    for device, times in polls(run.journal()).items():
        for began, ended in [*phases, whole]:
            within = [t for t in times if began <= t <= ended]
            mean = (within[-1] - within[0]) / (len(within) - 1) if len(within) > 1 else ended - began
            late = 2.0 if (began, ended) == whole else 1.5
            borne = max(CADENCE, late * SCAN_S / (ended - began))
            if abs(mean / SCAN_S - 1) > borne:
                wrong.append(f"{device}: every {mean:.3f} s in the phase from {began - whole[0]:.1f} s")
    return wrong


def untimely(run: SteppedRun) -> list[str]:
    """Return the buttons whose alarm did not come once, when it was due."""
    wrong, pushes = [], [push for push in run.pushes() if "/L03@" in push["event"]]
    pressed = [truth for truth in truths(run.journal()) if truth[0] == "L03"]
    due = [(device, start) for _, device, start, end in pressed if end - start > PRESSED_FOR_S * SECOND]
    for device, start in due:
        after = [(push["t"] - start) / SECOND for push in pushes if f"/{device}/" in push["event"]]
        if len(after) != 1 or not PRESSED_FOR_S - 0.3 <= after[0] <= PRESSED_FOR_S + PROMPT_S:
            wrong.append(f"{device}: told after {after}")
    return wrong if len(due) == len(pushes) == BUTTONS else [*wrong, f"{len(pushes)} alarms of {len(due)}"]


def misplaced(run: SteppedRun) -> list[str]:
    """Compare the replies that the office has, in the order of recording, with those that were served."""
    served: dict[str, list[int]] = defaultdict(list)
    for line in run.journal():
        if "n" in line:
            served[line["device"]].append(line["n"])
    office, wrong = Office(run.folder / "office.db", SITE), []
    for device, expected in served.items():
        serials = (serial_of(state, moved) for _, state, moved in office.moments(device))
        stored = [serial for serial in serials if serial is not None]
        if stored != expected[: len(stored)] or len(expected) - len(stored) > 1 or len(stored) < 4 * PHASE_S / SCAN_S:
            odd = next((n for n, (a, b) in enumerate(zip(stored, expected, strict=False)) if a != b), len(stored))
            wrong.append(f"{device}: {len(stored)} of {len(expected)} stored, different from number {odd}")
    office.close()
    return wrong


async def test_steps_of_the_wall_clock_move_nothing(tmp_path: Path) -> None:
    """An hour on and back, a month on and back, fifty seconds back one by one and on again."""
    async with SteppedRun(tmp_path, estate()) as run:
        await asyncio.sleep(1.0)
        for steps in [(HOUR_S,), (-HOUR_S,), (MONTH_S,), (-MONTH_S,), (-1,) * LEAPS, (LEAPS,)]:
            await run.wall.phase(*steps)
        assert off_beat(run) == []
        await run.until(lambda: len(run.pushes()) >= BUTTONS, 30.0, "an alarm has not come")
        await asyncio.sleep(1.0)  # the buttons stay pressed for longer than they have to be: that is served, too
        await run.drain(within=20.0)
    assert untimely(run) == []
    assert misplaced(run) == []
    assert sum(told(run)) == sum(run.wall.steps) == 0
    assert {HOUR_S, -HOUR_S, MONTH_S, -MONTH_S} <= set(told(run))
    fifty, *others = shown_gaps(run)  # the clocks are compared once a second, so the last steps back may be part of it
    assert others == [HOUR_S, MONTH_S]
    assert LEAPS - LEAPS / PHASE_S <= fifty + 1 <= LEAPS + 1


def told(run: SteppedRun) -> list[float]:
    """Return the steps, in whole seconds, that the gateway told the office of."""
    sql = "SELECT json_extract(fields, '$.offset_us') FROM events WHERE source_id = 'gateway/clock_step'"
    return [round(step / SECOND) for (step,) in run.office(sql)]


def shown_gaps(run: SteppedRun) -> list[int]:
    """Return the lengths, in whole seconds, of the times that never were, of the lift with traffic."""
    sql = """SELECT "end" - start FROM gaps WHERE cause = 'clock' AND scan_group LIKE 'lift-1@%' ORDER BY 1"""
    return [round(length / SECOND) for (length,) in run.office(sql)]
