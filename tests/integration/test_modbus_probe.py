"""`sk probe modbus` over every transport against served frames: answers, off by one, the search, who holds a port."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from click.testing import CliRunner, Result

from edge.cli.probe_modbus import modbus
from simulators.frame_server import FrameServer, Unit
from simulators.journal import Journal
from simulators.maps import SP_LIFT_1
from simulators.modbus_face import Refusal, Registers
from simulators.serial_line import SerialLine
from sitekeeper.model.clock import Micros, SystemClock

VOLTAGE = {300: 0x8000, 301: 0x4367}
"""231.5 as float32, its words swapped."""


class Meter:
    """Holding registers 100 to 399, all different, and a voltage among them; `simulators.modbus_face.Face`."""

    map = SP_LIFT_1
    checks_crc = True
    identity = None
    writes = frozenset[int]()

    def live(self, at: Micros) -> None:
        """Nothing ever changes."""

    def read(self, function: int, address: int, count: int, at: Micros) -> Registers | Refusal:
        if function != 3 or address < 100 or address + count > 400:
            return Refusal(2)
        return Registers(address, tuple(VOLTAGE.get(n, n + 50_000) for n in range(address, address + count)), 1)

    def write(self, function: int, address: int, values: tuple[int, ...], at: Micros) -> Refusal:
        return Refusal(1)


@asynccontextmanager
async def meter(framing: Literal["mbap", "rtu"]) -> AsyncIterator[FrameServer]:
    clock = SystemClock()
    server = FrameServer(
        {1: Unit(device="meter", face=Meter())}, clock=clock, story=clock.monotonic, journal=Journal.open(None),
        framing=framing,
    )  # fmt: skip
    await server.start()
    try:
        yield server
    finally:
        await server.close()


async def probe(*args: str) -> Result:
    """Run the command in a thread of its own, as it has its own loop."""
    return await asyncio.to_thread(CliRunner().invoke, modbus, [*args, "--lang", "en"])


def data(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)["data"]
    return found


LINE = ("--framing", "8N1", "--quiet", "30ms")


async def test_every_transport_gives_the_same_words(tmp_path: Path) -> None:
    """TCP, serial frames through a converter, and a serial port."""
    ask = ("--address", "300", "--count", "2", "--timeout", "5s", "--json")
    async with meter("mbap") as server:
        found = [data(await probe(f"127.0.0.1:{server.port}", *ask))]
    async with meter("rtu") as server:
        found.append(data(await probe(f"127.0.0.1:{server.port}", "--rtu", "--quiet", "30ms", *ask)))
        port = SerialLine(tmp_path / "adapter", server.port)
        await port.plug()
        found.append(data(await probe(str(port.name), *LINE, *ask)))
        await port.unplug()
    for each in found:
        (answer,) = each["answers"]
        assert answer["raw"] == ["8000", "4367"]
        assert ("float32", "CDAB", 231.5) in [(v["type"], v["order"], v["value"]) for v in answer["values"]]
    assert [each["endpoint"].split()[0] for each in found] == ["tcp", "rtu-over-tcp", "serial"]


async def test_a_refused_address_is_tried_one_off_and_in_the_other_table() -> None:
    """399 is there, 400 is not, nor is it an input register: the table says so without being asked."""
    async with meter("mbap") as server:
        said = await probe(f"127.0.0.1:{server.port}", "--address", "400", "--timeout", "5s", "--json")
    assert said.exit_code == 1
    assert [(each["table"], each["address"], each["state"]) for each in data(said)["beside"]] == [
        ("holding", 399, "answers"), ("holding", 401, "refused"), ("input", 400, "refused"),
    ]  # fmt: skip


async def test_a_value_is_found_in_a_range_with_holes() -> None:
    """Blocks that are refused are halved; the line to paste comes first."""
    async with meter("mbap") as server:
        search = ("--address", "60", "--count", "360", "--guess", "--expect", "231.5", "--timeout", "5s")
        said = await probe(f"127.0.0.1:{server.port}", *search, "--json")
        nothing = await probe(f"127.0.0.1:{server.port}", *search[:-3], "12.345", *search[-2:])
    assert said.exit_code == 0, said.output
    assert data(said)["registers"] == 300
    assert data(said)["candidates"][0]["paste"] == "point: {holding: 300, type: float32, order: CDAB}"
    assert nothing.exit_code == 1
    assert nothing.stderr.startswith("nothing-fits: none of 300 registers")


@pytest.mark.parametrize("wrong", [("--guess",), ("--expect", "1"), ("--guess", "--expect", "0")])
async def test_a_search_that_cannot_be_is_refused_before_anything_is_asked(wrong) -> None:
    """Nobody listens there: exit code 2, not 5."""
    assert (await probe("127.0.0.1:1", *wrong)).exit_code == 2


async def test_a_port_that_is_held_says_by_whom(tmp_path: Path) -> None:
    """The other process is named, with its command; a port that is free again is read."""
    async with meter("rtu") as server:
        port = SerialLine(tmp_path / "adapter", server.port)
        await port.plug()
        hold = 'exec 3<>"$0" && flock -x 3 && echo held && exec sleep 60'
        holder = await asyncio.create_subprocess_exec("sh", "-c", hold, port.name, stdout=asyncio.subprocess.PIPE)
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
        held = await probe(str(port.name), *LINE, "--address", "300")
        holder.kill()
        await holder.wait()
        holder._transport.close()  # type: ignore[attr-defined]  # its pipe would outlive the test
        await port.unplug()
    assert held.exit_code == 5
    assert "another program has" in held.stderr
    assert f"pid {holder.pid}: sleep 60" in held.stderr
