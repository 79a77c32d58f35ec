"""office.yaml: what the office is told. Loaded whole or not at all, with every fault and its place.

Secrets are written as `${secret:name}` and come, in this order, from the environment (`SITEKEEPER_SECRET_<NAME>`), from
systemd's credentials directory, or from `secrets.yaml` beside office.yaml, which nobody but its owner may read.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from cloud_sync.store.retention import WHATS, What
from office.notify.lane import Retry
from office.notify.stages import Routing
from office.secret_values import Secrets, named_in, resolve, say
from office.settings_routes import LadderSettings, RouteSettings, StepSettings, check, routing
from sitekeeper.faults import Faults, Place, nearest
from sitekeeper.located_yaml import Document, Plain, read_document
from sitekeeper.model.clock import DAY, SECOND, Micros
from sitekeeper.model.errors import Fault, Refused
from sitekeeper.profile import Id, Period, Written
from sitekeeper.texts import text

Language = Literal["en", "zh-Hant", "zh-Hans"]
Secret = Annotated[str, Field(min_length=16, max_length=512)]
OFFICE_FOLDER: Final = "/var/lib/sitekeeper-office"
_ENCODE: Final = "a password in it percent-encoded: % as %25, @ as %40, / as %2F, # as %23"
_BARE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")


def _apprise_url(value: str) -> str:
    from office.notify.channels.apprise import check  # late: costs 180 ms, and only offices with such a channel pay

    try:
        check(value)
    except Refused as error:
        raise PydanticCustomError("apprise-url", "{why}", {"why": error.detail}) from error
    return value


def _store_url(value: str) -> str:
    """Refuse what libpq does not read. Its own words would show parts of the password, and so would `urlsplit`'s."""
    try:
        parts = urlsplit(value)
        # libpq and urlsplit part names and hosts at different places where there are two of these.
        good = parts.port != 0 and parts.netloc.count("@") == value.count("@") <= 1 and not _BARE_PERCENT.search(value)
    except ValueError:
        good = False
    if not good:
        raise PydanticCustomError("store-url", "postgresql://user:password@host:port/name, {why}", {"why": _ENCODE})
    return value


class Store(Written):
    """Where the central store is: `path` of an SQLite file, or `url` of a PostgreSQL database.

    Attributes:
        folder: with `url`, where the office keeps what is not in the database, such as the console's accounts. With
            `path` these lie beside the file.
    """

    path: Annotated[str, Field(min_length=1)]
    url: Annotated[str, Field(pattern=r"^postgres(ql)?://[^\s]+$"), AfterValidator(_store_url)] | None = None
    folder: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_of_them(cls, given: object) -> object:
        if not isinstance(given, dict) or given.keys().isdisjoint({"url", "folder"}):
            return given
        if "url" not in given or "path" in given:
            raise PydanticCustomError("store", "either `path`, or `url` and perhaps `folder`, is expected")
        return given | {"path": str(Path(str(given.get("folder", OFFICE_FOLDER))) / "office.db")}


class Broker(Written):
    """How the office reaches the broker; with `tls` or `ca_file` over TLS, verified. See `cloud_sync.mqtt`."""

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65_535)] = 1883
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    username: str | None = None
    password: str | None = None
    tls: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    client_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "sitekeeper-office"


class WebhookChannel(Written):
    """A signed JSON webhook."""

    kind: Literal["webhook"]
    id: Id
    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    secret: Secret
    language: Language | None = None
    timeout: Period = 10 * SECOND


class AppriseChannel(Written):
    """One Apprise target."""

    kind: Literal["apprise"]
    id: Id
    url: Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*://[^\s]+$"), AfterValidator(_apprise_url)]
    language: Language | None = None
    timeout: Period = 15 * SECOND


ChannelSettings = WebhookChannel | AppriseChannel
_CHANNELS: Final = get_args(ChannelSettings)


class RetrySettings(Written):
    """See `office.notify.lane.Retry`."""

    first: Period = SECOND
    most: Period = 60 * SECOND
    attempts: Annotated[int, Field(ge=1, le=100_000)] = 1_500
    width: Annotated[int, Field(ge=1, le=64)] = 4

    def build(self) -> Retry:
        """Return the frozen value that the lanes use."""
        return Retry(first=self.first, most=self.most, attempts=self.attempts, width=self.width)


class SilenceSettings(Written):
    """A site not heard for `after` raises GW01."""

    after: Period = 60 * SECOND


def _or_for_ever(value: object, as_period: ValidatorFunctionWrapHandler) -> Micros:
    kept: Micros = FOR_EVER if value == "forever" else as_period(value)
    if kept < DAY:
        raise PydanticCustomError("kept", "at least 1d, or forever")
    return kept


FOR_EVER: Final[Micros] = 2**62
Kept = Annotated[Period, WrapValidator(_or_for_ever)]


class RetentionSettings(Written):
    """How long the store keeps what: a duration, or `forever`. Alarms, gaps, coverage, latest values: always."""

    raw: Kept = 90 * DAY
    minutes: Kept = 730 * DAY
    hours: Kept = FOR_EVER
    events: Kept = FOR_EVER

    def limits(self) -> dict[What, Micros]:
        """Return what is not kept for ever, and how long."""
        found: dict[What, Micros] = {what: getattr(self, what) for what in WHATS}
        return {what: kept for what, kept in found.items() if kept < FOR_EVER}


class Local(Written):
    """The local socket; members of the group `operators` may acknowledge."""

    path: str = "/run/sitekeeper-office/office.sock"
    operators: str = "sitekeeper-operators"


class ConsoleSettings(Written):
    """The console's address; `port` 0 takes a free one.

    Attributes:
        users: file of the accounts; beside the store unless it is given.
        behind_proxy: a proxy on this machine speaks TLS for it, and its word about callers is believed.
        hosts: names by which browsers call it, beside its addresses, `localhost` and this machine's own name.
    """

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    users: str | None = None
    behind_proxy: bool = False
    hosts: Annotated[list[Annotated[str, Field(min_length=1, max_length=253)]], Field(max_length=64)] = []

    def accounts(self, store: Path) -> Path:
        """Return the file of the accounts."""
        return Path(self.users) if self.users is not None else store.with_name("console-users.json")


def _broker_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme == "mqtts" and parts.hostname and parts.port != 0 and not parts.path and not parts.username
    except ValueError:
        good = False
    if not good:
        raise PydanticCustomError("broker-url", "mqtts://host:port is expected")
    return value


class EnrolSettings(Written):
    """Where boxes join and renew, over HTTPS with the office's own authority. See `office.enrol`.

    Attributes:
        hosts: names or addresses by which boxes call it, the first of them stands in codes.
        broker: what boxes are told, `mqtts://host:port`; port 8883 of the first host unless it is given.
        folder: of the authority and the sites; `trust` beside the store unless it is given.
        broker_folder: where the broker reads what it is told; `broker` in that folder unless it is given.
        broker_pid_file: of a mosquitto that may be told to read it again.
        certificates_last: of sites; they renew at two thirds of it.
    """

    host: Annotated[str, Field(min_length=1)] = "0.0.0.0"  # noqa: S104 - boxes call from everywhere; TLS and a code
    port: Annotated[int, Field(ge=1, le=65_535)] = 8444
    hosts: Annotated[
        list[Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]{1,253}$")]], Field(min_length=1, max_length=16)
    ]
    broker: Annotated[str, AfterValidator(_broker_url)] | None = None
    folder: str | None = None
    broker_folder: str | None = None
    broker_pid_file: str | None = None
    certificates_last: Period = 90 * DAY

    def broker_url(self) -> str:
        """Return where boxes find the broker."""
        host = self.hosts[0]
        return self.broker or f"mqtts://{f'[{host}]' if ':' in host else host}:8883"

    def trust_folder(self, store: Path) -> Path:
        """Return the folder of the authority."""
        return Path(self.folder) if self.folder is not None else store.with_name("trust")

    def broker_files(self, folder: Path) -> Path:
        """Return the folder of what the broker reads."""
        return Path(self.broker_folder) if self.broker_folder is not None else folder / "broker"


class OfficeSettings(Written):
    """The whole of office.yaml.

    Attributes:
        ingest: `own`, the office receives itself, beside any workers; `external`, only workers do (`sk office ingest`).
    """

    store: Store
    broker: Broker
    socket: Local = Local()
    language: Language = "en"
    channels: Annotated[list[Annotated[ChannelSettings, Field(discriminator="kind")]], Field(max_length=64)] = []
    routes: RouteSettings | None = None
    ladder: LadderSettings = {}
    retry: RetrySettings = RetrySettings()
    silence: SilenceSettings = SilenceSettings()
    retention: RetentionSettings = RetentionSettings()
    console: ConsoleSettings | None = None
    enrol: EnrolSettings | None = None
    ingest: Literal["own", "external"] = "own"

    def own_broker(self) -> Broker:
        """Return how the office calls its broker: with enrolment and TLS, files that are not named are its own."""
        if self.enrol is None or not self.broker.tls or self.broker.ca_file is not None:
            return self.broker
        folder = self.enrol.trust_folder(Path(self.store.path))
        own = str(folder / "office.pem")  # certificate and key in one
        files = {"ca_file": str(folder / "ca.pem"), "cert_file": own, "key_file": own}
        return self.broker.model_copy(update=files)

    def routing(self) -> Routing:
        """Return who is pushed what."""
        return routing(self.routes, self.ladder, (channel.id for channel in self.channels))


_NESTED: Final[dict[str, type[BaseModel]]] = {
    "store": Store, "broker": Broker, "socket": Local, "retry": RetrySettings, "silence": SilenceSettings,
    "retention": RetentionSettings, "console": ConsoleSettings, "enrol": EnrolSettings, "routes": RouteSettings,
    "ladder": StepSettings,
}  # fmt: skip
"""Keys of office.yaml that have keys of their own."""


def load(path: Path, lang: str = "en") -> OfficeSettings:
    """Read office.yaml.

    Raises:
        ConfigError: with every fault, each with its place in the file.
    """
    faults = Faults(lang)
    document = read_document(path, path.name, faults)
    faults.stop_if_any()
    assert document is not None, "a document that could not be read left a fault"
    data = resolve(document, document.data, (), Secrets(path.parent, faults), faults)
    settings = _validate(document, data, faults)
    faults.stop_if_any()
    assert settings is not None, "settings that did not validate left a fault"
    return settings


def _validate(document: Document, data: Plain, faults: Faults) -> OfficeSettings | None:
    try:
        settings = OfficeSettings.model_validate(data)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            _put(faults, document, detail)
        return None
    seen: set[str] = set()
    if settings.ingest == "external" and settings.store.url is None:
        say(faults, document.place(("ingest",)), "ingest-alone")
    for index, channel in enumerate(settings.channels):
        if channel.id in seen:
            say(faults, document.place(("channels", index, "id")), "duplicate-channel", id=channel.id)
        seen.add(channel.id)
    check(document, settings.routes, settings.ladder, seen, faults)
    return settings


def _put(faults: Faults, document: Document, detail: ErrorDetails) -> None:
    """Turn one of pydantic's errors into a fault at the place of the offending key or value."""
    loc = detail["loc"]
    trail = (*loc[:2], *loc[3:]) if loc[:1] == ("channels",) and len(loc) > 2 else loc  # without the union's tag
    name = str(trail[-1]) if trail else ""
    match detail["type"]:
        case "extra_forbidden":
            _unknown(faults, document.place(trail, key=True), name)
        case "missing":
            say(faults, document.place(trail[:-1]), "missing-key", name=name)
        case _:
            why = detail["msg"]
            if used := named_in(document.data, trail):
                why = f"{why} (${{secret:{used[0]}}})"
            say(faults, document.place(trail), "bad-value", name=name, why=why)


def _unknown(faults: Faults, place: Place, name: str) -> None:
    """Say of a key that is known elsewhere where it belongs, of any other which one was probably meant."""
    above = [key for key, model in _NESTED.items() if name in model.model_fields]
    if not above:
        say(faults, place, "unknown-key", near=nearest(name, _keys()), name=name)
        return
    message = text("office.fault.unknown-key", faults.lang, name=name)
    hint = text("office.fault.belongs-under", faults.lang, above=" / ".join(f"{key}:" for key in above))
    faults.put(Fault(place.file, place.line, place.column, "unknown-key", message, hint))


def _keys() -> set[str]:
    return {name for model in (OfficeSettings, *_NESTED.values(), *_CHANNELS) for name in _fields(model)}


def _fields(model: type[object]) -> Iterable[str]:
    return model.model_fields if issubclass(model, BaseModel) else ()
