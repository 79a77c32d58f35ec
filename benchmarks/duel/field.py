"""Modbus TCP devices that serve serial numbers; run as a process of its own, without anything of either product.

Each tag is two holding registers, a 32-bit number: its serial in the upper 24 bits, which counts up with every reply
that has it, and a check byte. Behind the tags is one register that is 1 while the device's alarm stands. The journal
has a line for each reply, written before it leaves, and one for each move of an alarm. Times are wall times in
microseconds.
"""

import argparse
import asyncio
import json
import struct
import time
from pathlib import Path
from typing import IO

READ = 3
HOLDING_EVERY_S, HOLDING_FOR_S = 10.0, 3.0
"""The first device's alarm comes every 10 s and stands for 3 s."""


def value(device: str, tag: str, serial: int) -> int:
    """Return the number that a tag has under a serial."""
    return serial << 8 | sum(f"{device}/{tag}/{serial}".encode()) & 0xFF


class Field:
    """All devices of all links."""

    def __init__(self, tags: int, dead: set[int], latency: float, journal: IO[str]) -> None:
        self._tags, self._dead, self._latency, self._journal = tags, dead, latency, journal
        self._serials: dict[tuple[str, int], int] = {}
        self.alarmed: set[str] = set()
        self.silent = False

    def note(self, line: dict[str, object]) -> None:
        """Write down a line."""
        self._journal.write(json.dumps({"t": time.time_ns() // 1_000, **line}, separators=(",", ":")) + "\n")

    def registers(self, device: str, first: int, count: int) -> bytes:
        """Serve registers; every tag that is in them whole gets its next serial."""
        served: dict[str, int] = {}
        words: list[int] = []
        for tag in range(first // 2, (first + count + 1) // 2):
            if tag >= self._tags:
                words += [int(device in self.alarmed), 0]
                continue
            whole = first <= 2 * tag and 2 * tag + 2 <= first + count
            self._serials[device, tag] = serial = self._serials.get((device, tag), 0) + whole
            number = value(device, f"t{tag}", serial)
            words += divmod(number, 1 << 16)
            if whole:
                served[f"t{tag}"] = number
        if served:
            self.note({"d": device, "v": served})
        start = first % 2
        return struct.pack(f">{count}H", *words[start : start + count])

    async def serve(self, link: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection, one request after the other, as a device does."""
        try:
            while True:
                head = await reader.readexactly(8)
                transaction, _, length, unit, function = struct.unpack(">HHHBB", head)
                body = await reader.readexactly(length - 2)
                if self.silent or unit in self._dead:
                    continue
                if self._latency:
                    await asyncio.sleep(self._latency)
                    if self.silent:
                        continue
                first, count = struct.unpack(">HH", body[:4])
                if function == READ:
                    data = self.registers(f"d{link}-{unit}", first, count)
                    reply = struct.pack(">BBB", unit, function, len(data)) + data
                else:
                    reply = struct.pack(">BBB", unit, function | 0x80, 1)
                writer.write(struct.pack(">HHH", transaction, 0, len(reply)) + reply)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    async def raise_alarms(self) -> None:
        """Let the first device's alarm come and go."""
        while True:
            await asyncio.sleep(HOLDING_EVERY_S - HOLDING_FOR_S)
            self.alarmed.add("d0-1")
            self.note({"alarm": True})
            await asyncio.sleep(HOLDING_FOR_S)
            self.alarmed.clear()
            self.note({"alarm": False})


async def main() -> None:
    """Serve until told on standard input: `silence` ends all answers, the end of the input ends the process."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--links", type=int, required=True)
    options.add_argument("--tags", type=int, required=True)
    options.add_argument("--dead", default="", help="units of each link that never answer, with commas")
    options.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    options.add_argument("--journal", type=Path, required=True)
    options.add_argument("--silence", type=Path, required=True, help="no more answers once this file exists")
    options.add_argument("--ports", type=Path, required=True, help="where to write the ports")
    asked = options.parse_args()
    dead = {int(unit) for unit in asked.dead.split(",") if unit}
    with asked.journal.open("w", encoding="utf-8", buffering=1) as journal:
        field = Field(asked.tags, dead, asked.latency, journal)
        servers = []
        for link in range(asked.links):

            async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: int = link) -> None:
                await field.serve(link, reader, writer)

            servers.append(await asyncio.start_server(client, "127.0.0.1", 0))
        beside = asked.ports.with_suffix(".new")
        beside.write_text(json.dumps([server.sockets[0].getsockname()[1] for server in servers]))
        beside.rename(asked.ports)  # whoever finds it finds all of it
        alarms = asyncio.create_task(field.raise_alarms())
        while not asked.silence.exists():
            await asyncio.sleep(0.02)
        field.silent = True
        alarms.cancel()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
