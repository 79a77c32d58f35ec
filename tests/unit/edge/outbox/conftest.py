"""Blocks, outboxes and disks that fail on request."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge.outbox import Outbox, schema
from edge.recorder import SealedBlock
from sitekeeper.block import Stream
from sitekeeper.model.clock import ManualClock, Micros

NOW = ManualClock().wall()


def sealed(stream: Stream, sequence: int, payload: bytes = b"", *, t: Micros = NOW) -> SealedBlock:
    payload = payload or f"{stream} {sequence}".encode()
    return SealedBlock(stream=stream, sequence=sequence, payload=payload, count=1, t0=t, t1=t)


@dataclass
class Disk:
    """What the next commits of the writing connection do: `lost` rolls back, `landed` commits; both then report EIO.

    `full` rolls back and reports that there is no room.
    """

    faults: list[str] = field(default_factory=list)
    refuse_open: int = 0


class FaultyConnection:
    """The writing connection with a disk underneath that lies or breaks at COMMIT."""

    def __init__(self, real: sqlite3.Connection, disk: Disk) -> None:
        self._real = real
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, statement: str, *arguments: Any) -> Any:
        if statement != "COMMIT":
            return self._real.execute(statement, *arguments)
        fault = self._disk.faults.pop(0) if self._disk.faults else ""
        self._real.execute("ROLLBACK" if fault in {"lost", "full"} else "COMMIT")
        if fault:
            error = sqlite3.OperationalError("database or disk is full" if fault == "full" else "disk I/O error")
            error.sqlite_errorcode = 13 if fault == "full" else 10  # type: ignore[misc]
            raise error
        return None


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    plan = Disk()
    connect = schema.connect_writer

    def faulty(path: Path, *, create: bool = True) -> Any:
        if not create and plan.refuse_open:
            plan.refuse_open -= 1
            raise schema.StorageError("unable to open database file")
        return FaultyConnection(connect(path, create=create), plan)

    monkeypatch.setattr(schema, "connect_writer", faulty)
    return plan


@pytest.fixture
def open_outbox(path: Path, clock: ManualClock) -> Iterator[Callable[..., Outbox]]:
    """Open outboxes at `path` that are closed at the end, whatever state they are in."""
    opened: list[Outbox] = []

    def open_(**options: Any) -> Outbox:
        options = {"site": "harbour", "clock": clock, "inline": True} | options
        opened.append(Outbox.open(path, **options))
        return opened[-1]

    yield open_
    for outbox in opened:
        try:
            outbox.close()
        except schema.StorageError:
            continue


def kill(outbox: Outbox) -> None:
    """Let go of the file as a kill does: nothing is written, nothing is marked."""
    outbox._closed = True
    outbox._reader.close()
    outbox._store._connection.close()
    os.close(outbox._lock)
