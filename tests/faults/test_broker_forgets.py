"""A broker that dies with its disk: all that it had acknowledged and not delivered is gone. And the control of that.

A site that took the broker's acknowledgement for the office's receipt loses blocks in the very same story, and the
oracle says so: its silence elsewhere means something.
"""

import asyncio
from pathlib import Path

import pytest

from tests import oracle
from tests.estate_run import EstateRun, lift
from tests.mutants.mutants import MUTANTS, broken, copy_into, environment

BELIEVER = next(mutant for mutant in MUTANTS if mutant.name == "receipt on broker acknowledgement")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def story(folder: Path) -> oracle.Account:
    """Let the broker take blocks for an office that is away, and then lose them."""
    folder.mkdir()
    async with EstateRun(folder, [lift(1, traffic="5s"), lift(2)]) as run:
        await asyncio.sleep(2.0)
        await run.kill("office")
        await asyncio.sleep(3.0)
        await run.kill("broker")
        for kept in folder.glob("mosquitto.db*"):
            kept.unlink()
        await run.bring_back("broker")
        await run.bring_back("office")
        await asyncio.sleep(2.0)
        await run.drain()
    return run.judge()


async def test_a_broker_that_forgets_everything_costs_nothing(tmp_path: Path) -> None:
    """The site sends again what the office has not receipted: nothing is lost."""
    account = await story(tmp_path / "run")
    assert account.wrong == []
    assert account.risk["deaths with work in hand"] >= 1  # the broker; the office may die between two commits
    assert account.risk["blocks sent again"] >= 1


async def test_control_a_site_that_believes_the_broker_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same story with a site that releases blocks on the broker's word: replies are lost, and a hole is there."""
    copy = copy_into(tmp_path / "copy")
    for name, value in environment(copy).items():
        monkeypatch.setenv(name, value)
    with broken(copy, BELIEVER):
        account = await story(tmp_path / "run")
    assert account.figures["lost"] > 0
    assert any("holes in the sequences" in sentence for sentence in account.wrong), account.wrong
