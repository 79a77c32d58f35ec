"""Messages that are not yet acknowledged: those with events wait until these are durable, over connections if need be.

Whatever was taken is told, also if the connection it came on is gone: the broker need not have it any more. What the
broker then sends again, in the same words under the same packet id and marked as a repeat, is known, and told once: an
id that we have not acknowledged is no other message's (MQTT 3.1.1, 4.4 and 4.6; MQTT 5 the same).
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from drivers.base import Heard, Sink
from drivers.broker import Delivery

CARRIED: Final = 1_000
"""Messages with events that are taken over from one connection to the next; of more the oldest."""


@dataclass(slots=True, eq=False)
class Pending:
    """A message not yet acknowledged, with the events in it, and when they are durable once they are told.

    Attributes:
        carried: it came on an earlier connection, so there is nothing to acknowledge.
    """

    delivery: Delivery
    heard: tuple[Heard, ...] = ()
    carried: bool = False
    told: asyncio.Event = field(default_factory=asyncio.Event)
    durable: "Future[None] | None" = None

    def tell(self, sink: Sink) -> None:
        self.durable = sink.heard(self.heard)
        self.told.set()


_Key = tuple[int, str, bytes]


class Waiting:
    """What waits to be acknowledged, in the order in which it came.

    Args:
        limit: messages of one connection. full: called when one must wait for a place.

    Attributes:
        untold: messages whose events nobody has listened to yet.
    """

    def __init__(self, limit: int, full: Callable[[], None]) -> None:
        self.untold: deque[Pending] = deque()
        self._limit = limit
        self._full = full
        self._held: deque[Pending] = deque()
        self._queue: asyncio.Queue[Pending] = asyncio.Queue(limit)
        self._known: OrderedDict[_Key, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def opened(self) -> None:
        """The connection is a new one: what was taken on the one before is told and made durable first."""
        left = [each for each in self._held if each.heard][:CARRIED]
        for each in left:
            if each.delivery.qos and not each.carried:
                self._known[_key(each.delivery)] = None
            each.carried = True
        while len(self._known) > CARRIED:
            self._known.popitem(last=False)
        self._held = deque(left)
        self._queue = asyncio.Queue(self._limit + len(left))
        for each in left:
            self._queue.put_nowait(each)
        self.untold = deque(each for each in left if not each.told.is_set())

    async def put(self, pending: Pending) -> None:
        """Add a message; wait for a place."""
        if self._queue.full():
            self._full()
        await self._queue.put(pending)
        self._held.append(pending)

    def again(self, delivery: Delivery) -> bool:
        """Tell whether the events of a message were taken on an earlier connection.

        A broker sends again what was under way before it sends anything else.
        """
        if not delivery.qos:
            return False
        if not delivery.again:
            self._known.clear()
            return False
        key = _key(delivery)
        return key in self._known and self._known.pop(key) is None

    async def next(self) -> Pending:
        """Return the first one, which stays until it is `done`."""
        return await self._queue.get()

    def done(self) -> None:
        """The first one is acknowledged."""
        self._held.popleft()


def _key(delivery: Delivery) -> _Key:
    return delivery.mid, delivery.topic, delivery.payload


async def resolved(durable: "Future[None]") -> None:
    """Wait for a future of another thread without ever cancelling it. Raises what it failed with."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def wake(_: "Future[None]") -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(done.set)

    durable.add_done_callback(wake)
    await done.wait()
    durable.result()
