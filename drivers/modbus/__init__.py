"""Modbus: what may be written for it, and how a driver is made. The protocol library is loaded only by `create`.

options, address      what people write          codec, encoder        bytes to values, and back
plan, learned         which requests, and what a unit refuses          explain    the same in words
blocks, scanning      a scan group as it is read, and one reading      driver     all devices of a link
identity, identifying what a unit says that it is                      devices, memory    what is kept of units
request, reply        questions and their one right answer             rtu, framing       on serial lines
link, opening         the connection: the only doors to the library    spoken     frames in words
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from drivers.base import DeviceRead, Driver, EventField, Services
from drivers.modbus.codec import check
from drivers.modbus.options import ModbusDevice, ModbusPoint, RtuLink, RtuTcpLink, SerialDevice, TcpLink
from sitekeeper.model.clock import Clock
from sitekeeper.model.point import PointType


@dataclass(frozen=True, slots=True)
class ModbusKind:
    """A `drivers.base.DriverKind`."""

    name: str
    link_model: type[BaseModel]
    family: str = "modbus"
    device_model: type[BaseModel] = ModbusDevice
    point_model: type[BaseModel] = ModbusPoint
    marker_keys: frozenset[str] = frozenset({"coil", "discrete", "input", "holding"})
    event_model: type[BaseModel] | None = None

    def bind_device(self, options: BaseModel, parameters: Mapping[str, int | str]) -> BaseModel:  # noqa: ARG002
        return options

    def bind(
        self,
        point: BaseModel,
        *,
        point_type: PointType,
        members: tuple[str, ...],
        parameters: Mapping[str, int | str],
    ) -> ModbusPoint:
        assert isinstance(point, ModbusPoint)
        check(point, point_type, members)
        return point.resolved(parameters)

    def writable(self, address: object) -> bool:
        return isinstance(address, ModbusPoint) and address.write is not None

    def bind_event(
        self,
        event: BaseModel,  # noqa: ARG002
        *,
        fields: tuple[EventField, ...],  # noqa: ARG002
        parameters: Mapping[str, int | str],  # noqa: ARG002
    ) -> object:
        raise ValueError("Modbus has no events")

    def create(
        self,
        link_id: str,  # noqa: ARG002 - the endpoint names itself
        options: BaseModel,
        devices: Sequence[DeviceRead],
        clock: Clock,
        services: Services,
    ) -> Driver:
        from drivers.modbus.driver import ModbusDriver
        from drivers.modbus.link import Link

        assert isinstance(options, TcpLink | RtuTcpLink | RtuLink)
        return ModbusDriver(Link(options), devices, clock, services.memory)


TCP: Final = ModbusKind(name="modbus-tcp", link_model=TcpLink)
RTU: Final = ModbusKind(name="modbus-rtu", link_model=RtuLink, device_model=SerialDevice)
RTU_OVER_TCP: Final = ModbusKind(name="modbus-rtu-over-tcp", link_model=RtuTcpLink, device_model=SerialDevice)
