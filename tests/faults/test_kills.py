"""kill -9 of gateway, office and broker at seeded moments, several at a time, while alarms are raised; then the oracle.

21 deaths in the test tier; with SITEKEEPER_FULL=1 (`make faults`) 210.
"""

import asyncio
import os
from pathlib import Path
from random import Random

import pytest

from tests.estate_run import PARTS, EstateRun, lift

FULL = os.environ.get("SITEKEEPER_FULL") == "1"
DEATHS_OF_A_PART = 10 if FULL else 7
BUTTONS = 7
ALIVE_S, DEAD_S = ((2.0, 5.5), (0.2, 2.5)) if FULL else ((1.5, 4.0), (0.2, 2.0))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]


def estate() -> list[dict[str, object]]:
    """Two people are trapped, seven press the alarm button for 15 s one after the other, two lifts have traffic."""

    def trapped(at: int, until: int) -> list[dict[str, object]]:
        return [
            {"at": f"{at}s", "do": {"people": {"from": 1, "to": 9}}},
            {"at": f"{at + 8}s", "do": {"stuck_outside_zone": {}}},
            {"at": f"{until}s", "do": {"release": True}},
        ]

    buttons = [lift(10 + n, {"at": f"{4 + 6 * n}s", "do": {"alarm_button": "15s"}}) for n in range(BUTTONS)]
    return [
        lift(1, *trapped(3, 600)),
        lift(2, *trapped(6, 45)),
        *buttons,
        lift(3, traffic="8s"),
        lift(4, face="lmon", traffic="10s"),
    ]


def raised(run: EstateRun, rule: str) -> int:
    """Return how many alarms of a rule the office knows."""
    return sum(cause == "raise" for cause, _ in run.alarms(rule))


async def die_over_an_alarm(run: EstateRun) -> None:
    """Kill the office and wait for an alarm (the first button is pressed at 4 s, for 15 s); then kill the gateway.

    The gateway has sent what the office never answered, so it must send it again; the alarm waits for the office.
    """
    await asyncio.sleep(2.0)
    await run.kill("office")
    await run.until(lambda: run.unsent("alarms") > 0, 60.0, "no alarm while the office is away")
    await asyncio.sleep(0.5)
    await run.kill("gateway")
    await asyncio.sleep(0.5)
    await run.bring_back("gateway")
    await asyncio.sleep(1.0)
    await run.bring_back("office")


async def torment(run: EstateRun, part: str, random: Random) -> None:
    """Kill a part at seeded moments, and bring it back after seeded pauses."""
    for _ in range(DEATHS_OF_A_PART - (part != "broker")):
        await asyncio.sleep(random.uniform(*ALIVE_S))
        await run.kill(part)
        await asyncio.sleep(random.uniform(*DEAD_S))
        await run.bring_back(part)


@pytest.mark.parametrize(
    ("seed", "scan"), [(1, "250ms"), *((seed, ("200ms", "1s")[seed % 2]) for seed in range(2, 8) if FULL)]
)
async def test_nothing_is_lost_doubled_or_wrong_whoever_dies(tmp_path: Path, seed: int, scan: str) -> None:
    """Deaths of gateway, office and broker: the oracle finds nothing lost, doubled, wrong or unexplained."""
    random = Random(seed)
    async with EstateRun(tmp_path, estate(), scan=scan, seed=seed) as run:
        await die_over_an_alarm(run)
        await asyncio.gather(*(torment(run, part, Random(random.random())) for part in PARTS))
        for rule, count in (("L01", 2), ("L03", BUTTONS - 2)):  # the last may not be due yet
            await run.until(lambda rule=rule, count=count: raised(run, rule) >= count, 60.0, f"{rule} is missing")
        await run.drain()
    account = run.judge()
    print(account.figures, account.risk)
    assert account.wrong == []
    assert account.risk["deaths with work in hand"] >= DEATHS_OF_A_PART
    assert account.risk["alarms raised while the office was away"] >= 1
    assert account.risk["blocks sent again"] >= 1
    assert account.figures["stored"] > account.figures["in_gaps"] > 0
    assert account.figures["alarms_raised"]["L01"] == 2
    assert account.figures["alarms_raised"]["L03"] >= BUTTONS - 2


async def test_a_calm_run_proves_nothing(tmp_path: Path) -> None:
    """Without a death all arrives, the oracle says that this proved nothing, and no process is left behind."""
    async with EstateRun(tmp_path, [lift(1, traffic="5s")]) as run:
        await asyncio.sleep(4.0)
        assert len(processes(tmp_path)) >= len(PARTS)
        await run.drain()
    assert processes(tmp_path) == []
    account = run.judge()
    assert account.figures["stored"] == account.figures["served"] > 0
    assert account.wrong == ["proved nothing: nothing was at risk"]


def processes(folder: Path) -> list[str]:
    """Return the command lines of running processes that name a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if str(folder) in command:
            found.append(command)
    return found
