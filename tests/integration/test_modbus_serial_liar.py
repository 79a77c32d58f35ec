"""A serial line that lies and is late, in real time: a pseudo terminal, the real driver, no value that is wrong.

The same liar as on the line without time (`test_modbus_serial_lies`), 1,000 answers, a part of them on each of four
terminals that are read side by side: most of the time passes in silence.
"""

import asyncio
import contextlib
import os
import tty
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from drivers.base import Services
from drivers.modbus import RTU
from simulators.frame_server import LENGTHS
from sitekeeper.model.clock import SystemClock
from tests.fixtures.hostile_modbus import POINTS
from tests.fixtures.hostile_rtu import QUIET, TIMEOUT, RtuLiar
from tests.fixtures.modbus import device
from tests.integration.test_modbus_serial_lies import MAY_BE_TAKEN, judged

REPLIES, SEEDS = 1_000, (19, 20, 21, 22)
READS = {3, 4}
"""Functions that are answered, and lied about; who asks what the device is hears nothing."""


@contextmanager
def lying_terminal(liar: RtuLiar) -> Iterator[str]:
    """Give a terminal behind which `liar` answers."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    loop = asyncio.get_running_loop()
    waiting = bytearray()

    def say(content: bytes) -> None:
        with contextlib.suppress(OSError):  # nobody has it open
            os.write(ours, content)

    def hear() -> None:
        with contextlib.suppress(OSError):
            waiting.extend(os.read(ours, 4096))
        while len(waiting) > 1 and len(waiting) >= LENGTHS[waiting[1]]:
            request = bytes(waiting[: LENGTHS[waiting[1]]])
            del waiting[: len(request)]
            for delay, content in liar(request) if request[1] in READS else ():
                loop.call_later(delay, say, content)

    loop.add_reader(ours, hear)
    try:
        yield os.ttyname(theirs)
    finally:
        loop.remove_reader(ours)
        os.close(ours)
        os.close(theirs)


async def lied_to(replies: int, seed: int) -> tuple[Counter[str], int, list[Any]]:
    """Read behind a terminal of its own; return as `judged`."""
    liar = RtuLiar(seed)
    with lying_terminal(liar) as path:
        written = {"port": path, "framing": "8N1"}
        written |= {"timeout": f"{TIMEOUT * 1000:.0f}ms", "quiet": f"{QUIET * 1000:.0f}ms"}
        options = RTU.link_model.model_validate(written)
        make = partial(RTU.create, "line", options, [device("d", POINTS, max_registers=4)], SystemClock(), Services())
        return await judged(make(), liar, replies)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_no_lie_on_a_real_terminal_becomes_a_good_value() -> None:
    """Of 1,000 answers of 20 kinds no value is good and wrong."""
    async with asyncio.TaskGroup() as group:
        lines = [group.create_task(lied_to(REPLIES // len(SEEDS), seed)) for seed in SEEDS]
    taken, refused, wrong = Counter[str](), 0, list[Any]()
    for line in lines:
        good, none, lies = line.result()
        taken, refused, wrong = taken + good, refused + none, wrong + lies
    print({"replies": REPLIES, "good": dict(taken), "none good": refused, "wrong": len(wrong)})
    assert wrong == []
    assert taken["right"] > REPLIES / 20
    assert refused > REPLIES / 50
    assert set(taken) & MAY_BE_TAKEN
