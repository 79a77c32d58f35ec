"""The names that an expression may use, and their types."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from edge.rules.types import BOOL, COUNT, DEVICE, SECONDS, Fields, Type
from sitekeeper.model.point import ONLINE

KIND: Final = ".kind"
GATEWAY: Final = "gateway"
LINK: Final = "link"
"""The classes of the gateway's own devices: `gateway`, and `link-<id>` for each link."""
_OWN: Final[Mapping[str, Type]] = {"sun.up": BOOL, "sun.light": BOOL, "sun.fallback": BOOL, "holiday": BOOL}
_OWN_BY_PREFIX: Final = (("schedule.", "", BOOL), ("table.", ".age", SECONDS), ("table.", ".rows", COUNT))


@dataclass(frozen=True, slots=True)
class Far:
    """Points of other devices, which `point('device/point')` may name.

    Attributes:
        classes: types of the points of every class. devices: the class of every device that is known by its id.
    """

    classes: Mapping[str, Mapping[str, Type]]
    devices: Mapping[str, str]

    def type(self, point: str) -> Type | None:
        """Return the type of a point by its id; None if there is no such point."""
        device, _, name = point.partition("/")
        if device == GATEWAY and (found := _own(name)) is not None:
            return found
        own = GATEWAY if device == GATEWAY else LINK if device.startswith(f"{LINK}-") else ""
        cls = self.devices.get(device, own)
        return BOOL if name == ONLINE and cls in self.classes else self.classes.get(cls, {}).get(name)


def _own(name: str) -> Type | None:
    """Return the type of those of the gateway's points of which a site has as many as it names."""
    for prefix, end, type_ in _OWN_BY_PREFIX:
        if name.startswith(prefix) and name.endswith(end):
            return type_
    return _OWN.get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The names that an expression may use: fields, then parameters and named sub-expressions, stand before points.

    Attributes:
        events: types of fields by event of the class; without any there is no `on` and no `cmd`.
        fields: of the event that is spoken of, inside `on`.
        classes: the scopes of other classes, for sets; None where sets may not be used.
        groups: the site's groups; None if they are not known here.
        far: the points of other devices; None where they may not be used.
    """

    points: Mapping[str, Type]
    parameters: Mapping[str, Type] = field(default_factory=dict)
    named: Mapping[str, Type] = field(default_factory=dict)
    events: Mapping[str, Fields] = field(default_factory=dict)
    fields: Fields = field(default_factory=dict)
    classes: "Mapping[str, Scope] | None" = None
    groups: Collection[str] | None = None
    far: Far | None = None

    def find(self, name: str) -> Type | None:
        if name in self.fields:
            return self.fields[name]
        if name == DEVICE.base:
            return DEVICE
        if name.endswith(KIND) and name.removesuffix(KIND) in self.points:
            return Type("enum", members=("", "presence", "motion"))
        return self.parameters.get(name) or self.named.get(name) or self.points.get(name)

    def words(self) -> list[str]:
        return [*self.fields, *self.parameters, *self.named, *self.points]
