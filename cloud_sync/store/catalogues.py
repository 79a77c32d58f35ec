"""Catalogues of a site, within bounds: a site that makes new ones without end fills neither disk nor memory.

Beyond the bounds the oldest that no block has ever named go, then the oldest of all; the site sends one again when a
block names it. A site that sends more new ones in a day than `A_DAY`, or so much that one of today would have to go, is
a flood: the catalogue is put into quarantine, GW17 tells of it, and blocks that name it are kept there too.
"""

from typing import Final

from cloud_sync.store import quarantine
from cloud_sync.store.base import Applied, PutCatalogue, PutQuarantine
from cloud_sync.store.sql import Sql
from cloud_sync.wire import digest
from sitekeeper.model.clock import DAY, Micros

MOST: Final = 256
MOST_BYTES: Final = 64 * 1024 * 1024
"""Catalogues of one site, and their bytes."""
A_DAY: Final = 64


def take(sql: Sql, put: PutCatalogue, at: Micros, *, wanted: bool = False) -> tuple[Applied, tuple[str, ...]]:
    """Keep a catalogue; return what came of it, and the hashes of those that went for it.

    Args:
        wanted: a person wants it taken, flood or not.
    """
    if sql.execute("SELECT 1 FROM catalogues WHERE hash = ?", (put.hash,)).fetchone() is not None:
        return "repeat", ()
    young = "SELECT count(*) FROM catalogues WHERE site = ? AND received > ?"
    [today] = sql.execute(young, (put.site, at - DAY))
    going = _going(sql, put, at, wanted=wanted)
    if going is None or (today[0] >= A_DAY and not wanted):
        return _put_away(sql, put, at), ()
    for gone in going:
        sql.execute("DELETE FROM catalogues WHERE hash = ?", (gone,))
    sql.execute(
        "INSERT INTO catalogues (hash, site, payload, received) VALUES (?, ?, ?, ?)",
        (put.hash, put.site, put.payload, at),
    )
    return "new", tuple(going)


def _going(sql: Sql, put: PutCatalogue, at: Micros, *, wanted: bool) -> list[str] | None:
    """Return which catalogues have to go, None if one of today would have to."""
    kept = sql.execute(
        "SELECT hash, length(payload), received FROM catalogues WHERE site = ?"
        " ORDER BY CASE WHEN since IS NULL THEN 0 ELSE 1 END, coalesce(since, received), hash",
        (put.site,),
    ).fetchall()
    count, size = len(kept) + 1, sum(row[1] for row in kept) + len(put.payload)
    going: list[str] = []
    for hash_, length, received in kept:
        if count <= MOST and size <= MOST_BYTES:
            break
        if received > at - DAY and not wanted:
            return None
        going.append(hash_)
        count, size = count - 1, size - length
    return going


def _put_away(sql: Sql, put: PutCatalogue, at: Micros) -> Applied:
    kept = PutQuarantine(
        site=put.site,
        kind="catalogue",
        payload=put.payload,
        digest=digest(put.payload),
        reason="flood",
        detail=f"more new catalogues of this site than {A_DAY} a day or {MOST_BYTES // 2**20} MiB; not taken",
    )
    return "quarantined" if quarantine.keep(sql, kept, at) else "overflow"
