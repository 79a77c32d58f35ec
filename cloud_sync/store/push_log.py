"""The push log, in SQL: one row for each send to one recipient."""

from cloud_sync.store.base import Push
from cloud_sync.store.sql import Sql

COLUMNS = (
    "occurrence, event_id, recipient, channel, attempt, state, started, finished, latency_ms, answer, possible_repeat,"
    " reason"
)
_MARKS = ", ".join("?" * 12)
_NEW = f"INSERT INTO pushes ({COLUMNS}) VALUES ({_MARKS}) RETURNING id"  # noqa: S608 - our own columns
_OVER = f"UPDATE pushes SET {' = ?, '.join(COLUMNS.split(', '))} = ? WHERE id = ?"  # noqa: S608 - our own columns


def save(sql: Sql, push: Push) -> int:
    """Insert a push (id 0) or overwrite it; return its id."""
    who = (push.occurrence, push.event_id, push.recipient, push.channel, push.attempt, push.state)
    row = (*who, push.started, push.finished, push.latency_ms, push.answer, push.possible_repeat, push.reason)
    if push.id:
        sql.execute(_OVER, (*row, push.id))
        return push.id
    [new] = sql.execute(_NEW, row)
    return int(new[0])
