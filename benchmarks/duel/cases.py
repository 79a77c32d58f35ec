"""The faults, and one run of one side through one of them."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks import machine
from benchmarks.duel.sides import Devices, Side
from simulators.faults import Fault, FaultKind
from simulators.proxy import Proxy
from simulators.stage import Stage, ask, free_port, program, write

BEFORE_S: Final = 8.0
AFTER_S: Final = 10.0
"""Before and after the fault, with the devices answering."""
STILL_S: Final = 8.0
"""The centre is done when nothing new has come for so long; then the devices have been silent just as long."""
DRAIN_S: Final = 120.0


@dataclass(kw_only=True)
class Run:
    """One side's run, as the faults see it."""

    stage: Stage
    side: Side
    way: Proxy
    quick: bool = False
    cpu: float = 0.0

    def seconds(self, full: float) -> float:
        """Return how long a phase lasts."""
        return full / 5 if self.quick else full

    def gateway(self) -> int:
        """Return the process id of the gateway."""
        return self.stage._processes["gateway"].pid


async def calm(run: Run) -> None:
    """Nothing happens."""
    await asyncio.sleep(run.seconds(16.0))


async def silent_cut(run: Run) -> None:
    """The line to the broker carries nothing for 60 s, without a word to either end, and is then reset."""
    run.way.switch(Fault(kind=FaultKind.HANG))
    await asyncio.sleep(run.seconds(60.0))
    run.way.switch(Fault(kind=FaultKind.CUT))
    run.way.switch(None)


async def cut_and_kill(run: Run) -> None:
    """The same, and the gateway is killed before the line is back: its power failed too."""
    run.way.switch(Fault(kind=FaultKind.HANG))
    await asyncio.sleep(run.seconds(60.0))
    run.cpu += machine.cpu_seconds(run.gateway())
    await run.stage.kill("gateway")
    run.way.switch(Fault(kind=FaultKind.CUT))
    run.way.switch(None)
    await run.side.start_gateway(run.stage)


async def kills(run: Run) -> None:
    """The gateway is killed five times, and started again at once."""
    for _ in range(1 if run.quick else 5):
        await asyncio.sleep(run.seconds(6.0))
        run.cpu += machine.cpu_seconds(run.gateway())
        await run.stage.kill("gateway")
        await run.side.start_gateway(run.stage)
    await asyncio.sleep(5.0)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fault and the devices that it is met with."""

    title: str
    fault: Callable[[Run], Awaitable[None]]
    devices: Devices = field(default_factory=Devices)


CASES: Final = {
    "cut": Case(title="60 s silent cut to the broker", fault=silent_cut),
    "cut and kill": Case(title="the same, and kill -9 at its end", fault=cut_and_kill),
    "kill": Case(title="kill -9 at 2,000 values/s, 5 times", fault=kills),
    "dead": Case(title="1 dead unit in 5 on each link", fault=calm, devices=Devices(dead=(3,))),
    "slow": Case(title="10 ms device latency, 4,000 values/s", fault=calm, devices=Devices(tags=40, latency=0.01)),
}


async def play(case: Case, side: Side, *, quick: bool) -> dict[str, Any]:
    """Let one side go through one case; return the checker's account with CPU and memory of the gateway process."""
    with tempfile.TemporaryDirectory(prefix="sitekeeper-duel-") as name:
        folder = Path(name)
        stage = Stage(folder)
        way = Proxy()
        try:
            broker = await _start_broker(stage)
            way.target = ("127.0.0.1", broker)
            ports = await _start_field(stage, case.devices)
            await side.start_centre(stage, broker)
            side.configure(folder, case.devices, ports, await way.start())
            await side.start_gateway(stage)
            run = Run(stage=stage, side=side, way=way, quick=quick)
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(run.seconds(BEFORE_S))
            await case.fault(run)
            await asyncio.sleep(run.seconds(AFTER_S))
            spent = run.cpu + machine.cpu_seconds(run.gateway())
            figures = {
                "cpu %": round(100 * spent / (asyncio.get_running_loop().time() - began), 1),
                "memory MB": round(machine.memory_mb(run.gateway())),
                "asked": round(_asked(case.devices) * (asyncio.get_running_loop().time() - began)),
            }
            write(folder / "silence", "")
            await _drained(folder, side)
            return figures | await _checked(folder, side)
        finally:
            await way.close()
            await stage.close()


def _asked(devices: Devices) -> int:
    """Return how many values a second the living devices could serve."""
    return devices.links * (devices.units - len(devices.dead)) * devices.tags


async def _start_broker(stage: Stage) -> int:
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if found is None:
        raise SystemExit("mosquitto is not installed")
    port = free_port()
    text = f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nlog_dest none\n"
    await stage.start("broker", found, "-c", str(write(stage.folder / "broker.conf", text)), port=port)
    return port


async def _start_field(stage: Stage, devices: Devices) -> list[int]:
    ports, folder = stage.folder / "ports.json", stage.folder
    await stage.start(
        "field", *program("benchmarks.duel.field"), "--links", str(devices.links), "--tags", str(devices.tags),
        "--dead", ",".join(map(str, devices.dead)), "--latency", str(devices.latency), "--journal",
        str(folder / "field.jsonl"), "--silence", str(folder / "silence"), "--ports", str(ports), file=ports,
    )  # fmt: skip
    found: list[int] = json.loads(ports.read_text())
    return found


async def _checked(folder: Path, side: Side) -> dict[str, Any]:
    code, said, wrong = await ask(*program("benchmarks.duel.checker"), str(folder / "field.jsonl"), *side.check(folder))
    if code:
        raise SystemExit(wrong)
    found: dict[str, Any] = json.loads(said)
    return found


async def _drained(folder: Path, side: Side) -> None:
    """Wait until the checker finds nothing new."""
    before: object = None
    loop = asyncio.get_running_loop()
    end = loop.time() + DRAIN_S
    while loop.time() < end:
        account = await _checked(folder, side)
        now = (account["stored"], account["listed"], account["repeated"])
        if now == before:
            return
        before = now
        await asyncio.sleep(STILL_S)
