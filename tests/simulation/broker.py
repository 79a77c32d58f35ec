"""One MQTT broker and the links to it: QoS 1, sessions that outlive connections, retained messages, wills.

A connection carries messages in order, after a delay; what is under way when it breaks is lost with it. On top of what
TCP allows a link may drop, repeat and swap messages, because bridges, proxies and brokers do. A half-open connection
swallows everything and says nothing.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from cloud_sync.mqtt_settings import BrokerSettings
from cloud_sync.session import MQTT_SUCCESS, NOT_AUTHORISED, Delivery
from cloud_sync.uplink_records import NOBODY
from cloud_sync.wire import parse_topic
from sitekeeper.model.clock import MS, SECOND, Micros
from tests.simulation.scheduler import Scheduler

MAX_UNACKED = 100
MAX_QUEUED = 10_000
KEEP_ALIVE: Micros = 2 * BrokerSettings(host="").keepalive * SECOND
"""After so long without traffic an MQTT client knows that its connection is gone: its ping had no answer.

Whoever waits for a receipt finds out sooner; a site with nothing to say has nothing else.
"""

Message = tuple[str, bytes, bool]
"""Topic, payload, and whether it had been retained."""


class Party(Protocol):
    """Who is at our end of a connection."""

    def arrived(self, connection: "Connection", delivery: Delivery) -> None: ...
    def answered(self, connection: "Connection", token: object, reason: int) -> None: ...
    def lost(self, connection: "Connection") -> None: ...


@dataclass(slots=True)
class Link:
    """The way from one place to the broker, as it is now. Chances between 0 and 1 per message."""

    down: bool = False
    swallows: bool = False
    drop: float = 0.0
    repeat: float = 0.0
    swap: float = 0.0
    slow: Micros = 0


@dataclass(slots=True)
class Client:
    """What the broker keeps of a client over its connections."""

    name: str
    queue: deque[Message] = field(default_factory=deque)
    unacked: dict[int, Message] = field(default_factory=dict)
    connection: "Connection | None" = None
    subscribed: bool = False
    next_mid: int = 1


@dataclass(slots=True, eq=False)
class Connection:
    """One connection: open until either side breaks it; `dead` if it is half-open and nobody knows."""

    number: int
    client: str
    link: Link
    party: Party
    will: tuple[str, bytes] | None
    open: bool = True
    dead: bool = False
    last: list[Micros] = field(default_factory=lambda: [0, 0])


class Broker:
    """Routes `up` to the office's two lanes and `down` to the site; a site's client has the site's name."""

    def __init__(self, scheduler: Scheduler, random: Random) -> None:
        self.up = True
        self.refused: set[str] = set()
        self.held: dict[str, Micros] = {}
        self.links: dict[str, Link] = {}
        self.clients: dict[str, Client] = {}
        self._scheduler = scheduler
        self._random = random
        self._retained: dict[str, bytes] = {}
        self._connections = 0

    # connections

    def reachable(self, link: Link) -> bool:
        return self.up and not link.down and not link.swallows

    def connect(self, name: str, link: str, party: Party, will: tuple[str, bytes] | None) -> Connection:
        """Connect and subscribe; another connection of the same client is taken over, and its will published."""
        client = self.clients.setdefault(name, Client(name))
        if client.connection is not None:
            self.hang_up(client.connection)
        self._connections += 1
        connection = Connection(self._connections, name, self.links[link], party, will)
        client.connection, client.subscribed = connection, True
        client.queue.extendleft(reversed(client.unacked.values()))
        client.unacked.clear()
        if name == "urgent":
            client.queue.extend((topic, payload, True) for topic, payload in self._retained.items())
        self._deliver(client)
        return connection

    def hang_up(self, connection: Connection, *, silently: bool = False) -> None:
        """The broker's end breaks: the will is published, and the party hears of it, over a dead link by its pings."""
        if not connection.open:
            return
        connection.open = False
        client = self.clients.get(connection.client)
        if client is not None and client.connection is connection:
            client.connection = None
        if connection.will is not None and not silently:
            self.publish(*connection.will, retain=True)
        deaf = connection.dead or connection.link.swallows
        self._scheduler.after(KEEP_ALIVE if deaf else 0, connection.party.lost, connection)

    def close(self, connection: Connection, *, killed: bool = False) -> None:
        """The party closes, or is killed; over a dead link the broker hears nothing until the next connection."""
        if not connection.dead and not connection.link.swallows:
            self.hang_up(connection, silently=not killed)
        connection.dead = True

    # messages

    def send(self, connection: Connection, topic: str, payload: bytes, token: object, *, retain: bool = False) -> None:
        """A party publishes; `answered` comes with `token` when the broker has it."""
        self._carry(connection, 0, self._take, connection, topic, payload, token, retain)

    def ack(self, connection: Connection, mid: int) -> None:
        """A party acknowledges a delivery."""
        self._carry(connection, 0, self._acked, connection, mid)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Hand a message to whoever subscribed to it, now or before it went away; return the reason code."""
        if retain:
            self._retained[topic] = payload
        site, direction, kind = parse_topic(topic)
        name = site if direction == "down" else "bulk" if kind == "samples" else "urgent"
        client = self.clients.setdefault(name, Client(name))
        if kind == "command":
            return self._hand_over(client, topic, payload)
        if not client.subscribed:
            self._scheduler.seen("nobody listens")
            return NOBODY
        if len(client.queue) < MAX_QUEUED:
            client.queue.append((topic, payload, False))
        self._deliver(client)
        return MQTT_SUCCESS

    def _hand_over(self, client: Client, topic: str, payload: bytes) -> int:
        """Deliver what is subscribed to with QoS 0: now or never. Whoever holds it up does so here."""
        connection, held = client.connection, self.held.get(client.name)
        if connection is None:
            return NOBODY
        delivery = Delivery(topic=topic, payload=payload, retained=False, mid=0, qos=0)
        if held is not None:
            self._scheduler.after(held, self._carry_late, client, delivery)
        if held is None or held % 2:
            self._carry(connection, 1, connection.party.arrived, connection, delivery)
        return MQTT_SUCCESS

    def _carry_late(self, client: Client, delivery: Delivery) -> None:
        if client.connection is not None:
            self._scheduler.seen("order held back")
            self._carry(client.connection, 1, client.connection.party.arrived, client.connection, delivery)

    def redeliver(self, name: str) -> None:
        """Deliver again what is unacknowledged, on the same connection."""
        client = self.clients.get(name)
        if client is not None and client.unacked:
            client.queue.extendleft(reversed(client.unacked.values()))
            client.unacked.clear()
            self._scheduler.seen("broker delivers again")
            self._deliver(client)

    # faults of the broker itself

    def memory(self) -> tuple[dict[str, bytes], dict[str, list[Message]]]:
        """Return what a broker would find on its disk if it had saved now."""
        known = (client for client in self.clients.values() if client.subscribed)
        queues = {client.name: [*client.unacked.values(), *client.queue] for client in known}
        return dict(self._retained), queues

    def restart(self, memory: tuple[dict[str, bytes], dict[str, list[Message]]]) -> None:
        """Break all connections and start again with this memory."""
        for client in list(self.clients.values()):
            if client.connection is not None:
                self.hang_up(client.connection, silently=True)
        self._retained = dict(memory[0])
        self.clients = {name: Client(name, deque(queue), subscribed=True) for name, queue in memory[1].items()}

    def _take(self, connection: Connection, topic: str, payload: bytes, token: object, retain: bool) -> None:
        site, direction, kind = parse_topic(topic)
        refused = direction == "up" and f"{site}/{kind}" in self.refused
        reason = NOT_AUTHORISED if refused else self.publish(topic, payload, retain=retain)
        self._carry(connection, 1, connection.party.answered, connection, token, reason)

    def _acked(self, connection: Connection, mid: int) -> None:
        client = self.clients.get(connection.client)
        if client is not None and client.connection is connection:
            client.unacked.pop(mid, None)
            self._deliver(client)

    def _deliver(self, client: Client) -> None:
        while client.connection is not None and client.queue and len(client.unacked) < MAX_UNACKED:
            message = client.queue.popleft()
            mid, client.next_mid = client.next_mid, client.next_mid + 1
            client.unacked[mid] = message
            topic, payload, retained = message
            delivery = Delivery(topic=topic, payload=payload, retained=retained, mid=mid, qos=1)
            party = client.connection.party
            if not self._carry(client.connection, 1, party.arrived, client.connection, delivery):
                client.unacked.pop(mid)

    def _carry(self, connection: Connection, way: int, call: Callable[..., None], *arguments: Any) -> bool:
        """Bring something over the link; return False if the link dropped it where a broker would not try again."""
        link, random = connection.link, self._random
        if not connection.open or connection.dead or link.swallows:
            return True
        if link.drop and random.random() < link.drop:
            self._scheduler.seen("dropped")
            return False
        for _ in range(2 if link.repeat and random.random() < link.repeat else 1):
            due = max(connection.last[way], self._scheduler.now + random.randrange(1, 30) * MS + link.slow)
            if link.swap and random.random() < link.swap:
                due += random.randrange(2 * SECOND)
                self._scheduler.seen("swapped")
            else:
                connection.last[way] = due
            self._scheduler.after(due - self._scheduler.now, self._arrive, connection, call, arguments)
        return True

    def _arrive(self, connection: Connection, call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if connection.open and not connection.dead and not connection.link.swallows:
            call(*arguments)
