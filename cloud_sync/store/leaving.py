"""A site is revoked: what stood open of it is ended, in the name of who revoked it, and written into the audit.

Nothing of the site comes in any more, so nothing would ever end its alarms. They run through the same machine as any
alarm, with the person and the reason in each move; what the site itself has to say when it has joined again follows.
"""

from typing import Final

from cloud_sync.store import alarms, orders
from cloud_sync.store.orders import OfficeAuditRow
from cloud_sync.store.sql import Sql
from sitekeeper.model.alarm import ACTIVE, HELD_BACK, AlarmRecord, AlarmState, Cause, Transition
from sitekeeper.model.clock import Micros
from sitekeeper.model.command import Actor
from sitekeeper.model.veil import Layers, after, layers

SCHEMA: Final = "CREATE TABLE revocations (site TEXT PRIMARY KEY, at BIGINT NOT NULL, who TEXT NOT NULL)"
_NEXT: Final = {
    AlarmState.RETURNED: Cause.ACK,
    AlarmState.LATCHED_UNACKED: Cause.ACK,
    AlarmState.LATCHED_ACKED: Cause.RESET,
}


def leave(sql: Sql, site: str, revoked: Micros, who: str, note: str, *, epoch: str, at: Micros, mono: Micros) -> int:
    """End what stands open of a revoked site; return how many alarms that were. A second time it changes nothing.

    Args:
        revoked: wall time of the revocation. note: the reason, in words. epoch: of the office's own, fresh.
    """
    rows = sql.execute(f"SELECT {alarms.RECORD} FROM alarms WHERE site = ? AND state <> 'A' ORDER BY key", (site,))  # noqa: S608
    standing = [alarms.record(row) for row in rows.fetchall()]
    actor = Actor(name=who, role="operator", origin="office")
    for record in standing:
        moves = _moves(record, actor, note, max(at, record.changed), mono)
        alarms.add(sql, (site, epoch, alarms.next_sequence(sql, site, epoch)), moves, at)
    known = sql.execute("SELECT at FROM revocations WHERE site = ?", (site,)).fetchone()
    if standing or known is None or known[0] != revoked:
        why = f"{len(standing)} alarms ended"
        orders.tell(sql, OfficeAuditRow(at, who, "revoke", "", site, "", "", note, "revoked", why))
        sql.execute(
            "INSERT INTO revocations (site, at, who) VALUES (?, ?, ?)"
            " ON CONFLICT (site) DO UPDATE SET at = excluded.at, who = excluded.who",
            (site, revoked, who),
        )
    return len(standing)


def _moves(record: AlarmRecord, actor: Actor, note: str, at: Micros, mono: Micros) -> list[Transition]:
    """Return the moves from where an alarm stands to its end; what lies over it goes too."""
    state, moves = layers(record), list[Transition]()
    while (ends := _next(state)) is not None:
        (cause, by), before = ends, state
        state = after(before, cause, latched=record.latched, by=by)
        moves.append(
            Transition(
                occurrence=record.occurrence,
                key=record.key,
                rule=record.rule,
                source=before.shown,
                target=state.shown,
                cause=cause,
                priority=record.priority,
                at=at,
                mono=mono,
                latched=record.latched,
                actor=actor,
                note=note,
                mode=record.mode,
                base=state.base if state.shown in HELD_BACK else None,
                by=by,
                parent=record.parent,
                through=state.through,
            )
        )
    return moves


def _next(now: Layers) -> tuple[Cause, str] | None:
    """Return the next move towards the end, and whose suppression it ends; None at the end."""
    if now.base in ACTIVE:
        return Cause.CLEAR, ""  # first, so that nothing rings when it comes into sight
    if now.out:
        return Cause.RETURN, ""
    if now.veils:
        return Cause.UNSUPPRESS, now.veils[0]
    if now.shelved:
        return Cause.UNSHELVE, ""
    return None if now.base is AlarmState.NORMAL else (_NEXT[now.base], "")
