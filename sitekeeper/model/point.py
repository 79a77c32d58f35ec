"""Points, scan groups and devices as every room knows them: names and meanings, no addresses."""

from dataclasses import dataclass, field
from typing import Literal

from sitekeeper.model.clock import SECOND, Micros

PointType = Literal["bool", "int", "float", "enum", "text"]
PointKind = Literal["", "presence", "motion"]
"""What counts as evidence of a person differs: presence is a state, motion is edges."""

Names = dict[str, str]
"""Text for people by language: en, zh-Hant, zh-Hans."""

ONLINE = "online"
"""Built-in point of every device: true while it answers and its heartbeat moves. `stale(device)` is its negation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of one device.

    Attributes:
        handle: its place in the catalogue; only meaningful together with the catalogue's hash.
        id: `<device>/<point>`.
        group: id of the scan group that vouches for it; empty for the built-in `online`.
        members: the words of an enumeration, in the class's order; empty otherwise.
        deadband: smallest change of a number that is a change; 0 records every change.
        stale_after: without a fresh answer for this long the point is stale.
    """

    handle: int
    id: str
    device: str
    name: str
    type: PointType
    group: str
    unit: str = ""
    members: tuple[str, ...] = ()
    kind: PointKind = ""
    deadband: float = 0.0
    stale_after: Micros = 5 * SECOND
    names: Names = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanGroup:
    """Points of one device that are read together, at one period.

    Attributes:
        id: `<device>@<period>`, for example `lift-a1@1s`.
        handles: the points' handles, in the order in which a driver's outcomes refer to them.
    """

    id: str
    device: str
    period: Micros
    handles: tuple[int, ...]


def stale_after(period: Micros) -> Micros:
    """Return the default staleness limit of a point read every `period`: max(3 periods, 5 s)."""
    return max(3 * period, 5 * SECOND)
