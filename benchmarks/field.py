"""Devices for benches: a Modbus TCP server in a process of its own, with nothing of ours and no protocol library.

    python -m benchmarks.field --devices 50 --links 50 --registers 100 --moving 2,5,6 --control FILE

Each link is a port on loopback; its devices are units 1, 2, ... of it. The registers named by `--moving` take a new
value with every reading. FILE is a Unix socket that exists when all ports listen; each connection is one JSON command:

    {"ports": 1}                      the ports
    {"counts": 1}                     per device (readings, longest pause in us) since the last asking
    {"total": 1}                      readings since the start
    {"read": 1}                       how many devices were read since the last `counts`
    {"set": [device, register, value]}  answers when a reading carried it: wall times of the change and of the reply
    {"down": [link, "refuse"|"mute"]}   no connection, or no answer
    {"up": link}                      answers when the first reading was asked for: wall times of the return and of that
"""

import argparse
import asyncio
import json
import os
import struct
import time
from dataclasses import dataclass, field
from typing import Any

STEADY = {0: 1, 1: 0, 3: 1, 4: 1}
"""Of `benchmarks.rig`'s map: in normal service, stopped, level, doors closed."""
READ = 3
"""The function that reads holding registers; any other is refused as illegal."""


def wall() -> int:
    return time.time_ns() // 1_000


@dataclass(slots=True)
class Device:
    """The registers of one unit, as bytes."""

    data: bytearray
    moving: list[int]
    count: int = 0
    readings: int = 0
    total: int = 0
    last: int = 0
    pause: int = 0
    carried: "list[asyncio.Future[int]]" = field(default_factory=list)

    def read(self, address: int, count: int) -> bytes:
        now = time.monotonic_ns() // 1_000
        self.pause = max(self.pause, now - self.last if self.last else 0)
        self.last = now
        self.readings += 1
        self.total += 1
        self.count = (self.count + 1) & 0x3FFF
        for register in self.moving:
            struct.pack_into(">H", self.data, 2 * register, self.count)
        return bytes(self.data[2 * address : 2 * (address + count)])


class Connection(asyncio.Protocol):
    """One client of one link."""

    def __init__(self, link: "Link") -> None:
        self.link = link
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.link.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.link.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 6 and len(self.buffer) >= (end := 6 + int.from_bytes(self.buffer[4:6], "big")):
            request, self.buffer = self.buffer[:end], self.buffer[end:]
            self.link.asked()
            if not self.link.mute:
                self.answer(request)

    def answer(self, request: bytes) -> None:
        if request[7] != READ:
            self.transport.write(request[:4] + bytes([0, 3, request[6], request[7] | 0x80, 1]))  # type: ignore[attr-defined]
            return
        unit, function, address, count = struct.unpack(">BBHH", request[6:12])
        device = self.link.devices[unit - 1]
        data = device.read(address, count)
        head = struct.pack(">HBBB", len(data) + 3, unit, function, len(data))
        done, device.carried = device.carried, []
        at = wall()
        self.transport.write(request[:4] + head + data)  # type: ignore[attr-defined]
        for future in done:
            future.set_result(at)


@dataclass(slots=True)
class Link:
    """One port."""

    devices: list[Device]
    port: int = 0
    mute: bool = False
    server: asyncio.Server | None = None
    connections: set[Connection] = field(default_factory=set)
    waiting: "asyncio.Future[int] | None" = None

    async def up(self) -> None:
        self.mute = False
        if self.server is None:
            loop = asyncio.get_running_loop()
            self.server = await loop.create_server(lambda: Connection(self), "127.0.0.1", self.port)
            self.port = self.server.sockets[0].getsockname()[1]

    def down(self, how: str) -> None:
        self.mute = how == "mute"
        if how == "refuse" and self.server is not None:
            self.server.close()
            self.server = None
            for connection in list(self.connections):
                connection.transport.abort()  # type: ignore[attr-defined]

    def asked(self) -> None:
        if self.waiting is not None and not self.mute:
            self.waiting.set_result(wall())
            self.waiting = None


class Field:
    """All links, and the commands."""

    def __init__(self, links: list[Link]) -> None:
        self.links = links
        self.devices = [device for link in links for device in link.devices]

    async def obey(self, command: dict[str, Any]) -> Any:
        match command:
            case {"ports": _}:
                return [link.port for link in self.links]
            case {"counts": _}:
                found = [(device.readings, device.pause) for device in self.devices]
                for device in self.devices:
                    device.readings = device.pause = 0
                return found
            case {"total": _}:
                return sum(device.total for device in self.devices)
            case {"read": _}:
                return sum(device.readings > 0 for device in self.devices)
            case {"set": [number, register, value]}:
                device = self.devices[number]
                struct.pack_into(">H", device.data, 2 * register, value)
                changed, future = wall(), asyncio.get_running_loop().create_future()
                device.carried.append(future)
                return changed, await future
            case {"down": [number, how]}:
                self.links[number].down(how)
                return wall()
            case {"up": number}:
                link = self.links[number]
                link.waiting = asyncio.get_running_loop().create_future()
                waiting = link.waiting
                await link.up()
                return wall(), await waiting
        raise ValueError(command)

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Obey one command for each connection, so that a slow one delays no other."""
        answer = await self.obey(json.loads(await reader.readline()))
        writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()


async def serve(options: argparse.Namespace) -> None:
    moving = [int(number) for number in options.moving.split(",") if number]
    links = [Link([]) for _ in range(options.links)]
    for number in range(options.devices):
        data = bytearray(2 * options.registers)
        for register, value in STEADY.items():
            struct.pack_into(">H", data, 2 * register, value)
        links[number * options.links // options.devices].devices.append(Device(data, moving))
    for link in links:
        await link.up()
    # Under another name first: whoever waits for the file may connect at once.
    server = await asyncio.start_unix_server(Field(links).control, options.control + ".new")
    os.rename(options.control + ".new", options.control)  # noqa: PTH104
    await server.serve_forever()


def main() -> None:
    options = argparse.ArgumentParser()
    for name in ("devices", "links", "registers"):
        options.add_argument(f"--{name}", type=int, required=True)
    options.add_argument("--moving", default="")
    options.add_argument("--control", required=True)
    asyncio.run(serve(options.parse_args()))


if __name__ == "__main__":
    main()
