"""What our Modbus driver adds to bare pymodbus: the same requests, unchanged registers, CPU of the asking process.

    python benchmarks/polling_requests.py [--requests 5000] [--rounds 5] [--json FILE]

Promise: our own part of a request is small beside the library's. One server process serves 50 units of 100 registers
on one connection; the driver and the bare client take turns in this process, so that both see the same machine.
Prints requests/s and CPU a request of each, median of the rounds with the spread, and the ratio of the medians of CPU.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import statistics
import struct
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path

from pymodbus.client import AsyncModbusTcpClient

from drivers.base import DeviceRead, PointRead, ReadGroup, Services
from drivers.modbus import TCP
from sitekeeper.model.clock import SECOND, SystemClock

UNITS, REGISTERS = 50, 100
CHANGED = 10  # registers of each unit that move in the "10 % changing" rows


class Answers(asyncio.Protocol):
    """Answers each read of holding registers with n, n + 1, ...; with `moving`, ten of them count the requests."""

    def __init__(self, moving: bool) -> None:
        self.moving = moving
        self.count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data[7] != 3:  # reading holding registers is all it has
            self.transport.write(data[:4] + bytes([0, 3, data[6], data[7] | 0x80, 1]))  # type: ignore[attr-defined]
            return
        address, count = struct.unpack(">HH", data[8:12])
        words = list(range(address, address + count))
        if self.moving:
            self.count = (self.count + 1) & 0xFFFF
            words[:: count // CHANGED] = [self.count] * CHANGED
        body = struct.pack(f">BBB{count}H", data[6], 3, 2 * count, *words)
        self.transport.write(data[:4] + struct.pack(">H", len(body)) + body)  # type: ignore[attr-defined]


def serve(ready: Connection, moving: bool) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Answers(moving), "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


async def timed(read: Callable[[int], Awaitable[object]], requests: int) -> tuple[float, float]:
    """Return (seconds of CPU, seconds) a request of `requests` reads, unit after unit."""
    cpu, wall = time.process_time(), time.perf_counter()
    for n in range(requests):
        await read(n % UNITS + 1)
    return (time.process_time() - cpu) / requests, (time.perf_counter() - wall) / requests


def devices() -> list[DeviceRead]:
    made = []
    for unit in range(1, UNITS + 1):
        points = []
        for at in range(REGISTERS):
            written = TCP.point_model.model_validate({"holding": at, "type": "uint16"})
            address = TCP.bind(written, point_type="int", members=(), parameters={})
            points.append(PointRead(handle=at, name=f"p{at}", type="int", address=address))
        group = ReadGroup(id=str(unit), device=f"d{unit}", period=SECOND, points=tuple(points))
        made.append(DeviceRead(id=f"d{unit}", options=TCP.device_model.model_validate({"unit": unit}), groups=(group,)))
    return made


async def measure(port: int, requests: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    link = TCP.link_model.model_validate({"host": "127.0.0.1", "port": port})
    driver = TCP.create("bench", link, devices(), SystemClock(), Services())
    bare = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0, reconnect_delay=0)
    await driver.open()
    await bare.connect()

    async def ask(unit: int) -> object:
        reply = await bare.read_holding_registers(0, count=REGISTERS, device_id=unit)
        assert len(reply.registers) == REGISTERS
        return reply

    async def scan(unit: int) -> object:
        done = await driver.read(str(unit))
        assert done.answered
        return done

    found: dict[str, list[tuple[float, float]]] = {"pymodbus": [], "ours": []}
    for n in range(rounds + 1):
        one, other = await timed(ask, requests), await timed(scan, requests)
        if n:  # the first warms up
            found["pymodbus"].append(one)
            found["ours"].append(other)
    await driver.close()
    bare.close()
    return found


def run(moving: bool, requests: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there, moving), daemon=True)
    server.start()
    try:
        return asyncio.run(measure(here.recv(), requests, rounds))
    finally:
        server.terminate()
        server.join()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--requests", type=int, default=5000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{'registers':<14}{'client':<10}{'CPU us/request':>22}{'requests/s':>12}{'points/s a core':>17}")
    result = {}
    for name, moving in (("unchanged", False), ("10 % changing", True)):
        rows = run(moving, asked.requests, asked.rounds)
        median = {}
        for client, times in rows.items():
            cpu = sorted(1e6 * seconds for seconds, _ in times)
            median[client] = statistics.median(cpu)
            rate = 1 / statistics.median(seconds for _, seconds in times)
            spread = f"{median[client]:.1f} ({cpu[0]:.1f}-{cpu[-1]:.1f})"
            print(f"{name:<14}{client:<10}{spread:>22}{rate:>12.0f}{REGISTERS / median[client] * 1e6:>17.0f}")
        ratio = median["ours"] / median["pymodbus"]
        print(f"{name:<14}{'ratio':<10}{ratio:>22.2f}")
        result[name] = {"ratio": round(ratio, 3), **{f"{key}_us": round(us, 1) for key, us in median.items()}}
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
