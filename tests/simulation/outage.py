"""A link that is down for a day or three, with as many blocks as a site of 500 points really makes meanwhile.

Blocks are made when they are read, as a disk would give them: what waits costs nothing. A block of samples is sealed
each `every`, an alarm each half an hour. When the link is back the alarms must be at the office at once, new samples
must not wait for old ones, and all of it must be there, once and byte-equal, in the time that the rate allows.
"""

import sqlite3
from dataclasses import dataclass
from random import Random
from typing import Any

from cloud_sync import wire
from cloud_sync.ingest_records import IngestLimits
from cloud_sync.store.base import Outcome, PutBlock, Transaction
from cloud_sync.uplink_machine import UplinkLimits, UplinkMachine
from cloud_sync.wire import Receipt
from sitekeeper.block import STREAMS, Block, Stream, encode
from sitekeeper.model.clock import MINUTE, SECOND, Micros
from tests.simulation import material
from tests.simulation.broker import Broker, Link
from tests.simulation.gateway import EPOCH_2026, Gateway, Surroundings
from tests.simulation.material import Header
from tests.simulation.office import Office
from tests.simulation.oracle import ALARM_EACH, ALARM_WITHIN, Oracle
from tests.simulation.scheduler import Failed, Scheduler
from tests.simulation.world import prepared

SITE, EPOCH, POINTS = "site0", "site0-e1", 500
BEFORE: Micros = 2 * MINUTE
"""The link is up for so long before it goes down."""

LIVE_WITHIN: Micros = 2 * SECOND
"""From the seal of samples to their commit while old ones are drained, once the alarms and events are through."""

DRAINED: Micros = SECOND // 150
"""Of the time for draining, each block's share; its fixed share is `DRAINED_AT_LEAST`."""

DRAINED_AT_LEAST: Micros = 2 * MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """How it went: blocks, and simulated seconds from link-up to the last alarm, event and block."""

    blocks: int
    alarms: int
    alarms_s: float
    events_s: float
    drained_s: float
    digest: str


class Backlog:
    """The outbox of a site that seals by the clock; it implements `cloud_sync.uplink.BlockSource`."""

    def __init__(self, scheduler: Scheduler, every: Micros, catalogue: tuple[str, bytes]) -> None:
        self.site, self.epoch = SITE, EPOCH
        self.catalogues = dict([catalogue])
        self.every: dict[Stream, Micros] = {"alarms": 30 * MINUTE, "events": 10 * MINUTE, "samples": every}
        self.until: Micros | None = None
        self._catalogue = catalogue[0]
        self._scheduler = scheduler
        self._low = dict.fromkeys(STREAMS, 0)
        self._above: dict[Stream, set[int]] = {stream: set() for stream in STREAMS}

    @property
    def unreleased(self) -> dict[Stream, Any]:
        return {stream: self.unsent(stream)[2] for stream in STREAMS}

    def newest(self, stream: Stream) -> int:
        now = self._scheduler.now if self.until is None else min(self.until, self._scheduler.now)
        return now // self.every[stream]

    def next_sequence(self, stream: Stream) -> int:
        return self.newest(stream) + 1

    def unsent(self, stream: Stream) -> tuple[int, int, int]:
        newest, low = self.newest(stream), self._low[stream]
        return low + 1, newest, newest - low - len(self._above[stream])

    def read(self, stream: Stream, sequence: int, *, history: bool = False) -> bytes | None:
        done = sequence <= self._low[stream] or sequence in self._above[stream]
        return None if done and not history else encode(self.block(stream, sequence))

    def block(self, stream: Stream, sequence: int) -> Block:
        """Return the block that has this sequence; the same one each time."""
        mono = sequence * self.every[stream]
        header = Header(
            site=SITE, epoch=EPOCH, boot="b", catalogue=self._catalogue, t0=EPOCH_2026 + mono, mono0=mono
        )  # fmt: skip
        match stream:
            case "alarms":
                return material.alarm(header, sequence, "L01", 0 if sequence % 2 else sequence - 1)
            case "events":
                return material.event(header, sequence, "note", {"n": sequence})
            case "samples":
                values = [((sequence * 7 + i) % POINTS, sequence * 2 + i) for i in range(2)]
                return material.samples(header, sequence, values, since=mono - self.every[stream])

    def release(self, epoch: str, ranges: list[tuple[Stream, int, int]]) -> None:
        for stream, start, end in ranges:
            above = self._above[stream]
            above.update(one for one in range(start, end + 1) if one > self._low[stream])
            while self._low[stream] + 1 in above:
                self._low[stream] += 1
                above.remove(self._low[stream])

    def left(self) -> int:
        return sum(self.unsent(stream)[2] for stream in STREAMS)

    def waits(self) -> bool:
        return False

    def standing(self) -> dict[int, bytes]:
        return {}

    def crash(self) -> None:
        """Everything is durable at once here."""


class LongOracle(Oracle):
    """As the other one, with a bit for each block instead of a book."""

    def __init__(self, scheduler: Scheduler, backlog: Backlog) -> None:
        super().__init__(scheduler, {})
        self.up_at: Micros = 0
        self.alarms_at: Micros = 0
        self.through_at: Micros = 0
        self.have: dict[Stream, set[int]] = {stream: set() for stream in STREAMS}
        self._backlog = backlog

    def released(
        self, outbox: object, machine: UplinkMachine, epoch: str, ranges: list[tuple[Stream, int, int]]
    ) -> None:
        for stream, start, end in ranges:
            if not self.have[stream].issuperset(range(start, end + 1)):
                raise Failed(f"C2: {stream} {start} to {end} released before the commit")

    def released_saved(self, outbox: object, machine: UplinkMachine, receipt: Receipt) -> None:
        """There is one file here, and nothing of an earlier one."""

    def committed(self, transaction: Transaction, outcome: Outcome, sql: sqlite3.Connection) -> None:
        now = self._scheduler.now
        for entry, applied in zip(transaction.entries, outcome.applied, strict=True):
            if not isinstance(entry, PutBlock):
                continue
            stream, sequence = entry.block.stream, entry.block.sequence
            if applied != ("repeat" if sequence in self.have[stream] else "new"):
                raise Failed(f"C1: {stream} {sequence} is {applied}")
            if stream == "alarms" and applied == "new":
                self.alarms_at = now
                if sequence != len(self.have[stream]) + 1:
                    raise Failed(f"C3: alarms {sequence} out of order")
            sealed = sequence * self._backlog.every[stream]
            if stream == "samples" and sealed > self.through_at > 0 and now - sealed > LIVE_WITHIN:
                raise Failed(f"C4: {stream} {sequence} waited {(now - sealed) / SECOND:.1f} s behind old samples")
            self.have[stream].add(sequence)
        if self.up_at and not self.through_at and self._through():
            self.through_at = now

    def _through(self) -> bool:
        return all(len(self.have[stream]) >= self._backlog.newest(stream) for stream in ("alarms", "events"))


class Outage:
    """One long cut, and what follows."""

    def __init__(self, seed: int, *, lasts: Micros, every: Micros) -> None:
        self._random = Random(seed)
        self._lasts = lasts
        self.scheduler = Scheduler()
        catalogue = material.catalogue(SITE, POINTS, 0)
        self.backlog = Backlog(self.scheduler, every, catalogue)
        self.oracle = LongOracle(self.scheduler, self.backlog)
        broker = self.broker = Broker(self.scheduler, Random(self._random.randrange(2**32)))
        broker.links |= {"office": Link(), SITE: Link()}
        around = Surroundings(scheduler=self.scheduler, broker=broker, oracle=self.oracle)
        limits, seeds = UplinkLimits(), (self._random.randrange(2**32), self._random.randrange(2**32))
        self.gateway = Gateway(around, self.backlog, catalogue[0], limits, seeds[0])  # type: ignore[arg-type]
        self._around, self._seed = around, seeds[1]

    def run(self) -> Drained:
        """Live through it. Raises Failed."""
        scheduler, backlog, link = self.scheduler, self.backlog, self.broker.links[SITE]
        with prepared() as path:
            office = Office(self._around, path, IngestLimits(), self._seed)
            office.start()
            self.gateway.start()
            self._tick()
            scheduler.run(BEFORE)
            link.down = True
            if self.gateway.connection is not None:
                self.broker.hang_up(self.gateway.connection)
            scheduler.run(BEFORE + self._lasts)
            up = self.oracle.up_at = scheduler.now
            waiting, alarms = backlog.left(), backlog.unsent("alarms")[2]
            link.down = False
            self.gateway.link_up()
            scheduler.run(up + ALARM_WITHIN + alarms * ALARM_EACH)
            if len(self.oracle.have["alarms"]) < backlog.newest("alarms"):
                raise Failed(f"C4: {backlog.unsent('alarms')[2]} of {alarms} alarms are not at the office")
            alarms_at = self.oracle.alarms_at
            drained = scheduler.run(
                up + DRAINED_AT_LEAST + waiting * DRAINED, done=lambda: backlog.left() < 5 and office.idle()
            )
            took = scheduler.now - up
            if not drained:
                raise Failed(f"liveness: {backlog.left()} of {waiting} blocks are left after {took / SECOND:.0f} s")
            backlog.until = scheduler.now
            scheduler.run(scheduler.now + MINUTE)
            office.stop()
            self._compare(sqlite3.connect(path))
        return Drained(
            blocks=waiting,
            alarms=alarms,
            alarms_s=(alarms_at - up) / SECOND,
            events_s=(self.oracle.through_at - up) / SECOND,
            drained_s=took / SECOND,
            digest=scheduler.digest(),
        )

    def _tick(self) -> None:
        """Every second something may be new; while the link is down nobody looks."""
        down = self.broker.links[SITE].down
        self.gateway.pump()
        rest = BEFORE + self._lasts - self.scheduler.now
        self.scheduler.after(rest if down and rest else SECOND, self._tick)

    def _compare(self, sql: sqlite3.Connection) -> None:
        """C1: the store holds exactly the blocks that were sealed, and one row for each sample."""
        wanted = {(stream, one) for stream in STREAMS for one in range(1, self.backlog.newest(stream) + 1)}
        rows = sql.execute("SELECT stream, sequence, digest FROM blocks").fetchall()
        samples = sql.execute("SELECT count(*) FROM samples").fetchone()[0]
        sql.close()
        if {row[:2] for row in rows} != wanted:
            raise Failed(f"C1: {len(rows)} blocks are in the store, {len(wanted)} were sealed")
        for stream, sequence, digest in self._random.sample(rows, min(len(rows), 2_000)):
            if wire.digest(encode(self.backlog.block(stream, sequence))) != digest:
                raise Failed(f"C1: {stream} {sequence} has other bytes")
        if samples != 2 * self.backlog.newest("samples"):
            raise Failed(f"C1: {samples} samples are in the store")
