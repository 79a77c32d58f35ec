"""Ingest into PostgreSQL: rows a second from encoded full blocks to committed rows, beside bare inserts of the rows.

    python -m benchmarks.ingest_postgres [--json]

As `ingest` does for SQLite, with the same blocks and the same 16 of them to a transaction; the next are decoded while
some are committed, as a worker does. A second line has two workers at once, each with half of the blocks. "Bare insert"
is binary COPY, the quickest that the engine has; INSERT statements stand beside it. The server is the system's, on this
disk, with fsync and all else on.
"""

import json
import statistics
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from benchmarks.baseline_ingest_postgres import insert
from benchmarks.ingest import BLOCKS, GROUPED, RUNS, SAMPLES, T0, material
from cloud_sync.ingest_records import Arrival, Batch, IngestLimits
from cloud_sync.ingest_shared import SharedIngestMachine
from cloud_sync.session import Delivery
from cloud_sync.store.base import Outcome, PutCatalogue, Transaction
from cloud_sync.store.postgres import PostgresStore
from sitekeeper.catalogue import catalogue_hash, decode
from tests.fixtures.postgres import Postgres, postgres_server


def drain(store: PostgresStore, blocks: list[bytes]) -> None:
    """Take in blocks as a worker does, from the payload to the receipt."""
    machine = SharedIngestMachine(store.known(), IngestLimits(blocks=GROUPED, size=1 << 20))
    topic = "sitekeeper/1/bench/up/samples"
    under_way: tuple[Batch, Future[Outcome]] | None = None
    for at in range(0, len(blocks), GROUPED):
        for mid, payload in enumerate(blocks[at : at + GROUPED]):
            delivery = Delivery(topic=topic, payload=payload, retained=False, mid=mid, qos=1)
            machine.accept(Arrival("bulk", 1, delivery), at)
        if under_way is not None:
            machine.committed(under_way[0], under_way[1].result())
        batch = machine.batch(T0)
        assert batch is not None
        under_way = (batch, store.commit(batch.transaction))
    if under_way is not None:
        machine.committed(under_way[0], under_way[1].result())


def ours(url: str, data: bytes, blocks: list[bytes], workers: int) -> float:
    """Return the seconds from the first payload to the last receipt."""
    stores = [PostgresStore.open(url) for _ in range(workers)]
    put = PutCatalogue(site="bench", hash=catalogue_hash(data), payload=data, catalogue=decode(data))
    stores[0].commit(Transaction(at=T0, entries=(put,))).result()
    lots = [blocks[number::workers] for number in range(workers)]
    began = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(drain, stores, lots))
    took = time.perf_counter() - began
    for store in stores:
        store.close()
    return took


def measure(server: Postgres) -> dict[str, object]:
    """Return the figures of RUNS turns."""
    data, blocks, batches = material()
    count = BLOCKS * SAMPLES
    own, two = [], []
    base: list[float] = []
    copy: list[float] = []
    for _ in range(RUNS):
        own.append(count / ours(server.create(), data, blocks, 1))
        for rates, by_copy in ((base, False), (copy, True)):
            url = server.create()
            began = time.perf_counter()
            insert(url, batches, by_copy=by_copy)
            rates.append(count / (time.perf_counter() - began))
        two.append(count / ours(server.create(), data, blocks, 2))
    ratios = [mine / theirs for mine, theirs in zip(own, copy, strict=True)]
    to_insert = [mine / theirs for mine, theirs in zip(own, base, strict=True)]
    return {
        "bench": "ingest-postgres",
        "rows": count,
        "ours_rows_a_second": round(statistics.median(own)),
        "two_workers_rows_a_second": round(statistics.median(two)),
        "bare_rows_a_second": round(statistics.median(copy)),
        "bare_insert_rows_a_second": round(statistics.median(base)),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_spread": [round(min(ratios), 3), round(max(ratios), 3)],
        "ratio_to_insert": round(statistics.median(to_insert), 3),
        "ratio_to_insert_spread": [round(min(to_insert), 3), round(max(to_insert), 3)],
        "promise": "ratio >= 0.5",
    }


def main() -> None:
    """Print a table and, with --json, the same as data."""
    with contextmanager(postgres_server)() as server:
        result = measure(server)
    if "--json" in sys.argv:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:26} {value}")


if __name__ == "__main__":
    main()
