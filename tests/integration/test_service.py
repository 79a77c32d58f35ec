"""What the two daemons tell systemd, heard on a real datagram socket; and when they fall silent."""

import asyncio
import os
import shutil
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest

from cloud_sync.ingest import Lane
from cloud_sync.memory import MemoryBroker
from cloud_sync.session import Connect
from edge import service as edge_service
from edge.app import App, Wiring, running
from edge.outbox import writer
from edge.settings import load
from office import service as office_service
from office.app import Office
from office.settings import OfficeSettings
from sitekeeper.data import data_path
from sitekeeper.model.clock import SECOND, Clock, ManualClock, SystemClock
from sitekeeper.model.errors import StorageError

Twin = type[edge_service.Service] | type[office_service.Service]
EVERY = 100_000
"""Half of the watchdog of these tests, in microseconds."""


class Manager:
    """A service manager: a socket, the environment that names it, and what it was told."""

    def __init__(self, address: str, name: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)
        self.environment: Mapping[str, str] = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": str(2 * EVERY)}

    def heard(self) -> list[str]:
        """Return the lines told since the last call, in order."""
        lines: list[str] = []
        while True:
            try:
                lines += self.socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                return lines


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    path = str(tmp_path / "notify")
    found = Manager(path, path) if request.param == "file" else Manager(f"\0{path}", f"@{path}")
    with found.socket:
        yield found


@pytest.fixture(params=[edge_service.Service, office_service.Service], ids=["edge", "office"])
def twin(request: pytest.FixtureRequest) -> Twin:
    found: Twin = request.param
    return found


def gateway(folder: Path, manager: Manager, clock: Clock) -> App:
    shutil.copy(data_path("sites", "one-lift", "site.yaml"), folder / "site.yaml")
    return App(load(folder), clock, Wiring(service=edge_service.Service(manager.environment)))


def office(folder: Path, manager: Manager) -> Office:
    settings = OfficeSettings.model_validate(
        {
            "store": {"path": str(folder / "office.db")},
            "broker": {"host": "unused"},
            "socket": {"path": str(folder / "office.sock")},
        }
    )
    broker = MemoryBroker()
    connect: dict[Lane, Connect] = {
        "urgent": broker.connector("office-urgent"),
        "bulk": broker.connector("office-bulk"),
    }
    return Office(settings, connect=connect, channels={}, service=office_service.Service(manager.environment))


async def told(manager: Manager, condition: Callable[[list[str]], bool]) -> list[str]:
    """Wait for lines that fulfil the condition."""
    lines: list[str] = []
    async with asyncio.timeout(10):
        while not condition(lines):
            await asyncio.sleep(0.02)
            lines += manager.heard()
    return lines


def test_assignments_arrive_in_one_datagram(twin: Twin, manager: Manager) -> None:
    """Sockets with a path and abstract ones are spoken to; half of the watchdog's time is the interval."""
    ear = twin(manager.environment)
    ear.tell("READY=1", "STATUS=fine")
    assert manager.socket.recv(4096) == b"READY=1\nSTATUS=fine"
    assert (ear.every, ear.due) == (EVERY, 0)
    ear.feed(7, "two\nlines", alive=True)
    ear.feed(8, "unwell", alive=False)
    assert manager.heard() == ["WATCHDOG=1", "STATUS=two lines", "STATUS=unwell"]
    assert ear.due == 8 + EVERY


def test_without_a_manager_nothing_is_said_or_due(twin: Twin, tmp_path: Path) -> None:
    """No `NOTIFY_SOCKET`: mute. A manager that is gone does not stop the daemon."""
    mute = twin({})
    mute.tell("READY=1")
    assert mute.due > SystemClock().monotonic() + 10**6 * SECOND
    twin({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell("READY=1")


async def test_a_gateway_is_ready_lives_and_stops(manager: Manager, tmp_path: Path) -> None:
    """READY only after `open`; signs of life though no device answers; STOPPING last."""
    app = gateway(tmp_path, manager, SystemClock())
    await app.open()
    assert manager.heard() == []
    await app.close()
    async with running(app):
        lines = await told(manager, lambda lines: lines.count("WATCHDOG=1") >= 3)
    lines += manager.heard()
    assert lines[0] == "READY=1"
    assert lines[-1] == "STOPPING=1"
    assert f"STATUS=devices: {len(app.site.devices)}" in lines


async def test_an_idle_gateway_lives_by_ticks_alone(manager: Manager, tmp_path: Path) -> None:
    """Without a single poll the ticker sends the pipeline through in time, again and again."""
    app = gateway(tmp_path, manager, SystemClock())
    await app.open()
    app.pollers.clear()
    task = asyncio.create_task(app.run())
    await told(manager, lambda lines: lines.count("WATCHDOG=1") >= 4)
    await app.drain()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await app.close()


async def test_a_stuck_pipeline_stops_feeding(
    manager: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop, the ticker and the pollers go on, but no flow comes to its end: the watchdog goes hungry."""
    app = gateway(tmp_path, manager, SystemClock())
    async with running(app):
        await told(manager, lambda lines: "WATCHDOG=1" in lines)
        monkeypatch.setattr(app.pipeline, "_flow", lambda samples, now: None)
        manager.heard()
        await asyncio.sleep(4 * EVERY / SECOND)
        assert manager.heard() == []


async def test_a_loop_that_only_turns_feeds_nothing(manager: Manager, tmp_path: Path) -> None:
    """Time alone is no sign of life: each one is a flow, and one is due only once in the interval."""
    clock = ManualClock()
    app = gateway(tmp_path, manager, clock)
    await app.open()
    app.pipeline.tick()
    assert manager.heard().count("WATCHDOG=1") == 1
    app.pipeline.tick()
    clock.advance(10 * EVERY)
    await asyncio.sleep(0.05)
    assert manager.heard() == []
    app.pipeline.tick()
    assert manager.heard().count("WATCHDOG=1") == 1
    await app.close()


@pytest.mark.parametrize("dead", [False, True])
async def test_a_full_disk_is_shown_and_a_dead_writer_is_not_fed(
    manager: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dead: bool
) -> None:
    """A restart mends a writer that died; it does not mend a disk, so that one is only told of."""
    app = gateway(tmp_path, manager, SystemClock())
    await app.open()
    monkeypatch.setattr(app.outbox._writer, "problem", StorageError("disk full"))
    monkeypatch.setattr(app.outbox._writer, "_dead", dead)
    app.pipeline.tick()
    monkeypatch.undo()
    assert manager.heard() == ([] if dead else ["WATCHDOG=1"]) + ["STATUS=outbox: disk full"]
    await app.close()


async def test_a_writer_that_dies_is_known_to_be_dead(
    manager: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes out of the writer's thread marks the outbox dead."""

    def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    app = gateway(tmp_path, manager, SystemClock())
    await app.open()
    monkeypatch.setattr(writer.Writer, "_commit", fail)
    with pytest.raises(StorageError):
        app.outbox.flush()
    assert app.outbox.dead
    with pytest.raises(StorageError):
        await app.close()


async def test_an_office_is_ready_lives_and_stops(manager: Manager, tmp_path: Path) -> None:
    """READY after `open`, signs of life though nothing comes in, STOPPING at the end."""
    app = office(tmp_path, manager)
    await app.open()
    assert manager.heard() == []
    task = asyncio.create_task(app.run())
    lines = await told(manager, lambda lines: "WATCHDOG=1" in lines)
    assert lines[0] == "READY=1"
    app.service.due = 0
    app.ingest.last_turn -= 3 * EVERY
    app.feed()
    (status,) = manager.heard()
    assert status.startswith("STATUS="), "committing hangs: no food"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await app.close()
    assert manager.heard()[-1] == "STOPPING=1"


async def test_a_commit_that_hangs_stops_the_turns_of_the_ingest(
    manager: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`last_turn` moves while there is nothing to do, and stands while a commit does not return."""
    app = office(tmp_path, manager)
    await app.open()
    task = asyncio.create_task(app.run())
    before = app.ingest.last_turn
    async with asyncio.timeout(10):
        while app.ingest.last_turn == before:
            await asyncio.sleep(0.02)
    never: Future[None] = Future()
    monkeypatch.setattr(app.ingest, "_should_wait", _no)
    monkeypatch.setattr(app.ingest, "_machine", SimpleNamespace(batch=lambda _: SimpleNamespace(transaction=None)))
    monkeypatch.setattr(app.ingest._store, "commit", lambda _: never)
    await asyncio.sleep(0.3)
    stands = app.ingest.last_turn
    await asyncio.sleep(0.3)
    assert app.ingest.last_turn == stands
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await app.close()


async def test_the_command_wires_it_up(manager: Manager, tmp_path: Path) -> None:
    """`sk run`, started as systemd starts it: ready, alive, and after SIGTERM stopping."""
    shutil.copy(data_path("sites", "one-lift", "site.yaml"), tmp_path / "site.yaml")
    sk = Path(sys.executable).with_name("sk")
    arguments = ("run", "--site", str(tmp_path), "--socket", str(tmp_path / "control.sock"))
    process = await asyncio.create_subprocess_exec(
        sk, *arguments, env={**os.environ, **manager.environment}, stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        lines = await told(manager, lambda lines: "WATCHDOG=1" in lines)
        assert lines[0] == "READY=1"
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    assert manager.heard()[-1] == "STOPPING=1"


async def _no() -> bool:
    return False
