"""The page of what is kept from people's sight: on the shelf, suppressed by other alarms, out of service."""

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from cloud_sync.store.history import HistoryReader
from office import facts
from office.console.parts import Lang, PartsNow, Who
from office.console.render import page
from sitekeeper.model.alarm import AlarmState

TABLES: Final = (AlarmState.SHELVED, AlarmState.SUPPRESSED, AlarmState.OUT)

router = APIRouter()


@router.get("/held")
async def held(request: Request, parts: PartsNow, lang: Lang, session: Who) -> Response:
    """Show the alarms that are held back: by whom or by what, why, and until when; first those that stand unseen."""

    def gather(reader: HistoryReader) -> dict[str, Any]:
        last, about = reader.last_transition(), parts.sites(reader, session)
        of = {state: facts.AlarmFilter(states=(state.value,), sites=session.sites) for state in TABLES}
        found = {state.name.lower(): sorted(facts.alarms(*about, one), key=_is_quiet) for state, one in of.items()}
        unseen = {kind: sum(not _is_quiet(alarm) for alarm in rows) for kind, rows in found.items()}
        return {"last": last, "tables": found, "unseen": unseen, "sites": facts.all_sites(*about, session.sites)}

    gathered = await parts.pages.ask(gather)
    return await page(request, "held.html", lang, **gathered, page_size=facts.PAGE, quiet=_is_quiet)


def _is_quiet(alarm: facts.AlarmFacts) -> bool:
    """Tell whether nothing stands under what holds the alarm back: without it, nobody would see an alarm either."""
    return alarm.record.standing == AlarmState.NORMAL
