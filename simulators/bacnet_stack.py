"""The one file of the simulators that knows bacpypes3: its objects, and its application with hooks for the server.

The library would let a foreign client write anything, sensors and its own time-outs included: here the present value
of what can be commanded is all that can be written, and of other services only those that read are there.
"""

import asyncio
import logging
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, Self

from bacpypes3.apdu import (
    AbortPDU,
    AbortReason,
    ConfirmedCOVNotificationRequest,
    ConfirmedRequestPDU,
    Error,
    ReadPropertyACK,
    ReadPropertyMultipleACK,
    ReadPropertyMultipleRequest,
    ReadPropertyRequest,
    RejectPDU,
    RejectReason,
    SimpleAckPDU,
    SubscribeCOVPropertyRequest,
    SubscribeCOVRequest,
    UnconfirmedCOVNotificationRequest,
    WhoIsRequest,
    WritePropertyRequest,
)
from bacpypes3.app import Application
from bacpypes3.basetypes import PriorityValue, PropertyValue, Segmentation
from bacpypes3.constructeddata import Any as AnyValue
from bacpypes3.errors import ExecutionError, PropertyError
from bacpypes3.local.cmd import Commandable
from bacpypes3.local.device import DeviceObject
from bacpypes3.local.networkport import NetworkPortObject
from bacpypes3.local.object import Object
from bacpypes3.object import (
    AccessDoorObject,
    BinaryLightingOutputObject,
    EscalatorObject,
    LiftObject,
    LightingOutputObject,
)
from bacpypes3.primitivedata import ObjectIdentifier, PropertyIdentifier

from simulators.faults import Fault, FaultKind
from sitekeeper.model.clock import SECOND

READY: Final = 2.0
"""Seconds within which the port must be open; the library itself would try for ever."""

Asked = tuple[str, int, list[str]]
"""Type and instance of an object, and the names of the properties asked for, `all` among them."""

logging.getLogger("bacpypes3").setLevel(logging.CRITICAL + 1)


class _Updated:
    """What the server does with an object."""

    notificationClass = None  # noqa: N815 - the library looks for it, and some types of object have none

    _refused: frozenset[str] = frozenset()

    def update(self, values: Mapping[str, Any], refused: Iterable[str] = ()) -> None:
        """Let the properties be `values`, but answer for those `refused` that they are unknown."""
        self._refused = frozenset(refused)
        for name, value in values.items():
            setattr(self, name, value)

    async def read_property(self, attr: Any, index: int | None = None) -> Any:
        if PropertyIdentifier(attr).attr in self._refused:
            raise PropertyError(errorCode="unknownProperty")
        return await super().read_property(attr, index)  # type: ignore[misc]

    def commanded(self) -> float:
        return _plain(self.presentValue)  # type: ignore[attr-defined]

    def at(self, priority: int) -> float | None:
        """Return what is commanded at this place of the priority array; None for nothing."""
        place = self.priorityArray[priority - 1]  # type: ignore[attr-defined]
        return None if place.null is not None else _plain(getattr(place, place._choice))  # noqa: SLF001

    def remember(self, before: Any) -> None:
        """Take over the priority array of the object that stood here before; it survives what ends a connection."""
        if before is not None and hasattr(before, "priorityArray"):
            for place in range(16):
                self.priorityArray[place] = before.priorityArray[place]  # type: ignore[attr-defined]

    def relinquish(self, priority: int) -> None:
        self.priorityArray[priority - 1] = PriorityValue(null=())  # type: ignore[attr-defined]


def _plain(value: Any) -> float:
    return int(value) if isinstance(value, int) else float(value)  # and not a type of the library's


class _Lift(_Updated, Object, LiftObject):  # type: ignore[misc]
    pass


class _Escalator(_Updated, Object, EscalatorObject):  # type: ignore[misc]
    pass


class _Lamp(_Updated, Commandable, Object, LightingOutputObject):  # type: ignore[misc]
    pass


class _Circuit(_Updated, Commandable, Object, BinaryLightingOutputObject):  # type: ignore[misc]
    pass


class _Door(_Updated, Commandable, Object, AccessDoorObject):  # type: ignore[misc]
    pass


_KINDS: Final[dict[str, tuple[type[Any], dict[str, Any]]]] = {
    "lift": (_Lift, {"elevatorGroup": ("elevator-group", 4194303), "groupID": 1, "installationID": 1}),
    "escalator": (_Escalator, {"elevatorGroup": ("elevator-group", 4194303), "groupID": 1, "installationID": 1}),
    "lighting-output": (
        _Lamp,
        {"presentValue": 0.0, "relinquishDefault": 0.0, "blinkWarnEnable": False, "egressTime": 0,
         "egressActive": False, "defaultFadeTime": 1000, "defaultRampRate": 100.0, "defaultStepIncrement": 10.0,
         "lightingCommandDefaultPriority": 16},
    ),
    "binary-lighting-output": (_Circuit, {"presentValue": "off", "relinquishDefault": "off", "eventState": "normal"}),
    "access-door": (
        _Door,
        {"presentValue": "lock", "relinquishDefault": "lock", "eventState": "normal", "doorExtendedPulseTime": 150,
         "reliability": "no-fault-detected"},
    ),
}  # fmt: skip


def served(kind: str, instance: int, name: str) -> Any:
    """Return an object of the library's, with what the standard demands of it."""
    made, given = _KINDS[kind]
    flags = {"statusFlags": [0, 0, 0, 0], "outOfService": False}
    return made(objectIdentifier=(kind, instance), objectName=name, **flags, **given)


def free_port(host: str, port: int) -> int:
    """Return `port`, or a free one for 0.

    Raises:
        OSError: it is taken.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, port))
        return int(probe.getsockname()[1])


class Server(Protocol):
    """What a device asks before each reply, and tells."""

    def touch(self, asked: Sequence[Asked]) -> list[Any]: ...
    def take_fault(self, touched: Sequence[Any]) -> Fault | None: ...
    def write_down(self, touched: Sequence[Any], spoilt: Fault | None = None) -> None: ...
    def may_command(self, kind: str, instance: int) -> bool: ...
    def tells(self, kind: str, instance: int) -> list[str]: ...
    def ignores(self, kind: str, instance: int) -> Literal["silent", "deaf", ""]: ...
    def commanded(self, kind: str, instance: int, priority: int) -> None: ...


FLAGS: Final = "statusFlags"
"""Told with whatever is told of an object (135-2020, table 13-1)."""
LOOK: Final = 0.02
"""Seconds between two looks at whether something changed that is to be told."""


@dataclass(slots=True, eq=False)
class _Telling:
    """A subscription: whom to tell of which properties of one object. `index`: of one element of an array."""

    address: Any
    process: int
    place: tuple[str, int]
    names: list[str]
    index: int | None
    confirmed: bool
    ends: float
    last: dict[str, Any]


class Device(Application):  # type: ignore[misc]
    """The library's application with our hooks. Its own notifications are left alone: half of our objects have none."""

    tells: bool = False
    _server: Server
    _touched: Sequence[Any] = ()
    _fault: Fault | None = None
    _written: tuple[str, int, int] | None = None
    _tellings: dict[tuple[str, int, tuple[str, int], str], _Telling]
    _watching: asyncio.Task[None] | None

    @classmethod
    def serving(cls, server: Server, instance: int, address: str, objects: Iterable[Any]) -> Self:
        """Return a device that begins to listen."""
        itself = DeviceObject(
            objectIdentifier=("device", instance), objectName=f"simulated {instance}", vendorIdentifier=0,
            maxApduLengthAccepted=1476, segmentationSupported=Segmentation.noSegmentation,
        )  # fmt: skip
        port = NetworkPortObject(address, objectIdentifier=("network-port", 1), objectName="port")
        made: Self = cls.from_object_list([itself, port, *objects])
        made._server = server
        made._tellings = {}
        made._watching = None
        return made

    async def ready(self) -> None:
        """Wait until the port is open.

        Raises:
            TimeoutError: it did not open in time.
        """
        async with asyncio.timeout(READY):
            await asyncio.gather(*self._opening())

    async def ended(self) -> None:
        """Close the port; who was to be told is forgotten."""
        self._tellings.clear()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait((self._watching,))
        for task in self._opening():
            task.cancel()
        await asyncio.gather(*self._opening(), return_exceptions=True)
        for transaction in [*self.asap.clientTransactions, *self.asap.serverTransactions]:
            transaction.stop_timer()
        self.close()
        for _ in range(2):  # sockets close in the turn after
            await asyncio.sleep(0)

    def _opening(self) -> list[Any]:
        (link,) = self.link_layers.values()
        return list(link.server._transport_tasks)  # noqa: SLF001 - it offers no other way

    # --- requests and replies

    async def indication(self, apdu: Any) -> None:
        if isinstance(apdu, ReadPropertyRequest | ReadPropertyMultipleRequest):
            self._touched = self._server.touch(list(_asked(apdu)))
            self._fault = self._server.take_fault(self._touched)
            if self._fault is not None and self._fault.kind is FaultKind.SILENCE:
                self._server.write_down(self._touched, self._fault)
                return
            if self._is(FaultKind.NO_RPM) and isinstance(apdu, ReadPropertyMultipleRequest):
                await self._refuse(apdu)
                return
            await super().indication(apdu)
        elif isinstance(apdu, WhoIsRequest | WritePropertyRequest):
            await super().indication(apdu)
        elif self.tells and isinstance(apdu, SubscribeCOVRequest | SubscribeCOVPropertyRequest):
            await self._subscribe(apdu)
        elif isinstance(apdu, ConfirmedRequestPDU):
            await self._refuse(apdu)

    async def _refuse(self, apdu: Any) -> None:
        await super().response(RejectPDU(reason=RejectReason.unrecognizedService, context=apdu))

    async def response(self, apdu: Any) -> None:
        """Write down and spoil an answer to a read, obey a write; all that follows the request without a pause."""
        if isinstance(apdu, SimpleAckPDU) and self._written is not None:
            self._server.commanded(*self._written)
        if isinstance(apdu, ReadPropertyACK | ReadPropertyMultipleACK):
            fault, touched = self._fault, self._touched
            if self._is(FaultKind.TOO_LONG) and fault is not None and len(apdu.encode().pduData) > fault.count:
                apdu = AbortPDU(reason=AbortReason.segmentationNotSupported, context=apdu)
            elif self._is(FaultKind.WRONG_OBJECT) or self._is(FaultKind.WRONG_PROPERTY):
                self._server.write_down(touched, fault)
                _spoil(apdu, wrong_object=self._is(FaultKind.WRONG_OBJECT))
            else:
                self._server.write_down(touched)
            if fault is not None and fault.kind is FaultKind.LATE:
                await asyncio.sleep(fault.delay / SECOND)
        await super().response(apdu)

    def _is(self, kind: FaultKind) -> bool:
        return self._fault is not None and self._fault.kind is kind

    # --- telling changes

    def forget(self, kind: str, instance: int) -> None:
        """Tell nobody of this object any more, as after a restart."""
        self._tellings = {key: one for key, one in self._tellings.items() if one.place != (kind, instance)}

    async def _subscribe(self, apdu: Any) -> None:
        place = _name(apdu.monitoredObjectIdentifier)
        named = getattr(apdu, "monitoredPropertyIdentifier", None)
        known = self._server.tells(*place)
        names = known if named is None else [n for n in known if n == named.propertyIdentifier.attr]
        if not names:
            refusal = {"errorClass": "object", "errorCode": "optionalFunctionalityNotSupported"}
            await super().response(Error(service_choice=apdu.apduService, context=apdu, **refusal))
            return
        index = None if named is None or named.propertyArrayIndex is None else int(named.propertyArrayIndex)
        key = (str(apdu.pduSource), int(apdu.subscriberProcessIdentifier), place, f"{named and names[0]}[{index}]")
        self._tellings.pop(key, None)
        if apdu.lifetime is not None:
            ends = asyncio.get_running_loop().time() + int(apdu.lifetime)
            confirmed = bool(apdu.issueConfirmedNotifications)
            self._tellings[key] = _Telling(apdu.pduSource, key[1], place, [*names, FLAGS], index, confirmed, ends, {})
        await super().response(SimpleAckPDU(context=apdu))
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="who is to be told")

    async def _watch(self) -> None:
        while True:
            now = asyncio.get_running_loop().time()
            self._tellings = {key: one for key, one in self._tellings.items() if one.ends > now}
            for one in self._tellings.values():
                touched = self._server.touch([(*one.place, one.names)])
                values = {name: value for each in touched for name, value in each.values.items()}
                if values and values != one.last:
                    one.last = values
                    self._server.write_down(touched)
                    self._tell(one, values, int(one.ends - now))
            await asyncio.sleep(LOOK)

    def _tell(self, one: _Telling, values: Mapping[str, Any], left: int) -> None:
        thing = self.get_object_id(ObjectIdentifier(one.place))
        told = []
        for name, value in values.items():
            made = thing.get_property_type(name)(value)
            index = None if name == FLAGS else one.index
            part = made if index is None else made[index - 1]
            told.append(PropertyValue(propertyIdentifier=name, propertyArrayIndex=index, value=AnyValue(part)))
        kind = ConfirmedCOVNotificationRequest if one.confirmed else UnconfirmedCOVNotificationRequest
        sent = self.request(
            kind(
                subscriberProcessIdentifier=one.process,
                initiatingDeviceIdentifier=self.device_object.objectIdentifier,
                monitoredObjectIdentifier=one.place,
                timeRemaining=left,
                listOfValues=told,
                destination=one.address,
            )
        )
        sent.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def do_WritePropertyRequest(self, apdu: Any) -> None:  # noqa: N802 - the library's name
        kind, instance = _name(apdu.objectIdentifier)
        if apdu.propertyIdentifier != PropertyIdentifier.presentValue or not self._server.may_command(kind, instance):
            raise ExecutionError(errorClass="property", errorCode="writeAccessDenied")
        ignores = self._server.ignores(kind, instance)
        if ignores == "silent":
            return
        if ignores == "deaf":
            await self.response(SimpleAckPDU(context=apdu))
            return
        self._written = (kind, instance, int(apdu.priority or 16))
        try:
            await super().do_WritePropertyRequest(apdu)
        finally:
            self._written = None


def _name(identifier: Any) -> tuple[str, int]:
    return str(identifier[0]), int(identifier[1])


def _asked(apdu: Any) -> Iterable[Asked]:
    if isinstance(apdu, ReadPropertyRequest):
        yield (*_name(apdu.objectIdentifier), [apdu.propertyIdentifier.attr])
        return
    for each in apdu.listOfReadAccessSpecs:
        yield (*_name(each.objectIdentifier), [one.propertyIdentifier.attr for one in each.listOfPropertyReferences])


def _spoil(apdu: Any, *, wrong_object: bool) -> None:
    """Let an answer name another object or property than was asked for; its values stay."""
    for each in apdu.listOfReadAccessResults if isinstance(apdu, ReadPropertyMultipleACK) else [apdu]:
        if wrong_object:
            kind, instance = each.objectIdentifier
            each.objectIdentifier = ObjectIdentifier((kind, instance + 1))
        else:
            named = each.listOfResults[0] if isinstance(apdu, ReadPropertyMultipleACK) else each
            named.propertyIdentifier = PropertyIdentifier.description
