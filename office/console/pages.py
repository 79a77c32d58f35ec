"""The pages: sites, one site, alarms with one opened, a device's values, a point's trend."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from cloud_sync.store.history import HistoryReader
from office import facts
from office.alarm_orders import Deed
from office.auth import Session
from office.console.brief import brief, device_in_brief, grouped
from office.console.happened import NEWEST, happened
from office.console.parts import NOTE_LIMIT, Checked, Lang, Parts, PartsNow, Who, acknowledge, order_about
from office.console.render import page
from office.console.told import told
from office.console.words import Words, is_answering, site_state
from office.trend import Trend, read, window, worth_telling
from office.writable import writable
from sitekeeper.model.alarm import UNACKED, AlarmState
from sitekeeper.model.clock import HOUR, MINUTE, Micros
from sitekeeper.model.errors import Refused

STATES: Final[dict[str, Sequence[str]]] = {
    "open": facts.OPEN,
    "unacknowledged": tuple(state.value for state in UNACKED),
    "held": facts.HELD,
    "shelved": (AlarmState.SHELVED.value,),
    "suppressed": (AlarmState.SUPPRESSED.value,),
    "out": (AlarmState.OUT.value,),
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
DRAWER: Final = frozenset({"drawer", "told", "act", "orders", "story"})
"""Parts of a page that htmx asks for by the id of their element."""
SHOWN: Final[dict[str, Any]] = {"site_state": site_state, "unacked": UNACKED, "told_holes": worth_telling}

_Note = Annotated[str, Form(max_length=NOTE_LIMIT)]

router = APIRouter()


@router.get("/")
async def first(_session: Who) -> Response:
    """Go to the sites."""
    return RedirectResponse("/sites", 303)


@router.get("/sites")
async def sites(request: Request, parts: PartsNow, lang: Lang, session: Who) -> Response:
    """Show all sites, the worst first."""
    last = await parts.pages.ask(lambda reader: reader.last_transition())  # first: what comes after is told again
    found = await parts.pages.ask(lambda reader: facts.all_sites(*parts.sites(reader, session), session.sites))
    flood = await parts.pages.ask(facts.floods)
    return await page(request, "sites.html", lang, sites=found, flood=flood, last=last, **SHOWN)


@router.get("/sites/{site}")
async def one_site(request: Request, parts: PartsNow, lang: Lang, session: Who, site: str) -> Response:
    """Show a site: its devices and its open alarms."""
    w = Words(lang)

    def gather(reader: HistoryReader) -> dict[str, Any]:
        last = reader.last_transition()
        found = facts.one_site(*parts.sites(reader, session), site)
        values = facts.all_values(reader, found, parts.now)
        open_ones = facts.alarms(*parts.sites(reader, session), facts.AlarmFilter(site=site))
        worst: dict[str, str] = {}
        for alarm in open_ones:
            worst[alarm.device] = min(worst.get(alarm.device, "P9"), alarm.record.priority)
        devices = [device_in_brief(found, device, values[device], worst, w) for device in found.known.devices]
        events = happened(facts.events(reader, found.known, limit=RECENT)[0], found.known, w)
        groups = grouped(devices)
        shown = {"site": found, "alarms": open_ones, "groups": groups, "events": events, "last": last}
        return shown | {"flood": facts.floods(reader), "drill": facts.drill(reader, site, parts.now)}

    return await page(request, "site.html", lang, **await parts.pages.ask(gather), **SHOWN)


@router.get("/sites/{site}/devices/{device}")
async def one_device(request: Request, parts: PartsNow, lang: Lang, session: Who, site: str, device: str) -> Response:
    """Show a device's values with their quality and age."""
    w = Words(lang)

    def gather(reader: HistoryReader) -> dict[str, Any]:
        last = reader.last_transition()
        found = facts.one_site(*parts.sites(reader, session), site)
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
            "events": happened(facts.events(reader, found.known, device=device, limit=NEWEST)[0], found.known, w),
            "newest": NEWEST,
            "alarms": facts.alarms(*parts.sites(reader, session), wanted),
            "last": last,
        }

    return await page(request, "device.html", lang, **await parts.pages.ask(gather), **SHOWN)


@router.get("/sites/{site}/devices/{device}/{point}")
async def one_point(
    request: Request,
    parts: PartsNow,
    lang: Lang,
    session: Who,
    site: str,
    device: str,
    point: str,
    span: Annotated[str, Query(max_length=8)] = "1h",
) -> Response:
    """Show a point over time."""
    asked = window(parts.now - SPANS.get(span, HOUR), parts.now, None)

    def gather(reader: HistoryReader) -> dict[str, Any]:
        found = facts.one_site(*parts.sites(reader, session), site)
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
    gathered = await parts.pages.ask(_list(parts, session, wanted))
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


@router.post("/alarms/{occurrence:path}/shelve")
async def shelve(
    request: Request,
    parts: PartsNow,
    lang: Lang,
    session: Checked,
    occurrence: str,
    lasts: Annotated[str, Form(max_length=40)] = "",
    reason: _Note = "",
) -> Response:
    """Have an alarm put on the shelf."""
    return await _ordered(request, parts, lang, session, occurrence, "shelve", {"for": lasts, "reason": reason})


@router.post("/alarms/{occurrence:path}/unshelve")
async def unshelve(
    request: Request, parts: PartsNow, lang: Lang, session: Checked, occurrence: str, reason: _Note = ""
) -> Response:
    """Have an alarm taken off the shelf."""
    return await _ordered(request, parts, lang, session, occurrence, "unshelve", {"reason": reason})


@router.post("/alarms/{occurrence:path}/comment")
async def comment(
    request: Request, parts: PartsNow, lang: Lang, session: Checked, occurrence: str, reason: _Note = ""
) -> Response:
    """Have a note written into an alarm's story."""
    return await _ordered(request, parts, lang, session, occurrence, "comment", {"reason": reason})


async def _ordered(
    request: Request, parts: Parts, lang: Lang, session: Session, occurrence: str, deed: Deed, given: dict[str, str]
) -> Response:
    problem = ""
    try:
        await order_about(parts, session, occurrence, deed, given)
    except Refused as refused:
        problem = Words(lang).refusal(refused)
    if not problem and "hx-request" not in request.headers:
        return RedirectResponse(request.url.path.removesuffix(f"/{deed}"), 303)
    return await _opened(request, parts, lang, session, occurrence, problem)


async def _opened(
    request: Request, parts: Parts, lang: Lang, session: Session, occurrence: str, problem: str = ""
) -> Response:
    only_drawer = request.headers.get("hx-target", "") in DRAWER  # the rows would be made and thrown away
    listed = _list(parts, session, facts.AlarmFilter(limit=0 if only_drawer else facts.PAGE, sites=session.sites))
    chosen = {"state": "open", "site": "", "priority": "", "skip": 0}

    def gather(reader: HistoryReader) -> dict[str, Any]:
        alarm = facts.one_alarm(*parts.sites(reader, session), occurrence)
        return {**listed(reader), "opened": told(reader, alarm, occurrence, lang)}

    status = 409 if problem and "hx-request" not in request.headers else 200
    gathered = await parts.pages.ask(gather)
    return await page(request, "alarms.html", lang, status=status, **gathered, chosen=chosen, problem=problem, **SHOWN)


def _list(parts: Parts, session: Session, wanted: facts.AlarmFilter) -> Callable[[HistoryReader], dict[str, Any]]:
    """Return the question for what the alarm list shows: its rows, and what proves that an empty list is live."""

    def gather(reader: HistoryReader) -> dict[str, Any]:
        last = reader.last_transition()  # before the rows: what comes in between is told again, not missed
        return {
            "last": last,
            "alarms": facts.alarms(*parts.sites(reader, session), wanted),
            "sites": facts.all_sites(*parts.sites(reader, session), wanted.sites),
            "last_alarm": facts.last_alarm(*parts.sites(reader, session), wanted.sites),
            "page_size": facts.PAGE,
            "flood": facts.floods(reader),
        }

    return gather
