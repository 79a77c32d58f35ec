"""Alarms: list, story, acknowledgement; what an operator orders of one at its site."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query

from cloud_sync.store.history import HistoryReader
from office import facts
from office.alarm_orders import Deed
from office.api import items
from office.api.sites import asked_time
from office.auth import Session
from office.command_operations import order_item
from office.console.pages import STATES
from office.console.parts import NOTE_LIMIT, CheckedCall, Lang, Parts, PartsNow, Who, acknowledge, order_about
from office.console.quality_page import LONGEST, counted
from office.console.told import told
from sitekeeper.model.alarm import AlarmState
from sitekeeper.model.clock import DAY
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
    """Alarms, 200 at once. `after` skips so many.

    `state`: open, unacknowledged, held, shelved, suppressed, out, all or a letter of the model.
    """
    if state not in STATES and state not in set(AlarmState):
        reason = "usage"
        raise Refused(reason, f"no state {state!r}")
    states = STATES.get(state, (state,))
    wanted = facts.AlarmFilter(states=states, site=site, priority=priority, skip=after, sites=session.sites)
    return [items.alarm(one) for one in await parts.pages.ask(lambda r: facts.alarms(*parts.sites(r, session), wanted))]


@router.get("/quality")
async def quality(
    parts: PartsNow,
    session: Who,
    site: Annotated[str, Query(max_length=200)] = "",
    start: Annotated[str | None, Query(alias="from", max_length=40)] = None,
    end: Annotated[str | None, Query(alias="to", max_length=40)] = None,
) -> Item:
    """The figures of alarm quality (ISA-18.2, EEMUA 191) of a site, or of all that the caller may see.

    Without `from` those of the last 7 days before `to`, without `to` until now; 31 days at most. Rules that are only
    watched, and drills, count for nothing. Shares are of 1, lengths in seconds.
    """
    until = parts.now if end is None else asked_time(end)
    since = until - 7 * DAY if start is None else asked_time(start)
    if not 0 < until - since <= LONGEST:
        reason = "usage"
        raise Refused(reason, f"from lies before to, by at most {LONGEST // DAY} days")
    return items.alarm_quality(await parts.trends.ask(lambda r: counted(r, parts, session, since, until, site)))


@router.get("/{alarm:path}")
async def one_alarm(parts: PartsNow, session: Who, lang: Lang, alarm: str) -> Item:
    """One occurrence with its story, its playbook's steps and its pushes."""

    def gather(reader: HistoryReader) -> Item:
        found = told(reader, facts.one_alarm(*parts.sites(reader, session), alarm), alarm, lang)
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


@router.post("/{alarm:path}/shelve", status_code=202)
async def shelve(
    parts: PartsNow,
    session: CheckedCall,
    alarm: str,
    for_: Annotated[str, Body(alias="for", max_length=40)],
    reason: Annotated[str, Body(max_length=NOTE_LIMIT)],
) -> Item:
    """Order the site to shelve the alarm `for` so long (`30min`): P1 and P2 1 h at most, others 8 h.

    The answer is the order as `/api/v1/commands/{command}` tells it: `sent`, until the site says what came of it.
    What protects life is refused: `protects-life`.
    """
    return await _order(parts, session, alarm, "shelve", {"for": for_, "reason": reason})


@router.post("/{alarm:path}/unshelve", status_code=202)
async def unshelve(
    parts: PartsNow, session: CheckedCall, alarm: str, reason: Annotated[str, Body(embed=True, max_length=NOTE_LIMIT)]
) -> Item:
    """Order the site to take the alarm off the shelf. The answer is the order, as for `shelve`."""
    return await _order(parts, session, alarm, "unshelve", {"reason": reason})


@router.post("/{alarm:path}/comment", status_code=202)
async def comment(
    parts: PartsNow, session: CheckedCall, alarm: str, note: Annotated[str, Body(embed=True, max_length=NOTE_LIMIT)]
) -> Item:
    """Order the site to write a note into the alarm's story. The answer is the order, as for `shelve`."""
    return await _order(parts, session, alarm, "comment", {"reason": note})


async def _order(parts: Parts, session: Session, alarm: str, deed: Deed, given: Item) -> Item:
    return order_item(await order_about(parts, session, alarm, deed, given))
