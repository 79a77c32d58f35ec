"""What a large site costs, how soon it is there, how soon a device is back.

    python -m benchmarks.footprint [--quick] [--json]

300 Modbus devices of 15 points, each on a port of its own, once a second, two registers of 15 changing, and beside them
72 luminaires of 7 points on one BACnet/IP controller, every 10 s; memory and CPU are the gateway's alone. Start: 50
devices of 100 points, from starting the process to its first request, and until every device was read. Return: half of
the devices refuse connections, half take requests and stay silent, all for 20 s.
"""

import asyncio
import json
import sys
import time
from typing import Any

from benchmarks import machine
from benchmarks.rig import Estate, Rig, rig
from benchmarks.simulated import Beside

LARGE = Estate(devices=300, links=300, registers=15, moving=(2, 5))
LAMPS = Beside(lamps=[None] * 72, scan="10s")


async def large(windows: int, seconds: float) -> dict[str, Any]:
    """Return memory and CPU share with the mixed site, and how much of the Modbus and BACnet readings took place."""
    async with rig() as made:
        await made.start_broker()
        ports = await made.start_field("field", LARGE)
        await made.start_simulated(LAMPS)
        made.write_site(LARGE, ports, beside=LAMPS)
        await made.start_office()
        await made.start_gateway()
        await made.stage.stop("gateway")  # the first start alone makes the outbox, and loads what that needs
        await made.start_gateway()
        await asyncio.sleep(8)
        await made.tell("field", counts=1)
        replies, began = _replies(made), time.monotonic()
        shares, memory, kept = [], [], []
        for _ in range(windows):
            before = made.cpu("gateway")["gateway"]
            await asyncio.sleep(seconds)
            shares.append(100 * (made.cpu("gateway")["gateway"] - before) / seconds)
            memory.append(machine.memory_mb(made.pid("gateway")))
            kept.append(sum(count for count, _ in await made.tell("field", counts=1)) / (LARGE.devices * seconds))
        asked = len(LAMPS.lamps) * (time.monotonic() - began) / 10
        return {
            "cpu % of a core": machine.spread(shares),
            "memory MB": machine.spread(memory),
            "polls kept": machine.spread(kept),
            "luminaires read, of due": round((_replies(made) - replies) / asked, 3),
        }


def _replies(made: Rig) -> int:
    """Return how often a luminaire was read."""
    return sum("points" in line for line in made.journal())


async def start(times: int) -> dict[str, Any]:
    """Return seconds from starting the gateway to its first request, and until all 50 devices were read."""
    estate, first, all_ = Estate(), [], []
    async with rig() as made:
        await made.start_broker()
        made.write_site(estate, await made.start_field("field", estate))
        await made.start_office()
        for _ in range(times):
            await made.tell("field", counts=1)
            began = time.monotonic()
            starting = asyncio.create_task(made.start_gateway())
            first.append(await _read(made, 1, began))
            all_.append(await _read(made, estate.devices, began))
            await starting
            await made.stage.stop("gateway")
    return {"first sample s": machine.spread(first), "all devices s": machine.spread(all_)}


async def _read(made: Rig, devices: int, began: float) -> float:
    """Return the seconds until that many devices were read; asking resets nothing."""
    while await made.tell("field", read=1) < devices:
        await asyncio.sleep(0.01)
        if time.monotonic() - began > 20:
            raise SystemExit("the gateway does not start reading")
    return time.monotonic() - began


async def back(devices: int, away: float) -> dict[str, Any]:
    """Return seconds from the return of a device to the next request to it, over devices that were away."""
    estate = Estate(devices=devices, links=devices, registers=15, moving=(2, 5))
    async with rig() as made:
        await made.start_broker()
        made.write_site(estate, await made.start_field("field", estate))
        await made.start_office()
        await made.start_gateway()
        await asyncio.sleep(4)
        for link in range(devices):
            await made.tell("field", down=(link, "refuse" if link % 2 else "mute"))
        await asyncio.sleep(away)
        returns = await asyncio.gather(*(_return(made, link, 0.1 * link) for link in range(devices)))
        silent, refusing = returns[::2], returns[1::2]
        return {"after silence s": machine.spread(silent), "after refusing s": machine.spread(refusing)}


async def _return(made: Rig, link: int, wait: float) -> float:
    await asyncio.sleep(wait)  # not all at one moment of their back-off
    came, asked = await made.tell("field", up=link)
    return float(asked - came) / 1e6


def run(*, quick: bool = False) -> dict[str, Any]:
    """Run the three cases and return their figures."""
    return {
        "large": asyncio.run(large(*((2, 3.0) if quick else (5, 6.0)))),
        "start": asyncio.run(start(2 if quick else 5)),
        "back": asyncio.run(back(10 if quick else 30, 5.0 if quick else 20.0)),
    }


def main() -> None:
    """Print the figures."""
    found = run(quick="--quick" in sys.argv)
    print(json.dumps(found) if "--json" in sys.argv else "\n".join(f"{name}: {facts}" for name, facts in found.items()))


if __name__ == "__main__":
    main()
