"""Reading the central store, on a read-only connection: for ingest's start, the office, and `sk`."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cloud_sync.store import heads
from cloud_sync.store import orders as given
from cloud_sync.store.alarms import COLUMNS, RECORD, record, stored
from cloud_sync.store.base import Known, PendingAck, Push, Shape, StoredTransition
from cloud_sync.store.coverage import Interval, length, merge
from cloud_sync.store.sql import Dialect, Engine, NamedRow, Reading, named
from cloud_sync.store.sqlite_sql import SqliteReading
from sitekeeper.catalogue import Catalogue, decode
from sitekeeper.model.alarm import AlarmRecord
from sitekeeper.model.clock import Micros
from sitekeeper.model.command import Ack
from sitekeeper.model.quality import Q
from sitekeeper.model.sample import Value

PUSH_COLUMNS = (
    "id, occurrence, event_id, recipient, channel, attempt, state, started, finished, latency_ms, answer,"
    " possible_repeat, reason"
)


class SiteRow(msgspec.Struct, frozen=True, kw_only=True):
    """A site as the office knows it; times are the office's wall times, except `status_at`, which is the site's."""

    site: str
    names: dict[str, str]
    timezone: str
    catalogue: str | None
    online: bool
    epoch: str | None
    boot: str | None
    version: str | None
    clock_trusted: bool | None
    window: int | None
    unsent: dict[str, int]
    status_at: Micros | None
    first_seen: Micros
    last_seen: Micros


class LatestRow(msgspec.Struct, frozen=True, kw_only=True):
    """The newest sample of a point. Booleans come as SQLite holds them, 0 and 1; `type` tells."""

    site: str
    point: str
    type: str
    unit: str
    at: Micros
    value: Value
    q: Q


class AckRow(msgspec.Struct, frozen=True, kw_only=True):
    """An acknowledgement made at the office: `pending`, `done` (the site's transition came) or `moot`."""

    id: str
    occurrence: str
    who: str
    note: str
    made: Micros
    state: str
    settled: Micros | None


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """How completely one scan group's time is in the record. Wall times and lengths in microseconds.

    Attributes:
        start, end: what the record spans. known, gap and unexplained add up to it.
        known: vouched for. gap: not vouched for, in a gap with a cause. unexplained: neither; must be 0.
        causes: length of the gaps by cause; those of different causes may overlap each other and what is known.
    """

    scan_group: str
    start: Micros
    end: Micros
    known: Micros
    gap: Micros
    unexplained: Micros
    causes: dict[str, Micros]


class StoreReader:
    """Reads one store: an SQLite file, or through a connection. Belongs to the thread that made it.

    Every method raises StorageError if the store fails.
    """

    def __init__(self, store: Path | Reading) -> None:
        self._sql = SqliteReading(store) if isinstance(store, Path) else store

    @property
    def engine(self) -> Engine:
        """Return which database it is."""
        return self._sql.engine

    @property
    def dialect(self) -> Dialect:
        """Return how it says what the engines say differently."""
        return self._sql.dialect

    def close(self) -> None:
        """Close the connection."""
        self._sql.close()

    def known(self) -> Known:
        """Return what an ingest starts from."""
        catalogues = self._rows("SELECT hash, payload FROM catalogues")
        positions = self._rows(
            "SELECT site, epoch, max(sequence) FROM blocks WHERE stream = 'alarms' AND quarantined = 0"
            " GROUP BY site, epoch"
        )
        alarms = {(row[0], row[1]): row[2] for row in positions}
        behind: list[tuple[tuple[str, str], int, int]] = []
        for site, epoch, start, end in self._rows(
            "SELECT site, epoch, sequence, sequence FROM blocks WHERE stream = 'alarms' AND quarantined = 1 UNION ALL"
            " SELECT site, epoch, start, \"end\" FROM missing WHERE stream = 'alarms' ORDER BY 3"
        ):
            position = alarms.get((site, epoch), 0)
            if start <= position + 1 <= end:  # it has taken its place, as in `turns`
                alarms[site, epoch] = end
            elif start > position:
                behind.append(((site, epoch), start, end))
        return Known(
            catalogues={row[0]: Shape.of(decode(row[1])) for row in catalogues},
            alarms=alarms,
            settled=tuple(behind),
        )

    def shape(self, catalogue: str) -> Shape | None:
        """Return the shape of the catalogue with this hash, if the store has it."""
        rows = self._rows("SELECT payload FROM catalogues WHERE hash = ?", catalogue)
        return Shape.of(decode(bytes(rows[0][0]))) if rows else None

    def pending_acks(self) -> list[PendingAck]:
        """Return the acknowledgements that the site has not answered yet."""
        rows = self._rows(
            "SELECT site, id, occurrence, who, note, made FROM acks WHERE state = 'pending' ORDER BY made"
        )
        return [PendingAck(site=row[0], ack=Ack(row[1], row[2], row[3], row[4], row[5])) for row in rows]

    def acks(self, occurrence: str) -> list[AckRow]:
        """Return the acknowledgements made here of one occurrence, oldest first."""
        columns = "id, occurrence, who, note, made, state, settled"
        rows = self._rows(f"SELECT {columns} FROM acks WHERE occurrence = ? ORDER BY made", occurrence)  # noqa: S608
        return [msgspec.convert(named(row), AckRow) for row in rows]

    def undecided(self) -> list[StoredTransition]:
        """Return the transitions about which notify has not decided, in order of arrival."""
        return stored(self._rows(f"SELECT {COLUMNS} FROM transitions WHERE decision IS NULL ORDER BY id"))  # noqa: S608

    def story(self, occurrence: str) -> list[StoredTransition]:
        """Return the moves of one occurrence, as the site made them."""
        sql = f"SELECT {COLUMNS} FROM transitions WHERE occurrence = ? ORDER BY epoch, sequence, position"  # noqa: S608
        return stored(self._rows(sql, occurrence))

    def alarms(self, *, site: str | None = None, open_only: bool = True) -> list[AlarmRecord]:
        """Return alarm records, the most urgent and oldest first; open means anything but normal."""
        where = ["1 = 1"] + (["state <> 'A'"] if open_only else []) + (["site = ?"] if site is not None else [])
        rows = self._rows(
            f"SELECT {RECORD} FROM alarms WHERE {' AND '.join(where)} ORDER BY priority, raised",  # noqa: S608
            *([site] if site is not None else []),
        )
        return [record(row) for row in rows]

    def alarm(self, key: str) -> AlarmRecord | None:
        """Return the alarm of a key, or of an occurrence's key."""
        rows = self._rows(f"SELECT {RECORD} FROM alarms WHERE key = ?", key.partition("@")[0])  # noqa: S608
        return record(rows[0]) if rows else None

    def next_sequence(self, site: str, epoch: str) -> int:
        """Return the sequence that `SqliteStore.add_transitions` will give next under an office's own epoch."""
        rows = self._rows(
            "SELECT coalesce(max(sequence), 0) + 1 FROM transitions WHERE site = ? AND epoch = ?", site, epoch
        )
        return int(rows[0][0])

    def sites(self) -> list[SiteRow]:
        """Return all sites."""
        return [_site(row) for row in self._rows("SELECT * FROM sites ORDER BY site")]

    def catalogue(self, site: str) -> Catalogue | None:
        """Return the newest catalogue of a site."""
        rows = self._rows(
            "SELECT payload FROM catalogues WHERE hash = (SELECT catalogue FROM sites WHERE site = ?)", site
        )
        return decode(rows[0][0]) if rows else None

    def latest(self, site: str, device: str | None = None) -> list[LatestRow]:
        """Return the newest sample of every point of a site, or of one device."""
        dialect = self._sql.dialect
        sql = (
            f"SELECT p.site, p.point, p.type, p.unit, l.at, l.q, {', '.join(f'l.{one}' for one in dialect.values)}"  # noqa: S608
            " FROM latest l JOIN points p ON p.id = l.point WHERE p.site = ?"
            f"{'' if device is None else ' AND p.device = ?'} AND NOT EXISTS"
            " (SELECT 1 FROM latest o WHERE o.point = l.point AND (o.reach, o.epoch) > (l.reach, l.epoch))"
            " ORDER BY p.point"
        )
        rows = self._rows(sql, site, *([] if device is None else [device]))
        return [_latest(row, dialect.value([row[one] for one in dialect.values])) for row in rows]

    def latest_value(self, site: str, point: str) -> LatestRow | None:
        """Return the newest sample of one point."""
        return next((row for row in self.latest(site, point.partition("/")[0]) if row.point == point), None)

    def pushes(self, occurrence: str | None = None, *, limit: int = 1_000) -> list[Push]:
        """Return pushes, of one occurrence or the newest of all, in the order in which they were made."""
        which = "" if occurrence is None else "WHERE occurrence = ? "
        sql = f"SELECT {PUSH_COLUMNS} FROM pushes {which}ORDER BY id DESC LIMIT ?"  # noqa: S608 - our own columns
        return _pushes(self._rows(sql, *([] if occurrence is None else [occurrence]), limit))[::-1]

    def unfinished_pushes(self) -> list[Push]:
        """Return the pushes that were planned or begun and not finished, in order."""
        sql = f"SELECT {PUSH_COLUMNS} FROM pushes WHERE state IN ('planned', 'sending') ORDER BY id"  # noqa: S608
        return _pushes(self._rows(sql))

    def ledger(self, site: str, start: Micros = 0, end: Micros = 2**62) -> list[LedgerRow]:
        """Return the account of every scan group of a site of which the record says anything in [start, end)."""
        known: dict[str, list[Interval]] = defaultdict(list)
        gaps: dict[str, dict[str, list[Interval]]] = defaultdict(lambda: defaultdict(list))
        cover = "SELECT scan_group, start, until FROM coverage WHERE site = ? AND start < ? AND until > ?"
        for row in self._rows(cover, site, end, start):
            known[row[0]].append((max(row[1], start), min(row[2], end)))
        gap = 'SELECT scan_group, start, "end", cause FROM gaps WHERE site = ? AND start < ? AND "end" > ?'
        for row in self._rows(gap, site, end, start):
            gaps[row[0]][row[3]].append((max(row[1], start), min(row[2], end)))
        return [_account(group, known[group], gaps[group]) for group in sorted(known.keys() | gaps.keys())]

    # commands and audits

    def word(self, site: str) -> heads.Word | None:
        """Return a site's latest word, which a command has to quote."""
        return heads.word(self._sql, site)

    def words(self) -> list[heads.Word]:
        """Return the latest word of every site."""
        return heads.words(self._sql)

    def audit_heads(self, site: str) -> list[heads.Head]:
        """Return the heads of its audit that a site told, oldest first."""
        return heads.heads(self._sql, site)

    def order(self, id_: str) -> given.OrderRow | None:
        """Return a command given at this office."""
        return given.find(self._sql, id_)

    def orders(self, limit: int, sites: Sequence[str] | None = None) -> list[given.OrderRow]:
        """Return the newest commands, of all sites or of some, the newest first."""
        return given.latest(self._sql, limit, sites)

    def office_audit(self) -> tuple[int, int | None]:
        """Return how many rows the office's own audit has, and the number of the first that does not fit."""
        return given.audited(self._sql)

    def ask(self, statement: str, *arguments: object) -> Sequence[NamedRow]:
        """Return what a query finds; for `streams`, `ledger`, `evidence` and `quarantine` beside this module."""
        return self._sql.rows(statement, arguments)

    def _rows(self, sql: str, *arguments: object) -> Sequence[NamedRow]:
        return self._sql.rows(sql, arguments)


def _latest(row: NamedRow, value: Value) -> LatestRow:
    names = ("site", "point", "type", "unit", "at", "q")
    return msgspec.convert({name: row[name] for name in names} | {"value": value}, LatestRow)


def _pushes(rows: Iterable[NamedRow]) -> list[Push]:
    return [msgspec.convert(named(row), Push, strict=False) for row in rows]


def _account(group: str, known: list[Interval], gaps: dict[str, list[Interval]]) -> LedgerRow:
    every = merge([*known, *(interval for intervals in gaps.values() for interval in intervals)])
    start, end = every[0][0], every[-1][1]
    return LedgerRow(
        scan_group=group,
        start=start,
        end=end,
        known=length(merge(known)),
        gap=length(every) - length(merge(known)),
        unexplained=end - start - length(every),
        causes={cause: length(merge(intervals)) for cause, intervals in sorted(gaps.items())},
    )


def _site(row: NamedRow) -> SiteRow:
    found: dict[str, Any] = named(row)
    found["names"] = msgspec.json.decode(found["names"])
    found["unsent"] = msgspec.json.decode(found["unsent"] or "{}")
    return msgspec.convert(found, SiteRow, strict=False)
