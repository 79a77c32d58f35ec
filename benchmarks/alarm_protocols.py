"""How long an alarm takes to a person on each of the three protocols, in one run of one gateway.

    python -m benchmarks.alarm_protocols [--quick] [--json]

Beside the 50 Modbus devices of `alarm_latency`, read as there, stand 52 luminaires of one BACnet/IP controller, read
once a second, and 52 doors of 13 controllers that push over MQTT. In turn a register trips, a lamp fails and a door is
forced. Measured to the moment at which the push receiver has the push, from

- the reply that carried the change leaving the device (Modbus), or being made in it (BACnet/IP);
- the moment at which the door opened (MQTT): what its controller and the broker need is in the figure;

and for what is polled also from the change itself.
"""

import asyncio
import json
import random
import sys
import time
from typing import Any

from benchmarks import machine
from benchmarks.alarm_latency import percentiles, pushes
from benchmarks.rig import FIRST_TRIP, Estate, Rig, rig
from benchmarks.simulated import Beside, door_id, lamp_id

BEGIN = 10.0
"""Seconds from the start of the simulation to the first alarm: the gateway starts meanwhile."""
EVERY = 0.25
"""Seconds between two alarms of whatever protocol."""


async def measure(alarms: int) -> dict[str, Any]:
    """Return latencies in ms of `alarms` alarms on each protocol."""
    dice, estate = random.Random(4), Estate(scan="250ms")
    times = [BEGIN + EVERY * (n + 0.8 * dice.random()) for n in range(3 * alarms)]
    beside = Beside(lamps=times[1::3], doors=times[2::3])
    async with rig() as made:
        await made.start_broker()
        await made.start_phone()
        await made.start_office(pushing=True)
        ports = await made.start_field("field", estate)
        await made.start_simulated(beside)
        began = time.monotonic()
        made.write_site(estate, ports, tripping=True, beside=beside)
        await made.start_gateway()
        await made.start_commits()
        trips = await asyncio.gather(
            *(_trip(made, n, began + at - time.monotonic()) for n, at in enumerate(times[::3]))
        )
        await asyncio.sleep(max(0.0, began + times[-1] - time.monotonic()) + 3)
        return _figures(made, alarms, trips) | {"seconds": round(time.monotonic() - began)}


async def _trip(made: Rig, number: int, wait: float) -> tuple[int, int]:
    """Let one register trip after a wait; return the wall times of the change and of the reply that carried it."""
    await asyncio.sleep(wait)
    at, served = await made.tell("field", set=(number % 50, FIRST_TRIP + number // 50, 1))
    return at, served


def _figures(made: Rig, alarms: int, trips: list[tuple[int, int]]) -> dict[str, Any]:
    came = pushes(made)
    modbus = [(f"d{n % 50:03}/B{n // 50:02}", at, served) for n, (at, served) in enumerate(trips)]
    failed, carried, opened = _journal(made)
    bacnet = [(f"{lamp}/BLAMP", failed[lamp], carried[lamp]) for lamp in map(lamp_id, range(alarms)) if lamp in carried]
    mqtt = [(f"{door}/A01", opened[door], opened[door]) for door in map(door_id, range(alarms)) if door in opened]
    found: dict[str, Any] = {}
    for name, told in (("Modbus", modbus), ("BACnet/IP", bacnet), ("MQTT", mqtt)):
        arrived = [(came[what] - at, came[what] - reply) for what, at, reply in told if what in came]
        found[name] = {
            "alarms": alarms,
            "pushed": len(arrived),
            "from reply": percentiles([reply / 1e3 for _, reply in arrived]),
            "from change": percentiles([at / 1e3 for at, _ in arrived]),
            "bare commits": percentiles(made.commits()),
        }
    return found


def _journal(made: Rig) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Return by device when its lamp failed, when a reply first said so, and when it opened."""
    failed: dict[str, int] = {}
    carried: dict[str, int] = {}
    opened: dict[str, int] = {}
    for line in made.journal():
        device = line.get("device", "")
        if line.get("fact") == "lamp failed":
            failed.setdefault(device, line["t"])
        elif line.get("points", {}).get("lamp.fail"):
            carried.setdefault(device, line["t"])
        elif line.get("event", {}).get("state") == "open":
            opened.setdefault(device, line["t"])
    return failed, carried, opened


def run(*, quick: bool = False) -> dict[str, Any]:
    """Run it and return the figures."""
    return asyncio.run(measure(12 if quick else 52)) | {"load": machine.load()}


def main() -> None:
    """Print the figures."""
    found = run(quick="--quick" in sys.argv)
    print(json.dumps(found) if "--json" in sys.argv else "\n".join(f"{name}: {facts}" for name, facts in found.items()))


if __name__ == "__main__":
    main()
