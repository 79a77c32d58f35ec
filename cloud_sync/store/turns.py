"""Whose turn it is among an epoch's alarms blocks, in SQL: the judgement of `ingest_machine`, for several writers."""

import msgspec

from cloud_sync.store.base import NEAR, Turn
from cloud_sync.store.sql import Sql

_first = msgspec.json.Decoder(dict[str, int])


def of(sql: Sql, site: str, epoch: str) -> Turn:
    """Return which alarms block of an epoch is the next to be applied.

    It follows the last one applied or given up as missing; of an unknown epoch it is the one that the site's status
    names as the first it can still send, else number 1. So it is where more than NEAR are lacking below that one: they
    are history (`store.late`). Blocks in quarantine have taken their place.
    """
    which = (site, epoch)
    [told] = sql.execute("SELECT epoch, first FROM sites WHERE site = ?", (site,)).fetchall() or [(None, None)]
    first = _first.decode(told[1]).get("alarms") if told[0] == epoch and told[1] else None
    [applied] = sql.execute(
        "SELECT max(sequence) FROM blocks WHERE site = ? AND epoch = ? AND stream = 'alarms' AND quarantined = 0", which
    )
    [given_up] = sql.execute(
        "SELECT max(\"end\") FROM missing WHERE site = ? AND epoch = ? AND stream = 'alarms'", which
    )
    done = [number for number in (applied[0], given_up[0]) if number is not None]
    following = int(max(done)) + 1 if done else (first or 1)
    if first is not None and first - following > NEAR:
        following = first
    taken = sql.execute(
        "SELECT sequence FROM blocks WHERE site = ? AND epoch = ? AND stream = 'alarms' AND quarantined = 1"
        " AND sequence >= ? ORDER BY sequence",
        (*which, following),
    )
    for row in taken:
        if row[0] != following:
            break
        following += 1
    return Turn(following, first)
