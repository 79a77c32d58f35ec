"""What gateways tell of losses of their own, in events of the device `gateway`, put where the ledger finds it.

`gateway/dropped` {stream, epoch, first, last, blocks, records, from, to}: blocks deleted unsent when space ran out;
`blocks` of them between `first` and `last`, the others had been sent. Times are RFC 3339.
`gateway/salvaged` {old_epoch, stream, lost}: blocks of a damaged outbox that could not be saved, as `1-5, 9-12`.

Whatever does not have these fields is an event like any other, and nothing more.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final, TypeGuard

from cloud_sync.lacking import Lack
from cloud_sync.store.sql import Sql
from cloud_sync.store.streams import state_missing
from sitekeeper.block import STREAMS, Stream
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.sample import Value

DROPPED: Final = "gateway/dropped"
SALVAGED: Final = "gateway/salvaged"
EVENTS: Final = frozenset({DROPPED, SALVAGED})
_RANGE: Final = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?")
MOST_RANGES: Final = 256
MOST_TIME: Final = 40
MOST_NAME: Final = 200


def take(sql: Sql, site: str, source_id: str, fields: Mapping[str, Value], at: Micros) -> None:
    """Keep what an event tells of blocks that will never come."""
    stream = next((one for one in STREAMS if one == fields.get("stream")), None)
    if stream is None:
        return
    if source_id == DROPPED:
        _dropped(sql, site, stream, fields)
    elif source_id == SALVAGED:
        epoch, lost = fields.get("old_epoch"), fields.get("lost")
        if not _is_name(epoch) or not isinstance(lost, str):
            return
        for found in list(_RANGE.finditer(lost))[:MOST_RANGES]:
            first, last = int(found[1]), int(found[2] or found[1])
            if 1 <= first <= last:
                state_missing(sql, Lack(site, epoch, stream, first, last), at)


def _dropped(sql: Sql, site: str, stream: Stream, fields: Mapping[str, Value]) -> None:
    epoch = fields.get("epoch")
    numbers = [_number(fields.get(name)) for name in ("first", "last", "records")]
    times = [_time(fields.get(name)) for name in ("from", "to")]
    if not _is_name(epoch):
        return
    found = [each for each in (*numbers, *times) if each is not None]
    if len(found) < 5:
        return
    first, last, records, since, until = found
    blocks = _number(fields.get("blocks")) or last - first + 1
    if not (1 <= first <= last and blocks <= last - first + 1 and since <= until):
        return
    sql.execute(
        'INSERT INTO dropped (site, epoch, stream, start, "end", blocks, records, since, until)'
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (site, epoch, stream, start) DO UPDATE SET"
        ' "end" = excluded."end", blocks = excluded.blocks, records = excluded.records, since = excluded.since,'
        ' until = excluded.until WHERE excluded."end" > dropped."end"',
        (site, epoch, stream, first, last, blocks, records, since, until),
    )


def _is_name(value: Value) -> TypeGuard[str]:
    """Tell whether this can be an epoch: of a longer text PostgreSQL makes no key."""
    return isinstance(value, str) and len(value) <= MOST_NAME


def _number(value: Value) -> int | None:
    """Return a count or a sequence; None for what is none."""
    return value if type(value) is int and 0 <= value <= 2**62 else None


def _time(value: Value) -> Micros | None:
    """Return a wall time that is written in RFC 3339; None for what is none."""
    if not isinstance(value, str) or len(value) > MOST_TIME:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return round(moment.timestamp() * SECOND) if moment.tzinfo is not None else None
    except (ValueError, OverflowError, OSError):
        return None
