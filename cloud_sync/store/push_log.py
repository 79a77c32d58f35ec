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
    """Insert a push (id 0) or overwrite it; return its id.

    One attempt for an event over a channel has one row: a commit whose answer was lost may be given again.
    """
    who = (push.occurrence, push.event_id, push.recipient, push.channel, push.attempt, push.state)
    row = (*who, push.started, push.finished, push.latency_ms, push.answer, push.possible_repeat, push.reason)
    number = push.id or _same(sql, push)
    if number:
        sql.execute(_OVER, (*row, number))
        return number
    [new] = sql.execute(_NEW, row)
    return int(new[0])


def _same(sql: Sql, push: Push) -> int:
    """Return the id of the row of this very attempt, 0 if there is none."""
    found = sql.execute(
        "SELECT id FROM pushes WHERE occurrence = ? AND event_id = ? AND channel = ? AND attempt = ?",
        (push.occurrence, push.event_id, push.channel, push.attempt),
    ).fetchone()
    return 0 if found is None else int(found[0])
