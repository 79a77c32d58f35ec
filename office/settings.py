"""office.yaml: what the office is told. Loaded whole or not at all, with every fault and its place.

Secrets are written as `${secret:name}` and come, in this order, from the environment (`SITEKEEPER_SECRET_<NAME>`), from
systemd's credentials directory, or from `secrets.yaml` beside office.yaml, which nobody but its owner may read.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from office.notify.lane import Retry
from office.notify.stages import Routes
from sitekeeper.faults import Faults, Place, nearest
from sitekeeper.located_yaml import Document, Plain, Trail, read_document
from sitekeeper.model.alarm import Priority
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import Fault, Refused
from sitekeeper.profile import Id, Period, Written
from sitekeeper.texts import text

Language = Literal["en", "zh-Hant", "zh-Hans"]
Secret = Annotated[str, Field(min_length=16, max_length=512)]
PUSHED_BY_DEFAULT: Final[tuple[Priority, ...]] = ("P1", "P2", "P3")
_REFERENCE: Final = re.compile(r"\$\{secret:([a-z][a-z0-9_]{0,63})\}")


def _apprise_url(value: str) -> str:
    from office.notify.channels.apprise import check  # late: costs 180 ms, and only offices with such a channel pay

    try:
        check(value)
    except Refused as error:
        raise PydanticCustomError("apprise-url", "{why}", {"why": error.detail}) from error
    return value


class Store(Written):
    """Where the central store lies."""

    path: Annotated[str, Field(min_length=1)]


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


class OfficeSettings(Written):
    """The whole of office.yaml."""

    store: Store
    broker: Broker
    socket: Local = Local()
    language: Language = "en"
    channels: Annotated[list[Annotated[ChannelSettings, Field(discriminator="kind")]], Field(max_length=64)] = []
    routes: dict[Priority, list[str]] | None = None
    retry: RetrySettings = RetrySettings()
    silence: SilenceSettings = SilenceSettings()
    console: ConsoleSettings | None = None

    def routing(self) -> Routes:
        """Return channel ids by priority: as written, else P1 to P3 to every channel."""
        if self.routes is not None:
            return {priority: tuple(dict.fromkeys(ids)) for priority, ids in self.routes.items()}
        return dict.fromkeys(PUSHED_BY_DEFAULT, tuple(channel.id for channel in self.channels))


def load(path: Path, lang: str = "en") -> OfficeSettings:
    """Read office.yaml.

    Raises:
        ConfigError: with every fault, each with its place in the file.
    """
    faults = Faults(lang)
    document = read_document(path, path.name, faults)
    faults.stop_if_any()
    assert document is not None, "a document that could not be read left a fault"
    data = _resolve(document, document.data, (), _Secrets(path.parent, faults), faults)
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
    for index, channel in enumerate(settings.channels):
        if channel.id in seen:
            _say(faults, document.place(("channels", index, "id")), "duplicate-channel", id=channel.id)
        seen.add(channel.id)
    for priority, ids in (settings.routes or {}).items():
        for index, name in enumerate(ids):
            if name not in seen:
                place = document.place(("routes", priority, index))
                _say(faults, place, "unknown-channel", near=nearest(name, seen), id=name)
    return settings


def _put(faults: Faults, document: Document, detail: ErrorDetails) -> None:
    """Turn one of pydantic's errors into a fault at the place of the offending key or value."""
    loc = detail["loc"]
    trail = (*loc[:2], *loc[3:]) if loc[:1] == ("channels",) and len(loc) > 2 else loc  # without the union's tag
    name = str(trail[-1]) if trail else ""
    match detail["type"]:
        case "extra_forbidden":
            _say(faults, document.place(trail, key=True), "unknown-key", near=nearest(name, _keys()), name=name)
        case "missing":
            _say(faults, document.place(trail[:-1]), "missing-key", name=name)
        case _:
            _say(faults, document.place(trail), "bad-value", name=name, why=detail["msg"])


def _keys() -> set[str]:
    models = (OfficeSettings, Store, Broker, Local, RetrySettings, SilenceSettings, ConsoleSettings, *_CHANNELS)
    return {name for model in models for name in model.model_fields if issubclass(model, BaseModel)}


def _say(faults: Faults, place: Place, code: str, *, near: str = "", **fields: object) -> None:
    message = text(f"office.fault.{code}", faults.lang, **fields)
    hint = text("office.fault.did-you-mean", faults.lang, near=near) if near else ""
    faults.put(Fault(place.file, place.line, place.column, code, message, hint))


class _Secrets:
    """Looks secrets up; what is wrong with secrets.yaml is a fault as soon as one is wanted from it."""

    def __init__(self, folder: Path, faults: Faults) -> None:
        self._path = folder / "secrets.yaml"
        self._faults = faults
        self._read: dict[str, str] | None = None

    def get(self, name: str) -> str | None:
        if (value := os.environ.get(f"SITEKEEPER_SECRET_{name.upper()}")) is not None:
            return value
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        if credentials and (Path(credentials) / name).is_file():
            return (Path(credentials) / name).read_text().strip()
        if self._read is None:
            self._read = self._file()
        return self._read.get(name)

    def _file(self) -> dict[str, str]:
        if not self._path.is_file():
            return {}
        if self._path.stat().st_mode & 0o077:
            _say(self._faults, Place(self._path.name), "secrets-open", name=self._path.name)
            return {}
        document = read_document(self._path, self._path.name, self._faults)
        data = document.data if document is not None else None
        return {str(k): v for k, v in data.items() if isinstance(v, str)} if isinstance(data, dict) else {}


def _resolve(document: Document, value: Plain, trail: Trail, secrets: _Secrets, faults: Faults) -> Plain:
    """Return `value` with every secret put in its place."""
    if isinstance(value, dict):
        return {k: _resolve(document, v, (*trail, k), secrets, faults) for k, v in value.items()}
    if isinstance(value, list):
        return [_resolve(document, v, (*trail, i), secrets, faults) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def known(match: re.Match[str]) -> str:
        if (secret := secrets.get(match[1])) is None:
            _say(faults, document.place(trail), "unknown-secret", name=match[1])
            return "unknown secret " + match[1]
        return secret

    return _REFERENCE.sub(known, value)
