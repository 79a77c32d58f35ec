"""What a driver needs of a connection to an MQTT broker. The gateway lends it one, so this room knows no library.

A session is one connection: it is made by a `Connect`, used, closed, and never used again. The broker keeps what
comes for us over reconnects, because the sessions lent here are persistent.
"""

from typing import Any, Final, Literal, Protocol

NO_SUBSCRIBERS: Final = 16
"""Reason code of a publish that the broker took and nobody gets (MQTT 5, section 3.4.2.1)."""
REFUSED: Final = 128
"""Reason codes from here on are refusals (MQTT 5, section 2.4)."""


class Delivery(Protocol):
    """One message as it arrived."""

    @property
    def topic(self) -> str: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def retained(self) -> bool: ...
    @property
    def qos(self) -> int: ...
    @property
    def mid(self) -> int:
        """The packet id, which is its own until it is acknowledged; of QoS 1 only."""

    @property
    def again(self) -> bool:
        """Whether the broker says that it has sent it before."""


class Session(Protocol):
    """One open connection. Every method but `ack` raises PeerUnreachable once the connection is gone."""

    @property
    def protocol(self) -> str:
        """`5` or `3.1.1`: what the broker takes."""

    @property
    def dropped(self) -> int:
        """Messages of this connection that came faster than they were taken, and were thrown away."""

    async def publish(self, topic: str, payload: bytes) -> int:
        """Publish with QoS 1, wait for the broker's acknowledgement and return its reason code."""

    async def subscribe(self, topic: str, *, queued: bool = True) -> None:
        """Subscribe with QoS 1, so that what comes while we are away waits; or, not `queued`, with QoS 0.

        Raises Refused if the broker does not allow it.
        """

    async def receive(self) -> Delivery:
        """Return the next message; it stays unacknowledged until `ack`."""

    def ack(self, delivery: Any) -> None:
        """Acknowledge what `receive` of this session gave. Does nothing once the connection is gone."""

    async def close(self) -> None:
        """End the connection in good order."""


class Connect(Protocol):
    """Makes a new session each time it is called."""

    async def __call__(self) -> Session:
        """Connect. Raises PeerUnreachable, or Refused if the broker does not let us in."""


class Brokers(Protocol):
    """Makes connections to any broker, with persistent sessions that are acknowledged by hand."""

    def __call__(
        self,
        *,
        host: str,
        port: int,
        username: str | None,
        password: str | None,
        ca: str | None,
        certificate: str | None,
        key: str | None,
        protocol: Literal["auto", "5", "3.1.1"],
        client_id: str,
        keepalive: int,
        unacknowledged: int,
    ) -> Connect:
        """Return what connects there.

        Args:
            ca: file with the authority that the broker's certificate must come from; with it, TLS is spoken.
            certificate, key: files with our own, where the broker asks for one.
            keepalive: seconds; a broker that answers no ping for so long is gone.
            unacknowledged: most messages that may be on the way to us without our acknowledgement.
        """
