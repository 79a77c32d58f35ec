"""The daemon's local door for people: newline JSON on a Unix socket, the caller known by peer credentials.

The protocol itself is `sitekeeper.control`. What can be asked is a table of operations that `edge.operations` fills;
this module only carries lines, so that a caller who is slow, mute or malicious costs the daemon nothing.
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
from sitekeeper.model.command import ROLE_RANK, Actor, Role
from sitekeeper.model.errors import NotFound, Refused, SitekeeperError

log = structlog.get_logger()

MAX_CLIENTS = 32
"""Conversations at once; further callers are told `busy` and closed."""
REQUEST_TIMEOUT_S = 5.0
WRITE_TIMEOUT_S = 5.0

Reply = AsyncIterator[object]
Operation = Callable[[Actor, dict[str, Any]], Reply]
"""One thing that can be asked: who asks and with what arguments -> the items of the answer."""


class SocketApi:
    """Serves `operations` at `path` until closed.

    Args:
        roles: Unix group name -> role; root and the daemon's own user are engineers, everyone else is a viewer.
    """

    def __init__(self, path: Path, operations: Mapping[str, Operation], roles: Mapping[str, Role]) -> None:
        self._path = path
        self._operations = operations
        self._roles = roles
        self._clients = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen. A socket file that nobody serves any more is replaced.

        Raises:
            SitekeeperError: another daemon answers there.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.is_socket() and await _answers(self._path):
            raise SitekeeperError(f"{self._path}: another daemon answers there; stop it or use --socket")
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, path=self._path, limit=control.MAX_LINE)
        self._path.chmod(0o666)  # who may do what is decided by peer credentials, not by file mode

    async def close(self) -> None:
        """Stop listening and remove the socket file."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients > MAX_CLIENTS:
                await _send(writer, control.encode_end([control.Problem("busy", "too many callers at once")]))
                return
            await self._converse(reader, writer)
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            log.debug("caller went away")  # ValueError: a line over the limit; the caller gets a closed connection
        finally:
            self._clients -= 1
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        actor = self._actor(writer)
        line = await asyncio.wait_for(reader.readline(), REQUEST_TIMEOUT_S)
        try:
            request = control.parse_request(line)
            operation = self._operations.get(request.op)
            if operation is None:
                raise NotFound(f"operation {request.op!r}")
            watching = asyncio.ensure_future(reader.read(1))  # ends when the caller closes
            try:
                await _stream(operation(actor, request.args), writer, watching)
            finally:
                watching.cancel()
        except SitekeeperError as error:
            await _send(writer, control.encode_end([_problem(error)]))
            return
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:  # task boundary: one caller's question must not go unanswered
            log.exception("operation failed", op=line[:200])
            await _send(writer, control.encode_end([control.Problem("internal", f"{type(error).__name__}: {error}")]))
            return
        await _send(writer, control.encode_end())

    def _actor(self, writer: asyncio.StreamWriter) -> Actor:
        peer: socket.socket = writer.get_extra_info("socket")
        _, uid, gid = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        try:
            user = pwd.getpwuid(uid).pw_name
        except KeyError:
            return Actor(name=f"uid {uid}", role="viewer", origin="site")
        if uid in (0, os.getuid()):
            return Actor(name=user, role="engineer", origin="site")
        groups = {grp.getgrgid(g).gr_name for g in os.getgrouplist(user, gid)}
        held = [self._roles[name] for name in groups if name in self._roles]
        return Actor(name=user, role=max(held, key=ROLE_RANK.__getitem__, default="viewer"), origin="site")


async def _stream(items: Reply, writer: asyncio.StreamWriter, closed: "asyncio.Future[Any]") -> None:
    """Write items as they come; stop when the caller is gone."""
    iterator = aiter(items)
    while True:
        step: asyncio.Future[Any] = asyncio.ensure_future(_next(iterator))
        await asyncio.wait({step, closed}, return_when=asyncio.FIRST_COMPLETED)
        if not step.done():
            step.cancel()
            await asyncio.wait({step})
            return
        try:
            await _send(writer, control.encode_item(step.result()))
        except StopAsyncIteration:
            return


async def _next(iterator: Reply) -> object:
    return await anext(iterator)


async def _send(writer: asyncio.StreamWriter, line: bytes) -> None:
    writer.write(line)
    await asyncio.wait_for(writer.drain(), WRITE_TIMEOUT_S)


async def _answers(path: Path) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_unix_connection(path), 1.0)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _problem(error: SitekeeperError) -> control.Problem:
    if isinstance(error, Refused):
        return control.Problem(error.reason, error.detail or error.reason)
    code = {"NotFound": "not-found", "BadRequest": "usage"}.get(type(error).__name__, "failed")
    return control.Problem(code, str(error))
