"""What is written to the simulated devices over real sockets: Modbus by pymodbus and mbpoll, BACnet by another make."""

import asyncio
import json
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import rusty_bacnet as rusty
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient

from simulators.acts_connection import FaultPart
from simulators.estate import Estate
from simulators.faults import SWITCHES, Fault, FaultKind
from simulators.frame_server import FrameServer
from simulators.journal import Journal
from simulators.scenario import Scenario, load
from sitekeeper.model.clock import SECOND, SystemClock
from tests import virtual
from tests.fixtures.bacnet_peers import OBJECTS, PROPERTIES, VALUE, simulated

SCENARIOS = Path(__file__).parents[2] / "config/scenarios"
PARKING = [
    {"id": "lane-in", "unit": 1, "face": "sp-barrier-1", "lane": {"auto_close": 0}},
    {"id": "fire-panel", "unit": 2, "face": "sp-io-16"},
    {"id": "monitor", "unit": 247, "face": "lmon"},
]


@pytest.fixture(autouse=True)
def reaped(no_leaked_threads: None) -> Iterator[None]:
    """Let asyncio's waiting threads of ended processes (Python before 3.12) end too."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("asyncio-waitpid"):
            thread.join(1)


class Site:
    """A link with a barrier (unit 1), a fire panel (2) and a lift's monitor (247), its client and its journal."""

    def __init__(self, estate: Estate, client: AsyncModbusTcpClient, port: int, lines: list[dict[str, Any]]) -> None:
        self.estate, self.client, self.port, self.lines = estate, client, port, lines

    @property
    def written(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if "wrote" in line or "refused" in line]

    def fault(self, fault: Fault | None) -> None:
        server = self.estate.servers["a"]
        assert isinstance(server, FrameServer)
        server.fault(1, fault)


@asynccontextmanager
async def parking(framing: str = "mbap") -> AsyncIterator[Site]:
    lines: list[dict[str, Any]] = []
    link = {"id": "a", "framing": framing, "devices": PARKING}
    journal = Journal(lambda line: lines.append(json.loads(line)))
    plan = Scenario.model_validate({"title": "t", "links": [link]})
    estate = Estate(plan, clock=SystemClock(), journal=journal, speed=20, free_ports=True)
    port = (await estate.start())["a"]
    framer = FramerType.SOCKET if framing == "mbap" else FramerType.RTU
    client = AsyncModbusTcpClient("127.0.0.1", port=port, framer=framer, timeout=1, retries=0, reconnect_delay=0)
    assert await client.connect()
    try:
        yield Site(estate, client, port, lines)
    finally:
        client.close()
        await estate.close()


@pytest.mark.parametrize("framing", ["mbap", "rtu"])
async def test_four_ways_to_write(framing: str) -> None:
    """Functions 5, 6, 15 and 16 command the barrier, also in serial frames; each is journalled by the points' names."""
    async with parking(framing) as site:
        client = site.client
        assert (await client.write_register(1, 1, device_id=1)).registers == [1]
        assert not (await client.write_registers(0, [30, 0], device_id=1)).isError()
        assert not (await client.write_coil(0, True, device_id=1)).isError()
        assert not (await client.write_coils(0, [False, True], device_id=1)).isError()
        assert (await client.read_coils(0, count=3, device_id=1)).bits[:3] == [False] * 3
        assert (await client.read_holding_registers(0, count=2, device_id=1)).registers == [30, 0]
        assert [line["wrote"] for line in site.written] == [
            {"hold_open": True},
            {"auto_close": 30, "hold_open": False},
            {"cmd.open": True},
            {"cmd.open": False, "cmd.stop": True},
        ]
        assert {line["device"] for line in site.written} == {"lane-in"}


async def test_a_refused_close() -> None:
    """With the safety loop occupied coil 2 gets exception 4, the boom stays, and the journal says who refused what."""
    async with parking() as site:
        site.estate.lanes["lane-in"].do("release")
        site.estate.lanes["lane-in"].do("engage")
        site.estate.lanes["lane-in"].disturb("safety", "occupied")
        assert (await site.client.write_coil(2, True, device_id=1)).exception_code == 4
        assert [{**line, "t": 0} for line in site.written] == [
            {"t": 0, "device": "lane-in", "refused": {"cmd.close": True}, "code": 4}
        ]
        state = (await site.client.read_input_registers(0, count=2, device_id=1)).registers
        assert state == [16, 100]


async def test_what_cannot_be_written() -> None:
    """Wrong values, places and units get the exceptions that the standard gives them, and nothing is journalled."""
    async with parking() as site:
        client = site.client
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        for pdu, code in (
            ("05 0000 1234", "85 03"),  # neither on nor off
            ("0f 0000 0002 01", "8f 03"),  # a byte is missing
            ("0f 0000 0000 00", "8f 03"),
            ("10 0000 0002 04 0001", "90 03"),
            ("17 0000 0002 04 0001", "97 01"),
            ("06 0002 0001", "86 02"),
        ):
            body = bytes.fromhex(pdu)
            writer.write(bytes([0, 1, 0, 0, 0, len(body) + 1, 1]) + body)
            async with asyncio.timeout(1):
                assert (await reader.readexactly(9))[7:] == bytes.fromhex(code), pdu
        writer.close()
        await writer.wait_closed()
        assert (await client.write_coil(0, True, device_id=2)).exception_code == 1
        assert (await client.write_register(0x22, 0x0214, device_id=247)).registers == [0x0214]
        assert [line["wrote"] for line in site.written] == [{"limit_door_open": 2, "limit_door_cycles": 20}]


async def test_faults_and_writes() -> None:
    """A frozen unit echoes and does nothing, one with an exception does nothing, a silent one does all unsaid."""
    async with parking() as site:
        lane = site.estate.lanes["lane-in"]
        site.fault(Fault(kind=FaultKind.FREEZE))
        assert not (await site.client.write_register(1, 1, device_id=1)).isError()
        site.fault(Fault(kind=FaultKind.EXCEPTION, code=6))
        assert (await site.client.write_register(1, 1, device_id=1)).exception_code == 6
        assert (lane.hold_reason, site.written) == (0, [])
        site.fault(Fault(kind=FaultKind.SILENCE))
        with pytest.raises(Exception, match="No response"):
            await site.client.write_register(1, 1, device_id=1)
        assert lane.hold_reason == 1
        assert [line["wrote"] for line in site.written] == [{"hold_open": True}]


@pytest.mark.skipif(shutil.which("mbpoll") is None, reason="mbpoll is not installed (apt install mbpoll)")
async def test_mbpoll_reads_bits_and_writes() -> None:
    """Debian's mbpoll reads the discrete inputs of the panel bit by bit, and opens the barrier."""
    async with parking() as site:

        async def mbpoll(*arguments: str) -> str:
            command = ["mbpoll", "-m", "tcp", "-p", str(site.port), "-0", "-1", "-q", "-o", "1", *arguments]
            process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=asyncio.subprocess.STDOUT)
            output, _ = await process.communicate()
            assert process.returncode == 0, output
            return output.decode()

        site.estate.panels["fire-panel"].smoke(3, "dense")
        output = await mbpoll("-a", "2", "-t", "1", "-r", "0", "-c", "32", "127.0.0.1")
        bits = [int(line.split("\t")[1]) for line in output.splitlines() if line.startswith("[")]
        assert [place for place, bit in enumerate(bits) if bit] == [5, 6, 10]
        await mbpoll("-a", "1", "-t", "0", "-r", "0", "127.0.0.1", "1")
        assert [line["wrote"] for line in site.written] == [{"cmd.open": True}]


LIGHTS = {
    "title": "t",
    "links": [
        {
            "id": "bms",
            "kind": "bacnet",
            "devices": [
                {"id": "lamp", "object": 1, "face": "lighting-output"},
                {"id": "door", "object": 1, "face": "access-door"},
            ],
        }
    ],
}
LAMP, DOOR = (rusty.ObjectIdentifier(kind, 1) for kind in (OBJECTS.LIGHTING_OUTPUT, OBJECTS.ACCESS_DOOR))


@asynccontextmanager
async def building() -> AsyncIterator[tuple[Estate, Any, str, list[dict[str, Any]]]]:
    async with (
        simulated(Scenario.model_validate(LIGHTS)) as (estate, address, lines),
        rusty.BACnetClient(interface="127.0.0.1", port=0, apdu_timeout_ms=400) as client,
    ):
        yield estate, client, address, lines


async def test_linkage_at_priority_1_and_given_up() -> None:
    """Full light at 1 stands above the story's at 16; given up, the story's is back; both are in the journal."""
    async with building() as (estate, client, address, lines):
        lamp = estate.lamps["lamp"]

        async def place(index: int) -> Any:
            return (await client.read_property(address, LAMP, PROPERTIES.PRIORITY_ARRAY, index)).value

        lamp.command(40)
        await client.read_property(address, LAMP, PROPERTIES.PRESENT_VALUE)
        await client.write_property(address, LAMP, PROPERTIES.PRESENT_VALUE, VALUE.real(100.0), 1)
        assert (lamp.commanded, await place(1), await place(16), await place(8)) == (100, 100, 40, None)
        lamp.command(20)  # the story goes on below
        await client.read_property(address, LAMP, PROPERTIES.PRESENT_VALUE)
        assert (lamp.commanded, await place(16)) == (100, 20)
        await client.write_property(address, LAMP, PROPERTIES.PRESENT_VALUE, VALUE.null(), 1)
        assert (lamp.commanded, await place(1)) == (20, None)
        free = []
        for value in (VALUE.enumerated(1), VALUE.null()):
            await client.write_property(address, DOOR, PROPERTIES.PRESENT_VALUE, value, 1)
            free.append(estate.doors["door"].free)
        assert free == [True, False]
        assert [{**line, "t": 0} for line in lines if "wrote" in line] == [
            {"t": 0, "device": "lamp", "wrote": {"command": 100.0}, "priority": 1},
            {"t": 0, "device": "lamp", "wrote": {"command": None}, "priority": 1},
            {"t": 0, "device": "door", "wrote": {"mode": "free"}, "priority": 1},
            {"t": 0, "device": "door", "wrote": {"mode": None}, "priority": 1},
        ]


async def test_a_command_survives_a_dead_link() -> None:
    """What was commanded stands in the array after the device was away, and can still be given up."""
    async with building() as (estate, client, address, _):
        await client.write_property(address, LAMP, PROPERTIES.PRESENT_VALUE, VALUE.real(100.0), 1)
        server = estate.servers["bms"]
        await server.refuse(True)
        await server.refuse(False)
        read = await client.read_property(address, LAMP, PROPERTIES.PRIORITY_ARRAY, 1)
        assert read.value == 100.0
        await client.write_property(address, LAMP, PROPERTIES.PRESENT_VALUE, VALUE.null(), 1)
        assert estate.lamps["lamp"].commanded == 0


async def test_a_frozen_object() -> None:
    """Frozen, it answers with what it said last, takes a write and does nothing; its neighbour lives."""
    async with building() as (estate, client, address, lines):

        async def level() -> Any:
            return (await client.read_property(address, LAMP, PROPERTIES.PRESENT_VALUE)).value

        assert await level() == 0.0
        estate.switch("lamp", FaultPart(kind=FaultKind.FREEZE))
        estate.lamps["lamp"].command(60)
        assert await level() == 0.0
        await client.write_property(address, LAMP, PROPERTIES.PRESENT_VALUE, VALUE.real(100.0), 1)
        assert (await level(), estate.lamps["lamp"].commanded) == (0.0, 60)
        estate.doors["door"].force()
        assert (await client.read_property(address, DOOR, PROPERTIES.DOOR_STATUS)).value == 1
        estate.switch("lamp", FaultPart(kind="none"))
        assert await level() == 60.0
        about = [line.get("fault", "sound") for line in lines if line["device"] == "lamp" and "switched" not in line]
        assert [word for word in about if word != "sound"] == ["freeze", "freeze"]
        assert not any("wrote" in line for line in lines)


async def test_a_silent_object_takes_no_command() -> None:
    """While it is silent a write gets no answer and does nothing."""
    async with building() as (estate, client, address, _):
        estate.switch("lamp", FaultPart(kind=FaultKind.SILENCE))
        with pytest.raises(Exception, match="reason=10"):
            await client.write_property(address, LAMP, PROPERTIES.PRESENT_VALUE, VALUE.real(100.0), 1)
        assert estate.lamps["lamp"].commanded == 0


# --- whole scenarios, in virtual time


async def barrier_played(seconds: int) -> tuple[list[list[int]], list[list[bool]]]:
    clock = virtual.VirtualClock()
    estate = Estate(load(SCENARIOS / "s6-barrier.yaml"), clock=clock, journal=Journal.open(None), free_ports=True)
    ports = await estate.start()
    client = AsyncModbusTcpClient("127.0.0.1", port=ports["parking"], timeout=1, retries=0, reconnect_delay=0)
    assert await client.connect()
    words, bits = list[list[int]](), list[list[bool]]()
    for second in range(seconds + 1):
        await asyncio.sleep(max(0, second - clock.monotonic() / SECOND))
        words.append(list((await client.read_input_registers(0, count=9, device_id=1)).registers))
        bits.append(list((await client.read_discrete_inputs(0, count=16, device_id=1)).bits[:16]))
    client.close()
    await estate.close()
    return words, bits


def test_s6_barrier() -> None:
    """S6: opening from 1 s to 30 s without moving, the arm off while closed, the safety loop occupied and faulty."""
    words, bits = virtual.run(barrier_played(105))
    assert {(seen[0], seen[1]) for seen in words[2:30]} == {(32, 0)}
    assert words[35][:2] == [16, 100]
    assert [words[second][:2] for second in (50, 55)] == [[17, 0]] * 2
    assert [second for second, seen in enumerate(bits) if not seen[2]] == list(range(50, 60))
    assert {seen[0] for seen in words[69:]} == {16}
    assert [second for second, seen in enumerate(bits) if seen[4]] == [*range(70, 80), *range(90, 100)]
    assert [second for second, seen in enumerate(bits) if seen[7]] == list(range(90, 100))


async def test_the_list_of_faults() -> None:
    """`sk sim --faults` lists every fault with its place and protocols, and needs no scenario."""
    command = [sys.executable, "-c", "from sitekeeper.commands import main; main()", "sim", "--faults"]
    process = await asyncio.create_subprocess_exec(*command, stdout=-1)
    output, _ = await process.communicate()
    assert process.returncode == 0
    rows = [line.split() for line in output.decode().splitlines()]
    assert [row[0] for row in rows] == list(SWITCHES)
    assert ["refuse", "link", "modbus,", "bacnet,", "mqtt"] in [row[:5] for row in rows]
