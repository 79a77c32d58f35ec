"""How long an alarm takes to a person. `python -m benchmarks.alarm_latency [--quick] [--json]`.

The whole chain as real processes: devices, gateway, mosquitto, office and a telephone that checks signatures. 50
devices of 100 registers are read every 250 ms, 10 % of them changing. One register after the other trips, at random
moments. Measured to the moment at which the push receiver has the push, from the reply that carried the change leaving
the device, and from the change itself. On a quiet site, and while the office is being sent samples that it lacks.
Beside it run the bare commits of `baseline_commits`: what of a latency is the machine's and its disk's in that run.
"""

import asyncio
import json
import random
import sys
from typing import Any

from benchmarks import backlog, machine
from benchmarks.rig import FIRST_TRIP, TRIPS, Estate, Rig, rig


async def measure(alarms: int, waiting: int, pause: tuple[float, float]) -> dict[str, Any]:
    """Return latencies in ms of `alarms` alarms, with `waiting` samples to send meanwhile."""
    estate = Estate(scan="250ms")
    async with rig() as made:
        await made.start_broker()
        made.write_site(estate, await made.start_field("field", estate), tripping=True)
        if waiting:
            await asyncio.to_thread(backlog.fill, made, backlog.scattered(estate), waiting)
        await made.start_phone()
        await made.start_office(pushing=True)
        await made.start_gateway()
        await asyncio.sleep(2.5 if waiting else 5)
        await made.start_commits()
        before = _committed(made)
        places = [(device, FIRST_TRIP + n) for n in range(len(TRIPS)) for device in range(estate.devices)][:alarms]
        random.Random(3).shuffle(places)
        trips = []
        for device, register in places:
            trips.append(asyncio.create_task(made.tell("field", set=(device, register, 1))))
            await asyncio.sleep(random.uniform(*pause))
        times = await asyncio.gather(*trips)
        after = _committed(made)
        await asyncio.sleep(3)
        return _figures(made, places, times) | {"backlog": waiting, "committed before and after": (before, after)}


def _committed(made: Rig) -> int:
    """Return how many samples of the backlog the office has committed."""
    return int(made.office("SELECT coalesce(sum(records), 0) FROM blocks WHERE boot = ?", backlog.BOOT))


def _figures(made: Rig, places: list[tuple[int, int]], times: list[tuple[int, int]]) -> dict[str, Any]:
    pushed = pushes(made)
    came = [pushed.get(f"d{device:03}/B{register - FIRST_TRIP:02}") for device, register in places]
    reply = [(at - served) / 1e3 for at, (_, served) in zip(came, times, strict=True) if at is not None]
    change = [(at - changed) / 1e3 for at, (changed, _) in zip(came, times, strict=True) if at is not None]
    figures = {
        "from reply": percentiles(reply),
        "from change": percentiles(change),
        "bare commits": percentiles(made.commits()),
    }
    return {"alarms": len(places), "pushed": len(reply), **figures}


def pushes(made: Rig) -> dict[str, int]:
    """Return when the receiver accepted the first push of each alarm, by `<device>/<rule>`."""
    came: dict[str, int] = {}
    for line in (made.folder / "phone.jsonl").read_text(encoding="utf-8").splitlines():
        push = json.loads(line)
        if push["status"] == 200:  # the occurrence is <site>/<device>/<rule>@...
            came.setdefault(push["body"]["occurrence"].partition("@")[0].partition("/")[2], push["t"])
    return came


def percentiles(values: list[float]) -> dict[str, float]:
    """Return what is printed of latencies in ms; empty if there are none."""
    if not values:
        return {}
    return {f"p{p}": round(machine.percentile(values, p), 1) for p in (50, 90, 99)} | {"max": round(max(values), 1)}


def run(*, quick: bool = False) -> dict[str, Any]:
    """Run both cases and return their figures."""
    alarms, waiting = (20, 200_000) if quick else (100, 1_000_000)
    return {
        "one at a time": asyncio.run(measure(alarms, 0, (0.3, 0.5))),
        "one at a time, during backfill": asyncio.run(measure(alarms // 2, waiting, (0.3, 0.5))),
    }


def main() -> None:
    """Print the figures."""
    found = run(quick="--quick" in sys.argv)
    print(json.dumps(found) if "--json" in sys.argv else "\n".join(f"{name}: {facts}" for name, facts in found.items()))


if __name__ == "__main__":
    main()
