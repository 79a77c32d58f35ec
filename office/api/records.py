"""How complete the record is, and what became of pushes."""

from collections.abc import Collection
from datetime import date
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query

from cloud_sync.store import quarantine
from cloud_sync.store.history import HistoryReader
from office import facts
from office import ledger as days
from office.api import items
from office.api.sites import NEWEST
from office.audience import going_on
from office.auth import Session
from office.console.parts import PartsNow, Who
from sitekeeper.model.alarm import split_key

Item = dict[str, Any]
PAGE: Final = 200
"""Notifications of one answer."""

FIRST_DAY, LAST_DAY = date(1970, 1, 2), date(9998, 12, 31)
"""Between them every site has a day, whatever its time zone."""

router = APIRouter(prefix="/api/v1", tags=["records"])


@router.get("/ledger")
async def ledger(
    parts: PartsNow,
    session: Who,
    site: Annotated[str, Query(max_length=200)],
    day: Annotated[date | None, Query(ge=FIRST_DAY, le=LAST_DAY)] = None,
    by: Literal["group", "point", "day"] = "group",
    point: Annotated[str, Query(max_length=200)] = "",
) -> list[Item]:
    """Seconds known, in gaps by cause, awaited, and unexplained; days are those of the site's own time zone.

    `by=group`: per scan group, of a day, or without `day` of the whole record. `by=point`: per point, with the number
    of its records, of a day; of `point` only, if it is given. `by=day`: the sums of the last days. Of a day `state` and
    `told_to` say how it stands: see `/ledger/sites`.
    """

    def gather(reader: HistoryReader) -> list[Item]:
        catalogue = facts.one_site(*parts.sites(reader, session), site).known.catalogue
        if by == "day":
            return days.last_days(reader, site, catalogue, parts.now, days.DAYS)
        if by == "group" and day is None:
            return [items.ledger(row) for row in reader.ledger(site)]
        wanted = day or days.today(days.zone_of(catalogue), parts.now)
        account = days.of_day(reader, site, catalogue, wanted, parts.now)
        return days.by_point(account, point) if by == "point" else days.by_group(account)

    return await parts.trends.ask(gather)


@router.get("/ledger/sites")
async def ledger_of_sites(
    parts: PartsNow, session: Who, day: Annotated[date | None, Query(ge=FIRST_DAY, le=LAST_DAY)] = None
) -> list[Item]:
    """Of every site that the caller may see the sums of one day, without `day` of its own today; the worst first.

    `state` is `unexplained`, `telling` (told up to `told_to` only), `nothing`, `running` or `complete`. `counted` is
    when the figures were made; null, and no figures, for a site that this answer left no time for: ask again.
    """
    rows = await parts.trends.ask(lambda reader: parts.fleet.of(*parts.sites(reader, session), day, session.sites))
    return [items.site_day(row) for row in rows]


@router.get("/quarantine")
async def in_quarantine(
    parts: PartsNow,
    session: Who,
    site: Annotated[str, Query(max_length=200)] = "",
    before: Annotated[int, Query(ge=1, le=NEWEST)] = NEWEST,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
) -> Item:
    """Messages that could not be used, the newest first. `next` is the `before` of the next question."""
    rows = await parts.pages.ask(lambda reader: quarantine.listed(reader.ask, site, before, PAGE))
    kept = [row for row in rows if session.sees(row.site)]
    following = going_on(rows, kept, before, limit=limit, looked=PAGE)
    return {"quarantine": [items.quarantined(row) for row in kept[:limit]], "next": following}


@router.get("/notifications")
async def notifications(
    parts: PartsNow,
    session: Who,
    alarm: Annotated[str, Query(max_length=500)] = "",
    after: Annotated[int, Query(ge=0, le=NEWEST)] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
) -> Item:
    """The push log in order: one row for each attempt; of one alarm's occurrence, or all after the row `after`.

    `next` is the `after` of the next question.
    """

    def gather(reader: HistoryReader) -> Item:
        _, catalogues, _ = parts.sites(reader, session)
        hidden = frozenset(catalogues.hidden(reader))
        rows = reader.pushes_of([alarm])[alarm] if alarm else reader.pushes_after(after, PAGE)
        rows = [row for row in rows if row.id > after][:PAGE]
        kept = [row for row in rows if _told(session, hidden, row.occurrence)]
        following = going_on(rows, kept, after, limit=limit, looked=PAGE)
        return {"notifications": [items.notification(row) for row in kept[:limit]], "next": following}

    return await parts.pages.ask(gather)


def _told(session: Session, hidden: Collection[str], occurrence: str) -> bool:
    site, _, rule = split_key(occurrence)
    return session.sees(site) and f"{site}/{rule}" not in hidden
