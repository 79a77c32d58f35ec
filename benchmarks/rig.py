"""The stage of the benches: devices, mosquitto, office and gateway as processes on loopback, all gone at the end."""

import asyncio
import json
import shutil
import socket
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.simulated import LAMP_RULE, Beside
from simulators.stage import Stage, free_port, program, sk, write

SITE = "bench"
SECRET = "a-secret-that-lives-as-long-as-a-bench"
TRIPS = (
    "fault_pit", "fault_overrun_top", "overspeed", "moving_door_open", "ebike", "battery_low", "alarm_test_failed",
    "vibration_alarm",
)  # fmt: skip
"""Points of the map that raise an alarm at once; `rules/bench.yaml` has a rule for each."""
FIRST_TRIP = 8
MOVING = (2, 5, 6, 20, 30, 40, 50, 60, 70, 80)
"""Registers that change with every reading, where 10 % of 100 shall: floor, load, speed and seven measured values."""


def profile(registers: int, scan: str) -> str:
    """Return a profile of a class lift in which each of `registers` holding registers is one point."""
    lines = [
        "service_mode: {holding: 0, type: uint16, enum: {0: out_of_service, 1: normal}, scan: SCAN}",
        "car_status: {holding: 1, type: uint16, enum: {0: stopped, 1: running}, scan: SCAN}",
        "floor: {holding: 2, type: int16, scan: SCAN}",
        "door_zone: {holding: 3, bool: {true: 1, false: 2}, scan: SCAN}",
        "door_closed: {holding: 4, bool: {true: 1, false: 2}, scan: SCAN}",
        'load: {holding: 5, type: uint16, unit: "%", scan: SCAN}',
        "speed: {holding: 6, type: int16, scale: 0.01, unit: m/s, scan: SCAN}",
        "error_code: {holding: 7, type: uint16, scan: SCAN}",
    ]
    for at, name in enumerate(TRIPS, FIRST_TRIP):
        lines.append(f"{name}: {{holding: {at}, bool: {{true: 1, false: 0}}, scan: SCAN}}")
    for at in range(len(lines), registers):
        kind = "type: uint16, own: {type: int}" if at % 2 else "type: int16, scale: 0.1, own: {type: float}"
        lines.append(f"m{at:02}: {{holding: {at}, {kind}, scan: SCAN}}")
    points = "".join(f"  {line}\n" for line in lines[:registers]).replace("SCAN", scan)
    return f"profile: bench-lift\nclass: lift\nevidence: designed\npoints:\n{points}"


def rules() -> str:
    """Return one rule for each of TRIPS, without any delay."""
    rule = "- {{id: B{n:02}, class: lift, name: {{{names}}}, when: {name}, priority: P2}}\n"
    named = (
        (n, name, ", ".join(f"{lang}: {name}" for lang in ("en", "zh-Hant", "zh-Hans"))) for n, name in enumerate(TRIPS)
    )
    return "".join(rule.format(n=n, name=name, names=names) for n, name, names in named)


@dataclass(kw_only=True)
class Estate:
    """What is read: `devices` of `registers` each, spread over `links` ports."""

    devices: int = 50
    links: int = 50
    registers: int = 100
    moving: Sequence[int] = MOVING
    scan: str = "1s"


class Rig:
    """One run in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stage = Stage(folder)
        self.broker, self.phone = free_port(), free_port()
        self.simulated: dict[str, int] = {}

    # processes

    async def start_broker(self) -> None:
        program_ = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if program_ is None:
            raise SystemExit("mosquitto is not installed")
        text = f"listener {self.broker} 127.0.0.1\nallow_anonymous true\nlog_dest stderr\nmax_queued_messages 10000\n"
        await self.stage.start(
            "broker", program_, "-c", str(write(self.folder / "broker.conf", text)), file=self.folder
        )
        await self.until(lambda: _listens(self.broker), 10)

    async def start_field(self, name: str, estate: Estate) -> list[int]:
        """Start devices under `name` and return their ports."""
        moving = ",".join(map(str, estate.moving))
        await self.stage.start(
            name, *program("benchmarks.field"), "--devices", str(estate.devices), "--links", str(estate.links),
            "--registers", str(estate.registers), "--moving", moving, "--control", str(self._control(name)),
            file=self._control(name),
        )  # fmt: skip
        ports: list[int] = await self.tell(name, ports=1)
        return ports

    async def start_simulated(self, beside: Beside) -> None:
        """Start the devices of `beside`, those on MQTT with the broker that the office has too."""
        scenario, ports = write(self.folder / "scenario.yaml", beside.scenario()), self.folder / "ports.json"
        await self.stage.start(
            "simulated", *sk("sim", str(scenario), "--free-ports", "--broker", f"127.0.0.1:{self.broker}"),
            "--journal", str(self.folder / "simulated.jsonl"), "--ports-file", str(ports), file=ports,
        )  # fmt: skip
        self.simulated = json.loads(ports.read_text(encoding="utf-8"))

    async def start_phone(self) -> None:
        secret = write(self.folder / "secret", SECRET, 0o600)
        command = [*program("simulators.phone"), "--port", str(self.phone), "--secret-file", str(secret)]
        await self.stage.start("phone", *command, "--journal", str(self.folder / "phone.jsonl"), ready="ready")

    async def start_office(self, *, pushing: bool = False, store: str = "") -> None:
        """Start the office, on SQLite unless `store` is the url of a PostgreSQL database."""
        write(self.folder / "office" / "secrets.yaml", f"webhook: {SECRET}\n", 0o600)
        channel = f"{{id: desk, kind: webhook, url: 'http://127.0.0.1:{self.phone}/', secret: '${{secret:webhook}}'}}"
        channels = f"channels: [{channel}]\nroutes: {{P1: [desk], P2: [desk]}}" if pushing else "routes: {}"
        kept = f"url: '{store}', folder: {self.folder}" if store else f"path: {self.folder / 'office.db'}"
        text = f"""store: {{{kept}}}
broker: {{host: 127.0.0.1, port: {self.broker}, protocol: "5"}}
socket: {{path: {self.folder / "office.sock"}}}
{channels}
"""
        config = write(self.folder / "office" / "office.yaml", text)
        await self.stage.start(
            "office", *sk("office", "run", "--config", str(config)), file=self.folder / "office.sock"
        )

    def write_site(
        self,
        estate: Estate,
        ports: Sequence[int],
        *,
        tripping: bool = False,
        beside: Beside | None = None,
        backfill: str = "20000/s",
    ) -> Path:
        """Write the site folder that reads `estate`, and `beside` if that was started, and return it."""
        site = self.folder / "site"
        links = "".join(
            f"  l{n:03}: {{driver: modbus-tcp, host: 127.0.0.1, port: {p}, timeout: 1s}}\n" for n, p in enumerate(ports)
        )
        devices, units = "", dict.fromkeys(range(estate.links), 0)
        for number in range(estate.devices):
            link = number * estate.links // estate.devices
            units[link] += 1
            devices += f"  - {{id: d{number:03}, profile: bench-lift, link: l{link:03}, unit: {units[link]}}}\n"
        packs = "lift"
        if beside is not None:
            links, devices = links + beside.links(self.broker), devices + beside.devices(self.simulated)
            packs = "lift, lighting, access"
        text = f"site: {{id: {SITE}, timezone: Asia/Hong_Kong}}\nlinks:\n{links}devices:\n{devices}"
        text += f"rules: {{packs: [{packs}]}}\noutbox: {{path: outbox.db}}\n"
        text += f'office: {{broker: "mqtt://127.0.0.1:{self.broker}", protocol: "5", backfill: {backfill}}}\n'
        write(site / "site.yaml", text)
        write(site / "profiles" / "bench-lift.yaml", profile(estate.registers, estate.scan))
        if tripping:
            write(site / "rules" / "bench.yaml", rules() + (LAMP_RULE if beside is not None else ""))
        return site

    async def start_gateway(self) -> None:
        socket_ = self.folder / "gateway.sock"
        socket_.unlink(missing_ok=True)
        await self.stage.start(
            "gateway", *program("benchmarks.as_installed"), "run", "--site", str(self.folder / "site"),
            "--socket", str(socket_), file=socket_,
        )  # fmt: skip

    async def start_baseline(self, name: str, ports: Sequence[int], estate: Estate, period: float, commit: str) -> None:
        """Start the bare poller; see `baseline_poller.py` for `commit`."""
        await self.stage.start(
            name, *program("benchmarks.baseline_poller"), "--ports", ",".join(map(str, ports)), "--db",
            str(self.folder / f"{name}.db"), "--broker", str(self.broker), "--registers", str(estate.registers),
            "--period", str(period), "--commit", commit, file=self.folder,
        )  # fmt: skip

    async def start_commits(self) -> None:
        """Start the bare commits that latencies are compared with."""
        database, out = self.folder / "commits.db", self.folder / "commits.jsonl"
        command = [*program("benchmarks.baseline_commits"), str(database), str(out)]
        await self.stage.start("commits", *command, file=out)

    # looking and telling

    async def tell(self, field: str, **command: Any) -> Any:
        """Give the devices under `field` one command; see `benchmarks.field`."""
        reader, writer = await asyncio.open_unix_connection(self._control(field), limit=1 << 20)
        writer.write(json.dumps(command).encode() + b"\n")
        line = await reader.readline()
        writer.close()
        return json.loads(line)

    def commits(self) -> list[float]:
        """Return how many ms each round of bare commits has taken."""
        lines = (self.folder / "commits.jsonl").read_text(encoding="utf-8").splitlines()
        return [float(line) for line in lines[:-1]]

    def journal(self) -> list[dict[str, Any]]:
        """Return what the simulated devices have written down."""
        lines = (self.folder / "simulated.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def pid(self, name: str) -> int:
        return self.stage._processes[name].pid

    def cpu(self, *names: str) -> dict[str, float]:
        """Return the CPU seconds used so far by each process."""
        return {name: machine.cpu_seconds(self.pid(name)) for name in names}

    def office(self, sql: str, *values: object) -> Any:
        """Return the first column of the first row that the office's store answers."""
        with closing(sqlite3.connect(f"file:{self.folder}/office.db?mode=ro", uri=True)) as store:
            return store.execute(sql, values).fetchone()[0]

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-1500:]

    async def until(self, condition: Callable[[], bool], within: float) -> float:
        """Wait until a condition holds; return the seconds it took."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > within:
                raise SystemExit(f"not reached within {within} s: {condition.__qualname__}")
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    def _control(self, name: str) -> Path:
        return self.folder / f"{name}.control"


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """Give a rig in a temporary folder; at the end everything it started has ended and the folder is gone."""
    with tempfile.TemporaryDirectory(prefix="sitekeeper-bench-") as folder:
        made = Rig(Path(folder))
        try:
            yield made
        finally:
            await made.stage.close()


def _listens(number: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", number)) == 0
