"""The pages about the record: how complete it is, by site, day, scan group and stretch; and the room left on sites."""

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from typing import Annotated, Any, Final, get_args

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from cloud_sync.ledger import Account
from cloud_sync.store.history import HistoryReader
from cloud_sync.store.ledger import SiteLedger
from office import facts, ledger
from office.api.records import FIRST_DAY, LAST_DAY
from office.console.fleet import LOST
from office.console.parts import Lang, Parts, PartsNow, Who
from office.console.render import page
from office.console.words import site_state
from office.facts import SiteFacts
from office.ledger import State
from office.stretches import AWAITED, KNOWN, UNEXPLAINED, Stretch, stretches
from sitekeeper.model.clock import HOUR, Micros
from sitekeeper.model.errors import NotFound

STATES: Final[tuple[State, ...]] = get_args(State)
MOST_STRETCHES: Final = 500
"""Stretches of a group's day on one page; the newest."""
MOST_POINTS: Final = 500
"""Points of a group on one page."""
SOON: Final[Micros] = 24 * HOUR
"""A buffer that is full within this time is worth a look."""

Day = Annotated[date, Path(ge=FIRST_DAY, le=LAST_DAY)]

router = APIRouter()


@router.get("/ledger")
async def fleet(
    request: Request,
    parts: PartsNow,
    lang: Lang,
    session: Who,
    day: Annotated[date | None, Query(ge=FIRST_DAY, le=LAST_DAY)] = None,
    state: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """Show of all sites how complete a day is, the worst first."""
    last = await parts.pages.ask(lambda reader: reader.last_transition())
    rows = await parts.trends.ask(lambda reader: parts.fleet.of(*parts.sites(reader, session), day, session.sites))
    shown = [row for row in rows if row.count is not None and state in ("", row.state)]
    wanted = day or max((row.count.day for row in rows if row.count is not None), default=None)
    return await page(
        request,
        "ledger.html",
        lang,
        rows=shown,
        counts=Counter(row.state for row in rows if row.count is not None),
        uncounted=sum(row.count is None for row in rows),
        states=STATES,
        chosen=state if state in STATES else "",
        day=wanted,
        days=_beside(wanted, today=day is None),
        given=day,
        site_state=site_state,
        last=last,
    )


@router.get("/ledger/{site}")
async def one_site(request: Request, parts: PartsNow, lang: Lang, session: Who, site: str) -> Response:
    """Show the last days of a site."""

    def gather(reader: HistoryReader) -> dict[str, Any]:
        found = facts.one_site(*parts.sites(reader, session), site)
        newest = ledger.today(found.known.zone, parts.now)
        wanted = [newest - timedelta(days=back) for back in range(ledger.DAYS)]
        return {"site": found, "days": [_day(reader, parts, found, each) for each in wanted]}

    return await _shown(request, parts, lang, "ledger_site.html", gather)


@router.get("/ledger/{site}/{day}")
async def one_day(request: Request, parts: PartsNow, lang: Lang, session: Who, site: str, day: Day) -> Response:
    """Show a day of a site by scan group."""

    def gather(reader: HistoryReader) -> dict[str, Any]:
        found = facts.one_site(*parts.sites(reader, session), site)
        account = _account(reader, parts, found, day)
        groups = [(row, ledger.state(account, row.account)) for row in account.groups()]
        groups.sort(key=lambda each: (STATES.index(each[1]), each[0].scan_group))
        return {
            "site": found,
            "groups": groups,
            "whole": _sums(account, day),
            "days": _beside(day, today=day >= ledger.today(found.known.zone, parts.now)),
        }

    return await _shown(request, parts, lang, "ledger_day.html", gather)


@router.get("/ledger/{site}/{day}/{group:path}")
async def one_group(
    request: Request, parts: PartsNow, lang: Lang, session: Who, site: str, day: Day, group: str
) -> Response:
    """Show a scan group's day as stretches with their causes, and its points with their records."""

    def gather(reader: HistoryReader) -> dict[str, Any]:
        found = facts.one_site(*parts.sites(reader, session), site)
        account = _account(reader, parts, found, day)
        row = next((row for row in account.groups() if row.scan_group == group), None)
        evidence = account.evidence(group)
        if row is None or evidence is None:
            raise NotFound(f"no scan group {group!r} at {site!r} on that day")
        pieces = stretches(evidence)
        return {
            "site": found,
            "day": day,
            "row": row,
            "state": ledger.state(account, row.account),
            "told": account.told,
            "begin": account.begin,
            "end": account.end,
            "pieces": pieces[-MOST_STRETCHES:][::-1],
            "left_out": max(0, len(pieces) - MOST_STRETCHES),
            "bars": _bars(pieces, account.begin, account.end),
            "points": [each for each in account.points() if each.scan_group == group][:MOST_POINTS],
        }

    return await _shown(request, parts, lang, "ledger_group.html", gather)


@router.get("/buffers")
async def buffers(request: Request, parts: PartsNow, lang: Lang, session: Who) -> Response:
    """Show how much room each site has for what it cannot send, the least first."""
    last = await parts.pages.ask(lambda reader: reader.last_transition())
    found = await parts.pages.ask(lambda reader: facts.all_sites(*parts.sites(reader, session), session.sites))
    return await page(
        request,
        "buffers.html",
        lang,
        sites=sorted(found, key=lambda each: _urgency(each, parts.now)),
        soon=SOON,
        site_state=site_state,
        last=last,
    )


def _urgency(site: SiteFacts, now: Micros) -> tuple[bool, bool, Micros, str]:
    """Return what sorts a site whose buffer is full soonest first; one that is heard is not filling up."""
    if site.room is None or site.revoked is not None:
        return True, site.live, 0, site.row.site
    return False, site.live, site.room.full_at - now, site.row.site


async def _shown(
    request: Request, parts: Parts, lang: Lang, template: str, gather: Callable[[HistoryReader], dict[str, Any]]
) -> Response:
    last = await parts.pages.ask(lambda reader: reader.last_transition())
    values = await parts.trends.ask(gather)
    names: dict[str, Any] = {"KNOWN": KNOWN, "AWAITED": AWAITED, "UNEXPLAINED": UNEXPLAINED}
    return await page(request, template, lang, **values, **names, site_state=site_state, last=last)


def _account(reader: HistoryReader, parts: Parts, site: SiteFacts, day: date) -> SiteLedger:
    return ledger.of_day(reader, site.row.site, site.known.catalogue, day, parts.now)


def _day(reader: HistoryReader, parts: Parts, site: SiteFacts, day: date) -> dict[str, Any]:
    return _sums(_account(reader, parts, site, day), day)


def _sums(account: SiteLedger, day: date) -> dict[str, Any]:
    total = sum((row.account for row in account.groups()), Account())
    state = ledger.state(account, total)
    lost = not LOST.isdisjoint(total.causes)
    return {
        "day": day,
        "total": total,
        "state": state,
        "told": account.told,
        "dropped": account.dropped(),
        "lost": lost,
    }


def _beside(day: date | None, *, today: bool) -> tuple[date | None, date | None]:
    """Return the day before and, unless it is to come, the day after."""
    if day is None:
        return None, None
    before = day - timedelta(days=1) if day > FIRST_DAY else None
    return before, None if today or day >= LAST_DAY else day + timedelta(days=1)


def _bars(pieces: list[Stretch], begin: Micros, end: Micros) -> list[tuple[float, float, str]]:
    """Return where each stretch lies in the day, in parts of 1,000: (begin, width, kind)."""
    scale = 1_000 / (end - begin)
    return [
        (round((each.start - begin) * scale, 2), round(max((each.end - each.start) * scale, 0.5), 2), _kind(each.what))
        for each in pieces
    ]


def _kind(what: str) -> str:
    return what if what in {KNOWN, AWAITED, UNEXPLAINED, "dropped"} else "gap"
