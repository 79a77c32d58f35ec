"""The points that the rules of a site read: one node each, shared by all who read it."""

from collections.abc import Callable

from edge.rules.nodes import Heard
from edge.rules.rule import DeviceSpec


class Points:
    """By handle; a point is there once somebody reads it."""

    def __init__(self) -> None:
        self.known: dict[int, Heard] = {}

    def of(self, device: DeviceSpec) -> Callable[[str], Heard]:
        """Return what gives the nodes of the points that this device sees, by their names there."""

        def heard(name: str) -> Heard:
            handle = device.points[name].handle
            if (point := self.known.get(handle)) is None:
                point = self.known[handle] = Heard(name)
            return point

        return heard
