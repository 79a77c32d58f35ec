"""Power cuts between any two writes: what was reported durable is there afterwards, and only with synchronous=FULL.

The outbox, or the gateway with its outbox, runs on a file system that forgets what was not synced; it is killed, the
machine loses what the disk does not have, and all goes on from there. Half of the cuts are torn: single sectors of what
was under way have reached the disk. 40 cuts of the outbox and 4 of the gateway; with SITEKEEPER_FULL=1 400 and 60.
"""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from edge.outbox import Outbox
from sitekeeper.block import STREAMS
from sitekeeper.model.clock import SystemClock
from tests.estate_run import EstateRun, lift
from tests.fixtures.forgetful import Machine
from tests.integration.test_outbox_kill import CHILD, run_child

FULL = os.environ.get("SITEKEEPER_FULL") == "1"
CUTS = 400 if FULL else 40
CUTS_OF_THE_GATEWAY = 60 if FULL else 4
CUTS_OF_A_FILE = 10
CONTROL = 6
ENOUGH = 5
"""Blocks that are reported durable before a cut, in the mean; a machine that does nothing else makes a hundred."""

NORMAL = """
import edge.outbox.schema as schema
_set = schema._set
def _careless(connection, *pragmas):
    _set(connection, *(pragma.replace("synchronous=FULL", "synchronous=NORMAL") for pragma in pragmas))
schema._set = _careless
"""
"""What comes before CHILD in the control: the setting of the peers, whose commits are not on the disk."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900 if FULL else 200)]


class Witness:
    """Remembers what was reported durable over all cuts, and looks for it after each."""

    def __init__(self) -> None:
        self.reported: dict[str, dict[int, int]] = {stream: {} for stream in STREAMS}
        self.lost = self.wrong = 0
        self._looked = dict.fromkeys(STREAMS, 0)

    def counts(self) -> tuple[int, int, int]:
        """Return how many blocks were reported and are there, are lost, are wrong."""
        return sum(map(len, self.reported.values())), self.lost, self.wrong

    def hear(self, said: list[tuple[str, int]], boot: int) -> None:
        for stream, number in said:
            assert number not in self.reported[stream], f"{stream} {number} was reported durable twice"
            self.reported[stream][number] = boot

    def look(self, path: Path, *, again: bool = False) -> None:
        """Open the file as the gateway would, and count what is not as it was reported; `again`: from the first on."""
        outbox = Outbox.open(path, site="harbour", clock=SystemClock(), inline=True)
        for stream in STREAMS:
            last = outbox.next_sequence(stream) - 1
            for number in range(1 if again else min(self._looked[stream], last) + 1, last + 1):
                payload = outbox.read(stream, number, history=True)
                boot = self.reported[stream].get(number)
                if payload is None or not payload.startswith(
                    f"{stream} {number} {'' if boot is None else boot}".encode()
                ):
                    self.wrong += 1
            gone = [number for number in self.reported[stream] if number > last]
            self.lost += len(gone)
            for number in gone:  # counted once; the sequence is given out again
                del self.reported[stream][number]
            self._looked[stream] = last
        outbox.close()
        with closing(sqlite3.connect(path)) as file:
            assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def cut_again_and_again(folder: Path, cuts: int, child: str, seed: int) -> Witness:
    """Have a child append, kill it, cut the power, look; so many times on one file."""
    random, witness = Random(seed), Witness()
    folder.mkdir()
    with Machine(folder) as machine:
        path = machine.mounted / "outbox.db"
        for boot in range(cuts):
            witness.hear(run_child(path, boot, random.uniform(0.0, 0.25), child=child), boot)
            machine.cut(random.randrange(2**32), torn=boot % 2 == 1)
            witness.look(path)
        witness.look(path, again=True)
    return witness


def test_a_power_cut_loses_nothing_that_was_reported_durable(tmp_path: Path) -> None:
    """After each cut every block reported durable is there with its bytes, and the file is whole."""
    runs = [cut_again_and_again(tmp_path / str(n), CUTS_OF_A_FILE, CHILD, n) for n in range(CUTS // CUTS_OF_A_FILE)]
    reported, lost, wrong = (sum(each) for each in zip(*map(Witness.counts, runs), strict=True))
    print(f"{CUTS} power cuts, {reported} blocks reported durable, {lost} lost, {wrong} wrong")
    assert (lost, wrong) == (0, 0)
    assert reported > CUTS * ENOUGH, "proved nothing: hardly anything was reported durable"


def test_the_rig_finds_what_a_careless_setting_loses(tmp_path: Path) -> None:
    """Control: with synchronous=NORMAL the same cuts lose blocks that were reported durable."""
    lost = 0
    for seed in range(2, 7):  # what is under way at a cut is chance
        lost += cut_again_and_again(tmp_path / str(seed), CONTROL, NORMAL + CHILD, seed).lost
        print(f"control: {CONTROL} power cuts, {lost} blocks reported durable are lost")
        if lost:
            break
    assert lost > 0, "proved nothing: the rig forgets nothing"


async def test_a_gateway_goes_on_after_power_cuts(tmp_path: Path) -> None:
    """Cuts of the gateway's power while lifts move and an alarm stands: nothing lost, doubled, wrong or unexplained."""
    random = Random(4)
    with Machine(tmp_path) as machine:
        trapped = [
            {"at": "3s", "do": {"people": {"from": 1, "to": 9}}},
            {"at": "6s", "do": {"stuck_outside_zone": {}}},
        ]
        run = EstateRun(tmp_path, [lift(1, *trapped), lift(2, traffic="5s")])
        run.outbox = machine.mounted / "outbox.db"
        async with run:
            for cut in range(CUTS_OF_THE_GATEWAY):
                await asyncio.sleep(random.uniform(1.5, 4.0))
                await run.kill("gateway")
                await asyncio.to_thread(machine.cut, random.randrange(2**32), torn=cut % 2 == 1)
                await run.bring_back("gateway")
            await run.drain()
        account = run.judge()
        conflicts = _count(tmp_path / "office.db", "SELECT count(*) FROM conflicts")
    print(account.figures, account.risk)
    assert account.wrong == []
    assert conflicts == 0, "the gateway gave out sequences again that the office had"
    assert account.risk["deaths with work in hand"] >= 1


def _count(path: Path, sql: str) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        return int(file.execute(sql).fetchone()[0])
