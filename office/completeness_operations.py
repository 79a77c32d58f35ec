"""What can be asked of a running office about its record: the ledger and the quarantine.

Answers are gathered in a thread with a reader of its own, because a large site's day takes a while, and alarms do not
wait for it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec

from cloud_sync.store import quarantine
from cloud_sync.store.base import OfficeStore, PutReplay, Transaction
from cloud_sync.store.reader import StoreReader
from office import ledger
from office.local_api import Operation
from office.operations import rfc3339
from office.quarantine import HEAD, found, header, revived
from sitekeeper.model.clock import SECOND, Clock
from sitekeeper.model.command import ROLE_RANK, Actor
from sitekeeper.model.errors import NotFound, Refused

Item = dict[str, Any]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletenessOperations:
    """The operations and what they need of the office.

    Attributes:
        open_reader: makes a reader for the thread that calls it. wake: says that transitions may have come.
    """

    store: OfficeStore
    open_reader: Callable[[], StoreReader]
    clock: Clock
    wake: Callable[[], None]

    def table(self) -> dict[str, Operation]:
        """Return the operations by name."""
        return {
            "sync.ledger": self._ledger,
            "sync.quarantine": self._list,
            "sync.quarantine.show": self._show,
            "sync.quarantine.replay": self._replay,
        }

    async def _ledger(self, actor: Actor, args: Mapping[str, Any]) -> AsyncIterator[Item]:  # noqa: ARG002
        """Of all sites a sum each; of one site the whole record, or a day of it, per scan group or per point."""
        site, point = _text(args, "site"), _text(args, "point")
        by_point = bool(args.get("points")) or bool(point)
        day = _text(args, "day")
        now = self.clock.wall()

        def gather(reader: StoreReader) -> list[Item]:
            known = [row.site for row in reader.sites()]
            if not site:
                return ledger.all_sites(reader, known, _day(day, None), now)
            if site not in known:
                raise NotFound(f"no site {site!r} at the office", near=tuple(get_close_matches(site, known, n=3)))
            if not (day or by_point):
                return [_whole(row) for row in reader.ledger(site)]
            catalogue = reader.catalogue(site)
            wanted = _day(day, None) or ledger.today(ledger.zone_of(catalogue), now)
            account = ledger.of_day(reader, site, catalogue, wanted, now)
            items = ledger.by_point(account, point) if by_point else ledger.by_group(account)
            if point and not items:
                raise NotFound(f"no point {point!r} at {site!r} on that day")
            return items

        for item in await self._read(gather):
            yield item

    async def _list(self, actor: Actor, args: Mapping[str, Any]) -> AsyncIterator[Item]:  # noqa: ARG002
        rows = await self._read(lambda reader: quarantine.listed(reader.ask, _text(args, "site")))
        for row in rows:
            yield _row(row)

    async def _show(self, actor: Actor, args: Mapping[str, Any]) -> AsyncIterator[Item]:  # noqa: ARG002
        row, payload = await self._read(lambda reader: found(reader.ask, _number(args)))
        yield _row(row) | {"header": header(payload), "head": payload[:HEAD].hex(" ")}

    async def _replay(self, actor: Actor, args: Mapping[str, Any]) -> AsyncIterator[Item]:
        if ROLE_RANK[actor.role] < ROLE_RANK["operator"]:
            reason = "permission"
            raise Refused(reason, f"{actor.name} may look but not replay; ask to join the operators' group")
        number = _number(args)
        entry = await self._read(lambda reader: revived(reader.ask, number))
        put = PutReplay(number=number, entry=entry)
        commit = self.store.commit(Transaction(at=self.clock.wall(), entries=(put,)))
        outcome = await asyncio.shield(asyncio.wrap_future(commit))
        self.wake()
        yield {"id": number, "applied": outcome.applied[0]}

    async def _read(self, gather: Callable[[StoreReader], _T]) -> _T:
        def work() -> _T:
            reader = self.open_reader()
            try:
                return gather(reader)
            finally:
                reader.close()

        return await asyncio.to_thread(work)


def _whole(row: Any) -> Item:
    return {
        "scan_group": row.scan_group,
        "from": rfc3339(row.start),
        "to": rfc3339(row.end),
        "known_s": row.known / SECOND,
        "gap_s": row.gap / SECOND,
        "causes": {cause: span / SECOND for cause, span in row.causes.items()},
        "unexplained_s": row.unexplained / SECOND,
    }


def _row(row: quarantine.QuarantineRow) -> Item:
    item: Item = msgspec.to_builtins(row)
    return item | {"seen": rfc3339(row.seen), "replayed": "" if row.replayed is None else rfc3339(row.replayed)}


def _text(args: Mapping[str, Any], key: str) -> str:
    value = args.get(key)
    return value[:500] if isinstance(value, str) else ""


def _number(args: Mapping[str, Any]) -> int:
    value = args.get("id")
    if type(value) is not int or not 0 < value < 2**62:
        reason = "usage"
        raise Refused(reason, "'id' is the number of a message in quarantine")
    return value


def _day(value: str, default: date | None) -> date | None:
    if value in ("", "today"):
        return default
    try:
        return date.fromisoformat(value)
    except ValueError:
        reason = "usage"
        raise Refused(reason, f"'day' is a date such as 2026-03-01, not {value[:40]!r}") from None
