"""What both ends of the sync need of an MQTT connection, so that a real broker and one in memory look the same.

A session is one connection: it is made by a `Connect`, used, closed, and never used again. Connecting again is the
business of whoever owns the session (`uplink.Uplink`, `ingest.Ingest`), and of nobody else.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from sitekeeper.model.errors import PeerUnreachable

MQTT_SUCCESS = 0
NOT_AUTHORISED = 135
"""Reason codes of MQTT 5, section 2.4. With 3.1.1 a broker cannot say no, and every publish answers 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message as it arrived, with what is needed to acknowledge it on the connection that delivered it.

    Attributes:
        again: the broker says that it has sent it before (MQTT 5, section 3.3.1.1).
    """

    topic: str
    payload: bytes
    retained: bool
    mid: int
    qos: int
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Will:
    """What the broker publishes, retained, when this connection dies."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Allows:
    """What a broker said when it took us (MQTT 5, section 3.2.2.3); with 3.1.1 it says nothing.

    Attributes:
        unanswered: publishes that it wants unanswered at most (receive maximum).
        packet: bytes of the largest packet that it takes; None if it named none.
    """

    unanswered: int = 65_535
    packet: int | None = None


class NoAnswer(PeerUnreachable):
    """The connection seems to stand, but the other end does not answer: half open, or a very bad line."""


class Session(Protocol):
    """One open connection to a broker. Every method but `ack` raises PeerUnreachable once the connection is gone.

    It is the subclass NoAnswer where nothing but silence tells that it is gone.
    """

    @property
    def allows(self) -> Allows:
        """Return what the broker said that it takes."""

    @property
    def farewell(self) -> int:
        """Return the reason code with which the broker ended the connection; 0 if it gave none."""

    @property
    def dropped(self) -> int:
        """Return how many messages of this connection came faster than they were taken, and were thrown away."""

    @property
    def protocol(self) -> str:
        """Return the protocol in use, `5` or `3.1.1`."""

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Publish with QoS 1, wait for the broker's acknowledgement and return its reason code (128 and up: refused).

        An acknowledgement says that the broker has the message. It does not say that anybody committed it.
        """

    async def subscribe(self, topic: str, *, queued: bool = True) -> None:
        """Subscribe with QoS 1, so that what comes while we are away waits; or, not `queued`, with QoS 0.

        Raises Refused if the broker does not allow it.
        """

    async def receive(self) -> Delivery:
        """Return the next message; it stays unacknowledged until `ack`."""

    def ack(self, delivery: Delivery) -> None:
        """Acknowledge to the broker. Does nothing once the connection is gone: the broker will deliver again."""

    async def close(self) -> None:
        """End the connection in good order; the will is not published."""


class Connect(Protocol):
    """Makes a new session each time it is called."""

    async def __call__(self, will: Will | None = None) -> Session:
        """Connect. Raises PeerUnreachable, or Refused if the broker does not let us in."""


def heed_the_end() -> None:
    """Raise CancelledError if this task is to end.

    The library waits by `asyncio.wait_for`, which on Python 3.11 forgets a cancellation that comes together with what
    it waited for. `cancelling` still tells the truth.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
