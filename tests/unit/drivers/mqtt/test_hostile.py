"""Thousands of messages of many kinds against the whole pure side: no wrong value, no event invented, none lost."""

import os
import tracemalloc
from typing import Any

from drivers.mqtt.asking import Asking
from drivers.mqtt.clocks import Clocks
from drivers.mqtt.events import Events
from drivers.mqtt.paths import Content
from drivers.mqtt.rejected import KEPT
from drivers.mqtt.states import States
from sitekeeper.model.clock import MS, SECOND, Moment
from sitekeeper.model.event import pseudonym
from sitekeeper.model.quality import is_good
from tests.fixtures import mqtt
from tests.fixtures.hostile_mqtt import Hostile, Message, truth
from tests.fixtures.mqtt import BASE, EVENT, SALT

MESSAGES = 100_000 if os.environ.get("SITEKEEPER_FULL") else 30_000
POINTS = ("state", "lock", "mode")


class Side:
    """What the driver does with a message, without connection."""

    def __init__(self) -> None:
        devices = [mqtt.door(1)]
        self.events = Events("doors", devices, SALT)
        self.states = States(devices, "broker", self.events.hidden, self.events.rejected)
        self.clocks = Clocks(devices)
        self.told: list[Any] = []

    @property
    def asking(self) -> Asking:
        return self.events.asking

    def take(self, message: Message, at: int) -> None:
        now, content = Moment(wall=1_780_272_000 * SECOND + at, mono=at, trusted=True), Content(message.payload)
        told = self.events.take(message.topic, content, at, retained=message.retained)
        self.states.take(message.topic, content, now, retained=message.retained)
        self.clocks.take(message.topic, content, now, retained=message.retained)
        self.asking.take(message.topic, content, at)
        self.told = [] if told is None else [self.clocks.stamped(each, now) for each in told.heard]

    def values(self) -> list[tuple[Any, int]]:
        return [(value, q) for value, q, _ in self.states._groups["door-1@1s"].values]


def said(message: Message) -> dict[str, Any] | None:
    """Return what is in a message if it is one JSON object in which nothing is said twice."""
    try:
        return truth(message) if b'"state": "closed"}' not in message.payload[-40:] else None
    except (ValueError, RecursionError):
        return None


def check_event(heard: Any, message: Message) -> None:
    """Whatever became an event says what the message says, and only of this door."""
    body = truth(message)
    assert heard.sequence == body["seq"]
    if heard.device:
        assert (body["kind"], body["door"]) == ("read", 1)
        for name in ("granted", "reason", "dir"):
            assert heard.fields[name] in (body.get(name), None)
        card = heard.fields["cred"]
        assert card is None or card == pseudonym(SALT, "card", str(body["cred"]))


def test_hostile_messages() -> None:
    """Each sound message is told exactly as it is; of all others nothing but what is really in them."""
    side, hostile = Side(), Hostile(20261123)
    assert hostile.kinds >= 15
    seen: dict[str, int] = {}
    sound = 0
    for number in range(MESSAGES):
        message = hostile.message()
        seen[message.kind] = seen.get(message.kind, 0) + 1
        before = side.values()
        side.take(message, number * MS)
        assert len(side.told) <= 1
        for heard in side.told:
            check_event(heard, message)
        if message.kind == "event":
            (heard,) = side.told
            body = truth(message)
            assert (heard.device, heard.sequence, heard.fields["granted"]) == ("door-1", body["seq"], body["granted"])
            sound += 1
        elif message.retained or message.topic != EVENT:
            assert not side.told
        after = side.values()
        if message.topic != f"{BASE}/door/1":
            assert after == before, "only its own topic changes a point"
        else:
            found = said(message)
            for name, (value, q) in zip(POINTS, after, strict=True):
                assert is_good(q) == (value is not None)
                assert value is None or (isinstance(found, dict) and found[name] == value), message
            if message.kind == "state":
                assert all(is_good(q) for _, q in after)
        if number == MESSAGES - 4_000:
            tracemalloc.start()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert min(seen.values()) > 300
    assert len(seen) == hostile.kinds + 3
    assert sound == seen["event"] > MESSAGES / 12
    assert len(side.events.rejected.rows()) <= KEPT
    assert grown < 1_000_000, "after so many, as many again take no more memory"
