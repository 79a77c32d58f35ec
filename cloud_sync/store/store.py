"""What a central store does, whatever its engine: everything is a job for its writer, or a question to its reader."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, TypeVar

from cloud_sync.store import alarms, bundles, push_log
from cloud_sync.store.apply import Applier
from cloud_sync.store.asking import Bounded
from cloud_sync.store.base import (
    Chatter,
    Digest,
    Known,
    Outcome,
    PendingAck,
    Push,
    Shape,
    StoredTransition,
    Transaction,
)
from cloud_sync.store.history import HistoryReader
from cloud_sync.store.reader import StoreReader
from cloud_sync.store.sql import Reading, Sql
from cloud_sync.store.writer import Writer
from sitekeeper.model.alarm import Transition, split_key
from sitekeeper.model.clock import Micros
from sitekeeper.model.command import Ack

_T = TypeVar("_T")
CLOSE_S: Final = 10.0


class Store:
    """Implements `cloud_sync.store.base.OfficeStore`; engines open it.

    Attributes:
        shared: whether others may write to it at the same time.
        reader: reads, and belongs to the thread that made the store. Where the store is another machine's it answers
            within half a second or fails (`asking.Bounded`).
    """

    shared = False

    def __init__(self, applier: Applier, writer: Writer, reading: Callable[[], Reading]) -> None:
        self._applier = applier
        self._writer = writer
        self._reading = reading
        self.reader = StoreReader(Bounded(reading()) if self.shared else reading())

    def history(self) -> HistoryReader:
        """Return a reader for the thread that calls; whoever asks closes it."""
        return HistoryReader(self._reading())

    def close(self) -> None:
        """Finish what was submitted and close all; what another machine's database does not answer is left."""
        self._writer.close(CLOSE_S if self.shared else None)
        self.reader.close()

    # ingest

    def known(self) -> Known:
        reader = self.history()  # all at once takes longer than a small question may
        try:
            return reader.known()
        finally:
            reader.close()

    def shape(self, catalogue: str) -> Shape | None:
        return self.reader.shape(catalogue)

    def commit(self, transaction: Transaction) -> "Future[Outcome]":
        return self._writer.submit(lambda sql: self._applier.apply(sql, transaction))

    def pending_acks(self) -> list[PendingAck]:
        return self.reader.pending_acks()

    # office

    def do(self, work: Callable[[Sql], _T]) -> "Future[_T]":
        """Run `work` in a transaction of its own, in order with all others but those of samples."""
        return self._writer.submit(work)

    def tidy(self, work: Callable[[Sql], _T]) -> "Future[_T]":
        """Run `work` in a transaction of its own, beside all others: it may add nothing that is followed by number."""
        return self._writer.submit(work)

    def add_ack(self, site: str, ack: Ack) -> "Future[str]":
        return self.do(lambda sql: alarms.add_ack(sql, site, ack))

    def add_transitions(
        self, epoch: str, at: Micros, moves: Sequence[Transition]
    ) -> "Future[Sequence[StoredTransition]]":
        def work(sql: Sql) -> list[StoredTransition]:
            stored: list[StoredTransition] = []
            for move in moves:
                site = split_key(move.key)[0]
                stored += alarms.add(sql, (site, epoch, alarms.next_sequence(sql, site, epoch)), [move], at)
            return stored

        return self.do(work)

    def undecided(self) -> list[StoredTransition]:
        return self.reader.undecided()

    def decide(
        self, transition: int, decision: str, pushes: Sequence[Push], chatter: Chatter | None = None
    ) -> "Future[Sequence[int]]":
        def work(sql: Sql) -> list[int]:
            sql.execute("UPDATE transitions SET decision = ? WHERE id = ?", (decision, transition))
            if chatter is not None:
                bundles.keep(sql, chatter)
            return [push_log.save(sql, push) for push in pushes]  # given again it finds its rows

        return self.do(work)

    def tell(self, digest: Digest, pushes: Sequence[Push]) -> "Future[Sequence[int]]":
        def work(sql: Sql) -> list[int]:
            bundles.tell(sql, digest)
            return [push_log.save(sql, push) for push in pushes]

        return self.do(work)

    def save_push(self, push: Push) -> "Future[int]":
        return self.do(lambda sql: push_log.save(sql, push))

    def unfinished_pushes(self) -> list[Push]:
        return self.reader.unfinished_pushes()
