"""Asking a running daemon, and the machine it runs on, for what the checks judge."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge.cli.client import ask, one
from edge.clock_trust import synchronised
from edge.doctor.finding import Facts
from sitekeeper.control import ControlError, Problem

USUAL_OUTBOX: Final = "/var/lib/sitekeeper/outbox.db"
REFUSED, STALE, SILENT = "bad refused", "bad stale", "bad comm"
"""Qualities in words: the device does not have the address; values that do not move; no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """What a daemon said of itself.

    Attributes:
        devices: as listed. shown: by id, in full, those that are silent or have points that are not good;
            `frozen` beside what the daemon said tells whether a silent one answers all the same.
        refused: by device, the points that it refuses.
    """

    status: Facts
    sync: Facts
    devices: Sequence[Facts]
    shown: Mapping[str, Facts]
    refused: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Everything that could be learnt. `free` in bytes; None: nobody could tell."""

    daemon: Daemon | None
    problem: Problem | None = field(default=None)
    clock_trusted: bool
    outbox: str
    free: int | None


def gather(socket: Path, outbox: str = USUAL_OUTBOX) -> Known:
    """Ask the daemon at `socket`; without one, look at what can be seen from outside, the disk beside `outbox`."""
    try:
        daemon, problem = _ask(socket), None
    except ControlError as error:
        daemon, problem = None, next(iter(error.problems), Problem("failed", str(error)))
    path = outbox if daemon is None else daemon.status["outbox"]["path"]
    trusted = synchronised() if daemon is None else daemon.status["clock_trusted"]
    return Known(daemon=daemon, problem=problem, clock_trusted=trusted, outbox=path, free=_free(Path(path)))


def _ask(socket: Path) -> Daemon:
    devices = list(ask(socket, "device.list"))
    doubtful = [d for d in devices if d["state"] == "silent" or (d["state"] == "answers" and d["good"] < d["points"])]
    shown, refused = dict[str, Facts](), dict[str, Sequence[str]]()
    for listed in doubtful:
        device, points = listed["id"], list(ask(socket, "point.list", {"device": listed["id"]}))
        shown[device] = one(socket, "device.show", {"id": device}) | {"frozen": _frozen(points)}
        if listed["state"] == "answers":
            refused[device] = [point["id"].partition("/")[2] for point in points if point["quality"] == REFUSED]
    return Daemon(
        status=one(socket, "status"), sync=one(socket, "sync.status"), devices=devices, shown=shown, refused=refused
    )


def _frozen(points: Sequence[Facts]) -> bool:
    """Tell whether a device is held for silent only because its heartbeat stands still."""
    said = {point["quality"] for point in points}
    return STALE in said and SILENT not in said


def _free(path: Path) -> int | None:
    folder = next((parent for parent in path.absolute().parents if parent.exists()), Path("/"))
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
