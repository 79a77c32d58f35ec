"""What one transaction writes, in SQL, on the writer's connection. Everything here runs inside that transaction.

`_claim` is the one place where a repeat is told from a new block; whatever it does not claim as new writes nothing.
"""

from collections import defaultdict
from functools import lru_cache
from operator import itemgetter

import msgspec

from cloud_sync.lacking import Lack
from cloud_sync.store import (
    catalogues,
    heads,
    identity,
    late,
    orders,
    quarantine,
    retention,
    rollups,
    statuses,
    streams,
    told,
    turns,
    volatile,
)
from cloud_sync.store.base import (
    Applied,
    Outcome,
    PutBlock,
    PutCatalogue,
    PutMissing,
    PutQuarantine,
    PutReplay,
    PutStatus,
    PutVolatile,
    StoredTransition,
    Transaction,
    Turn,
)
from cloud_sync.store.clocks import Clocks
from cloud_sync.store.coverage import Interval, extend
from cloud_sync.store.newest import Newest
from cloud_sync.store.sql import Row, Sql
from sitekeeper.block import Block, Stream
from sitekeeper.catalogue import Catalogue, decode
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import StorageError

_json = msgspec.json.Encoder()
_NEVER = 2**62


class Applier:
    """Applies transactions. It remembers points by catalogue; `forget` after a transaction that failed.

    Args:
        strict: an alarms block that is not the next one of its epoch comes to `early` and writes nothing. For a store
            with several writers; where there is one, its machine hands alarms in in order.
    """

    _sql: Sql

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._points: dict[str, list[int]] = {}
        self._groups: dict[str, list[str]] = {}
        self._since: dict[str, Micros] = {}
        self._newest = Newest()
        self._clocks = Clocks()

    def forget(self) -> None:
        """Forget what was learnt, because the transaction in which it was learnt may not have happened."""
        self._points.clear()
        self._groups.clear()
        self._since.clear()
        self._newest.forget()
        self._clocks.forget()

    def apply(self, sql: Sql, transaction: Transaction) -> Outcome:
        """Write all entries in their order, inside a transaction of `sql`; repeats write nothing."""
        self._sql = sql
        applied: list[Applied] = []
        bulk = _Bulk(self._claim_samples(transaction))
        self._hear(transaction)
        for place, entry in enumerate(transaction.entries):
            match entry:
                case PutBlock():
                    applied.append(self._block(entry, transaction.at, bulk, bulk.claims.get(place)))
                case PutVolatile():
                    moves = volatile.tell(self._sql, entry.block, transaction.at)
                    bulk.moves += moves
                    applied.append("new" if moves else "repeat")
                case PutCatalogue():
                    applied.append(self._catalogue(entry, transaction.at, bulk))
                case PutStatus():
                    self._status(entry, transaction.at)
                    applied.append("new")
                case PutQuarantine():
                    applied.append(self._quarantine(entry, transaction.at))
                case PutReplay():
                    applied.append(self._replay(entry, transaction.at, bulk))
                case PutMissing():
                    self._missing(entry, transaction.at)
                    applied.append("new")
        self._flush(bulk, transaction.at)
        return Outcome(
            applied=tuple(applied),
            transitions=tuple(bulk.moves),
            turns=bulk.turns,
            forgotten=tuple(bulk.forgotten),
        )

    def _hear(self, transaction: Transaction) -> None:
        """Note when each site was heard, in order of their names: from here on its rows are ours until the commit.

        So two writers never extend one site's coverage at the same time, and never wait for each other in a ring.
        """
        heard: dict[str, Micros] = {}
        for entry in transaction.entries:
            match entry:
                case PutBlock(block=block):
                    heard[block.site] = transaction.at
                case PutCatalogue(site=site):
                    heard[site] = transaction.at
                case (
                    PutMissing(site=site)
                    | PutReplay(entry=PutCatalogue(site=site))
                    | PutQuarantine(site=site, epoch=str())
                ):
                    heard.setdefault(site, 0)
                case PutReplay(entry=PutBlock(block=block)):
                    heard.setdefault(block.site, 0)
                case PutStatus(status=status, live=live):
                    seen = transaction.at if live and status.online else 0
                    heard[status.site] = max(seen, heard.get(status.site, 0))
        self._sql.executemany(_HEARD, [(site, transaction.at, seen) for site, seen in sorted(heard.items())])

    # blocks

    def _block(self, put: PutBlock, at: Micros, bulk: "_Bulk", claimed: tuple[int, Applied] | None) -> Applied:
        block = put.block
        if self._strict and block.stream == "alarms":
            turn = turns.of(self._sql, block.site, block.epoch)
            if block.sequence > turn.next:
                bulk.turns[block.site, block.epoch] = turn
                return "early"
        block_id, applied = claimed or self._claim(put, at)
        if applied != "new":
            return applied
        bulk.taken[block.site, block.epoch, block.stream].append(block.sequence)
        self._clocks.sealed(self._sql, block)
        if block.samples or block.vouch:
            self._in_use(block)
        if block.samples:
            self._collect_samples(block, block_id, bulk)
        for position, event in enumerate(block.events):
            row = (block.site, event.source_id, block.wall(event.at), _text(event.fields), event.device_sequence)
            self._sql.execute(
                "INSERT INTO events (site, source_id, at, fields, device_sequence, source, late, block, position)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, event.source, event.late, block_id, position),
            )
            if event.source_id.endswith("/command"):
                orders.told(self._sql, block.site, event.fields, at)
            elif event.source_id in told.EVENTS:
                told.take(self._sql, block.site, event.source_id, event.fields, at)
        if block.transitions:
            bulk.moves += late.settle(self._sql, block, volatile.add(self._sql, block, at), at)
        if block.vouch:
            groups = self._groups_of(block.catalogue)
            for vouch in block.vouch:
                bulk.coverage[block.site][groups[vouch.group]].append((vouch.start, vouch.until))
        bulk.gaps += [(block.site, gap.group, gap.start, gap.end, gap.cause, block_id) for gap in block.gaps]
        return "new"

    def _claim(self, put: PutBlock, at: Micros) -> tuple[int, Applied]:
        """Take a block's identity, in the same transaction as its records: new, a repeat, or a conflict.

        Of two blocks with one identity and different bytes the first stays; the other is kept as a conflict.
        """
        block = put.block
        identity = (block.site, block.epoch, block.stream, block.sequence)
        clock = (block.trusted, block.t0, block.mono0)
        records = len(block.samples) + len(block.events) + len(block.transitions)
        new = self._sql.execute(
            "INSERT INTO blocks (site, epoch, stream, sequence, boot, catalogue, trusted, t0, mono0, records, size,"
            " digest, committed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
            (*identity, block.boot, block.catalogue, *clock, records, len(put.payload), put.digest, at),
        ).fetchone()
        if new is not None:
            if not retention.had(self._sql, block, at):
                return new[0], "new"
            self._sql.execute("DELETE FROM blocks WHERE id = ?", (new[0],))
            return new[0], "repeat"
        [found] = self._sql.execute(
            "SELECT id, digest, quarantined FROM blocks WHERE site = ? AND epoch = ? AND stream = ? AND sequence = ?",
            identity,
        )
        if found[1] == put.digest:
            return found[0], "repeat"
        if found[2]:  # what stands there could not be read, and is kept elsewhere: this is the block
            self._sql.execute("DELETE FROM blocks WHERE id = ?", (found[0],))
            return self._claim(put, at)
        quarantine.conflict(self._sql, identity, found[1], put.digest, put.payload, at)
        return found[0], "conflict"

    def _claim_samples(self, transaction: Transaction) -> dict[int, tuple[int, Applied]]:
        """Claim the samples blocks before anything else and in order: two writers with the same blocks form no ring."""
        puts = [
            (one.block.site, one.block.epoch, one.block.sequence, place, one)
            for place, one in enumerate(transaction.entries)
            if isinstance(one, PutBlock) and one.block.stream == "samples"
        ]
        return {place: self._claim(put, transaction.at) for *_, place, put in sorted(puts, key=lambda one: one[:4])}

    def _collect_samples(self, block: Block, block_id: int, bulk: "_Bulk") -> None:
        points, shift, cells = self._points_of(block.catalogue), block.t0 - block.mono0, self._sql.dialect.cells
        rows: list[Row] = [
            (points[one.handle], one.at + shift, one.q, one.source, block_id, position, *cells(one.value))
            for position, one in enumerate(block.samples)
        ]
        bulk.samples += rows
        newest, reach = bulk.latest.setdefault(block.epoch, ({}, {}))
        for row in rows:  # ascending, so the last one of each point stays
            point, at = row[:2]
            before = newest.get(point)
            if before is None or block.sequence >= before[0]:
                newest[point] = (block.sequence, row)
            if before is None or at > reach[point]:
                reach[point] = at

    def _flush(self, bulk: "_Bulk", at: Micros) -> None:
        """Write what was collected over all blocks, sorted by key, so that each page is touched once."""
        values = self._sql.dialect.values
        bulk.samples.sort(key=itemgetter(0, 1))
        self._sql.insert("samples", (*_SAMPLE, *values), bulk.samples)
        for epoch, (newest, reach) in sorted(bulk.latest.items()):
            rows = [
                (*row[:4], epoch, sequence, *row[5:], reach[point])
                for point, (sequence, row) in sorted(newest.items())
                if self._newest.take(epoch, point, (sequence, row[5]), reach[point])
            ]
            self._sql.upsert("latest", (*_LATEST, *values, "reach"), rows, _last(values))
        for site, intervals in sorted(bulk.coverage.items()):
            extend(self._sql, site, intervals)
        self._sql.insert("gaps", _GAP, bulk.gaps)
        rollups.mark(self._sql, bulk.samples, bulk.coverage, bulk.gaps, at)
        for stream, sequences in sorted(bulk.taken.items()):
            streams.extend(self._sql, *stream, sequences)

    # everything else

    def _catalogue(self, put: PutCatalogue, at: Micros, bulk: "_Bulk", *, wanted: bool = False) -> Applied:
        applied, gone = catalogues.take(self._sql, put, at, wanted=wanted)
        for one in gone:
            bulk.forgotten.append(one)
            self._points.pop(one, None)
            self._groups.pop(one, None)
        if applied not in ("new", "repeat"):
            return applied
        catalogue = put.catalogue
        self._sql.execute(
            "UPDATE sites SET names = ?, timezone = ?, catalogue = ? WHERE site = ?",
            (_text(catalogue.names), catalogue.timezone, put.hash, put.site),
        )
        classes = {device.id: device.cls for device in catalogue.devices}
        rows = [
            (put.site, row.id, row.device, classes[row.device], row.type, row.unit, row.group, _text(row.names))
            for row in catalogue.points
        ]
        stored = self._sql.execute(f"SELECT {_POINT} FROM points WHERE site = ?", (put.site,))  # noqa: S608
        known = {tuple(row) for row in stored}
        self._sql.executemany(_SAVE_POINT, [row for row in rows if row not in known])
        return applied

    def _status(self, put: PutStatus, at: Micros) -> None:
        status, newest = put.status, statuses.is_newest(self._sql, put.status)
        if put.live and status.online:
            volatile.heard(self._sql, status, at)
            self._clocks.heard(self._sql, status, at)
            identity.heard(self._sql, status, at)
        heads.note(self._sql, status, at, live=put.live, newest=newest)
        if not newest:
            return
        state = (status.online, status.epoch, status.boot, status.version, status.clock, status.window)
        self._sql.execute(
            'UPDATE sites SET online = ?, epoch = ?, boot = ?, version = ?, clock_trusted = ?, "window" = ?, first = ?,'
            " unsent = ?, nonce = ?, status_at = ?, status_mono = ? WHERE site = ?",
            (*state, _text(status.first), _text(status.unsent), status.nonce, status.at, status.mono, status.site),
        )

    def _missing(self, put: PutMissing, at: Micros) -> None:
        streams.state_missing(self._sql, Lack(put.site, put.epoch, put.stream, put.start, put.end), at)

    def _quarantine(self, put: PutQuarantine, at: Micros) -> Applied:
        if put.reason == "sequence" and put.epoch is not None and put.stream is not None and put.sequence is not None:
            quarantine.conflict(self._sql, (put.site, put.epoch, put.stream, put.sequence), "", put.digest, b"", at)
        if not quarantine.keep(self._sql, put, at):
            return "overflow"
        placed = put.reason not in ("too-new", "sequence")
        if put.epoch is not None and put.stream is not None and put.sequence is not None and placed:
            # Its place is taken: those behind it go on.
            self._sql.execute(
                "INSERT INTO blocks (site, epoch, stream, sequence, boot, catalogue, trusted, t0, mono0,"
                " records, size, digest, quarantined, committed) VALUES (?, ?, ?, ?, '', '', 0, 0, 0, 0, ?, ?, 1, ?)"
                " ON CONFLICT DO NOTHING",
                (put.site, put.epoch, put.stream, put.sequence, len(put.payload), put.digest, at),
            )
            streams.extend(self._sql, put.site, put.epoch, put.stream, [put.sequence])
        return "quarantined"

    def _replay(self, put: PutReplay, at: Micros, bulk: "_Bulk") -> Applied:
        quarantine.replayed(self._sql, put.number, at)
        match put.entry:
            case PutBlock():
                return self._block(put.entry, at, bulk, None)
            case PutCatalogue():
                return self._catalogue(put.entry, at, bulk, wanted=True)

    def _in_use(self, block: Block) -> None:
        """Note since when a catalogue is in use: the ledger begins the time of its points there."""
        if block.t0 < self._since.get(block.catalogue, _NEVER):
            self._sql.execute(
                "UPDATE catalogues SET since = ? WHERE hash = ? AND (since IS NULL OR since > ?)",
                (block.t0, block.catalogue, block.t0),
            )
            self._since[block.catalogue] = block.t0

    def _points_of(self, catalogue_hash: str) -> list[int]:
        if catalogue_hash not in self._points:
            self._learn(catalogue_hash)
        return self._points[catalogue_hash]

    def _groups_of(self, catalogue_hash: str) -> list[str]:
        if catalogue_hash not in self._groups:
            self._learn(catalogue_hash)
        return self._groups[catalogue_hash]

    def _learn(self, catalogue_hash: str) -> None:
        row = self._sql.execute("SELECT site, payload FROM catalogues WHERE hash = ?", (catalogue_hash,)).fetchone()
        if row is None:
            raise StorageError(f"central store: no catalogue {catalogue_hash[:200]!r}", refused=True)
        catalogue: Catalogue = decode(row[1])
        ids = {one[0]: one[1] for one in self._sql.execute("SELECT point, id FROM points WHERE site = ?", (row[0],))}
        self._points[catalogue_hash] = [ids[point.id] for point in catalogue.points]
        self._groups[catalogue_hash] = [group.id for group in catalogue.groups]


class _Bulk:
    """Rows collected over the blocks of one transaction.

    Attributes:
        claims: the samples blocks that are claimed already, by the place of their entry.
    """

    def __init__(self, claims: dict[int, tuple[int, Applied]]) -> None:
        self.claims = claims
        self.samples: list[Row] = []
        self.latest: dict[str, tuple[dict[int, tuple[int, Row]], dict[int, Micros]]] = {}
        self.coverage: dict[str, dict[str, list[Interval]]] = defaultdict(lambda: defaultdict(list))
        self.gaps: list[Row] = []
        self.taken: dict[tuple[str, str, Stream], list[int]] = defaultdict(list)
        self.moves: list[StoredTransition] = []
        self.turns: dict[tuple[str, str], Turn] = {}
        self.forgotten: list[str] = []


_SAMPLE = ("point", "at", "q", "source", "block", "position")
_LATEST = ("point", "at", "q", "source", "epoch", "sequence", "position")
_GAP = ("site", "scan_group", "start", '"end"', "cause", "block")
_POINT = "site, point, device, class, type, unit, scan_group, names"
_SAVE_POINT = f"""
INSERT INTO points ({_POINT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (site, point) DO UPDATE SET device = excluded.device, class = excluded.class, type = excluded.type,
    unit = excluded.unit, scan_group = excluded.scan_group, names = excluded.names"""  # noqa: S608 - our own columns
_HEARD = """
INSERT INTO sites (site, first_seen, last_seen) VALUES (?, ?, ?) ON CONFLICT (site) DO UPDATE SET
    last_seen = CASE WHEN excluded.last_seen > sites.last_seen THEN excluded.last_seen ELSE sites.last_seen END"""


@lru_cache(2)
def _last(values: tuple[str, ...]) -> str:
    """Return what keeps the last sample of a point in each epoch; which epoch's counts is decided when it is read.

    Within an epoch the order of recording decides, whatever the clock did. Between epochs there is only time, and the
    one that reached furthest counts: both are the same in whatever order blocks come.
    """
    newer = "(excluded.sequence, excluded.position) > (latest.sequence, latest.position)"
    further = "excluded.reach > latest.reach"
    columns = dict.fromkeys(("at", "q", "source", "sequence", "position", *values), newer) | {"reach": further}
    choices = [f"{one} = CASE WHEN {when} THEN excluded.{one} ELSE latest.{one} END" for one, when in columns.items()]
    return f"ON CONFLICT (point, epoch) DO UPDATE SET {', '.join(choices)} WHERE {newer} OR {further}"


def _text(value: object) -> str:
    return _json.encode(value).decode()
