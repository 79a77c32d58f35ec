"""What an outage costs the gateway: memory, CPU and open files with an hour of samples waiting, and while they go out.

    python -m benchmarks.outage [--quick] [--json]

The large site of `footprint`, without its luminaires: 300 devices of 15 points at 1 s, two of 15 changing. The hour is
not waited for: its 2.16 M samples are put into the outbox as the gateway would have written them, before it starts.
Then it records without a broker for some windows, and with broker and office for some more while the backlog drains at
the default rate. Before all that the same site runs with its office and nothing waiting, for comparison.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import backlog, machine
from benchmarks.footprint import LARGE
from benchmarks.rig import Rig, rig

HOUR = 3_600 * LARGE.devices * len(LARGE.moving)
SETTLING_S = 8.0


async def measure(samples: int, windows: int, seconds: float) -> dict[str, Any]:
    """Return the figures of the gateway with nothing waiting, without an office, and while it catches up."""
    async with rig() as made:
        made.write_site(LARGE, await made.start_field("field", LARGE))
        await made.start_broker()
        await made.start_office()
        calm = await _phase(made, windows // 2, seconds)
        await asyncio.gather(*(made.stage.stop(name) for name in ("gateway", "office", "broker")))
        for file in (made.folder / "site").glob("outbox.db*"):
            file.unlink()
        size = await asyncio.to_thread(backlog.fill, made, backlog.moving(LARGE), samples)
        waiting = (made.folder / "site" / "outbox.db").stat().st_size
        away = await _phase(made, windows, seconds)
        await made.start_broker()
        await made.start_office()
        back = await _windows(made, windows // 2, seconds)
        sql = "SELECT coalesce(sum(records), 0) FROM blocks WHERE boot = ?"
        drained = int(made.office(sql, backlog.BOOT))
    return {
        "nothing waiting": calm,
        "without an office": away,
        "while it drains": back,
        "samples waiting": samples,
        "MB of blocks": round(size / 1e6, 1),
        "MB of the file": round(waiting / 1e6, 1),
        "drained at the end": drained,
    }


async def _phase(made: Rig, windows: int, seconds: float) -> dict[str, Any]:
    """Start the gateway, let it settle, and measure it."""
    await made.start_gateway()
    await asyncio.sleep(SETTLING_S)
    return await _windows(made, windows, seconds)


async def _windows(made: Rig, windows: int, seconds: float) -> dict[str, Any]:
    memory, shares, files, kept = [], [], [], []
    await made.tell("field", counts=1)
    for _ in range(windows):
        before = made.cpu("gateway")["gateway"]
        await asyncio.sleep(seconds)
        shares.append(100 * (made.cpu("gateway")["gateway"] - before) / seconds)
        memory.append(machine.memory_mb(made.pid("gateway")))
        files.append(len(list(Path(f"/proc/{made.pid('gateway')}/fd").iterdir())))
        kept.append(sum(count for count, _ in await made.tell("field", counts=1)) / (LARGE.devices * seconds))
    return {
        "memory MB": machine.spread(memory),
        "memory, last over first": round(memory[-1] / memory[0], 3),
        "cpu % of a core": machine.spread(shares),
        "open files": (min(files), max(files)),
        "polls kept": machine.spread(kept),
    }


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure and return the figures."""
    return asyncio.run(measure(HOUR // 10, 2, 3.0) if quick else measure(HOUR, 4, 8.0))


def main() -> None:
    """Print the figures."""
    found = run(quick="--quick" in sys.argv)
    print(json.dumps(found) if "--json" in sys.argv else "\n".join(f"{name}: {facts}" for name, facts in found.items()))


if __name__ == "__main__":
    main()
