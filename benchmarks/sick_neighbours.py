"""What a silent unit costs the others on its link, and how much one link carries.

    python -m benchmarks.sick_neighbours [--quick] [--json]

Five units on one link are read each second, on Modbus TCP and on RTU frames over TCP. They answer after 10 ms; in the
second case the fifth says nothing, and the time-out is 1 s. The control is a naive poller on the same case in the same
run: bare pymodbus as it comes, one unit after the other. What counts is who was asked when, as the units saw it. Lost
to silence is the time from a request to the silent unit until the next request of any, over whole rounds: from one
attempt to a later one. Then 40 units of 100 registers on one link: 4,000 points a second.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from itertools import pairwise
from typing import Any

from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from benchmarks.units import Asked, Units, units
from drivers.base import DeviceRead, Heard, PointRead, ReadGroup, Scan, Services
from drivers.modbus import RTU_OVER_TCP, TCP
from edge.poller import Poller
from sitekeeper.model.clock import SECOND, SystemClock
from sitekeeper.model.errors import LinkDown
from sitekeeper.model.point import ScanGroup

UNITS, SILENT, LATENCY = 5, 5, 0.010
WARM = 6.0
"""Seconds in which it is found out who is silent; they do not count."""
MANY, REGISTERS = 40, 100


class Sink:
    """Takes readings and throws them away."""

    def scanned(self, scan: Scan) -> None: ...

    def heard(self, heard: Sequence[Heard]) -> "Future[None]":
        raise NotImplementedError

    def link_failed(self, groups: tuple[str, ...], error: LinkDown) -> None:  # noqa: ARG002
        raise error


def poller(port: int, *, rtu: bool, count: int, registers: int) -> Poller:
    """Return our poller for units 1 to `count`, each with one group of `registers` points a second."""
    kind = RTU_OVER_TCP if rtu else TCP
    devices = []
    for unit in range(1, count + 1):
        points = []
        for at in range(registers):
            written = kind.point_model.model_validate({"holding": at, "type": "uint16"})
            address = kind.bind(written, point_type="int", members=(), parameters={})
            points.append(PointRead(handle=at, name=f"p{at}", type="int", address=address))
        group = ReadGroup(id=f"d{unit}@1s", device=f"d{unit}", period=SECOND, points=tuple(points))
        options = kind.device_model.model_validate({"unit": unit})
        devices.append(DeviceRead(id=f"d{unit}", options=options, groups=(group,)))
    link = kind.link_model.model_validate({"host": "127.0.0.1", "port": port, "timeout": "1s"})
    driver = kind.create("bench", link, devices, SystemClock(), Services())
    groups = tuple(
        ScanGroup(id=group.id, device=device.id, period=SECOND, handles=())
        for device in devices
        for group in device.groups
    )
    return Poller("bench", driver, groups, Sink(), SystemClock())


async def ours(line: Units, seconds: float, *, rtu: bool, count: int = UNITS, registers: int = 10) -> None:
    task = asyncio.create_task(poller(line.port, rtu=rtu, count=count, registers=registers).run())
    await asyncio.wait({task}, timeout=seconds)
    if task.done():
        task.result()
    task.cancel()
    await asyncio.wait({task})


async def naive(line: Units, seconds: float, *, rtu: bool) -> None:
    """Read one unit after the other, each second, with pymodbus as it comes but for a time-out of 1 s."""
    framer = FramerType.RTU if rtu else FramerType.SOCKET
    client = AsyncModbusTcpClient("127.0.0.1", port=line.port, timeout=1, framer=framer)
    await client.connect()
    until = time.monotonic() + seconds
    due = time.monotonic()
    while time.monotonic() < until:
        for unit in range(1, UNITS + 1):
            with suppress(ModbusException):
                await client.read_holding_registers(0, count=10, device_id=unit)
            if not client.connected:
                await client.connect()
        due = max(due + 1, time.monotonic())
        await asyncio.sleep(due - time.monotonic())
    client.close()


def polls(asked: Asked, seconds: float, healthy: int) -> float:
    """Return the polls a second of each healthy unit, after WARM."""
    begin = asked[0][0] + WARM
    counted = sum(0 < unit <= healthy and begin <= at < begin + seconds for at, unit in asked)
    return round(counted / healthy / seconds, 3)


def lost(asked: Asked) -> float:
    """Return the share of the time lost to the silent unit, after WARM."""
    late = [(at, unit) for at, unit in asked if at >= asked[0][0] + WARM]
    first, *_, last = (at for at, unit in late if unit == SILENT)
    waits = (after - at for (at, unit), (after, _) in pairwise(late) if unit == SILENT and at < last)
    return round(sum(waits) / (last - first), 3)


async def sick(seconds: float, *, rtu: bool) -> dict[str, Any]:
    """Return the three cases of one kind of link, measured beside one another."""
    nobody, one = frozenset[int](), frozenset({SILENT})
    with ExitStack() as stack:
        lines = [stack.enter_context(units(rtu=rtu, latency=LATENCY, silent=who)) for who in (nobody, one, one)]
        span = WARM + seconds + 1
        await asyncio.gather(
            ours(lines[0], span, rtu=rtu), ours(lines[1], span, rtu=rtu), naive(lines[2], span, rtu=rtu)
        )
        healthy, silent, control = (line.asked() for line in lines)
    whole = polls(healthy, seconds, UNITS - 1)
    return {
        "polls/s, all healthy": whole,
        "kept": round(polls(silent, seconds, UNITS - 1) / whole, 3),
        "lost to silence": lost(silent),
        "kept, naive": round(polls(control, seconds, UNITS - 1) / whole, 3),
        "lost to silence, naive": lost(control),
    }


async def carried(seconds: float) -> dict[str, Any]:
    """Return what one link carries of 4,000 points a second."""
    with units(rtu=False, latency=LATENCY) as line:
        await ours(line, WARM + seconds + 1, rtu=False, count=MANY, registers=REGISTERS)
        kept = polls(line.asked(), seconds, MANY)
    return {"points/s": round(kept * MANY * REGISTERS), "kept": kept}


def run(*, quick: bool = False) -> dict[str, Any]:
    """Run all cases and return their figures."""
    seconds = 60.0 if quick else 180.0

    async def both() -> tuple[dict[str, Any], dict[str, Any]]:
        return await asyncio.gather(sick(seconds, rtu=False), sick(seconds, rtu=True))

    tcp, rtu = asyncio.run(both())
    return {"Modbus TCP": tcp, "RTU over TCP": rtu, "40 units on one link": asyncio.run(carried(seconds / 6))}


def main() -> None:
    """Print the figures."""
    found = run(quick="--quick" in sys.argv)
    print(json.dumps(found) if "--json" in sys.argv else "\n".join(f"{name}: {facts}" for name, facts in found.items()))


if __name__ == "__main__":
    main()
