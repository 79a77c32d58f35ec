"""Transitions, the alarm records folded from them, and the acknowledgements that they settle, in SQL."""

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from cloud_sync.store.base import StoredTransition
from sitekeeper.model.alarm import (
    UNACKED,
    AlarmRecord,
    AlarmState,
    Cause,
    Transition,
    fold,
    split_key,
)
from sitekeeper.model.clock import Micros
from sitekeeper.model.command import Ack, Actor
from sitekeeper.model.quality import Q
from sitekeeper.model.sample import Value

Source = tuple[str, str, int]
"""(site, epoch, sequence) of the alarms block."""

COLUMNS = (
    "id, site, epoch, sequence, position, occurrence, key, rule, source, target, cause, priority, at, mono, latched,"
    " actor, role, origin, note, detail, inputs, limits, revision, ack_id, mode, volatile, committed, decision"
)
RECORD = "key, rule, occurrence, state, priority, latched, raised, changed, acked_by, mode"

_json = msgspec.json.Encoder()
_inputs = msgspec.json.Decoder(dict[str, tuple[Value, Q]])
_limits = msgspec.json.Decoder(dict[str, str])


def add(sql: sqlite3.Connection, source: Source, moves: Sequence[Transition], at: Micros) -> list[StoredTransition]:
    """Insert the transitions of one block, fold each into its alarm's record, settle acknowledgements."""
    stored: list[StoredTransition] = []
    for position, move in enumerate(moves):
        actor = move.actor
        who = (None, None, None) if actor is None else (actor.name, actor.role, actor.origin)
        what = (move.occurrence, move.key, move.rule, move.source, move.target, move.cause, move.priority)
        when = (move.at, move.mono, move.latched)
        rest = (move.revision, move.ack_id, move.mode, move.volatile)
        texts = (_json.encode(move.values).decode(), _json.encode(move.limits).decode())
        cursor = sql.execute(
            f"INSERT INTO transitions ({COLUMNS}) VALUES (NULL{', ?' * 26}, NULL)",  # noqa: S608 - our own columns
            (*source, position, *what, *when, *who, move.note, move.detail, *texts, *rest, at),
        )
        site, epoch, sequence = source
        row = int(cursor.lastrowid or 0)
        stored.append(
            StoredTransition(
                id=row, site=site, epoch=epoch, sequence=sequence, position=position, committed=at, transition=move
            )
        )
        _fold(sql, source, position, move)
        _settle(sql, move, at)
    return stored


def _fold(sql: sqlite3.Connection, source: Source, position: int, move: Transition) -> None:
    site, epoch, sequence = source
    row = sql.execute(
        f"SELECT {RECORD}, epoch, sequence, position FROM alarms WHERE key = ?",  # noqa: S608 - our own columns
        (move.key,),
    ).fetchone()
    before = None if row is None else record(row)
    if row is not None and before is not None:
        same = row[10] == epoch
        if (same and (row[11], row[12]) >= (sequence, position)) or (not same and before.changed > move.at):
            return  # an older move never overwrites a newer state
    after = fold(before, move)
    _, device, rule = split_key(move.key)
    state = (after.occurrence, after.state, after.priority, after.latched)
    times = (after.raised, after.changed)
    sql.execute(
        "INSERT OR REPLACE INTO alarms (key, site, device, rule, occurrence, state, priority, latched, raised, changed,"
        " acked_by, mode, epoch, sequence, position) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (after.key, site, device, rule, *state, *times, after.acked_by, after.mode, epoch, sequence, position),
    )


def _settle(sql: sqlite3.Connection, move: Transition, at: Micros) -> None:
    """Close the acknowledgements that this move answers: done by it, or moot because nothing is left to acknowledge."""
    if move.ack_id:
        sql.execute(
            "UPDATE acks SET state = 'done', settled = ? WHERE id = ? AND occurrence = ? AND state = 'pending'",
            (at, move.ack_id, move.occurrence),
        )
    outcome = "done" if move.cause is Cause.ACK else "moot" if move.target is AlarmState.NORMAL else ""
    if outcome:
        sql.execute(
            "UPDATE acks SET state = ?, settled = ? WHERE occurrence = ? AND state = 'pending'",
            (outcome, at, move.occurrence),
        )
    if move.cause is Cause.RAISE:
        sql.execute(
            "UPDATE acks SET state = 'moot', settled = ? WHERE state = 'pending' AND occurrence <> ?"
            " AND occurrence >= ? AND occurrence < ?",
            (at, move.occurrence, f"{move.key}@", f"{move.key}A"),  # 'A' is the character after '@'
        )


def add_ack(sql: sqlite3.Connection, site: str, ack: Ack) -> str:
    """Keep an acknowledgement as pending, or as moot if that occurrence has nothing to acknowledge any more."""
    row = sql.execute("SELECT state FROM alarms WHERE occurrence = ?", (ack.occurrence,)).fetchone()
    state = "pending" if row is not None and AlarmState(row[0]) in UNACKED else "moot"
    sql.execute(
        "INSERT OR IGNORE INTO acks (id, site, occurrence, who, note, made, state) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (ack.id, site, ack.occurrence, ack.who, ack.note, ack.made, state),
    )
    return str(sql.execute("SELECT state FROM acks WHERE id = ?", (ack.id,)).fetchone()[0])


def next_sequence(sql: sqlite3.Connection, site: str, epoch: str) -> int:
    """Return the next free sequence of an epoch of the office's own."""
    row = sql.execute(
        "SELECT coalesce(max(sequence), 0) + 1 FROM transitions WHERE site = ? AND epoch = ?", (site, epoch)
    ).fetchone()
    return int(row[0])


def record(row: Sequence[object]) -> AlarmRecord:
    """Return the alarm record in a row of RECORD."""
    names = RECORD.split(", ")
    return msgspec.convert(dict(zip(names, row[: len(names)], strict=True)), AlarmRecord, strict=False)


def stored(rows: Iterable[sqlite3.Row]) -> list[StoredTransition]:
    """Return the transitions in rows of COLUMNS."""
    return [_stored(row) for row in rows]


def _stored(row: sqlite3.Row) -> StoredTransition:
    actor = None if row["actor"] is None else Actor(row["actor"], row["role"], row["origin"])
    return StoredTransition(
        id=row["id"],
        site=row["site"],
        epoch=row["epoch"],
        sequence=row["sequence"],
        position=row["position"],
        committed=row["committed"],
        decision=row["decision"],
        transition=Transition(
            occurrence=row["occurrence"],
            key=row["key"],
            rule=row["rule"],
            source=AlarmState(row["source"]),
            target=AlarmState(row["target"]),
            cause=Cause(row["cause"]),
            priority=row["priority"],
            at=row["at"],
            mono=row["mono"],
            latched=bool(row["latched"]),
            actor=actor,
            note=row["note"],
            detail=row["detail"],
            values=_inputs.decode(row["inputs"]),
            limits=_limits.decode(row["limits"]),
            revision=row["revision"],
            ack_id=row["ack_id"],
            mode=row["mode"],
            volatile=bool(row["volatile"]),
        ),
    )
