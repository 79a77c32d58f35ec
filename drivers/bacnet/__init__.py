"""BACnet/IP: what may be written for it, and how a driver is made. The protocol library is loaded only by `create`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from drivers.bacnet.codec import check
from drivers.bacnet.options import BacnetDevice, BacnetPoint, IpLink, Place
from drivers.base import DeviceRead, Driver
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
        return Place(point)

    def create(self, link_id: str, options: BaseModel, devices: Sequence[DeviceRead], clock: Clock) -> Driver:  # noqa: ARG002 - the endpoint names itself
        from drivers.bacnet.driver import BacnetDriver

        assert isinstance(options, IpLink)
        return BacnetDriver(options, devices, clock)


IP: Final = BacnetKind(name="bacnet-ip", link_model=IpLink)
