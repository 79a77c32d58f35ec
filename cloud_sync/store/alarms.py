"""Transitions, the alarm records folded from them, and the acknowledgements that they settle, in SQL."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from cloud_sync.store.base import StoredTransition
from cloud_sync.store.sql import NamedRow, Sql
from sitekeeper.model.alarm import (
    UNACKED,
    AlarmRecord,
    AlarmState,
    Cause,
    Hold,
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
    " actor, role, origin, note, detail, inputs, limits, revision, ack_id, mode, volatile, base, until, by_whom,"
    " parent, through, committed, decision"
)
_GIVEN = COLUMNS.removeprefix("id, ").removesuffix(", decision")
RECORD = (
    "key, rule, occurrence, state, priority, latched, raised, changed, acked_by, mode, base, veils, through, shelved,"
    " permit, parent"
)

_SAVE = """
INSERT INTO alarms (key, site, device, rule, occurrence, state, priority, latched, raised, changed, acked_by, mode,
    base, veils, through, shelved, permit, parent, epoch, sequence, position)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET occurrence = excluded.occurrence, state = excluded.state, priority = excluded.priority,
    latched = excluded.latched, raised = excluded.raised, changed = excluded.changed, acked_by = excluded.acked_by,
    mode = excluded.mode, base = excluded.base, veils = excluded.veils, through = excluded.through,
    shelved = excluded.shelved, permit = excluded.permit, parent = excluded.parent,
    epoch = excluded.epoch, sequence = excluded.sequence, position = excluded.position"""

_json = msgspec.json.Encoder()
_inputs = msgspec.json.Decoder(dict[str, tuple[Value, Q]])
_limits = msgspec.json.Decoder(dict[str, str])
_veils = msgspec.json.Decoder(tuple[str, ...])
_hold = msgspec.json.Decoder(Hold | None)


def add(sql: Sql, source: Source, moves: Sequence[Transition], at: Micros) -> list[StoredTransition]:
    """Insert the transitions of one block, fold each into its alarm's record, settle acknowledgements."""
    stored: list[StoredTransition] = []
    for position, move in enumerate(moves):
        stored.append(insert(sql, source, position, move, at))
        take_in(sql, source, position, move, at)
    return stored


def insert(
    sql: Sql, source: Source, position: int, move: Transition, at: Micros, volatile: int = 0
) -> StoredTransition:
    """Insert one transition; what `volatile` says is in `store.volatile`."""
    actor = move.actor
    who = (None, None, None) if actor is None else (actor.name, actor.role, actor.origin)
    what = (move.occurrence, move.key, move.rule, move.source, move.target, move.cause, move.priority)
    when = (move.at, move.mono, move.latched)
    rest = (move.revision, move.ack_id, move.mode, volatile)
    over = (move.base or "", move.until, move.by, move.parent, move.through)
    texts = (_json.encode(move.values).decode(), _json.encode(move.limits).decode())
    [row] = sql.execute(
        f"INSERT INTO transitions ({_GIVEN}) VALUES (?{', ?' * 30}) RETURNING id",  # noqa: S608 - our own columns
        (*source, position, *what, *when, *who, move.note, move.detail, *texts, *rest, *over, at),
    )
    site, epoch, sequence = source
    return StoredTransition(
        id=row[0], site=site, epoch=epoch, sequence=sequence, position=position, committed=at, transition=move
    )


def take_in(sql: Sql, source: Source, position: int, move: Transition, at: Micros) -> None:
    """Fold a transition into its alarm's record unless that is newer; settle acknowledgements. Twice is once."""
    _fold(sql, source, position, move)
    _settle(sql, move, at)


def _fold(sql: Sql, source: Source, position: int, move: Transition) -> None:
    _, epoch, sequence = source
    row = sql.execute(
        f"SELECT {RECORD}, epoch, sequence, position FROM alarms WHERE key = ?",  # noqa: S608 - our own columns
        (move.key,),
    ).fetchone()
    before = None if row is None else record(row)
    if row is not None and before is not None:
        theirs, *place = tuple(row)[-3:]
        same = theirs == epoch
        if (same and tuple(place) >= (sequence, position)) or (not same and before.changed > move.at):
            return  # an older move never overwrites a newer state
        if not same:
            save(sql, *_taken_over(sql, source, position, fold(before, move)))
            return
    save(sql, fold(before, move), source, position)


def _taken_over(sql: Sql, source: Source, position: int, found: AlarmRecord) -> tuple[AlarmRecord, Source, int]:
    """An epoch takes an alarm over from another: fold in what is here of it already, and what its clock held back."""
    site, epoch, sequence = source
    rows = sql.execute(
        f"SELECT {COLUMNS} FROM transitions WHERE key = ? AND site = ? AND epoch = ? AND volatile = 0"  # noqa: S608
        " AND (sequence > ? OR (sequence = ? AND position > ?)) ORDER BY sequence, position",
        (found.key, site, epoch, sequence, sequence, position),
    )
    names = COLUMNS.split(", ")
    for one in stored(dict(zip(names, row, strict=True)) for row in rows):
        found, sequence, position = fold(found, one.transition), one.sequence, one.position
    return found, (site, epoch, sequence), position


def save(sql: Sql, record: AlarmRecord, source: Source, position: int) -> None:
    """Write an alarm's record, as it stands after the transition at `source` and `position`."""
    site, epoch, sequence = source
    _, device, rule = split_key(record.key)
    state = (record.occurrence, record.state, record.priority, record.latched)
    times = (record.raised, record.changed)
    holds = (_json.encode(record.shelved).decode(), _json.encode(record.permit).decode())
    over = (record.base or "", _json.encode(record.veils).decode(), record.through, *holds, record.parent)
    who = (record.acked_by, record.mode)
    sql.execute(_SAVE, (record.key, site, device, rule, *state, *times, *who, *over, epoch, sequence, position))


def _settle(sql: Sql, move: Transition, at: Micros) -> None:
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


def add_ack(sql: Sql, site: str, ack: Ack) -> str:
    """Keep an acknowledgement as pending, or as moot if that occurrence has nothing to acknowledge any more."""
    row = sql.execute("SELECT state FROM alarms WHERE occurrence = ?", (ack.occurrence,)).fetchone()
    state = "pending" if row is not None and AlarmState(row[0]) in UNACKED else "moot"
    sql.execute(
        "INSERT INTO acks (id, site, occurrence, who, note, made, state) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO NOTHING",
        (ack.id, site, ack.occurrence, ack.who, ack.note, ack.made, state),
    )
    [found] = sql.execute("SELECT state FROM acks WHERE id = ?", (ack.id,))
    return str(found[0])


def next_sequence(sql: Sql, site: str, epoch: str) -> int:
    """Return the next free sequence of an epoch of the office's own."""
    [row] = sql.execute(
        "SELECT coalesce(max(sequence), 0) + 1 FROM transitions WHERE site = ? AND epoch = ?", (site, epoch)
    )
    return int(row[0])


def record(row: NamedRow | Sequence[object]) -> AlarmRecord:
    """Return the alarm record in a row of RECORD."""
    names = RECORD.split(", ")
    found: dict[str, Any] = dict(zip(names, tuple(row)[: len(names)], strict=True))
    found["base"] = found["base"] or None
    found["veils"] = _veils.decode(found["veils"])
    found |= {name: _hold.decode(found[name]) for name in ("shelved", "permit")}
    return msgspec.convert(found, AlarmRecord, strict=False)


def stored(rows: Iterable[NamedRow | Mapping[str, Any]]) -> list[StoredTransition]:
    """Return the transitions in rows of COLUMNS."""
    return [_stored(row) for row in rows]


def _stored(row: NamedRow | Mapping[str, Any]) -> StoredTransition:
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
            base=AlarmState(row["base"]) if row["base"] else None,
            until=row["until"],
            by=row["by_whom"],
            parent=row["parent"],
            through=bool(row["through"]),
        ),
    )
