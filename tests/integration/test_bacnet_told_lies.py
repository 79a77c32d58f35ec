"""Hostile notifications and I-Ams by the ten thousand: a value is taken only from its own device, in time and in type.

What the library does below, sockets and acknowledgements, is left out: messages are handed over as the port would.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from drivers.bacnet.listening import HURRY
from drivers.bacnet.notice import I_AM, UNCONFIRMED_NOTICE
from sitekeeper.model.clock import SECOND
from sitekeeper.model.quality import GOOD
from tests.fixtures.bacnet import PIV, notice, unsigned
from tests.fixtures.bacnet_told import ANALOG, HERE, TellingDevice, told_by

MESSAGES = 100_000 if os.environ.get("SITEKEEPER_FULL") else 30_000
PLACES = [(kind, instance) for instance in range(1, 9) for kind in (PIV, ANALOG)]
SMALL = 128
"""Bytes of one message: three requests read what is told, one of them in each scan."""
ELSEWHERE = "127.0.0.1:47001"


Lie = Callable[[TellingDevice, int], tuple[str, bytes]]
"""Returns the address that it comes from, and the service data."""


def _wrong(r: random.Random) -> bytes:
    return unsigned(r.randrange(1 << 21, 1 << 30))


LIES: dict[str, Lie] = {
    "another process": lambda d, at: (HERE, d.notice(at, _wrong(d.random), process=d.random.randrange(990_002))),
    "another device": lambda d, at: (HERE, d.notice(at, _wrong(d.random), device=1201)),
    "another sender": lambda d, at: (ELSEWHERE, d.notice(at, _wrong(d.random))),
    "another object": lambda d, at: (HERE, notice((d.random.choice([PIV, 600]), 77), {85: _wrong(d.random)})),
    "another property": lambda d, at: (HERE, notice(d.places[at], {d.random.choice([28, 104, 512]): _wrong(d.random)})),
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
    "many properties": lambda d, at: (HERE, notice(d.places[at], {p: _wrong(d.random) for p in range(85, 185)})),
    "sent again": lambda d, at: (HERE, d.random.choice(d.sent)[1]),
}


class Lied:
    """What came of it: kinds of messages, and each time that a GOOD value was neither true nor about to be read.

    `held`: the one place whose change was told too late, and until when it must have been read; it is told again after
    that, for what is never told ends its subscription. `again`: it is time for this.
    """

    def __init__(self) -> None:
        self.kinds = Counter[str]()
        self.wrong: list[Any] = []
        self.held: tuple[int, int] | None = None
        self.again = False

    def judge(self, device: TellingDevice, number: int, kind: str) -> None:
        now = device.clock.monotonic()
        known = {at: value for at, (value, q) in device.stand.items() if q == GOOD}
        false = {at: value for at, value in known.items() if value != device.truth[at]}
        if self.held is not None and now <= self.held[1]:
            false.pop(self.held[0], None)
        self.again = self.held is not None and now > self.held[1]
        self.wrong += [(number, kind, at, value) for at, value in false.items()]


async def one(device: TellingDevice, lied: Lied) -> str:
    """Have one message come, and return of which kind."""
    r, at = device.random, device.random.randrange(len(PLACES))
    field = device.field
    kind = r.choice(["true", "true", "held up"]) if r.random() < 0.3 else r.choice([*LIES, "an I-Am"])
    if lied.again and lied.held is not None:
        device.tell(lied.held[0])
        lied.held = None
        return "told again"
    if kind == "true" or not device.sent or (kind == "held up" and lied.held is not None):
        device.moved(at)
        data = device.tell(at)
        device.sent.append((device.invoke, data))
        return "true"
    if kind == "held up":
        device.moved(at)
        lied.held = at, device.clock.monotonic() + HURRY
        device.tell(at, late=r.choice([-4, 4]) * r.randrange(1, 20))
    elif kind == "an I-Am":
        said = b"\xc4" + (8 << 22 | r.choice([1200, 990_001, r.randrange(1 << 22)])).to_bytes(4)
        field._stack.told(f"10.9.{r.randrange(256)}.{r.randrange(256)}", I_AM, said + b"\x22\x05\xc4\x91\x03\x21\x63")
    else:
        source, data = LIES[kind](device, at)
        invoke = next((i for i, sent in device.sent if sent == data), r.randrange(256))
        if r.random() < 0.5 and kind != "sent again":
            field._stack.told(source, UNCONFIRMED_NOTICE, data)
        else:
            field._stack.noticed(source, invoke, data)
    return kind


async def lied_to(messages: int) -> tuple[Lied, list[Any], Any, TellingDevice]:
    device, lied = TellingDevice(PLACES, seed=15), Lied()
    async with told_by(device, max_apdu=SMALL) as field:
        for number in range(messages):
            device.clock.advance(device.random.randrange(1, SECOND))
            await device.settled()
            kind = await one(device, lied)
            lied.kinds[kind] += 1
            await device.settled()
            if number % 50 == 0:
                await device.read()
            lied.judge(device, number, kind)
        return lied, [block.told for block in device.group.blocks], (field.report("d"), field), device


def test_nothing_told_wrongly_becomes_a_value() -> None:
    """S15: of 30,000 notifications and I-Ams, lies of 15 kinds among them, no value is wrong, and nothing grows; a
    change told too late is read within a second, in whatever request it stands."""
    lied, blocks, (report, field), device = asyncio.run(lied_to(MESSAGES))
    (cov,) = report["cov"]
    print({"messages": MESSAGES, "kinds": dict(lied.kinds), "wrong": len(lied.wrong), "reads": device.reads, **cov})
    assert lied.wrong == []
    assert set(lied.kinds) == {*LIES, "true", "held up", "told again", "an I-Am"}
    assert cov["told"] > 0.9 * lied.kinds["true"]
    assert cov["alive"] == len(PLACES)
    assert blocks == [True] * 3
    listening = field._listening
    assert len(listening._repeats._last) <= listening._repeats.MOST
    assert (len(listening._hurried), len(field._doubles._heard)) <= (1, 2)
    assert max(len(each) for each in field._doubles._heard.values()) <= 8
