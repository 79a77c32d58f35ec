"""The gateway's own devices, which nobody declares: `gateway`, and `link-<id>` for each link that has devices.

They are in the catalogue and rules see them, but they are no `Site.devices`: no driver reads them (`edge.own_points`).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edge.calendar import reads
from edge.calendar.reads import Calendar
from edge.own import DEVICE
from edge.settings.models import SiteFile
from sitekeeper.catalogue import CatalogueDevice, CatalogueGroup, CataloguePoint
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.point import ONLINE, Names
from sitekeeper.profile import ClassFile, Meaning
from sitekeeper.texts import LANGUAGES, text

GATEWAY: Final = "gateway"
LINK: Final = "link"
"""The two classes."""
PREFIX: Final = f"{LINK}-"
PERIOD: Final[Micros] = 10 * SECOND
"""How often they are read. What a rule waits for, that a link is lost, is read at once."""

DEADBANDS: Final[Mapping[str, float]] = {
    "disk.free": 1e7, "queue.age": 10, "errors.share": 0.02,
    "bus.busy": 0.05, "bus.silent": 0.02, "bus.stretch": 0.1, "bus.urgent": 0.1,
}  # fmt: skip
"""By point: without them each reading would be a record."""
BUS: Final = "bus."
"""Points of a link with several devices, which share its time; of one device that is told with the device alone."""
IDS: Final = "ids."
IDENTIFIED: Final = frozenset({"bacnet-ip"})
"""Kinds of link whose devices have numbers that must be unique (`drivers.identifying.Identifying`)."""
MESSAGES: Final = "messages."
SPEAKING: Final = frozenset({"mqtt"})
"""Kinds of link whose devices speak unasked (`drivers.rejecting.Rejecting`)."""
SCHEDULE: Final = "schedule."
TABLE: Final = "table."
_OF_CALENDAR: Final = ("holiday", "sun.up", "sun.light", "sun.fallback")
_AGE_DEADBAND: Final = 60.0


@dataclass(frozen=True, slots=True)
class OwnDevice:
    """One of them: `link` is the link that it stands for, empty for the gateway; `points` by name."""

    id: str
    cls: str
    link: str
    names: Names
    points: Mapping[str, Meaning]

    @property
    def group(self) -> str:
        """The id of its only scan group."""
        return f"{self.id}@{PERIOD // SECOND}s"

    def row(self) -> CatalogueDevice:
        """Return it as the catalogue has it."""
        return CatalogueDevice(self.id, self.cls, "", self.names)

    def group_row(self) -> CatalogueGroup:
        return CatalogueGroup(self.group, self.id, PERIOD)

    def point_rows(self) -> Iterator[CataloguePoint]:
        """Yield its points as the catalogue has them."""
        online: Names = {lang: text("settings.online", lang) for lang in LANGUAGES}
        yield CataloguePoint(f"{self.id}/{ONLINE}", self.id, "bool", names=online)
        for name, meaning in self.points.items():
            yield CataloguePoint(
                id=f"{self.id}/{name}",
                device=self.id,
                type=meaning.type,
                group=self.group,
                unit=meaning.unit,
                members=tuple(meaning.members),
                deadband=_AGE_DEADBAND if name.startswith(TABLE) else DEADBANDS.get(name, 0.0),
                names=_names(meaning.name),
            )


def own_devices(
    file: SiteFile, calendar: Calendar, used: Iterable[str], classes: Mapping[str, ClassFile], *, joined: bool
) -> tuple[OwnDevice, ...]:
    """Return the own devices of a site.

    Args:
        calendar: the site's place and schedules.
        used: the link of each device. classes: all device classes. joined: the site keeps a certificate for its office.
    """
    found = []
    if GATEWAY in classes:  # a class file with a fault was noted
        cls = classes[GATEWAY]
        special = _special(file)
        lacks = _lacking(file, calendar, joined=joined)
        points: dict[str, Meaning] = {name: point for name, point in cls.points.items() if name not in lacks} | special
        found.append(OwnDevice(DEVICE, GATEWAY, "", _names(cls.name), points))
    if LINK in classes:
        cls = classes[LINK]
        for link, devices in sorted(Counter(used).items()):
            names = {lang: f"{name} {link}" for lang, name in _names(cls.name).items()}
            driver = getattr(file.links.get(link), "driver", "")
            lacks = (BUS,) * (devices == 1) + (IDS,) * (driver not in IDENTIFIED)
            lacks += (MESSAGES,) * (driver not in SPEAKING)
            points = {name: point for name, point in cls.points.items() if not name.startswith(lacks)}
            found.append(OwnDevice(f"{PREFIX}{link}", LINK, link, names, points))
    return tuple(found)


def _special(file: SiteFile) -> dict[str, Meaning]:
    """Return the points that a site has because it says so: for each schedule and each table."""

    def named(what: str, name: str) -> dict[Any, str]:
        return {lang: text(f"settings.own-{what}", lang, name=name) for lang in LANGUAGES}

    found = {f"{SCHEDULE}{name}": Meaning(type="bool", name=named("schedule", name)) for name in file.schedules}
    for name in file.tables:
        found[f"{TABLE}{name}.age"] = Meaning(type="float", unit="s", name=named("table-age", name))
        found[f"{TABLE}{name}.rows"] = Meaning(type="int", name=named("table-rows", name))
    return found


def _lacking(file: SiteFile, calendar: Calendar, *, joined: bool) -> Collection[str]:
    """Return the points of the class for which this site has no use."""
    known = {*reads(calendar)} - ({"holiday"} if file.calendar is None and not file.schedules else set())
    lacks = {name for name in _OF_CALENDAR if name not in known}
    if file.office is None:
        lacks |= {"queue.age", "office.connected"}
    if not file.tables:
        lacks.add("tables.bad")
    if not joined:
        lacks.add("certificate.days")
    return lacks


def _names(written: Mapping[Any, str]) -> Names:
    return {str(lang): name for lang, name in written.items()}
