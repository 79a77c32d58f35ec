"""What people write for BACnet/IP: keys of a link, of a device, of a profile's point. Checked here, used elsewhere."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Interface
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from drivers.bacnet.message import Reference
from drivers.bacnet.names import DEVICE, LARGEST_INSTANCE, object_type, property_id
from sitekeeper.model.clock import HOUR, MINUTE, MS, SECOND
from sitekeeper.profile import Duration, Written, true_and_false

PORT: Final = 47808
"""0xBAC0."""

Instance = Annotated[int, Field(ge=0, le=LARGEST_INSTANCE)]


def _interface(value: str) -> str:
    try:
        IPv4Interface(value)
    except ValueError:
        raise ValueError(f"{value!r} is not an address with its network, for example 10.1.3.10/24") from None
    return value


def _endpoint(value: str) -> str:
    host, colon, port = value.partition(":")
    try:
        IPv4Address(host)
    except AddressValueError:
        raise ValueError(f"{value!r} is not an address, for example 10.1.3.20 or 10.1.3.20:47808") from None
    if colon and not (port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"{value!r}: {port!r} is not a port from 1 to 65535")
    return value


def _device_address(value: str) -> str:
    """Check an address, or `NETWORK:MAC@ROUTER`; networks are 1 to 65534, a MAC has up to 7 bytes (135-2020, 6.2)."""
    path, at, router = value.rpartition("@")
    network, colon, mac = path.partition(":")
    if at and not (
        colon and network.isdecimal() and 0 < int(network) < 65535 and re.fullmatch("([0-9a-f]{2}){1,7}", mac)
    ):
        raise ValueError(f"{value!r} is not a network and a MAC in hex behind a router, for example 5:0a@10.1.3.1")
    _endpoint(router)
    return value


def endpoint(written: str) -> tuple[str, int]:
    """Return host and port of a checked `address`: where frames are sent to, which may be a router."""
    host, colon, port = written.rpartition("@")[2].partition(":")
    return host, int(port) if colon else PORT


def behind(written: str) -> tuple[int, bytes] | None:
    """Return network and MAC of a checked `address` behind a router; None if it is the device's own."""
    path, at, _ = written.rpartition("@")
    network, _, mac = path.partition(":")
    return (int(network), bytes.fromhex(mac)) if at else None


class IpLink(Written):
    """A BACnet/IP port of this gateway: everything on the link is asked from here.

    Attributes:
        address: ours on that network, with the prefix that gives the broadcast address. port: 0 takes a free one; then
            nobody can find this gateway, and it hears no broadcast.
        instance: the device instance of this gateway, which must be unique on the whole internetwork.
        timeout: for each answer.
        bbmd: register there as a foreign device, for `foreign_lifetime` at a time.
    """

    address: Annotated[str, AfterValidator(_interface)]
    port: int = Field(default=PORT, ge=0, le=65535)
    instance: Instance
    timeout: Annotated[Duration, Field(ge=10 * MS, le=60 * SECOND)] = SECOND
    bbmd: Annotated[str, AfterValidator(_endpoint)] | None = None
    foreign_lifetime: Annotated[Duration, Field(ge=10 * SECOND, le=60 * MINUTE)] = MINUTE


class BacnetDevice(Written):
    """A device on the link, and which of its objects is meant.

    Attributes:
        device: its device instance; another one that answers at `address` is not believed.
        address: of the device, or of the router before it: network and MAC in hex there, 5:0a@10.1.3.1.
        object: instance of the objects that points name without one. Several devices of a site may be objects of one
            BACnet device: lamps of one controller.
        max_apdu: most bytes that one answer may have; less where the device itself says less.
        in_flight: most requests to that address at once. Many devices take one at a time.
        cov: how it tells changes of the points that ask for it: `confirmed` has each acknowledged and sent again if it
            is lost; `none` polls them like all others. cov_lifetime: of a subscription, renewed at half of it.
        status: its values are worth what the Status_Flags of their objects say, which are read beside them.
    """

    device: Instance
    address: Annotated[str, AfterValidator(_device_address)]
    object: Instance
    max_apdu: Literal[50, 128, 206, 480, 1024, 1476] = 1476
    in_flight: int = Field(default=1, ge=1, le=8)
    cov: Literal["confirmed", "unconfirmed", "none"] = "confirmed"
    cov_lifetime: Annotated[Duration, Field(ge=10 * SECOND, le=24 * HOUR)] = 5 * MINUTE
    status: bool = True


_NUMBERS: Final[dict[str, Any]] = {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}


def _several(value: object) -> object:
    """Take one number for a list of one."""
    if not isinstance(value, Mapping):
        return value
    return {key: tuple(raw) if isinstance(raw, list) else (raw,) for key, raw in value.items()}


BoolMap = Annotated[
    dict[bool, tuple[int, ...]],
    BeforeValidator(_several),
    BeforeValidator(true_and_false),
    WithJsonSchema({"type": "object", "properties": {"true": _NUMBERS, "false": _NUMBERS},
                    "required": ["true", "false"], "additionalProperties": False}),
]  # fmt: skip
"""Raw numbers of true and of false: one each, or a list."""


class BacnetPoint(Written):
    """Which property a point is, and how its value is to be understood. Lifts have no Present_Value: say which one.

    Attributes:
        object: type of the object, by name or number. instance: of that object, where the device's own `object` is not
            meant. property: by name or number. index: one element of an array, from 1; 0 is its length.
        enum: raw number -> word. bool: raw numbers of true and of false; of a property with several values all must be
            true. Any other raw number is bad.
        contains: true while a list has this number in it. bit: one bit of a bit string, 0 the first.
        scale, offset: value = raw * scale + offset.
        invalid: raw numbers by which the device says that it has none; NaN and Null always do.
        write: it may be written, in the type that the standard gives the property; or that type itself.
        warn: raw number that has gear blink before it goes off (Binary Lighting Output: 2); written for -1, never read.
        cov: the device is asked to tell its changes by itself (SubscribeCOV, SubscribeCOVProperty); a number is the
            smallest change of a real number that it tells. It is polled all the same where the device does not.
    """

    object: int | str
    property: int | str
    instance: Instance | None = None
    index: int | None = Field(default=None, ge=0, le=65535)
    enum: dict[int, str] | None = Field(default=None, min_length=1, max_length=256)
    bool_map: BoolMap | None = Field(default=None, alias="bool")
    contains: int | None = Field(default=None, ge=0)
    bit: int | None = Field(default=None, ge=0, le=255)
    scale: float = Field(default=1.0, allow_inf_nan=False)
    offset: float = Field(default=0.0, allow_inf_nan=False)
    invalid: tuple[int | float, ...] = Field(default=(), max_length=16, strict=False)
    write: bool | Literal["boolean", "unsigned", "signed", "real", "double", "enumerated"] = False
    warn: int | None = Field(default=None, ge=0)
    cov: bool | Annotated[float, Field(gt=0, allow_inf_nan=False)] = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        object_type(self.object)
        property_id(self.property)
        for wrong, message in self._faults():
            if wrong:
                raise ValueError(message)
        return self

    def _faults(self) -> list[tuple[Any, str]]:
        ways = [self.enum, self.bool_map, self.contains, self.bit]
        both = set(self.bool_map[True]) & set(self.bool_map[False]) if self.bool_map else ()
        return [
            (sum(way is not None for way in ways) > 1, "enum, bool, contains and bit exclude each other"),
            (self.contains is not None and self.index is not None, "contains looks into a whole list: no index"),
            (not 1e-12 <= abs(self.scale) <= 1e12, f"scale {self.scale} is no scale"),
            (both, "true and false have a raw value in common"),
            (self.warn is not None and (self.write is False or self.bool_map is None), "warn is for bool: with write:"),
        ]


@dataclass(frozen=True, slots=True)
class Place:
    """What `bind` makes of a point: its property, where the instance may still be the device's own `object`."""

    point: BacnetPoint

    @property
    def gear_warns(self) -> bool:
        """Whether the gear blinks by itself when it is told to warn."""
        return self.point.warn is not None

    @property
    def many(self) -> bool:
        """Whether the value may be a list or a whole array."""
        return self.point.contains is not None or (self.point.bool_map is not None and self.point.index is None)

    def reference(self, device: BacnetDevice) -> Reference:
        """Return the property as it is asked for."""
        kind = object_type(self.point.object)
        instance = self.point.instance
        if instance is None:
            instance = device.device if kind == DEVICE else device.object
        return Reference(kind, instance, property_id(self.point.property), self.point.index)
