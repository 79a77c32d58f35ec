"""What could not be used, kept with its bytes, within bounds for each site.

A block may be answered for as soon as its bytes are kept here. Beyond the bounds nothing is kept but a count, and so
nothing is answered: the site, which is then the only one that has the block, keeps it and sends it again later. That
holds up the blocks of its stream, which is why alarms have bounds of their own: garbage of samples takes no room from
them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from cloud_sync.store.base import PutQuarantine
from cloud_sync.store.sql import Sql
from sitekeeper.model.clock import Micros

MOST: Final = 500
MOST_BYTES: Final = 16 * 1024 * 1024
"""Rows and bytes that one site may have here, of alarms and again of everything else."""
OVERFLOW: Final = "overflow"
"""The reason in the row, one for each site and kind, that counts what was not kept."""


class QuarantineRow(msgspec.Struct, frozen=True, kw_only=True):
    """A message that could not be used; times are the office's wall times.

    Attributes:
        size: of the bytes that are kept; 0 in the row that only counts.
        times: how often it came. replayed: when it was applied after all.
    """

    id: int
    site: str
    kind: str
    epoch: str | None
    stream: str | None
    sequence: int | None
    digest: str
    reason: str
    detail: str
    seen: Micros
    times: int
    size: int
    replayed: Micros | None


_COLUMNS: Final = (
    "id, site, kind, epoch, stream, sequence, digest, reason, detail, seen, times, length(payload) AS size, replayed"
)


def keep(sql: Sql, put: PutQuarantine, at: Micros) -> bool:
    """Keep a message with its bytes; False if there is no room for them, and it was only counted."""
    again = sql.execute(
        "UPDATE quarantine SET times = times + 1 WHERE site = ? AND kind = ? AND digest = ?",
        (put.site, put.kind, put.digest),
    )
    if again.rowcount:
        return True
    [used] = sql.execute(
        "SELECT count(*), coalesce(sum(length(payload)), 0) FROM quarantine WHERE site = ? AND replayed IS NULL"
        " AND CASE WHEN kind = 'alarms' THEN 1 ELSE 0 END = ?",
        (put.site, int(put.kind == "alarms")),
    ).fetchall()
    if used[0] >= MOST or used[1] + len(put.payload) > MOST_BYTES:
        detail = f"no room; the newest is {put.digest}: {put.reason}: {put.detail}"[:500]
        _insert(sql, (put.site, put.kind, None, None, None, "", b"", OVERFLOW, detail, at))
        return False
    identity = (put.epoch, put.stream, put.sequence)
    _insert(sql, (put.site, put.kind, *identity, put.digest, put.payload, put.reason, put.detail, at))
    return True


def _insert(sql: Sql, row: Sequence[object]) -> None:
    sql.execute(
        "INSERT INTO quarantine (site, kind, epoch, stream, sequence, digest, payload, reason, detail, seen)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (site, kind, digest) DO UPDATE SET"
        " times = quarantine.times + 1, detail = excluded.detail, seen = excluded.seen",
        row,
    )


def conflict(sql: Sql, identity: tuple[str, str, str, int], first: str, other: str, payload: bytes, at: Micros) -> None:
    """Keep a second content of a block, as far as there is room; the first stays, and the site gets its receipt.

    A block whose sequence its site cannot have reached contradicts the record too: there is no `first` then, and its
    bytes are in quarantine.

    Beyond MOST of a site only the time of the newest is kept: the block itself is in the record.
    """
    [used] = sql.execute("SELECT count(*), max(id) FROM conflicts WHERE site = ?", (identity[0],)).fetchall()
    if used[0] >= MOST:
        sql.execute("UPDATE conflicts SET seen = ? WHERE id = ?", (at, used[1]))
        return
    sql.execute(
        "INSERT INTO conflicts (site, epoch, stream, sequence, kept, other, payload, seen)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (*identity, first, other, payload, at),
    )


def replayed(sql: Sql, number: int, at: Micros) -> None:
    """Free the place that a message took among the blocks, and note that it is applied now."""
    sql.execute(
        "DELETE FROM blocks WHERE quarantined = 1 AND (site, epoch, stream, sequence, digest) IN"
        " (SELECT site, epoch, stream, sequence, digest FROM quarantine WHERE id = ?)",
        (number,),
    )
    sql.execute("UPDATE quarantine SET replayed = ? WHERE id = ?", (at, number))


Ask = Callable[..., Sequence[Any]]


def listed(ask: Ask, site: str = "", before: int = 2**62, limit: int = 200) -> list[QuarantineRow]:
    """Return what is kept, the newest first; of one site, or of all."""
    where, arguments = ("AND site = ? ", [site]) if site else ("", [])
    rows = ask(
        f"SELECT {_COLUMNS} FROM quarantine WHERE id < ? {where}ORDER BY id DESC LIMIT ?",  # noqa: S608
        *(before, *arguments, limit),
    )
    return [_row(row) for row in rows]


def one(ask: Ask, number: int) -> tuple[QuarantineRow, bytes] | None:
    """Return one message with its bytes."""
    rows = ask(f"SELECT {_COLUMNS}, payload FROM quarantine WHERE id = ?", number)  # noqa: S608 - our own columns
    return (_row(rows[0]), bytes(rows[0][13])) if rows else None


def _row(row: Sequence[Any]) -> QuarantineRow:
    names = QuarantineRow.__struct_fields__
    return msgspec.convert({name: row[place] for place, name in enumerate(names)}, QuarantineRow, strict=False)
