"""What a simulated device needs of a connection to a broker, and the one door to aiomqtt among the devices.

Tests hand in a broker in memory; anything with these methods will do.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

import aiomqtt

from sitekeeper.model.errors import PeerUnreachable

TIMEOUT_S: Final = 3.0
"""How long a broker may take to answer."""
CLOSE_S: Final = 1.0
"""Seconds that a goodbye may take; a broker that is gone hears none."""

_quiet = logging.getLogger("simulators.mqtt_link.library")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Will:
    """What the broker publishes, retained, when the connection dies."""

    topic: str
    payload: bytes


class Delivery(Protocol):
    """One message as it arrived."""

    @property
    def topic(self) -> str: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def retained(self) -> bool: ...


class Session(Protocol):
    """One open connection to a broker. Every method but `ack` and `lose` raises PeerUnreachable once it is gone."""

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Publish with QoS 1 and wait for the broker's acknowledgement."""

    async def subscribe(self, topic: str) -> None:
        """Subscribe with QoS 1."""

    async def receive(self) -> Delivery:
        """Return the next message."""

    def ack(self, delivery: Any) -> None:
        """Acknowledge what `receive` gave."""

    def lose(self) -> None:
        """Break the connection as a pulled plug does: the broker publishes the will."""

    async def close(self) -> None:
        """End the connection."""


class Connect(Protocol):
    """Makes a new session each time it is called. Raises PeerUnreachable."""

    async def __call__(self, will: Will) -> Session: ...


Brokers = Callable[[str], Connect]
"""By the client's id, what connects it to the broker of its link."""


def brokers(host: str, port: int, timeout: float = TIMEOUT_S) -> Brokers:
    """Return what makes connections to a real broker, MQTT 3.1.1 as most controllers speak it; `timeout` in seconds."""

    def connector(client_id: str) -> Connect:
        async def connect(will: Will) -> Session:
            client = aiomqtt.Client(
                host,
                port,
                identifier=client_id,
                protocol=aiomqtt.ProtocolVersion.V311,
                will=aiomqtt.Will(will.topic, will.payload, qos=1, retain=True),
                timeout=timeout,
                keepalive=10,
                logger=_quiet,
                max_queued_incoming_messages=1_000,
                socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
            )
            client._client.connect_timeout = timeout  # noqa: SLF001 - seconds for the TCP connection
            try:
                await client.__aenter__()
            except aiomqtt.MqttError as error:
                await _clean_up(client)
                raise PeerUnreachable(f"{host}:{port}", str(error) or "no connection") from None
            except asyncio.CancelledError:
                await _clean_up(client)
                raise
            return _RealSession(client, f"{host}:{port}")

        return connect

    return connector


class _Arrived:
    """A message of the library as a `Delivery`."""

    def __init__(self, message: aiomqtt.Message) -> None:
        self.topic = str(message.topic)
        self.payload = message.payload if isinstance(message.payload, bytes) else b""
        self.retained = bool(message.retain)


class _RealSession:
    """A `Session` on a real broker; none of the library's exceptions gets out."""

    def __init__(self, client: aiomqtt.Client, where: str) -> None:
        self._client, self._where = client, where

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        try:
            await self._client.publish(topic, payload, qos=1, retain=retain)
        except aiomqtt.MqttError as error:
            raise PeerUnreachable(self._where, str(error)) from None
        return 0

    async def subscribe(self, topic: str) -> None:
        try:
            await self._client.subscribe(topic, qos=1)
        except aiomqtt.MqttError as error:
            raise PeerUnreachable(self._where, str(error)) from None

    async def receive(self) -> Delivery:
        try:
            return _Arrived(await anext(self._client.messages))
        except aiomqtt.MqttError as error:
            raise PeerUnreachable(self._where, str(error)) from None

    def ack(self, delivery: Any) -> None:
        """The library has acknowledged already."""

    def lose(self) -> None:
        sock = self._client._client.socket()  # noqa: SLF001 - a clean end would keep the will back
        if isinstance(sock, socket.socket):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        with suppress(aiomqtt.MqttError, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._client.__aexit__(None, None, None)
        await _clean_up(self._client)


async def _clean_up(client: aiomqtt.Client) -> None:
    """Close what the library leaves open after a failed connection: its socket, and its task that ticks."""
    client._client._sock_close()  # noqa: SLF001
    await asyncio.sleep(0)  # the connecting thread may just be asking the loop for the task
    ticker = client._misc_task  # noqa: SLF001
    if ticker is not None:
        ticker.cancel()
        await asyncio.wait((ticker,))
