"""One bit of a register is written by function 22, and the others stay as they are, whoever changes them meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sitekeeper.model.errors import DeviceRefused, ReplyMismatch
from tests.fixtures.modbus import ByteServer, answer, device, driver, frame, serving

POINTS = {
    "low": ({"holding": 4, "bit": 0, "write": 22}, "bool"),
    "top": ({"holding": 4, "type": "int16", "bit": 15, "write": 22}, "bool"),
    "swapped": ({"holding": 4, "bit": 0, "order": "BADC", "write": 22}, "bool"),
    "allowed": ({"holding": 4, "bit": 1, "write": 22, "rewrite": True}, "bool"),
    "whole": ({"holding": 4, "type": "uint16"}, "int"),
}


class Register:
    """A unit with one register; `masks`: it has function 22."""

    def __init__(self, value: int, *, masks: bool = True) -> None:
        self.value, self.masks = value, masks

    def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        function, data = request[7], request[8:]
        if function == 3:
            writer.write(answer(request, *([self.value] * int.from_bytes(data[2:4]))))
        elif function == 22 and self.masks:
            keep, wanted = int.from_bytes(data[2:4]), int.from_bytes(data[4:6])
            self.value = self.value & keep | wanted & ~keep & 0xFFFF
            writer.write(frame(request, request[7:]))
        elif function == 6:
            self.value = int.from_bytes(data[2:4])
            writer.write(frame(request, request[7:]))
        else:
            writer.write(frame(request, bytes([function | 0x80, 1])))


@asynccontextmanager
async def opened(unit: Register) -> AsyncIterator[tuple[object, ByteServer]]:
    async with serving(unit) as server:
        field = driver(server.port, device("gate", POINTS), timeout="2s")
        await field.open()
        try:
            yield field, server
        finally:
            await field.close()


@pytest.mark.parametrize(
    ("point", "value", "pdu", "left"),
    [
        ("low", True, "16 00 04 ff fe 00 01", 0x5551),
        ("low", False, "16 00 04 ff fe 00 00", 0x5550),
        ("top", True, "16 00 04 7f ff 80 00", 0xD550),
        ("swapped", True, "16 00 04 fe ff 01 00", 0x5550),
    ],
)
async def test_the_bytes_of_a_mask_write(point, value, pdu, left, no_leaked_tasks):
    """One request with AND and OR mask (MODBUS Application Protocol V1.1b3, 6.16), and only that bit is another."""
    unit = Register(0x5550)
    async with opened(unit) as (field, server):
        await field.write("gate", point, value, 8)
        assert [request[7:].hex(" ") for request in server.requests] == [pdu]
        assert unit.value == left


async def test_it_is_read_back_and_the_neighbours_stay(no_leaked_tasks):
    """The next scan shows the bit as the device has it, beside what somebody else changed in the same register."""
    unit = Register(0)
    async with opened(unit) as (field, _):
        await field.read("gate@1s")
        unit.value = 0x0F00  # since we last looked
        await field.write("gate", "low", True, 8)
        scan = await field.read("gate@1s")
        values = {list(POINTS)[each.index]: each.value for each in scan.outcomes}
        assert values == {"low": True, "swapped": True, "whole": 0x0F01}


async def test_an_echo_with_another_mask_is_no_confirmation(no_leaked_tasks):
    """What the device repeats must be the very masks; with others it is not known what was done."""
    async with serving(lambda r, w: w.write(frame(r, r[7:12] + b"\x12\x34"))) as server:
        field = driver(server.port, device("gate", POINTS), timeout="2s")
        await field.open()
        with pytest.raises(ReplyMismatch, match="whether it was carried out is unknown"):
            await field.write("gate", "low", True, 8)
        await field.close()


async def test_a_device_without_it_is_not_written_behind_its_back(no_leaked_tasks):
    """Exception 1 is the answer, and says what would have to be written in the profile; the register is not touched."""
    unit = Register(0x5550, masks=False)
    async with opened(unit) as (field, server):
        with pytest.raises(DeviceRefused, match=r"exception 1, illegal function; .*rewrite: true") as caught:
            await field.write("gate", "low", True, 8)
        assert (caught.value.device, unit.value, len(server.requests)) == ("gate", 0x5550, 1)


async def test_where_the_profile_allows_it_the_register_is_read_and_written_back(no_leaked_tasks):
    """With `rewrite: true` the bit is set by 03 and 06; 22 is not tried again, and never used for points without it."""
    unit = Register(0x5550, masks=False)
    async with opened(unit) as (field, server):
        await field.write("gate", "allowed", True, 8)
        await field.write("gate", "allowed", False, 8)
        assert [request[7] for request in server.requests] == [22, 3, 6, 3, 6]
        assert unit.value == 0x5550
        await field.write("gate", "allowed", True, 8)
        assert unit.value == 0x5552
        with pytest.raises(DeviceRefused, match="rewrite: true"):
            await field.write("gate", "low", True, 8)
        assert unit.value == 0x5552
