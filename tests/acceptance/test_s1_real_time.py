"""Scenario S1 up to 50 s in real time: processes of their own, Modbus on two kinds of wire, mosquitto.

Judged by the oracle. The serial line is a pair of pseudo terminals, which the gateway opens as any adapter.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from simulators.scenario import load
from simulators.stage import Stage, program, sk
from sitekeeper.model.clock import SECOND
from tests import oracle
from tests.acceptance.test_replay import assert_replays
from tests.fixtures.mosquitto import Mosquitto
from tests.virtual_site import SCENARIOS, SECRET, SITE, select, site_folder

POLLS, SLACK = 2, 1
"""Allowed beyond the on-delay: polls of 1 s, and seconds for a busy machine."""


def the_lifts(folder: Path) -> Path:
    """Write S1 through the living lift (lift-a1, on a serial line lift-a3) and as LMON words (lift-a2); a link each."""
    links = []
    for device, name in (("lift-a1", "s1-sp.yaml"), ("lift-a2", "s1-lmon.yaml"), ("lift-a3", "s1-sp.yaml")):
        (link,) = yaml.safe_load((SCENARIOS / name).read_text())["links"]
        if device == "lift-a3":
            link |= {"framing": "rtu", "serial": str(folder / "adapter")}
        link["id"], link["devices"][0]["id"] = f"to-{device}", device
        links.append(link)
    path = folder / "s1.yaml"
    path.write_text(yaml.safe_dump({"title": "S1 three times", "seed": 1, "links": links}))
    return path


@asynccontextmanager
async def five_processes(folder: Path) -> AsyncIterator[tuple[Stage, Mosquitto]]:
    """Run broker, telephone, office, devices and gateway, started in this order; the story begins with the devices."""
    broker, stage = Mosquitto(folder, persistence=False), Stage(folder)
    broker.start()
    try:
        await start(folder, stage, broker.port)
        yield stage, broker
    finally:
        await stage.close()
        broker.kill()


async def start(folder: Path, stage: Stage, port: int) -> None:
    (folder / "secret").write_text(SECRET)
    phone = ("--port", "0", "--journal", str(folder / "phone.jsonl"), "--secret-file", str(folder / "secret"))
    await stage.start("phone", *program("simulators.phone"), *phone, ready="ready ")
    office = {
        "store": {"path": str(folder / "office.db")},
        "broker": {"host": "127.0.0.1", "port": port, "protocol": "5"},
        "socket": {"path": str(folder / "office.sock")},
        "channels": [
            {
                "id": "duty",
                "kind": "webhook",
                "url": (folder / "phone.log").read_text().split("ready ")[1].split()[0],
                "secret": SECRET,
            }
        ],
    }
    (folder / "office.yaml").write_text(yaml.safe_dump(office))
    run_office = sk("office", "run", "--config", str(folder / "office.yaml"))
    await stage.start("office", *run_office, file=folder / "office.sock")
    tap = ("--port", str(port), "--journal", str(folder / "tap.jsonl"))
    await stage.start("tap", *program("simulators.tap"), *tap, file=folder / "tap.jsonl")
    scenario, ports = the_lifts(folder), folder / "ports.json"
    sim = ("sim", str(scenario), "--journal", str(folder / "sim.jsonl"), "--ports-file", str(ports), "--free-ports")
    await stage.start("lifts", *sk(*sim), file=ports)
    way = {"broker": f"mqtt://127.0.0.1:{port}", "protocol": "5"}
    site = site_folder(folder / "site", load(scenario), json.loads(ports.read_text()), office=way)
    run_gateway = sk("run", "--site", str(site), "--socket", str(folder / "control.sock"))
    await stage.start("gateway", *run_gateway, ready="gateway open")


async def drained(folder: Path) -> None:
    """Wait until everything that the gateway has recorded has come back as a receipt."""
    sql = "SELECT COUNT(*) AS n FROM blocks WHERE stream IN ('alarms', 'samples') AND NOT released"
    async with asyncio.timeout(20):
        await asyncio.sleep(3)  # the last samples are sealed after a second
        while select(folder / "site/outbox.db", sql)[0]["n"]:
            await asyncio.sleep(0.2)


def moves_at_the_office(folder: Path) -> list[sqlite3.Row]:
    return select(folder / "office.db", "SELECT * FROM transitions ORDER BY id")


def assert_pushed(folder: Path, raised: sqlite3.Row) -> float:
    """Assert one signed push with floor and steps; return its seconds after the site's decision."""
    pushes = [line for line in oracle.lines(folder / "phone.jsonl") if line["event"] == raised["occurrence"]]
    (push,) = pushes
    body: dict[str, Any] = push["body"]
    assert (push["status"], push["signed"]) == (200, True)
    assert (body["rule"], body["priority"], body["values"]["floor"]) == ("L01", "P1", 7)
    assert "Floor: 7" in body["body"]
    assert "Call the car through the intercom" in body["body"]
    late: float = (push["t"] - raised["at"]) / SECOND
    assert 0 <= late <= 2
    return late


async def when_it_began(folder: Path) -> int:
    """Return the wall time at which the story began, once the lift has told that it is stuck, 14 s into it."""
    while True:
        journal = oracle.lines(folder / "sim.jsonl")
        told = [line["t"] for line in journal if line.get("fact") == "trapped"]
        if told:
            began: int = told[0] - 14 * SECOND
            asked = {line["device"]: line["t"] for line in reversed(journal) if "n" in line}
            assert asked.keys() == {"lift-a1", "lift-a2", "lift-a3"}
            assert max(asked.values()) - began < 9 * SECOND, "the gateway came after the lift had left floor 7"
            return began
        await asyncio.sleep(0.2)


async def without_broker(folder: Path, broker: Mosquitto, began: int) -> None:
    """Kill the broker from 16 to 23 s, so that the run has something to lose; it is back long before the alarms."""
    for at, did, act in ((16.0, "kill broker", broker.kill), (23.0, "back broker", broker.start)):
        await asyncio.sleep(began / SECOND + at - time.time())
        with (folder / "done.jsonl").open("a") as done:
            done.write(json.dumps({"t": time.time_ns() // 1_000, "did": did}) + "\n")
        await asyncio.to_thread(act)


def assert_s1(folder: Path, began: int) -> None:
    """At 50 s: three entrapments, neither early nor late, each pushed once, and nothing else."""
    moves = moves_at_the_office(folder)
    assert [(row["rule"], row["cause"], row["target"]) for row in moves] == [("L01", "raise", "B")] * 3
    raised = {row["key"].split("/")[1]: row for row in moves}
    for device, known, delay in (("lift-a1", 14, 30), ("lift-a2", 26, 15), ("lift-a3", 14, 30)):
        found = (raised[device]["at"] - began) / SECOND - known
        assert delay <= found <= delay + POLLS + SLACK, device
        assert_pushed(folder, raised[device])


@pytest.mark.slow
async def test_fifty_seconds_of_s1(tmp_path: Path) -> None:
    """L01 of all lifts not before its delay and at most 2 polls and 1 s after it, pushed within 2 s, nothing else."""
    async with five_processes(tmp_path) as (stage, broker):
        began = await when_it_began(tmp_path)
        await without_broker(tmp_path, broker, began)
        await asyncio.sleep(began / SECOND + 40.9 - time.time())
        assert not moves_at_the_office(tmp_path)
        await asyncio.sleep(began / SECOND + 50 - time.time())
        assert all(stage.alive(name) for name in ("phone", "office", "lifts", "gateway"))
        assert_s1(tmp_path, began)
        assert await stage.stop("lifts") == 0
        await drained(tmp_path)
        assert await stage.stop("gateway") == 0
        assert await stage.stop("office") == 0
    journals = {name: tmp_path / f"{name}.jsonl" for name in ("phone", "tap", "done")}
    account = oracle.judge(SITE, tmp_path / "office.db", tmp_path / "sim.jsonl", **journals)
    assert account.wrong == []
    assert account.figures["alarms_raised"]["L01"] == 3
    assert account.risk["blocks that waited"] > 0
    assert_replays(tmp_path / "site")
