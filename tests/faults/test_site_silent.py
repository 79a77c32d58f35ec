"""A gateway that stays away: the office itself says so, once."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.estate_run import EstateRun, lift

AWAY_S = 68.0
"""Longer than the 60 s after which a site counts as silent, counted from its last word before the death."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


async def test_a_gateway_that_is_gone_for_a_minute_is_one_alarm(tmp_path: Path) -> None:
    """A dead gateway raises GW01 once after 60 s, it is pushed once, and it is cleared when the gateway is back."""
    async with EstateRun(tmp_path, [lift(1, traffic="5s")], scan="500ms") as run:
        await asyncio.sleep(2.0)
        killed = time.time()
        await run.kill("gateway")
        await asyncio.sleep(45.0)
        assert run.alarms("GW01") == []
        await asyncio.sleep(killed + AWAY_S - time.time())
        assert run.alarms("GW01") == [("raise", "B")]
        await run.bring_back("gateway")
        await run.until(lambda: len(run.alarms("GW01")) == 2, 15.0, "GW01 stands")
        await run.drain()
    assert run.alarms("GW01") == [("raise", "B"), ("clear", "D")]
    pushes = [push for push in run.pushes() if "/GW01@" in push["event"]]
    assert [push["status"] for push in pushes] == [200]
    assert 45 < pushes[0]["t"] / 1e6 - killed < AWAY_S
    account = run.judge()
    assert account.wrong == []
    assert account.risk["deaths with work in hand"] == 1
