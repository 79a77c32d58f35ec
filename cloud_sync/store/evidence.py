"""What the store holds against its own completeness and trust, per site: for the office's alarms."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from sitekeeper.model.clock import Micros

Kind = Literal["conflict", "twins", "missing", "flood"]
"""Two contents for one block; two gateways that speak as one site; blocks that nobody has; too many catalogues."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Something found of one site since a time. `newest`: the office's wall time of the last. `count`: how many.

    `who`: of twins the boots that spoke last, by which each box knows itself (`sk status --json`).
    """

    kind: Kind
    site: str
    newest: Micros
    count: int
    who: tuple[str, ...] = ()


def found(ask: Callable[..., Sequence[Any]], since: Micros) -> list[Evidence]:
    """Return all that came up since a time, at most one of a kind for each site."""
    conflicts = ask("SELECT site, max(seen), count(*) FROM conflicts WHERE seen > ? GROUP BY site", since)
    twins = ask("SELECT site, max(proved), sum(returns) FROM identities WHERE proved > ? GROUP BY site", since)
    missing = ask(
        'SELECT site, max(noticed), sum("end" - start + 1) FROM missing WHERE noticed > ? GROUP BY site', since
    )
    flood = ask(
        "SELECT site, max(seen), sum(times) FROM quarantine WHERE seen > ? AND kind = 'catalogue'"
        " AND reason IN ('flood', 'overflow') GROUP BY site",
        since,
    )
    rows: list[tuple[Kind, Sequence[Any]]] = [
        ("conflict", conflicts), ("twins", twins), ("missing", missing), ("flood", flood),
    ]  # fmt: skip
    boots = "SELECT boot FROM identities WHERE site = ? ORDER BY last_seen DESC LIMIT 2"
    return [
        Evidence(
            kind=kind,
            site=row[0],
            newest=int(row[1]),
            count=int(row[2]),
            who=tuple(str(one[0]) for one in ask(boots, row[0])) if kind == "twins" else (),
        )
        for kind, each in rows
        for row in each
    ]
