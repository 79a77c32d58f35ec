"""Frames of a link for people: what they say, what is kept, and that nobody pays who does not look."""

import asyncio
import struct

import pytest

from drivers.frames import OVERHEAD, Frames
from drivers.modbus.rtu import frame as sealed
from drivers.modbus.spoken import describe
from sitekeeper.model.clock import ManualClock
from tests import virtual
from tests.fixtures.hostile_modbus import connect_to
from tests.fixtures.modbus import answer, asked, device, driver, frame, registers

NOTHING = dict.fromkeys(["unit", "function", "address", "count", "values", "exception"])


def mbap(body: str) -> bytes:
    data = bytes.fromhex(body)
    return b"\0\1\0\0" + len(data).to_bytes(2) + data


@pytest.mark.parametrize(
    ("request_", "reply", "said", "answered"),
    [
        ("07 03 0010 0002", "07 03 04 03e8 03e9", {"count": 2}, {"count": 2, "values": [1000, 1001]}),
        ("07 01 0010 000a", "07 01 02 0502", {"count": 10}, {"count": 10, "values": [1, 0, 1, 0, 0, 0, 0, 0, 0, 1]}),
        ("07 06 0010 03e8", "07 06 0010 03e8", {"count": 1, "values": [1000]}, {}),
        ("07 10 0010 0002 04 0001 0002", "07 10 0010 0002", {"count": 2, "values": [1, 2]}, {}),
        ("07 0f 0010 0003 01 05", "07 0f 0010 0003", {"count": 3, "values": [1, 0, 1]}, {}),
        ("07 16 0010 fffe 0001", "07 16 0010 fffe 0001", {"count": 1, "values": ["and fffe", "or 0001"]}, {}),
        ("07 04 0010 0002", "07 84 02", {"count": 2}, {"exception": "2, illegal data address", "address": None}),
    ],
)
def test_what_a_frame_says(request_, reply, said, answered):
    """Request and answer are read the same from TCP and from a serial line."""
    for numbered, wrapped in ((True, mbap), (False, lambda body: sealed(bytes.fromhex(body)))):
        sent, came = wrapped(request_), wrapped(reply)
        function = int(request_[3:5], 16)
        common = NOTHING | {"unit": 7, "function": function, "address": 16}
        assert describe(sent, b"", numbered=numbered) == common | said
        assert describe(came, sent, numbered=numbered) == common | answered


@pytest.mark.parametrize("junk", ["", "00", "ff" * 9, "0001 0000 0006 01 83", "07 03 04 03e8 03e9 0000"])
def test_what_cannot_be_read_says_nothing(junk):
    """Rubbish has no unit and no function, on either wire, and raises nothing."""
    assert describe(bytes.fromhex(junk), b"", numbered=True) == NOTHING
    assert describe(bytes.fromhex(junk), b"", numbered=False) == NOTHING


def test_a_request_of_two_bytes_says_whom_it_asks_for_what():
    """Report Server ID (17) has neither address nor count; an exception cut off after its function has no code."""
    for numbered, wrapped in ((True, mbap), (False, lambda body: sealed(bytes.fromhex(body)))):
        sent = wrapped("07 11")
        assert describe(sent, b"", numbered=numbered) == NOTHING | {"unit": 7, "function": 17}
        assert describe(wrapped("07 91"), sent, numbered=numbered) == NOTHING | {"unit": 7, "function": 17}


def test_the_ring_holds_so_many_bytes_and_no_more():
    """The oldest frames go first, and memory is bounded by what was asked for, overhead counted."""
    clock = ManualClock()
    ring = Frames(10 * (OVERHEAD + 12), clock.wall)
    for number in range(100):
        ring.note(struct.pack(">3I", number, 0, 0), sent=number % 2 == 0)
        clock.advance(1000)
    assert [int.from_bytes(each.data[:4]) for each in ring.past()] == list(range(90, 100))
    assert [each.since for each in ring.past()] == [None, 1000] * 5
    ring.note(bytes(10 * OVERHEAD * 2))
    assert ring.past() == []


async def story(**link: object) -> tuple[list, list, bool]:
    """Read once, watch two readings, the second in vain, and read again; return what was seen and what is left."""
    silent = []

    def unit(request: bytes) -> list[bytes]:
        start, count = asked(request)
        return [] if silent else [answer(request, *range(start, start + count))]

    connect_to(unit)  # type: ignore[arg-type]
    field = driver(502, device("d", registers(2)), timeout="100ms", clock=virtual.VirtualClock(), **link)
    await field.open()
    await field.read("d@1s")
    seen: list = []
    past = field.tap(seen.append)
    await field.read("d@1s")
    silent.append(True)
    await field.read("d@1s")
    field.untap(seen.append)
    off = field._link.frames is None
    await field.read("d@1s")
    await field.close()
    return past, seen, off


def test_frames_are_given_while_somebody_watches():
    """Who watches gets every frame as it went over the wire, silence included; afterwards nothing is kept."""
    past, seen, off = virtual.run(story())
    assert (past, off) == ([], True)
    assert [(each.sent, each.error) for each in seen] == [(True, ""), (False, ""), (True, ""), (False, "no answer")]
    assert seen[0].data == bytes.fromhex("0002 0000 0006 01 03 0000 0002")
    assert seen[1].data == frame(seen[0].data, bytes.fromhex("03 04 0000 0001"))
    assert seen[3].data == b""
    assert seen[3].since == 100_000


def test_frames_are_kept_where_the_link_says_so():
    """With `frames:` those before are there to be looked at, and go on being kept."""
    past, seen, off = virtual.run(story(frames=4096))
    assert [(each.sent, each.error) for each in past] == [(True, ""), (False, "")]
    assert (len(seen), off) == (4, False)


async def test_a_link_that_nobody_watches_keeps_nothing():
    """Without `frames:` and without a watcher there is no ring at all, so nothing is noted."""
    field = driver(1, device("d", registers(1)))
    assert field._link.frames is None
    await asyncio.sleep(0)
