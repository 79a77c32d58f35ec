"""Functions 17, 22 and 43/14 of simulated devices, asked by pymodbus and by `sk discover` over real sockets."""

import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient

from drivers.modbus.options import TcpLink
from edge.discover import lines
from simulators.estate import Estate
from simulators.faults import Fault, FaultKind
from simulators.frame_server import FrameServer
from simulators.journal import Journal
from simulators.scenario import Scenario
from sitekeeper.model.clock import SystemClock
from tests.integration.test_discover import searched, there

NEUTRAL = "Sitekeeper neutral map"
DEVICES = [
    {"id": "lane-in", "unit": 1, "face": "sp-barrier-1"},
    {"id": "lift-b1", "unit": 2, "face": "lmon"},
    {"id": "meter", "unit": 3, "face": "eastron-sdm630"},
]
Framing = Literal["mbap", "rtu"]


class Served:
    """A link with a lane, a lift's monitor and a meter, and its journal."""

    def __init__(self, framing: Framing) -> None:
        self.lines: list[dict[str, Any]] = []
        link = {"id": "field", "framing": framing, "devices": DEVICES}
        plan = Scenario.model_validate({"title": "who is there", "links": [link]})
        journal = Journal(lambda line: self.lines.append(json.loads(line)))
        self.estate = Estate(plan, clock=SystemClock(), journal=journal, free_ports=True)
        server = self.estate.servers["field"]
        assert isinstance(server, FrameServer)
        self.server = server


@pytest.fixture(params=["mbap", "rtu"])
async def served(request: pytest.FixtureRequest, no_leaked_tasks: None) -> AsyncIterator[Served]:
    served = Served(request.param)
    await served.estate.start()
    yield served
    await served.estate.close()


@pytest.fixture
async def client(served: Served, request: pytest.FixtureRequest) -> AsyncIterator[AsyncModbusTcpClient]:
    framer = FramerType.RTU if request.node.callspec.params["served"] == "rtu" else FramerType.SOCKET
    client = AsyncModbusTcpClient("127.0.0.1", port=served.server.port, framer=framer, timeout=10, retries=0)
    assert await client.connect()
    yield client
    client.close()


async def test_who_has_an_identity_tells_it(client: AsyncModbusTcpClient) -> None:
    """The lane names its map by both functions; of the others no document says that they answer, so they refuse."""
    said = await client.read_device_information(read_code=1, object_id=0, device_id=1)
    assert said.information == {0: NEUTRAL.encode(), 1: b"sp-barrier-1", 2: b"1.0"}
    one = await client.read_device_information(read_code=4, object_id=1, device_id=1)
    assert one.information == {1: b"sp-barrier-1"}
    reported = await client.report_device_id(device_id=1)
    words = b"\x01\xff" + f"{NEUTRAL} sp-barrier-1 1.0".encode()
    assert reported.identifier == words[:-1], "pymodbus takes the last byte for the state"
    for unit in (2, 3):
        for refused in (
            await client.read_device_information(read_code=1, object_id=0, device_id=unit),
            await client.report_device_id(device_id=unit),
            await client.mask_write_register(address=0, and_mask=0, or_mask=0, device_id=unit),
        ):
            assert (unit, refused.isError(), refused.exception_code) == (unit, True, 1)


async def test_a_mask_write_changes_its_bits_and_is_a_write(served: Served, client: AsyncModbusTcpClient) -> None:
    """The register keeps what the first mask says, as in the standard's example (6.16); limits hold; all journalled."""
    assert not (await client.write_register(1, 0x12, device_id=1)).isError()
    echo = await client.mask_write_register(address=1, and_mask=0xF2, or_mask=0x25, device_id=1)
    assert (echo.isError(), echo.address, echo.and_mask, echo.or_mask) == (False, 1, 0xF2, 0x25)
    held = await client.read_holding_registers(0, count=2, device_id=1)
    assert held.registers[1] == 0x17
    too_much = await client.mask_write_register(address=1, and_mask=0xFFFF, or_mask=0, device_id=1)
    beyond = await client.mask_write_register(address=1, and_mask=0x00FF, or_mask=0x0100, device_id=1)
    nowhere = await client.mask_write_register(address=9, and_mask=0, or_mask=0, device_id=1)
    assert (too_much.isError(), beyond.exception_code, nowhere.exception_code) == (False, 3, 2)
    assert (await client.read_holding_registers(1, count=1, device_id=1)).registers == [0x17]
    done = [line for line in served.lines if "wrote" in line or "refused" in line]
    assert [list(line)[2] for line in done] == ["wrote", "wrote", "wrote", "refused"]


async def test_discover_shows_it_and_what_jams_is_told(no_leaked_tasks: None) -> None:
    """`sk discover modbus-tcp` names the lane, and the meter has no name; with the fault the lane jams its connection.

    The monitor keeps silent where it has no register.
    """
    served = Served("mbap")
    await served.estate.start()
    try:
        link = TcpLink.model_validate({"host": "127.0.0.1", "port": served.server.port, "timeout": "150ms"})
        units = [(1, "answers"), (3, "refused")]
        found = await who(link, units)
        assert [each.identity for each in found.verdict.there] == [
            {"vendor": NEUTRAL, "product": "sp-barrier-1", "revision": "1.0"},
            {},
        ]
        served.server.fault(1, Fault(kind=FaultKind.JAMMED))
        jammed = await who(link, units)
        assert [(each.identity, each.jammed) for each in jammed.verdict.there] == [({}, True), ({}, False)]
    finally:
        await served.estate.close()


async def who(link: TcpLink, units: list[tuple[int, str]]) -> lines.Found:
    found = await searched(link, units)
    assert there(found) == units
    return found
