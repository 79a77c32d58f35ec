"""What the store holds against its own completeness and trust, per site: for the office's alarms."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from sitekeeper.model.clock import Micros

Kind = Literal["conflict", "twins", "missing"]
"""Two contents for one block; two gateways that speak as one site; blocks that nobody has."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Something found of one site since a time. `newest`: the office's wall time of the last. `count`: how many."""

    kind: Kind
    site: str
    newest: Micros
    count: int


def found(ask: Callable[..., Sequence[Any]], since: Micros) -> list[Evidence]:
    """Return all that came up since a time, at most one of a kind for each site."""
    conflicts = ask("SELECT site, max(seen), count(*) FROM conflicts WHERE seen > ? GROUP BY site", since)
    twins = ask("SELECT site, max(proved), sum(returns) FROM identities WHERE proved > ? GROUP BY site", since)
    missing = ask(
        'SELECT site, max(noticed), sum("end" - start + 1) FROM missing WHERE noticed > ? GROUP BY site', since
    )
    rows: list[tuple[Kind, Sequence[Any]]] = [("conflict", conflicts), ("twins", twins), ("missing", missing)]
    return [
        Evidence(kind=kind, site=row[0], newest=int(row[1]), count=int(row[2])) for kind, each in rows for row in each
    ]
