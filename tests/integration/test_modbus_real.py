"""Against implementations that are not ours: libmodbus serves, mbpoll reads the same registers beside us."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import tty
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Services
from drivers.modbus import RTU
from simulators.estate import Estate
from simulators.journal import Journal
from simulators.scenario import Scenario
from sitekeeper.model.clock import SystemClock
from sitekeeper.model.errors import DeviceRefused, LinkDown
from sitekeeper.model.quality import GOOD, Reason, bad
from tests.fixtures.modbus import device, driver, registers

SOURCE = Path(__file__).parents[1] / "fixtures" / "libmodbus_server.c"
MISSING = [tool for tool in ("gcc", "mbpoll") if shutil.which(tool) is None]
if not Path("/usr/include/modbus/modbus.h").exists():
    MISSING.append("libmodbus-dev")
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"Debian packages needed: {', '.join(MISSING)}")


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """The server, compiled once."""
    made = tmp_path_factory.mktemp("libmodbus") / "server"
    command = ["gcc", "-Wall", "-Wextra", "-Werror", "-O1", "-I/usr/include/modbus", "-o", made, SOURCE, "-lmodbus"]
    subprocess.run(command, check=True, timeout=120)
    return made


def join(one: int, other: int) -> None:
    """Let two pseudo terminals be the two ends of one cable, until the loop ends."""

    def carry(here: int, there: int) -> None:
        with contextlib.suppress(OSError):  # the other end is not open
            os.write(there, os.read(here, 4096))

    loop = asyncio.get_running_loop()
    for here, there in ((one, other), (other, one)):
        os.set_blocking(here, False)
        loop.add_reader(here, carry, here, there)


async def test_a_serial_line_equals_libmodbus(program, tmp_path):
    """100 registers and 40 coils over two terminals and a cable are what libmodbus serves; a write is read back."""
    ends = [os.openpty() for _ in range(2)]
    for _, theirs in ends:
        tty.setraw(theirs)
    ours, server_side = (os.ttyname(theirs) for _, theirs in ends)
    join(ends[0][0], ends[1][0])
    options = RTU.link_model.model_validate({"port": ours, "framing": "8N1", "timeout": "2s"})
    points = {f"r{at}": ({"holding": at, "write": 6}, "int") for at in range(200, 300)}
    points |= {f"b{at}": ({"coil": at}, "bool") for at in range(13, 53)}
    with subprocess.Popen([program, server_side], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert await asyncio.to_thread(server.stdout.readline) == "ready\n"
            field = RTU.create("line", options, [device("real", points)], SystemClock(), Services())
            await field.open()
            scan = await field.read("real@1s")
            assert {outcome.q for outcome in scan.outcomes} == {GOOD}
            told = [outcome.value for outcome in scan.outcomes]
            assert told == [*range(1200, 1300), *(at % 3 == 0 for at in range(13, 53))]
            await field.write("real", "r205", 4711, 8)
            scan = await field.read("real@1s")
            assert [(outcome.index, outcome.value, outcome.q) for outcome in scan.outcomes] == [(5, 4711, GOOD)]
            await field.close()
        finally:
            server.kill()
            for master, terminal in ends:
                asyncio.get_running_loop().remove_reader(master)
                os.close(master)
                os.close(terminal)


async def test_mbpoll_reads_our_serial_line(tmp_path):
    """Registers and inputs of a simulated barrier behind a terminal are those of its journal, read by mbpoll."""
    lane = {"id": "gate", "unit": 1, "face": "sp-barrier-1"}
    path = tmp_path / "adapter"
    link = {"id": "lane", "framing": "rtu", "serial": str(path), "devices": [lane]}
    lines: list[dict[str, Any]] = []
    journal = Journal(lambda line: lines.append(json.loads(line)))
    plan = Scenario.model_validate({"title": "interop", "links": [link]})
    estate = Estate(plan, clock=SystemClock(), journal=journal, free_ports=True)
    await estate.start()
    try:
        asked = [
            "mbpoll",
            "-m",
            "rtu",
            "-b",
            "19200",
            "-P",
            "none",
            "-a",
            "1",
            "-0",
            "-1",
            "-t",
            "3",
            "-r",
            "0",
            "-c",
            "9",
        ]
        done = await asyncio.to_thread(
            subprocess.run, [*asked, str(path)], capture_output=True, text=True, timeout=20, check=False
        )
    finally:
        await estate.close()
    assert done.returncode == 0, done.stdout + done.stderr
    read = [int(text) for text in re.findall(r"^\[\d+\]:\s+(\S+)", done.stdout, re.MULTILINE)]
    (served,) = [line["points"] for line in lines if "points" in line]
    assert (read[1], read[6], read[7]) == tuple(served[name] for name in ("boom.position", "heartbeat", "vehicles"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def port(program):
    """A running server's port."""
    found = free_port()
    with subprocess.Popen([program, str(found)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield found
        server.kill()


def mbpoll(port: int, table: str, address: int, count: int, *more: str, write: tuple[str, ...] = ()) -> list[str]:
    """Return what mbpoll reads: one text for each value."""
    options = ["-m", "tcp", "-p", str(port), "-a", "1", "-0", "-1", "-t", table, "-r", str(address)]
    options += [] if write else ["-c", str(count)]
    done = subprocess.run(
        ["mbpoll", *options, *more, "127.0.0.1", *write], capture_output=True, text=True, timeout=20, check=True
    )
    return re.findall(r"^\[\d+\]:\s+(\S+)", done.stdout, re.MULTILINE)


async def values(port, points, **options):
    """Return what our driver reads of `points`, all of which have to be good."""
    field = driver(port, device("real", points, **options), timeout="2s")
    await field.open()
    scan = await field.read("real@1s")
    await field.close()
    assert {outcome.q for outcome in scan.outcomes} == {GOOD}
    return [outcome.value for outcome in scan.outcomes]


@pytest.mark.parametrize(("table", "name"), [("4", "holding"), ("3", "input")])
async def test_registers_equal_mbpoll(port, table, name):
    """125 registers of each table are what mbpoll reads."""
    ours = await values(port, registers(125, table=name))
    theirs = await asyncio.to_thread(mbpoll, port, table, 0, 125)
    assert ours == [int(text) for text in theirs]
    assert len(set(ours)) > 100


@pytest.mark.parametrize(("table", "name"), [("0", "coil"), ("1", "discrete")])
async def test_bits_equal_mbpoll(port, table, name):
    """120 bits of each table, from an odd place on, are what mbpoll reads."""
    ours = await values(port, {f"b{at}": ({name: at}, "bool") for at in range(13, 133)})
    theirs = await asyncio.to_thread(mbpoll, port, table, 13, 120)
    assert ours == [text == "1" for text in theirs]
    assert {True, False} == set(ours)


async def test_numbers_in_every_byte_order(port):
    """Each byte order gives the number that the server stored in that order."""
    ours = await values(
        port,
        {
            "abcd": ({"holding": 100, "type": "float32", "order": "ABCD"}, "float"),
            "cdab": ({"holding": 102, "type": "float32", "order": "CDAB"}, "float"),
            "badc": ({"holding": 104, "type": "float32", "order": "BADC"}, "float"),
            "dcba": ({"holding": 106, "type": "float32", "order": "DCBA"}, "float"),
            "int32": ({"holding": 108, "type": "int32"}, "int"),
            "int64": ({"holding": 110, "type": "int64"}, "int"),
            "int16": ({"holding": 114, "type": "int16"}, "int"),
        },
    )
    as_float32 = [struct.unpack("f", struct.pack("f", number))[0] for number in (-118.625, 12.34, -0.001, 1e20)]
    assert ours == [*as_float32, -123456, -1234567890123456789, -321]


async def test_32_bit_numbers_equal_mbpoll(port):
    """Big-endian words and mbpoll's default order give the numbers that mbpoll prints."""
    ours = await values(
        port,
        {
            "big": ({"holding": 100, "type": "float32", "order": "ABCD"}, "float"),
            "little": ({"holding": 102, "type": "float32", "order": "CDAB"}, "float"),
            "whole": ({"holding": 108, "type": "int32"}, "int"),
        },
    )
    big = await asyncio.to_thread(mbpoll, port, "4:float", 100, 1, "-B")
    little = await asyncio.to_thread(mbpoll, port, "4:float", 102, 1)
    whole = await asyncio.to_thread(mbpoll, port, "4:int", 108, 1, "-B")
    assert [f"{ours[0]:g}", f"{ours[1]:g}", str(ours[2])] == [*big, *little, *whole]


async def test_change_made_by_mbpoll_is_seen(port):
    """A register and a coil that mbpoll writes are the only changes of the next scan."""
    points = {**registers(50), "coil": ({"coil": 10}, "bool")}
    field = driver(port, device("real", points), timeout="2s")
    await field.open()
    assert len((await field.read("real@1s")).outcomes) == 51
    assert (await field.read("real@1s")).outcomes == []
    await asyncio.to_thread(mbpoll, port, "4", 7, 1, write=("4711",))
    await asyncio.to_thread(mbpoll, port, "0", 10, 1, write=("1",))
    scan = await field.read("real@1s")
    assert [(outcome.index, outcome.value) for outcome in scan.outcomes] == [(7, 4711), (50, True)]
    await field.close()


async def test_reading_past_the_end(port):
    """Points beyond the server's map are refused; those of the other request keep their values."""
    field = driver(port, device("real", {**registers(5), "far": ({"holding": 400}, "int")}), timeout="2s")
    await field.open()
    scan = await field.read("real@1s")
    await field.close()
    assert [outcome.value for outcome in scan.outcomes] == [1000, 1001, 1002, 1003, 1004, None]
    assert scan.outcomes[-1].q == bad(Reason.REFUSED)
    assert scan.answered
    assert "exception 2, illegal data address" in str(scan.errors[0])


async def test_gap_past_the_end_is_read_around(port):
    """Where bridging a gap makes the server refuse, the points on both sides are read all the same."""
    points = {**registers(3, start=290), "last": ({"holding": 299}, "int"), "beyond": ({"holding": 305}, "int")}
    field = driver(port, device("real", points, gaps=10), timeout="2s")
    await field.open()
    assert len(field.requests("real@1s")) == 1
    scan = await field.read("real@1s")
    assert [outcome.value for outcome in scan.outcomes] == [1290, 1291, 1292, 1299, None]
    assert [(each.address, each.count) for each in field.requests("real@1s")] == [(290, 10), (305, 1)]
    await field.close()


async def test_server_killed(program):
    """A server that dies is a lost link at once, and a refused connection says so."""
    found = free_port()
    with subprocess.Popen([program, str(found)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        server.stdout.readline()
        field = driver(found, device("real", registers(5)), timeout="5s")
        await field.open()
        await field.read("real@1s")
        server.kill()
        await asyncio.to_thread(server.wait)
        with pytest.raises(LinkDown):
            await field.read("real@1s")
        with pytest.raises(LinkDown, match="connection refused"):
            await field.open()
        await field.close()


async def test_what_we_write_mbpoll_reads(port):
    """Coils by 5 and 15, registers by 6 and 16, in a byte order of their own: libmodbus takes each, mbpoll shows it."""
    points = {
        "coil": ({"coil": 11, "write": 5}, "bool"),
        "coils": ({"coil": 13, "write": 15}, "bool"),
        "word": ({"holding": 20, "type": "int16", "scale": 0.1, "write": 6}, "float"),
        "float": ({"holding": 102, "type": "float32", "order": "CDAB", "write": 16}, "float"),
        "far": ({"holding": 299, "type": "uint32", "write": 16}, "int"),
    }
    field = driver(port, device("real", points), timeout="2s")
    await field.open()
    for point, value in (("coil", True), ("coils", True), ("word", -32.1), ("float", 12.5)):
        await field.write("real", point, value, 16)
    with pytest.raises(DeviceRefused, match="exception 2, illegal data address"):
        await field.write("real", "far", 1, 16)
    scan = await field.read("real@1s")
    await field.close()
    assert [outcome.value for outcome in scan.outcomes[:4]] == [True, True, -32.1, 12.5]
    bits = await asyncio.to_thread(mbpoll, port, "0", 11, 3)
    assert bits == ["1", "1", "1"]  # 12 was so from the beginning
    assert await asyncio.to_thread(mbpoll, port, "4", 20, 1) == ["65215"]
    assert await asyncio.to_thread(mbpoll, port, "4:float", 102, 1) == ["12.5"]
