"""MQTT: what may be written for it, and how a driver is made. Connections are lent by whoever starts the gateway."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from pydantic import BaseModel

from drivers.base import DeviceRead, Driver, EventField, Services
from drivers.mqtt.options import (
    EventPlace,
    MqttDevice,
    MqttEvent,
    MqttLink,
    MqttPoint,
    Place,
    resolved_event,
    resolved_point,
)
from drivers.mqtt.payload import check
from sitekeeper.model.clock import Clock
from sitekeeper.model.errors import ConfigError, Fault
from sitekeeper.model.point import PointType


@dataclass(frozen=True, slots=True)
class MqttKind:
    """A `drivers.base.DriverKind`."""

    name: str
    link_model: type[BaseModel] = MqttLink
    family: str = "mqtt"
    device_model: type[BaseModel] = MqttDevice
    point_model: type[BaseModel] = MqttPoint
    marker_keys: frozenset[str] = frozenset({"topic"})
    event_model: type[BaseModel] | None = MqttEvent

    def bind(
        self,
        point: BaseModel,
        *,
        point_type: PointType,
        members: tuple[str, ...],
        parameters: Mapping[str, int | str],
    ) -> Place:
        assert isinstance(point, MqttPoint)
        check(point, point_type, members)
        return Place(resolved_point(point, parameters), parameters)

    def writable(self, address: object) -> bool:
        return isinstance(address, Place) and address.point.write is not None

    def bind_event(
        self, event: BaseModel, *, fields: tuple[EventField, ...], parameters: Mapping[str, int | str]
    ) -> EventPlace:
        assert isinstance(event, MqttEvent)
        declared = {each.name: each for each in fields}
        for name, source in event.fields.items():
            if name not in declared:
                near = get_close_matches(name, declared, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(declared) or 'none'}"
                raise ValueError(f"{name!r} is not a field of this event; {hint}")
            each = declared[name]
            check(source, "text" if each.personal else each.type, each.members)
        return EventPlace(resolved_event(event, parameters), parameters)

    def create(
        self, link_id: str, options: BaseModel, devices: Sequence[DeviceRead], clock: Clock, services: Services
    ) -> Driver:
        from drivers.mqtt.driver import MqttDriver

        assert isinstance(options, MqttLink)
        try:
            return MqttDriver(link_id, options, devices, clock, services)
        except ValueError as error:
            raise ConfigError([Fault(f"link {link_id}", 0, 0, "bad-address", str(error))]) from None


KIND: Final = MqttKind(name="mqtt")
