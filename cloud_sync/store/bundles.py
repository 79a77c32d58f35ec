"""What people are told together instead of one by one, in SQL: the floods of a site, and alarms that come and go.

Every transition has its own decision all the same. `digests` holds each message of a flood with the transitions that it
speaks of, so that it can be put into words at any later time, and the newest of a site says whether a flood lasts.
`chatters` holds when an alarm that comes and goes was pushed last, and what was held back since.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import msgspec

from cloud_sync.store.alarms import COLUMNS, stored
from cloud_sync.store.base import Chatter, Digest, StoredTransition
from cloud_sync.store.sql import Sql, named
from sitekeeper.model.alarm import AlarmState, Cause, Mode, Priority
from sitekeeper.model.clock import Micros

TABLES: Final = """
CREATE TABLE digests (
    event_id TEXT PRIMARY KEY, site TEXT NOT NULL, kind TEXT NOT NULL, at INTEGER NOT NULL, first_id INTEGER NOT NULL,
    after_id INTEGER NOT NULL, upto_id INTEGER NOT NULL);
CREATE INDEX digests_of_site ON digests (site, first_id, upto_id, kind);
CREATE TABLE chatters (key TEXT PRIMARY KEY, told INTEGER NOT NULL, held INTEGER NOT NULL);
CREATE INDEX transitions_by_arrival ON transitions (committed);
CREATE INDEX transitions_by_time ON transitions (site, at)"""
"""`*_id` and `held` are ids of transitions; `told` is the office's wall time, as `at` of a digest is."""

_DIGEST: Final = "event_id, site, kind, at, first_id, after_id, upto_id"
Ask = Callable[..., Sequence[Any]]


def tell(sql: Sql, digest: Digest) -> None:
    """Keep a digest; a second time changes nothing."""
    row = (digest.event_id, digest.site, digest.kind, digest.at, digest.first_id, digest.after_id, digest.upto_id)
    sql.execute(f"INSERT INTO digests ({_DIGEST}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row)  # noqa: S608


def keep(sql: Sql, chatter: Chatter) -> None:
    """Keep how it stands with an alarm that comes and goes."""
    sql.execute(
        "INSERT INTO chatters (key, told, held) VALUES (?, ?, ?)"
        " ON CONFLICT (key) DO UPDATE SET told = excluded.told, held = excluded.held",
        (chatter.key, chatter.told, chatter.held),
    )


def lasting(ask: Ask) -> list[Digest]:
    """Return the newest digest of each site that is in a flood."""
    rows = ask(
        f"SELECT {_DIGEST} FROM digests d WHERE kind <> 'over' AND NOT EXISTS"  # noqa: S608 - our own columns
        " (SELECT 1 FROM digests o WHERE o.site = d.site AND (o.first_id, o.upto_id, o.kind) >"
        " (d.first_id, d.upto_id, d.kind))"
    )
    return [_digest(row) for row in rows]


def purge(sql: Sql, cut: Micros, most: int) -> int:
    """Delete digests of before a time, but never a site's newest, which says whether a flood lasts; return how many."""
    return sql.execute(
        "DELETE FROM digests WHERE event_id IN (SELECT event_id FROM digests d WHERE at < ? AND EXISTS"
        " (SELECT 1 FROM digests o WHERE o.site = d.site AND (o.first_id, o.upto_id, o.kind) >"
        " (d.first_id, d.upto_id, d.kind)) LIMIT ?)",
        (cut, most),
    ).rowcount


def digest(ask: Ask, event_id: str) -> Digest | None:
    """Return the digest of an event."""
    rows = ask(f"SELECT {_DIGEST} FROM digests WHERE event_id = ?", event_id)  # noqa: S608 - our own columns
    return _digest(rows[0]) if rows else None


def chatters(ask: Ask, since: Micros) -> list[Chatter]:
    """Return the alarms that come and go: pushed since a time, or with something held back."""
    rows = ask("SELECT key, told, held FROM chatters WHERE told >= ? OR held > 0 ORDER BY key", since)
    return [msgspec.convert(named(row), Chatter) for row in rows]


def decided(ask: Ask, since: Micros) -> list[StoredTransition]:
    """Return what came since a time to stand unacknowledged and has been decided, in order; nothing out of history."""
    return stored(
        ask(
            f"SELECT {COLUMNS} FROM transitions WHERE committed >= ? AND decision <> 'history' AND target = 'B'"  # noqa: S608
            " ORDER BY +id",  # the plus keeps SQLite from reading the whole table in this order
            since,
        )
    )


def unanswered(ask: Ask, priorities: Collection[Priority], since: Micros) -> list[StoredTransition]:
    """Return what came after a time and stands without an acknowledgement, in order; at least one priority is named."""
    marks = ", ".join("?" * len(priorities))
    return stored(
        ask(
            f"SELECT {COLUMNS} FROM transitions t WHERE committed > ? AND priority IN ({marks})"  # noqa: S608
            " AND target = 'B' AND volatile < 2 AND EXISTS (SELECT 1 FROM alarms a"
            " WHERE a.key = t.key AND a.occurrence = t.occurrence AND a.state IN ('B', 'LU') AND a.mode = '')"
            " ORDER BY committed, id",
            since,
            *priorities,
        )
    )


def is_acknowledged(ask: Ask, one: StoredTransition) -> bool:
    """Tell whether somebody at the office has acknowledged it since it came, and the site has not answered yet."""
    mine = "SELECT 1 FROM acks WHERE occurrence = ? AND state = 'pending' AND made >= ? LIMIT 1"
    return bool(ask(mine, one.transition.occurrence, one.committed))


def is_superseded(ask: Ask, number: int) -> bool:
    """Tell whether a transition was lost with the memory that told it, or another occurrence has come in its place.

    One that was only told together with others takes its place once somebody has acknowledged that.
    """
    return bool(
        ask(
            "SELECT 1 FROM transitions t WHERE t.id = ? AND (t.volatile = 2 OR EXISTS (SELECT 1 FROM alarms a"
            " JOIN transitions n ON n.occurrence = a.occurrence"
            " WHERE a.key = t.key AND a.occurrence <> t.occurrence AND n.id > t.id AND n.target = 'B'"
            " AND (n.decision NOT IN ('flood', 'chattering') OR a.acked_by <> '')))",
            number,
        )
    )


class Kind(msgspec.Struct, frozen=True):
    """How many moves of one kind a digest may speak of."""

    rule: str
    priority: Priority
    cause: Cause
    source: AlarmState
    mode: Mode
    count: int

    @property
    def target(self) -> AlarmState:
        """Where all of them lead: what stands unacknowledged."""
        return AlarmState.UNACKED


def spoken_of(ask: Ask, one: Digest) -> list[Kind]:
    """Return what a digest may speak of, by kind: however long a flood lasts, these are few."""
    rows = ask(
        "SELECT rule, priority, cause, source, mode, count(*) AS count FROM transitions"
        " WHERE site = ? AND id > ? AND id <= ? AND target = 'B' GROUP BY rule, priority, cause, source, mode"
        " ORDER BY rule, priority",
        one.site,
        one.after_id,
        one.upto_id,
    )
    return [msgspec.convert(named(row), Kind) for row in rows]


def transition(ask: Ask, number: int) -> StoredTransition | None:
    """Return a transition by its id."""
    found = stored(ask(f"SELECT {COLUMNS} FROM transitions WHERE id = ?", number))  # noqa: S608 - our own columns
    return found[0] if found else None


def _digest(row: Any) -> Digest:
    return msgspec.convert(named(row), Digest)
