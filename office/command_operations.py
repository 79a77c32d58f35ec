"""What can be asked on the office's local socket of commands and audits: `sk office command`, `sk audit --office`."""

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from cloud_sync.store.orders import OrderRow
from cloud_sync.store.reader import StoreReader
from office.audience import Audiences
from office.commands import Caller, Orders, Wanted
from office.local_api import Operation
from office.operations import rfc3339
from sitekeeper.audience import SECURITY_FLAG
from sitekeeper.durations import parse_duration
from sitekeeper.model.clock import SECOND
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import NotFound, Refused
from sitekeeper.order import ALARM_TARGETS, VALID_FOR

Item = dict[str, Any]
LOOK_EVERY_S: Final = 0.1
OPEN: Final = frozenset({"awaiting-confirmation", "sent", "accepted"})
LATEST: Final = 100
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs"})
"""Categories of characters that make a text look like another one, on a terminal or before a second person's eyes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOperations:
    """The operations and what they need of the office.

    Attributes:
        open_reader: opens a reader for another thread: an audit is read whole, and the loop has better uses for that.
    """

    orders: Orders
    reader: StoreReader
    open_reader: Callable[[], StoreReader]
    audiences: Audiences = field(default_factory=Audiences)

    def table(self) -> dict[str, Operation]:
        """Return the operations by name."""
        return {
            "command.ask": self._ask,
            "command.confirm": self._confirm,
            "command.list": self._list,
            "audit.heads": self._heads,
            "audit.office": self._office,
        }

    async def _ask(self, actor: Actor, args: Mapping[str, Any]) -> AsyncIterator[Item]:
        """Give an order and tell what becomes of it until that is settled."""
        wanted = wanted_of(args)
        row = await asyncio.shield(self.orders.ask(_caller(actor), wanted))
        async for item in self._follow(row):
            yield item

    async def _confirm(self, actor: Actor, args: Mapping[str, Any]) -> AsyncIterator[Item]:
        row = await asyncio.shield(self.orders.confirm(_caller(actor), _text(args, "id")))
        async for item in self._follow(row):
            yield item

    async def _follow(self, row: OrderRow) -> AsyncIterator[Item]:
        told: tuple[str, str] | None = None
        while True:
            row = self.reader.order(row.id) or row
            if (row.state, row.why) != told:
                told = row.state, row.why
                yield order_item(row)
            if row.state not in OPEN:
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def _list(self, actor: Actor, args: Mapping[str, Any]) -> AsyncIterator[Item]:  # noqa: ARG002
        for row in self.reader.orders(LATEST):
            if args.get(SECURITY_FLAG) is True or not self._secret(row):
                yield order_item(row)

    def _secret(self, row: OrderRow) -> bool:
        """Tell whether an order is about an alarm that only security may know of."""
        rule = row.value.rpartition("/")[2]
        return row.target in ALARM_TARGETS and rule in self.audiences.of(self.reader, row.site)

    async def _heads(self, actor: Actor, args: Mapping[str, Any]) -> AsyncIterator[Item]:  # noqa: ARG002
        site, known = _text(args, "site"), [row.site for row in self.reader.sites()]
        if site not in known:
            raise NotFound(f"no site {site!r} at the office", near=tuple(get_close_matches(site, known, n=3)))
        for head in self.reader.audit_heads(site):
            yield msgspec.to_builtins(head)

    async def _office(self, actor: Actor, args: Mapping[str, Any]) -> AsyncIterator[Item]:  # noqa: ARG002
        rows, broken = await asyncio.to_thread(self._audited)
        yield {"rows": rows, "broken": broken}

    def _audited(self) -> tuple[int, int | None]:
        reader = self.open_reader()
        try:
            return reader.office_audit()
        finally:
            reader.close()


def wanted_of(args: Mapping[str, Any]) -> Wanted:
    """Return what is asked for in the words of a caller: site, device, point, value, reason, and perhaps expires.

    Raises:
        Refused: `usage`.
    """
    target = f"{_text(args, 'device')}/{_text(args, 'point')}"
    lasts, value = VALID_FOR, args.get("value")
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, int | float):
        value = str(value) if isinstance(value, int) else f"{value:.15g}"
    if args.get("expires") is not None:
        try:
            lasts = parse_duration(str(args["expires"])[:40])
        except ValueError as error:
            raise Refused("usage", f"expires: {error}") from None
    value = _text({"value": value}, "value")
    return Wanted(site=_text(args, "site"), target=target, value=value, reason=_text(args, "reason"), lasts=lasts)


def order_item(row: OrderRow) -> Item:
    """Return an order as programs read it."""
    device, _, point = row.target.partition("/")
    return {
        "id": row.id, "site": row.site, "device": device, "point": point, "value": row.value, "who": row.who,
        "reason": row.reason, "lasts_s": row.lasts / SECOND, "second": row.second or None, "state": row.state,
        "why": row.why, "asked": rfc3339(row.asked), "changed": rfc3339(row.changed),
    }  # fmt: skip


def _caller(actor: Actor) -> Caller:
    return Caller(name=actor.name, role="viewer" if actor.role == "viewer" else "operator")


def _text(args: Mapping[str, Any], key: str) -> str:
    value = args.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 500:
        raise Refused("usage", f"{key!r} is missing, or has more than 500 characters")
    if any(unicodedata.category(letter) in _UNSEEN for letter in value):
        raise Refused("usage", f"{key!r} has characters that nobody sees: controls, or half of one")
    return value
