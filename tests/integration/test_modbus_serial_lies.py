"""100,000 answers on a serial line that lies and is late, through the real driver: no wrong value is good."""

import math
from collections import Counter
from typing import Any

from drivers.base import Driver, Services
from drivers.modbus import RTU_OVER_TCP
from sitekeeper.model.clock import SystemClock
from sitekeeper.model.errors import LinkDown
from sitekeeper.model.quality import GOOD
from tests import virtual
from tests.fixtures.hostile_modbus import POINTS
from tests.fixtures.hostile_rtu import LIES, QUIET, TIMEOUT, RtuLiar, connect_to
from tests.fixtures.modbus import device

REPLIES = 100_000
MAY_BE_TAKEN = {
    "right",
    "in pieces",
    "little noise before the answer",
    "a glitch behind the answer",
    "babble afterwards",
}


def same(value: Any, truth: Any) -> bool:
    return type(value) is type(truth) and (value == truth or (isinstance(truth, float) and math.isclose(value, truth)))


async def lied_to(replies: int, seed: int) -> tuple[Counter[str], int, list[Any]]:
    """Read in two requests of one shape; return how often values were good by kind, how often none was, and lies."""
    liar = RtuLiar(seed)
    escaped = connect_to(liar)
    written = {"host": "line", "port": 1, "timeout": f"{TIMEOUT * 1000:.0f}ms", "quiet": f"{QUIET * 1000:.0f}ms"}
    options = RTU_OVER_TCP.link_model.model_validate(written)
    read = device("d", POINTS, max_registers=4, identify=False)
    field = RTU_OVER_TCP.create("line", options, [read], SystemClock(), Services())
    taken, refused, wrong = await judged(field, liar, replies)
    return taken, refused, wrong + escaped


async def judged(field: Driver, liar: RtuLiar, replies: int) -> tuple[Counter[str], int, list[Any]]:
    """Read until so many requests were answered; return as `lied_to`."""
    taken, refused, wrong = Counter[str](), 0, list[Any]()
    stands: dict[int, tuple[Any, int]] = {}
    await field.open()
    while liar.asked < replies:
        try:
            scan = await field.read("d@1s")
        except LinkDown:
            stands.clear()
            await field.open()
            continue
        stands |= {outcome.index: (outcome.value, outcome.q) for outcome in scan.outcomes}
        taken_at = {outcome.index: outcome.received for outcome in scan.outcomes}
        good = {index: value for index, (value, q) in stands.items() if q == GOOD}
        taken[liar.kind] += bool(good)
        refused += not good
        for at, value in good.items():
            # A larger request may be tried after it, only to learn: no value comes of it, but the registers move.
            truth = liar.at(taken_at[at]) if at in taken_at else liar.truth
            wrong += [] if same(value, truth[at]) else [(liar.kind, at, value)]
    await field.close()
    return taken, refused, wrong


def test_no_lie_on_a_serial_line_becomes_a_good_value() -> None:
    """Of answers of 20 kinds no value is good and wrong; nothing escapes to the loop."""
    taken, refused, wrong = virtual.run(lied_to(REPLIES, 6))
    print({"replies": REPLIES, "good": dict(taken), "none good": refused, "wrong": len(wrong)})
    assert wrong == []
    assert all(taken[kind] for kind in MAY_BE_TAKEN)
    assert refused > REPLIES / 20
    assert set(LIES) >= MAY_BE_TAKEN
