"""Reading rollups: the rows of `minutes` or `hours` of one point, for a trend."""

from typing import Any, Literal

import msgspec

from cloud_sync.store.streams import Ask
from sitekeeper.model.clock import Micros

Rollup = Literal["minutes", "hours"]


class Rolled(msgspec.Struct, frozen=True, kw_only=True):
    """A row. Values are numbers, of words their place in a list, as in `history.Step`; `stands` as in `rollups`."""

    at: Micros
    n: int
    low: float | None
    high: float | None
    mean: float | None
    last: float | None
    good_s: float
    stands: bool


def rolled(
    ask: Ask, table: Rollup, site: str, point: str, start: Micros, end: Micros, members: str = "[]"
) -> list[Rolled]:
    """Return the rows of [start, end), and the one before.

    Args:
        members: the words of an enumeration as a JSON list.
    """
    words: list[str] = msgspec.json.decode(members)
    places = {word: float(place) for place, word in enumerate(words)}
    which = ask("SELECT id FROM points WHERE site = ? AND point = ?", site, point)
    if not which:
        return []
    number = which[0][0]
    rows = ask(
        f"SELECT at, n, low, high, mean, last, word, good_s, stands FROM {table}"  # noqa: S608 - one of two words
        f" WHERE point = ? AND at >= coalesce((SELECT max(b.at) FROM {table} b WHERE b.point = ? AND b.at < ?), ?)"
        " AND at < ? ORDER BY at",
        *(number, number, start, start, end),
    )
    return [_row(row, places) for row in rows]


def kept_since(ask: Ask) -> dict[str, Micros]:
    """Return from when on raw rows and rollups are whole, of what has been purged."""
    return {row[0]: row[1] for row in ask("SELECT what, since FROM kept")}


def _row(row: Any, places: dict[str, float]) -> Rolled:
    at, n, low, high, mean, last, word, good_s, stands = row
    if word is not None:
        low = high = last = places.get(word)
    return Rolled(at=at, n=n, low=low, high=high, mean=mean, last=last, good_s=good_s, stands=bool(stands))
