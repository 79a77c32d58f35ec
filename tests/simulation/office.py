"""The office: the shell around `IngestMachine`, on the real store in a file of its own.

Mirrors `cloud_sync.ingest.Ingest`: two lanes that reconnect, samples that are dealt by site, `_should_wait`, `_commit`
until it is durable, then receipts, then acknowledgements. One commit is under way at a time and takes a while, in which
anything may happen. And what `office.completeness.Completeness` asks for. Left out: that publishing waits for the
broker's acknowledgement, and the repeated acknowledgements of alarms.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from random import Random

from cloud_sync import wire
from cloud_sync.dealer import BYTES, COUNT, SITE_BYTES, SITE_COUNT, Dealer
from cloud_sync.ingest import IngestSettings
from cloud_sync.ingest_machine import IngestMachine
from cloud_sync.ingest_records import Acknowledge, Answer, Arrival, Ask, Batch, IngestLimits, Output
from cloud_sync.lacking import Lack, Lacking
from cloud_sync.session import Delivery
from cloud_sync.store import streams
from cloud_sync.store.base import PutBlock, PutQuarantine, Transaction
from cloud_sync.store.sqlite import SqliteStore
from office.commands import WORD_WITHIN
from sitekeeper.model.clock import MS, SECOND, Micros
from sitekeeper.model.errors import StorageError
from tests.simulation.broker import KEEP_ALIVE, Connection
from tests.simulation.desk import order
from tests.simulation.gateway import EPOCH_2026, Surroundings
from tests.simulation.scheduler import Failed

SETTINGS = IngestSettings()
ASK_EVERY: Micros = 5 * SECOND
LANES = ("urgent", "bulk")
BREAKS_A_CONSTRAINT = PutQuarantine(
    site=None,  # type: ignore[arg-type]
    kind="samples",
    payload=b"",
    digest="",
    reason="constraint",
    detail="",
)
"""Put last into a transaction it rolls back everything before it: what a full disk does, through the real store."""


class Office:
    """One ingest process and its database. `crash` ends the process; `start` begins a new one.

    Attributes:
        tricks: what goes wrong with the next commits of blocks, one each.
        room: messages and bytes of samples that may wait, of a site and in all.
    """

    def __init__(self, around: Surroundings, path: Path, limits: IngestLimits, seed: int) -> None:
        self.path = path
        self.limits = limits
        self.alive = False
        self.wall_offset: Micros = 0
        self.disk_full = False
        self.no_bulk = False
        self.tricks: list[str] = []
        self.room = (SITE_COUNT, SITE_BYTES, COUNT, BYTES)
        self._scheduler, self._broker, self._oracle = around.scheduler, around.broker, around.oracle
        self._random = Random(seed)
        self._process = 0
        self._committing = False
        self._connections: dict[str, Connection] = {}
        self._bulk_since: Micros | None = None
        self._bulk_last: Micros = 0

    # the process

    def start(self) -> None:
        """A new process: it knows what the store knows."""
        self._store = SqliteStore.open(self.path, inline=True)
        self._sql = sqlite3.connect(self.path)
        self._machine = IngestMachine(self._store.known(), self.limits)
        self._dealer = Dealer(*self.room, counts=self._machine.counts)
        self.alive = True
        self._process += 1
        self._committing = False
        self._bulk_since = None
        self._lacking = Lacking()
        self._scheduler.after(ASK_EVERY, self._ask_for_lacks, self._process)
        for lane in LANES:
            self._connect(lane, self._process, SETTINGS.backoff_first)

    def crash(self) -> None:
        """Kill the process; what was not committed is gone."""
        if not self.alive:
            return
        self._scheduler.note("office killed")
        self.stop()
        for connection in self._connections.values():
            self._broker.close(connection, killed=True)
        self._connections.clear()
        self._scheduler.after(self._random.randrange(200, 4000) * MS, self._begin_again)

    def stop(self) -> None:
        """Close the files."""
        if self.alive:
            self.alive = False
            self._process += 1
            self._sql.close()
            self._store.close()

    def backup(self) -> bytes:
        """Return the whole database as it stands."""
        sql = sqlite3.connect(self.path)
        try:
            return sql.serialize()
        finally:
            sql.close()

    def set_back(self, backup: bytes) -> None:
        """Crash, and come back with an old copy of the database."""
        self.crash()
        for end in ("", "-wal", "-shm"):
            Path(f"{self.path}{end}").unlink(missing_ok=True)
        self.path.write_bytes(backup)
        sql = sqlite3.connect(self.path)
        self._oracle.set_back(sql)
        sql.close()

    def _begin_again(self) -> None:
        if not self.alive:
            self.start()

    def idle(self) -> bool:
        """Tell whether nothing is left to be committed."""
        return self.alive and not self._committing and not sum(self._machine.pending()) and not len(self._dealer)

    # lanes

    def _connect(self, lane: str, process: int, delay: Micros) -> None:
        if process != self._process or lane in self._connections:
            return
        if (self.no_bulk and lane == "bulk") or not self._broker.reachable(self._broker.links["office"]):
            later = min(2 * delay, SETTINGS.backoff_most)
            self._scheduler.after(delay, self._connect, lane, process, later)
            return
        self._connections[lane] = self._broker.connect(lane, "office", self, None)
        self._scheduler.note(f"office connected {lane}")

    def lost(self, connection: Connection) -> None:
        """A lane broke; it connects again by itself."""
        for lane, one in list(self._connections.items()):
            if one is connection:
                del self._connections[lane]
                self._broker.close(connection)
                self._scheduler.after(
                    SETTINGS.backoff_first, self._connect, lane, self._process, 2 * SETTINGS.backoff_first
                )

    def cut(self, lane: str) -> None:
        """Break a lane's connection."""
        if lane in self._connections:
            self._broker.hang_up(self._connections[lane])

    def half_open(self, lane: str) -> None:
        """Let a lane's connection die without a word; only its pings will tell."""
        if lane in self._connections:
            connection = self._connections[lane]
            connection.dead = True
            self._scheduler.after(KEEP_ALIVE, self.lost, connection)

    # receiving

    def answered(self, connection: Connection, token: object, reason: int) -> None:
        """The broker took a receipt or request."""

    def arrived(self, connection: Connection, delivery: Delivery) -> None:
        """A message came on a lane."""
        lane = connection.client
        if not self.alive or self._connections.get(lane) is not connection:
            return
        arrival = Arrival(lane, connection.number, delivery)
        if lane == "bulk":
            forgotten = self._dealer.put(wire.parse_topic(delivery.topic)[0], arrival)
            self._scheduler.seen("found no room" if arrival in forgotten else "dealt")
            self._do([Acknowledge(one) for one in forgotten])
        else:
            self._do(self._machine.accept(arrival, self._scheduler.now))
        self._oracle.bounded_office(self._machine, self._dealer)
        self._turn(self._process)

    def _deal(self) -> None:
        """Decode samples one transaction ahead."""
        while not self._machine.pending()[0] and not self._machine.full():
            arrival = self._dealer.deal()
            if arrival is None:
                return
            self._bulk_last = self._scheduler.now
            self._do(self._machine.accept(arrival, self._bulk_last))

    # committing

    def _turn(self, process: int) -> None:
        if process != self._process or not self.alive:
            return
        self._deal()
        if self._committing:
            return
        wait = self._should_wait()
        if wait is not None:
            if wait:
                self._scheduler.after(wait, self._turn, process)
            return
        batch = self._machine.batch(self._wall())
        if batch is not None:
            self._committing = True
            self._scheduler.after(self._random.randrange(1, 25) * MS, self._commit, process, batch)

    def _should_wait(self) -> Micros | None:
        """Return None to commit now, else how long to wait for company, 0 until something comes."""
        urgent, bulk = self._machine.pending()
        if urgent or (bulk and self._machine.full()):
            return None
        if not bulk:
            self._bulk_since = None
            return 0
        now = self._scheduler.now
        self._bulk_since = now if self._bulk_since is None else self._bulk_since
        until = min(self._bulk_since + SETTINGS.linger, self._bulk_last + SETTINGS.quiet)
        if until <= now:
            self._bulk_since = None
            return None
        return until - now

    def _commit(self, process: int, batch: Batch) -> None:
        """Commit until it is durable. A trick may spoil it before, after, or in the middle of answering."""
        if process != self._process:
            return
        blocks = any(isinstance(entry, PutBlock) for entry in batch.transaction.entries)
        trick = self.tricks.pop(0) if self.tricks and blocks else ""
        if trick:
            self._scheduler.seen(trick)
        if trick == "killed before commit":
            self.crash()
            return
        if self.disk_full or trick == "commit lost, outcome unknown":
            self._scheduler.seen("failed commit")
            self._roll_back(batch.transaction)
            self._scheduler.after(SETTINGS.retry, self._commit, process, batch)
            return
        try:
            outcome = self._store.commit(batch.transaction).result()
        except StorageError as err:
            self._scheduler.note(f"office cannot commit: {err}")
            self._scheduler.after(SETTINGS.retry, self._commit, process, batch)
            return
        kinds = ",".join(type(entry).__name__ for entry in batch.transaction.entries)
        self._scheduler.note(f"office commits {kinds} {outcome.applied}")
        self._oracle.committed(batch.transaction, outcome, self._sql)
        if trick == "killed after commit":
            self.crash()
        elif trick == "committed, outcome unknown":
            self._scheduler.after(SETTINGS.retry, self._commit, process, batch)
        else:
            outputs = self._machine.committed(batch, outcome)
            if trick == "killed while answering":
                self._do(outputs[: self._random.randrange(len(outputs) + 1)])
                self.crash()
                return
            self._do(outputs)
            self._committing = False
            self._turn(process)

    def _roll_back(self, transaction: Transaction) -> None:
        spoilt = Transaction(at=transaction.at, entries=(*transaction.entries, BREAKS_A_CONSTRAINT))
        if not isinstance(self._store.commit(spoilt).exception(), StorageError):
            raise Failed("the store took what breaks its constraint")

    # what a restored office lacks

    def _ask_for_lacks(self, process: int) -> None:
        if process != self._process:
            return
        lacks = streams.all_lacks(self._store.reader.ask, self._wall())
        for site, request in self._lacking.advance(lacks, self._scheduler.now):
            self._scheduler.seen("lacks asked for")
            self._do([Ask(site, request)])
        self._scheduler.after(ASK_EVERY, self._ask_for_lacks, process)

    def unsettled(self) -> set[str]:
        """Return of which sites alarms were told from memory that are neither durable there nor lost."""
        return {row[0] for row in self._sql.execute("SELECT DISTINCT site FROM transitions WHERE volatile = 1")}

    # orders

    def order(self, site: str, number: int) -> None:
        """Give an order to a site that was heard of late, as `office.commands.Orders` does."""
        if not self.alive:
            return
        found = self._sql.execute("SELECT nonce, heard FROM site_words WHERE site = ?", (site,)).fetchone()
        if found is None or not found[0] or not 0 <= self._wall() - found[1] <= WORD_WITHIN:
            return
        id_, payload = order(site, number, found[0], max(0, self._wall() - found[1]), self._scheduler.now)
        self._oracle.signed(id_)
        self._scheduler.note(f"office orders {id_} of {site}")
        connection = self._connections.get("urgent")
        if connection is not None:
            self._broker.send(connection, wire.down_topic(site, "command"), payload, None)

    def lacks(self) -> list[Lack]:
        """Return what there is to ask sites for."""
        return [lack for one in streams.all_lacks(self._store.reader.ask, self._wall()).values() for lack in one]

    def _wall(self) -> Micros:
        return EPOCH_2026 + self._scheduler.now + self.wall_offset

    # answering

    def _do(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            match output:
                case Answer(site, receipt):
                    self._publish(wire.down_topic(site, "receipt"), wire.encode_receipt(receipt))
                case Ask(site, request):
                    self._publish(wire.down_topic(site, "request"), wire.encode_request(request))
                case Acknowledge(arrival):
                    connection = self._connections.get(arrival.lane)
                    if connection is not None and connection.number == arrival.connection:
                        self._broker.ack(connection, arrival.delivery.mid)
                case _:
                    pass

    def _publish(self, topic: str, payload: bytes) -> None:
        connection = self._connections.get("urgent")
        if connection is not None:
            self._scheduler.note(f"office says {topic} {wire.digest(payload)}")
            self._broker.send(connection, topic, payload, None)
