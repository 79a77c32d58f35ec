"""The office as the gateway hears it: who may open its orders, and what is told of the audit."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from cloud_sync.uplink_records import UplinkLimits
from cloud_sync.uplink_values import Quarantined, UplinkSettings
from edge.commands.alarm_door import AlarmDoor
from edge.commands.audit_watch import AuditWatch
from edge.commands.commander import Commander
from edge.commands.orders import Orders
from edge.outbox import Outbox
from edge.outbox.reader import Reader
from edge.pipeline import Pipeline
from edge.settings.values import Site
from sitekeeper import __version__
from sitekeeper.block import Stream
from sitekeeper.model.clock import SECOND, Clock, Micros, Moment
from sitekeeper.model.command import Ack, Actor
from sitekeeper.model.errors import StorageError
from sitekeeper.order import TWO_PERSONS, Verify

log = structlog.get_logger()


REASONS: Final = {
    135: "not-authorised", 137: "server-busy", 139: "shutting-down", 141: "keep-alive", 142: "taken-over",
    147: "receive-maximum", 149: "too-large", 150: "rate", 151: "quota", 152: "administrative",
}  # fmt: skip
"""Reason codes that somebody may do something about."""


REVOKED: Final = "certificate revoked"
"""In what TLS says when the broker does not take our certificate any more: alert 44 (RFC 8446, section 6.2)."""


class Report(Protocol):
    """What is told of the uplink: `cloud_sync.uplink.UplinkReport`."""

    state: str
    protocol: str
    window: int
    in_flight: int
    last_receipt: Micros | None
    office_offset: Micros | None
    published: int
    released: int
    last_error: str
    window_bytes: int
    by_stream: dict[Stream, int]
    refused: dict[Stream, int]
    farewell: int
    taken_over: Micros | None
    silent: bool
    nobody: bool
    suspects: int
    held: list[tuple[Stream, int]]
    connections: int
    quarantined: deque[Quarantined]


def uplink_facts(report: Report | None, now: Moment) -> dict[str, Any]:
    """Return how the uplink stands; `office_clock_ahead_s` is what the office's clock shows more than ours."""
    if report is None:
        return {"state": "none", "receipt_age_s": None, "protocol": "", "window": 0, "last_error": ""}
    heard, offset = report.last_receipt, report.office_offset
    return {
        "state": report.state,
        "receipt_age_s": None if heard is None else round((now.mono - heard) / SECOND, 1),
        "office_clock_ahead_s": None if offset is None else round((offset + now.mono - now.wall) / SECOND, 1),
        "protocol": report.protocol,
        "window": report.window,
        "in_flight": report.in_flight,
        "published": report.published,
        "released": report.released,
        "last_error": report.last_error,
        "window_bytes": report.window_bytes,
        "in_flight_by_stream": dict(report.by_stream),
        "refused": {stream: f"{code} {reason_word(code)}" for stream, code in report.refused.items()},
        "ended_by_broker": f"{report.farewell} {reason_word(report.farewell)}" if report.farewell else "",
        "taken_over_age_s": None if report.taken_over is None else round((now.mono - report.taken_over) / SECOND, 1),
        "half_open": report.silent and report.state == "connecting",
        "nobody_listens": report.nobody,
        "revoked": REVOKED in report.last_error.lower(),
        "suspects": report.suspects,
        "held_back": [f"{stream} {sequence}" for stream, sequence in report.held],
        "quarantined": [f"{one.stream} {one.sequence}" for one in report.quarantined],
        "connections": report.connections,
    }


def reason_word(code: int) -> str:
    """Return what a reason code means (MQTT 5, section 2.4), as one word; `other` for those that say little."""
    return REASONS.get(code, "other")


def uplink_settings(site: Site, boot: str, catalogue: str) -> UplinkSettings:
    """Return what the uplink is told of this site: who it is, and the rate that its settings give backfill."""
    limits = UplinkLimits() if site.office is None else UplinkLimits(backfill_rate=site.office.backfill)
    return UplinkSettings(site=site.id, boot=boot, version=__version__, catalogue=catalogue, limits=limits)


def orders(
    site: Site,
    verifier: Callable[[Path], Verify],
    commander: Commander,
    door: AlarmDoor,
    pipeline: Pipeline,
    now: Callable[[], Moment],
    used: Iterable[str],
) -> Orders | None:
    """Return where the office's orders are taken; None if this site takes none, which is what it does by itself."""
    key = site.office.command_key if site.office is not None else None
    if key is None:
        return None
    try:
        verify = verifier(key)
    except StorageError as error:
        log.warning("commands of the office are off: its key cannot be used; sk join fetches it", why=str(error))
        return None
    two = {device.id for device in site.devices.values() if device.cls in TWO_PERSONS}
    by_two = {point.id for point in site.points if point.device in two}
    points = {point.id for point in site.points}
    return Orders(site.id, verify, commander.ask, door, pipeline.told, now, points=points, by_two=by_two, used=used)


def verifier(key: Path) -> Verify:
    """Return what checks orders against the office's key.

    Raises:
        StorageError: the key cannot be used.
    """
    from cloud_sync.signing import verifier as made  # late: 10 MB that only a site with commands needs

    return made(key)


class OfficeDoor:
    """Hands acknowledgements of the office to the site's one door, and waits until they are durable."""

    def __init__(self, door: AlarmDoor, pipeline: Pipeline) -> None:
        self._door, self._pipeline = door, pipeline

    async def acknowledge(self, ack: Ack) -> None:
        """Do it. Raises Refused, or StorageError."""
        actor = Actor(name=ack.who, role="office", origin="office")
        self._door.ack(ack.occurrence, actor, ack.note, ack.id)
        await asyncio.wrap_future(self._pipeline.last_append)


def audit_watch(site: Site, outbox: Outbox, clock: Clock, *, inline: bool) -> AuditWatch:
    """Return the watch over the site's audit."""
    return AuditWatch(lambda: Reader(site.outbox.path), outbox, clock, inline=inline)
