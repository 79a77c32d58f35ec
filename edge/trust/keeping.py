"""How the gateway is put together with its trust folder; what needs cryptography is loaded only where there is one."""

import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import structlog

from edge import health
from edge.alarms import AlarmBook
from edge.own import DEVICE, Watch
from edge.settings.values import Site
from sitekeeper.control import Problem
from sitekeeper.model.alarm import ACTIVE, alarm_key
from sitekeeper.model.clock import SECOND, Clock
from sitekeeper.model.errors import StorageError

if TYPE_CHECKING:
    from edge.trust.keeper import Keeper

log = structlog.get_logger()

_Connect = TypeVar("_Connect", bound=Callable[..., Any])


def tls_context(folder: Path | None) -> Callable[[], ssl.SSLContext] | None:
    """Return what makes TLS for a connection with the files as they are then; None without a folder."""
    if folder is None:
        return None

    def make() -> ssl.SSLContext:
        from edge.trust.folder import TrustFolder
        from edge.trust.tls import for_gateway

        return for_gateway(TrustFolder(folder), time.time_ns() // 1_000)

    return make


def keeper(site: Site, book: AlarmBook, clock: Clock) -> "Keeper | None":
    """Return what keeps the certificate young; None if this gateway has not joined, or its folder cannot be used.

    Alarms must be recorded and told on site all the same; the uplink says why it cannot call the office.
    """
    if site.office is None or site.office.trust is None:
        return None
    from edge.trust.folder import TrustFolder
    from edge.trust.keeper import Keeper
    from edge.trust.renewal import RULE

    folder = TrustFolder(site.office.trust)
    if not folder.joined():
        return None
    record = book.record(alarm_key(site.id, DEVICE, RULE))
    standing = record.priority if record is not None and record.standing in ACTIVE else None
    try:
        return Keeper(folder, clock, standing=standing)
    except StorageError as error:
        log.error("certificate cannot be kept young", why=str(error))  # noqa: TRY400 - the place says nothing
        return None


def watches(keeper: "Keeper | None") -> tuple[Watch, ...]:
    """Return what tells of the certificate."""
    return () if keeper is None else (keeper.watch,)


def linked(connect: _Connect, keeper: "Keeper | None") -> _Connect:
    """Return a `Connect` whose session the keeper ends when there is a new certificate."""
    if keeper is None:
        return connect
    from edge.trust.keeper import Renewable

    link = Renewable(connect)
    keeper.reconnect = link.end
    return cast("_Connect", link)


def facts(keeper: "Keeper | None", clock: Clock) -> dict[str, Any]:
    """Return how the certificate stands, for the status of the office's part; empty without one."""
    if keeper is None:
        return {}
    standing = keeper.standing
    certificate = {
        "stage": standing.stage(clock.wall()),
        "ends": standing.life.ends,
        "left_s": (standing.life.ends - clock.wall()) // SECOND,
        "renewed": standing.renewed,
        "problem": standing.problem,
    }
    return {"certificate": certificate}


def problems(office: Mapping[str, Any]) -> list[Problem]:
    """Return what a person must hear of the certificate, from the status of the office's part."""
    certificate = office.get("certificate")
    if certificate is None or certificate["stage"] == "good" or not certificate["problem"]:
        return []
    ends = datetime.fromtimestamp(certificate["ends"] / SECOND, UTC).isoformat(timespec="seconds")
    return [health.problem("certificate", "certificate", "sk sync status", ends=ends, why=certificate["problem"])]
