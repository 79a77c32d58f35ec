"""The ledger of all sites for one day, as a page shows it: counted site by site, the oldest count first, for a while.

Two hundred sites take a second, so counts are kept, and each question counts as many anew as fit into its time. What
is not counted yet is told as such. How a day stands is judged at the moment of the answer: a count that is a minute old
tells up to when the site had told, and that is never in the future.
"""

import time
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from cloud_sync.ledger import DROPPED, MISSING, QUARANTINED, Account
from cloud_sync.store.history import HistoryReader
from cloud_sync.store.ledger import DroppedRecords, SiteLedger
from office import facts, ledger
from office.facts import SiteFacts
from office.known import Catalogues
from office.ledger import State
from sitekeeper.model.clock import SECOND, Micros

Item = dict[str, Any]
KEPT: Final[Micros] = 20 * SECOND
"""A count younger than this is good enough."""
BUDGET_S: Final = 1.0
"""Time that one question spends on counting; the next one goes on."""
MOST_DAYS: Final = 4
"""Days of which counts are kept: today's, and those that somebody looked at last."""
LOST: Final = frozenset({DROPPED, MISSING, QUARANTINED})
"""Causes of time of which there were records that nobody can read any more: a day may be told, but it is not whole."""
ORDER: Final[dict[State, int]] = {"unexplained": 0, "telling": 1, "nothing": 2, "running": 3, "complete": 4}


@dataclass(frozen=True, kw_only=True)
class Count:
    """One site's day: `ledger` with its queries answered, `total` of all scan groups. `at`: office wall time."""

    ledger: SiteLedger
    day: date
    total: Account
    dropped: DroppedRecords
    at: Micros


@dataclass(frozen=True, kw_only=True)
class SiteDay:
    """A site and its day as they stand now. `told`: up to when; None if never, or not counted yet (`count` is None)."""

    site: SiteFacts
    count: Count | None
    state: State
    told: Micros | None

    @property
    def lost(self) -> bool:
        """Tell whether records of the day were lost: dropped on site, missing everywhere, or unreadable here."""
        return self.count is not None and not LOST.isdisjoint(self.count.total.causes)

    @property
    def rank(self) -> tuple[int, bool, Micros, str]:
        """Return what sorts the worst first: unexplained time, then what is lost, then those that have told least."""
        order = ORDER[self.state] if self.count is not None else len(ORDER)
        if self.state in {"running", "complete"} and self.lost:
            order = ORDER["telling"]
        return order, not self.lost, self.told or 0, self.site.row.site


class FleetLedger:
    """The counts of one console. Not for two threads at once."""

    def __init__(self) -> None:
        self._days: OrderedDict[date | None, dict[str, Count]] = OrderedDict()

    def of(
        self,
        reader: HistoryReader,
        catalogues: Catalogues,
        now: Micros,
        day: date | None,
        only: Collection[str] | None,
        budget_s: float = BUDGET_S,
    ) -> list[SiteDay]:
        """Return the sites, the worst first; without `day` of the day that it is at each site.

        Raises:
            StorageError: the store cannot be read.
        """
        counts = self._days.setdefault(day, {})
        self._days.move_to_end(day)
        while len(self._days) > MOST_DAYS:
            self._days.popitem(last=False)
        found, until = facts.all_sites(reader, catalogues, now, only), time.monotonic() + budget_s
        for site in sorted(found, key=lambda each: _age(counts.get(each.row.site))):
            wanted = day or ledger.today(site.known.zone, now)
            old = counts.get(site.row.site)
            if old is not None and old.day == wanted and now - old.at < KEPT:
                continue
            if time.monotonic() > until:
                break
            counts[site.row.site] = _count(reader, site, wanted, now)
        return sorted((_stands(site, counts.get(site.row.site), now) for site in found), key=lambda each: each.rank)


def _age(count: Count | None) -> Micros:
    return 0 if count is None else count.at


def _count(reader: HistoryReader, site: SiteFacts, day: date, now: Micros) -> Count:
    account = ledger.of_day(reader, site.row.site, site.known.catalogue, day, now)
    total = sum((row.account for row in account.groups()), Account())
    return Count(ledger=account, day=day, total=total, dropped=account.dropped(), at=now)


def _stands(site: SiteFacts, count: Count | None, now: Micros) -> SiteDay:
    if count is None:
        return SiteDay(site=site, count=None, state="nothing", told=None)
    state = ledger.state(count.ledger, count.total, now)
    return SiteDay(site=site, count=count, state=state, told=count.ledger.told)
