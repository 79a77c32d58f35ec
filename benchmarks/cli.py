"""How long a person waits for the command line. `python -m benchmarks.cli [--quick] [--json]`.

Wall time of whole processes: `sk status` asking a running gateway of 50 devices, `sk --help`, and as a baseline a
Python that does nothing.
"""

import asyncio
import json
import sys
import time
from typing import Any

from benchmarks import machine
from benchmarks.rig import Estate, rig
from simulators.stage import sk


async def _timed(command: list[str], times: int) -> tuple[float, float, float]:
    taken = []
    for n in range(times + 1):
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        code = await process.wait()
        if n:  # the first brings the files into memory
            taken.append((time.perf_counter() - began) * 1e3)
        if code not in (0, 1):
            raise SystemExit(f"{' '.join(command)} ended with {code}")
    return machine.spread(taken)


async def measure(times: int) -> dict[str, Any]:
    """Return milliseconds of each command as (median, lowest, highest)."""
    estate = Estate()
    async with rig() as made:
        await made.start_broker()
        made.write_site(estate, await made.start_field("field", estate))
        await made.start_office()
        await made.start_gateway()
        await asyncio.sleep(4)
        return {
            "sk status ms": await _timed(sk("status", "--socket", str(made.folder / "gateway.sock")), times),
            "sk --help ms": await _timed(sk("--help"), times),
            "python -c pass ms": await _timed([sys.executable, "-c", "pass"], times),
        }


def run(*, quick: bool = False) -> dict[str, Any]:
    """Run it and return the figures."""
    return asyncio.run(measure(3 if quick else 15))


def main() -> None:
    """Print the figures."""
    found = run(quick="--quick" in sys.argv)
    print(json.dumps(found) if "--json" in sys.argv else "\n".join(f"{name}: {facts}" for name, facts in found.items()))


if __name__ == "__main__":
    main()
