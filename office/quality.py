"""The quality of the alarms that the office has: `sitekeeper.alarm_quality` over its store."""

from collections.abc import Collection, Mapping

from cloud_sync.store.reader import StoreReader
from cloud_sync.store.sql import NamedRow
from sitekeeper.alarm_quality import Entry, Kpi, report
from sitekeeper.model.alarm import AlarmState, Cause
from sitekeeper.model.clock import Micros

_COLUMNS = "at, key, priority, cause, source, target, mode"


def quality(
    reader: StoreReader, sites: Collection[str], start: Micros, end: Micros, hidden: Mapping[str, Collection[str]]
) -> Kpi:
    """Return the figures of [start, end), wall time, over the alarms of some sites.

    Args:
        hidden: by site, the rules of which whoever asks is told nothing (`office.audience`).

    Raises:
        StorageError: the store failed.
    """
    found: list[Entry] = []
    for site in sites:
        found += entries(reader, site, start, end, hidden.get(site, ()))
    return report(sorted(found, key=lambda one: one.at), start, end)


def entries(reader: StoreReader, site: str, start: Micros, end: Micros, hidden: Collection[str]) -> list[Entry]:
    """Return the moves of a site's alarms in [start, end), in order, and before them those of what stood at the start.

    What an alarm's site told from memory and never had on its disk counts: people were told it.
    """
    inside = reader.ask(
        f"SELECT {_COLUMNS}, rule, occurrence FROM transitions WHERE site = ? AND at >= ? AND at < ? ORDER BY at, id",  # noqa: S608
        site,
        start,
        end,
    )
    begun: dict[str, Cause] = {}
    for row in inside:
        begun.setdefault(row["occurrence"], row["cause"])
    known = [occurrence for occurrence, cause in begun.items() if cause != Cause.RAISE]
    standing = "SELECT occurrence FROM alarms WHERE site = ? AND raised < ? AND state <> 'A'"
    stood = [row["occurrence"] for row in reader.ask(standing, site, start)]
    earlier: list[NamedRow] = []
    for occurrence in dict.fromkeys([*known, *stood]):
        earlier += reader.ask(
            f"SELECT {_COLUMNS}, rule, occurrence FROM transitions WHERE occurrence = ? AND at < ? ORDER BY at, id",  # noqa: S608
            occurrence,
            start,
        )
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
