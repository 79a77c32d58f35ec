"""A gateway whose outbox was damaged while it was down, with blocks that the office never had: it helps itself.

The file is moved aside and what can be read goes to the office under its old epoch; what is lost is told, as blocks and
as a gap, and stands as an alarm.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.estate_run import EstateRun, lift

UNSENT = 6
"""Blocks of samples that wait when the file is damaged."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def damage(path: Path) -> tuple[str, list[int], int]:
    """Flip a byte in one of the unsent blocks of samples; return the epoch, what was unsent, and which one it was."""
    with closing(sqlite3.connect(path)) as outbox:
        outbox.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        epoch = outbox.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0]
        rows = outbox.execute(
            "SELECT sequence, payload FROM blocks WHERE stream = 'samples' AND NOT released ORDER BY sequence"
        ).fetchall()
    unsent = [row[0] for row in rows]
    sequence, payload = rows[-2]
    data = bytearray(path.read_bytes())
    data[data.index(payload[:64]) + 40] ^= 0x40
    path.write_bytes(data)
    return epoch, unsent, sequence


async def test_what_can_be_read_of_a_damaged_outbox_reaches_the_office_and_the_rest_is_told(tmp_path: Path) -> None:
    """All unsent blocks but the damaged one are at the office once, under their epoch; the loss is listed and GW04."""
    run = EstateRun(tmp_path, [lift(1, {"at": "1500ms", "do": {"alarm_button": "20s"}}), lift(2), lift(3)])
    async with run:
        await run.kill("broker")
        await run.until(lambda: run.unsent("samples") >= UNSENT, 60.0, "hardly anything waits")
        await run.kill("gateway")
        run._did("cut outbox")
        epoch, unsent, lost = damage(run.outbox)
        await run.bring_back("gateway")
        run._did("back outbox")
        await run.bring_back("broker")
        await run.drain()
    account = run.judge()
    print(account.figures, account.risk)
    assert account.wrong == []
    assert account.figures["unexplained_s"] == 0
    assert account.figures["alarms_raised"]["L03"] == 1
    assert account.figures["alarms_of_gateway"]["GW04"] == 1
    with closing(sqlite3.connect(tmp_path / "office.db")) as office:
        there = office.execute(
            "SELECT sequence FROM blocks WHERE epoch = ? AND stream = 'samples' ORDER BY sequence", (epoch,)
        ).fetchall()
        missing = office.execute('SELECT epoch, stream, start, "end" FROM missing').fetchall()
    assert len(unsent) >= UNSENT
    assert {row[0] for row in there} >= set(unsent) - {lost}
    assert missing == [(epoch, "samples", lost, lost)]
    assert list(run.outbox.parent.glob("outbox.db.quarantine-*/outbox.db"))
