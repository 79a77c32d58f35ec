"""Baseline of the polling cost: a bare asyncio poller that knows pymodbus, paho and SQLite, and nothing of ours.

Reads every device once a period; each reading becomes a row of JSON in SQLite and a message on MQTT. `--commit`:
`reading` for a commit a reading, `period` for one a period, `none` to keep nothing: the same requests and no more.
"""

import argparse
import asyncio
import json
import sqlite3
import time
from typing import Any

import paho.mqtt.client as mqtt
from pymodbus.client import AsyncModbusTcpClient


class Keep:
    """A table of readings and a topic for each device."""

    def __init__(self, path: str, broker: int, every: str) -> None:
        self.every, self.rows = every, sqlite3.connect(path)
        self.rows.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")
        self.rows.execute("CREATE TABLE readings (time REAL, device TEXT, points TEXT)")
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.connect("127.0.0.1", broker)
        self.client.loop_start()

    def __call__(self, device: str, registers: list[int]) -> None:
        text = json.dumps({f"p{at:02}": value for at, value in enumerate(registers)})
        self.rows.execute("INSERT INTO readings VALUES (?, ?, ?)", (time.time(), device, text))
        if self.every == "reading":
            self.rows.commit()
        self.client.publish(f"bench/{device}", text, qos=1)


async def run(options: Any) -> None:
    clients = [AsyncModbusTcpClient("127.0.0.1", port=int(port)) for port in options.ports.split(",")]
    await asyncio.gather(*(client.connect() for client in clients))
    keep = None if options.commit == "none" else Keep(options.db, options.broker, options.commit)

    async def poll(number: int) -> None:
        reply = await clients[number].read_holding_registers(0, count=options.registers, device_id=1)
        if keep is not None:
            keep(f"d{number}", reply.registers)

    due = time.monotonic()
    while True:
        await asyncio.gather(*map(poll, range(len(clients))))
        if keep is not None:
            keep.rows.commit()
        due = max(due + options.period, time.monotonic())
        await asyncio.sleep(due - time.monotonic())


parser = argparse.ArgumentParser()
for name in ("ports", "db", "commit", "broker", "registers", "period"):
    parser.add_argument(f"--{name}", type={"broker": int, "registers": int, "period": float}.get(name, str))
asyncio.run(run(parser.parse_args()))
