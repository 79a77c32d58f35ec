"""Writes: the bytes on the wire, what the device may answer, and what is known when it does not."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from sitekeeper.model.errors import DeviceRefused, DeviceSilent, LinkDown, NotFound, ReplyMismatch
from tests.fixtures.modbus import answer, device, driver, frame, serving

POINTS = {
    "open": ({"coil": 3, "write": 5}, "bool"),
    "many": ({"coil": 9, "write": 15}, "bool"),
    "hold": ({"holding": 1, "bool": {True: 1, False: 0}, "write": 6}, "bool"),
    "limit": ({"holding": 10, "type": "float32", "order": "CDAB", "write": 16}, "float"),
    "level": ({"holding": 20, "type": "uint16"}, "int"),
}
UNKNOWN = "whether it was carried out is unknown"


def echo(request, writer):
    """Do as told, and remember nothing; read requests get zeros."""
    if request[7] < 5:
        count = int.from_bytes(request[10:12], "big")
        size = 2 * count if request[7] == 3 else (count + 7) // 8
        writer.write(frame(request, bytes([request[7], size]) + bytes(size)))
    else:
        writer.write(frame(request, request[7:12]))


@asynccontextmanager
async def opened(script, timeout="200ms"):
    async with serving(script) as server:
        field = driver(server.port, device("gate", POINTS), timeout=timeout)
        await field.open()
        try:
            yield field, server
        finally:
            await field.close()


@pytest.mark.parametrize(
    ("point", "value", "pdu"),
    [
        ("open", True, "05 00 03 ff 00"),
        ("open", False, "05 00 03 00 00"),
        ("many", True, "0f 00 09 00 01 01 01"),
        ("many", False, "0f 00 09 00 01 01 00"),
        ("hold", True, "06 00 01 00 01"),
        ("limit", -118.625, "10 00 0a 00 02 04 40 00 c2 ed"),
    ],
)
async def test_the_bytes_of_each_function(point, value, pdu, no_leaked_tasks):
    """Each function code sends what the standard says (MODBUS Application Protocol V1.1b3, 6.5, 6.6, 6.11, 6.12)."""
    async with opened(echo) as (field, server):
        await field.write("gate", point, value, 8)
        assert [request[6:].hex(" ") for request in server.requests] == [f"01 {pdu}"]


@pytest.mark.parametrize(
    "answered", ["05 00 03 00 00", "05 00 04 ff 00", "05 00 03 ff", "05 00 03 ff 00 00", "06 00 03 ff 00", "05"]
)
async def test_an_echo_that_is_not_what_was_written(answered, no_leaked_tasks):
    """A confirmation of anything else but the very write is none, and it stays open whether it was carried out."""

    def script(request, writer):
        writer.write(frame(request, bytes.fromhex(answered)))

    async with opened(script) as (field, server):
        with pytest.raises(ReplyMismatch, match=UNKNOWN) as caught:
            await field.write("gate", "open", True, 8)
        assert (caught.value.device, caught.value.request) == ("gate", "FC05 address 3 write 01")
        assert len(server.requests) == 1


async def test_a_refusal_names_its_code(no_leaked_tasks):
    """An exception is the device's no, with its code; it is not asked again."""
    async with opened(lambda request, writer: writer.write(frame(request, bytes([request[7] | 0x80, 3])))) as pair:
        field, server = pair
        with pytest.raises(DeviceRefused, match="exception 3, illegal data value") as caught:
            await field.write("gate", "limit", 1.0, 8)
        assert (caught.value.exception_code, caught.value.device) == (3, "gate")
        assert str(caught.value).startswith("gate: tcp 127.0.0.1:")
        assert "FC16 address 10 write 0000 3F80" in str(caught.value)
        assert len(server.requests) == 1


async def test_exceptions_that_are_no_refusal(no_leaked_tasks):
    """Acknowledged (5) is accepted; a gateway whose device does not answer (11) leaves the outcome open."""
    for code, outcome in ((5, None), (11, DeviceSilent)):
        reply = bytes([0x85, code])
        async with opened(lambda request, writer, reply=reply: writer.write(frame(request, reply))) as (field, _):
            if outcome is None:
                await field.write("gate", "open", True, 8)
                continue
            with pytest.raises(outcome, match=f"exception 11, gateway target.*; {UNKNOWN}") as caught:
                await field.write("gate", "open", True, 8)
            assert (caught.value.device, caught.value.request) == ("gate", "FC05 address 3 write 01")


async def test_silence_leaves_the_outcome_open(no_leaked_tasks):
    """Without an answer nobody knows whether the barrier opens: the error says so, and nothing is sent twice."""
    async with opened(lambda request, writer: None) as (field, server):
        with pytest.raises(DeviceSilent, match=f"no answer within 0.2 s; {UNKNOWN}"):
            await field.write("gate", "open", True, 8)
        assert len(server.requests) == 1


async def test_a_connection_lost_under_way_leaves_the_outcome_open(no_leaked_tasks):
    """A peer that closes instead of answering may have obeyed; one that is not connected has been told nothing."""
    async with opened(lambda request, writer: writer.close()) as (field, server):
        with pytest.raises(LinkDown, match=UNKNOWN):
            await field.write("gate", "open", True, 8)
        with pytest.raises(LinkDown) as caught:
            await field.write("gate", "open", True, 8)
        assert UNKNOWN not in str(caught.value)
        assert len(server.requests) == 1


async def test_a_cancelled_write_is_still_under_way(no_leaked_tasks):
    """Who asked may go; the frame has left, so the next request waits for its answer and takes its own only."""

    async def slow(request, writer):
        await asyncio.sleep(0.1 if request[7] == 5 else 0)
        echo(request, writer)

    async with opened(slow, timeout="1s") as (field, server):
        task = asyncio.create_task(field.write("gate", "open", True, 8))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        before = asyncio.get_running_loop().time()
        await field.write("gate", "hold", True, 8)
        assert asyncio.get_running_loop().time() - before > 0.05
        assert [request[7] for request in server.requests] == [5, 6]


async def test_a_write_has_its_turn_among_reads(no_leaked_tasks):
    """A write given during a scan goes out between two of its requests, one in flight at a time; the scan is whole."""
    open_now = most = 0

    async def slow(request, writer):
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0.02)
        open_now -= 1
        echo(request, writer)

    async with opened(slow, timeout="1s") as (field, server):
        reading = asyncio.create_task(field.read("gate@1s"))
        await asyncio.sleep(0.01)
        await field.write("gate", "open", True, 8)
        scan = await reading
        assert (scan.answered, len(scan.outcomes), most) == (True, len(POINTS), 1)
        codes = [request[7] for request in server.requests]
        assert codes.index(5) < len(codes) - 1


async def test_what_was_written_is_read_back_as_a_change(no_leaked_tasks):
    """After a write the next scan says what the device says, and nothing else of the group."""
    holding = dict.fromkeys(range(30), 0)

    def script(request, writer):
        address = int.from_bytes(request[8:10], "big")
        if request[7] == 3:
            count = int.from_bytes(request[10:12], "big")
            writer.write(answer(request, *(holding[at] for at in range(address, address + count))))
        elif request[7] == 6:
            holding[address] = int.from_bytes(request[10:12], "big")
            echo(request, writer)
        else:
            echo(request, writer)

    async with opened(script) as (field, _):
        assert (await field.read("gate@1s")).complete
        await field.write("gate", "hold", True, 8)
        scan = await field.read("gate@1s")
        assert [(outcome.index, outcome.value) for outcome in scan.outcomes] == [(2, True)]


async def test_what_never_reaches_the_wire(no_leaked_tasks):
    """Unknown points, points without `write:`, impossible values and giving up send nothing."""
    async with opened(echo) as (field, server):
        for point in ("level", "nothing"):
            with pytest.raises(NotFound, match="that can be written"):
                await field.write("gate", point, 1, 8)
        with pytest.raises(NotFound, match="did you mean gate/open"):
            await field.write("gate", "opne", True, 8)
        for point, value in (("open", None), ("open", 1), ("limit", float("nan")), ("hold", "free")):
            with pytest.raises(ValueError):
                await field.write("gate", point, value, 8)
        assert server.requests == []
