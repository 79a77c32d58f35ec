"""Alarms: list, story, acknowledgement."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query

from cloud_sync.store.history import HistoryReader
from office import facts
from office.api import items
from office.console.pages import STATES
from office.console.parts import NOTE_LIMIT, CheckedCall, Lang, PartsNow, Who, acknowledge
from office.console.told import told
from sitekeeper.model.alarm import AlarmState
from sitekeeper.model.errors import Refused

Item = dict[str, Any]

router = APIRouter(prefix="/api/v1/alarms", tags=["alarms"])


@router.get("")
async def alarms(
    parts: PartsNow,
    session: Who,
    state: Annotated[str, Query(max_length=20)] = "open",
    site: Annotated[str, Query(max_length=200)] = "",
    priority: Annotated[str, Query(max_length=2)] = "",
    after: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> list[Item]:
    """Alarms, 200 at once. `state`: open, unacknowledged, held, all or a letter of the model; `after` skips so many."""
    if state not in STATES and state not in set(AlarmState):
        reason = "usage"
        raise Refused(reason, f"no state {state!r}")
    states = STATES.get(state, (state,))
    wanted = facts.AlarmFilter(states=states, site=site, priority=priority, skip=after, sites=session.sites)
    return [items.alarm(one) for one in await parts.pages.ask(lambda r: facts.alarms(*parts.sites(r), wanted))]


@router.get("/{alarm:path}")
async def one_alarm(parts: PartsNow, _session: Who, lang: Lang, alarm: str) -> Item:
    """One occurrence with its story, its playbook's steps and its pushes."""

    def gather(reader: HistoryReader) -> Item:
        found = told(reader, facts.one_alarm(*parts.sites(reader), alarm), alarm, lang)
        answer = {"story": found.lines, "steps": found.steps, "rescue_phone": found.phone, "newer": found.newer}
        return items.alarm(found.alarm) | answer

    return await parts.pages.ask(gather)


@router.post("/{alarm:path}/ack")
async def ack(
    parts: PartsNow,
    session: CheckedCall,
    alarm: str,
    note: Annotated[str, Body(embed=True, max_length=NOTE_LIMIT)] = "",
) -> Item:
    """Acknowledge; `ack` is `pending` until the site's own transition has come back. Header X-CSRF-Token is needed."""
    return await acknowledge(parts, session, alarm, note)
