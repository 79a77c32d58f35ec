"""Whose turn it is among an epoch's alarms blocks, in SQL: the judgement of `ingest_machine`, for several writers."""

import msgspec

from cloud_sync.store.base import NEAR, Turn
from cloud_sync.store.sql import Sql

_first = msgspec.json.Decoder(dict[str, int])


def of(sql: Sql, site: str, epoch: str) -> Turn:
    """Return which alarms block of an epoch is the next to be applied.

    It follows the last one applied or given up as missing; of an unknown epoch it is the one that the site's status
    names as the first it can still send, else number 1. So it is where more than NEAR are lacking below that one: they
    are history (`store.late`). Blocks in quarantine have taken their place, and so have those that nobody has.
    """
    which = (site, epoch)
    [told] = sql.execute("SELECT epoch, first FROM sites WHERE site = ?", (site,)).fetchall() or [(None, None)]
    first = _first.decode(told[1]).get("alarms") if told[0] == epoch and told[1] else None
    [applied] = sql.execute(
        "SELECT max(sequence) FROM blocks WHERE site = ? AND epoch = ? AND stream = 'alarms' AND quarantined = 0", which
    )
    following = (first or 1) if applied[0] is None else int(applied[0]) + 1
    following = _past_settled(sql, which, following)
    if first is not None and first - following > NEAR:
        following = _past_settled(sql, which, first)
    gap = first is not None and first > following
    return Turn(following, first, _unread(sql, site) if gap else 0)


def _past_settled(sql: Sql, which: tuple[str, str], following: int) -> int:
    """Return the first block from this one on that is neither in quarantine nor stated as missing.

    What is stated further on, behind one that may still come, changes nothing yet: that one would be out of order.
    """
    settled = sql.execute(
        "SELECT sequence, sequence FROM blocks WHERE site = ? AND epoch = ? AND stream = 'alarms' AND quarantined = 1"
        " AND sequence >= ? UNION ALL"
        ' SELECT start, "end" FROM missing WHERE site = ? AND epoch = ? AND stream = \'alarms\' AND "end" >= ?'
        " ORDER BY 1",
        (*which, following, *which, following),
    )
    for start, end in settled:
        if start > following:
            break
        following = max(following, int(end) + 1)
    return following


def _unread(sql: Sql, site: str) -> int:
    """Return how many alarms messages of a site nobody could tell the number of, less the gaps that they explain."""
    [unread] = sql.execute(
        "SELECT count(*) FROM quarantine WHERE site = ? AND kind = 'alarms' AND epoch IS NULL"
        " AND reason IN ('undecodable', 'wrong-topic')",
        (site,),
    )
    [stated] = sql.execute(
        "SELECT coalesce(sum(\"end\" - start + 1), 0) FROM missing WHERE site = ? AND stream = 'alarms'", (site,)
    )
    return max(0, int(unread[0]) - int(stated[0]))
