"""100,000 answers of a lying device through the real driver: a value is taken only if it is the right one."""

import math
from collections import Counter
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from sitekeeper.model.errors import LinkDown
from sitekeeper.model.quality import GOOD
from tests import virtual
from tests.fixtures.hostile_modbus import LIES, POINTS, REGISTERS, Liar, connect_to, meaning
from tests.fixtures.modbus import device, driver

REPLIES = 100_000
BARE = 3_000
"""As many as the library alone is asked for."""
MUST_BE_TAKEN = {"right", "twice", "in pieces", "the answer before, then the right one"}


def same(value: Any, truth: Any) -> bool:
    return type(value) is type(truth) and (value == truth or (isinstance(truth, float) and math.isclose(value, truth)))


async def lied_to(replies: int, seed: int) -> tuple[Counter[str], Counter[str], list[Any]]:
    """Read so often; return by kind of lie how often values were taken, how often refused, and what was wrong."""
    liar = Liar(seed)
    escaped = connect_to(liar)
    field = driver(502, device("d", POINTS, identify=False), timeout="100ms")
    taken, refused, wrong = Counter[str](), Counter[str](), list[Any]()
    stands: dict[int, tuple[Any, int]] = {}
    await field.open()
    for _ in range(replies):
        try:
            scan = await field.read("d@1s")
        except LinkDown:
            refused[liar.kind] += 1
            stands.clear()
            await field.open()
            continue
        stands |= {outcome.index: (outcome.value, outcome.q) for outcome in scan.outcomes}
        good = {index: value for index, (value, q) in stands.items() if q == GOOD}
        (taken if good else refused)[liar.kind] += 1
        wrong += [(liar.kind, at, value) for at, value in good.items() if not same(value, liar.truth[at])]
        if good and len(good) != sum(value is not None for value in liar.truth):
            wrong.append((liar.kind, "values are missing", good))
    await field.close()
    return taken, refused, wrong + escaped


def test_no_lie_becomes_a_value() -> None:
    """S15: of 100,000 replies of 20 kinds no value is wrong, each right one is taken, nothing escapes to the loop."""
    taken, refused, wrong = virtual.run(lied_to(REPLIES, 15))
    print({"replies": REPLIES, "taken": dict(taken), "refused": dict(refused), "wrong": len(wrong)})
    assert wrong == []
    assert set(taken) == MUST_BE_TAKEN
    assert not MUST_BE_TAKEN & set(refused)
    assert set(refused) | MUST_BE_TAKEN == set(LIES)
    assert taken.total() + refused.total() == REPLIES
    assert min((taken + refused).values()) > REPLIES / len(LIES) / 2


async def library_alone(replies: int, seed: int) -> tuple[Counter[str], int]:
    """Ask as the library does by itself; return how often it gave wrong registers for good, and how much escaped it."""
    liar = Liar(seed)
    escaped = connect_to(liar)
    client = AsyncModbusTcpClient("nowhere", timeout=0.1, retries=0, reconnect_delay=0)
    await client.connect()
    wrong = Counter[str]()
    for _ in range(replies):
        if not client.connected:
            await client.connect()
        try:
            reply = await client.read_holding_registers(0, count=REGISTERS, device_id=1)
        except ModbusException:
            continue
        if reply.isError():
            continue
        said = reply.registers if len(reply.registers) == REGISTERS else None
        if said is None or str(meaning(said)) != str(liar.truth):
            wrong[liar.kind] += 1
    client.close()
    return wrong, len(escaped)


def test_control_the_library_alone_takes_lies() -> None:
    """The same lies, told to pymodbus as it is: hundreds are handed over as good, and others raise where nobody can."""
    wrong, escaped = virtual.run(library_alone(BARE, 15))
    print({"replies": BARE, "taken though wrong": dict(wrong), "raised in the loop": escaped})
    assert wrong.total() > 100
    assert {"another function", "fewer registers", "more registers"} <= set(wrong)
    assert escaped > 0
