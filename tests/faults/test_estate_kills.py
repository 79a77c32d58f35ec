"""kill -9 of gateway, doors' broker, office broker and office while doors are used and a fire breaks out; the oracle.

12 deaths in the test tier; with SITEKEEPER_FULL=1 (`make faults`) 100. The doors' controllers and the fire panel live
on: what a controller has told and a killed broker has lost is still in the controller's store. A gateway that has seen
what came before asks for it, and the gap that was told is filled. One that was dead itself meanwhile tells the gap by
its ledger and does not ask; those are the events that stay in gaps here, each explained by a death of the broker.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, nullcontext
from pathlib import Path
from random import Random

import pytest

from tests import oracle
from tests.doors_broker import BY_GATEWAY
from tests.mutants.mutants import Mutant, broken, copy_into, environment
from tests.whole_run import DOORS, ESCAPE, PARTS, WholeRun

FULL = os.environ.get("SITEKEEPER_FULL") == "1"
DEATHS_OF_A_PART = 25 if FULL else 3
ALIVE_S = (1.5, 5.0) if FULL else (1.0, 2.5)
FLOODS = 4 if FULL else 2
FORGETS = 3 if FULL else 2
FLOOD = 200
"""Cards a second at one door: a reader that has gone mad, so that something is on its way at any moment."""

SLOW = Mutant(
    name="a disk that takes a quarter of a second",
    file="edge/outbox/pending.py",
    changes=(("if self._urgent or self._bytes", "if self._bytes"),),
    test="",
)
HASTY = Mutant(
    name="acknowledges events before they are durable",
    file="drivers/mqtt/driver.py",
    changes=(("                await self._durable(pending)\n", "                await pending.told.wait()\n"),),
    test="",
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900 if FULL else 280)]


@asynccontextmanager
async def used(run: WholeRun, seed: int) -> AsyncIterator[None]:
    """Have people use the doors meanwhile."""
    people = asyncio.create_task(run.people(Random(seed)), name="people")
    try:
        yield
    finally:
        people.cancel()
        await asyncio.wait((people,))


async def torment(run: WholeRun, part: str, random: Random, doors: asyncio.Lock) -> None:
    """Kill a part at seeded moments, and bring it back after seeded pauses."""
    for death in range(DEATHS_OF_A_PART):
        await asyncio.sleep(random.uniform(*ALIVE_S))
        if part == "gateway" and death < 2:
            await (die_in_a_burst(run, doors) if death == 0 else die_in_a_fire(run, random))
            await asyncio.sleep(random.uniform(0.2, 2.0))
            await run.bring_back(part)
            continue
        async with doors if part == "doors" else nullcontext():
            await run.kill(part)
            await asyncio.sleep(random.uniform(0.2, 2.0))
            await run.bring_back(part)


async def die_in_a_burst(run: WholeRun, doors: asyncio.Lock) -> None:
    """Let the gateway hang in a burst and then kill it: it has been sent events and has not acknowledged them."""
    async with doors:
        await run.gateway_listens()
        run.freeze("gateway")
        run.burst("door-roof", 50)
        await asyncio.sleep(1.5)
        await run.kill("gateway")
        await run.gateway_listens(0)  # the broker has noticed, and says so in its log


async def die_in_a_fire(run: WholeRun, random: Random) -> None:
    """Kill the gateway when the panel has just gone into fire alarm: before it knows, or with half of it done."""
    run.fire("press")
    await asyncio.sleep(random.uniform(0.0, 0.6))
    await run.kill("gateway")


async def fire_fighters(run: WholeRun) -> None:
    """Wait for the alarm and until all ways out are free; then restore the call point and reset the panel."""
    await run.until(lambda: bool(run.facts("fire alarm")), 120.0, "no fire")
    await run.until(lambda: run.free() == {*DOORS, *ESCAPE}, 60.0, "not everything was freed")
    await asyncio.sleep(2.0)
    run.fire("restore")
    run.fire("reset")


async def test_nothing_is_lost_doubled_or_wrong_whoever_dies(tmp_path: Path) -> None:
    """Gateway, office and both brokers die over an estate in use and on fire: nothing is lost, doubled or wrong."""
    random = Random(1)
    async with WholeRun(tmp_path) as run:
        async with used(run, 1):
            doors = asyncio.Lock()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(fire_fighters(run), name="fire fighters")
                for part in PARTS:
                    tasks.create_task(torment(run, part, Random(random.random()), doors), name=f"torment {part}")
            # Doors wait for somebody on site who says that the area is normal.
            await run.until(lambda: run.free() == {*DOORS}, 120.0, "not everything else was given back after the reset")
        await run.quiet()
        await run.drain()
    account = run.judge()
    print(account.figures, account.risk)
    assert account.wrong == []
    assert sum(line["did"].startswith("kill") for line in oracle.lines(tmp_path / "done.jsonl")) == 4 * DEATHS_OF_A_PART
    assert account.risk["deaths with work in hand"] >= DEATHS_OF_A_PART
    assert account.risk[BY_GATEWAY] >= 1
    assert account.figures["events_stored"] > 300
    assert account.figures["freed"] == {**account.figures["freed"], "doors": 6, "barriers": 1, "luminaires": 8}
    assert account.figures["alarms_raised"]["F01"] == 1


async def floods(folder: Path) -> oracle.Account:
    """Kill the gateway again and again in a flood of events, whose controller soon overwrites what it has told."""
    folder.mkdir()
    random = Random(2)
    async with WholeRun(folder, store=100) as run:
        for _ in range(FLOODS):
            run.burst("door-lobby", FLOOD)
            await asyncio.sleep(random.uniform(0.3, 0.8))
            await run.kill("gateway")
            await run.bring_back("gateway")
            await run.quiet()
        await run.drain()
    account = run.judge()
    print(account.wrong, account.figures, account.risk)
    return account


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have everything that is started run on a copy, in which mistakes can be made."""
    folder = copy_into(tmp_path / "copy")
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    return folder


async def test_a_flood_survives_the_gateway(tmp_path: Path, copy: Path) -> None:
    """Whatever the gateway has not made durable when it dies, the broker delivers again: nothing is missing."""
    with broken(copy, SLOW):
        account = await floods(tmp_path / "run")
    assert account.wrong == []
    assert account.risk[BY_GATEWAY] >= FLOODS


async def test_control_a_gateway_that_acknowledges_too_early_is_found_out(tmp_path: Path, copy: Path) -> None:
    """The same story with a gateway that acknowledges what is not yet durable: events are missing, nobody else died."""
    with broken(copy, SLOW), broken(copy, HASTY):
        account = await floods(tmp_path / "run")
    assert any("that no death of the doors' broker explains" in sentence for sentence in account.wrong), account.wrong


async def filled(run: WholeRun) -> None:
    """Wait until nothing more comes: what was asked for comes after the last event, and nothing tells its end."""
    before = -1
    for _ in range(20):
        with closing(sqlite3.connect(f"file:{run.folder}/office.db?mode=ro", uri=True)) as office:
            count = int(office.execute("SELECT COUNT(*) FROM events").fetchone()[0])
        if count == before:
            return
        before = count
        await asyncio.sleep(4.0)
    raise AssertionError("events come for ever")


async def test_a_broker_that_forgets_everything_is_made_good_by_the_controllers(tmp_path: Path) -> None:
    """The doors' broker loses its disk in a burst, and all that it acknowledged: the gap is told, and filled again."""
    random = Random(3)
    async with WholeRun(tmp_path) as run:
        async with used(run, 3):
            for _ in range(FORGETS):
                await asyncio.sleep(random.uniform(1.0, 3.0))
                run.freeze("gateway")
                await run.forget("doors")
                await run.bring_back("doors")
                await asyncio.sleep(2.0)
                run.thaw("gateway")
                await run.gateway_listens()
        await run.quiet()
        await filled(run)
        await run.drain()
    account = run.judge()
    print(account.wrong, account.figures, account.risk)
    assert account.wrong == []
    assert account.figures["gap_events_came"] > 0
    assert account.figures["gap_events_missing"] == 0
