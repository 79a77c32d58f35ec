"""The completeness ledger as people and programs get it: one day of a site's own time zone, as plain items.

The figures are made by `cloud_sync.store.ledger`; lengths are in seconds here. `gap_s` is all time with a cause,
`awaited_s` what the site has not told yet, `unexplained_s` must be 0. `told_to` is up to when the site has told
anything, and `state` says in a word how a day stands, the worst that is true of it:

| state | means |
|---|---|
| unexplained | time that nobody can explain |
| telling | still being told: the line is down or the site behind, so time that is over has not been told yet |
| running | the day is not over; all is told so far |
| complete | the day is over and told: known, or a gap with its cause |
| nothing | the site had no record then |
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cloud_sync.ledger import DROPPED, Account, site_day
from cloud_sync.store.ledger import PATIENCE, DroppedRecords, SiteLedger
from cloud_sync.store.reader import StoreReader
from sitekeeper.catalogue import Catalogue
from sitekeeper.model.clock import SECOND, Micros

Item = dict[str, Any]
State = Literal["unexplained", "telling", "running", "complete", "nothing"]
DAYS: Final = 14
"""Days in one answer at most."""


def zone_of(catalogue: Catalogue | None) -> ZoneInfo:
    """Return a site's time zone; UTC where it has none that is known here."""
    try:
        return ZoneInfo("UTC" if catalogue is None else catalogue.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def today(zone: ZoneInfo, now: Micros) -> date:
    """Return the day that it is at a site."""
    return datetime.fromtimestamp(now / SECOND, zone).date()


def of_day(reader: StoreReader, site: str, catalogue: Catalogue | None, day: date, now: Micros) -> SiteLedger:
    """Return the ledger of one day of a site."""
    groups = [group.id for group in catalogue.groups] if catalogue is not None else []
    begin, end = site_day(day, zone_of(catalogue))
    return SiteLedger(reader.ask, site, begin, end, groups, now)


def state(ledger: SiteLedger, account: Account, now: Micros | None = None) -> State:
    """Return how the stretch of a ledger stands, for an account out of it; `now`: later than when it was made."""
    told = ledger.told
    if account.unexplained:
        return "unexplained"
    if told is None:
        return "nothing"
    if account.awaited or told < min(ledger.end, (now or ledger.now) - PATIENCE):
        return "telling"
    if not account.span:
        return "nothing"
    return "running" if ledger.running else "complete"


def by_group(ledger: SiteLedger) -> list[Item]:
    """Return one item for each scan group; `to` is up to when it is accounted for."""
    return [
        {"scan_group": row.scan_group, "from": _rfc3339(row.start), "to": _rfc3339(row.accounted)}
        | figures(row.account)
        | _standing(ledger, row.account)
        for row in ledger.groups()
    ]


def by_point(ledger: SiteLedger, only: str = "") -> list[Item]:
    """Return one item for each point, or for `only`: its scan group's time while it existed, and its records."""
    return [
        {"point": row.point, "scan_group": row.scan_group, "records": row.records}
        | figures(row.account)
        | _standing(ledger, row.account)
        for row in ledger.points()
        if only in ("", row.point)
    ]


def of_site(ledger: SiteLedger, day: date) -> Item:
    """Return the sum over all scan groups of a site's day; `records_dropped` is what the site deleted unsent."""
    return sums(ledger, day, sum((row.account for row in ledger.groups()), Account()), ledger.dropped())


def sums(ledger: SiteLedger, day: date, total: Account, dropped: DroppedRecords) -> Item:
    """Return what `of_site` returns, of sums that are made already."""
    return (
        {"site": ledger.site, "day": day.isoformat()}
        | figures(total)
        | {
            "known_share": round(total.known / total.span, 6) if total.span else None,
            "records_dropped": dropped.records,
            "blocks_dropped": dropped.blocks,
        }
        | _standing(ledger, total)
    )


def last_days(reader: StoreReader, site: str, catalogue: Catalogue | None, now: Micros, days: int) -> list[Item]:
    """Return the sums of the last days of a site, the newest first."""
    newest = today(zone_of(catalogue), now)
    wanted = [newest - timedelta(days=back) for back in range(min(days, DAYS))]
    return [of_site(of_day(reader, site, catalogue, day, now), day) for day in wanted]


def all_sites(reader: StoreReader, sites: Sequence[str], day: date | None, now: Micros) -> list[Item]:
    """Return the sums of one day of every site; without `day` of the day that it is there."""
    found = []
    for site in sites:
        catalogue = reader.catalogue(site)
        wanted = day or today(zone_of(catalogue), now)
        found.append(of_site(of_day(reader, site, catalogue, wanted, now), wanted))
    return found


def figures(account: Account) -> Item:
    """Return an account's lengths in seconds; they add up to `span_s`."""
    return {
        "span_s": account.span / SECOND,
        "known_s": account.known / SECOND,
        "gap_s": sum(account.causes.values()) / SECOND,
        "dropped_s": account.causes.get(DROPPED, 0) / SECOND,
        "awaited_s": account.awaited / SECOND,
        "unexplained_s": account.unexplained / SECOND,
        "causes": {cause: length / SECOND for cause, length in account.causes.items()},
    }


def _standing(ledger: SiteLedger, account: Account) -> Item:
    told = ledger.told
    return {
        "running": ledger.running,
        "told_to": None if told is None else _rfc3339(told),
        "state": state(ledger, account),
    }


def _rfc3339(wall: Micros) -> str:
    return datetime.fromtimestamp(wall / SECOND, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
