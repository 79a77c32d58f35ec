"""Messages of a connection that wait to be taken: bounded in bytes, also where a broker knows no limit (MQTT 3.1.1)."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

CROWD: Final = 1_000
"""Messages that wait from which on no more is read; what one connection may have under way with MQTT 5 is less."""


class Inbox(asyncio.Queue[Any]):
    """A queue of messages as the library makes them, for it to put into.

    Beyond the bounds a message of QoS 0 is dropped. One of QoS 1 is never: the broker, unacknowledged, would wait for
    it for ever. Where too many come at once, as from a broker of MQTT 3.1.1 that has kept what was told for days, the
    connection is not read on until half of them were taken; the rest waits at the broker.

    Args:
        maxsize: messages of QoS 0 are dropped from here on. waiting: bytes of all payloads. largest: bytes that are
            kept of one.

    Attributes:
        came: messages of QoS 1 that came. dropped: messages that were thrown away.
        again: the one that is put next is marked by the broker as a repeat.
        paused: the connection is not read.
        pause, go_on: set by whoever reads the connection.
    """

    def __init__(self, maxsize: int, *, waiting: int, largest: int) -> None:
        super().__init__()
        self.came = 0
        self.dropped = 0
        self.again = False
        self.pause: Callable[[], None] = _nothing
        self.go_on: Callable[[], None] = _nothing
        self._most = maxsize
        self._waiting = waiting
        self._largest = largest
        self._bytes = 0
        self.paused = False

    def put_nowait(self, item: Any) -> None:
        """Put a message; raises nothing, unlike the queue that it stands for."""
        self.came += bool(item.qos)
        if len(item.payload) > self._largest:
            item.payload = item.payload[: self._largest]
        item.again = self.again
        full = self.qsize() >= self._most or self._bytes + len(item.payload) > self._waiting
        if full and not item.qos and not self.empty():
            self.dropped += 1
            return
        self._bytes += len(item.payload)
        super().put_nowait(item)
        if item.qos and not self.paused and (full or self.qsize() >= CROWD):
            self.paused = True
            self.pause()

    def _get(self) -> Any:
        item = super()._get()
        self._bytes -= len(item.payload)
        if self.paused and self.qsize() <= CROWD // 2 and self._bytes <= self._waiting // 2:
            self.paused = False
            self.go_on()
        return item


def _nothing() -> None:
    """Nobody reads."""
