"""The office's local door: newline JSON on a Unix socket (`sitekeeper.control`), the caller known by peer credentials.

What can be asked is a table of operations; this module only carries lines, so that a caller who is slow, mute or
malicious costs the office nothing. It behaves as the door of a gateway, `edge.socket_api`, and the same tests hold both
to it; neither room may import the other, and `sitekeeper` holds no sockets.
"""

import asyncio
import contextlib
import grp
import os
import pwd
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import structlog

from sitekeeper import control
from sitekeeper.audience import SECURITY_FLAG, SECURITY_GROUP
from sitekeeper.model.command import Actor, Role
from sitekeeper.model.errors import Refused, SitekeeperError

log = structlog.get_logger()

MAX_CALLERS = 32
"""Conversations at once; further callers are told `busy` and closed."""
REQUEST_TIMEOUT_S = 5.0
WRITE_TIMEOUT_S = 5.0

Reply = AsyncIterator[object]
Operation = Callable[[Actor, Mapping[str, Any]], Reply]
"""One thing that can be asked: who asks and with what arguments -> the items of the answer."""


class _GoneError(Exception):
    """The caller is not there any more, or behaves as if."""


class LocalApi:
    """Serves `operations` at `path` between `open` and `close`.

    Args:
        operators: Unix group whose members may acknowledge, as may root and the office's own user; everyone else looks.
    """

    def __init__(self, path: Path, operations: Mapping[str, Operation], operators: str) -> None:
        self._path = path
        self._operations = operations
        self._operators = operators
        self._callers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen. A socket file that nobody serves any more is replaced; any other file there is left alone.

        Raises:
            Refused: `already-running`, another office answers there; `bad-socket`, the place cannot be used.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.is_socket() and await _answers(self._path):
                reason = "already-running"
                raise Refused(reason, f"{self._path}: another office answers there; stop it or set another socket.path")
            self._server = await asyncio.start_unix_server(self._accept, path=self._path, limit=control.MAX_LINE)
        except OSError as error:
            reason, why = "bad-socket", error.strerror or str(error)
            raise Refused(reason, f"{self._path}: cannot listen there ({why}); set another socket.path") from None
        self._path.chmod(0o666)  # who may do what is decided by peer credentials, not by file mode

    async def close(self) -> None:
        """Stop listening, end the conversations and remove the socket file."""
        if self._server is None:
            return
        self._server.close()
        self._path.unlink(missing_ok=True)
        for task in self._callers:
            task.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer), name="office-caller")
        self._callers.add(task)
        task.add_done_callback(self._callers.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if len(self._callers) > MAX_CALLERS:
                await _send(writer, control.encode_end([control.Problem("busy", "too many callers at once")]))
            else:
                await self._converse(reader, writer)
            writer.close()
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await writer.wait_closed()
        except (_GoneError, OSError, TimeoutError) as error:
            log.debug("caller went away", why=str(error))
        finally:
            writer.transport.abort()  # what a caller does not take must not hold the connection open

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        op = ""
        try:
            request = await _request(reader)
            op = request.op
            operation = control.operation_of(op, self._operations)
            uid, gid = _peer(writer)
            args = {name: value for name, value in request.args.items() if not name.startswith("~")}
            args[SECURITY_FLAG] = sees_security(uid, gid)
            await _stream(operation(actor_of(uid, gid, self._operators), args), reader, writer)
        except _GoneError:
            raise
        except SitekeeperError as error:
            await _send(writer, control.encode_end([control.problem_of(error)]))
        except Exception as error:  # task boundary: one caller's question must not go unanswered
            log.exception("operation failed", op=op)
            await _send(writer, control.encode_end([control.problem_of(error)]))
        else:
            await _send(writer, control.encode_end())


def _peer(writer: asyncio.StreamWriter) -> tuple[int, int]:
    """Return user and group of the caller, as the kernel knows them."""
    peer: socket.socket = writer.get_extra_info("socket")
    _, uid, gid = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return uid, gid


def actor_of(uid: int, gid: int, operators: str) -> Actor:
    """Return who a Unix user is to the office: an operator (its own user, root, the group's members) or a viewer."""
    user, groups = _known(uid, gid)
    role: Role = "operator" if uid in (0, os.getuid()) else control.role_of(groups, {operators: "operator"})
    return Actor(name=user, role=role, origin="office")


def sees_security(uid: int, gid: int) -> bool:
    """Tell whether a Unix user is told of duress: root, and who is in the group; the office's own user is not."""
    return uid == 0 or SECURITY_GROUP in _known(uid, gid)[1]


def _known(uid: int, gid: int) -> tuple[str, set[str]]:
    """Return the name of a Unix user and of his groups."""
    try:
        user = pwd.getpwuid(uid).pw_name
        return user, _names(os.getgrouplist(user, gid))
    except KeyError:  # a user without a name, as containers have them
        return f"uid {uid}", _names([gid])


def _names(groups: Iterable[int]) -> set[str]:
    found = set()
    for number in groups:
        with contextlib.suppress(KeyError):  # a group without a name grants nothing
            found.add(grp.getgrgid(number).gr_name)
    return found


async def _request(reader: asyncio.StreamReader) -> control.Request:
    """Return what the caller asks.

    Raises:
        BadRequest: it is no request, or a longer one than is allowed.
        _GoneError: none came in time.
    """
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            line = await reader.readline()
    except (OSError, TimeoutError) as error:
        raise _GoneError(str(error) or "no request in time") from None
    except ValueError:  # what a stream reader raises for a line over its limit
        raise control.BadRequest(f"a request of more than {control.MAX_LINE} bytes") from None
    if not line:
        raise _GoneError("closed without a word")
    return control.parse_request(line)


async def _stream(items: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Write items as they come.

    Raises:
        _GoneError: the caller closed, or does not take what was asked for.
    """
    closed: asyncio.Future[Any] = asyncio.ensure_future(reader.read(1))  # nothing more is to be said: only the end
    step: asyncio.Future[Any] = closed
    try:
        while True:
            step = asyncio.ensure_future(_next(items))
            await asyncio.wait({step, closed}, return_when=asyncio.FIRST_COMPLETED)
            if not step.done():
                raise _GoneError("closed while the answer was being made")
            try:
                item = step.result()
            except StopAsyncIteration:
                return
            await _send(writer, control.encode_item(item))
    finally:
        step.cancel()
        closed.cancel()
        await asyncio.gather(step, closed, return_exceptions=True)
        if isinstance(items, AsyncGenerator):
            await items.aclose()


async def _next(items: Reply) -> object:
    return await anext(items)


async def _send(writer: asyncio.StreamWriter, line: bytes) -> None:
    writer.write(line)
    try:
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await writer.drain()
    except (OSError, TimeoutError) as error:
        raise _GoneError(str(error) or "does not read") from None


async def _answers(path: Path) -> bool:
    """Tell whether somebody serves the socket; one who is too busy to take a call does. Raises OSError: not ours."""
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    writer.close()
    return True
