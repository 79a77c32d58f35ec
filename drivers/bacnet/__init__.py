"""BACnet/IP: what may be written for it, and how a driver is made. The protocol library is loaded only by `create`.

options, names, codec, encoder     what people write, and what values mean
message, notice                    services as bytes
plan, groups, learned              which requests, and what was learned of their size
flags                              what values are worth by what their objects say
subscription, cov, doubles         what is told unasked, who claims one instance
stack, port, foreign, listening    the port, its registration at a BBMD, and what comes unasked
station, captured, driver          one device, what it last said for people, and all on a link
discovery, caller                  finding devices, on sockets of its own
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from drivers.bacnet.codec import check
from drivers.bacnet.encoder import check_write
from drivers.bacnet.options import BacnetDevice, BacnetPoint, IpLink, Place
from drivers.base import DeviceRead, Driver, EventField, Services
from sitekeeper.model.clock import Clock
from sitekeeper.model.point import PointType


@dataclass(frozen=True, slots=True)
class BacnetKind:
    """A `drivers.base.DriverKind`."""

    name: str
    link_model: type[BaseModel]
    family: str = "bacnet"
    device_model: type[BaseModel] = BacnetDevice
    point_model: type[BaseModel] = BacnetPoint
    marker_keys: frozenset[str] = frozenset({"property"})
    event_model: type[BaseModel] | None = None

    def bind_device(self, options: BaseModel, parameters: Mapping[str, int | str]) -> BaseModel:  # noqa: ARG002
        return options

    def bind(
        self,
        point: BaseModel,
        *,
        point_type: PointType,
        members: tuple[str, ...],
        parameters: Mapping[str, int | str],  # noqa: ARG002 - which object is a key of the device itself
    ) -> Place:
        assert isinstance(point, BacnetPoint)
        check(point, point_type, members)
        check_write(point, point_type)
        return Place(point)

    def writable(self, address: object) -> bool:
        return isinstance(address, Place) and address.point.write is not False

    def bind_event(
        self,
        event: BaseModel,  # noqa: ARG002
        *,
        fields: tuple[EventField, ...],  # noqa: ARG002
        parameters: Mapping[str, int | str],  # noqa: ARG002
    ) -> object:
        raise ValueError("BACnet has no events")

    def create(
        self,
        link_id: str,  # noqa: ARG002 - the endpoint names itself
        options: BaseModel,
        devices: Sequence[DeviceRead],
        clock: Clock,
        services: Services,
    ) -> Driver:
        from drivers.bacnet.driver import BacnetDriver

        assert isinstance(options, IpLink)
        return BacnetDriver(options, devices, clock, services.memory)


IP: Final = BacnetKind(name="bacnet-ip", link_model=IpLink)
