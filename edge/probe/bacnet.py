"""What a probe of a BACnet device asks, and what its answers mean for the shipped profiles. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from drivers.bacnet.codec import Atom, atoms, decoder
from drivers.bacnet.message import BITS, OBJECT, Malformed, Reference
from drivers.bacnet.names import DEVICE, OBJECTS, PROPERTIES, object_type, property_id, reference_text
from drivers.bacnet.options import BacnetPoint
from edge.settings.library import Library
from sitekeeper.faults import Faults
from sitekeeper.model.point import PointType
from sitekeeper.model.quality import GOOD
from sitekeeper.model.sample import Value

KNOWN: Final = ("lift", "escalator", "lighting-output", "binary-lighting-output", "access-door")
"""Object types that stand for whole devices of a site."""
ANY_DEVICE: Final = 4_194_303
"""The instance by which any device answers for itself (ANSI/ASHRAE 135-2020, 12.11.1)."""
MOST_OBJECTS: Final = 5_000
"""Objects of one device that are looked at; more are counted."""

IDENTITY: Final[dict[str, int]] = {
    "name": PROPERTIES["object-name"],
    "vendor": PROPERTIES["vendor-name"],
    "vendor_id": PROPERTIES["vendor-identifier"],
    "model": PROPERTIES["model-name"],
    "firmware": PROPERTIES["firmware-revision"],
    "application": 12,
    "revision": PROPERTIES["protocol-revision"],
    "services": PROPERTIES["protocol-services-supported"],
    "segmentation": PROPERTIES["segmentation-supported"],
    "max_apdu": PROPERTIES["max-apdu-length-accepted"],
}
"""What is shown of a device -> its property; 12 is application-software-version."""

_TEXTS: Final = frozenset({"name", "vendor", "model", "firmware", "application"})
_SEGMENTATION: Final = ("both", "transmit", "receive", "none")
_SERVICES: Final[dict[int, str]] = {
    5: "subscribe-cov", 12: "read-property", 14: "read-property-multiple", 15: "write-property",
    16: "write-property-multiple", 17: "device-communication-control", 20: "reinitialize-device", 33: "who-has",
    34: "who-is", 35: "read-range", 36: "utc-time-synchronization", 37: "life-safety-operation",
    38: "subscribe-cov-property", 39: "get-event-information",
}  # fmt: skip
"""Those of use here (clause 21, BACnetServicesSupported); others are shown by their number."""
_OBJECT_NAMES: Final = {number: name for name, number in OBJECTS.items()}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One point of a profile on one object. `required` by its class, itself or because such a point is made of it."""

    name: str
    kind: int
    property: int
    index: int | None
    point: BacnetPoint
    type: PointType
    required: bool

    def reference(self, instance: int) -> Reference:
        return Reference(self.kind, instance, self.property, self.index)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A profile that reads objects of one type."""

    profile: str
    cls: str
    object: str
    wanted: tuple[Wanted, ...]


@dataclass(slots=True)
class Examined:
    """What one object answered for one profile.

    Attributes:
        values: by point. meaningless: points whose property answers with what the profile has no meaning for.
        missing: point -> property and why it cannot be read.
    """

    candidate: Candidate
    instance: int
    values: dict[str, Value] = field(default_factory=dict)
    meaningless: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def fits(self) -> str:
        """`yes`; `partly`: only what is optional is missing; `no`: something required is."""
        required = {wanted.name for wanted in self.candidate.wanted if wanted.required}
        return "yes" if not self.missing else "no" if required & self.missing.keys() else "partly"

    def take(self, wanted: Wanted, answer: bytes | str) -> None:
        """Note what came for one point: its value, or why there is none."""
        if isinstance(answer, str):
            self.missing[wanted.name] = f"{reference_text(*wanted.reference(self.instance))}: {answer}"
            return
        value, q = decoder(wanted.point, wanted.type)(answer)
        self.values[wanted.name] = value
        if q != GOOD:
            self.meaningless.append(wanted.name)


def candidates() -> dict[str, Candidate]:
    """Return the shipped profiles that read one of `KNOWN`, by type of object."""
    library, found = Library(Path("profiles"), Faults()), dict[str, Candidate]()
    for name in library.names():
        profile = library.profile(name)
        if profile is None or not any("property" in point.keys for point in profile.points.values()):
            continue
        derived = {name: point.written.derive or "" for name, point in profile.points.items()}
        needed = _needed([name for name, point in profile.cls.points.items() if point.required], derived)
        wanted = []
        for point, declared in profile.points.items():
            if declared.written.derive is None:
                keys = BacnetPoint.model_validate(declared.keys)
                kind, prop = object_type(keys.object), property_id(keys.property)
                wanted.append(Wanted(point, kind, prop, keys.index, keys, declared.meaning.type, point in needed))
        kinds = {one.kind for one in wanted} - {DEVICE}
        if len(kinds) == 1 and (kind_name := _OBJECT_NAMES.get(kinds.pop(), "")) in KNOWN:
            found[kind_name] = Candidate(name, profile.file.class_, kind_name, tuple(wanted))
    return found


def _needed(names: Sequence[str], derived: Mapping[str, str]) -> set[str]:
    """Return `names` with every point that their `derive:` is made of."""
    found, waiting = set[str](), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [word for word in re.findall(r"[a-z][a-z0-9_.]*", derived.get(name, "")) if word in derived]
    return found


def identity(name: str, part: bytes) -> object:
    """Return one of `IDENTITY` as people read it; None if it is not what it should be."""
    if name in _TEXTS:
        point = BacnetPoint.model_validate({"object": "device", "property": "object-name"})
        return decoder(point, "text")(part)[0]
    found = _atoms(part)
    if len(found) != 1:
        return None
    tag, value = found[0]
    if name == "services":
        return _services(value) if tag == BITS and isinstance(value, bytes) else None
    if not isinstance(value, int):
        return None
    return _SEGMENTATION[value] if name == "segmentation" and value < len(_SEGMENTATION) else value


def _services(content: bytes) -> list[str]:
    count = max(0, (len(content) - 1) * 8 - content[0]) if content else 0
    said = [bit for bit in range(count) if content[1 + bit // 8] >> (7 - bit % 8) & 1]
    return [_SERVICES.get(bit, str(bit)) for bit in said]


def objects(part: bytes) -> list[tuple[int, int]]:
    """Return type and instance of each object identifier in `part`; what is none is left out."""
    packed = [int.from_bytes(v) for tag, v in _atoms(part) if tag == OBJECT and isinstance(v, bytes) and len(v) == 4]
    return [(each >> 22, each & 0x3FFFFF) for each in packed]


def number(part: bytes) -> int | None:
    """Return the one whole number in `part`, such as the length of an array."""
    found = _atoms(part)
    return found[0][1] if len(found) == 1 and isinstance(found[0][1], int) else None


def _atoms(part: bytes) -> list[Atom]:
    try:
        return atoms(part)
    except Malformed:
        return []


def by_type(listed: Iterable[tuple[int, int]]) -> dict[str, list[int]]:
    """Return the instances by type of object; a type without a name here is its number."""
    found: dict[str, list[int]] = {}
    for kind, instance in listed:
        if kind != DEVICE:
            found.setdefault(_OBJECT_NAMES.get(kind, str(kind)), []).append(instance)
    return found


Ways = dict[str, str]
"""Type of object -> `cov` or `poll`."""

_UNTOLD: Final = frozenset({"lift", "escalator", "elevator-group", "access-point"})
"""Types without Present_Value: many devices that report changes of others refuse it for these."""


def ways(said: Mapping[str, object], kinds: Iterable[str]) -> Ways:
    """Return by which way to read objects of each type, from the services that a device says it has."""
    services = said.get("services")
    told = isinstance(services, list) and "subscribe-cov" in services
    return {kind: "cov" if told and kind not in _UNTOLD else "poll" for kind in kinds}


_IDS: Final = {"lighting-output": "lamp", "binary-lighting-output": "lamp", "access-door": "door"}


@dataclass(frozen=True, slots=True)
class Placed:
    """A device as it was found: `address` as a site writes it, `kinds` its instances by type of object."""

    device: int
    address: str
    kinds: Mapping[str, Sequence[int]]


def site_yaml(
    own: str, device: int, address: str, kinds: Mapping[str, Sequence[int]], profiles: Mapping[str, Candidate]
) -> str:
    """Return the link and devices to paste into a site; empty if no profile is for any of its objects.

    Args:
        own: the address of this machine on that network. kinds: instances by type of object.
    """
    bits = 8 if own.startswith("127.") else 24
    return sites_yaml(f"address: {own}/{bits}", [Placed(device, address, kinds)], profiles)


def sites_yaml(link: str, found: Sequence[Placed], profiles: Mapping[str, Candidate]) -> str:
    """Return the link, with the keys in `link`, and the devices of all that were found; empty if no profile fits."""
    alone = len(found) == 1
    rows = [
        f"  - {{id: {_IDS.get(kind, kind)}-{'' if alone else f'{each.device}-'}{instance}, "
        f"profile: {profiles[kind].profile}, link: bms, device: {each.device}, "
        f'address: "{each.address}", object: {instance}}}'
        for each in found
        for kind in KNOWN
        for instance in each.kinds.get(kind, ())
        if kind in profiles
    ]
    if not rows:
        return ""
    head = f"  bms: {{driver: bacnet-ip, {link}, instance: 990001}}   # instance: one that nobody else has"
    return "\n".join(["links:", head, "devices:", *rows, ""])
