"""One BACnet/IP port: the only file of the drivers that knows bacpypes3, whose exceptions and log lines end here.

The library does addresses, network layer, invoke ids, time-outs and foreign registration. Requests go in and answers
come out as bytes (`message`): its own decoding costs ten times as much and takes wrong answers for good. Its errors
derive from BaseException, so that `except Exception` would let them kill a task; they are all caught in `_wait`.

Retrying is switched off in the library: the poller does it. Of what others ask this gateway only who it is, and its own
properties, are answered: the library would also let anybody write them, or silence it for an hour.
"""

import asyncio
import contextlib
import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import Any, Final

from bacpypes3.apdu import (
    APDU,
    AbortPDU,
    AbortReason,
    ComplexAckPDU,
    ConfirmedRequestPDU,
    Error,
    ErrorRejectAbortNack,
    ReadPropertyMultipleRequest,
    ReadPropertyRequest,
    RejectPDU,
    RejectReason,
    SimpleAckPDU,
    WhoIsRequest,
    register_error_type,
)
from bacpypes3.app import Application
from bacpypes3.appservice import ApplicationServiceAccessPoint
from bacpypes3.basetypes import ErrorClass, ErrorCode, HostNPort, IPMode, Segmentation
from bacpypes3.comm import Client, ServiceAccessPoint, bind
from bacpypes3.errors import DecodingError
from bacpypes3.local.device import DeviceObject
from bacpypes3.local.networkport import NetworkPortObject
from bacpypes3.netservice import NetworkServiceAccessPoint, NetworkServiceElement, RouterInfoCache
from bacpypes3.pdu import PDU, GlobalBroadcast, IPv4Address, LocalBroadcast, RemoteStation

from drivers.bacnet import notice
from drivers.bacnet.foreign import Registration, fixed
from drivers.bacnet.message import READ_PROPERTY, READ_PROPERTY_MULTIPLE, WRITE_PROPERTY, Wrong
from drivers.bacnet.options import IpLink, behind, endpoint
from drivers.bacnet.plan import DEFAULT_APDU
from drivers.bacnet.port import NO_BROADCAST, READY, probe, reason
from sitekeeper import __version__
from sitekeeper.model.clock import MS, SECOND
from sitekeeper.model.errors import DeviceSilent, LinkDown, ReplyMismatch

GRACE: Final = 0.25
"""Seconds beyond the library's own time-out, after which it is held to have lost the request."""

_MOST_HEARD: Final = 10_000
_MOST_SERVED: Final = 32
"""Requests of others at once; more are not answered, so that nobody can fill the memory with them."""
_CONFIRMED, _UNCONFIRMED, _SEGMENTED = 0, 1, 0x08
"""Types of message (clause 20.1.2), and the flag of one in several pieces."""
_UNKNOWN_SUBSCRIPTION: Final = b"\x91\x05\x91\x4f"
"""Error class services, code unknown-subscription."""
_ANSWERED: Final = (WhoIsRequest, ReadPropertyRequest, ReadPropertyMultipleRequest)
_RAW: Final = frozenset({READ_PROPERTY, READ_PROPERTY_MULTIPLE, WRITE_PROPERTY})
_DOWN: Final = frozenset({errno.ENETDOWN, errno.ENODEV, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EBADF})
"""Failures to send that are the network's and no single device's."""


@register_error_type
class _PropertyRefused(Error):  # type: ignore[misc]
    """The library of this version loses errors of this service, which then look like silence."""

    service_choice = notice.SUBSCRIBE_PROPERTY


logging.getLogger("bacpypes3").setLevel(logging.CRITICAL + 1)  # what matters of it is in our errors


@dataclass(frozen=True, slots=True)
class Nak:
    """The device declined: an error (with its class), a reject or an abort, by the numbers of the standard."""

    kind: str
    code: int
    error_class: int = -1

    def __str__(self) -> str:
        table = {"error": ErrorCode, "reject": RejectReason, "abort": AbortReason}[self.kind]
        within = f" (class {self.error_class}, {ErrorClass(self.error_class)})" if self.error_class >= 0 else ""
        return f"{self.kind} {self.code}, {table(self.code)}{within}"


class _AccessPoint(ApplicationServiceAccessPoint):  # type: ignore[misc]
    """Hands answers up as they came, and what others say unasked to the stack, before the library decodes it."""

    stack: "Stack"

    async def sap_response(self, apdu: Any) -> None:
        if isinstance(apdu, ComplexAckPDU) and apdu.apduService in _RAW:
            await ServiceAccessPoint.sap_response(self, apdu)
        else:
            await super().sap_response(apdu)

    async def confirmation(self, pdu: Any) -> None:
        """Take one message of any kind."""
        data, source = bytes(pdu.pduData), str(pdu.pduSource)
        kind = data[0] >> 4 if len(data) > 1 else None
        if kind == _UNCONFIRMED and data[1] != notice.WHO_IS:
            self.stack.told(source, data[1], data[2:])
        elif kind == _CONFIRMED and data[3:4] == bytes([notice.CONFIRMED_NOTICE]) and not data[0] & _SEGMENTED:
            known = self.stack.noticed(source, data[2], data[4:])
            head, rest = (0x20, b"") if known else (0x50, _UNKNOWN_SUBSCRIPTION)
            reply = bytes([head, data[2], notice.CONFIRMED_NOTICE]) + rest
            await Client.request(self, PDU(reply, destination=pdu.pduSource))
        elif kind is not None and (kind != _CONFIRMED or len(self.serverTransactions) < _MOST_SERVED):
            with contextlib.suppress(DecodingError):
                await super().confirmation(pdu)


class _Gateway(Application):  # type: ignore[misc]
    """Answers who it is and what it is, and nothing else."""

    async def indication(self, apdu: Any) -> None:
        if isinstance(apdu, _ANSWERED):
            await super().indication(apdu)
        elif isinstance(apdu, ConfirmedRequestPDU):
            await self.response(RejectPDU(reason=RejectReason.unrecognizedService, context=apdu))

    async def confirmation(self, apdu: Any) -> None:
        with contextlib.suppress(asyncio.InvalidStateError):  # who asked has gone in this very turn
            await super().confirmation(apdu)


class Stack:
    """Owns the port. Requests of several tasks go side by side; how many for one device is the caller's care.

    Attributes:
        process: our number for subscriptions, the same after a restart, so that they are renewed and not doubled.
        on_notice: takes notifications (address, invoke id or -1, service data) and tells whether it wanted them.
        on_i_am: takes every I-Am, with the address that it came from.
    """

    def __init__(self, options: IpLink) -> None:
        self.process = options.instance + 1
        self.on_notice: Callable[[str, int, bytes], bool] = lambda _source, _invoke, _data: False
        self.on_i_am: Callable[[str, notice.IAm], None] = lambda _source, _said: None
        self._heard: dict[int, notice.Introduced] | None = None
        self._spoke = asyncio.Event()
        interface = IPv4Interface(options.address)
        self.endpoint = f"bacnet-ip {interface.ip}:{options.port}"
        self._options = options
        self._host = str(interface.ip)
        self._app: _Gateway | None = None
        self._routes: dict[int, Any] = {}
        self._foreign: Registration | None = None
        self._waiting: set[asyncio.Future[Any]] = set()
        self._why = "not open"
        self._failures = 0

    async def open(self) -> None:
        """Open the port.

        Raises:
            LinkDown: it is taken, or is not this machine's, or did not open in time; says which.
        """
        await self.close()
        try:
            probe(self._options)
            self._app = self._build()
            async with asyncio.timeout(READY):
                await asyncio.gather(*self._server()._transport_tasks)  # noqa: SLF001 - it offers no other way
        except (OSError, TimeoutError) as error:
            await self.close()
            self._failures += 1
            self._why = reason(error)
            raise LinkDown(self._why, endpoint=self.endpoint, count=self._failures) from None
        self._listen_for_errors()
        if self._options.bbmd is not None:
            (link,) = self._app.link_layers.values()
            bbmd, lifetime = IPv4Address(endpoint(self._options.bbmd)), self._options.foreign_lifetime // SECOND
            self._foreign = Registration(link, bbmd, lifetime)
        self._failures = 0

    async def close(self) -> None:
        """Close the port, if it is open. Requests in flight fail with LinkDown."""
        app, self._app = self._app, None
        if app is None:
            return
        self._fail("closed by us")
        if self._foreign is not None:
            self._foreign.stop()
            self._foreign = None
        for link in app.link_layers.values():
            tasks = link.server._transport_tasks  # noqa: SLF001 - else they go on trying
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for transaction in app.asap.clientTransactions:
            transaction.stop_timer()
        app.close()
        for _ in range(2):  # transports close in the turn after
            await asyncio.sleep(0)

    def peer(self, address: str) -> Any:
        """Return how the library names a device's address; of one network behind routers the last named is used."""
        found, path = IPv4Address(endpoint(address)), behind(address)
        if path is None:
            return found
        self._routes[path[0]] = found
        return RemoteStation(*path)

    def ready(self) -> Any:
        """Return the application.

        Raises:
            LinkDown: the port is not open, so that nothing can be sent.
        """
        app = self._app
        if app is None or self._server().local_transport.is_closing():
            raise LinkDown(self._why if app is None else "the port was closed", endpoint=self.endpoint)
        return app

    async def who_is(self, peer: Any | None, wait: float) -> list[notice.Introduced]:
        """Ask who is there, at one address or (None) on the whole local network, and return who said so, by instance.

        Args:
            wait: seconds; from one address the first answer is enough.

        Raises:
            LinkDown: the port is not open, or its network has no broadcasts.
        """
        app = self.ready()
        if peer is None and IPv4Interface(self._options.address).network.prefixlen >= NO_BROADCAST:
            raise LinkDown("this network has no broadcasts", endpoint=self.endpoint)
        asked = WhoIsRequest(destination=LocalBroadcast() if peer is None else peer)
        heard: dict[int, notice.Introduced] = {}
        self._heard, self._spoke = heard, asyncio.Event()
        try:
            app.request(asked)
            if peer is None:
                await asyncio.sleep(wait)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._spoke.wait()
        finally:
            self._heard = None
        return [heard[key] for key in sorted(heard)]

    def ask_who(self, instance: int) -> None:
        """Ask everybody who has this instance; whoever has it says so to `on_i_am`. Nothing where nobody would hear it.

        Raises:
            LinkDown: the port is not open.
        """
        app = self.ready()
        if self._options.port and IPv4Interface(self._options.address).network.prefixlen < NO_BROADCAST:
            limits = {"deviceInstanceRangeLowLimit": instance, "deviceInstanceRangeHighLimit": instance}
            app.request(WhoIsRequest(destination=GlobalBroadcast(), **limits))

    def told(self, source: str, service: int, data: bytes) -> None:
        """Take what somebody says to nobody in particular."""
        if service == notice.UNCONFIRMED_NOTICE:
            self.noticed(source, -1, data)
        elif service == notice.I_AM and not isinstance(said := notice.read_i_am(data), Wrong):
            self.on_i_am(source, said)
            if self._heard is not None and len(self._heard) < _MOST_HEARD:
                self._heard.setdefault(said.instance, notice.Introduced(said.instance, source))
                self._spoke.set()

    def noticed(self, source: str, invoke: int, data: bytes) -> bool:
        """Take a notification; tell whether anybody wanted it."""
        return self._app is not None and self.on_notice(source, invoke, data)

    async def ask(self, peer: Any, service: int, data: bytes) -> bytes | Nak:
        """Return the service data of the answer, or how the device declined. A simple acknowledgement has no data.

        Raises:
            DeviceSilent: no answer in time.
            ReplyMismatch: it acknowledged another service.
            LinkDown: not open, or lost while asking.
        """
        app = self.ready()
        request = ConfirmedRequestPDU(service, destination=peer)
        request.put_data(data)
        future = app.request(request)
        self._waiting.add(future)
        try:
            async with asyncio.timeout(self._options.timeout / SECOND + GRACE):
                answer = await self._wait(future)
        except TimeoutError:
            raise self._silence(peer) from None
        finally:
            self._waiting.discard(future)
        if isinstance(answer, APDU):
            if answer.apduService != service:
                what = f"an acknowledgement of service {answer.apduService} instead of {service}"
                raise ReplyMismatch(what, endpoint=f"bacnet-ip {peer}")
            return b"" if isinstance(answer, SimpleAckPDU) else bytes(answer.pduData)
        return answer

    async def _wait(self, future: "asyncio.Future[Any]") -> APDU | Nak:
        """Return an acknowledgement as it is, or how the device declined; raises TimeoutError."""
        try:
            answer = await future
        except ErrorRejectAbortNack as nak:
            answer = nak
        if isinstance(answer, ComplexAckPDU | SimpleAckPDU):
            return answer
        if isinstance(answer, AbortPDU):
            if answer.apduAbortRejectReason == AbortReason.noResponse:
                raise TimeoutError
            return Nak("abort", int(answer.apduAbortRejectReason))
        if isinstance(answer, RejectPDU):
            return Nak("reject", int(answer.apduAbortRejectReason))
        code, error_class = getattr(answer, "errorCode", None), getattr(answer, "errorClass", None)
        return Nak("error", int(code) if code is not None else 0, int(error_class) if error_class is not None else -1)

    # building

    def _build(self) -> _Gateway:
        options = self._options
        device = DeviceObject(
            objectIdentifier=("device", options.instance),
            objectName=f"sitekeeper-{options.instance}",
            vendorIdentifier=0,
            modelName="Sitekeeper gateway",
            applicationSoftwareVersion=__version__,
            maxApduLengthAccepted=DEFAULT_APDU,
            segmentationSupported=Segmentation.noSegmentation,
            apduTimeout=options.timeout // MS,
            numberOfApduRetries=0,
        )
        port = NetworkPortObject(
            f"{options.address}:{options.port}", objectIdentifier=("network-port", 1), objectName="port-1"
        )
        if options.bbmd is not None:
            port.bacnetIPMode = IPMode.foreign
            port.fdBBMDAddress = HostNPort("{}:{}".format(*endpoint(options.bbmd)))
            port.fdSubscriptionLifetime = options.foreign_lifetime // SECOND
        app = _Gateway()
        app.asap = _AccessPoint(device, app.device_info_cache)
        app.asap.stack = self
        app.nsap = NetworkServiceAccessPoint(fixed(RouterInfoCache(), self._routes))
        app.nse = NetworkServiceElement()
        bind(app.nse, app.nsap)
        bind(app, app.asap, app.nsap)
        app.add_object(device)
        app.add_object(port)
        return app

    def _server(self) -> Any:
        assert self._app is not None
        (link,) = self._app.link_layers.values()
        return link.server

    # what the network says

    def _listen_for_errors(self) -> None:
        """The library drops what the operating system says of a failed send."""

        def failed(error: Exception) -> None:
            if isinstance(error, OSError) and error.errno in _DOWN:
                self._fail(reason(error))

        def lost(error: Exception | None) -> None:
            self._fail("the port was closed" if error is None else reason(error))

        protocol = self._server().local_protocol
        protocol.error_received, protocol.connection_lost = failed, lost

    def _fail(self, why: str) -> None:
        self._why = why
        for future in self._waiting:
            if not future.done():
                future.set_exception(LinkDown(why, endpoint=self.endpoint))

    def _silence(self, peer: Any) -> DeviceSilent:
        return DeviceSilent(f"no answer within {self._options.timeout / SECOND:g} s", endpoint=f"bacnet-ip {peer}")
