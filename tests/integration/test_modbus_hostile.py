"""Servers that are broken, slow or malicious. A value is taken only if every field of its answer is right."""

import asyncio
import random
import struct
import time
from contextlib import suppress

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from drivers.modbus.link import JAMMED
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, LinkDown, ReplyMismatch
from sitekeeper.model.quality import GOOD, Reason, bad
from tests.fixtures.modbus import answer, asked, counting, device, driver, frame, registers, serving

LIFT = device("lift", registers(3))
RIGHT = [(0, 1000, GOOD), (1, 1001, GOOD), (2, 1002, GOOD)]
MISMATCH = [(at, None, bad(Reason.MISMATCH)) for at in range(3)]
SILENT = [(at, None, bad(Reason.COMM)) for at in range(3)]


@pytest.fixture
async def loop_errors(no_leaked_tasks):
    """Whatever reaches the event loop's handler, that is, what nobody caught."""
    caught = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: caught.append(context))
    yield caught
    loop.set_exception_handler(None)


def listed(scan):
    return [(outcome.index, outcome.value, outcome.q) for outcome in scan.outcomes]


def once(wrong):
    """Answer the first request by `wrong`, all others honestly."""
    done = []

    def script(request, writer):
        writer.write(counting(request) if done else wrong(request))
        done.append(request)

    return script


WRONG_BUT_TAKEN = {
    "another function": lambda r: answer(r, 7, 8, 9, function=4),
    "a bit function": lambda r: frame(r, b"\x01\x01\x05"),
    "fewer registers": lambda r: answer(r, 7, 8),
    "no registers": lambda r: answer(r),
    "more registers": lambda r: answer(r, 7, 8, 9, 10),
    "odd byte count": lambda r: frame(r, b"\x03\x05" + bytes(5)),
    "data beyond the byte count": lambda r: frame(r, b"\x03\x06" + bytes(12)),
}

WRONG_AND_RAISING = {
    "byte count beyond the data": lambda r: frame(r, b"\x03\x06\x00\x07"),
    "byte count 255": lambda r: frame(r, b"\x03\xff" + bytes(6)),
    "unknown function": lambda r: frame(r, b"\x63\x06" + bytes(6)),
    "function 0": lambda r: frame(r, b"\x00\x06" + bytes(6)),
    "exception of function 0": lambda r: frame(r, b"\x80\x03"),
    "exception without a code": lambda r: frame(r, b"\x83"),
}

WRONG_OTHERWISE = {
    "another unit": lambda r: frame(r, b"\x03\x06" + bytes(6), unit=9),
    "exception of another function": lambda r: frame(r, b"\x84\x02"),
    "exception of two bytes": lambda r: frame(r, b"\x83\x02\x00"),
}


@pytest.mark.parametrize("wrong", WRONG_BUT_TAKEN)
async def test_the_library_alone_takes_wrong_answers(wrong, no_leaked_tasks):
    """Without our check, pymodbus hands these answers over as success: why the check is there."""
    async with serving(once(WRONG_BUT_TAKEN[wrong])) as server:
        client = AsyncModbusTcpClient("127.0.0.1", port=server.port, timeout=0.2, retries=0, reconnect_delay=0)
        await client.connect()
        reply = await client.read_holding_registers(0, count=3, device_id=1)
        client.close()
        assert not reply.isError()


@pytest.mark.parametrize("wrong", WRONG_AND_RAISING)
async def test_the_library_alone_lets_errors_escape_to_the_loop(wrong, loop_errors):
    """Without our check, these answers raise inside pymodbus's protocol callback, where nobody can catch it."""
    async with serving(once(WRONG_AND_RAISING[wrong])) as server:
        client = AsyncModbusTcpClient("127.0.0.1", port=server.port, timeout=0.1, retries=0, reconnect_delay=0)
        await client.connect()
        with pytest.raises(ModbusIOException):
            await client.read_holding_registers(0, count=3, device_id=1)
        client.close()
    assert loop_errors


@pytest.mark.parametrize("wrong", WRONG_BUT_TAKEN | WRONG_AND_RAISING | WRONG_OTHERWISE)
async def test_wrong_answer_is_never_a_value(wrong, loop_errors):
    """An answer of another function, unit or length makes its points bad at once, and the next answer is taken."""
    reply = (WRONG_BUT_TAKEN | WRONG_AND_RAISING | WRONG_OTHERWISE)[wrong]
    async with serving(once(reply)) as server:
        field = driver(server.port, LIFT, timeout="2s")
        await field.open()
        started = time.monotonic()
        scan = await field.read("lift@1s")
        assert listed(scan) == MISMATCH
        assert not scan.answered
        assert time.monotonic() - started < 1
        error = scan.errors[0]
        assert isinstance(error, ReplyMismatch)
        assert (error.device, error.endpoint, error.request, error.count, error.last_good) == (
            "lift",
            f"tcp 127.0.0.1:{server.port} unit 1",
            "FC03 address 0 count 3",
            1,
            None,
        )
        assert error.raw == reply(server.requests[0])
        assert listed(await field.read("lift@1s")) == RIGHT
        await field.close()
    assert loop_errors == []


@pytest.mark.parametrize("code", [*range(12), 127, 128, 255])
async def test_exception_touches_its_own_request_only(code, loop_errors):
    """An exception makes the points of that request bad with its code; nothing is shifted to other points."""
    far = device("lift", {**registers(3), **registers(3, start=50), **registers(3, start=100)})

    def script(request, writer):
        refused = asked(request)[0] == 50
        writer.write(frame(request, bytes([0x83, code])) if refused else counting(request))

    async with serving(script) as server:
        field = driver(server.port, far)
        await field.open()
        scan = await field.read("lift@1s")
        values = [value for _, value, _ in listed(scan)]
        assert values == [1000, 1001, 1002, None, None, None, 1100, 1101, 1102]
        assert [q for _, _, q in listed(scan)][3:6] == [bad(Reason.REFUSED)] * 3
        assert isinstance(scan.errors[0], DeviceRefused)
        assert scan.errors[0].exception_code == code
        assert scan.answered == (code not in {10, 11})  # these two mean that the device itself was not heard
        await field.close()
    assert loop_errors == []


async def test_late_answer_is_not_the_next_one(loop_errors):
    """An answer after its time is passed over: the next request gets its own value."""
    late = []

    def script(request, writer):
        if len(late) < 3:
            late.append(answer(request, 1, 2, 3))
            if len(late) > 1:
                writer.write(late[-2])
        else:
            writer.write(late[-1] + counting(request))

    async with serving(script) as server:
        field = driver(server.port, LIFT, timeout="100ms")
        await field.open()
        for count in (1, 2, 3):
            scan = await field.read("lift@1s")
            assert listed(scan) == SILENT
            assert isinstance(scan.errors[0], DeviceSilent)
            assert scan.errors[0].count == count
        assert listed(await field.read("lift@1s")) == RIGHT
        await field.close()
    assert loop_errors == []


async def test_split_at_every_byte(loop_errors):
    """However an answer is split, it is taken whole."""
    whole = 9 + 6
    cuts = iter(range(1, whole))

    async def script(request, writer):
        data, cut = counting(request), next(cuts)
        writer.write(data[:cut])
        await asyncio.sleep(0.002)
        writer.write(data[cut:])

    async with serving(script) as server:
        field = driver(server.port, LIFT, timeout="2s")
        await field.open()
        for cut in range(1, whole):
            scan = await field.read("lift@1s")
            assert scan.answered
            assert listed(scan) == (RIGHT if cut == 1 else [])
        await field.close()
    assert loop_errors == []


async def test_dripping_server_costs_one_time_out(loop_errors):
    """A server that sends a byte now and then is silent after the time-out, whatever it still sends."""

    async def script(request, writer):
        for byte in counting(request):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.03)

    async with serving(script) as server:
        field = driver(server.port, LIFT, timeout="150ms")
        await field.open()
        started = time.monotonic()
        scan = await field.read("lift@1s")
        assert 0.1 < time.monotonic() - started < 1
        assert listed(scan) == SILENT
        assert "incomplete" in str(scan.errors[0])
        await field.close()
    assert loop_errors == []


async def test_answer_twice(loop_errors):
    """A second copy of an answer is not the answer to the next request."""
    async with serving(lambda request, writer: writer.write(counting(request) * 2)) as server:
        field = driver(server.port, LIFT)
        await field.open()
        assert listed(await field.read("lift@1s")) == RIGHT
        for _ in range(3):
            assert listed(await field.read("lift@1s")) == []
        await field.close()
    assert loop_errors == []


@pytest.mark.parametrize(
    "junk", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 9, bytes(6), b"\0\1\0\0\xff\xff\1"], ids=repr
)
async def test_what_is_not_modbus_loses_the_link_at_once(junk, loop_errors):
    """A stream that cannot be followed is not waited on: the link is down, with the bytes in the error."""
    async with serving(lambda request, writer: writer.write(junk + counting(request))) as server:
        field = driver(server.port, LIFT, timeout="2s")
        await field.open()
        started = time.monotonic()
        with pytest.raises(LinkDown) as lost:
            await field.read("lift@1s")
        assert time.monotonic() - started < 1
        assert lost.value.raw.startswith(junk[:6])
        with pytest.raises(LinkDown):
            await field.read("lift@1s")
        await field.close()
    assert loop_errors == []


async def test_endless_stream_of_other_answers(loop_errors):
    """Well-formed answers to nobody's question are passed over in bounded memory until the time is over."""

    async def script(request, writer):
        other = frame(request, b"\x03\x06" + bytes(6), transaction=b"\xff\xff")
        for _ in range(40):
            writer.write(other * 20)
            await asyncio.sleep(0.005)

    async with serving(script) as server:
        field = driver(server.port, LIFT, timeout="100ms")
        await field.open()
        with suppress(LinkDown):  # where the buffer was dropped in the middle of a frame
            assert listed(await field.read("lift@1s")) == SILENT
        await field.close()
    assert loop_errors == []


@pytest.mark.parametrize("how", ["close", "reset", "half an answer"])
async def test_peer_closes_in_mid_request(how, loop_errors):
    """A peer that closes while a request is in flight is noticed at once, not after the time-out."""

    def script(request, writer):
        if how == "half an answer":
            writer.write(counting(request)[:8])
        if how == "reset":
            writer.transport.abort()
        else:
            writer.close()

    async with serving(script) as server:
        field = driver(server.port, LIFT, timeout="5s")
        await field.open()
        started = time.monotonic()
        with pytest.raises(LinkDown, match="the peer closed the connection"):
            await field.read("lift@1s")
        assert time.monotonic() - started < 1
        await field.open()  # a new connection is a new chance
        await field.close()
    assert loop_errors == []


async def test_peer_closes_between_requests(loop_errors):
    """A connection closed while idle is a lost link at the next read, without a time-out."""
    async with serving(lambda request, writer: writer.write(counting(request))) as server:
        field = driver(server.port, LIFT, timeout="5s")
        await field.open()
        await field.read("lift@1s")
        server.disconnect()
        await asyncio.sleep(0.05)
        started = time.monotonic()
        with pytest.raises(LinkDown):
            await field.read("lift@1s")
        assert time.monotonic() - started < 1
        await field.close()
    assert loop_errors == []


async def test_jammed_connection_is_given_up(loop_errors):
    """When nobody answers any more, the connection itself is given up, so that a new one can be tried."""
    async with serving(lambda request, writer: None) as server:
        field = driver(server.port, LIFT, timeout="50ms")
        await field.open()
        for _ in range(JAMMED - 1):
            assert not (await field.read("lift@1s")).answered
        with pytest.raises(LinkDown, match="in a row without an answer"):
            await field.read("lift@1s")
        await field.close()
    assert loop_errors == []


async def test_dead_neighbours_do_not_cost_a_live_unit_the_connection(loop_errors):
    """Any number of dead units, asked in turn with a live one, never bring the link down."""
    dead = [device(f"dead{unit}", registers(1), unit=unit) for unit in range(2, 9)]

    def script(request, writer):
        if request[6] == 1:
            writer.write(counting(request))

    async with serving(script) as server:
        field = driver(server.port, LIFT, *dead, timeout="20ms")
        await field.open()
        for _ in range(JAMMED + 1):
            assert (await field.read("lift@1s")).answered
            for neighbour in dead:
                assert not (await field.read(f"{neighbour.id}@1s")).answered
        await field.close()
    assert loop_errors == []


async def test_silent_unit_costs_one_time_out_and_starves_nobody(loop_errors):
    """A silent unit is asked once, not once for each of its requests; a mute block does not hide the others."""
    mute = {0}
    everything = {0, 50, 100}

    def script(request, writer):
        if asked(request)[0] not in mute:
            writer.write(counting(request))

    points = {**registers(1), **registers(1, start=50), **registers(1, start=100)}
    async with serving(script) as server:
        field = driver(server.port, device("lift", points), timeout="100ms")
        await field.open()
        first = await field.read("lift@1s")
        assert [value for _, value, _ in listed(first)] == [None, None, None]
        assert len(server.requests) == 1
        second = await field.read("lift@1s")
        assert [value for _, value, _ in listed(second)] == [None, 1050, 1100]
        assert not second.answered
        mute |= everything
        await field.read("lift@1s")
        await field.read("lift@1s")
        mute.clear()
        back = await field.read("lift@1s")
        assert [value for _, value, _ in listed(back)] == [1000, 1050, 1100]
        assert back.answered
        await field.close()
    assert loop_errors == []


async def test_cancelled_request_stays_the_only_one_in_flight(loop_errors):
    """After a cancelled read, the next waits until the device has answered; it is never asked two things at once."""
    open_requests, most = 0, 0

    async def script(request, writer):
        nonlocal open_requests, most
        open_requests += 1
        most = max(most, open_requests)
        await asyncio.sleep(0.05)
        writer.write(counting(request))
        open_requests -= 1

    async def handle(request, writer):
        tasks.append(asyncio.create_task(script(request, writer)))

    tasks = []
    async with serving(handle) as server:
        field = driver(server.port, LIFT, timeout="500ms")
        await field.open()
        await field.read("lift@1s")
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await field.read("lift@1s")
        scan = await field.read("lift@1s")
        assert listed(scan) == RIGHT  # complete again: what the cancelled ones may have seen is not lost
        assert most == 1
        await field.close()
        await asyncio.gather(*tasks)
    assert loop_errors == []


async def test_cancelled_request_without_answer_delays_by_one_time_out(loop_errors):
    """If the answer to a cancelled request never comes, the next request is sent after its time."""
    sent = []

    def script(request, writer):
        sent.append(time.monotonic())
        if len(sent) != 1:
            writer.write(counting(request))

    async with serving(script) as server:
        field = driver(server.port, LIFT, timeout="150ms")
        await field.open()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await field.read("lift@1s")
        assert listed(await field.read("lift@1s")) == RIGHT
        assert 0.1 < sent[1] - sent[0] < 1
        await field.close()
    assert loop_errors == []


async def test_refused_gap_is_read_around_for_good(loop_errors):
    """Where a gap turns out to be forbidden, the same scan reads around it, and later ones do not try again."""
    tried = []

    def script(request, writer):
        address, count = asked(request)
        tried.append((address, count))
        hole = address <= 5 < address + count
        writer.write(frame(request, b"\x83\x02") if hole else counting(request))

    points = {**registers(3), **registers(3, start=8)}
    async with serving(script) as server:
        field = driver(server.port, device("lift", points, gaps=8))
        await field.open()
        assert len(field.requests("lift@1s")) == 1
        scan = await field.read("lift@1s")
        assert [value for _, value, _ in listed(scan)] == [1000, 1001, 1002, 1008, 1009, 1010]
        assert (scan.answered, scan.errors) == (True, ())
        await field.read("lift@1s")
        assert tried == [(0, 11), (0, 3), (8, 3), (3, 5), (0, 3), (8, 3)]  # (3, 5): is it the gap?
        await field.close()
    assert loop_errors == []


async def test_unchanged_registers_are_not_decoded(monkeypatch, no_leaked_tasks):
    """Equal answers cost no decoding; of a changed answer only the points are decoded whose registers changed."""
    words = [5] * 100
    decoded = []

    def counting_decoder(point, point_type, shift=0):
        def decode(chunk):
            decoded.append(point.address)
            return int.from_bytes(chunk, "big"), GOOD

        return decode

    monkeypatch.setattr("drivers.modbus.blocks.decoder", counting_decoder)
    async with serving(lambda request, writer: writer.write(answer(request, *words))) as server:
        field = driver(server.port, device("lift", registers(100)))
        await field.open()
        await field.read("lift@1s")
        assert len(decoded) == 100
        decoded.clear()
        await field.read("lift@1s")
        assert decoded == []
        words[7] = 6
        words[90] = 6
        assert [index for index, _, _ in listed(await field.read("lift@1s"))] == [7, 90]
        assert decoded == [7, 90]
        await field.close()


async def test_coils_at_any_offset(no_leaked_tasks):
    """A coil is found at its place in the answer, whatever byte and bit that is."""
    bits = [bool(n * n % 3) for n in range(64)]

    def script(request, writer):
        address, count = asked(request)
        packed = sum(bit << at for at, bit in enumerate(bits[address : address + count]))
        data = packed.to_bytes((count + 7) // 8, "little")
        writer.write(frame(request, struct.pack("BB", request[7], len(data)) + data))

    points = {f"c{at}": ({"coil": at}, "bool") for at in range(3, 60)}
    async with serving(script) as server:
        field = driver(server.port, device("lift", points))
        await field.open()
        assert [value for _, value, _ in listed(await field.read("lift@1s"))] == bits[3:60]
        bits[17] = not bits[17]
        assert listed(await field.read("lift@1s")) == [(14, bits[17], GOOD)]
        await field.close()


async def opened(field):
    """Open the link, though the machine may stall for longer than the time-out."""
    async with asyncio.timeout(30):
        while True:
            with suppress(LinkDown):
                return await field.open()


def damaged(rng: random.Random, request: bytes) -> bytes:
    """Return an answer with something done to it."""
    right = bytearray(counting(request))
    match rng.randrange(6):
        case 0:
            return bytes(right[: rng.randrange(len(right))])
        case 1:
            return rng.randbytes(rng.randrange(1, 40))
        case 2:
            return bytes(right) + rng.randbytes(rng.randrange(1, 20))
        case 3:
            return answer(request, *[rng.randrange(65536) for _ in range(rng.randrange(6))])
        case 4:
            return frame(request, bytes([rng.randrange(256)]) + rng.randbytes(rng.randrange(9)))
        case _:
            right[rng.randrange(9)] = rng.randrange(256)  # the header only: data is what the device says it is
            return bytes(right)


async def test_damaged_answers_by_the_hundred(loop_errors):
    """Of 400 seeded answers with damage, none becomes a value that the device did not serve for that point."""
    rng = random.Random(20261)
    served: list[list[tuple[int, ...]]] = []

    def script(request, writer):
        reply = counting(request) if rng.random() < 0.2 else damaged(rng, request)
        if reply[:9] == counting(request)[:9] and len(reply) >= 15:
            served[-1].append(struct.unpack_from(">3H", reply, 9))
        writer.write(reply)

    ends = {"good": 0, "bad": 0, "down": 0}
    async with serving(script) as server:
        field = driver(server.port, LIFT, timeout="20ms")
        served.append([])
        await opened(field)
        for _ in range(400):
            served.append([])
            try:
                scan = await field.read("lift@1s")
            except LinkDown:
                ends["down"] += 1
                await opened(field)
                continue
            ends["good" if scan.answered else "bad"] += 1
            assert [o.index for o in scan.outcomes] == list(range(3)) or not scan.complete
            for outcome in scan.outcomes:
                assert outcome.value is None or outcome.value in {words[outcome.index] for words in served[-1]}
        await field.close()
    assert loop_errors == []
    assert min(ends.values()) > 20, ends  # each way out was taken, or this proved nothing
