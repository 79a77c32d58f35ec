"""The pages: sites, one site, alarms with one opened, a device's values, a point's trend."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from cloud_sync.store.history import HistoryReader
from office import facts
from office.auth import Session
from office.console.brief import brief, device_in_brief, grouped
from office.console.happened import NEWEST, happened
from office.console.parts import NOTE_LIMIT, Checked, Lang, Parts, PartsNow, Who, acknowledge
from office.console.render import page
from office.console.told import told
from office.console.words import Words, is_answering, site_state
from office.trend import Trend, read, window, worth_telling
from office.writable import writable
from sitekeeper.model.alarm import UNACKED
from sitekeeper.model.clock import HOUR, MINUTE, Micros
from sitekeeper.model.errors import Refused

STATES: Final[dict[str, Sequence[str]]] = {
    "open": facts.OPEN,
    "unacknowledged": tuple(state.value for state in UNACKED),
    "held": facts.HELD,
    "all": (),
}
SPANS: Final[dict[str, Micros]] = {
    "5m": 5 * MINUTE,
    "15m": 15 * MINUTE,
    "1h": HOUR,
    "6h": 6 * HOUR,
    "24h": 24 * HOUR,
    "7d": 7 * 24 * HOUR,
}
RECENT: Final = 20
"""Events on a site's page."""
DRAWER: Final = frozenset({"drawer", "told", "act", "story"})
"""Parts of a page that htmx asks for by the id of their element."""
SHOWN: Final[dict[str, Any]] = {"site_state": site_state, "unacked": UNACKED, "told_holes": worth_telling}

router = APIRouter()


@router.get("/")
async def first(_session: Who) -> Response:
    """Go to the sites."""
    return RedirectResponse("/sites", 303)


@router.get("/sites")
async def sites(request: Request, parts: PartsNow, lang: Lang, session: Who) -> Response:
    """Show all sites, the worst first."""
    last = await parts.pages.ask(lambda reader: reader.last_transition())  # first: what comes after is told again
    found = await parts.pages.ask(lambda reader: facts.all_sites(*parts.sites(reader), session.sites))
    return await page(request, "sites.html", lang, sites=found, last=last, **SHOWN)


@router.get("/sites/{site}")
async def one_site(request: Request, parts: PartsNow, lang: Lang, _session: Who, site: str) -> Response:
    """Show a site: its devices and its open alarms."""
    w = Words(lang)

    def gather(reader: HistoryReader) -> dict[str, Any]:
        last = reader.last_transition()
        found = facts.one_site(*parts.sites(reader), site)
        values = facts.all_values(reader, found, parts.now)
        open_ones = facts.alarms(*parts.sites(reader), facts.AlarmFilter(site=site))
        worst: dict[str, str] = {}
        for alarm in open_ones:
            worst[alarm.device] = min(worst.get(alarm.device, "P9"), alarm.record.priority)
        devices = [device_in_brief(found, device, values[device], worst, w) for device in found.known.devices]
        events = happened(reader.events(site, limit=RECENT), found.known, w)
        groups = grouped(devices)
        return {"site": found, "alarms": open_ones, "groups": groups, "events": events, "last": last}

    return await page(request, "site.html", lang, **await parts.pages.ask(gather), **SHOWN)


@router.get("/sites/{site}/devices/{device}")
async def one_device(request: Request, parts: PartsNow, lang: Lang, _session: Who, site: str, device: str) -> Response:
    """Show a device's values with their quality and age."""
    w = Words(lang)

    def gather(reader: HistoryReader) -> dict[str, Any]:
        last = reader.last_transition()
        found = facts.one_site(*parts.sites(reader), site)
        values = facts.values(reader, found, parts.now, device)
        wanted = facts.AlarmFilter(site=site, device=device)
        row = found.known.devices[device]
        return {
            "site": found,
            "device": row,
            "values": values,
            "answers": is_answering(values),
            "words": brief(row.cls, values, w),
            "commandable": not values.keys().isdisjoint(writable(row.cls, row.tags)),
            "events": happened(reader.events(site, device=device, limit=NEWEST), found.known, w),
            "newest": NEWEST,
            "alarms": facts.alarms(*parts.sites(reader), wanted),
            "last": last,
        }

    return await page(request, "device.html", lang, **await parts.pages.ask(gather), **SHOWN)


@router.get("/sites/{site}/devices/{device}/{point}")
async def one_point(
    request: Request,
    parts: PartsNow,
    lang: Lang,
    _session: Who,
    site: str,
    device: str,
    point: str,
    span: Annotated[str, Query(max_length=8)] = "1h",
) -> Response:
    """Show a point over time."""
    asked = window(parts.now - SPANS.get(span, HOUR), parts.now, None)

    def gather(reader: HistoryReader) -> dict[str, Any]:
        found = facts.one_site(*parts.sites(reader), site)
        value = facts.one_value(reader, found, parts.now, device, point)
        trend = read(reader, found, value.point, asked, parts.now)
        row = found.known.devices[device]
        return {"site": found, "device": row, "value": value, "trend": trend, "summary": _summary(trend)}

    gathered = await parts.trends.ask(gather)
    last = await parts.pages.ask(lambda reader: reader.last_transition())
    chosen = span if span in SPANS else "1h"
    return await page(request, "point.html", lang, **gathered, span=chosen, spans=tuple(SPANS), last=last, **SHOWN)


def _summary(trend: Trend) -> tuple[float | None, float | None, float | None]:
    """Return the lowest, highest and last value of a trend."""
    lows = [step.low for step in trend.steps if step.low is not None]
    highs = [step.high for step in trend.steps if step.high is not None]
    lasts = [step.last for step in trend.steps if step.last is not None]
    return min(lows, default=None), max(highs, default=None), lasts[-1] if lasts else None


@router.get("/alarms")
async def all_alarms(
    request: Request,
    parts: PartsNow,
    lang: Lang,
    session: Who,
    state: Annotated[str, Query(max_length=20)] = "open",
    site: Annotated[str, Query(max_length=200)] = "",
    priority: Annotated[str, Query(max_length=2)] = "",
    skip: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Response:
    """Show the alarms."""
    wanted = facts.AlarmFilter(
        states=STATES.get(state, facts.OPEN), site=site, priority=priority, skip=skip, sites=session.sites
    )
    chosen = {"state": state if state in STATES else "open", "site": site, "priority": priority, "skip": skip}
    gathered = await parts.pages.ask(_list(parts, wanted))
    return await page(request, "alarms.html", lang, **gathered, chosen=chosen, opened=None, problem="", **SHOWN)


@router.get("/alarms/{occurrence:path}")
async def one_alarm(request: Request, parts: PartsNow, lang: Lang, session: Who, occurrence: str) -> Response:
    """Show the alarms with one of them opened."""
    return await _opened(request, parts, lang, session, occurrence)


@router.post("/alarms/{occurrence:path}/ack")
async def ack(
    request: Request,
    parts: PartsNow,
    lang: Lang,
    session: Checked,
    occurrence: str,
    note: Annotated[str, Form(max_length=NOTE_LIMIT)] = "",
) -> Response:
    """Acknowledge an alarm, and show how it stands then."""
    try:
        await acknowledge(parts, session, occurrence, note.strip())
    except Refused as refused:
        key = f"console.refused.{refused.reason}"
        return await _opened(request, parts, lang, session, occurrence, Words(lang).maybe(key, str(refused)))
    if "hx-request" not in request.headers:
        return RedirectResponse(request.url.path.removesuffix("/ack"), 303)
    return await _opened(request, parts, lang, session, occurrence)


async def _opened(
    request: Request, parts: Parts, lang: Lang, session: Session, occurrence: str, problem: str = ""
) -> Response:
    only_drawer = request.headers.get("hx-target", "") in DRAWER  # the rows would be made and thrown away
    listed = _list(parts, facts.AlarmFilter(limit=0 if only_drawer else facts.PAGE, sites=session.sites))
    chosen = {"state": "open", "site": "", "priority": "", "skip": 0}

    def gather(reader: HistoryReader) -> dict[str, Any]:
        alarm = facts.one_alarm(*parts.sites(reader), occurrence)
        return {**listed(reader), "opened": told(reader, alarm, occurrence, lang)}

    status = 409 if problem and "hx-request" not in request.headers else 200
    gathered = await parts.pages.ask(gather)
    return await page(request, "alarms.html", lang, status=status, **gathered, chosen=chosen, problem=problem, **SHOWN)


def _list(parts: Parts, wanted: facts.AlarmFilter) -> Callable[[HistoryReader], dict[str, Any]]:
    """Return the question for what the alarm list shows: its rows, and what proves that an empty list is live."""

    def gather(reader: HistoryReader) -> dict[str, Any]:
        last = reader.last_transition()  # before the rows: what comes in between is told again, not missed
        return {
            "last": last,
            "alarms": facts.alarms(*parts.sites(reader), wanted),
            "sites": facts.all_sites(*parts.sites(reader), wanted.sites),
            "last_alarm": reader.last_alarm_at(wanted.sites),
            "page_size": facts.PAGE,
        }

    return gather
