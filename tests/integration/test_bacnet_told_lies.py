"""Hostile notifications and I-Ams by the ten thousand: a value is taken only from its own device, in time and in type.

What the library does below, sockets and acknowledgements, is left out: messages are handed over as the port would.
"""

import asyncio
import os
import random
import struct
from collections import Counter
from collections.abc import Callable
from types import MethodType
from typing import Any

from drivers.bacnet.notice import I_AM, UNCONFIRMED_NOTICE
from drivers.bacnet.stack import Nak
from drivers.base import Scan
from sitekeeper.model.clock import SECOND, ManualClock
from sitekeeper.model.quality import GOOD
from tests.fixtures import bacnet
from tests.fixtures.bacnet import PIV, Asked, Written, notice, subscription, unsigned

MESSAGES = 100_000 if os.environ.get("SITEKEEPER_FULL") else 30_000
ANALOG = 2
PLACES = [(PIV, 1), (PIV, 2), (ANALOG, 1), (ANALOG, 2)]
POINTS: dict[str, Written] = {
    f"p{at}": (
        {"object": kind, "instance": instance, "property": "present-value", "cov": True},
        "int" if kind == PIV else "float",
    )
    for at, (kind, instance) in enumerate(PLACES)
}
HERE, ELSEWHERE = "127.0.0.1:47000", "127.0.0.1:47001"


def real(value: float) -> bytes:
    return b"\x44" + struct.pack(">f", value)


class Device:
    """What is true, and what is told of it; it stands in the place of the port."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = ManualClock()
        self.truth: list[float] = [1, 2, 3.0, 4.0]
        self.ends: dict[tuple[int, int], int] = {}
        self.sent: list[tuple[int, bytes]] = []
        self.invoke = 0
        self.stand: dict[int, tuple[Any, int]] = {}
        self.reads = 0

    async def ask(self, _stack: Any, _peer: Any, service: int, data: bytes) -> bytes | Nak:
        asked = Asked(1, service, data)
        if service == bacnet.SUBSCRIBE:
            wanted = subscription(asked)
            self.ends[wanted.place] = self.clock.monotonic() + (wanted.seconds or 0) * SECOND
            return b""
        if bacnet.names(asked)[0][0] == 8:
            return bacnet.answer(asked, {name: unsigned(1476) for name in bacnet.names(asked)})[3:]
        self.reads += 1
        given = {(*place, 85): self.value(at) for at, place in enumerate(PLACES)}
        return bacnet.answer(asked, given)[3:]

    def value(self, at: int) -> bytes:
        truth = self.truth[at]
        return unsigned(int(truth)) if PLACES[at][0] == PIV else real(truth)

    def notice(self, at: int, value: bytes | None = None, **more: Any) -> bytes:
        left = max(0, self.ends[PLACES[at]] - self.clock.monotonic()) // SECOND
        return notice(PLACES[at], {85: self.value(at) if value is None else value, 111: b"\x82\x04\x00"},
                      **({"left": left} | more))  # fmt: skip

    def moved(self, at: int) -> None:
        new = self.random.randrange(1 << 20)
        self.truth[at] = new if PLACES[at][0] == PIV else float(new)

    def scanned(self, scan: Scan) -> None:
        self.stand |= {outcome.index: (outcome.value, outcome.q) for outcome in scan.outcomes}


Lie = Callable[[Device, int], tuple[str, bytes]]
"""Returns the address that it comes from, and the service data."""


def _wrong(r: random.Random) -> bytes:
    return unsigned(r.randrange(1 << 21, 1 << 30))


LIES: dict[str, Lie] = {
    "another process": lambda d, at: (HERE, d.notice(at, _wrong(d.random), process=d.random.randrange(990_002))),
    "another device": lambda d, at: (HERE, d.notice(at, _wrong(d.random), device=1201)),
    "another sender": lambda d, at: (ELSEWHERE, d.notice(at, _wrong(d.random))),
    "another object": lambda d, at: (HERE, notice((d.random.choice([PIV, 600]), 77), {85: _wrong(d.random)})),
    "another property": lambda d, at: (HERE, notice(PLACES[at], {d.random.choice([28, 104, 512]): _wrong(d.random)})),
    "another type": lambda d, at: (
        HERE,
        d.notice(
            at, d.random.choice([b"\x75\x05\x00\x31\x32\x33\x34", b"\x82\x04\xf0", b"\x11", b"\xc4\0\0\0\1", b""])
        ),
    ),
    "too old": lambda d, at: (HERE, d.notice(at, _wrong(d.random), left=d.random.randrange(301, 5000))),
    "cut short": lambda d, at: (HERE, d.notice(at, _wrong(d.random))[: d.random.randrange(25)]),
    "something follows": lambda d, at: (HERE, d.notice(at, _wrong(d.random)) + d.random.randbytes(3)),
    "garbage": lambda d, at: (HERE, d.random.randbytes(d.random.randrange(120))),
    "nested deep": lambda d, at: (HERE, d.notice(at, b"\x4e" * d.random.randrange(33, 1200))),
    "a huge length": lambda d, at: (HERE, d.notice(at, b"\x25\xff\xff\xff\xff\xff")),
    "many properties": lambda d, at: (HERE, notice(PLACES[at], {p: _wrong(d.random) for p in range(85, 185)})),
    "sent again": lambda d, at: (HERE, d.random.choice(d.sent[-8:])[1]),
}


async def lied_to(messages: int) -> tuple[Counter[str], list[Any], Any, Device]:
    device = Device(15)
    field = bacnet.driver(bacnet.device("d", POINTS, port=47_000), clock=device.clock)
    field._stack.ask = MethodType(device.ask, field._stack)  # type: ignore[method-assign]
    field._stack.ask_who = lambda instance: None  # type: ignore[method-assign]
    field._stack._app = object()  # type: ignore[assignment]
    listening = asyncio.create_task(field.listen(device))  # type: ignore[arg-type]
    device.scanned(await field.read("d@1s"))
    kinds, wrong = Counter[str](), list[Any]()
    for number in range(messages):
        r, at = device.random, device.random.randrange(4)
        device.clock.advance(r.randrange(1, SECOND))
        while len(device.ends) < 4:
            await asyncio.sleep(0)
        kind = "true" if r.random() < 0.2 or not device.sent else r.choice([*LIES, "an I-Am"])
        kinds[kind] += 1
        if kind == "true":
            device.moved(at)
            data, device.invoke = device.notice(at), (device.invoke + 1) % 256
            device.sent.append((device.invoke, data))
            field._stack.noticed(HERE, device.invoke, data)
        elif kind == "an I-Am":
            said = b"\xc4" + (8 << 22 | r.choice([1200, 990_001, r.randrange(1 << 22)])).to_bytes(4)
            field._stack.told(
                f"10.9.{r.randrange(256)}.{r.randrange(256)}", I_AM, said + b"\x22\x05\xc4\x91\x03\x21\x63"
            )
        else:
            source, data = LIES[kind](device, at)
            invoke = next((i for i, sent in device.sent[-8:] if sent == data), r.randrange(256))
            if r.random() < 0.5 and kind != "sent again":
                field._stack.told(source, UNCONFIRMED_NOTICE, data)
            else:
                field._stack.noticed(source, invoke, data)
        del device.sent[:-8]
        for _ in range(4):
            await asyncio.sleep(0)
        if number % 50 == 0:
            device.scanned(await field.read("d@1s"))
        known = {at: value for at, (value, q) in device.stand.items() if q == GOOD}
        wrong += [(number, kind, at, value) for at, value in known.items() if value != device.truth[at]]
    report = field.report("d")
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    return kinds, wrong, (report, field), device


def test_nothing_told_wrongly_becomes_a_value() -> None:
    """S15: of 30,000 notifications and I-Ams, lies of 15 kinds among them, no value is wrong, and nothing grows."""
    kinds, wrong, (report, field), device = asyncio.run(lied_to(MESSAGES))
    (cov,) = report["cov"]
    print({"messages": MESSAGES, "kinds": dict(kinds), "wrong": len(wrong), "reads": device.reads, **cov})
    assert wrong == []
    assert set(kinds) == {*LIES, "true", "an I-Am"}
    assert cov["told"] > 0.9 * kinds["true"]
    assert cov["alive"] == 4
    listening = field._listening
    assert len(listening._repeats._last) <= listening._repeats.MOST
    assert (len(listening._hurried), len(field._doubles._heard)) <= (1, 2)
    assert max(len(each) for each in field._doubles._heard.values()) <= 8
