"""A site as the daemon uses it: frozen, complete, checked. Nothing here can be half right."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from drivers.base import DeviceRead, EventField
from edge.backtest.gates import Gates
from edge.calendar.schedules import Place, Schedule
from edge.changes import Heartbeat
from edge.commands.lamp_tests import Arrangement
from edge.local.plan import LocalPlan
from edge.rules.compiling import Rules
from edge.rules.derives import Derivation
from edge.rules.rule import Settings
from edge.settings.limits import LIMITS, Limits
from edge.settings.own_devices import OwnDevice
from edge.tables import Lookup, TableFile
from sitekeeper.catalogue import Catalogue
from sitekeeper.model.asset import Asset
from sitekeeper.model.clock import Micros
from sitekeeper.model.point import Names, Point, ScanGroup
from sitekeeper.profile import Writable


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link; `kind` names its driver, `options` is an instance of the driver's link model and may hold a secret."""

    id: str
    kind: str
    options: BaseModel = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device.

    Attributes:
        read: what its driver is asked to read and to listen for, for `DriverKind.create`.
        writables: what may be written to it, by point: what its class, its driver and its tags allow.
        heartbeat: which of its points must keep moving.
        profile_settings, settings: of rules; those of its profile, and its own.
        parameters: its `with:`, over which addresses of its profile are written. addressing: those that stand in one.
        via: what it is reached through, for rules: `=<via>` as written, else its controller or its link.
    """

    id: str
    cls: str
    profile: str
    link: str
    read: DeviceRead = field(repr=False)
    writables: Mapping[str, Writable] = field(default_factory=dict, repr=False)
    heartbeat: Heartbeat | None = None
    profile_settings: Settings = field(default_factory=dict, repr=False)
    settings: Settings = field(default_factory=dict, repr=False)
    parameters: Mapping[str, int | str] = field(default_factory=dict, repr=False)
    addressing: tuple[str, ...] = ()
    zone: str = ""
    via: str = ""
    tags: tuple[str, ...] = ()
    names: Names = field(default_factory=dict)
    asset: Asset = field(default_factory=Asset)

    @property
    def events(self) -> dict[str, tuple[EventField, ...]]:
        """What it tells, by event: the fields of each."""
        return {event.name: event.fields for event in self.read.events}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxSettings:
    """Where the outbox lies and how much it may keep: times in microseconds, sizes in bytes."""

    path: Path
    history: Micros
    max_size: int
    reserve: int
    commit: Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficeSettings:
    """The broker behind which the office listens. `protocol`: `auto` tries MQTT 5 and falls back.

    With `tls` its certificate must come from the authority in the file `ca`, or without one from any that this machine
    trusts. certificate, key: files with our own; None if it asks for none.
    command_key: file with the key of the office's commands; None if the site takes none.
    trust: folder that `sk join` filled and the gateway keeps; None if it has not joined. What is in it goes before ca,
    certificate and key. backfill: samples a second.
    """

    host: str
    port: int
    tls: bool
    protocol: Literal["auto", "5", "3.1.1"]
    username: str = ""
    password: str = field(default="", repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    command_key: Path | None = None
    trust: Path | None = None
    backfill: int = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One site, loaded.

    Attributes:
        points: by handle. groups: scan groups, in the catalogue's order.
        own: the gateway's own devices, which are in the catalogue and not in `devices`.
        tables: local tables by name. lookups: the fields that come from them, by `<device>/<event>`.
        place, schedules: the calendar (`edge.calendar.reads`). lamp_tests: the tests of emergency lighting.
        local: who is told of alarms on site while the office does not know of them.
        groups_by_name: the site's own named groups of devices, for rules.
        derivations: derived points, compiled, for `Derives`. rules: compiled for this site, for `Engine`.
        gates: what a change of rules may do to the alarms of the record; `gates_required`: it must be shown.
        revision: hash of everything that was read, secrets left out.
    """

    id: str
    names: Names
    timezone: str
    position: tuple[float, float] | None
    links: Mapping[str, Link]
    devices: Mapping[str, Device]
    points: tuple[Point, ...]
    groups: tuple[ScanGroup, ...]
    outbox: OutboxSettings
    office: OfficeSettings | None
    catalogue: Catalogue
    own: tuple[OwnDevice, ...] = ()
    place: Place = field(default_factory=lambda: Place(UTC))
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    lamp_tests: tuple[Arrangement, ...] = ()
    local: LocalPlan = field(default_factory=LocalPlan)
    tables: Mapping[str, TableFile] = field(default_factory=dict)
    lookups: Mapping[str, tuple[Lookup, ...]] = field(default_factory=dict)
    groups_by_name: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    derivations: tuple[Derivation, ...] = ()
    rules: Rules = field(default_factory=Rules, repr=False)
    gates: Gates = field(default_factory=Gates)
    gates_required: bool = False
    limits: Limits = LIMITS
    revision: str = ""

    def on_link(self, link: str) -> tuple[DeviceRead, ...]:
        """Return what is to be read on one link."""
        return tuple(device.read for device in self.devices.values() if device.link == link)

    @property
    def heartbeats(self) -> dict[str, Heartbeat]:
        """The heartbeat of each device that has one."""
        return {device.id: device.heartbeat for device in self.devices.values() if device.heartbeat is not None}
