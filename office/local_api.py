"""The office's local door: newline JSON on a Unix socket (`sitekeeper.control`), the caller known by peer credentials.

Root, the office's own user and members of the operators' group may acknowledge; everyone else may only look. What can
be asked is a table of operations; this module only carries lines, bounded in number, size and time.
"""

import asyncio
import grp
import os
import pwd
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from sitekeeper import control
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import NotFound, Refused, SitekeeperError

MAX_CALLERS = 32
"""Conversations at once; further callers are told `busy`."""
LINE_TIMEOUT_S = 5.0
"""For the caller's request to arrive, and for each line of the answer to be taken."""

Operation = Callable[[Actor, Mapping[str, Any]], AsyncIterator[object]]
"""(who asks, arguments) -> the items of the answer."""

_logger = structlog.get_logger()


class LocalApi:
    """Serves `operations` at `path` between `open` and `close`."""

    def __init__(self, path: Path, operations: Mapping[str, Operation], operators: str) -> None:
        self._path = path
        self._operations = operations
        self._operators = operators
        self._callers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen; a socket file that nobody serves any more is replaced.

        Raises:
            Refused: `already-running`, another office answers there.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.is_socket() and await _answers(self._path):
            reason = "already-running"
            raise Refused(reason, f"another office answers at {self._path}")
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._accept, path=self._path, limit=control.MAX_LINE)
        self._path.chmod(0o666)  # peer credentials decide who may do what, not the file's mode

    async def close(self) -> None:
        """Stop listening, end the conversations and remove the socket file."""
        if self._server is None:
            return
        self._server.close()
        for task in self._callers:
            task.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer), name="office-caller")
        self._callers.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Task boundary: a caller's question that breaks must not end the office, and must not pass unseen."""
        self._callers.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("a caller's question failed", exc_info=error)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if len(self._callers) > MAX_CALLERS:
                await _send(writer, control.encode_end([control.Problem("busy", "too many callers at once")]))
                return
            async with asyncio.timeout(LINE_TIMEOUT_S):
                line = await reader.readline()
            await self._answer(line, writer)
        except (OSError, TimeoutError, ValueError) as error:  # ValueError: a line over the limit
            _logger.debug("caller went away", why=str(error))
        finally:
            writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            request = control.parse_request(line)
            operation = self._operations.get(request.op)
            if operation is None:
                raise NotFound(f"operation {request.op!r} of the office")
            async for item in operation(self._actor(writer), request.args):
                await _send(writer, control.encode_item(item))
        except SitekeeperError as error:
            await _send(writer, control.encode_end([_problem(error)]))
        else:
            await _send(writer, control.encode_end())

    def _actor(self, writer: asyncio.StreamWriter) -> Actor:
        peer: socket.socket = writer.get_extra_info("socket")
        _, uid, gid = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        try:
            user = pwd.getpwuid(uid).pw_name
        except KeyError:
            return Actor(name=f"uid {uid}", role="viewer", origin="office")
        trusted = uid in {0, os.getuid()} or self._operators in _groups(user, gid)
        return Actor(name=user, role="operator" if trusted else "viewer", origin="office")


def _groups(user: str, gid: int) -> set[str]:
    found = set()
    for number in os.getgrouplist(user, gid):
        try:
            found.add(grp.getgrgid(number).gr_name)
        except KeyError:
            continue  # a group without a name grants nothing
    return found


async def _send(writer: asyncio.StreamWriter, line: bytes) -> None:
    writer.write(line)
    async with asyncio.timeout(LINE_TIMEOUT_S):
        await writer.drain()


async def _answers(path: Path) -> bool:
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_unix_connection(path)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _problem(error: SitekeeperError) -> control.Problem:
    match error:
        case Refused():
            return control.Problem(error.reason, error.detail or error.reason)
        case NotFound():
            return control.Problem("not-found", str(error))
        case control.BadRequest():
            return control.Problem("usage", str(error))
    return control.Problem("failed", str(error))
