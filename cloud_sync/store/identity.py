"""Who speaks as a site: one gateway, or two with one identity.

A gateway that starts anew brings a new boot, and a replaced one a new epoch; the one before never speaks again. Where
one does that had been followed by another, two are alive. One such return may be a message that came late; `SURE` of
them within `WINDOW` are two gateways. Only live statuses count: blocks of earlier boots come late by design.
"""

from typing import Final

from cloud_sync.store.sql import Sql
from cloud_sync.wire import Status
from sitekeeper.model.clock import MINUTE, Micros

WINDOW: Final[Micros] = 10 * MINUTE
SURE: Final = 4
MOST: Final = 32
"""Boots of a site that are remembered, the newest."""


def heard(sql: Sql, status: Status, at: Micros) -> None:
    """Note a live status."""
    who = (status.site, status.epoch, status.boot)
    newest = sql.execute(
        "SELECT epoch, boot, last_seen FROM identities WHERE site = ? ORDER BY last_seen DESC LIMIT 1", (status.site,)
    ).fetchone()
    last = at if newest is None else max(at, newest[2] + 1)  # of two at one moment the later one is the newest
    if newest is not None and (newest[0], newest[1]) == who[1:]:
        sql.execute("UPDATE identities SET last_seen = ? WHERE site = ? AND epoch = ? AND boot = ?", (last, *who))
        return
    sql.execute(
        "INSERT INTO identities (site, epoch, boot, first_seen, last_seen) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (site, epoch, boot) DO UPDATE SET last_seen = excluded.last_seen, returned = ?,"
        " returns = CASE WHEN identities.returned > ? THEN identities.returns + 1 ELSE 1 END",
        (*who, last, last, at, at - WINDOW),
    )
    sql.execute(
        "UPDATE identities SET proved = ? WHERE site = ? AND epoch = ? AND boot = ? AND ? <="
        " (SELECT sum(returns) FROM identities WHERE site = ? AND returned > ?)",
        (at, *who, SURE, status.site, at - WINDOW),
    )
    sql.execute(
        "DELETE FROM identities WHERE site = ? AND last_seen <= (SELECT last_seen FROM identities WHERE site = ?"
        " ORDER BY last_seen DESC LIMIT 1 OFFSET ?)",
        (status.site, status.site, MOST),
    )
