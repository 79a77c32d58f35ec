"""The office dies in the middle of a push: whether it arrived cannot be known, so it is sent once more, marked."""

import asyncio
from pathlib import Path

import pytest

from tests.estate_run import EstateRun, lift

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def test_a_push_cut_short_by_a_death_is_repeated_once_and_says_so(tmp_path: Path) -> None:
    """The telephone has taken the push in and not answered when the office dies: one repeat follows, marked as such."""
    button = {"at": "3s", "do": {"alarm_button": "20s"}}
    async with EstateRun(tmp_path, [lift(1, button)]) as run:
        await run.set_phone("hang")
        await run.until(lambda: len(run.pushes()) == 1, 20.0, "no push")
        await run.kill("office")
        await run.set_phone("ok")
        await asyncio.sleep(1.0)
        await run.bring_back("office")
        await run.until(lambda: len(run.pushes()) == 2, 20.0, "no repeat")
        await run.drain()
    heard = [(push["event"], push["status"], push["body"]["possible_repeat"]) for push in run.pushes()]
    assert heard == [(heard[0][0], 0, False), (heard[0][0], 200, True)]
    assert run.judge().wrong == []
