"""The page of alarm quality: how many alarms people had to take in, which ones, and how soon somebody answered."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from cloud_sync.store.history import HistoryReader
from office import facts
from office.auth import Session
from office.console.parts import Lang, Parts, PartsNow, Who
from office.console.render import page
from office.console.words import Words
from office.facts import SiteFacts
from office.quality import quality
from sitekeeper.alarm_quality import FLOOD_ABOVE, Kpi
from sitekeeper.model.alarm import split_key
from sitekeeper.model.clock import DAY, Micros

SPANS: Final = (1, 7, 30)
"""Days, to choose from."""
LONGEST: Final[Micros] = 31 * DAY
"""The longest time of which the figures are counted."""
MIX: Final = {"P1": 0.05, "P2": 0.15}
"""The share of all that the two upper priorities should have at most (EEMUA 191)."""

router = APIRouter()


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure in words, and whether it is as it should be; None where nobody says what it should be."""

    key: str
    value: str
    good: bool | None = None


def counted(reader: HistoryReader, parts: Parts, session: Session, start: Micros, end: Micros, site: str = "") -> Kpi:
    """Return the figures of [start, end) over the alarms of a site, or of all, of which this person may know.

    Raises:
        NotFound: there is no such site.
    """
    about = parts.sites(reader, session)
    found = [facts.one_site(*about, site)] if site else facts.all_sites(*about, session.sites)
    hidden = {each.row.site: each.known.hidden for each in found}
    return quality(reader, list(hidden), start, end, hidden)


@router.get("/quality")
async def alarm_quality(
    request: Request,
    parts: PartsNow,
    lang: Lang,
    session: Who,
    site: Annotated[str, Query(max_length=200)] = "",
    days: Annotated[int, Query(ge=1, le=31)] = 7,
) -> Response:
    """Show the figures of the last days."""
    w = Words(lang)

    def gather(reader: HistoryReader) -> dict[str, Any]:
        last, end = reader.last_transition(), parts.now
        kpi = counted(reader, parts, session, end - days * DAY, end, site)
        every = facts.all_sites(*parts.sites(reader, session), session.sites)
        known = {each.row.site: each for each in every}
        of_alarms = (*(one.key for one in kpi.top), *kpi.stale, *kpi.chattering, *kpi.fleeting)
        names = {key: _name(key, known, w) for key in of_alarms}
        return {"last": last, "kpi": kpi, "sites": every, "names": names, "figures": _figures(kpi, w)}

    gathered = await parts.trends.ask(gather)
    return await page(request, "quality.html", lang, **gathered, chosen={"site": site, "days": days}, spans=SPANS)


def _figures(kpi: Kpi, w: Words) -> list[Figure]:
    told = kpi.annunciated
    floods = w("quality.flood", n=kpi.floods, time=w.length(kpi.in_flood))
    median, p90 = [w("value.none") if wait is None else w.length(wait) for wait in (kpi.ack_median, kpi.ack_p90)]
    mix = [
        Figure(key=f"mix.{name}", value=w.share(part, told), good=None if not told else part <= MIX[name] * told)
        for name, part in ((name, kpi.priorities.get(name, 0)) for name in MIX)
    ]
    return [
        Figure(key="annunciated", value=str(told)),
        Figure(key="average", value=f"{kpi.average:.2f}", good=kpi.average <= 1),
        Figure(key="most", value=str(kpi.most), good=kpi.most <= FLOOD_ABOVE),
        Figure(key="over", value=w.share(round(kpi.over * 1e6), 10**6), good=kpi.over < 0.01),
        Figure(key="in-flood", value=floods, good=not kpi.floods),
        *mix,
        Figure(key="acknowledged", value=w.share(kpi.acknowledged, told)),
        Figure(key="ack-median", value=median),
        Figure(key="ack-p90", value=p90),
        Figure(key="held-back", value=w("quality.held", shelved=kpi.shelved, suppressed=kpi.suppressed, out=kpi.out)),
    ]


def _name(key: str, known: dict[str, SiteFacts], w: Words) -> str:
    site, device, rule = split_key(key)
    if site not in known:
        return key
    of = known[site].known
    return w("quality.alarm", site=w.site(of), device=w.device(of, device), rule=w.rule(of, rule))
