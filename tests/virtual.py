"""An event loop whose time is virtual: when nothing is ready it jumps to the next timer. Loopback sockets work in it.

A jump must never overtake bytes on their way between two sockets of this process. So before each jump the loop
compares, for every pair of connected sockets it watches, what one end has sent with what the other has received (Linux,
TCP_INFO), and gives the kernel a moment for what has no such count: handshakes, ends of streams, datagrams. Work for
threads runs at once on the loop's own thread. Sockets to other processes and threads of one's own have no place here.
"""

import asyncio
import math
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from sitekeeper.model.clock import HOUR, SECOND, Micros

T = TypeVar("T")

START: Final[Micros] = 1_780_272_000 * SECOND
"""Wall time at virtual time 0: 2026-06-01 00:00 UTC."""
GRACE: Final = 20e-6
"""Real seconds given to the kernel before each jump."""
PATIENCE: Final = 2.0
"""Real seconds that bytes in flight, or a loop without a single timer, may take before the test fails."""
LIVELOCK: Final = 200_000
"""Turns of the loop without time moving, after which something is spinning."""


class Deadlock(AssertionError):
    """Nothing can happen any more, or time stands still, or the virtual time allowed is over."""


class _Selector(selectors.SelectSelector):
    """Polls real sockets and asks the loop to jump where a real one would sleep. Unlike epoll it knows microseconds."""

    def __init__(self, jump: Callable[[float | None], None]) -> None:
        super().__init__()
        self._jump = jump
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turns += 1
        if self._turns > LIVELOCK:
            self._turns = 0  # the tasks still have to be cancelled
            raise Deadlock(f"{LIVELOCK} turns of the loop without time moving")
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        ready = self._settle(timeout)
        if not ready:
            self._turns = 0
            self._jump(timeout)
        return ready

    def _settle(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait, in real time, until nothing is in flight and nothing arrives."""
        until = time.perf_counter() + PATIENCE
        while True:
            os.sched_yield()
            ready = super().select(GRACE)
            if ready or (timeout is not None and not self._in_flight()):
                return ready
            if time.perf_counter() > until:
                if timeout is None:
                    return []
                raise Deadlock(f"bytes in flight for {PATIENCE} s")

    def _in_flight(self) -> bool:
        sent: dict[tuple[Any, Any], int] = {}
        received: dict[tuple[Any, Any], int] = {}
        for key in self.get_map().values():
            counts = _tcp_counts(key.fd)
            if counts is not None:
                here, there, out, come = counts
                sent[here, there], received[there, here] = out, come
        return any(received.get(way, count) < count for way, count in sent.items())


def _tcp_counts(fd: int) -> tuple[Any, Any, int, int] | None:
    """Return (own address, peer, bytes handed to the kernel, bytes received) of a connected TCP socket, else None."""
    sock = socket.socket(fileno=fd)
    try:
        if sock.type != socket.SOCK_STREAM or sock.family not in {socket.AF_INET, socket.AF_INET6}:
            return None
        here, there = sock.getsockname(), sock.getpeername()
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    except OSError:  # listening, or not connected yet
        return None
    finally:
        sock.detach()
    # linux/tcp.h: bytes_received at 128; notsent_bytes u32 at 144; bytes_sent at 200, bytes_retrans at 208
    (come,) = struct.unpack_from("=Q", info, 128)
    (waiting,) = struct.unpack_from("=I", info, 144)
    out, again = struct.unpack_from("=QQ", info, 200)
    return here, there, out - again + waiting, come


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop. `now` is virtual time in microseconds from 0; past `limit` it raises `Deadlock`."""

    def __init__(self, *, limit: Micros = 48 * HOUR) -> None:
        self.now: Micros = 0
        self.jumps = 0
        self._limit = limit
        super().__init__(_Selector(self._jump))
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self.now / SECOND

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Do the work now, on this thread: another one would take real time, in which virtual time could run away."""
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits the future
            future.set_exception(error)
        return future

    def _jump(self, timeout: float | None) -> None:
        if timeout is None:
            waiting = "; ".join(sorted(str(task.get_coro()) for task in asyncio.all_tasks(self)))
            raise Deadlock(f"no timer, and nothing arrived for {PATIENCE} real seconds; waiting: {waiting}")
        self.now += max(1, math.ceil(timeout * SECOND - 1e-3))
        self.jumps += 1
        if self.now > self._limit:
            raise Deadlock(f"virtual time passed {self._limit / SECOND} s")


class VirtualClock:
    """The house's clock on a virtual loop: both times run with the loop, and the wall may be stepped."""

    def __init__(self, loop: VirtualLoop | None = None, *, start: Micros = START) -> None:
        self._loop = loop or virtual_loop()
        self._offset = start
        self._trusted = True

    def wall(self) -> Micros:
        return self._loop.now + self._offset

    def monotonic(self) -> Micros:
        return self._loop.now

    def trusted(self) -> bool:
        return self._trusted

    def step_wall(self, by: Micros) -> None:
        """Step the wall time alone, as an operator or a time server does."""
        self._offset += by

    def set_trusted(self, trusted: bool) -> None:
        """Say whether the wall time is to be believed from now on."""
        self._trusted = trusted


def virtual_loop() -> VirtualLoop:
    """Return the running loop, which must be a virtual one."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop), "not inside virtual.run"
    return loop


def run(main: Coroutine[Any, Any, T], *, limit: Micros = 48 * HOUR) -> T:
    """Run `main` to its end in virtual time and return what it returns.

    Raises:
        Deadlock: it can never end, or not within `limit` of virtual time.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(limit=limit)) as runner:
        return runner.run(main)


async def until(condition: Callable[[], bool], *, within: Micros, every: Micros = SECOND // 20) -> Micros:
    """Wait until `condition` holds and return the virtual time at which it was seen to.

    Raises:
        AssertionError: it did not within that virtual time.
    """
    loop = virtual_loop()
    last = loop.now + within
    while not condition():
        assert loop.now < last, f"not within {within / SECOND} s of virtual time"
        await asyncio.sleep(every / SECOND)
    return loop.now
