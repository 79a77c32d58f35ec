"""What must hold at every step, and what the store must hold in the end. Raises `Failed` with the invariant's name.

C1 exactly once and byte-equal, or listed as dropped; C2 no release before the commit; C3 order of alarms, newest value;
C4 alarms in time; C5 poison and conflicts; C6 bounds; orders once and in time. It reads the store with plain SQL, as a
company's own tools do.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from cloud_sync import wire
from cloud_sync.dealer import Dealer
from cloud_sync.fit import header_of
from cloud_sync.ingest_machine import IngestMachine
from cloud_sync.store.base import NEAR, Outcome, PutBlock, PutMissing, PutQuarantine, PutVolatile, Transaction
from cloud_sync.store.volatile import MARK
from cloud_sync.uplink_machine import BlockId, UplinkLimits, UplinkMachine
from cloud_sync.wire import Receipt
from sitekeeper.block import STREAMS, Block, Stream
from sitekeeper.model.clock import MS, SECOND, Micros
from sitekeeper.order import VALID_FOR
from tests.simulation.broker import MAX_UNACKED
from tests.simulation.outbox import Book, Entry, Identity, Outbox
from tests.simulation.scheduler import Failed, Scheduler

ALARM_WITHIN: Micros = 5 * SECOND
"""From link-up, or from its seal, to the office's commit."""

ALARM_EACH: Micros = 50 * MS
"""More for each alarms block before it: eight are in flight at a time, and the way there and back is this long."""

STATED: Micros = 3 * SECOND
"""From the quarantine of an alarms block without a name until its site has said that nobody has that number."""

STATED_OLD: Micros = 12 * SECOND
"""The same of an old gateway: its next status, every 10 s, shows that it has passed it by."""

MAX_READY = 4 * MAX_UNACKED
"""Entries waiting for a transaction: each lane holds what the broker lets be unacknowledged; some of it twice."""


class Oracle:
    """Watches one world."""

    def __init__(self, scheduler: Scheduler, book: Book) -> None:
        self.book = book
        self.restored = False
        self._fetched: set[Identity] = set()  # lost with the office's disk: wanted again, in any order
        self._scheduler = scheduler
        self._first: dict[Identity, str] = {}
        self._ever: set[tuple[Identity, str]] = set()
        self._quarantined: dict[str, Micros] = {}
        self._missing: list[PutMissing] = []
        self._moved: dict[tuple[str, str], int] = {}
        self._latest: dict[tuple[int, str], tuple[int, int]] = {}
        self._calm: dict[str, Micros] = defaultdict(int)
        self._watched: set[Identity] = set()
        self._old: set[str] = set()
        self._strangers: set[str] = set()
        self._told: set[tuple[str, str, str, int]] = set()  # from memory: site, epoch, boot, sequence
        self._listened: set[tuple[str, str, str, int]] = set()
        self._boots: dict[str, str] = {}
        self._signed: dict[str, Micros] = {}
        self._carried_out: set[str] = set()

    # at a site

    def released(
        self, outbox: Outbox, machine: UplinkMachine, epoch: str, ranges: list[tuple[Stream, int, int]]
    ) -> None:
        """C2: what is released has been committed, with these very bytes; and who heard the office does not probe."""
        site = outbox.site
        self._heard(site, machine)
        if epoch != outbox.epoch:
            return
        for stream, start, end in ranges:
            waiting = outbox.unreleased[stream]
            for sequence in range(start, end + 1):
                entry = waiting.get(sequence)
                if entry is None or entry.digest in self._quarantined:
                    continue
                if (entry.identity, entry.digest) not in self._ever:
                    raise Failed(f"C2: {site} releases {stream} {sequence} of {epoch} before its commit")

    def _heard(self, site: str, machine: UplinkMachine) -> None:
        if machine.probing:
            raise Failed(f"liveness: {site} heard the office and goes on probing")

    def released_saved(self, outbox: Outbox, machine: UplinkMachine, receipt: Receipt) -> None:
        """C2 for blocks of an earlier file, whose receipts are the office's word too."""
        self._heard(outbox.site, machine)
        for committed in receipt.blocks:
            waiting = outbox.saved.get((committed.epoch, committed.stream), {})
            for sequence, entry in waiting.items():
                named = any(start <= sequence <= end for start, end in committed.ranges)
                known = entry.digest in self._quarantined or (entry.identity, entry.digest) in self._ever
                if named and not known:
                    raise Failed(f"C2: {outbox.site} releases {entry.identity} before its commit")

    def bounded(self, site: str, machine: UplinkMachine) -> None:
        """C6: windows."""
        flying = machine.in_flight()
        limits: UplinkLimits = machine.limits
        for stream, most in zip(STREAMS, (limits.alarms_window, limits.events_window, limits.window), strict=True):
            if sum(1 for block in flying if block[0] == stream) > most:
                raise Failed(f"C6: {site} has more than {most} {stream} blocks in flight")

    def absent(self, site: str, machine: UplinkMachine, block: BlockId) -> None:
        """C6: what is not there any more takes no place in a window."""
        self._scheduler.seen("gone when it was to be sent")
        if block in machine.in_flight():
            raise Failed(f"C6: {site} has {block} in flight, which it does not have any more")

    def alarms_sealed(self, site: str, outbox: Outbox) -> None:
        """C4: from now on these alarms are waited for."""
        for before, entry in enumerate(list(outbox.unreleased["alarms"].values())):
            if entry.identity not in self._watched:
                self._watched.add(entry.identity)
                self._scheduler.after(ALARM_WITHIN, self._look_for, site, entry, self._scheduler.now, before)

    def told_directly(self, outbox: Outbox, boot: int) -> None:
        """C4: alarms that the disk does not take are waited for all the same, as long as their process lives."""
        for sequence in outbox.standing():
            name = (outbox.site, outbox.epoch, f"b{boot}", sequence)
            if name not in self._listened and outbox.is_sound(sequence):
                self._listened.add(name)
                self._scheduler.after(ALARM_WITHIN, self._listen_for, name, self._scheduler.now)

    def _listen_for(self, name: tuple[str, str, str, int], since: Micros) -> None:
        site, epoch, boot, sequence = name
        durable = self.book.get((site, epoch, "alarms", sequence))
        if name in self._told or durable or self._boots[site] != boot:
            return
        due = max(since, self._calm[site]) + ALARM_WITHIN
        if self._scheduler.now < due:
            self._scheduler.after(due - self._scheduler.now, self._listen_for, name, since)
            return
        raise Failed(f"C4: alarm {name} is not told {ALARM_WITHIN // SECOND} s after it could")

    def booted(self, site: str, boot: int) -> None:
        """A process of this site begins, or (0) ends."""
        self._boots[site] = f"b{boot}"

    def stranger(self, payload: bytes) -> None:
        """C5: a block that its site cannot have sealed goes into quarantine, and nowhere else."""
        self._strangers.add(wire.digest(payload))

    def signed(self, order: str) -> None:
        """The office has signed an order."""
        self._signed[order] = self._scheduler.now

    def carried_out(self, site: str, order: str) -> None:
        """An order is carried out once, and within its time."""
        self._scheduler.seen("order carried out")
        age = self._scheduler.now - self._signed[order]
        if order in self._carried_out or age > VALID_FOR:
            raise Failed(f"orders: {site} carries out {order} {age / SECOND:.1f} s after it was signed, or again")
        self._carried_out.add(order)

    def is_old(self, site: str) -> None:
        """A site whose gateway has no history: what a set-back office has lost of it is lost."""
        self._old.add(site)

    def disturb(self, site: str, until: Micros) -> None:
        """Until then alarms of this site may be late, for a fault that cuts their way."""
        self._calm[site] = max(self._calm[site], until)

    def connected(self, site: str) -> None:
        self._scheduler.seen(f"connected while {'calm' if self._calm[site] <= self._scheduler.now else 'disturbed'}")

    def _look_for(self, site: str, entry: Entry, sealed: Micros, before: int) -> None:
        if entry.fate != "due" or (entry.identity, entry.digest) in self._ever or entry.block is None:
            return
        calm = max(sealed, self._calm[site])
        due = max(calm, self._stumbled(entry)) + ALARM_WITHIN + before * ALARM_EACH
        if self._scheduler.now < due:
            self._scheduler.after(due - self._scheduler.now, self._look_for, site, entry, sealed, before)
            return
        raise Failed(
            f"C4: alarms block {entry.identity} is not at the office {ALARM_WITHIN // SECOND} s after it could"
        )

    def _stumbled(self, entry: Entry) -> Micros:
        """Return until when alarms may wait for one before them whose bytes do not even tell its number.

        The office learns from a status that nobody has that one; for one with a number there is nothing to wait for.
        """
        site, epoch, stream, sequence = entry.identity
        stated = STATED_OLD if site in self._old else STATED
        before = (self.book.get((site, epoch, stream, one), ()) for one in range(max(1, sequence - NEAR), sequence))
        spoilt = [
            one
            for entries in before
            for one in entries
            if one.block is None and one.fate == "due" and header_of(one.payload, site, stream) is None
        ]
        told = [max(self._quarantined.get(one.digest, self._scheduler.now), self._calm[site]) for one in spoilt]
        return max(told, default=0) + stated if spoilt else 0

    # at the office

    def bounded_office(self, machine: IngestMachine, dealer: Dealer) -> None:
        """C6: parked blocks, transactions to come, and what waits for its turn."""
        if len(dealer) > dealer.count or dealer.size > dealer.bytes:
            raise Failed(f"C6: {len(dealer)} messages wait, {dealer.size} bytes")
        if machine.parked() > machine.limits.parked:
            raise Failed(f"C6: {machine.parked()} blocks are parked")
        if max(machine.pending()) > MAX_READY:
            raise Failed(f"C6: {machine.pending()} entries are ready")
        if machine.parked():
            self._scheduler.seen("parked")

    def committed(self, transaction: Transaction, outcome: Outcome, sql: sqlite3.Connection) -> None:
        """Keep what the store has from now on; C1 and C5 for its words, C3 for order and newest values."""
        for entry, applied in zip(transaction.entries, outcome.applied, strict=True):
            match entry:
                case PutBlock():
                    self._block(entry, applied)
                case PutQuarantine() if entry.reason != "too-new":
                    self._quarantined.setdefault(entry.digest, self._scheduler.now)
                    self._scheduler.seen("quarantine")
                    if entry.epoch is not None and entry.stream is not None and entry.sequence is not None:
                        identity = (entry.site, entry.epoch, entry.stream, entry.sequence)
                        self._first.setdefault(identity, entry.digest)
                        self._ever.add((identity, entry.digest))
                case PutVolatile(block=block):
                    self._told.add((block.site, block.epoch, block.boot, block.sequence))
                    self._scheduler.seen("told from memory")
                case PutMissing():
                    self._missing.append(entry)
                    self._scheduler.seen("missing")
                case _:
                    pass
        self._in_order(outcome)
        if any(isinstance(entry, PutBlock) and entry.block.samples for entry in transaction.entries):
            self._newest(sql)

    def _block(self, put: PutBlock, applied: str) -> None:
        block = put.block
        identity = (block.site, block.epoch, block.stream, block.sequence)
        self._scheduler.seen(applied)
        first = self._first.setdefault(identity, put.digest)
        self._ever.add((identity, put.digest))
        before = "new" if (applied == "new") else "repeat" if first == put.digest else "conflict"
        if applied != before:
            raise Failed(f"C5: {identity} is a {before}, the store says {applied}")
        if not any(one.digest == put.digest or one.newer == put.payload for one in self.book.get(identity, ())):
            raise Failed(f"C1: {identity} was never sealed like that")

    def _in_order(self, outcome: Outcome) -> None:
        for move in outcome.transitions:
            if MARK in move.epoch:
                continue  # told from memory, beside the order
            key = (move.epoch, move.transition.key)
            late = (move.site, move.epoch, "alarms", move.sequence) in self._fetched
            given_up = late or self._given_up(move.site, move.epoch, move.sequence)
            if move.sequence <= self._moved.get(key, 0) and not given_up:
                raise Failed(f"C3: {key} {move.sequence} is applied after {self._moved[key]}")
            self._moved[key] = max(move.sequence, self._moved.get(key, 0))

    def _given_up(self, site: str, epoch: str, sequence: int, stream: Stream = "alarms") -> bool:
        of = (site, epoch, stream)
        return any(
            (one.site, one.epoch, one.stream) == of and one.start <= sequence <= one.end for one in self._missing
        )

    def _newest(self, sql: sqlite3.Connection) -> None:
        for point, epoch, sequence, position in sql.execute("SELECT point, epoch, sequence, position FROM latest"):
            before = self._latest.get((point, epoch), (0, 0))
            if before > (sequence, position):
                raise Failed(f"C3: latest of point {point} went back from {before} to {(sequence, position)}")
            self._latest[point, epoch] = (sequence, position)

    def set_back(self, sql: sqlite3.Connection) -> None:
        """The office came back from an old backup: what it has is what is in there."""
        self.restored = True
        self._scheduler.seen("office set back")
        rows = sql.execute("SELECT site, epoch, stream, sequence, digest FROM blocks")
        self._first = {(site, epoch, stream, sequence): digest for site, epoch, stream, sequence, digest in rows}
        self._fetched |= {identity for identity, _ in self._ever if identity not in self._first}
        self._latest.clear()
        self._newest(sql)
        moves = sql.execute("SELECT epoch, key, max(sequence) FROM transitions GROUP BY epoch, key")
        self._moved = {(epoch, key): sequence for epoch, key, sequence in moves}

    # in the end

    def final(self, path: Path, outboxes: Iterable[Outbox]) -> None:
        """C1 and C5 over the whole store."""
        sql = sqlite3.connect(path)
        try:
            self._stored(sql, {outbox.epoch for outbox in outboxes})
            self._contents(sql)
            self._states(sql)
        finally:
            sql.close()

    def _stored(self, sql: sqlite3.Connection, epochs: set[str]) -> None:
        rows = sql.execute("SELECT site, epoch, stream, sequence, digest FROM blocks").fetchall()
        stored = {row[:4]: row[4] for row in rows}
        others = {row[:5] for row in sql.execute("SELECT site, epoch, stream, sequence, other FROM conflicts")}
        held = {row[0] for row in sql.execute("SELECT digest FROM quarantine")}
        if not self.restored and not self._strangers & set(self._quarantined) <= held:
            raise Failed("C5: a block of an impossible number is not in quarantine")
        told = {
            (row[0], row[1], one)
            for row in sql.execute(
                "SELECT b.site, b.epoch, json_extract(fields, '$.first'), json_extract(fields, '$.last') FROM events e"
                " JOIN blocks b ON b.id = e.block WHERE source_id LIKE '%/dropped'"
            )
            for one in range(row[2], row[3] + 1)
        }
        for identity, entries in self.book.items():
            for entry in entries:
                there = stored.get(identity) == entry.digest or (*identity, entry.digest) in others
                if there or entry.fate == "lost" or (entry.block is None and entry.digest in held):
                    continue
                if self.restored and self._excused(entry, epochs):
                    continue
                if entry.fate == "dropped":
                    if (identity[0], identity[1], identity[3]) not in told:
                        raise Failed(f"C1: {identity} was dropped and nobody was told")
                    continue
                raise Failed(f"C1: {identity} is not in the store")
        for identity, digest in stored.items():
            if digest != self._first.get(identity):
                raise Failed(f"C5: of {identity} the first bytes did not stay")
            if all(entry.digest != digest for entry in self.book.get(identity, ())):
                raise Failed(f"C1: {identity} was never sealed like that")

    def _excused(self, entry: Entry, epochs: set[str]) -> bool:
        """Tell whether a block may be missing because the office was set back: what a site still has is fetched again.

        Not what it dropped, not what was of an epoch whose disk is gone, not what is listed as missing, and not what a
        twin has taken the place of in the meantime.
        """
        site, epoch, stream, sequence = entry.identity
        if (entry.identity, entry.digest) not in self._ever and entry.digest not in self._quarantined:
            return entry.fate == "dropped"
        twin = len(self.book[entry.identity]) > 1 or site in self._old
        return entry.block is None or twin or epoch not in epochs or self._given_up(site, epoch, sequence, stream)

    def _contents(self, sql: sqlite3.Connection) -> None:
        """C1: what is in the blocks stands in the tables once, with its values, and nothing else does."""
        due_samples: list[tuple[str, str, int, int, object, int]] = []
        due_events: list[tuple[str, str, int]] = []
        due_moves: list[tuple[str, int, str, str]] = []
        by_digest = {entry.digest: entry for entries in self.book.values() for entry in entries}
        for row in sql.execute("SELECT digest FROM blocks WHERE quarantined = 0"):
            block = by_digest[row[0]].block
            assert isinstance(block, Block)
            of = (block.site, block.epoch, block.sequence)
            due_samples += [(*of, i, one.value, block.wall(one.at)) for i, one in enumerate(block.samples)]
            due_events += [(block.site, one.source_id, block.wall(one.at)) for one in block.events]
            due_moves += [(block.epoch, block.sequence, move.key, move.target) for move in block.transitions]
        samples = sql.execute("SELECT site, epoch, sequence, position, value, at FROM v_samples").fetchall()
        events = sql.execute("SELECT site, source_id, at FROM events").fetchall()
        moves = sql.execute("SELECT epoch, sequence, key, target FROM transitions WHERE volatile = 0").fetchall()
        for what, have, due in (
            ("samples", samples, due_samples),
            ("events", events, due_events),
            ("moves", moves, due_moves),
        ):
            if sorted(have) != sorted(due):
                raise Failed(f"C1: {what} in the store are not those of its blocks: {len(have)}, not {len(due)}")

    def _states(self, sql: sqlite3.Connection) -> None:
        """C3: an alarm stands as its newest transition says; within an epoch, because the clock may be wrong."""
        newest = sql.execute(
            "SELECT a.key, a.sequence, a.state, max(t.sequence), t.target FROM alarms a"
            " JOIN transitions t ON t.key = a.key AND t.epoch = a.epoch WHERE NOT EXISTS"
            " (SELECT 1 FROM transitions v WHERE v.key = a.key AND v.volatile = 1) GROUP BY a.key"
        )
        for key, sequence, state, last, target in newest:
            if (sequence, state) != (last, target):
                raise Failed(f"C3: {key} stands as {state} of {sequence}, its newest move is {target} of {last}")
        points = sql.execute(
            "SELECT l.point, l.epoch, l.sequence, max(s.sequence) FROM v_latest l JOIN v_samples s"
            " ON s.site = l.site AND s.point = l.point AND s.epoch = l.epoch GROUP BY l.site, l.point"
        )
        for point, epoch, sequence, last in points:
            if sequence != last and len(self._epochs_of(epoch)) == 1:
                raise Failed(f"C3: latest of {point} is of block {sequence}, not {last}")

    def _epochs_of(self, epoch: str) -> set[str]:
        site = next(identity[0] for identity in self.book if identity[1] == epoch)
        return {identity[1] for identity in self.book if identity[0] == site}
