"""Calls out on a BACnet/IP network and listens: the socket under `discovery`, for a search and not for the gateway.

It listens on our own address, on the network's broadcast address and on 255.255.255.255: devices introduce themselves
to any of the three, and a socket on one of them does not hear the others.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import IPv4Interface
from typing import Final

from drivers.bacnet import discovery
from drivers.bacnet.discovery import REGISTERED, Heard, Nameless, Outcome, Place, Windows
from drivers.bacnet.names import LARGEST_INSTANCE
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, LinkDown

PACE: Final = 0.01
"""Seconds between two frames of a sweep: 100 a second, a few kbit/s."""
LIFETIME: Final = 60
"""Seconds for which a BBMD is asked to keep us, renewed when half of it is over."""
MOST_HEARD: Final = 20_000
_TRIES: Final = 3
_BUFFER: Final = 1 << 20
"""Bytes that may wait while we are busy: a thousand introductions and more."""
_DOWN: Final = frozenset(
    {errno.ENETDOWN, errno.ENETUNREACH, errno.ENODEV, errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL}
)
"""Failures to send that are this machine's and no single device's."""


class Caller(asyncio.DatagramProtocol):
    """Sockets for one search.

    Attributes:
        heard: each introduction once, in the order in which they came. nameless: addresses that declined to say.

    Args:
        port: on which everybody listens. ephemeral: we take a free one, and hear no broadcasts.
    """

    def __init__(self, own: IPv4Interface, port: int, *, ephemeral: bool = False) -> None:
        self.endpoint = f"bacnet-ip {own.ip}:{port}"
        self.heard: dict[Heard, None] = {}
        self.nameless: set[str] = set()
        self._own, self._port, self._ephemeral = own, port, ephemeral
        self._answers: list[Heard] = []
        self._transports: list[asyncio.DatagramTransport] = []
        self._bbmd: Place | None = None
        self._result: asyncio.Future[int] | None = None
        self._renew = 0.0
        self._refusal = 0
        self._spoke = asyncio.Event()

    async def open(self) -> None:
        """Open the sockets.

        Raises:
            LinkDown: the port is taken, or the address is not this machine's.
        """
        network, places = self._own.network, [(str(self._own.ip), 0 if self._ephemeral else self._port)]
        if not self._ephemeral and network.prefixlen < 31:
            places += [(str(network.broadcast_address), self._port), ("255.255.255.255", self._port)]
        try:
            for place in places:
                await self._listen(place)
        except OSError as error:
            await self.close()
            taken = error.errno == errno.EADDRINUSE
            what = "the port is in use by another program" if taken else os.strerror(error.errno or 0).lower()
            raise LinkDown(what, endpoint=self.endpoint) from None

    async def _listen(self, place: Place) -> None:
        made = _socket()
        try:
            made.bind(place)
        except OSError:
            made.close()
            raise
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=made)
        self._transports.append(transport)

    async def close(self) -> None:
        """Close the sockets. A BBMD that we registered with forgets us by itself."""
        for transport in self._transports:
            transport.close()
        self._transports.clear()
        await asyncio.sleep(0)

    # --- asking

    async def register(self, bbmd: Place, wait: float) -> None:
        """Become a foreign device of a BBMD: from now on broadcasts go through it, and what it hears comes to us.

        Raises:
            DeviceSilent: it does not answer. DeviceRefused: it takes no foreign devices, or is none. LinkDown.
        """
        loop = asyncio.get_running_loop()
        where = "bacnet-ip {}:{}".format(*bbmd)
        for _ in range(_TRIES):
            self._bbmd, self._result = bbmd, loop.create_future()
            self._send(discovery.register(LIFETIME), bbmd)
            try:
                async with asyncio.timeout(wait):
                    code = await self._result
            except TimeoutError:
                continue
            if code != REGISTERED:
                what = f"it registers no foreign device (result {code:#06x}): no BBMD, or its table is full"
                raise DeviceRefused(what, exception_code=code, endpoint=where)
            self._renew = loop.time() + LIFETIME / 2
            return
        self._bbmd = None
        raise DeviceSilent(f"no answer to a registration within {_TRIES} x {wait:g} s", endpoint=where)

    async def everybody(self, windows: Windows, wait: float, *, network: int | None, to: str = "") -> None:
        """Ask everybody on our own network, on a BACnet `network`, by the BBMD if there is one, or at broadcast address
        `to`; in narrower ranges of instances where too many answer at once.

        Raises:
            LinkDown: our own network has no broadcasts, or is down; or the BBMD keeps us no longer.
        """
        while (window := windows.next()) is not None:
            whole = window == (windows.low, windows.high) == (0, LARGEST_INSTANCE)
            message = discovery.who_is(*(() if whole else window), network=network)
            with self._counting() as answers:
                await self._broadcast(message, to, wait)
                await asyncio.sleep(wait)
            windows.answered(*window, {(each.instance, each.address): each.instance for each in answers}.values())

    async def _broadcast(self, message: bytes, to: str, wait: float) -> None:
        network = self._own.network
        if self._bbmd is not None and not to:
            if asyncio.get_running_loop().time() >= self._renew:
                await self.register(self._bbmd, wait)
            self._send(discovery.by_bbmd(message), self._bbmd)
            return
        if not to and network.prefixlen >= 31:
            raise LinkDown("this network has no broadcasts", endpoint=self.endpoint)
        self._send(discovery.to_all(message), (to or str(network.broadcast_address), self._port))

    async def each(self, hosts: Sequence[str], port: int, wait: float, *, itself: bool) -> None:
        """Ask one address after the other: who is there, or (`itself`) what the device there calls itself.

        Args:
            wait: seconds for answers after the last question; less if all have answered.
        """
        for number, host in enumerate(hosts):
            message = discovery.who_are_you(number) if itself else discovery.who_is()
            self._send(discovery.to_one(message), (host, port))
            await asyncio.sleep(PACE)
        asked = {f"{host}:{port}" for host in hosts}
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                while asked - {each.address for each in self.heard} - self.nameless:
                    self._spoke.clear()
                    await self._spoke.wait()

    @contextmanager
    def _counting(self) -> Iterator[list[Heard]]:
        found: list[Heard] = []
        self._answers = found
        try:
            yield found
        finally:
            self._answers = []

    def _send(self, frame: bytes, to: Place) -> None:
        """Raises LinkDown if nobody at all could be reached; that one address cannot is no fault."""
        if not self._transports:
            raise LinkDown("not open", endpoint=self.endpoint)
        self._refusal = 0
        self._transports[0].sendto(frame, to)  # a refusal of the system comes as `error_received` before this returns
        if self._refusal in _DOWN:
            raise LinkDown(os.strerror(self._refusal).lower(), endpoint=self.endpoint)

    # --- hearing

    def datagram_received(self, data: bytes, addr: Place) -> None:
        said = discovery.understand(data, addr)
        self._spoke.set()
        if isinstance(said, Heard):
            if len(self.heard) < MOST_HEARD:
                self.heard.setdefault(said)
                self._answers.append(said)
        elif isinstance(said, Nameless):
            if len(self.nameless) < MOST_HEARD:
                self.nameless.add(said.address)
        elif isinstance(said, Outcome) and addr == self._bbmd and self._result and not self._result.done():
            self._result.set_result(said.code)

    def error_received(self, exc: Exception) -> None:
        self._refusal = exc.errno or 0 if isinstance(exc, OSError) else 0


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    return made
