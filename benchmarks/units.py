"""Modbus units on one line, in a process of their own: they answer after a while, or not at all, and know who asked.

Nothing of ours and no protocol library is in it. Requests come as Modbus TCP or as RTU frames over TCP, one at a time.
"""

import asyncio
import multiprocessing
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

Asked = list[tuple[float, int]]
"""When (monotonic seconds) the registers of which unit were asked for; unit 0 for whatever else was."""
READ = 3
"""The function that reads holding registers, the only one that the units have."""


def crc(frame: bytes) -> bytes:
    """Return the two bytes that end an RTU frame."""
    rest = 0xFFFF
    for byte in frame:
        rest ^= byte
        for _ in range(8):
            rest = (rest >> 1) ^ 0xA001 if rest & 1 else rest >> 1
    return struct.pack("<H", rest)


class Line(asyncio.Protocol):
    """One connection; `silent` units say nothing, the others answer a read with register numbers after `latency`."""

    def __init__(self, rtu: bool, latency: float, silent: frozenset[int], asked: Asked) -> None:
        self.rtu, self.latency, self.silent, self.asked = rtu, latency, silent, asked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        request = data if self.rtu else data[6:]
        unit, function = request[:2]
        self.asked.append((time.monotonic(), unit if function == READ else 0))
        if unit in self.silent:
            return
        body = bytes([unit, function | 0x80, 1])  # illegal function
        if function == READ:
            address, count = struct.unpack(">HH", request[2:6])
            body = struct.pack(f">BBB{count}H", unit, function, 2 * count, *range(address, address + count))
        reply = body + crc(body) if self.rtu else data[:4] + struct.pack(">H", len(body)) + body
        asyncio.get_running_loop().call_later(self.latency, self._write, reply)

    def _write(self, reply: bytes) -> None:
        self.transport.write(reply)  # type: ignore[attr-defined]


def _serve(pipe: Connection, rtu: bool, latency: float, silent: frozenset[int]) -> None:
    asked: Asked = []

    async def main() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        server = await loop.create_server(lambda: Line(rtu, latency, silent, asked), "127.0.0.1", 0)
        loop.add_reader(pipe.fileno(), ended.set)
        pipe.send(server.sockets[0].getsockname()[1])
        await ended.wait()
        pipe.send(asked)
        server.close()

    asyncio.run(main())


class Units:
    """A running line: its port, and at its end who was asked when."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.port: int = pipe.recv()

    def asked(self) -> Asked:
        """End the line and return who was asked."""
        self._pipe.send("end")
        found: Asked = self._pipe.recv()
        return found


@contextmanager
def units(*, rtu: bool, latency: float, silent: frozenset[int] = frozenset()) -> Iterator[Units]:
    """Run a line while the block runs."""
    context: Any = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, rtu, latency, silent), daemon=True)
    process.start()
    try:
        yield Units(here)
    finally:
        process.terminate()
        process.join()
