"""Orders given at this office and what came of them, and the office's own audit: a chain of hashes over every step.

    awaiting-confirmation -> sent -> accepted -> confirmed | refused | timed_out | unconfirmed
    awaiting-confirmation -> refused | expired

What a site says of an order (an event `<device>/command` with its id) is applied in the transaction of the block that
brings it. The first outcome that it tells stays; what the office put there itself, because it heard nothing, does not.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from cloud_sync.store.sql import Reading, Row, Sql, named
from sitekeeper import chain
from sitekeeper.model.clock import Micros

SCHEMA: Final = """
CREATE TABLE orders (
    id TEXT PRIMARY KEY, site TEXT NOT NULL, target TEXT NOT NULL, value TEXT NOT NULL, lasts BIGINT NOT NULL,
    who TEXT NOT NULL, role TEXT NOT NULL, reason TEXT NOT NULL, second TEXT NOT NULL, state TEXT NOT NULL,
    why TEXT NOT NULL, asked BIGINT NOT NULL, changed BIGINT NOT NULL, due BIGINT NOT NULL, settled INTEGER NOT NULL);
CREATE INDEX orders_by_time ON orders (asked);
CREATE TABLE office_audit (n BIGINT PRIMARY KEY, record TEXT NOT NULL, hash TEXT NOT NULL)"""
COLUMNS: Final = "id, site, target, value, lasts, who, role, reason, second, state, why, asked, changed, due"

State = Literal[
    "awaiting-confirmation", "sent", "accepted", "confirmed", "refused", "timed_out", "unconfirmed", "expired"
]
OUTCOMES: Final = frozenset({"confirmed", "refused", "timed_out", "unconfirmed"})
NO_WORD: Final = "no-word"
"""Why an order is unconfirmed of which the site has said nothing in time."""


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """One order. Times are the office's wall times.

    Attributes:
        second: who agreed, where that is needed. why: the reason of its state, a stable word.
        due: when it is over if nothing more is heard.
    """

    id: str
    site: str
    target: str
    value: str
    lasts: Micros
    who: str
    role: str
    reason: str
    second: str = ""
    state: State
    why: str = ""
    asked: Micros
    changed: Micros
    due: Micros


class OfficeAuditRow(msgspec.Struct, frozen=True):
    """One step: who did what to which order, and how it stood then. `by` is a person, `site` or `office`.

    A step without an order is about a site: `revoke`.
    """

    at: Micros
    by: str
    step: str
    order: str
    site: str
    target: str
    value: str
    reason: str
    outcome: str
    why: str


def put(sql: Sql, row: OrderRow, step: str) -> None:
    """Store a new order with the row of the audit that tells of it."""
    values = [getattr(row, name) for name in COLUMNS.split(", ")]
    sql.execute(f"INSERT INTO orders ({COLUMNS}, settled) VALUES (?{', ?' * 13}, 0)", values)  # noqa: S608 - our own
    _tell(sql, row, row.who, step)


def move(
    sql: Sql, id_: str, source: State, state: State, *, at: Micros, due: Micros, by: str, why: str = ""
) -> OrderRow | None:
    """Move an order from state `source`, with its row of the audit; None if it does not stand there (any more).

    Out of `awaiting-confirmation` `by` is the second person.
    """
    second = ", second = ?" if source == "awaiting-confirmation" and state == "sent" else ""
    cursor = sql.execute(
        f"UPDATE orders SET state = ?, why = ?, changed = ?, due = ?{second} WHERE id = ? AND state = ?"  # noqa: S608
        f" RETURNING {COLUMNS}",
        (state, why, at, due, *([by] if second else []), id_, source),
    )
    found = cursor.fetchone()
    if found is None:
        return None
    row = _order(found)
    _tell(sql, row, by, "agree" if second else "end")
    return row


def refuse(sql: Sql, row: OrderRow) -> None:
    """Keep in the audit alone what never became an order; `row` has the reason."""
    _tell(sql, row, row.who, "ask")


def told(sql: Sql, site: str, fields: Mapping[str, Any], at: Micros) -> None:
    """Apply what a site says of an order; of commands that are not ours, and of what is settled, nothing."""
    id_, outcome, why = fields.get("id"), fields.get("outcome"), str(fields.get("reason") or "")[:100]
    if not isinstance(id_, str) or not (outcome in OUTCOMES or outcome == "accepted"):
        return
    allowed = "state = 'sent'" if outcome == "accepted" else "state NOT IN ('awaiting-confirmation', 'expired')"
    found = sql.execute(
        f"UPDATE orders SET state = ?, why = ?, changed = ?, settled = ? WHERE id = ? AND site = ? AND settled = 0"  # noqa: S608
        f" AND {allowed} RETURNING {COLUMNS}",
        (outcome, why, at, int(outcome in OUTCOMES), id_, site),
    ).fetchone()
    if found is not None:
        _tell(sql, _order(found), "site", "outcome")


def overdue(sql: Sql, now: Micros) -> int:
    """End what has waited too long; return how many orders are still open."""
    ends: tuple[tuple[State, State, str], ...] = (
        ("awaiting-confirmation", "expired", "nobody-agreed"),
        ("sent", "unconfirmed", NO_WORD),
        ("accepted", "unconfirmed", NO_WORD),
    )
    for source, state, why in ends:
        late = sql.execute("SELECT id FROM orders WHERE state = ? AND due <= ?", (source, now)).fetchall()
        for (id_,) in late:
            move(sql, id_, source, state, at=now, due=now, by="office", why=why)
    waiting = "SELECT id FROM orders WHERE state IN ('awaiting-confirmation', 'sent', 'accepted')"
    return len(sql.execute(waiting).fetchall())


def find(db: Reading, id_: str) -> OrderRow | None:
    """Return an order. Raises StorageError."""
    rows = db.rows(f"SELECT {COLUMNS} FROM orders WHERE id = ?", (id_,))  # noqa: S608 - our own columns
    return msgspec.convert(named(rows[0]), OrderRow) if rows else None


def latest(db: Reading, limit: int, sites: Sequence[str] | None = None) -> list[OrderRow]:
    """Return the newest orders, of all sites or of some, the newest first. Raises StorageError."""
    where = "" if sites is None else f"WHERE site IN ({', '.join('?' * len(sites)) or 'NULL'})"
    sql = f"SELECT {COLUMNS} FROM orders {where} ORDER BY asked DESC, id LIMIT ?"  # noqa: S608 - our own columns
    return [msgspec.convert(named(row), OrderRow) for row in db.rows(sql, (*(sites or ()), limit))]


def audited(db: Reading) -> tuple[int, int | None]:
    """Return how many rows the office's audit has, and the number of the first that does not fit. StorageError."""
    rows = db.rows("SELECT n, record, hash FROM office_audit ORDER BY n")
    gap = next((n for n, row in enumerate(rows, 1) if row[0] != n), None)
    broken = chain.verify((row[1].encode(), bytes.fromhex(row[2])) for row in rows)
    return len(rows), gap if broken is None else broken + 1


def _order(found: Row) -> OrderRow:
    return msgspec.convert(dict(zip(COLUMNS.split(", "), found, strict=True)), OrderRow)


def _tell(sql: Sql, row: OrderRow, by: str, step: str) -> None:
    tell(
        sql,
        OfficeAuditRow(row.changed, by, step, row.id, row.site, row.target, row.value, row.reason, row.state, row.why),
    )


def tell(sql: Sql, row: OfficeAuditRow) -> None:
    """Add a row to the office's audit."""
    last = sql.execute("SELECT n, hash FROM office_audit ORDER BY n DESC LIMIT 1").fetchone()
    n, head = (int(last[0]), bytes.fromhex(last[1])) if last is not None else (0, chain.GENESIS)
    record = msgspec.json.encode(row)
    values = (n + 1, record.decode(), chain.link(head, record).hex())
    sql.execute("INSERT INTO office_audit (n, record, hash) VALUES (?, ?, ?)", values)
