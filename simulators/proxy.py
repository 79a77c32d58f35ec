"""A byte proxy: stands on the way to a device, a broker or a server, over TCP or UDP, and spoils it when told.

What passes waits in bounded queues: TCP's readers stop reading when theirs is full, datagrams beyond the bound are lost
as a router would lose them. It knows nothing of any protocol; its faults are those of the place `way` in `faults`.
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from simulators.faults import Fault, FaultKind
from sitekeeper.model.clock import SECOND, Micros

CHUNK: Final = 4096
"""Bytes that are read at once."""
WAITING: Final = 64
"""Chunks of one direction, or datagrams of one client's, that wait at most."""
CLIENTS: Final = 64
"""Connections at most, more are reset; or clients that send datagrams, more take the place of the first."""
CONNECT_S: Final = 5.0
"""Seconds that the way to the target may take to open."""
CLOSE_S: Final = 1.0
"""Seconds that an end may take to close before it is reset."""
LOST: Final = frozenset({FaultKind.CUT, FaultKind.HANG, FaultKind.HALF_OPEN})
"""Faults under which a datagram is lost."""

Due = list[tuple[Micros, bytes]]


class Line:
    """What a fault does to what goes one way. Pure: content and a time in, contents and their times out.

    Args:
        ordered: as in a stream, nothing may overtake anything.
    """

    def __init__(self, seed: int | str = 0, *, ordered: bool) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a reproducible disturbance
        self._ordered = ordered
        self._last: Micros = 0
        self._count = 0

    def carry(self, content: bytes, now: Micros, fault: Fault | None) -> Due:
        """Return what comes out at the other end, and when."""
        kind = None if fault is None else fault.kind
        self._count += 1
        due, copies = now, 1
        if fault is not None:
            match kind:
                case FaultKind.DELAY:
                    due += fault.delay
                case FaultKind.JITTER:
                    due += self._random.randrange(fault.delay + 1)
                case FaultKind.THROTTLE:
                    due = max(due, self._last) + len(content) * SECOND // max(1, fault.count)
                case FaultKind.REORDER if self._count % 2:
                    due += fault.delay
                case FaultKind.REPEAT:
                    copies = 2
                case FaultKind.GARBLE:
                    content = self._garbled(content, fault.count)
                case _:
                    pass
        if self._ordered:
            due = max(due, self._last)
        if self._ordered or kind is FaultKind.THROTTLE:
            self._last = due
        return [(due, content)] * copies

    def _garbled(self, content: bytes, count: int) -> bytes:
        spoilt = bytearray(content)
        for place in self._random.sample(range(len(spoilt)), min(count, len(spoilt))):
            spoilt[place] ^= 1 << self._random.randrange(8)
        return bytes(spoilt)


class Proxy:
    """Passes everything on to `target`, which may be set until the first client comes.

    Args:
        port: 0 for a free one. seed: of what is left to chance.
    """

    def __init__(
        self,
        target: tuple[str, int] = ("127.0.0.1", 0),
        *,
        udp: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int | str = 0,
    ) -> None:
        self.target = target
        self.host, self.port = host, port
        self._udp, self._seed = udp, seed
        self.fault: Fault | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._door: _Door | None = None
        self._pairs: dict[asyncio.Task[None], _Pair] = {}

    async def start(self) -> int:
        """Listen, and return the port.

        Raises:
            OSError: the port is taken.
        """
        if self._udp:
            transport, self._door = await asyncio.get_running_loop().create_datagram_endpoint(
                partial(_Door, self, self._seed), local_addr=(self.host, self.port)
            )
            self.port = transport.get_extra_info("sockname")[1]
        else:
            self._server = await asyncio.start_server(self._client, self.host, self.port, reuse_address=True)
            self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._door is not None:
            self._door.close()
            self._door = None
            await asyncio.sleep(0)  # sockets close in the turn after
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._pairs:
            task.cancel()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    def switch(self, fault: Fault | None) -> None:
        """Switch a fault on, or with None off; one at a time."""
        self.fault = fault
        kind = None if fault is None else fault.kind
        for pair in list(self._pairs.values()):
            if kind is FaultKind.CUT:
                pair.cut()
            elif kind is FaultKind.HALF_OPEN:
                pair.halve()
        (self._open.clear if kind is FaultKind.HANG else self._open.set)()

    def spent(self) -> Fault | None:
        """Return the fault that hits what comes now; one that is for some `times` is used up by it."""
        fault = self.fault
        if fault is not None and fault.times is not None and fault.kind not in LOST:
            self.fault = None if fault.times <= 1 else replace(fault, times=fault.times - 1)
        return fault

    async def passing(self) -> None:
        """Wait until anything may pass."""
        await self._open.wait()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        pair = _Pair(self, reader, writer, f"{self._seed}/{len(self._pairs)}")
        if len(self._pairs) >= CLIENTS or (self.fault is not None and self.fault.kind is FaultKind.CUT):
            pair.cut()
            return
        self._pairs[task] = pair
        if self.fault is not None and self.fault.kind is FaultKind.HALF_OPEN:
            pair.halve()
        try:
            await pair.run()
        finally:
            del self._pairs[task]


class _Pair:
    """A client's connection and the one to the target."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seed: str) -> None:
        self._proxy, self._seed = proxy, seed
        self._near = (reader, writer)
        self._far: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._dead = asyncio.Event()

    def cut(self) -> None:
        """End both ends with RST."""
        for end in (self._near, self._far):
            if end is not None:
                reset(end[1])

    def halve(self) -> None:
        """Let the target believe that the client left, and the client nothing."""
        self._dead.set()
        if self._far is not None:
            self._far[1].close()

    async def run(self) -> None:
        """Pass bytes both ways until one end closes."""
        try:
            if not self._dead.is_set():
                async with asyncio.timeout(CONNECT_S):
                    self._far = await asyncio.open_connection(*self._proxy.target)
                await self._both_ways(*self._far)
            if self._dead.is_set():
                self.halve()  # again, for an end that has come up since
                await _swallow(self._near[0])
        except OSError:
            self.cut()  # as the target would have
        except asyncio.CancelledError:
            self.cut()  # `close` cancels; the stream machinery would report a handler that ends cancelled as an error
        finally:
            for end in (self._near, self._far):
                if end is not None:
                    end[1].close()
                    with contextlib.suppress(OSError, asyncio.CancelledError):
                        async with asyncio.timeout(CLOSE_S):
                            await end[1].wait_closed()
                    end[1].transport.abort()

    async def _both_ways(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dead = asyncio.create_task(self._halved(), name="proxy halved")
        tasks: list[asyncio.Task[None]] = []
        for name, source, sink in (("up", self._near[0], writer), ("down", reader, self._near[1])):
            queue: asyncio.Queue[tuple[Micros, bytes]] = asyncio.Queue(WAITING)
            line = Line(f"{self._seed}/{name}", ordered=True)
            tasks.append(asyncio.create_task(self._read(source, line, queue, name), name=f"proxy {name} in"))
            tasks.append(asyncio.create_task(self._write(queue, sink), name=f"proxy {name} out"))
        passing = asyncio.gather(*tasks)
        ends: set[asyncio.Future[Any]] = {dead, passing}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not dead.done():
                await passing
        finally:
            for task in (dead, *tasks):
                task.cancel()
            await asyncio.gather(dead, *tasks, passing, return_exceptions=True)

    async def _halved(self) -> None:
        await self._dead.wait()

    async def _read(
        self, reader: asyncio.StreamReader, line: Line, queue: asyncio.Queue[tuple[Micros, bytes]], way: str
    ) -> None:
        while content := await reader.read(CHUNK):
            fault = self._proxy.spent()
            hit = fault if fault is not None and fault.only in {"", way} else None
            for piece in line.carry(content, _now(), hit):
                await queue.put(piece)
        await queue.put((_now(), b""))

    async def _write(self, queue: asyncio.Queue[tuple[Micros, bytes]], writer: asyncio.StreamWriter) -> None:
        """Write each chunk at its time, and at the end of them say that there are no more."""
        while True:
            due, content = await queue.get()
            await asyncio.sleep(max(0, due - _now()) / SECOND)
            await self._proxy.passing()
            if not content:
                writer.write_eof()
                return
            writer.write(content)
            await writer.drain()


class _Door(asyncio.DatagramProtocol):
    """Where clients' datagrams arrive; each client has a socket of its own towards the target."""

    transport: asyncio.DatagramTransport

    def __init__(self, proxy: Proxy, seed: int | str) -> None:
        self.proxy, self._seed = proxy, seed
        self._clients: dict[tuple[str, int], _Client] = {}

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        client = self._clients.get(addr)
        if client is None:
            if len(self._clients) >= CLIENTS:  # the one that came first is the likeliest to have gone
                self._clients.pop(next(iter(self._clients))).close()
            client = self._clients[addr] = _Client(self, addr, f"{self._seed}/{len(self._clients)}")
        client.up(data)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self.transport.close()


class _Client:
    """One sender of datagrams, and its socket towards the target."""

    def __init__(self, door: _Door, address: tuple[str, int], seed: str) -> None:
        self._door, self._address = door, address
        self._lines = (Line(f"{seed}/up", ordered=False), Line(f"{seed}/down", ordered=False))
        self._waiting: set[asyncio.TimerHandle] = set()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((door.proxy.host, 0))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._answered)

    def up(self, content: bytes) -> None:
        self._carry(self._lines[0], content, self._to_target)

    def close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        for handle in self._waiting:
            handle.cancel()

    def _answered(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self._carry(self._lines[1], self._socket.recv(65_535), self._to_client)

    def _to_target(self, content: bytes) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):  # lost, as datagrams may be
            self._socket.sendto(content, self._door.proxy.target)

    def _to_client(self, content: bytes) -> None:
        self._door.transport.sendto(content, self._address)

    def _carry(self, line: Line, content: bytes, send: Callable[[bytes], None]) -> None:
        fault = self._door.proxy.spent()
        if fault is not None and fault.kind in LOST:
            return
        for due, piece in line.carry(content, _now(), fault):
            if due <= _now():
                send(piece)
            elif len(self._waiting) < WAITING:
                self._later(due, send, piece)

    def _later(self, due: Micros, send: Callable[[bytes], None], piece: bytes) -> None:
        def deliver() -> None:
            self._waiting.discard(handle)
            send(piece)

        handle = self._loop.call_later(max(0, due - _now()) / SECOND, deliver)
        self._waiting.add(handle)


async def _swallow(reader: asyncio.StreamReader) -> None:
    while await reader.read(CHUNK):
        pass


def _now() -> Micros:
    return int(asyncio.get_running_loop().time() * SECOND)


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with RST: lingering for zero seconds makes the close an abort."""
    sock: socket.socket = writer.get_extra_info("socket")
    if sock.fileno() >= 0:  # it may have ended by itself
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
