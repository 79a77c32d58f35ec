"""A whole estate in processes of its own: lifts, mosquitto, a tap, a telephone, the gateway and the office.

Everything lies in one folder, on loopback, on ports that were free. Each part may be killed and brought back, and every
such thing is noted in `done.jsonl` for the oracle. At the end nothing is left running: what was started here is ended
here, by its process id, and nothing else is.
"""

import asyncio
import json
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
import pytest
import yaml

from simulators.stage import Stage, free_port, program, sk, write
from tests import oracle

SITE: Final = "estate"
SECRET: Final = "a-secret-that-lives-as-long-as-a-test"
READY_S: Final = 60.0
PARTS: Final = ("gateway", "office", "broker")
PROFILES: Final = {"sp-lift-1": "sp-lift-1", "lmon": "lift-lmon"}
STUCK_FOR_S: Final = 8
"""After this time of known standstill with a person inside L01 is due in these runs; 30 s would be half a run."""
CONFIG: Final = Path(__file__).parent.parent / "config"

# The limits are small enough to be reached in an outage of some minutes, and large enough for one of seconds. What the
# broker drops or forgets, the site sends again: it has no receipt.
MOSQUITTO: Final = """
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_interval 1
max_queued_messages 200
max_queued_bytes 4000000
max_inflight_messages 20
user root
log_dest stderr
"""


def lift(number: int, *story: Mapping[str, Any], face: str = "sp-lift-1", **built: Any) -> dict[str, Any]:
    """Return a device of a scenario: a lift, as which map it shows itself, how it is built, what happens to it."""
    return {"id": f"lift-{number}", "unit": number, "face": face, "lift": built, "story": list(story)}


class EstateRun:
    """One run; use it as an asynchronous context. `devices` stand on one link, read every `scan`."""

    def __init__(self, folder: Path, devices: list[dict[str, Any]], *, scan: str = "250ms", seed: int = 1) -> None:
        self.folder = folder
        self.outbox = folder / "outbox.db"
        self.reserve = "1MB"
        self._devices, self._scan, self._seed = devices, scan, seed
        self._broker, self._phone = free_port(), free_port()
        self._stage = Stage(folder)
        mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if mosquitto is None:
            pytest.skip("mosquitto is not installed")
        self._mosquitto = mosquitto
        self._ends = ("gateway", "office", "tap", "phone", "broker")
        self._start: dict[str, tuple[list[str], Callable[[], bool]]] = {
            "broker": ([mosquitto, "-c", str(folder / "mosquitto.conf")], lambda: listens(self._broker)),
            "office": (sk("office", "run", "--config", self._path("office.yaml")), lambda: self._answers("office")),
            "gateway": (
                sk("run", "--site", self._path("site"), "--socket", self._path("gateway.sock")),
                lambda: self._answers("gateway"),
            ),
        }

    async def __aenter__(self) -> Self:
        try:
            await self._set_up()
        except BaseException:
            await self._tear_down()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tear_down()

    # what may be done to it

    async def start(self, part: str) -> None:
        """Start a part and wait until it answers."""
        command, ready = self._start[part]
        await self._stage.start(part, *command, file=self.folder)  # the folder is there: ready is looked at below
        await self.until(ready, READY_S, f"{part} does not answer")
        assert self._stage.alive(part), f"{part} ended: {self.said(part)}"

    async def kill(self, part: str) -> None:
        """End a part by SIGKILL, and note it."""
        assert self._stage.alive(part), f"{part} had ended by itself: {self.said(part)}"
        await self._stage.kill(part)
        self._did(f"kill {part}")

    async def bring_back(self, part: str) -> None:
        """Start a killed part again, and note it."""
        await self.start(part)
        self._did(f"back {part}")

    async def set_phone(self, mode: str) -> None:
        """Have the telephone behave as one of `simulators.phone.Mode` says."""
        async with httpx.AsyncClient() as client:
            answer = await client.put(f"http://127.0.0.1:{self._phone}/mode", content=mode)
        assert answer.status_code == 204

    async def drain(self, within: float = 90.0) -> None:
        """Stop the devices, wait until all that was recorded has its receipt and its push, and stop the rest."""
        await self._silence()
        await asyncio.sleep(2.5)  # the last samples are sealed after a second
        await self.until(self._drained, within, "something still waits")
        for part in self._ends:
            code = await self._stage.stop(part)
            assert code == 0, f"{part} ended with {code}: {self.said(part)}"

    def judge(self) -> oracle.Account:
        """Return the oracle's account of the run."""
        files = {name: self.folder / f"{name}.jsonl" for name in ("phone", "tap", "done")}
        needed = {**oracle.NEEDED, "L01": STUCK_FOR_S * oracle.SECOND}
        return oracle.judge(SITE, self.folder / "office.db", self.folder / "lifts.jsonl", **files, needed=needed)

    # what may be looked at

    def said(self, part: str) -> str:
        """Return the end of what a part has said."""
        return (self.folder / f"{part}.log").read_text(errors="replace")[-1500:]

    def pushes(self) -> list[dict[str, Any]]:
        """Return what the telephone has heard so far, accepted (status 200) or not."""
        return oracle.lines(self.folder / "phone.jsonl")

    def alarms(self, rule: str) -> list[tuple[str, str]]:
        """Return cause and state of every move of a rule's alarms at the office, in order."""
        sql = "SELECT cause, target FROM transitions WHERE rule = ? ORDER BY id"
        with closing(sqlite3.connect(f"file:{self.folder}/office.db?mode=ro", uri=True)) as office:
            return office.execute(sql, (rule,)).fetchall()

    def unsent(self, stream: str) -> int:
        """Return how many blocks of a stream are durable on the site and have no receipt."""
        with closing(sqlite3.connect(f"file:{self.outbox}?mode=ro", uri=True)) as outbox:
            sql = "SELECT COUNT(*) FROM blocks WHERE stream = ? AND NOT released"
            return int(outbox.execute(sql, (stream,)).fetchone()[0])

    async def until(self, condition: Callable[[], bool], within: float, what: str) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + within
        while not condition():
            assert time.monotonic() < end, f"{what} after {within} s"
            await asyncio.sleep(0.05)

    async def _tear_down(self) -> None:
        """End everything that still runs."""
        await self._stage.close()

    async def _silence(self) -> None:
        """Stop the devices."""
        await self._stage.stop("lifts")

    # setting up

    async def _set_up(self) -> None:
        tower = [{"id": "tower", "devices": self._devices}]
        _, ports = await asyncio.gather(self._start_office_side(), self._start_devices(tower))
        self._write_site(ports["tower"])
        self._write_office()
        await self.start("office")
        await self.start("gateway")

    async def _start_office_side(self) -> None:
        """Start the broker between site and office, who listens on it, and the telephone."""
        write(self.folder / "mosquitto.conf", MOSQUITTO.format(port=self._broker, folder=self.folder))
        secret = write(self.folder / "secret", SECRET, 0o600)
        await self.start("broker")
        tap, journal = self._path("tap.jsonl"), self._path("phone.jsonl")
        await asyncio.gather(
            self._stage.start("tap", *program("simulators.tap"), "--port", str(self._broker), "--journal", tap,
                              file=Path(tap)),
            self._stage.start("phone", *program("simulators.phone"), "--port", str(self._phone), "--journal", journal,
                              "--secret-file", str(secret), ready="ready"),
        )  # fmt: skip

    async def _start_devices(self, links: list[dict[str, Any]]) -> dict[str, int]:
        """Start simulated devices in a process of their own; return the ports by link."""
        write(self.folder / "scenario.yaml", yaml.safe_dump({"title": "estate", "seed": self._seed, "links": links}))
        ports = self.folder / "ports.json"
        await self._stage.start("lifts", *sk("sim", self._path("scenario.yaml"), "--free-ports", "--journal",
                                self._path("lifts.jsonl"), "--ports-file", str(ports)), file=ports)  # fmt: skip
        found: dict[str, int] = json.loads(ports.read_text())
        return found

    def _write_site(self, lifts: int) -> None:
        site = {
            "site": {"id": SITE, "timezone": "Asia/Hong_Kong"},
            "links": {"tower": {"driver": "modbus-tcp", "host": "127.0.0.1", "port": lifts, "timeout": "3s"}},
            "devices": [self._device(device) for device in self._devices],
            "rules": {"packs": ["lift"]},
            "outbox": {"path": str(self.outbox), "reserve": self.reserve},
            "office": {"broker": f"mqtt://127.0.0.1:{self._broker}"},
        }
        write(self.folder / "site" / "site.yaml", yaml.safe_dump(site))

    def _device(self, device: dict[str, Any]) -> dict[str, Any]:
        profile = PROFILES[device["face"]]
        known = yaml.safe_load((CONFIG / "profiles" / f"{profile}.yaml").read_text(encoding="utf-8"))
        points = {name: {"scan": self._scan} for name, point in known["points"].items() if "derive" not in point}
        rules = {"L01": {"stuck_for": f"{STUCK_FOR_S}s"}}
        own = {"id": device["id"], "unit": device["unit"], "profile": profile, "link": "tower"}
        return {**own, "points": points, "rules": rules}

    def _write_office(self) -> None:
        desk = {
            "id": "desk",
            "kind": "webhook",
            "url": f"http://127.0.0.1:{self._phone}/",
            "secret": SECRET,
            "timeout": "5s",
        }
        office = {
            "store": {"path": self._path("office.db")},
            "broker": {"host": "127.0.0.1", "port": self._broker},
            "socket": {"path": self._path("office.sock")},
            "channels": [desk],
            "retry": {"first": "500ms", "most": "2s"},
        }
        write(self.folder / "office.yaml", yaml.safe_dump(office))

    # small things

    def _path(self, name: str) -> str:
        return str(self.folder / name)

    def _did(self, what: str) -> None:
        with (self.folder / "done.jsonl").open("a", encoding="utf-8") as done:
            done.write(json.dumps({"t": time.time_ns() // 1_000, "did": what}) + "\n")

    def _answers(self, part: str) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(self._path(f"{part}.sock"))
            except OSError:
                return not self._stage.alive(part)  # an ended one need not be waited for
            return True

    def _drained(self) -> bool:
        """Look whether every block was released, every loss told, each annunciation decided, and each push finished."""
        waits = {
            self.outbox: """SELECT (SELECT COUNT(*) FROM blocks WHERE NOT released)
                            + (SELECT COUNT(*) FROM salvaged WHERE NOT released)
                            + (SELECT COUNT(*) FROM dropped WHERE NOT told) + (SELECT COUNT(*) FROM dropped_groups)""",
            self.folder / "office.db": """SELECT (SELECT COUNT(*) FROM transitions WHERE decision IS NULL)
                            + (SELECT COUNT(*) FROM pushes WHERE state IN ('planned', 'sending'))""",
        }
        left = 0
        for path, sql in waits.items():
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
                left += file.execute(sql).fetchone()[0]
        return left == 0


def listens(number: int) -> bool:
    """Tell whether somebody takes connections on this port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", number), timeout=0.5).close()
    except OSError:
        return False
    return True
