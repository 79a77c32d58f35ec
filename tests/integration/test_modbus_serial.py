"""RTU on a serial line, a real terminal device: exclusive, unplugged, late; and the same frames through a converter."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers.base import Driver, Outcome, Services
from drivers.modbus import RTU, RTU_OVER_TCP
from drivers.modbus.driver import UNCONFIRMED
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
    """It comes into the silence that follows; the first value after it waits for a second one to confirm it."""
    async with line(tmp_path) as (adapter, server):
        field = serial(adapter)
        await field.open()
        await field.read("lift@1s")
        server.fault(1, Fault(kind=FaultKind.LATE, delay=200_000, times=1))
        late = await field.read("lift@1s")
        assert told(late.outcomes) == [(None, bad(Reason.COMM))] * 3
        assert isinstance(late.errors[0], DeviceSilent)
        assert told((await field.read("lift@1s")).outcomes) == [(value, UNCONFIRMED) for value, _ in RIGHT]
        assert told((await field.read("lift@1s")).outcomes) == RIGHT
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
