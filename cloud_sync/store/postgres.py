"""The central store on PostgreSQL: any number of ingest workers and one office write to it at the same time.

What makes that safe is in the database, so that workers can die at any moment and hold nothing:

- A block's identity is taken by a unique key in the transaction that holds its records (`apply`).
- Alarms blocks are applied strictly in order: one that is too early comes to `early` and writes nothing (`turns`).
- Whatever is not samples takes ORDER_LOCK first. So transitions, events and pushes become visible in the order of
  their ids, and whoever follows them by id misses none. Transactions of samples run beside each other; what they
  share is a site's row, which `apply` takes in order of names.
- A COMMIT whose answer was lost is given again and comes to repeats.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from cloud_sync.store import postgres_schema
from cloud_sync.store.apply import Applier
from cloud_sync.store.base import Outcome, PutBlock, Transaction
from cloud_sync.store.postgres_schema import ORDER_LOCK, Partitions
from cloud_sync.store.postgres_sql import PostgresLink, PostgresReading
from cloud_sync.store.sql import Sql
from cloud_sync.store.store import Store
from cloud_sync.store.writer import Writer

_T = TypeVar("_T")


class PostgresStore(Store):
    """Implements `cloud_sync.store.base.OfficeStore`. Futures fail with StorageError while the database is away."""

    shared = True

    def __init__(self, url: str) -> None:
        self._partitions = Partitions()
        applier = Applier(strict=True)

        def failed() -> None:
            applier.forget()
            self._partitions.forget()

        super().__init__(applier, Writer(PostgresLink(url), failed=failed), lambda: PostgresReading(url))
        self._closed = False

    @classmethod
    def open(cls, url: str) -> "PostgresStore":
        """Bring the tables up to date and open the store.

        Raises:
            StorageError: it cannot be reached or changed, or was made by a newer version.
        """
        store = cls(url)
        try:
            store._writer.submit(postgres_schema.prepare).result()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            super().close()

    def commit(self, transaction: Transaction) -> "Future[Outcome]":
        return self._writer.submit(lambda sql: self._commit(sql, transaction))

    def do(self, work: Callable[[Sql], _T]) -> "Future[_T]":
        def in_order(sql: Sql) -> _T:
            _take_order(sql)
            return work(sql)

        return self._writer.submit(in_order)

    def _commit(self, sql: Sql, transaction: Transaction) -> Outcome:
        blocks = [entry.block for entry in transaction.entries if isinstance(entry, PutBlock)]
        if len(blocks) < len(transaction.entries) or any(block.stream != "samples" for block in blocks):
            _take_order(sql)
        times = {block.t0 - block.mono0 + sample.at for block in blocks for sample in block.samples}
        if times:
            self._partitions.ensure(sql, times, transaction.at)
        return self._applier.apply(sql, transaction)


def _take_order(sql: Sql) -> None:
    sql.execute("SELECT pg_advisory_xact_lock(?)", (ORDER_LOCK,))
