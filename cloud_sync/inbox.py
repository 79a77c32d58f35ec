"""Messages of a connection that wait to be taken: bounded in bytes, also where a broker knows no limit (MQTT 3.1.1)."""

import asyncio
from typing import Any


class Inbox(asyncio.Queue[Any]):
    """A queue of messages as the library makes them, for it to put into.

    Beyond the bounds a message of QoS 0 is dropped. One of QoS 1 is not, because the broker, unacknowledged, would
    wait for it for ever: of those it has few under way itself.

    Args:
        maxsize: messages. waiting: bytes of all payloads. largest: bytes that are kept of one.

    Attributes:
        dropped: messages that came and were thrown away.
    """

    def __init__(self, maxsize: int, *, waiting: int, largest: int) -> None:
        super().__init__(maxsize)
        self.dropped = 0
        self._waiting = waiting
        self._largest = largest
        self._bytes = 0

    def put_nowait(self, item: Any) -> None:
        """Put a message; raises nothing, unlike the queue that it stands for."""
        if len(item.payload) > self._largest:
            item.payload = item.payload[: self._largest]
        full = self._bytes + len(item.payload) > self._waiting and not item.qos
        if self.full() or (full and not self.empty()):
            self.dropped += 1
            return
        self._bytes += len(item.payload)
        super().put_nowait(item)

    def _get(self) -> Any:
        item = super()._get()
        self._bytes -= len(item.payload)
        return item
