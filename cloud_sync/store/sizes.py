"""How large the store is, how it grows, and when its disk will be full."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from cloud_sync.store.sql import Engine, Sql
from sitekeeper.model.clock import DAY, HOUR, Micros

Ask = Callable[..., Sequence[Any]]

PARTS: Final[Mapping[str, str]] = {"samples": "raw", "blocks": "raw", "minutes": "minutes", "hours": "hours"}
"""Tables by what decides how long their rows are kept; all others stay for ever."""
FOR_EVER: Final = "other"
WHOLE: Final = "whole"
MEASURED: Final[Micros] = 7 * DAY
"""Growth is that of the last week, or as much of it as is known."""
SHORTEST: Final[Micros] = HOUR
"""Growth is not told from less than this."""
_KEEP: Final[Micros] = 400 * DAY
_MOST: Final = 100_000


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be expected; lengths in microseconds, growth in bytes a day, None where it is not known yet.

    Attributes:
        now: bytes by part: raw, minutes, hours, other. growth, last_day: of the whole, over a week and a day.
        at_limits: bytes when everything is as old as it may become, with what is kept for ever counted as it is today.
        for_ever: growth of what is kept for ever. free: of the disk, if it is known. full_in: until there is no more.
    """

    now: dict[str, int]
    growth: float | None
    last_day: float | None
    at_limits: float | None
    for_ever: float | None
    free: int | None
    full_in: Micros | None


def by_table(ask: Ask, engine: Engine) -> dict[str, int]:
    """Return bytes by table with its indexes, the largest first. Reads all of an SQLite file."""
    rows = ask(_POSTGRES if engine == "postgres" else _SQLITE)
    found: dict[str, int] = {}
    for name, size in rows:
        found[name] = found.get(name, 0) + int(size)
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def whole(ask: Ask, engine: Engine) -> int:
    """Return the bytes in use; what SQLite has free within its file does not count."""
    if engine == "postgres":
        return int(ask("SELECT pg_database_size(current_database())")[0][0])
    [pages], [free], [size] = (ask(f"PRAGMA {name}")[0] for name in ("page_count", "freelist_count", "page_size"))
    return int((pages - free) * size)


def by_part(tables: Mapping[str, int]) -> dict[str, int]:
    """Return bytes by what decides how long rows are kept."""
    found = dict.fromkeys((*PARTS.values(), FOR_EVER), 0)
    for name, size in tables.items():
        found[PARTS.get(name, FOR_EVER)] += size
    return found


def note(sql: Sql, now: Micros, sizes: Mapping[str, int]) -> None:
    """Keep sizes, so that growth can be told."""
    for what, size in sizes.items():
        sql.execute(
            "INSERT INTO store_sizes (at, what, bytes) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (now, what, size)
        )
    sql.execute("DELETE FROM store_sizes WHERE at < ?", (now - _KEEP,))


def forecast(
    ask: Ask, now: Micros, parts: Mapping[str, int], limits: Mapping[str, Micros], free: int | None
) -> Forecast:
    """Return what is to be expected of a store that has grown as `store_sizes` tells."""
    history: dict[str, list[tuple[Micros, int]]] = {}
    rows = ask(
        "SELECT at, what, bytes FROM store_sizes WHERE at >= ? AND at <= ? ORDER BY at LIMIT ?",
        *(now - MEASURED, now, _MOST),
    )
    for at, what, size in rows:
        history.setdefault(what, []).append((at, size))
    growth = _growth(history.get(WHOLE, []))
    grows = {part: _growth(history.get(part, [])) for part in parts}
    return Forecast(
        now=dict(parts),
        growth=growth,
        last_day=_growth([one for one in history.get(WHOLE, []) if one[0] >= now - DAY]),
        at_limits=_at_limits(ask, now, parts, limits, grows),
        for_ever=None if grows.get(FOR_EVER) is None else sum(grows[one] or 0 for one in parts if one not in limits),
        free=free,
        full_in=_until_full(growth, free),
    )


def _growth(history: Sequence[tuple[Micros, int]]) -> float | None:
    """Return bytes a day."""
    if not history or history[-1][0] - history[0][0] < SHORTEST:
        return None
    return (history[-1][1] - history[0][1]) * DAY / (history[-1][0] - history[0][0])


def _until_full(growth: float | None, free: int | None) -> Micros | None:
    if growth is None or free is None or growth <= 0:
        return None
    return round(free / growth * DAY)


def _at_limits(
    ask: Ask,
    now: Micros,
    parts: Mapping[str, int],
    limits: Mapping[str, Micros],
    grows: Mapping[str, float | None],
) -> float | None:
    """Each part goes on growing until it is as old as it may become."""
    first = ask("SELECT min(first_seen) FROM sites")[0][0]
    if first is None or any(grows.get(part) is None for part in limits if part in parts):
        return None
    kept = {row[0]: row[1] for row in ask("SELECT what, since FROM kept")}
    total = 0.0
    for part, size in parts.items():
        left = max(limits[part] - (now - max(first, kept.get(part, first))), 0) if part in limits else 0
        total += size + max(grows.get(part) or 0, 0) * left / DAY
    return total


_SQLITE: Final = """
SELECT coalesce(m.tbl_name, d.name), sum(d.pgsize) FROM dbstat d LEFT JOIN sqlite_schema m ON m.name = d.name
WHERE d.aggregate = TRUE GROUP BY 1"""
_POSTGRES: Final = """
SELECT coalesce(p.relname, c.relname), sum(pg_total_relation_size(c.oid))
FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
WHERE c.relkind = 'r' AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) GROUP BY 1"""
