"""A gateway that stays away: the office itself says so, once.

The time after which a site counts as silent is a setting: 20 s here, with SITEKEEPER_FULL=1 the 60 s that it is unset.
"""

import asyncio
import os
import time
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml

from simulators.stage import write
from tests import oracle
from tests.estate_run import EstateRun, lift

FULL = os.environ.get("SITEKEEPER_FULL") == "1"
AFTER_S = 60.0 if FULL else 20.0
WORD_S = 15.0
"""A living gateway gives word every 10 s; so its last word before its death is not older than this, however busy."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


class ImpatientRun(EstateRun):
    """An estate whose office calls a site silent after `AFTER_S`."""

    def _write_office(self) -> None:
        super()._write_office()
        path = self.folder / "office.yaml"
        office = yaml.safe_load(path.read_text())
        write(path, yaml.safe_dump(office | ({} if FULL else {"silence": {"after": f"{AFTER_S:g}s"}})))


async def test_a_gateway_that_is_gone_for_a_minute_is_one_alarm(tmp_path: Path) -> None:
    """A dead gateway raises GW01 once after its time, it is pushed once, and it is cleared when the gateway is back."""
    async with ImpatientRun(tmp_path, [lift(1, traffic="5s")], scan="500ms") as run:
        await asyncio.sleep(2.0)
        killed = time.time()
        await run.kill("gateway")
        await run.until(lambda: run.alarms("GW01") != [], AFTER_S + 30.0, "no GW01")
        raised = time.time()
        await asyncio.sleep(2.0)  # a second one would come at once
        assert run.alarms("GW01") == [("raise", "B")]
        await run.bring_back("gateway")
        await run.until(lambda: len(run.alarms("GW01")) == 2, 30.0, "GW01 stands")
        await run.drain()
    assert raised - killed > AFTER_S - WORD_S
    assert run.alarms("GW01") == [("raise", "B"), ("clear", "D")]
    pushes = [push for push in run.pushes() if "/GW01@" in push["event"]]
    assert [push["status"] for push in pushes] == [200]
    with patch.object(oracle, "SILENT", int(AFTER_S * oracle.SECOND)):
        account = run.judge()
    assert account.wrong == []
    assert account.risk["deaths with work in hand"] == 1
