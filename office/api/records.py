"""How complete the record is, and what became of pushes."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from cloud_sync.store.history import HistoryReader
from office import facts
from office.api import items
from office.api.sites import NEWEST
from office.console.parts import PartsNow, Who
from sitekeeper.model.clock import SECOND

Item = dict[str, Any]
PAGE: Final = 200
"""Notifications of one answer."""

router = APIRouter(prefix="/api/v1", tags=["records"])


@router.get("/ledger")
async def ledger(
    parts: PartsNow, _session: Who, site: Annotated[str, Query(max_length=200)], day: date | None = None
) -> list[Item]:
    """Per scan group: seconds vouched for, in gaps by cause, and unexplained; of one day of the site's own time zone.

    Without `day` of the whole record.
    """

    def gather(reader: HistoryReader) -> list[Item]:
        known = facts.one_site(*parts.sites(reader), site).known
        if day is None:
            return [items.ledger(row) for row in reader.ledger(site)]
        begin, end = (
            int(datetime(each.year, each.month, each.day, tzinfo=known.zone).timestamp()) * SECOND
            for each in (day, day + timedelta(days=1))
        )
        return [items.ledger(row) for row in reader.ledger(site, begin, end)]

    return await parts.trends.ask(gather)


@router.get("/notifications")
async def notifications(
    parts: PartsNow,
    _session: Who,
    alarm: Annotated[str, Query(max_length=500)] = "",
    after: Annotated[int, Query(ge=0, le=NEWEST)] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
) -> Item:
    """The push log in order: one row for each attempt; of one alarm's occurrence, or all after the row `after`.

    `next` is the `after` of the next question.
    """

    def gather(reader: HistoryReader) -> Item:
        rows = reader.pushes_of([alarm])[alarm] if alarm else reader.pushes_after(after, limit)
        rows = [row for row in rows if row.id > after][:limit]
        return {"notifications": [items.notification(row) for row in rows], "next": rows[-1].id if rows else after}

    return await parts.pages.ask(gather)
