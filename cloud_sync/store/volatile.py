"""Alarms that a site told from memory because its disk had failed: stored at once, and settled by what comes later.

Column `volatile` of a transition is 0 for one that the site has on its disk, 1 for one told from memory, 2 for one that
its process took with it when it died: kept as what was told then, and no part of any alarm's state.

Until it is settled a told transition stands under `<epoch>~<boot>`. The durable block of that epoch and boot comes
under the same sequence, and makes it an ordinary one where it stands: nothing is doubled, and nothing is decided anew.
A block of another boot under that sequence, or a word of a later boot that it never came so far, says that it is lost:
after a restart a site gives its numbers, and with them the names of occurrences, a second time. So does the word of a
later boot where that number is settled otherwise: its block cannot be read, or nobody has it. Then the alarm goes back
to what the durable transitions make of it. What is still true the site raises again.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from cloud_sync.store import alarms
from cloud_sync.store.alarms import Source
from cloud_sync.store.base import StoredTransition
from cloud_sync.store.sql import Row, Sql
from cloud_sync.wire import Status
from sitekeeper.block import Block
from sitekeeper.model.alarm import AlarmRecord, AlarmState, Cause, Transition, fold
from sitekeeper.model.clock import Micros
from sitekeeper.model.command import Actor

DURABLE: Final = 0
TOLD: Final = 1
LOST: Final = 2
MARK: Final = "~"
"""Between epoch and boot, where a transition stands until it is settled; a site's epoch never has it."""


def tell(sql: Sql, block: Block, at: Micros) -> list[StoredTransition]:
    """Store what was told from memory; what is known already, so or durable, changes nothing."""
    if not block.boot or MARK in block.epoch:
        return []
    marked: Source = (block.site, f"{block.epoch}{MARK}{block.boot}", block.sequence)
    settled = sql.execute(
        "SELECT boot FROM blocks WHERE site = ? AND epoch = ? AND stream = 'alarms' AND sequence = ?", _source(block)
    ).fetchone()
    known = sql.execute("SELECT 1 FROM transitions WHERE site = ? AND epoch = ? AND sequence = ?", marked).fetchone()
    if known is not None or (settled is not None and settled[0] == block.boot):
        return []
    state = TOLD if settled is None else LOST
    stored: list[StoredTransition] = []
    for position, move in enumerate(block.transitions):
        stored.append(alarms.insert(sql, marked, position, replace(move, volatile=True), at, state))
        if state == TOLD:
            alarms.take_in(sql, _source(block), position, move, at)
    return stored


def add(sql: Sql, block: Block, at: Micros) -> list[StoredTransition]:
    """Store the transitions of a durable block, of which some may have been told; return those that are new."""
    source = _source(block)
    marked = (block.site, f"{block.epoch}{MARK}{block.boot}", block.sequence)
    told = sql.execute("SELECT 1 FROM transitions WHERE site = ? AND epoch = ? AND sequence = ?", marked).fetchone()
    others = [row for row in _told(sql, block.site) if row[2] == block.sequence and _epoch(row[1]) == block.epoch]
    _lose(sql, (row for row in others if row[1] != marked[1]), at)
    if told is None:
        return alarms.add(sql, source, block.transitions, at)
    sql.execute(
        "UPDATE transitions SET epoch = ?, volatile = 0 WHERE site = ? AND epoch = ? AND sequence = ?",
        (block.epoch, *marked),
    )
    for position, move in enumerate(block.transitions):
        alarms.take_in(sql, source, position, move, at)  # it was lost for a while, or later ones came before it
    return []


def heard(sql: Sql, status: Status, at: Micros) -> None:
    """A site speaks: what an earlier process told of, and the site's disk does not have, is lost.

    Of two workers one may come late with the word of a process that is gone: it ends nothing that its successor told.
    """
    later = {
        f"{row[0]}{MARK}{row[1]}"
        for row in sql.execute(
            "SELECT epoch, boot FROM identities WHERE site = ? AND first_seen >"
            " (SELECT first_seen FROM identities WHERE site = ? AND epoch = ? AND boot = ?)",
            (status.site, status.site, status.epoch, status.boot),
        )
    }
    following = status.first.get("alarms", 1) + status.unsent.get("alarms", 0)
    rows = [
        row
        for row in _told(sql, status.site)
        if row[1] not in later
        and not row[1].endswith(f"{MARK}{status.boot}")
        and (_epoch(row[1]) != status.epoch or row[2] >= following or _is_never_to_come(sql, status.site, row))
    ]
    _lose(sql, rows, at)


def _is_never_to_come(sql: Sql, site: str, told: Row) -> bool:
    """Tell whether the block of this number has been seen and cannot be read, or is stated as missing."""
    of = (site, _epoch(told[1]), told[2])
    found = sql.execute(
        "SELECT 1 FROM blocks WHERE site = ? AND epoch = ? AND stream = 'alarms' AND sequence = ? AND quarantined = 1"
        " UNION ALL SELECT 1 FROM missing"
        " WHERE site = ? AND epoch = ? AND stream = 'alarms' AND ? BETWEEN start AND \"end\"",
        (*of, *of),
    ).fetchone()
    return found is not None


def _told(sql: Sql, site: str) -> list[Row]:
    """Return id, epoch, sequence, key and occurrence of what was told and is not settled."""
    return sql.execute(
        "SELECT id, epoch, sequence, key, occurrence FROM transitions WHERE site = ? AND volatile = 1", (site,)
    ).fetchall()


def _lose(sql: Sql, rows: Iterable[Row], at: Micros) -> None:
    keys: dict[str, None] = {}
    for number, _, _, key, occurrence in rows:
        sql.execute("UPDATE transitions SET volatile = 2 WHERE id = ?", (number,))
        sql.execute(
            "UPDATE acks SET state = 'moot', settled = ? WHERE occurrence = ? AND state = 'pending'", (at, occurrence)
        )
        keys[key] = None
    for key in keys:
        _fold_anew(sql, key)


def _fold_anew(sql: Sql, key: str) -> None:
    """Make an alarm's record of the transitions that are not lost; without any, there never was such an alarm."""
    rows = sql.execute(
        "SELECT site, epoch, sequence, position, id, occurrence, source, target, cause, priority, at, mono, latched,"
        " actor, mode, rule, note, detail, base, until, by_whom, parent, through"
        " FROM transitions WHERE occurrence >= ? AND occurrence < ? AND key = ? AND volatile < 2"
        " ORDER BY id",
        (f"{key}@", f"{key}A", key),  # 'A' is the character after '@'
    ).fetchall()
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(_epoch(row[1]), row[4])
    record: AlarmRecord | None = None
    for row in sorted(rows, key=lambda row: (first[_epoch(row[1])], row[2], row[3])):
        record = fold(record, _move(key, row))
        source, position = (row[0], _epoch(row[1]), row[2]), row[3]
    sql.execute("DELETE FROM alarms WHERE key = ?", (key,))
    if record is not None:
        alarms.save(sql, record, source, position)


def _move(key: str, row: Row) -> Transition:
    """Return as much of a transition as its alarm's record is made of."""
    _, _, _, _, _, occurrence, source, target, cause, priority, at, mono, latched, actor, mode, rule, *over = row
    note, detail, base, until, by, parent, through = over
    return Transition(
        occurrence=occurrence,
        key=key,
        rule=rule,
        source=AlarmState(source),
        target=AlarmState(target),
        cause=Cause(cause),
        priority=priority,
        at=at,
        mono=mono,
        latched=bool(latched),
        actor=None if actor is None else Actor(actor, "viewer", "site"),
        mode=mode,
        note=note,
        detail=detail,
        base=AlarmState(base) if base else None,
        until=until,
        by=by,
        parent=parent,
        through=bool(through),
    )


def _epoch(marked: str) -> str:
    return marked.partition(MARK)[0]


def _source(block: Block) -> Source:
    return (block.site, block.epoch, block.sequence)
