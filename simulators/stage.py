"""Processes of a demonstration or a test: started, waited for, frozen, killed, and all gone at the end."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

READY_WITHIN_S: Final = 40.0
STOP_WITHIN_S: Final = 30.0
"""How long a process may take to end after SIGTERM; then it is killed. A machine may be busy with much else."""


class StageError(Exception):
    """A process did not come up; carries the end of what it said."""


class Stage:
    """Owns processes by name. What each says goes to `<folder>/<name>.log`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    async def start(
        self, name: str, *command: str, ready: str = "", file: Path | None = None, port: int | None = None
    ) -> None:
        """Start `command` and wait until its log holds `ready`, `file` exists, or somebody listens on `port`.

        Raises:
            StageError: it ended, or was not ready in time.
        """
        log = self.folder / f"{name}.log"
        since = log.stat().st_size if log.exists() else 0
        with log.open("ab") as out:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        self._processes[name] = process
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_WITHIN_S):
                while process.returncode is None:
                    if _is_ready(log, since, ready, file) or (port is not None and _listens(port)):
                        return
                    await asyncio.sleep(0.02)
        raise StageError(f"{name} did not get ready: {log.read_text(errors='replace')[-800:].strip()}")

    def alive(self, name: str) -> bool:
        """Tell whether the process still runs."""
        process = self._processes.get(name)
        return process is not None and process.returncode is None

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP freezes, SIGCONT goes on."""
        self._processes[name].send_signal(number)

    async def kill(self, name: str) -> None:
        """End it as a power cut would: SIGKILL, no last words."""
        process = self._processes.pop(name)
        process.kill()
        await process.wait()

    async def stop(self, name: str) -> int:
        """Ask it to end and wait; kill it if it does not. Return its exit code."""
        process = self._processes.pop(name)
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_WITHIN_S)
            except TimeoutError:
                process.kill()
        return await process.wait()

    async def close(self) -> None:
        """End everything that still runs, all at once: who waits for another would wait in vain."""
        async with asyncio.TaskGroup() as tasks:
            for name in list(self._processes):
                tasks.create_task(self.stop(name), name=f"stopping {name}")


def _is_ready(log: Path, since: int, ready: str, file: Path | None) -> bool:
    return bool(ready and ready.encode() in log.read_bytes()[since:]) or (file is not None and file.exists())


def _listens(port: int) -> bool:
    """Tell whether somebody takes connections on this port of 127.0.0.1; binding it instead could be in the way."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
    except OSError:
        return False
    return True


async def ask(*command: str) -> tuple[int, str, str]:
    """Run a command to its end; return its exit code and what it said on both streams."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 30.0)
    return process.returncode or 0, out.decode(), err.decode()


def program(module: str) -> list[str]:
    """Return the command that runs a module of ours with this Python."""
    return [sys.executable, "-m", module]


def sk(*args: str) -> list[str]:
    """Return an `sk` command of this installation."""
    return [str(Path(sys.executable).with_name("sk")), *args]


def free_port() -> int:
    """Return a port that was free a moment ago, below those that the kernel gives to clients.

    A client that tries again and again to reach a port of the kernel's own range while nobody listens there may be
    given that very port, be connected to itself, and keep the server from coming back.
    """
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311 - nobody must not guess it
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Tell whether nobody listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    """Write a file of the stage, readable as `mode` says, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
    return path


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """Return `text` with each key replaced once. Raises ValueError if one does not stand there exactly once."""
    for old, new in changes.items():
        if text.count(old) != 1:
            msg = f"{old!r} stands {text.count(old)} times, not once"
            raise ValueError(msg)
        text = text.replace(old, new)
    return text
