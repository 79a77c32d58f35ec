"""Commands: give one, agree to one as the second person, see what came of it."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Query

from cloud_sync.store.history import HistoryReader
from cloud_sync.store.orders import OrderRow
from office import facts
from office.auth import Session
from office.command_operations import order_item, wanted_of
from office.commands import Caller, Orders
from office.console.parts import CheckedCall, Parts, PartsNow, Who
from sitekeeper.model.errors import NotFound, Refused

Item = dict[str, Any]
PAGE: Final = 200
_Text = Annotated[str, Body(max_length=500)]

router = APIRouter(prefix="/api/v1/commands", tags=["commands"])


@router.get("")
async def commands(parts: PartsNow, session: Who, limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE) -> list[Item]:
    """The newest commands given at this office, the newest first."""
    sites = None if session.sites is None else sorted(session.sites)
    rows = await parts.pages.ask(lambda reader: facts.orders(*parts.sites(reader, session), limit, sites))
    return [order_item(row) for row in rows]


@router.get("/{command}")
async def one_command(parts: PartsNow, session: Who, command: str) -> Item:
    """One: its state, and once the site has said it, what came of it."""
    return order_item(await parts.pages.ask(lambda reader: _found(parts, reader, session, command)))


@router.post("", status_code=202)
async def ask(
    parts: PartsNow,
    session: CheckedCall,
    site: _Text,
    device: _Text,
    point: _Text,
    value: Annotated[bool | int | float | str, Body()],
    reason: _Text,
    expires: Annotated[str | None, Body(max_length=40)] = None,
) -> Item:
    """Give a command; held for `expires` (10 s if not given). Doors and barriers wait for a second person."""
    wanted = wanted_of(
        {"site": site, "device": device, "point": point, "value": value, "reason": reason, "expires": expires}
    )
    if not session.sees(site):
        raise NotFound(f"no site {site!r} at the office")
    return order_item(await _orders(parts).ask(_caller(session), wanted))


@router.post("/{command}/confirm")
async def confirm(parts: PartsNow, session: CheckedCall, command: str) -> Item:
    """Agree as the second person: another account than the one that asked, and no program. Within 60 s."""
    await parts.pages.ask(lambda reader: _found(parts, reader, session, command))
    return order_item(await _orders(parts).confirm(_caller(session), command))


def _found(parts: Parts, reader: HistoryReader, session: Session, command: str) -> OrderRow:
    row = facts.one_order(*parts.sites(reader, session), command)
    if row is None or not session.sees(row.site):
        raise NotFound(f"no command {command[:64]!r} at this office")
    return row


def _orders(parts: Parts) -> Orders:
    if parts.operations.commands is None:
        raise Refused("commands-off", "this office gives no commands")
    return parts.operations.commands


def _caller(session: Session) -> Caller:
    return Caller(name=session.user, role=session.role, person=not session.bearer)
