"""RTU on a serial line, a real terminal device: exclusive, unplugged, late; and the same frames through a converter."""

import asyncio
import fcntl
import subprocess
import termios
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus.transport import serialtransport

from drivers.base import Driver, Outcome, Services
from drivers.modbus import RTU, RTU_OVER_TCP
from simulators.faults import Fault, FaultKind
from simulators.frame_server import FrameServer, Unit
from simulators.journal import Journal
from simulators.maps import SP_LIFT_1
from simulators.modbus_face import Refusal, Registers
from simulators.serial_line import SerialLine
from sitekeeper.model.clock import Micros, SystemClock
from sitekeeper.model.errors import DeviceSilent, LinkDown
from sitekeeper.model.quality import GOOD, Reason, bad
from tests.fixtures.modbus import device, registers

TIMEOUT = "150ms"
QUIET = "100ms"
NOBODY = 65534


class Counting:
    """Register n holds n + 1000; `simulators.modbus_face.Face`."""

    map = SP_LIFT_1
    checks_crc = True
    identity = None
    writes = frozenset[int]()

    def live(self, at: Micros) -> None:
        """Nothing ever changes."""

    def read(self, function: int, address: int, count: int, at: Micros) -> Registers:
        return Registers(address, tuple(range(address + 1000, address + count + 1000)), 1)

    def write(self, function: int, address: int, values: tuple[int, ...], at: Micros) -> Refusal:
        return Refusal(1)


@asynccontextmanager
async def line(tmp_path: Path) -> AsyncIterator[tuple[SerialLine, FrameServer]]:
    """Give a plugged-in adapter with unit 1 behind it, whose register n holds n + 1000."""
    clock = SystemClock()
    server = FrameServer(
        {1: Unit(device="lift", face=Counting())}, clock=clock, story=clock.monotonic, journal=Journal.open(None),
        framing="rtu",
    )  # fmt: skip
    adapter = SerialLine(tmp_path / "usb-adapter", await server.start())
    await adapter.plug()
    try:
        yield adapter, server
    finally:
        await adapter.unplug()
        await server.close()


def serial(adapter: SerialLine, **more: object) -> Driver:
    """Return a driver for the line; a pseudo terminal has no parity."""
    written = {"port": str(adapter.name), "framing": "8N1", "timeout": TIMEOUT, "quiet": QUIET, **more}
    options = RTU.link_model.model_validate(written)
    return RTU.create("line", options, [device("lift", registers(3))], SystemClock(), Services())


def told(outcomes: list[Outcome]) -> list[tuple[object, int]]:
    return [(outcome.value, outcome.q) for outcome in outcomes]


RIGHT = [(1000, GOOD), (1001, GOOD), (1002, GOOD)]


async def test_a_line_is_read(tmp_path):
    """Values come over the terminal, and an unchanged answer says nothing again."""
    async with line(tmp_path) as (adapter, _):
        field = serial(adapter)
        await field.open()
        assert told((await field.read("lift@1s")).outcomes) == RIGHT
        assert told((await field.read("lift@1s")).outcomes) == []
        await field.close()


async def test_a_line_is_ours_alone(tmp_path):
    """Who comes second is told so, whether he asks as we do or opens it as any program but root's would."""
    async with line(tmp_path) as (adapter, _):
        first, second = serial(adapter), serial(adapter)
        await first.open()
        with pytest.raises(LinkDown, match=r"another program has .* open"):
            await second.open()
        terminal = adapter.name.resolve()
        terminal.chmod(0o666)
        opened = await asyncio.to_thread(
            subprocess.run, ["sh", "-c", f"exec 3<>{terminal}"], user=NOBODY, cwd="/", capture_output=True, check=False
        )
        assert b"busy" in opened.stderr
        await first.close()
        await second.open()
        await second.close()


async def test_an_adapter_that_is_pulled_out_and_plugged_in_again(tmp_path):
    """The link is down at once and says why; under the same name it is found again, on another terminal."""
    async with line(tmp_path) as (adapter, _):
        field = serial(adapter)
        await field.open()
        await field.read("lift@1s")
        await adapter.unplug()
        with pytest.raises(LinkDown):
            await field.read("lift@1s")
        with pytest.raises(LinkDown, match=r"there is no .*usb-adapter; serial adapters plugged in: "):
            await field.open()
        await adapter.plug()
        await field.open()
        assert told((await field.read("lift@1s")).outcomes) == RIGHT
        await field.close()


async def test_a_late_answer_is_nobodys(tmp_path):
    """It comes into the silence that follows; the next scan has asked twice and is right."""
    async with line(tmp_path) as (adapter, server):
        field = serial(adapter)
        await field.open()
        await field.read("lift@1s")
        server.fault(1, Fault(kind=FaultKind.LATE, delay=200_000, times=1))
        late = await field.read("lift@1s")
        assert told(late.outcomes) == [(None, bad(Reason.COMM))] * 3
        assert isinstance(late.errors[0], DeviceSilent)
        assert told((await field.read("lift@1s")).outcomes) == RIGHT
        await field.close()


async def test_an_adapter_that_hangs_holds_up_nobody(tmp_path, monkeypatch):
    """Opening gives up in time and is not tried a second time meanwhile; what opens too late is closed."""
    free, opened, as_it_is = threading.Event(), list[Any](), serialtransport.serial.serial_for_url

    def hanging(*which: Any, **how: Any) -> Any:
        free.wait(20)
        opened.append(as_it_is(*which, **how))
        return opened[-1]

    monkeypatch.setattr(serialtransport.serial, "serial_for_url", hanging)
    async with line(tmp_path) as (adapter, _):
        field = serial(adapter)
        try:
            with pytest.raises(LinkDown, match="no answer in time"):
                await field.open()
            with pytest.raises(LinkDown, match=r"usb-adapter hangs: an earlier attempt"):
                await field.open()
        finally:
            free.set()
        async with asyncio.timeout(20):
            while not opened or opened[0].is_open:
                await asyncio.sleep(0.01)
        await field.open()
        assert told((await field.read("lift@1s")).outcomes) == RIGHT
        await field.close()


async def test_a_line_that_cannot_be_ours_alone_is_closed(tmp_path, monkeypatch):
    """If the terminal cannot be locked it is not left open."""
    opened, as_it_is, ioctl = list[Any](), serialtransport.serial.serial_for_url, fcntl.ioctl

    def noted(*which: Any, **how: Any) -> Any:
        opened.append(as_it_is(*which, **how))
        return opened[-1]

    def unlockable(file: int, request: int, *more: Any) -> Any:
        if request == termios.TIOCEXCL:
            raise OSError(25, "not for this")
        return ioctl(file, request, *more)

    async with line(tmp_path) as (adapter, _):
        monkeypatch.setattr(serialtransport.serial, "serial_for_url", noted)
        monkeypatch.setattr(fcntl, "ioctl", unlockable)
        with pytest.raises(LinkDown, match="cannot be opened: not for this"):
            await serial(adapter).open()
        assert [each.is_open for each in opened] == [False]


async def test_a_slow_line_rests_between_frames(tmp_path):
    """At 1200 baud 3.5 characters are 32 ms, whatever the pause that is written."""
    async with line(tmp_path) as (adapter, _):
        field = serial(adapter, baudrate=1200, pause="0ms")
        await field.open()
        for _ in range(2):  # which wait for the silences after opening
            await field.read("lift@1s")
        begun = time.monotonic()
        for _ in range(3):
            await field.read("lift@1s")
        assert time.monotonic() - begun > 2.9 * 0.032
        await field.close()


async def test_frames_through_a_converter(tmp_path):
    """The same frames over TCP, which another master's connection would share."""
    async with line(tmp_path) as (_, server):
        options = RTU_OVER_TCP.link_model.model_validate({"host": "127.0.0.1", "port": server.port, "quiet": "50ms"})
        field = RTU_OVER_TCP.create("line", options, [device("lift", registers(3))], SystemClock(), Services())
        await field.open()
        assert told((await field.read("lift@1s")).outcomes) == RIGHT
        await field.close()
        await asyncio.sleep(0)
