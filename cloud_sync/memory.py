"""A broker in memory with the same sessions as a real one: for the virtual site and for tests.

It keeps what a broker keeps: retained messages, the queues of sessions that are away, wills. Faults are switched on
by the test: it may drop, repeat and reorder messages by a seeded chance, cut connections, refuse topics, or go mute.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from random import Random

from cloud_sync.session import MQTT_SUCCESS, NOT_AUTHORISED, Allows, Connect, Delivery, Session, Will
from cloud_sync.uplink_records import NOBODY, TAKEN_OVER
from sitekeeper.model.errors import PeerUnreachable, Refused

MAX_QUEUED = 10_000
"""Messages waiting for one client; newer ones are dropped beyond it, as mosquitto does with max_queued_messages."""

MAX_UNACKED = 100
"""Messages on the way to one client without its acknowledgement; the others wait."""


def matches(pattern: str, topic: str) -> bool:
    """Tell whether a topic matches a subscription with `+` and a final `#` (MQTT 5, section 4.7)."""
    want, have = pattern.split("/"), topic.split("/")
    for index, part in enumerate(want):
        if part == "#":
            return True
        if index >= len(have) or part not in ("+", have[index]):
            return False
    return len(want) == len(have)


@dataclass(slots=True, kw_only=True)
class Faults:
    """Chances between 0 and 1 per message and receiver, and switches."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    mute: bool = False  # publishes are never answered and go nowhere, as in a half-open connection
    denied: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Client:
    """What the broker keeps of a client over its connections."""

    subscriptions: dict[str, bool] = field(default_factory=dict)
    """Whether what comes there is kept while the client is away."""
    queue: deque[tuple[str, bytes, bool]] = field(default_factory=deque)
    unacked: dict[int, tuple[str, bytes, bool]] = field(default_factory=dict)
    session: "MemorySession | None" = None


class MemoryBroker:
    """A broker for one event loop."""

    def __init__(self, *, random: Random | None = None) -> None:
        self.faults = Faults()
        self.up = True
        self.dropped = 0
        self._random = random or Random(0)  # noqa: S311 - faults, not secrets
        self._retained: dict[str, bytes] = {}
        self._clients: dict[str, _Client] = {}

    def connector(self, client_id: str, *, persistent: bool = False) -> Connect:
        """Return what makes sessions of this client; a persistent one finds what waited for it meanwhile."""

        async def connect(will: Will | None = None) -> Session:
            await asyncio.sleep(0)
            if not self.up:
                raise PeerUnreachable("memory", "broker is down")
            client = self._clients.setdefault(client_id, _Client())
            if client.session is not None:
                client.session.farewell = TAKEN_OVER
                client.session.lose()
            if not persistent:
                client = self._clients[client_id] = _Client()
            client.queue.extendleft(reversed(list(client.unacked.values())))
            client.unacked.clear()
            client.session = MemorySession(self, client, will)
            client.session.deliver()
            return client.session

        return connect

    def cut(self) -> None:
        """Break every connection, as a broker that is killed does; wills are published."""
        for client in list(self._clients.values()):
            if client.session is not None:
                client.session.lose()

    def restart(self, *, keep: bool) -> None:
        """Stop and start again, with or without what the broker had stored."""
        self.cut()
        if not keep:
            self._retained.clear()
            self._clients.clear()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Take a message as from a client and hand it to every subscriber. Return the reason code."""
        if topic in self.faults.denied:
            return NOT_AUTHORISED
        if retain and payload:
            self._retained[topic] = payload
        elif retain:
            self._retained.pop(topic, None)
        heard = False
        for client in self._clients.values():
            queued = [client.subscriptions[pattern] for pattern in client.subscriptions if matches(pattern, topic)]
            heard = heard or bool(queued)
            if any(queued):
                self._enqueue(client, topic, payload)
            elif queued and client.session is not None:
                client.session.hand_over(topic, payload, retained=False)
        return MQTT_SUCCESS if heard else NOBODY

    def retained_for(self, pattern: str) -> list[tuple[str, bytes, bool]]:
        """Return the retained messages that a new subscription gets."""
        return [(topic, payload, True) for topic, payload in self._retained.items() if matches(pattern, topic)]

    def _enqueue(self, client: _Client, topic: str, payload: bytes) -> None:
        faults, chance = self.faults, self._random.random
        if chance() < faults.drop or len(client.queue) >= MAX_QUEUED:
            self.dropped += 1
            return
        for _ in range(2 if chance() < faults.duplicate else 1):
            if client.queue and chance() < faults.reorder:
                client.queue.insert(self._random.randrange(len(client.queue)), (topic, payload, False))
            else:
                client.queue.append((topic, payload, False))
        if client.session is not None:
            client.session.deliver()


class MemorySession:
    """One connection to a `MemoryBroker`; implements `cloud_sync.session.Session`."""

    protocol = "5"
    allows = Allows()
    farewell = 0
    dropped = 0

    def __init__(self, broker: MemoryBroker, client: _Client, will: Will | None) -> None:
        self._broker = broker
        self._client = client
        self._will = will
        self._next_mid = 1
        self._inbox: asyncio.Queue[Delivery | None] = asyncio.Queue()
        self._open = True
        self._lost = asyncio.Event()

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        await asyncio.sleep(0)
        self._check()
        if self._broker.faults.mute:
            await self._lost.wait()
            self._check()
        return self._broker.publish(topic, payload, retain=retain)

    async def subscribe(self, topic: str, *, queued: bool = True) -> None:
        await asyncio.sleep(0)
        self._check()
        if topic in self._broker.faults.denied:
            raise Refused("not-authorised", topic)
        self._client.subscriptions[topic] = queued
        if queued:
            self._client.queue.extend(self._broker.retained_for(topic))
            self.deliver()
            return
        for name, payload, _ in self._broker.retained_for(topic):
            self.hand_over(name, payload, retained=True)

    async def receive(self) -> Delivery:
        delivery = await self._inbox.get()
        if delivery is None:
            self._inbox.put_nowait(None)
            raise PeerUnreachable("memory", "connection lost")
        return delivery

    def ack(self, delivery: Delivery) -> None:
        if self._open:
            self._client.unacked.pop(delivery.mid, None)
            self.deliver()

    async def close(self) -> None:
        self._will = None
        self.lose()
        await asyncio.sleep(0)

    def lose(self) -> None:
        """Break this connection; the broker publishes the will."""
        if not self._open:
            return
        self._open = False
        self._client.session = None
        self._lost.set()
        self._inbox.put_nowait(None)
        if self._will is not None:
            self._broker.publish(self._will.topic, self._will.payload, retain=True)

    def hand_over(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Send a message with QoS 0: it waits for nothing, and nobody acknowledges it."""
        self._inbox.put_nowait(Delivery(topic=topic, payload=payload, retained=retained, mid=0, qos=0))

    def deliver(self) -> None:
        """Move what waits towards the client, as far as its unacknowledged messages allow."""
        while self._open and self._client.queue and len(self._client.unacked) < MAX_UNACKED:
            message = self._client.queue.popleft()
            topic, payload, retained = message
            self._client.unacked[self._next_mid] = message
            self._inbox.put_nowait(Delivery(topic=topic, payload=payload, retained=retained, mid=self._next_mid, qos=1))
            self._next_mid += 1

    def _check(self) -> None:
        if not self._open:
            raise PeerUnreachable("memory", "connection lost")
