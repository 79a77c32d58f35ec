"""One simulated world: sites, broker, office, faults; runs a seed and says how it went."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from cloud_sync.dealer import BYTES, COUNT, SITE_BYTES, SITE_COUNT
from cloud_sync.ingest_records import IngestLimits
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.uplink_machine import UplinkLimits
from sitekeeper.model.clock import SECOND, Micros
from tests.simulation import material
from tests.simulation.broker import Broker, Link
from tests.simulation.faults import KINDS, LATE, Fault, plan
from tests.simulation.gateway import Gateway, Surroundings
from tests.simulation.mischief import Undo, begin
from tests.simulation.office import Office
from tests.simulation.oracle import Oracle
from tests.simulation.outbox import Book, Outbox
from tests.simulation.scheduler import Failed, Scheduler
from tests.simulation.workload import Workload

DRAINED_WITHIN: Micros = 180 * SECOND
"""Liveness: so long after the last fault everything is at the office."""

FETCHED_WITHIN: Micros = 900 * SECOND
"""The same for an office that was set back to an old backup: it asks again for what it lacks, with patience."""

STATUS_IN: Micros = 25 * SECOND
"""By then each site has told twice how far the office's record should go: of a clock set back it takes two."""

POINTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a run went: `why` is empty if nothing was broken."""

    seed: int
    why: str
    digest: str
    last: tuple[str, ...]
    sometimes: Counter[str]
    faults: tuple[Fault, ...]
    simulated: Micros


class World:
    """Everything of one run, before it begins."""

    def __init__(self, seed: int, path: Path, faults: list[Fault] | None = None) -> None:
        random = Random(seed)
        self.seed = seed
        self.scheduler = Scheduler()
        self.book: Book = {}
        self.oracle = Oracle(self.scheduler, self.book)
        self.broker = Broker(self.scheduler, Random(random.randrange(2**32)))
        self.busy = random.randrange(30, 130) * SECOND
        around = Surroundings(scheduler=self.scheduler, broker=self.broker, oracle=self.oracle)
        sites = random.choice((1, 1, 1, 2, 2, 3))
        limits = UplinkLimits(window=random.choice((4, 5, 32)), events_window=random.choice((1, 2, 8)))
        store = IngestLimits(parked=random.choice((1, 4, 256)), blocks=random.choice((2, 8, 64)))
        drawn = plan(random, busy=self.busy, sites=sites)
        self.faults = drawn if faults is None else faults
        self.broker.links["office"] = Link()
        self.gateways: list[Gateway] = []
        self._quiet_since: Micros = 0
        self._deaths: dict[int, list[Micros]] = {}
        self.workloads: list[Workload] = []
        for number in range(sites):
            name = f"site{number}"
            self.broker.links[name] = Link()
            outbox = Outbox(name, f"{name}-e1", self.book)
            current, payload = material.catalogue(name, POINTS, 0)
            outbox.catalogues[current] = payload
            gateway = Gateway(around, outbox, current, limits, random.randrange(2**32))
            gateway.old = random.random() < 0.2
            if gateway.old:
                self.oracle.is_old(name)
            self.gateways.append(gateway)
            self.workloads.append(Workload(self.scheduler, gateway, random.randrange(2**32), points=POINTS))
        self.office = Office(around, path, store, random.randrange(2**32))
        few = Random(seed)  # of its own, so that the seeds stay what they were
        self.office.room = (few.choice((1, 4, SITE_COUNT)), SITE_BYTES, few.choice((1, 3, COUNT)), BYTES)
        self._random = random
        self._orders = 0

    def run(self) -> None:
        """Live through it. Raises Failed."""
        calm = max([self.busy, *(fault.at + fault.lasts for fault in self.faults)])
        self.office.start()
        for gateway, workload in zip(self.gateways, self.workloads, strict=True):
            workload.busy_until, workload.until = self.busy, calm
            gateway.start()
            workload.tick()
        self._order()
        for fault in self.faults:
            self.scheduler.after(fault.at, self._begin, fault)
        self.scheduler.run(calm + SECOND)
        self.scheduler.note("calm")
        self._quiet_since = self.scheduler.now
        within = FETCHED_WITHIN if self.oracle.restored else DRAINED_WITHIN
        if not self.scheduler.run(calm + within, done=self.drained):
            left = {gateway.site: gateway.outbox.unreleased for gateway in self.gateways}
            counts = {site: {stream: len(one) for stream, one in kept.items()} for site, kept in left.items()}
            flying = [one.machine.in_flight() for one in self.gateways]
            raise Failed(f"liveness: not drained after {within // SECOND} s: {counts}, in flight {flying}")
        self.office.stop()
        self.oracle.final(self.office.path, [gateway.outbox for gateway in self.gateways])

    def drained(self) -> bool:
        """Tell whether every block has its receipt, durably, nothing is in flight and nothing told is unsettled."""
        now = self.scheduler.now
        waiting = any(not one.alive or one.outbox.left() or one.outbox.waits() for one in self.gateways)
        # Of a site whose last will is its newest word the office asks for nothing: that is no end.
        waiting = waiting or any(one.connection is None or one.connection.dead for one in self.gateways)
        flying = any(one.machine.in_flight() for one in self.gateways)
        mute = {one.site for one in self.gateways if one.old and self.oracle.restored}
        if waiting or flying or not self.office.idle() or self.office.unsettled() - mute:
            self._quiet_since = now
        if not self.oracle.restored:
            return self._quiet_since < now
        return now - self._quiet_since > STATUS_IN and not any(lack.site not in mute for lack in self.office.lacks())

    def _order(self) -> None:
        """Somebody at the office wants something of a site, every now and then."""
        if self.scheduler.now < self.busy:
            self._orders += 1
            self.office.order(self._random.choice(self.gateways).site, self._orders)
            self.scheduler.after(self._random.randrange(3, 30) * SECOND, self._order)

    def _begin(self, fault: Fault) -> None:
        self.scheduler.note(f"fault {fault.kind} site{fault.site} for {fault.lasts}")
        self.scheduler.seen(fault.kind)
        self._disturb(fault)
        undo = begin(self, fault)
        if undo is not None:
            self.scheduler.after(fault.lasts, self._end, fault, undo)

    def _end(self, fault: Fault, undo: Undo) -> None:
        self.scheduler.note(f"end of {fault.kind} site{fault.site}")
        undo()

    def _disturb(self, fault: Fault) -> None:
        """Tell the oracle for how long alarms may be late; a block in three deaths in a row may be held for long."""
        grace = KINDS[fault.kind].grace
        if grace is None:
            return
        now = self.scheduler.now
        everywhere = fault.kind.startswith(("office", "broker"))
        for number, gateway in enumerate(self.gateways):
            if everywhere or number == fault.site:
                deaths = self._deaths.setdefault(number, [])
                deaths.append(now + fault.lasts)
                in_a_row = sum(1 for death in deaths if death > now - 60 * SECOND) >= 3
                self.oracle.disturb(gateway.site, now + fault.lasts + (LATE if in_a_row else grace))


@cache
def _empty_store() -> bytes:
    """Return a fresh database, made once by the real thing."""
    with _folder() as folder:
        SqliteStore.open(folder / "empty.db", inline=True).close()
        return (folder / "empty.db").read_bytes()


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder in memory where there is one: a simulated disk needs no real one."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="sim-", dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def prepared() -> Iterator[Path]:
    """Give the path of a fresh central store."""
    with _folder() as folder:
        path = folder / "office.db"
        path.write_bytes(_empty_store())
        yield path


def run(seed: int, faults: list[Fault] | None = None) -> Result:
    """Run one seed, with its own faults or with these."""
    with prepared() as path:
        world = World(seed, path, faults)
        why = ""
        try:
            world.run()
        except Failed as err:
            why = str(err)
        finally:
            world.office.stop()
        return Result(
            seed=seed,
            why=why,
            digest=world.scheduler.digest(),
            last=tuple(world.scheduler.last),
            sometimes=world.scheduler.sometimes,
            faults=tuple(world.faults),
            simulated=world.scheduler.now,
        )
