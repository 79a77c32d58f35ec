"""What may stand in a site folder: `site.yaml`, `devices/*.yaml`, `secrets.yaml`. Drivers add their own keys."""

from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from edge.rules.sets import GROUP, SCOPES
from edge.settings.section_calendar import CalendarSection, Schedules
from edge.settings.section_gates import GatesSection
from edge.settings.section_local import LocalSection
from edge.settings.section_tables import Tables
from edge.settings.section_tests import EmergencyTests
from sitekeeper.faults import nearest
from sitekeeper.model.clock import DAY, MS
from sitekeeper.profile import (
    Duration,
    Id,
    NamesByLanguage,
    Parameters,
    Period,
    PointName,
    ProfileId,
    Size,
    Text,
    Written,
)

OWN: Final = "gateway"
"""The device that is the gateway itself: `edge.own.DEVICE`."""
OWN_LINK: Final = "link-"
"""With what the names of devices begin that are links: `edge.settings.own_devices.PREFIX`."""

_SCOPES: Final = frozenset({*SCOPES, GROUP, "self"})


def _timezone(value: str) -> str:
    known = available_timezones()
    if value not in known:
        near = nearest(value, known)
        reason = f"no time zone {value!r}" + (f"; did you mean {near}?" if near else "")
        raise PydanticCustomError("unknown-timezone", "{reason}", {"reason": reason})
    return value


def _broker(value: str) -> str:
    problem = broker_problem(value)
    if problem:
        raise PydanticCustomError("bad-broker", "{reason}", {"reason": problem})
    return value


def _no_scope(value: str) -> str:
    if value in _SCOPES:
        raise PydanticCustomError("reserved-name", "a scope of rules")
    return value


def _no_gateway(value: str) -> str:
    if value == OWN or value.startswith(OWN_LINK):
        raise PydanticCustomError("reserved-device", "the gateway itself")
    return value


def broker_problem(value: str) -> str:
    """Return what is wrong with the address of a broker; empty if nothing is."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or port == 0:
        return "mqtt://host:port or mqtts://host:port is expected"
    if parts.path.strip("/") or parts.query or parts.username is not None:
        return "only a host and a port may be given; username and password are keys of their own"
    return ""


GroupId = Annotated[Id, AfterValidator(_no_scope)]
DeviceId = Annotated[Id, AfterValidator(_no_gateway)]
"""Name of a group of devices. Where a rule says whom it means, a group stands beside the built-in scopes."""


class Position(Written):
    """Where the site is, in degrees."""

    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]


class SiteSection(Written):
    """Who this site is."""

    id: Id
    name: NamesByLanguage = {}
    timezone: Annotated[str, AfterValidator(_timezone)]
    position: Position | None = None


class LinkSection(Written):
    """One link; the other keys are those of its driver."""

    model_config = ConfigDict(extra="allow")

    driver: str


class AssetSection(Written):
    """The equipment record: what a rescuer, a maintainer and an inspector need. Speed in m/s, load in kg."""

    maker: Text | None = None
    model: Text | None = None
    serial: Text | None = None
    registration: Text | None = None
    installed: Annotated[str, Field(pattern=r"^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?$")] | None = None
    maintainer: Text | None = None
    rescue_phone: Annotated[str, Field(pattern=r"^[+0-9][0-9 ()*#-]{1,30}$")] | None = None
    rated_speed: Annotated[float, Field(gt=0, le=25)] | None = None
    rated_load: Annotated[float, Field(gt=0)] | None = None
    floors: Annotated[int, Field(ge=1, le=300)] | None = None


class DeviceSection(Written):
    """One device; the other keys are those of its link's driver.

    Attributes:
        with_: parameters of address expressions in the profile.
        via: what it is reached through, where that is not its controller or its link: the camera of a lane and the
            lane itself have the same.
        points: keys of its profile's points, changed for this device. rules: parameters of rules for this device.
    """

    model_config = ConfigDict(extra="allow")

    id: DeviceId
    profile: ProfileId
    link: Id
    with_: dict[str, int | str] = Field(default={}, alias="with")
    zone: Id | None = None
    via: Id | None = None
    name: NamesByLanguage = {}
    tags: list[Id] = []
    asset: AssetSection = AssetSection()
    points: dict[PointName, dict[str, Any]] = {}
    rules: dict[str, Parameters] = {}


class RulesSection(Written):
    """Which shipped packs apply, and what is different here, by rule.

    `gates`: what a change of rules may do to the alarms of the site's own record. `require`: `sk config check` tries
    the rules on that record and refuses what breaks a gate.
    """

    packs: list[Id] = []
    overrides: dict[str, Parameters] = {}
    gates: GatesSection = GatesSection()
    require: bool = False


class OutboxSection(Written):
    """The durable queue and local history. A path that is not absolute lies in the site folder."""

    path: Text = "/var/lib/sitekeeper/outbox.db"
    history: Period = 14 * DAY
    max_size: Size = 4 * 10**9
    reserve: Size = 64 * 10**6
    commit: Duration = 250 * MS


class OfficeSection(Written):
    """The broker behind which the office listens; `mqtts://` is TLS.

    Attributes:
        ca: file with the authority that its certificate must come from; without it, one that this machine trusts.
        certificate, key: files with our own, where the broker asks for one. Paths are absolute or in the site folder.
        commands: whether people at the office may write what the classes allow; needs `trust/office-command.pub`.
        trust: folder that `sk join` fills, which has all three; `trust` in the site folder where that exists.
        backfill: samples a second at which the office gets what it missed; new ones and alarms go before.
    """

    broker: Annotated[str, AfterValidator(_broker)]
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    username: Text | None = None
    password: Text | None = None
    ca: Text | None = None
    certificate: Text | None = None
    key: Text | None = None
    commands: bool = False
    trust: Text | None = None
    backfill: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,6}/s$", examples=["20000/s"])] = "20000/s"

    @model_validator(mode="after")
    def _tls_fits(self) -> "OfficeSection":
        if (self.certificate is None) != (self.key is None):
            raise PydanticCustomError("tls", "a certificate and its key go together")
        if self.trust and (self.ca or self.certificate):
            raise PydanticCustomError("tls", "ca, certificate and key are in the folder trust: leave them out")
        if (self.ca or self.certificate or self.trust) and not self.broker.startswith("mqtts://"):
            raise PydanticCustomError("tls", "ca, certificate, key and trust need a broker of mqtts://")
        return self


class SiteFile(Written):
    """`site.yaml`.

    Attributes:
        groups: named lists of devices, for rules. schedules: when what is on, for rules.
        tables: files in `data/` from which fields of events come, by the name that the class has for them.
        emergency_tests: which emergency luminaires are tested together, how often, and when.
        local: who is told of alarms on site while the office does not know of them.
    """

    site: SiteSection
    links: dict[Id, LinkSection] = {}
    devices: list[Any] = []
    groups: dict[GroupId, list[Id]] = {}
    rules: RulesSection = RulesSection()
    calendar: CalendarSection | None = None
    schedules: Schedules = {}
    tables: Tables = {}
    emergency_tests: EmergencyTests = {}
    local: LocalSection = LocalSection()
    outbox: OutboxSection = OutboxSection()
    office: OfficeSection | None = None


class DevicesFile(Written):
    """`devices/*.yaml`."""

    devices: list[Any]
