"""The parts of a running console that its routes speak to, and how a route gets at them and at who asks."""

import asyncio
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Form, Header, Request

from cloud_sync.store.history import HistoryReader
from cloud_sync.store.orders import OrderRow
from office import facts
from office.alarm_orders import Deed, order
from office.auth import RANK, Session, Sessions, Throttle, Users
from office.commands import Caller
from office.console.fleet import FleetLedger
from office.console.reading import ReadingThread
from office.console.stream import Hub
from office.health import Health
from office.known import Catalogues
from office.operations import Operations
from sitekeeper.audience import SECURITY_FLAG
from sitekeeper.model.clock import Clock, Micros
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import NotFound, Refused
from sitekeeper.texts import LANGUAGES, Language

COOKIE: Final = "sitekeeper_session"
LANGUAGE_COOKIE: Final = "sitekeeper_language"
NOTE_LIMIT: Final = 500
STATUS: Final = {
    "permission": 403,
    "same-person": 403,
    "not-a-person": 403,
    "site-unreachable": 503,
    "csrf": 403,
    "login": 401,
    "busy": 503,
    "usage": 422,
    "too-much": 422,
    "not-sure": 422,
}
"""Of refusals by reason; others are 409: not as things stand."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the routes need.

    Attributes:
        pages: answers the small questions of pages. trends: answers the large ones, so that they hold up no page.
        fleet: the ledger of all sites, counted anew as it gets old; only in the thread of `trends`.
        hashing: how many passwords may be hashed at once.
        broker: tells whether the office has its broker. ready: tells why the office is not ready; empty if it is.
        health: tells how the office itself stands.
        hosts: the names, in small letters, by which browsers may call this office.
    """

    users: Users
    sessions: Sessions
    throttle: Throttle
    hub: Hub
    pages: ReadingThread
    trends: ReadingThread
    catalogues: Catalogues
    fleet: FleetLedger
    operations: Operations
    clock: Clock
    broker: Callable[[], bool]
    ready: Callable[[], str]
    health: Callable[[], Health]
    language: Language
    hashing: asyncio.Semaphore
    hosts: frozenset[str]

    @property
    def now(self) -> Micros:
        """Return the wall time."""
        return self.clock.wall()

    def sites(self, reader: HistoryReader, session: Session) -> tuple[HistoryReader, Catalogues, Micros]:
        """Return the first arguments of the functions in `office.facts`, for what this person may know."""
        return reader, self.catalogues.seen_by(security=session.security), self.now


def parts_of(request: Request) -> Parts:
    """Return the console's parts."""
    found: Parts = request.app.state.parts
    return found


def session_of(request: Request) -> Session:
    """Return the session that the gate found.

    Raises:
        Refused: `login`, there is none.
    """
    found: Session | None = getattr(request.state, "session", None)
    if found is None:
        reason = "login"
        raise Refused(reason, "log in first")
    return found


def check_token(session: Session, token: str) -> Session:
    """Return the session if a request that changes something carried its token, or is a program's.

    Raises:
        Refused: `csrf`, it did not.
    """
    if not session.bearer and not hmac.compare_digest(token.encode(), session.csrf.encode()):
        reason = "csrf"
        raise Refused(reason, "the page is too old; load it again")
    return session


def visible(request: Request, session: Session) -> Session:
    """Return the session if what the address names is of a site that it may see.

    Raises:
        NotFound: it is not, which looks as if there were no such thing.
    """
    for named, of in (("site", "site"), ("alarm", "alarm"), ("occurrence", "alarm")):
        for wanted in (request.path_params.get(named), request.query_params.get(named)):
            if wanted and not session.sees(wanted.partition("/")[0] if of == "alarm" else wanted):
                raise NotFound(f"no {of} {wanted!r} at the office")
    return session


def language_of(request: Request) -> Language:
    """Return the language of the page: as asked for, as chosen before, as the browser prefers, the office's."""
    for wanted in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        for known in LANGUAGES:
            if wanted == known:
                return known
    for part in request.headers.get("accept-language", "").split(",")[:20]:
        tag = part.partition(";")[0].strip().lower()
        if tag.startswith("zh"):
            return "zh-Hans" if "hans" in tag or tag in {"zh-cn", "zh-sg"} else "zh-Hant"
        if tag.startswith("en"):
            return "en"
    return parts_of(request).language


async def acknowledge(parts: Parts, session: Session, occurrence: str, note: str) -> dict[str, Any]:
    """Acknowledge as this person, by the same door as the command line.

    Raises:
        Refused: not allowed, or nothing to acknowledge. NotFound: no such alarm. StorageError: it was not stored.
    """
    await parts.pages.ask(lambda reader: _may_know(parts, reader, session, occurrence))
    may = RANK[session.role] >= RANK["operator"]
    actor = Actor(name=session.user, role="operator" if may else "viewer", origin="office")
    done: dict[str, Any] = {}
    asked = {"id": occurrence, "note": note[:NOTE_LIMIT], SECURITY_FLAG: True}  # what he may know of is settled
    async for item in parts.operations.table()["alarm.ack"](actor, asked):
        done = dict(item) if isinstance(item, dict) else {}
    parts.hub.changed(str(done["occurrence"]))  # whole: who sees all may have given a short name
    return done


def _may_know(parts: Parts, reader: HistoryReader, session: Session, occurrence: str) -> None:
    """Return if the alarm is one of which this person may know.

    Raises:
        NotFound: it is not; nor what is no alarm's full name, for a short one could mean another one.
    """
    if session.sites is None and session.security:
        return
    record = reader.alarm(occurrence)
    if record is None or parts.sites(reader, session)[1].hides(reader, record.key):
        raise NotFound(f"no alarm {occurrence!r} at the office")


async def order_about(
    parts: Parts, session: Session, occurrence: str, deed: Deed, given: Mapping[str, Any]
) -> OrderRow:
    """Order something of an alarm at its site, as this person.

    Raises:
        Refused, StorageError: as `office.alarm_orders.order`. NotFound: no such alarm.
    """
    alarm = await parts.pages.ask(lambda reader: facts.one_alarm(*parts.sites(reader, session), occurrence))
    caller = Caller(name=session.user, role=session.role, person=not session.bearer)
    return await order(parts.operations.commands, caller, alarm, deed, given)


# FastAPI runs dependencies that are not coroutines in threads, one hop each.


async def _parts(request: Request) -> Parts:
    return parts_of(request)


async def _session(request: Request) -> Session:
    return visible(request, session_of(request))


async def _language(request: Request) -> Language:
    return language_of(request)


async def _form(request: Request, csrf: Annotated[str, Form()] = "") -> Session:
    return visible(request, check_token(session_of(request), csrf))


async def _header(request: Request, x_csrf_token: Annotated[str, Header()] = "") -> Session:
    return visible(request, check_token(session_of(request), x_csrf_token))


PartsNow = Annotated[Parts, Depends(_parts)]
Who = Annotated[Session, Depends(_session)]
Checked = Annotated[Session, Depends(_form)]
"""The session of a form, which carries its token as a field; of an API call (below), as a header."""
CheckedCall = Annotated[Session, Depends(_header)]
Lang = Annotated[Language, Depends(_language)]
