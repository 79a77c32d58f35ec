"""The quality of the alarms that the office has: `sitekeeper.alarm_quality` over its store."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from cloud_sync.store.reader import StoreReader
from cloud_sync.store.sql import NamedRow
from sitekeeper.alarm_quality import Entry, Kpi, report
from sitekeeper.model.alarm import AlarmState, Cause
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import Refused

MOST: Final = 200_000
"""Moves that one question may be about: a few seconds, and 150 MB."""
_MOVES: Final = "SELECT at, key, priority, cause, source, target, mode, rule, occurrence FROM transitions"


def quality(
    reader: StoreReader, sites: Collection[str], start: Micros, end: Micros, hidden: Mapping[str, Collection[str]]
) -> Kpi:
    """Return the figures of [start, end), wall time, over the alarms of some sites.

    Args:
        hidden: by site, the rules of which whoever asks is told nothing (`office.audience`).

    Raises:
        StorageError: the store failed. Refused: `too-much`, there are more than MOST moves.
    """
    moves, found = Moves(reader), list[Entry]()
    for site in sites:
        found += entries(moves, site, start, end, hidden.get(site, ()))
    return report(sorted(found, key=lambda one: one.at), start, end)


class Moves:
    """Reads moves of alarms for one question, MOST at most."""

    def __init__(self, reader: StoreReader) -> None:
        self.reader = reader
        self._left = MOST

    def ask(self, where: str, *arguments: object) -> Sequence[NamedRow]:
        """Return moves in order. Raises StorageError; Refused: `too-much`."""
        rows = self.reader.ask(f"{_MOVES} WHERE {where} ORDER BY at, id LIMIT ?", *arguments, self._left + 1)
        self._left -= len(rows)
        if self._left < 0:
            raise Refused("too-much", f"more than {MOST:,} moves of alarms; ask for less time, or for one site")
        return rows


def entries(moves: Moves, site: str, start: Micros, end: Micros, hidden: Collection[str]) -> list[Entry]:
    """Return the moves of a site's alarms in [start, end), in order, and before them those of what stood at the start.

    What an alarm's site told from memory and never had on its disk counts: people were told it.
    """
    inside = moves.ask("site = ? AND at >= ? AND at < ?", site, start, end)
    begun: dict[str, Cause] = {}
    for row in inside:
        begun.setdefault(row["occurrence"], row["cause"])
    known = [occurrence for occurrence, cause in begun.items() if cause != Cause.RAISE]
    standing = "SELECT occurrence FROM alarms WHERE site = ? AND raised < ? AND state <> 'A'"
    stood = [row["occurrence"] for row in moves.reader.ask(standing, site, start)]
    earlier: list[NamedRow] = []
    for occurrence in dict.fromkeys([*known, *stood]):
        earlier += moves.ask("occurrence = ? AND at < ?", occurrence, start)
    return [_entry(row) for row in [*sorted(earlier, key=lambda row: row["at"]), *inside] if row["rule"] not in hidden]


def _entry(row: NamedRow) -> Entry:
    return Entry(
        row["at"],
        row["key"],
        row["priority"],
        Cause(row["cause"]),
        AlarmState(row["source"]),
        AlarmState(row["target"]),
        row["mode"],
    )
