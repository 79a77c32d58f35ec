"""The virtual loop: fast, and never ahead of bytes on their way."""

import asyncio
import socket
import time

import pytest
from pymodbus.client import AsyncModbusTcpClient

from simulators.faults import Fault, FaultKind
from simulators.frame_server import FrameServer, Unit
from simulators.journal import Journal
from simulators.lift import Lift
from simulators.lift_settings import LiftSettings
from simulators.modbus_face import SpLiftFace
from sitekeeper.model.clock import HOUR, SECOND
from tests import virtual


async def one_lift(clock: virtual.VirtualClock) -> FrameServer:
    face = SpLiftFace(Lift(LiftSettings(traffic=20 * SECOND), seed=1))
    units = {1: Unit(device="lift-a1", face=face)}
    server = FrameServer(units, clock=clock, story=clock.monotonic, journal=Journal(lambda _line: None))
    await server.start()
    return server


async def poll(polls: int) -> tuple[int, set[int]]:
    """Poll once a second with a 1 s time-out; return the bad answers and the delays in virtual time."""
    loop, clock = virtual.virtual_loop(), virtual.VirtualClock()
    server = await one_lift(clock)
    client = AsyncModbusTcpClient("127.0.0.1", port=server.port, timeout=1, retries=0, reconnect_delay=0)
    assert await client.connect()
    bad, delays = 0, set()
    for number in range(1, polls + 1):
        asked = loop.now
        answer = await client.read_input_registers(0, count=32, device_id=1)
        bad += answer.isError() or answer.registers[22] != number & 0xFFFF
        delays.add(loop.now - asked)
        await asyncio.sleep((number * SECOND - loop.now) / SECOND)
    client.close()
    await server.close()
    return bad, delays


def test_an_hour_in_seconds() -> None:
    """An hour of 1 s polls by pymodbus runs over 200 times faster than real, every answer in zero virtual time."""
    began = time.perf_counter()
    bad, delays = virtual.run(poll(3600))
    took = time.perf_counter() - began
    assert (bad, delays) == (0, {0})
    assert 3600 / took > 200, f"only {3600 / took:.0f} times real time"


@pytest.mark.slow
def test_ten_thousand_polls() -> None:
    """In 10,000 polls not one time-out fires while its answer is on its way."""
    assert virtual.run(poll(10_000)) == (0, {0})


def test_time_outs_fire_on_their_virtual_second() -> None:
    """A silent device costs exactly the time-out, and the next answer none."""

    async def main() -> list[int]:
        loop, clock = virtual.virtual_loop(), virtual.VirtualClock()
        server = await one_lift(clock)
        server.fault(1, Fault(kind=FaultKind.SILENCE, times=1))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        ends = []
        for _ in range(2):
            writer.write(bytes.fromhex("0001 0000 0006 01 04 0000 0020"))
            try:
                async with asyncio.timeout(3):
                    assert len(await reader.readexactly(73)) == 73
            except TimeoutError:
                pass
            ends.append(loop.now)
        writer.close()
        await writer.wait_closed()
        await server.close()
        return ends

    assert virtual.run(main()) == [3 * SECOND, 3 * SECOND]


def test_large_transfer_takes_no_virtual_time() -> None:
    """Megabytes through a socket pair of one process arrive before the next timer, though the kernel's buffers fill."""

    async def main() -> int:
        loop = virtual.virtual_loop()

        async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"x" * 20_000_000)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        timer = loop.call_later(0.001, lambda: None)
        assert len(await reader.read(-1)) == 20_000_000
        assert loop.now < timer.when() * SECOND
        writer.close()
        await writer.wait_closed()
        server.close()
        return loop.now

    assert virtual.run(main()) == 0


def test_in_flight_count_reads_the_kernel_right() -> None:
    """What one end sent and the other received agree with the bytes a test wrote, also while they wait to be sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        with ours, theirs:
            ours.send(b"x" * 1000)
            assert virtual._tcp_counts(ours.fileno())[2:] == (1000, 0)  # type: ignore[index]
            assert virtual._tcp_counts(theirs.fileno())[2:] == (0, 1000)  # type: ignore[index]
            ours.setblocking(False)
            total = 1000
            try:
                while True:
                    total += ours.send(b"y" * 65536)
            except BlockingIOError:
                pass
            out, come = virtual._tcp_counts(ours.fileno())[2], virtual._tcp_counts(theirs.fileno())[3]  # type: ignore[index]
            assert out == total
            assert come < out
        assert virtual._tcp_counts(server.fileno()) is None


def test_order_of_timers_and_clock() -> None:
    """Timers fire at their virtual times; the wall runs along, and may be stepped without moving the monotonic time."""

    async def main() -> None:
        clock = virtual.VirtualClock()
        await asyncio.sleep(90)
        assert (clock.monotonic(), clock.wall()) == (90 * SECOND, virtual.START + 90 * SECOND)
        clock.step_wall(-HOUR)
        clock.set_trusted(False)
        assert (clock.monotonic(), clock.wall()) == (90 * SECOND, virtual.START + 90 * SECOND - HOUR)
        assert not clock.trusted()
        seen: list[int] = []
        assert await virtual.until(lambda: virtual.virtual_loop().now >= 95 * SECOND, within=10 * SECOND) == 95 * SECOND
        with pytest.raises(AssertionError, match="not within"):
            await virtual.until(lambda: bool(seen), within=SECOND)

    virtual.run(main())


def test_work_for_threads_runs_at_once() -> None:
    """`to_thread` gives its result, or its error, in zero virtual time and without a thread."""

    async def main() -> None:
        assert await asyncio.to_thread(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        assert virtual.virtual_loop().now == 0

    virtual.run(main())


def test_deadlock_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that waits for nothing that could happen fails and names what waits, instead of hanging."""
    monkeypatch.setattr(virtual, "PATIENCE", 0.05)

    async def waits_for_nothing() -> None:
        await asyncio.Event().wait()

    with pytest.raises(virtual.Deadlock, match="waits_for_nothing"):
        virtual.run(waits_for_nothing())


def test_virtual_time_is_limited() -> None:
    """A test that waits for ever beside a periodic timer fails when the virtual time allowed is over."""

    async def main() -> None:
        while True:
            await asyncio.sleep(60)

    with pytest.raises(virtual.Deadlock, match="passed"):
        virtual.run(main(), limit=2 * HOUR)


def test_livelock_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that spins without letting time pass is stopped."""
    monkeypatch.setattr(virtual, "LIVELOCK", 1000)

    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(virtual.Deadlock, match="without time moving"):
        virtual.run(main())
