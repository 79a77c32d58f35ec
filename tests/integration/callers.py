"""The local doors of gateway and office with operations for tests behind them, and ways to speak to them."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import edge.socket_api
import office.local_api
from edge.socket_api import SocketApi
from office.local_api import LocalApi
from sitekeeper import control
from sitekeeper.audience import SECURITY_FLAG
from sitekeeper.model.command import Actor, Role
from sitekeeper.model.errors import NotFound, Refused, StorageError

ROLES: dict[str, Role] = {"lift-lookers": "viewer", "lift-techs": "technician", "lift-ops": "operator"}
OPERATORS = "lift-ops"
Item = Mapping[str, Any]


class Table:
    """Operations for tests, and what became of those that never end."""

    def __init__(self) -> None:
        self.watching = 0
        self.made = 0

    def operations(self) -> dict[str, office.local_api.Operation]:
        return {
            "whoami": self.whoami,
            "echo": self.echo,
            "none": self.none,
            "watch": self.watch,
            "flood": self.flood,
            "slow": self.slow,
            "refused": self.refused,
            "missing": self.missing,
            "storage": self.storage,
            "broken": self.broken,
            "late": self.late,
        }

    async def whoami(self, actor: Actor, args: Item) -> AsyncIterator[Item]:
        yield {"name": actor.name, "role": actor.role, "origin": actor.origin}

    async def echo(self, actor: Actor, args: Item) -> AsyncIterator[Item]:
        yield {name: value for name, value in args.items() if name != SECURITY_FLAG}

    async def none(self, actor: Actor, args: Item) -> AsyncIterator[Item]:
        for item in ():
            yield item

    async def watch(self, actor: Actor, args: Item) -> AsyncIterator[Item]:
        self.watching += 1
        try:
            yield {"n": 0}
            await asyncio.Event().wait()
        finally:
            self.watching -= 1

    async def flood(self, actor: Actor, args: Item) -> AsyncIterator[Item]:
        self.watching += 1
        try:
            while True:
                self.made += 1
                yield {"n": self.made, "filler": "x" * 10_000}
        finally:
            self.watching -= 1

    async def slow(self, actor: Actor, args: Item) -> AsyncIterator[Item]:
        yield {"n": 1}
        await asyncio.sleep(0.2)
        yield {"n": 2}

    async def refused(self, actor: Actor, args: Item) -> AsyncIterator[Item]:
        reason = "not-permitted"
        raise Refused(reason, "viewer may not ack")
        yield {}

    async def missing(self, actor: Actor, args: Item) -> AsyncIterator[Item]:
        raise NotFound("no lift 'x'", near=("y",))
        yield {}

    async def storage(self, actor: Actor, args: Item) -> AsyncIterator[Item]:
        yield {"n": 1}
        raise StorageError("disk full")

    async def broken(self, actor: Actor, args: Item) -> AsyncIterator[Item]:
        yield {"n": 1 // len(())}

    async def late(self, actor: Actor, args: Item) -> AsyncIterator[Item]:
        raise TimeoutError("a part of ours was late")
        yield {}


@dataclass(frozen=True)
class Door:
    """One of the two, and what is its own: who it is, what its own user may do, and where it may be put instead."""

    name: str
    module: ModuleType
    make: Callable[[Path, Table], SocketApi | LocalApi]
    origin: str
    own_role: str
    remedy: str

    @contextlib.asynccontextmanager
    async def serving(self, path: Path, table: Table | None = None) -> AsyncIterator[SocketApi | LocalApi]:
        api = self.make(path, table or Table())
        await api.open()
        try:
            yield api
        finally:
            await api.close()


EDGE = Door(
    name="daemon",
    module=edge.socket_api,
    make=lambda path, table: SocketApi(path, table.operations(), ROLES),
    origin="site",
    own_role="engineer",
    remedy="--socket",
)
OFFICE = Door(
    name="office",
    module=office.local_api,
    make=lambda path, table: LocalApi(path, table.operations(), OPERATORS),
    origin="office",
    own_role="operator",
    remedy="socket.path",
)


async def said(path: Path, data: bytes, *, hang_up: bool = False) -> bytes:
    """Send bytes and return everything that comes until the daemon closes."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
        if hang_up:
            writer.write_eof()
        heard = b""
        with contextlib.suppress(ConnectionError):
            while piece := await asyncio.wait_for(reader.read(1 << 16), 20):
                heard += piece
        return heard
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def shouted(path: Path, data: bytes) -> bytes:
    """Do the same with a plain socket, which keeps what came before a broken pipe; asyncio would drop it."""
    with socket.socket(socket.AF_UNIX) as caller, contextlib.suppress(ConnectionError):
        caller.settimeout(20)
        caller.connect(str(path))
        with contextlib.suppress(ConnectionError):
            caller.sendall(data)
        heard = b""
        while piece := caller.recv(1 << 16):
            heard += piece
    return heard


async def asked(path: Path, op: str, **args: Any) -> list[Any]:
    """Ask as a well-behaved caller. Raises ControlError."""
    lines = (await said(path, control.encode_request(op, args))).splitlines(keepends=True)
    return list(control.read_reply(iter(lines)))


async def problem(path: Path, data: bytes) -> control.Problem:
    """Send bytes and return the one problem of the answer."""
    end = json.loads((await said(path, data)).splitlines()[-1])
    assert end["ok"] is False
    return control.Problem(**end["problems"][0])


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def until(condition: Callable[[], bool], within: float = 10) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)
