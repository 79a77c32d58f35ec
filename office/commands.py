"""Orders of people at this office: who may give them, who must agree, and how they reach a site.

    asked ─▶ may he? does the site listen? ─▶ [a second person within 60 s] ─▶ stored, audited ─▶ signed ─▶ sent once

An order is sent to a site that was heard within 15 s and has said a word that the order quotes, or it is refused at
once: nothing waits for a site to come back. The site decides what is done (`edge.commands`), and tells it in events.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

import structlog
from msgspec.structs import replace

from cloud_sync.store import orders as table
from cloud_sync.store.heads import Word
from cloud_sync.store.orders import OrderRow
from cloud_sync.store.sql import Sql
from office.refusals import Refusals
from sitekeeper.catalogue import Catalogue
from sitekeeper.model.clock import HOUR, SECOND, Clock, Micros
from sitekeeper.model.errors import NotFound, PeerUnreachable, Refused, StorageError
from sitekeeper.order import TWO_PERSONS, VALID_FOR, Order, OrderRole, Sign, same_person, seal

log = structlog.get_logger()

AGREE_WITHIN: Final[Micros] = 60 * SECOND
WORD_WITHIN: Final[Micros] = 15 * SECOND
"""A site says something every 10 s; one that has missed that is not reached."""
OUTCOME_WITHIN: Final[Micros] = 60 * SECOND
"""How long a site may take to say what came of an order; what it says later still counts."""
LONGEST: Final[Micros] = 12 * HOUR
MOST_OPEN: Final = 100
"""Orders at once that wait for an agreement or an outcome, of all sites."""
LOOK_EVERY_S: Final = 1.0

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks. `person`: not a program with a token, so that it can be one of two people."""

    name: str
    role: OrderRole
    person: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked of a site: a value for `<device>/<point>`, as a person writes it, held for as long as `lasts`."""

    site: str
    target: str
    value: str
    reason: str
    lasts: Micros = VALID_FOR


class Guard(Protocol):
    """See `office.database.Database.guard`."""

    async def __call__(self, work: Awaitable[_T], /) -> _T: ...


class Store(Protocol):
    """What is needed of the central store."""

    def do(self, work: Callable[[Sql], _T]) -> "Future[_T]":
        """Run `work` in a transaction of its own; the future resolves after its commit or fails with StorageError."""


class Reader(Protocol):
    """What is read of it, on the loop's thread."""

    def word(self, site: str) -> Word | None: ...
    def order(self, id_: str) -> OrderRow | None: ...


class Orders:
    """All orders of one office.

    Args:
        sign: returns what signs with the office's key; None if it has none, and then nothing is ordered.
        send: publishes to a site at once; raises Refused if it certainly did not, PeerUnreachable if that is not known
            (`cloud_sync.ingest.Ingest.send_order`).
        catalogue: of a site, None if it is not known.
        guard: waits for the store, and raises StorageError if its database goes away meanwhile: no order is given
            late because it came to be recorded late.
    """

    def __init__(
        self,
        store: Store,
        reader: Reader,
        clock: Clock,
        *,
        sign: Callable[[], Sign | None],
        send: Callable[[str, bytes], Awaitable[None]],
        catalogue: Callable[[str], Catalogue | None],
        guard: Guard | None = None,
    ) -> None:
        self._store, self._reader, self._clock = store, reader, clock
        self._sign, self._send, self._catalogue, self._guard = sign, send, catalogue, guard
        self._open = 1  # perhaps some of before the start; the first look tells
        self._refusals = Refusals()

    async def run(self) -> None:
        """End what has waited too long, until cancelled."""
        while True:
            if self._open:
                try:
                    work = partial(table.overdue, now=self._clock.wall())
                    self._open = await asyncio.wrap_future(self._store.do(work))  # one at a time, however long
                except StorageError as error:  # the ingest says the same, and waits for it to pass
                    log.warning("commands that wait too long cannot be ended", why=str(error))
            await asyncio.sleep(LOOK_EVERY_S)

    async def ask(self, caller: Caller, wanted: Wanted) -> OrderRow:
        """Give an order; return how it stands: `sent`, or `awaiting-confirmation` where two people are needed.

        Raises:
            NotFound: no such site or point. StorageError: it could not be recorded, so nothing was sent.
            Refused: `permission`, `usage`, `not-a-person`, `commands-off`, `site-unreachable`, `busy`; they are in the
                audit, of an account that is refused again and again some of them (`office.refusals`).
        """
        return await self._give(caller, wanted, lambda: self._class_of(wanted) in TWO_PERSONS)

    async def ask_of_alarm(self, caller: Caller, wanted: Wanted, check: Callable[[], None]) -> OrderRow:
        """Give an order about an alarm (`sitekeeper.order.ALARM_TARGETS`); one person does. Return how it stands.

        Args:
            check: raises Refused if the site would refuse it anyway.

        Raises:
            StorageError, Refused: as `ask`, and what `check` raises.
        """

        def by_two() -> bool:
            check()
            return False

        return await self._give(caller, wanted, by_two)

    async def _give(self, caller: Caller, wanted: Wanted, needs_two: Callable[[], bool]) -> OrderRow:
        now = self._clock.wall()
        row = OrderRow(
            id=secrets.token_hex(16), site=wanted.site, target=wanted.target, value=wanted.value, lasts=wanted.lasts,
            who=caller.name, role=caller.role, reason=wanted.reason, state="refused", asked=now, changed=now, due=now,
        )  # fmt: skip
        try:
            self._permit(caller)
            if self._open >= MOST_OPEN:
                raise Refused("busy", f"{MOST_OPEN} commands are under way")
            _check(wanted)
            by_two = needs_two()
            if by_two and not caller.person:
                raise Refused("not-a-person", "two people open this, and a program is none of them")
            sign, word = self._way(wanted.site)
        except (Refused, NotFound) as refused:
            why = refused.reason if isinstance(refused, Refused) else "not-found"
            await self._refuse(replace(row, why=why))
            raise
        self._open += 1
        if by_two:
            row = replace(row, state="awaiting-confirmation", due=now + AGREE_WITHIN)
            await self._do(lambda sql: table.put(sql, row, "ask"))
            return row
        row = replace(row, state="sent", due=now + OUTCOME_WITHIN)
        await self._do(lambda sql: table.put(sql, row, "ask"))
        return await self._issue(row, sign, word)

    async def confirm(self, caller: Caller, id_: str) -> OrderRow:
        """Agree, as the second person, to an order that waits for it; then it is sent.

        Raises:
            NotFound: no such order. Refused: as `ask`; also `same-person`, `not-a-person`, `not-waiting`.
        """
        row = self._reader.order(id_)
        if row is None:
            raise NotFound(f"no command {id_!r} at this office")
        now = self._clock.wall()
        try:
            self._permit(caller)
            if not caller.person:
                raise Refused("not-a-person", "a program cannot be the second of two people")
            if same_person(caller.name, row.who):
                raise Refused("same-person", "somebody else has to agree")
            if row.state != "awaiting-confirmation" or row.due <= now:
                raise Refused("not-waiting", f"it is {row.state}: there is nothing to agree to")
            sign, word = self._way(row.site)
        except Refused as refused:
            await self._refuse(replace(row, who=caller.name, state="refused", why=refused.reason, changed=now))
            raise
        due = now + OUTCOME_WITHIN
        moved = await self._do(
            lambda sql: table.move(sql, id_, "awaiting-confirmation", "sent", at=now, due=due, by=caller.name)
        )
        if moved is None:
            raise Refused("not-waiting", "somebody else was quicker")
        return await self._issue(moved, sign, word)

    def signs(self) -> bool:
        """Tell whether this office has a key to sign with; without one commands are off for all sites."""
        return self._sign() is not None

    def reach(self, site: str) -> None:
        """Return if an order could be sent to the site at present.

        Raises:
            Refused: `commands-off`, `site-unreachable`: what `ask` would be refused with.
        """
        self._way(site)

    # steps

    def _permit(self, caller: Caller) -> None:
        if caller.role == "viewer":
            raise Refused("permission", f"{caller.name} may look but not command")

    async def _refuse(self, row: OrderRow) -> None:
        """Keep a refused call in the audit, unless this account has had too many of them."""
        left_out = self._refusals.keep(row.who, self._clock.monotonic())
        if left_out is None:
            return
        reason = f"{row.reason} (and {left_out} more refused, not kept one by one)" if left_out else row.reason
        await self._do(lambda sql: table.refuse(sql, replace(row, reason=reason)))

    def _class_of(self, wanted: Wanted) -> str:
        known = self._catalogue(wanted.site)
        if known is None:
            raise NotFound(f"no site {wanted.site!r} at this office")
        point = next((point for point in known.points if point.id == wanted.target), None)
        device = next((each for each in known.devices if point is not None and each.id == point.device), None)
        if device is None:
            raise NotFound(f"no point {wanted.target!r} at {wanted.site}")
        return device.cls

    def _way(self, site: str) -> tuple[Sign, Word]:
        """Return what signs, and the site's latest word, if it is fresh enough to be quoted."""
        sign = self._sign()
        if sign is None:
            raise Refused("commands-off", "this office has no key for commands")
        word, now = self._reader.word(site), self._clock.wall()
        if word is None or not 0 <= now - word.heard <= WORD_WITHIN:
            raise Refused("site-unreachable", f"{site} has not been heard of late; nothing is kept for later")
        if not word.nonce:
            raise Refused("commands-off", f"{site} takes no commands from the office")
        return sign, word

    async def _issue(self, row: OrderRow, sign: Sign, word: Word) -> OrderRow:
        """Sign and send what is stored. Where the broker's answer is lost the site may have it: no refusal then."""
        now = self._clock.wall()
        order = Order(
            site=row.site, target=row.target, value=row.value, lasts=row.lasts, who=row.who, role=_role(row.role),
            reason=row.reason, second=row.second, issued=now, expires=now + VALID_FOR, after=max(0, now - word.heard),
            id=row.id, nonce=word.nonce,
        )  # fmt: skip
        try:
            await self._send(row.site, seal(order, sign))
        except Refused as refused:
            await self._end(row, "site-unreachable")
            raise Refused("site-unreachable", refused.detail) from None
        except PeerUnreachable as error:
            log.warning("it is not known whether a command reached its site", site=row.site, id=row.id, why=str(error))
        return row

    async def _end(self, row: OrderRow, why: str) -> None:
        at = self._clock.wall()
        await self._do(lambda sql: table.move(sql, row.id, "sent", "refused", at=at, due=at, by="office", why=why))

    async def _do(self, work: Callable[[Sql], _T]) -> _T:
        stored = asyncio.wrap_future(self._store.do(work))
        return await (stored if self._guard is None else self._guard(stored))


def _check(wanted: Wanted) -> None:
    if not wanted.reason.strip():
        raise Refused("usage", "say why; it is written into the audit")
    if not 0 < wanted.lasts <= LONGEST:
        raise Refused("usage", f"a command lasts at most {LONGEST // HOUR} h")
    if not 0 < len(wanted.value) <= 500 or len(wanted.reason) > 500:
        raise Refused("usage", "a value, and a reason, has 1 to 500 characters")


def _role(written: str) -> OrderRole:
    return "admin" if written == "admin" else "operator"
