"""A site's devices at a glance: grouped by class and zone, the worst first, each in a few words. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from office.console.words import Words, is_answering
from office.facts import SiteFacts, ValueFacts
from sitekeeper.model.sample import Value

Said = tuple[str, str, bool, bool]
"""What, in words, whether that is live, and whether it is out of the ordinary."""

SHOWN: Final[Mapping[str, Sequence[tuple[str, ...]]]] = {
    "lift": (("floor",), ("direction", "car_status"), ("door", "door_closed"), ("passenger",), ("service_mode",)),
    "access": (("door.state",), ("lock.state",), ("mode",), ("fire.release",), ("door.alarm",)),
    "parking": (("lane.state",), ("loop.safety",), ("hold_open",), ("boom.attached",), ("power",)),
    "fire": (("fire.alarm",), ("fire.prealarm",), ("fire.fault",), ("fire.disabled",), ("zones_active",), ("power",)),
    "lighting": (("level",), ("lamp.fail",), ("gear.fail",)),
}
"""By class, in the order in which groups are shown: its most telling points, each with what may stand in for it."""
ORDER: Final = (*SHOWN, "other")
LABELS: Final = {"passenger": "lift.people", "service_mode": "lift.mode", "car_status": "lift.direction"} | {
    name: f"lift.{name}" for name in ("floor", "direction", "door")
}
"""Of a lift: its points' names are too long here, or not what the words say."""
QUIET: Final[Mapping[str, frozenset[Value]]] = {
    "mode": frozenset({"controlled"}),
    "fire.release": frozenset({False}),
    "door.alarm": frozenset({"normal"}),
    "loop.safety": frozenset({"absent"}),
    "hold_open": frozenset({False}),
    "boom.attached": frozenset({True}),
    "power": frozenset({"mains"}),
    "fire.prealarm": frozenset({False}),
    "fire.fault": frozenset({False}),
    "fire.disabled": frozenset({False}),
    "zones_active": frozenset({0}),
    "lamp.fail": frozenset({False}),
    "gear.fail": frozenset({False}),
}
"""Points that are told only while they say something else than this."""
ODD: Final[Mapping[str, frozenset[Value]]] = {
    "fire.alarm": frozenset({True}),
    "lane.state": frozenset({"stopped", "partial", "unknown"}),
    "lock.state": frozenset({"fault", "unknown"}),
}
"""Values of points that are always told, but out of the ordinary."""
ORDINARY: Final = frozenset({"loop.safety"})
"""Of the quiet ones those whose other values are ordinary too: a vehicle under the boom is no fault."""
COMPACT: Final = 12
"""From so many devices of a class on they are shown small."""
SPLIT: Final = 8
"""From so many on they are shown by zone; fewer say their zone themselves."""
_NUMBER: Final = re.compile(r"(\d+)")


@dataclass(frozen=True, kw_only=True)
class Brief:
    """A device on its site's page. `answers` is None where that is not known; `worst` its most urgent open priority."""

    id: str
    name: str
    cls: str
    zone: str
    answers: bool | None
    words: Sequence[Said]
    worst: str

    @property
    def rank(self) -> tuple[str, bool, list[str | int]]:
        """Return what sorts the worst first, then what is odd or does not answer, then by name as people count."""
        well = self.answers is True and not any(odd for _, _, _, odd in self.words)
        return self.worst or "P9", well, natural(self.id)


@dataclass(frozen=True, kw_only=True)
class Group:
    """The devices of one class, by zone (one without a name if they are few); `compact`: too many for large tiles."""

    cls: str
    zones: Sequence[tuple[str, Sequence[Brief]]]
    compact: bool
    counts: Mapping[str, int]


def brief(cls: str, values: Mapping[str, ValueFacts], w: Words) -> list[Said]:
    """Return the most telling points of a device in words."""
    found = []
    for names in SHOWN.get(cls, ()):
        facts = next((values[name] for name in names if name in values), None)
        if facts is None:
            continue
        label = LABELS.get(facts.name, "") if cls == "lift" else ""
        what = w(label) if label else w.point(facts.point)
        value = None if facts.latest is None else facts.latest.value
        if value is None:
            found.append((what, w("value.unknown"), False, False))
        elif value not in QUIET.get(facts.name, ()):  # the store has booleans as 0 and 1, which are equal to them
            odd = value in ODD.get(facts.name, ()) or (facts.name in QUIET and facts.name not in ORDINARY)
            found.append((what, w.value(facts.point, value), facts.live, odd))
    return found


def device_in_brief(
    site: SiteFacts, device: str, values: Mapping[str, ValueFacts], worst: Mapping[str, str], w: Words
) -> Brief:
    """Return one device of a site at a glance; `worst` has the most urgent open priority by device."""
    row = site.known.devices[device]
    return Brief(
        id=device,
        name=w.device(site.known, device),
        cls=row.cls,
        zone=row.zone,
        answers=is_answering(values),
        words=brief(row.cls, values, w),
        worst=worst.get(device, ""),
    )


def grouped(devices: Iterable[Brief]) -> list[Group]:
    """Return devices by class and zone; in a group the zone with the worst device comes first."""
    classes: dict[str, dict[str, list[Brief]]] = {}
    for device in sorted(devices, key=lambda each: each.rank):
        cls = device.cls if device.cls in SHOWN else "other"
        classes.setdefault(cls, {}).setdefault(device.zone, []).append(device)
    found = []
    for cls in sorted(classes, key=ORDER.index):
        every = [device for zone in classes[cls].values() for device in zone]
        counts = {
            "all": len(every),
            "answer": sum(device.answers is True for device in every),
            "silent": sum(device.answers is False for device in every),
            "unknown": sum(device.answers is None for device in every),
            "abnormal": sum(bool(device.worst) for device in every),
        }
        zones = sorted(classes[cls].items(), key=lambda zone: (zone[1][0].rank[:2], natural(zone[0])))
        if len(every) < SPLIT:
            zones = [("", sorted(every, key=lambda device: (*device.rank[:2], natural(device.zone), device.rank)))]
        found.append(Group(cls=cls, zones=zones, compact=len(every) >= COMPACT, counts=counts))
    return found


def natural(name: str) -> list[str | int]:
    """Return a key that sorts `lamp-2` before `lamp-10`."""
    return [int(part) if part.isdigit() else part for part in _NUMBER.split(name)]
