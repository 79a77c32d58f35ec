"""An estate whose gateway, or office, lives in a network namespace, so that its line can be cut, slowed and emptied.

The broker and the tap stay in the main namespace. Beside the lifts, whose truth the oracle knows, there may be devices
whose every register changes with every reading: they fill the line, and the alarms of the lifts have to get past them.
What they recorded is judged by comparing the gateway's outbox with the office, block by block and sample by sample.
"""

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.rig import profile
from simulators.stage import program, sk, write
from sitekeeper.block import STREAMS, decode
from sitekeeper.model.clock import SECOND
from tests import oracle
from tests.estate_run import MOSQUITTO, SITE, STUCK_FOR_S, EstateRun
from tests.fixtures.network import Room, Rooms

PROVED_NOTHING: Final = "proved nothing: nothing was at risk"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A block at the office: what it is, when its records were made and when it was committed, and how many it has."""

    stream: str
    sequence: int
    made: int
    committed: int
    records: int


class NetRun(EstateRun):
    """One run; use it as an asynchronous context.

    Args:
        bulk: so many devices beside the lifts, each with `points` of which all change with each reading, every second.
        more: further settings of the site's `office` section.
        broker_port: where the site and the office find the broker, if something stands between; by default itself.
    """

    def __init__(
        self,
        folder: Path,
        devices: list[dict[str, Any]],
        rooms: Rooms | None,
        *,
        scan: str = "250ms",
        bulk: int = 0,
        points: int = 100,
        more: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(folder, devices, scan=scan)
        self._rooms, self._bulk, self._points, self._more = rooms, bulk, points, more or {}
        self._ends = ("gateway", "office", "tap", "broker")
        self.began = 0
        self.modbus = 0
        self.site_broker = self.office_broker = ("127.0.0.1", self._broker)
        if rooms is not None:
            for part, name in (("gateway", "site"), ("office", "desk")):
                command, ready = self._start[part]
                self._start[part] = (rooms[name].command(*command), ready)
            self.site_broker = (rooms["site"].host, self._broker)
            self.office_broker = (rooms["desk"].host, self._broker)

    @property
    def broker(self) -> int:
        """The broker's own port."""
        return self._broker

    @property
    def site(self) -> Room:
        """The namespace of the gateway and its devices."""
        assert self._rooms is not None
        return self._rooms["site"]

    @property
    def desk(self) -> Room:
        """The namespace of the office."""
        assert self._rooms is not None
        return self._rooms["desk"]

    # what may be looked at

    async def status(self) -> dict[str, Any]:
        """Return what `sk sync status` says."""
        from edge.cli.client import one

        found: dict[str, Any] = one(Path(self._path("gateway.sock")), "sync.status", {})
        return found

    def arrivals(self, stream: str) -> list[Arrival]:
        """Return what the office has of a stream, in the order of its commits."""
        sql = """SELECT stream, sequence, t0, committed, records FROM blocks
                 WHERE site = ? AND stream = ? ORDER BY committed, sequence"""
        with closing(sqlite3.connect(f"file:{self.folder}/office.db?mode=ro", uri=True)) as office:
            return [Arrival(*row) for row in office.execute(sql, (SITE, stream))]

    def gateway_memory(self) -> float:
        """Return the gateway's resident memory in MiB."""
        pid = self._stage._processes["gateway"].pid
        for each in (pid, *_children(pid)):
            text = Path(f"/proc/{each}/status").read_text(encoding="utf-8")
            kilobytes = next((int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS")), 0)
            if kilobytes > 20_000:  # `nsenter` becomes the command, so this is the first
                return kilobytes / 1024
        return 0.0

    def cut(self) -> None:
        """Note that the way between site and office is gone."""
        self._did("cut way")

    def healed(self) -> int:
        """Note that it is back; return the wall time."""
        self._did("back way")
        return time.time_ns() // 1_000

    def judge(self) -> oracle.Account:
        """Return the oracle's account of the lifts, with that of every block that the gateway made durable."""
        files = {name: self.folder / f"{name}.jsonl" for name in ("tap", "done")}
        needed = {**oracle.NEEDED, "L01": STUCK_FOR_S * oracle.SECOND}
        account = oracle.judge(SITE, self.folder / "office.db", self.folder / "lifts.jsonl", **files, needed=needed)
        account.wrong += self._conservation(account)
        return account

    def _conservation(self, account: oracle.Account) -> list[str]:
        """Compare every block of the outbox with the office: each there once, with the same bytes and samples."""
        wrong, samples = [], 0
        with (
            closing(sqlite3.connect(f"file:{self.outbox}?mode=ro", uri=True)) as site,
            closing(sqlite3.connect(f"file:{self.folder}/office.db?mode=ro", uri=True)) as office,
        ):
            for stream in STREAMS:
                made = dict(site.execute(f"SELECT sequence, payload FROM blocks_{stream}"))
                have = office.execute(
                    "SELECT sequence, digest FROM blocks WHERE site = ? AND stream = ?", (SITE, stream)
                ).fetchall()
                if len(have) != len(made) or {n for n, _ in have} != set(made):
                    wrong.append(f"{stream}: {len(made)} blocks made durable, {len(have)} at the office")
                digests = dict(have)
                changed = [n for n, payload in made.items() if n in digests and _digest(payload) != digests[n]]
                if changed:
                    wrong.append(f"{stream}: blocks with other bytes at the office: {changed[:5]}")
                samples += sum(len(decode(payload).samples) for payload in made.values())
            stored = office.execute(
                "SELECT count(*) FROM samples s JOIN blocks b ON b.id = s.block WHERE b.site = ?", (SITE,)
            ).fetchone()[0]
        account.figures |= {"samples_durable": samples, "samples_at_office": stored}
        if stored != samples:
            wrong.append(f"{samples} samples made durable, {stored} at the office")
        return wrong

    # setting up

    async def _set_up(self) -> None:
        self.began = time.time_ns() // 1_000
        await super()._set_up()

    async def _start_office_side(self) -> None:
        text = MOSQUITTO.format(port=self._broker, folder=self.folder).replace(
            f"{self._broker} 127.0.0.1", f"{self._broker} 0.0.0.0"
        )
        write(self.folder / "mosquitto.conf", text)
        await self.start("broker")
        tap = self._path("tap.jsonl")
        await self._stage.start("tap", *program("simulators.tap"), "--port", str(self._broker), "--journal", tap,
                                file=Path(tap))  # fmt: skip

    async def _start_devices(self, links: list[dict[str, Any]]) -> dict[str, int]:
        write(self.folder / "scenario.yaml", yaml.safe_dump({"title": "estate", "seed": self._seed, "links": links}))
        ports, control = self.folder / "ports.json", self.folder / "bulk.sock"
        command = sk("sim", self._path("scenario.yaml"), "--free-ports", "--ports-file", str(ports))
        journal = ("--journal", self._path("lifts.jsonl"))
        await self._stage.start("lifts", *self._inside([*command, *journal]), file=ports)
        found: dict[str, int] = json.loads(ports.read_text())
        self.modbus = found["tower"]
        if self._bulk:
            moving = ",".join(map(str, range(16, self._points)))
            await self._stage.start(
                "bulk", *self._inside(program("benchmarks.field")), "--devices", str(self._bulk), "--links", "1",
                "--registers", str(self._points), "--moving", moving, "--control", str(control), file=control,
            )  # fmt: skip
            found["bulk"] = _ports(control)[0]
        return found

    def _write_site(self, lifts: int) -> None:
        super()._write_site(lifts)
        path = self.folder / "site" / "site.yaml"
        site = yaml.safe_load(path.read_text(encoding="utf-8"))
        site["office"] = {"broker": f"mqtt://{self.site_broker[0]}:{self.site_broker[1]}", **self._more}
        site["links"]["tower"]["timeout"] = "1s"
        if self._bulk:
            port = _ports(self.folder / "bulk.sock")[0]
            site["links"]["bulk"] = {"driver": "modbus-tcp", "host": "127.0.0.1", "port": port, "timeout": "3s"}
            for unit in range(1, self._bulk + 1):
                site["devices"].append({"id": f"bulk-{unit}", "unit": unit, "profile": "bench-lift", "link": "bulk"})
            write(self.folder / "site" / "profiles" / "bench-lift.yaml", profile(self._points, "1s"))
        write(path, yaml.safe_dump(site))

    def _write_office(self) -> None:
        office = {
            "store": {"path": self._path("office.db")},
            "broker": {"host": self.office_broker[0], "port": self.office_broker[1]},
            "socket": {"path": self._path("office.sock")},
            "routes": {},
        }
        write(self.folder / "office.yaml", yaml.safe_dump(office))

    async def _silence(self) -> None:
        if self._bulk:
            await self._stage.stop("bulk")
        await super()._silence()

    def _inside(self, command: list[str]) -> list[str]:
        return command if self._rooms is None else self._rooms["site"].command(*command)


def latencies(alarms: list[Arrival], since: int, until: int) -> list[float]:
    """Return, sorted, the seconds from an alarm to its commit, of those that were made between two wall times."""
    return sorted((a.committed - a.made) / SECOND for a in alarms if since <= a.made <= until)


def at_most(part: float, values: list[float]) -> float:
    """Return the value that `part` of the sorted values do not exceed."""
    return values[min(len(values) - 1, int(len(values) * part))]


def _ports(control: Path) -> list[int]:
    import socket

    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(control))
        line.sendall(b'{"ports": 1}\n')
        found: list[int] = json.loads(line.makefile().readline())
    return found


def _children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _digest(payload: bytes) -> str:
    from cloud_sync.wire import digest

    return digest(payload)


Look = Callable[[], bool]
