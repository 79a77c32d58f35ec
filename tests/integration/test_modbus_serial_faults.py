"""What one faulty unit, a late byte or a glitch costs a serial line, through the real driver in virtual time."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import pytest

from drivers.base import Driver, Services
from drivers.modbus import RTU_OVER_TCP
from sitekeeper.model.clock import SystemClock
from sitekeeper.model.quality import GOOD, Quality
from tests import virtual
from tests.fixtures.hostile_rtu import Sent, connect_to, sealed
from tests.fixtures.modbus import device, registers

Script = Callable[[int, int, bytes], Sent]
"""(number of the request from 1 on, first register, right answer) -> what comes when."""
THREE_BLOCKS = registers(2) | registers(2, 10) | registers(3, 20)


class Unit:
    """Register n holds n + 1000; `asked` has the time and the first register of each request."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.asked: list[tuple[float, int]] = []

    def __call__(self, request: bytes) -> Sent:
        start, count = struct.unpack(">HH", request[2:6])
        self.asked.append((asyncio.get_running_loop().time(), start))
        data = struct.pack(f">{count}H", *range(start + 1000, start + count + 1000))
        return self._script(len(self.asked), start, sealed(request[:2] + bytes([len(data)]) + data))


async def line(script: Script, points: Any, *, gaps: int = 0, **link: str) -> tuple[Driver, Unit]:
    """Return an open driver and the unit at the other end."""
    unit = Unit(script)
    connect_to(unit)
    written = {"host": "line", "port": 1, "timeout": "100ms", "quiet": "200ms", **link}
    read = device("d", points, gaps=gaps)
    field = RTU_OVER_TCP.create(
        "line", RTU_OVER_TCP.link_model.model_validate(written), [read], SystemClock(), Services()
    )
    await field.open()
    return field, unit


@pytest.mark.parametrize("failing", [[], [(0.0, sealed(bytes.fromhex("01 03 02 03E9")))]], ids=["mute", "short"])
def test_a_request_that_always_fails_spoils_no_other(failing: Sent) -> None:
    """The points of a unit's other requests are good in every scan, whatever their length."""

    async def story() -> None:
        field, _ = await line(lambda _n, start, right: failing if start in {10, 11} else [(0.0, right)], THREE_BLOCKS)
        stands: dict[int, tuple[Any, int]] = {}
        for scan in range(10):
            stands |= {each.index: (each.value, each.q) for each in (await field.read("d@1s")).outcomes}
            good = {at: value for at, (value, q) in stands.items() if q == GOOD}
            assert good == {0: 1000, 1: 1001, 4: 1020, 5: 1021, 6: 1022}, scan
            assert all(stands[at][1] >> 6 == Quality.BAD for at in (2, 3))
        await field.close()

    virtual.run(story())


def test_requests_without_gaps_keep_the_doubt() -> None:
    """A doubtful request that is refused for its gaps leaves doubtful ones behind, which are asked twice as well."""

    def script(number: int, _: int, right: bytes) -> Sent:
        return [[], [(0.0, sealed(bytes.fromhex("01 83 02")))]][number - 1] if number < 3 else [(0.0, right)]

    async def story() -> None:
        field, unit = await line(script, registers(1) | registers(1, 2), gaps=1)
        await field.read("d@1s")
        assert (await field.read("d@1s")).answered
        assert [start for _, start in unit.asked] == [0, 0, 0, 0, 2, 2, 1]
        await field.close()

    virtual.run(story())


def test_an_answer_in_two_halves_is_one_answer() -> None:
    """Halves 700 ms apart are put together, if the time-out is longer; the next request is not disturbed by that."""

    async def story() -> None:
        def halves(_n: int, _s: int, right: bytes) -> Sent:
            return [(0.0, right[:4]), (0.7, right[4:])]

        field, _ = await line(halves, registers(2), timeout="1s")
        for _ in range(3):
            assert (await field.read("d@1s")).answered
        await field.close()

    virtual.run(story())


def test_a_late_byte_is_no_other_master() -> None:
    """How long the line is given to fall silent counts from when the answer was due, however long the time-out is."""

    async def story() -> None:
        field, _ = await line(
            lambda _n, _s, right: [(0.0, right), (0.1, b"U"), (3.1, b"U")], registers(2), timeout="3s"
        )
        await field.read("d@1s")
        await asyncio.sleep(0.2)
        assert (await field.read("d@1s")).answered
        await field.close()

    virtual.run(story())


def test_what_comes_into_the_rest_holds_back_the_next_request() -> None:
    """A byte half-way through the pause is followed by a whole silence."""

    async def story() -> None:
        field, unit = await line(lambda _n, _s, right: [(0.0, right), (0.4, b"U")], registers(2), pause="500ms")
        await field.read("d@1s")
        await field.read("d@1s")
        (first, _), (second, _) = unit.asked
        assert second - first >= 0.6
        await field.close()

    virtual.run(story())


@pytest.mark.parametrize("before", [b"", b"\0\0\0\0"], ids=["alone", "after noise"])
def test_a_glitch_behind_an_answer_costs_no_silence(before: bytes) -> None:
    """Whether it comes with the answer or after it, the next request goes out after the pause."""

    def glitches(_number: int, _start: int, right: bytes) -> Sent:
        return [(0.0, before + right + b"\xff\0\0\0"), (0.01, b"\0\0")]

    async def story() -> None:
        field, unit = await line(glitches, registers(2))
        for _ in range(3):
            assert (await field.read("d@1s")).answered
            await asyncio.sleep(0.02)
        first, second, third = (at for at, _ in unit.asked)
        assert third - second == pytest.approx(0.02)
        assert second - first < 0.35  # the silence after opening is taken twice
        await field.close()

    virtual.run(story())
