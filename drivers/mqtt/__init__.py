"""MQTT: what may be written for it, and how a driver is made. Connections are lent by whoever starts the gateway.

options, templates      what people write, and a device's `with:` in it
topics, paths           whose a message is, and where in it something is
parse, payload, moments bytes to JSON or text, that to values and back, and the times that devices give
states, last, events    what the last message of each kind says, and what was told once
asking, clocks          which events are missing, and how wrong the clocks are by which they are stamped
rejected, tapping       what had no meaning; what a device says, for whoever wants to see it
pending                 what is not acknowledged because its events are not yet durable
connecting, subscribing, remedies  how a broker is reached, what it lets us read, and what to do about a connection
driver                  all devices on one broker
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from drivers.base import DeviceRead, Driver, EventField, Services
from drivers.lookup import did_you_mean
from drivers.mqtt.options import (
    EventPlace,
    MqttDevice,
    MqttEvent,
    MqttLink,
    MqttPoint,
    Place,
)
from drivers.mqtt.payload import check, check_write
from drivers.mqtt.templates import resolved_device, resolved_event, resolved_point
from sitekeeper.model.clock import Clock
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

    def bind_device(self, options: BaseModel, parameters: Mapping[str, int | str]) -> MqttDevice:
        assert isinstance(options, MqttDevice)
        return resolved_device(options, parameters)

    def bind(
        self,
        point: BaseModel,
        *,
        point_type: PointType,
        members: tuple[str, ...],
        parameters: Mapping[str, int | str],
    ) -> Place:
        assert isinstance(point, MqttPoint)
        for each in (point, *point.also):
            check(each, point_type, members)
        if point.write is not None:
            check_write(point.write, point, point_type, members)
        return Place(resolved_point(point, parameters))

    def writable(self, address: object) -> bool:
        return isinstance(address, Place) and address.point.write is not None

    def bind_event(
        self, event: BaseModel, *, fields: tuple[EventField, ...], parameters: Mapping[str, int | str]
    ) -> EventPlace:
        assert isinstance(event, MqttEvent)
        declared = {each.name: each for each in fields}
        for name, source in event.fields.items():
            if name not in declared:
                raise ValueError(f"{name!r} is not a field of this event; {did_you_mean(name, declared)}")
            each = declared[name]
            check(source, "text" if each.personal else each.type, each.members)
        return EventPlace(resolved_event(event, parameters))

    def create(
        self, link_id: str, options: BaseModel, devices: Sequence[DeviceRead], clock: Clock, services: Services
    ) -> Driver:
        from drivers.mqtt.driver import MqttDriver

        assert isinstance(options, MqttLink)
        return MqttDriver(link_id, options, devices, clock, services)


KIND: Final = MqttKind(name="mqtt")
