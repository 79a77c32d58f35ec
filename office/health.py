"""How the office itself stands: does it have its broker, does its store answer, and since when not. Pure."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from office.local_api import Operation
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.command import Actor


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the office cannot work without. `since` is the office's wall time, None while it is there.

    Attributes:
        why: in the words of the library that speaks to it; empty while it is there.
    """

    ok: bool
    since: Micros | None = None
    why: str = ""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The office at one moment.

    Attributes:
        at: wall time. sites_unknown_since: since when the office cannot know how its sites are; None while it can.
        note: what a person should know of the store's disk.
        problem: why it does not do its whole work, in one line; empty if it does.
    """

    at: Micros
    broker: Part
    database: Part
    sites_unknown_since: Micros | None
    note: str = ""

    @property
    def problem(self) -> str:
        """Return why the office does not do its whole work, in one line; empty if it does."""
        parts = (("broker", self.broker), ("database", self.database))
        return "; ".join(f"{name} away{_since(part.since)}: {part.why}" for name, part in parts if not part.ok)


class Ways(Protocol):
    """What the ingest says of its ways; see `cloud_sync.ingest.Ingest`."""

    problem: str
    store_problem: str

    def whole(self) -> bool: ...


class Away(Protocol):
    """What is known of a database on another machine; see `office.database.Database`."""

    away: str
    since: Micros | None


def judged(at: Micros, ways: Ways, database: Away | None, deaf_since: Micros | None, note: str = "") -> Health:
    """Return how the office stands.

    Args:
        database: None where the store is a file of the office's own.
        deaf_since: since when the broker is not there, or not for good; None while it is.
    """
    why = (database.away if database is not None else "") or ways.store_problem
    since = database.since if database is not None else None
    there = ways.whole()
    broker = Part(ok=True) if there else Part(ok=False, since=deaf_since, why=ways.problem or "not connected")
    unknown = [one for one in (deaf_since, since) if one is not None]
    return Health(
        at=at,
        broker=broker,
        database=Part(ok=not why, since=since, why=why),
        sites_unknown_since=min(unknown, default=None),
        note=note,
    )


def item(health: Health) -> dict[str, object]:
    """Return it as JSON, times RFC 3339."""
    return {
        "at": rfc3339(health.at),
        "ok": not health.problem,
        "broker": _part(health.broker),
        "database": _part(health.database),
        "sites_unknown_since": rfc3339(health.sites_unknown_since),
        "note": health.note,
    }


def operation(health: Callable[[], Health]) -> Operation:
    """Return `office.status` of the local socket."""

    async def status(actor: Actor, args: Mapping[str, Any]) -> AsyncIterator[dict[str, object]]:  # noqa: ARG001
        yield item(health())

    return status


def _part(part: Part) -> dict[str, object]:
    return {"ok": part.ok, "away_since": rfc3339(part.since), "why": part.why}


def _since(wall: Micros | None) -> str:
    return "" if wall is None else f" since {rfc3339(wall)}"


def rfc3339(wall: Micros | None) -> str | None:
    """Return a wall time in UTC, to the second."""
    if wall is None:
        return None
    return datetime.fromtimestamp(wall // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
