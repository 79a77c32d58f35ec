"""The byte proxy over real sockets: before an echo, before simulated Modbus and BACnet devices, and in a scenario."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import rusty_bacnet as rusty
from pymodbus.client import AsyncModbusTcpClient

from simulators import proxy as proxies
from simulators.estate import Estate
from simulators.faults import Fault, FaultKind
from simulators.journal import Journal
from simulators.proxy import CHUNK, WAITING, Proxy
from simulators.scenario import Scenario
from sitekeeper.model.clock import MS, SystemClock
from tests import virtual
from tests.fixtures.bacnet_peers import OBJECTS, PROPERTIES


class Echo:
    """A TCP server that sends back what it gets, and remembers it."""

    def __init__(self) -> None:
        self.got = b""
        self.ends = 0
        self.live = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.live += 1
        with contextlib.suppress(ConnectionError):
            while content := await reader.read(CHUNK):
                self.got += content
                writer.write(content)
                await writer.drain()
        self.live -= 1
        self.ends += 1
        writer.close()


class Way:
    """An echo behind a proxy, and one client."""

    def __init__(self, proxy: Proxy, echo: Echo, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.proxy, self.echo, self.reader, self.writer = proxy, echo, reader, writer

    def switch(self, kind: FaultKind, **given: int) -> None:
        self.proxy.switch(Fault(kind=kind, **given))  # type: ignore[arg-type]

    async def ask(self, content: bytes, count: int | None = None) -> bytes:
        self.writer.write(content)
        return await self.get(len(content) if count is None else count)

    async def get(self, count: int) -> bytes:
        async with asyncio.timeout(2):
            return await self.reader.readexactly(count)

    async def quiet(self, seconds: float = 0.05) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return not await self.reader.read(1)
        return not self.reader.at_eof()


@asynccontextmanager
async def way() -> AsyncIterator[Way]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    proxy = Proxy(("127.0.0.1", server.sockets[0].getsockname()[1]))
    reader, writer = await asyncio.open_connection("127.0.0.1", await proxy.start())
    try:
        yield Way(proxy, echo, reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await proxy.close()
        server.close()
        while echo.live:
            await asyncio.sleep(0.001)


async def test_everything_passes_both_ways() -> None:
    """A megabyte comes back as it went, and the end of the client reaches the server."""
    content = bytes(range(256)) * 4096
    async with way() as there:
        back, _ = await asyncio.gather(there.get(len(content)), send(there.writer, content))
        assert back == content
        there.writer.write_eof()
        async with asyncio.timeout(1):
            assert await there.reader.read() == b""
        assert there.echo.ends == 1


async def send(writer: asyncio.StreamWriter, content: bytes) -> None:
    writer.write(content)
    await writer.drain()


async def test_cut() -> None:
    """Cut, connections are reset on both sides, new ones too; afterwards a new one lives."""
    async with way() as there:
        await there.ask(b"one")
        there.switch(FaultKind.CUT)
        with pytest.raises(ConnectionResetError):
            await there.get(1)
        reader, writer = await asyncio.open_connection("127.0.0.1", there.proxy.port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read(1) == b""
        writer.close()
        there.proxy.switch(None)
        reader, writer = await asyncio.open_connection("127.0.0.1", there.proxy.port)
        writer.write(b"two")
        async with asyncio.timeout(1):
            assert await reader.readexactly(3) == b"two"
        writer.close()
        await writer.wait_closed()


async def test_hang_holds_and_goes_on() -> None:
    """While it hangs nothing gets through and no connection ends; then all of it comes, in order, without a loss."""
    async with way() as there:
        await there.ask(b"one")
        there.switch(FaultKind.HANG)
        there.writer.write(b"two")
        assert await there.quiet()
        assert there.echo.got == b"one"
        there.writer.write(b"three")
        there.proxy.switch(None)
        assert await there.get(8) == b"twothree"


async def test_what_waits_is_bounded() -> None:
    """A sender that nobody reads is held up: the proxy takes its bounded queue and no more."""
    async with way() as there:
        there.switch(FaultKind.HANG)
        sock: socket.socket = there.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sending = asyncio.create_task(send(there.writer, bytes(64 << 20)))
        await asyncio.sleep(0.3)
        left = there.writer.transport.get_write_buffer_size()
        assert left > (64 << 20) - (WAITING + 2) * CHUNK - (16 << 20)  # the kernel's own buffers hold the rest
        assert not sending.done()
        sending.cancel()
        there.writer.transport.abort()
        there.proxy.switch(None)
        await asyncio.gather(sending, return_exceptions=True)


async def test_half_open() -> None:
    """Half open, the server sees the client leave; the client, old or new, sees nothing at all, also afterwards."""
    async with way() as there:
        await there.ask(b"one")
        there.switch(FaultKind.HALF_OPEN)
        there.writer.write(b"two")
        assert await there.quiet()
        assert (there.echo.got, there.echo.ends) == (b"one", 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", there.proxy.port)
        new = Way(there.proxy, there.echo, reader, writer)
        writer.write(b"three")
        assert await new.quiet()
        there.proxy.switch(None)
        assert await new.quiet()
        assert there.echo.got == b"one"
        writer.close()
        await writer.wait_closed()


async def test_delay_throttle_repeat_and_garble() -> None:
    """Each disturbs what passes as its name says, in both directions, and for as many contents as told."""
    loop = asyncio.get_running_loop()
    async with way() as there:
        there.switch(FaultKind.DELAY, delay=30 * MS)
        began = loop.time()
        await there.ask(b"x")
        assert 0.06 <= loop.time() - began < 1
        there.switch(FaultKind.THROTTLE, count=1000)
        began = loop.time()
        await there.ask(bytes(50))
        assert 0.1 <= loop.time() - began < 1
        there.switch(FaultKind.REPEAT)
        assert await there.ask(b"ab", 8) == b"abababab"
        there.switch(FaultKind.GARBLE, count=1, times=1)
        back = await there.ask(b"\0\0\0\0")
        assert sum(byte.bit_count() for byte in back) == 1
        assert await there.ask(b"\0\0\0\0") == bytes(4)


async def test_nobody_behind() -> None:
    """A client of a proxy whose target does not listen is reset."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    proxy = Proxy(("127.0.0.1", port))
    reader, writer = await asyncio.open_connection("127.0.0.1", await proxy.start())
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(1):
            assert await reader.read(1) == b""
    writer.close()
    await proxy.close()


async def test_closing_ends_everything(no_leaked_tasks: None) -> None:
    """Closed in the middle of a delayed stream, nothing of the proxy is left."""
    async with way() as there:
        there.switch(FaultKind.DELAY, delay=10_000 * MS)
        there.writer.write(b"x")
        await asyncio.sleep(0.02)
        await there.proxy.close()
        with contextlib.suppress(ConnectionResetError):
            assert await there.reader.read(1) == b""


async def test_too_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection more than the bound is reset, and the others live."""
    monkeypatch.setattr(proxies, "CLIENTS", 1)
    async with way() as there:
        await there.ask(b"one")
        reader, writer = await asyncio.open_connection("127.0.0.1", there.proxy.port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read(1) == b""
        writer.close()
        assert await there.ask(b"two") == b"two"


# --- datagrams


class Datagrams(asyncio.DatagramProtocol):
    """Collects what arrives, and answers if told."""

    transport: asyncio.DatagramTransport

    def __init__(self, answer: bool = False) -> None:
        self.got: list[bytes] = []
        self._answer = answer

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.got.append(data)
        if self._answer:
            self.transport.sendto(data, addr)


@asynccontextmanager
async def datagrams() -> AsyncIterator[tuple[Proxy, Datagrams, Datagrams]]:
    loop = asyncio.get_running_loop()
    far_way, far = await loop.create_datagram_endpoint(lambda: Datagrams(True), local_addr=("127.0.0.1", 0))
    proxy = Proxy(("127.0.0.1", far_way.get_extra_info("sockname")[1]), udp=True)
    address = ("127.0.0.1", await proxy.start())
    near_way, near = await loop.create_datagram_endpoint(Datagrams, remote_addr=address)
    try:
        yield proxy, near, far
    finally:
        near_way.close()
        await proxy.close()
        far_way.close()
        await asyncio.sleep(0)


async def sent(near: Datagrams, far: Datagrams, count: int, wait: float = 0.1) -> tuple[list[bytes], list[bytes]]:
    near.got, far.got = [], []
    for number in range(count):
        near.transport.sendto(bytes([number]))
        await asyncio.sleep(0.005)
    await asyncio.sleep(wait)
    return far.got, near.got


async def test_datagrams_and_their_faults() -> None:
    """Datagrams pass both ways; they are lost, doubled, delayed, put out of order or garbled when told."""
    plain = [bytes([number]) for number in range(4)]
    async with datagrams() as (proxy, near, far):
        assert await sent(near, far, 4, 0.02) == (plain, plain)
        for kind in (FaultKind.CUT, FaultKind.HANG, FaultKind.HALF_OPEN):
            proxy.switch(Fault(kind=kind))
            assert await sent(near, far, 2, 0.02) == ([], [])
        proxy.switch(Fault(kind=FaultKind.REPEAT))
        there, back = await sent(near, far, 2, 0.02)
        assert (there, len(back)) == ([b"\0", b"\0", b"\1", b"\1"], 8)
        proxy.switch(Fault(kind=FaultKind.DELAY, delay=300 * MS))
        assert await sent(near, far, 2, 0.02) == ([], [])
        await asyncio.sleep(0.5)
        assert far.got == [b"\0", b"\1"]
        proxy.switch(Fault(kind=FaultKind.REORDER, delay=100 * MS))
        there, _ = await sent(near, far, 4, 0.25)
        assert sorted(there) == plain
        assert there != plain
        proxy.switch(Fault(kind=FaultKind.GARBLE, times=1))
        there, _ = await sent(near, far, 1, 0.02)
        assert there[0] != b"\0"


async def test_datagrams_in_flight_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more delayed datagrams than the bound the rest is lost, and closing leaves none behind."""
    monkeypatch.setattr(proxies, "WAITING", 3)
    async with datagrams() as (proxy, near, far):
        proxy.switch(Fault(kind=FaultKind.DELAY, delay=300 * MS))
        there, _ = await sent(near, far, 6, 0.5)
        assert there == [b"\0", b"\1", b"\2"]


async def test_the_first_client_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sender more than the bound is served in the place of the first."""
    monkeypatch.setattr(proxies, "CLIENTS", 1)
    async with datagrams() as (proxy, near, far):
        assert await sent(near, far, 1, 0.02) == ([b"\0"], [b"\0"])
        loop = asyncio.get_running_loop()
        other_way, other = await loop.create_datagram_endpoint(Datagrams, remote_addr=("127.0.0.1", proxy.port))
        assert await sent(other, far, 1, 0.02) == ([b"\0"], [b"\0"])
        other_way.close()


# --- before devices


def estate(kind: str, device: dict[str, object], story: list[dict[str, object]]) -> tuple[Estate, list[dict[str, Any]]]:
    lines: list[dict[str, Any]] = []
    link = {"id": "a", "kind": kind, "proxy": True, "devices": [device], "story": story}
    plan = Scenario.model_validate({"title": "t", "links": [link]})
    journal = Journal(lambda line: lines.append(json.loads(line)))
    return Estate(plan, clock=SystemClock(), journal=journal, free_ports=True), lines


async def test_modbus_through_the_proxy() -> None:
    """pymodbus reads a lift through the proxy; while the way is cut it gets nothing, afterwards again."""
    there, _ = estate("modbus", {"id": "lift-a1", "unit": 1, "face": "sp-lift-1"}, [])
    port = (await there.start())["a"]
    assert port == there.proxies["a"].port != there.servers["a"].port
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=0.3, retries=0, reconnect_delay=0)
    assert await client.connect()
    assert (await client.read_input_registers(0, count=1, device_id=1)).registers == [0x5350]
    there.proxies["a"].switch(Fault(kind=FaultKind.REPEAT))  # the request too: the device answers twice, both doubled
    assert (await client.read_input_registers(0, count=1, device_id=1)).registers == [0x5350]
    there.proxies["a"].switch(Fault(kind=FaultKind.CUT))
    with pytest.raises(Exception, match=r"connection|Connection|response"):
        await client.read_input_registers(0, count=1, device_id=1)
    client.close()
    there.proxies["a"].switch(None)
    assert await client.connect()
    assert (await client.read_input_registers(0, count=1, device_id=1)).registers == [0x5350]
    client.close()
    await there.close()


async def test_bacnet_through_the_proxy() -> None:
    """Another make's client reads a luminaire through the proxy, also when every datagram comes twice."""
    there, _ = estate("bacnet", {"id": "lamp", "object": 1, "face": "lighting-output"}, [])
    address = f"127.0.0.1:{(await there.start())['a']}"
    lamp = rusty.ObjectIdentifier(OBJECTS.LIGHTING_OUTPUT, 1)
    async with rusty.BACnetClient(interface="127.0.0.1", port=0, apdu_timeout_ms=300) as client:
        assert (await client.read_property(address, lamp, PROPERTIES.PRESENT_VALUE)).value == 0.0
        there.proxies["a"].switch(Fault(kind=FaultKind.REPEAT))
        assert (await client.read_property(address, lamp, PROPERTIES.PRESENT_VALUE)).value == 0.0
        there.proxies["a"].switch(Fault(kind=FaultKind.HANG))
        with pytest.raises(Exception, match="abort"):
            await client.read_property(address, lamp, PROPERTIES.PRESENT_VALUE)
    await there.close()


async def through_a_story() -> tuple[list[bool], list[dict[str, Any]]]:
    clock, lines = virtual.VirtualClock(), list[dict[str, Any]]()
    story = [
        {"at": "2s", "do": {"fault": {"kind": "cut", "for": "3s"}}},
        {"at": "8s", "do": {"fault": {"kind": "refuse", "for": "2s"}}},
    ]
    device = {"id": "lift-a1", "unit": 1, "face": "sp-lift-1"}
    link = {"id": "a", "proxy": True, "devices": [device], "story": story}
    plan = Scenario.model_validate({"title": "t", "links": [link]})
    there = Estate(plan, clock=clock, journal=Journal(lambda line: lines.append(json.loads(line))), free_ports=True)
    port = (await there.start())["a"]
    living = asyncio.create_task(there.run())
    answers = []
    for second in range(12):
        await asyncio.sleep(second + 0.5 - clock.monotonic() / 1_000_000)
        client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=0.2, retries=0, reconnect_delay=0)
        try:
            await client.connect()
            answers.append(not (await client.read_input_registers(0, count=1, device_id=1)).isError())
        except Exception:  # noqa: BLE001 - however pymodbus says it
            answers.append(False)
        client.close()
    living.cancel()
    await asyncio.gather(living, return_exceptions=True)
    await there.close()
    return answers, lines


def test_a_story_switches_the_way() -> None:
    """A scenario cuts the way for three seconds and later the device's port for two; the journal has both."""
    answers, lines = virtual.run(through_a_story())
    assert [second for second, good in enumerate(answers) if not good] == [2, 3, 4, 8, 9]
    assert [(line["link"], line["switched"]) for line in lines if "switched" in line] == [
        ("a", "cut"), ("a", "none"), ("a", "refuse"), ("a", "none"),
    ]  # fmt: skip
