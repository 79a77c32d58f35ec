"""The pages of commands: choose, say why and be sure, have a second person agree, see what came of it.

Nothing is done by one click: what is chosen on one page is asked on the next, with a reason and a tick. The rules are
not here: `office.commands` refuses, and the site decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from cloud_sync.store.history import HistoryReader
from cloud_sync.store.orders import OrderRow
from office import facts
from office.auth import RANK, Session
from office.command_operations import OPEN, wanted_of
from office.commands import Caller, Orders
from office.console.brief import brief
from office.console.parts import STATUS, Checked, Lang, Parts, PartsNow, Who
from office.console.render import page
from office.console.words import Words, is_answering, site_state
from office.facts import SiteFacts, ValueFacts
from office.writable import writable
from sitekeeper.catalogue import CataloguePoint
from sitekeeper.model.errors import NotFound, Refused
from sitekeeper.order import ALARM_TARGETS, TWO_PERSONS, VALID_FOR, same_person
from sitekeeper.profile import Writable

LATEST: Final = 100
LASTS: Final = ("10s", "1min", "5min", "30min", "2h")
"""How long what is asked for may be held, to choose from; the first is for what acts once."""

_Word = Annotated[str, Form(max_length=500)]

router = APIRouter(prefix="/commands")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What may be asked of a device: a point, its values to choose from, or a range of numbers."""

    point: CataloguePoint
    rule: Writable
    values: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.point.id.partition("/")[2]


@router.get("")
async def commands(request: Request, parts: PartsNow, lang: Lang, session: Who) -> Response:
    """Show the newest commands, those that wait for somebody first."""
    only = None if session.sites is None else sorted(session.sites)

    def gather(reader: HistoryReader) -> dict[str, Any]:
        last, rows = reader.last_transition(), facts.orders(*parts.sites(reader, session), LATEST, only)
        rows.sort(key=lambda row: row.state not in OPEN)
        every = facts.all_sites(*parts.sites(reader, session), {row.site for row in rows})
        known = {site.row.site: site for site in every}
        return {"rows": rows, "known": known, "last": last}

    gathered = await parts.pages.ask(gather)
    signs = parts.operations.commands is not None and parts.operations.commands.signs()
    return await page(request, "commands.html", lang, **gathered, signs=signs, open=OPEN)


@router.get("/{command}")
async def one_command(request: Request, parts: PartsNow, lang: Lang, session: Who, command: str) -> Response:
    """Show how one stands."""
    return await _command(request, parts, lang, session, command)


@router.post("/{command}/confirm")
async def confirm(
    request: Request,
    parts: PartsNow,
    lang: Lang,
    session: Checked,
    command: str,
    sure: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    """Agree as the second person."""
    await parts.pages.ask(lambda reader: _found(parts, reader, session, command))
    try:
        _sure(sure)
        await _orders(parts).confirm(_caller(session), command)
    except Refused as refused:
        return await _command(request, parts, lang, session, command, refused)
    return RedirectResponse(f"/commands/{command}", 303)


@router.get("/to/{site}/{device}")
async def form(
    request: Request,
    parts: PartsNow,
    lang: Lang,
    session: Who,
    site: str,
    device: str,
    point: Annotated[str, Query(max_length=200)] = "",
    value: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """Show what may be asked of a device; with `point` and `value`, the form to ask for it."""
    _permit(session)
    given = {"point": point, "value": value, "reason": "", "expires": LASTS[0]}
    return await _form(request, parts, lang, session, (site, device), given)


@router.post("/to/{site}/{device}")
async def ask(
    request: Request,
    parts: PartsNow,
    lang: Lang,
    session: Checked,
    site: str,
    device: str,
    point: _Word = "",
    value: _Word = "",
    reason: _Word = "",
    expires: Annotated[str, Form(max_length=40)] = LASTS[0],
    sure: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    """Ask for it."""
    given = {"point": point, "value": value, "reason": reason, "expires": expires}
    try:
        _permit(session)
        _sure(sure)
        wanted = wanted_of({**given, "site": site, "device": device})
        row = await _orders(parts).ask(_caller(session), wanted)
    except Refused as refused:
        return await _form(request, parts, lang, session, (site, device), given, refused)
    return RedirectResponse(f"/commands/{row.id}", 303)


async def _command(
    request: Request, parts: Parts, lang: Lang, session: Session, command: str, refused: Refused | None = None
) -> Response:
    def gather(reader: HistoryReader) -> dict[str, Any]:
        last, row = reader.last_transition(), _found(parts, reader, session, command)
        site = facts.one_site(*parts.sites(reader, session), row.site)
        device, _, name = row.target.partition("/")
        seen = {"site": site, "device": None, "words": (), "effect": None, "live": False}  # of a device that is gone
        if device in site.known.devices:
            seen |= _seen(reader, parts, site, device, name, Words(lang))
        return {"last": last, "row": row, "name": name} | seen

    gathered = await parts.pages.ask(gather)
    row: OrderRow = gathered["row"]
    return await page(
        request,
        "command.html",
        lang,
        status=200 if refused is None else STATUS.get(refused.reason, 409),
        **gathered,
        reach="" if row.state not in OPEN else _reach(parts, row.site),
        valid_until=row.changed + VALID_FOR,
        is_open=row.state in OPEN,
        of_alarm=row.target in ALARM_TARGETS,
        mine=same_person(session.user, row.who),
        refused=refused,
        site_state=site_state,
    )


async def _form(
    request: Request,
    parts: Parts,
    lang: Lang,
    session: Session,
    place: tuple[str, str],
    given: Mapping[str, str],
    refused: Refused | None = None,
) -> Response:
    site, device = place
    w = Words(lang)

    def gather(reader: HistoryReader) -> dict[str, Any]:
        last, found = reader.last_transition(), facts.one_site(*parts.sites(reader, session), site)
        return {"last": last} | _seen(reader, parts, found, device, given["point"], w)

    gathered = await parts.pages.ask(gather)
    chosen = next((each for each in gathered["choices"] if each.name == given["point"]), None)
    if chosen is None and given["point"]:
        raise NotFound(f"no point {given['point'][:100]!r} of {device!r} that may be commanded")
    return await page(
        request,
        "command_form.html",
        lang,
        status=200 if refused is None else STATUS.get(refused.reason, 409),
        **gathered,
        chosen=chosen if given["value"] else None,
        given=given,
        by_two=gathered["device"].cls in TWO_PERSONS,
        lasts=LASTS,
        reach=_reach(parts, site),
        refused=refused,
        site_state=site_state,
    )


def _seen(reader: HistoryReader, parts: Parts, site: SiteFacts, device: str, point: str, w: Words) -> dict[str, Any]:
    """Return what is seen of a device at present: its words, and the value by which a command's effect is read back.

    Raises:
        NotFound: no such device.
    """
    row = site.known.devices.get(device)
    if row is None:
        raise NotFound(f"no device {device!r} at {site.row.site!r}")
    values = facts.values(reader, site, parts.now, device)
    choices = _choices(site, device)
    rule = next((each.rule for each in choices if each.name == point), None)
    shows = rule.confirm.point if rule is not None and rule.confirm is not None else point
    return {
        "site": site,
        "device": row,
        "choices": choices,
        "values": values,
        "words": brief(row.cls, values, w),
        "answers": is_answering(values),
        "effect": values.get(shows),
        "live": site.live and _live(values),
    }


def _live(values: Mapping[str, ValueFacts]) -> bool:
    """Tell whether anything of a device is seen as it is now; one of which nothing was ever told is not seen."""
    return any(value.live for value in values.values())


def _choices(site: SiteFacts, device: str) -> list[Choice]:
    """Return what may be asked of a device, by the class's allow-list and the points that it has."""
    row = site.known.devices[device]
    rules = writable(row.cls, row.tags)
    points = [(point, rules.get(point.id.partition("/")[2])) for point in site.known.points[device]]
    return [
        Choice(point=point, rule=rule, values=tuple(_plain(each) for each in rule.values))
        for point, rule in points
        if rule is not None
    ]


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _reach(parts: Parts, site: str) -> str:
    """Return why nothing can be asked of a site at present; empty if it can."""
    try:
        orders = _orders(parts)
        if not orders.signs():
            return "no-key"
        orders.reach(site)
    except Refused as refused:
        return refused.reason
    return ""


def _found(parts: Parts, reader: HistoryReader, session: Session, command: str) -> OrderRow:
    row = facts.one_order(*parts.sites(reader, session), command)
    if row is None or not session.sees(row.site):
        raise NotFound(f"no command {command[:64]!r} at this office")
    return row


def _orders(parts: Parts) -> Orders:
    if parts.operations.commands is None:
        raise Refused("commands-off", "this office gives no commands")
    return parts.operations.commands


def _permit(session: Session) -> None:
    if RANK[session.role] < RANK["operator"]:
        raise Refused("permission", f"{session.user} may look but not command")


def _sure(sure: str) -> None:
    if sure != "yes":
        raise Refused("not-sure", "tick that you have made sure; nothing was sent")


def _caller(session: Session) -> Caller:
    return Caller(name=session.user, role=session.role, person=not session.bearer)
