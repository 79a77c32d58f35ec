"""The parts of a running gateway that its operations speak of, and the few words that all of them use."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

from drivers.base import Driver
from edge.commands.alarm_door import AlarmDoor
from edge.commands.commander import Commander
from edge.commands.lamp_shell import LampShell
from edge.drill import DrillDesk
from edge.local.shell import LocalShell
from edge.outbox import Outbox
from edge.pipeline import Pipeline
from edge.poller import Poller
from edge.settings.values import Site
from edge.tables import Tables
from edge.watches import Watches
from sitekeeper.model.clock import SECOND, Clock, Micros
from sitekeeper.model.errors import NotFound, Refused
from sitekeeper.model.event import PersonalKind
from sitekeeper.model.point import ONLINE
from sitekeeper.model.sample import Sample

Item = dict[str, Any]


class UplinkFacts(Protocol):
    """What the operations tell of the uplink."""

    def __call__(self) -> Item:
        """Return state, protocol, window, receipt_age_s and the last error, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """One running daemon.

    `started` is monotonic; `retry` has the uplink connect or ask at once; `pseudonym` says how somebody is recorded.
    """

    site: Site
    outbox_path: Path
    pipeline: Pipeline
    pollers: Mapping[str, Poller]
    drivers: Mapping[str, Driver]
    outbox: Outbox
    uplink: UplinkFacts
    retry: Callable[[], None] | None = None
    door: AlarmDoor
    drill: DrillDesk
    local: LocalShell
    commander: Commander
    lamp_tests: LampShell
    watches: Watches
    tables: Tables
    pseudonym: Callable[[PersonalKind, str], str]
    audit: Callable[[], Item]
    clock: Clock
    boot: str
    started: Micros

    def age_s(self, at: Micros | None) -> float | None:
        """Return the seconds since a monotonic time."""
        return None if at is None else round((self.clock.monotonic() - at) / SECOND, 3)

    def when(self, at: Micros) -> str:
        """Return a monotonic time as wall time in words."""
        return rfc3339(self.clock.wall() - (self.clock.monotonic() - at))

    def online(self, device: str) -> Sample | None:
        """Return the present state of a device's `online` point."""
        return self.pipeline.latest.get(self.pipeline.latest.find(f"{device}/{ONLINE}").handle)


def rfc3339(wall: Micros) -> str:
    """Return a wall time in UTC, to the millisecond."""
    return datetime.fromtimestamp(wall / SECOND, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def text(args: Item, key: str) -> str:
    """Return the argument `key`, which must be a text.

    Raises:
        Refused: `usage`, it is missing.
    """
    value = args.get(key)
    if not isinstance(value, str) or not value:
        reason = "usage"
        raise Refused(reason, f"{key!r} is missing")
    return value


def not_found(kind: str, wanted: str, known: Iterable[str]) -> NotFound:
    """Return the error that names what was not found and what is spelt alike."""
    return NotFound(f"no {kind} {wanted!r} here", near=tuple(get_close_matches(wanted, list(known), n=3)))
