"""The record at the office, as rows or as blocks: bytes, ingest, and the time to read one point's day.

    python -m benchmarks.record [--json] [--quick | --hour]

A site of 250 points with 50 changes a second, in blocks of a second each, for some hours, goes through the store's own
ingest: into SQLite and PostgreSQL as rows, and into SQLite with the blocks' bytes kept in place of rows (latest values,
coverage and the blocks' own rows as ever). What is read is one point; a day is as much as the hours say.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from cloud_sync import wire
from cloud_sync.store import rollups, sizes
from cloud_sync.store.apply import Applier
from cloud_sync.store.base import PutBlock, PutCatalogue, Transaction
from cloud_sync.store.postgres import PostgresStore
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.store.store import Store
from sitekeeper.block import Block, Vouch, decode, encode
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CatalogueGroup, CataloguePoint, catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.catalogue import encode as encode_catalogue
from sitekeeper.model.clock import HOUR, SECOND
from sitekeeper.model.sample import Sample
from tests.fixtures.postgres import postgres_server

DEVICES, POINTS, A_SECOND, GROUPED, SITES = 25, 10, 50, 64, 300
T0 = 1_767_225_600 * SECOND
A_DAY = SITES * A_SECOND * 86_400
READ = f"d{DEVICES // 2:02}/p03"


def naming() -> bytes:
    names = [f"d{device:02}" for device in range(DEVICES)]
    return encode_catalogue(
        Catalogue(
            site="bench",
            groups=tuple(CatalogueGroup(f"{name}@1s", name, SECOND) for name in names),
            devices=tuple(CatalogueDevice(name, "lift", "p") for name in names),
            points=tuple(
                CataloguePoint(f"{name}/p{point:02}", name, "float", f"{name}@1s")
                for name in names
                for point in range(POINTS)
            ),
        )
    )


def blocks(catalogue: bytes, seconds: int) -> list[bytes]:
    """Return one block a second: walks in steps of a tenth, as measured values are."""
    random = Random(7)
    values = [float(random.randrange(1_000)) for _ in range(DEVICES * POINTS)]
    head = {
        "site": "bench",
        "epoch": "e" * 12,
        "boot": "b" * 12,
        "trusted": True,
        "catalogue": catalogue_hash(catalogue),
    }
    found = []
    for second in range(1, seconds + 1):
        samples = []
        for place, handle in enumerate(sorted(random.sample(range(len(values)), A_SECOND))):
            values[handle] = round(values[handle] + random.choice((-0.1, 0.1, 0.2, -0.3)), 1)
            at = second * SECOND + place * 20_000 + random.randrange(3_000)
            samples.append(Sample(handle, at, values[handle], 0))
        vouch = [Vouch(group, T0 + (second + 1) * SECOND, SECOND) for group in range(DEVICES)]
        clock = {"t0": T0 + second * SECOND, "mono0": second * SECOND}
        found.append(encode(Block(**head, **clock, stream="samples", sequence=second, vouch=vouch, samples=samples)))
    return found


class AsBlocks(Applier):
    """Keeps the payload of a samples block, and no rows of it."""

    def _block(self, put: PutBlock, at: int, bulk: Any, claimed: Any) -> Any:
        applied = super()._block(put, at, bulk, claimed)
        self._sql.execute("INSERT INTO payloads VALUES (?, ?)", (claimed[0], put.payload))
        return applied

    def _flush(self, bulk: Any, at: int) -> None:
        bulk.samples.clear()
        super()._flush(bulk, at)


def ingest(store: Store, catalogue: bytes, payloads: list[bytes]) -> float:
    """Return samples a second from payload to commit."""
    entry = PutCatalogue(
        site="bench", hash=catalogue_hash(catalogue), payload=catalogue, catalogue=decode_catalogue(catalogue)
    )
    store.commit(Transaction(at=T0, entries=(entry,))).result()
    began = time.perf_counter()
    for first in range(0, len(payloads), GROUPED):
        puts = tuple(
            PutBlock(block=decode(data), payload=data, digest=wire.digest(data))
            for data in payloads[first : first + GROUPED]
        )
        store.commit(Transaction(at=T0 + (first + GROUPED) * SECOND, entries=puts)).result(60)
    return len(payloads) * A_SECOND / (time.perf_counter() - began)


def rows_of(store: Store) -> tuple[float, int]:
    """Return ms to read one point's rows, and how many they are; the best of three, with the file in memory."""
    number = store.reader.ask("SELECT id FROM points WHERE point = ?", READ)[0][0]
    value = "number" if store.shared else "value"
    took = []
    for _ in range(3):
        began = time.perf_counter()
        found = store.reader.ask(
            f"SELECT at, {value}, q FROM samples WHERE point = ? AND at >= ? ORDER BY at", number, T0
        )
        took.append((time.perf_counter() - began) * 1_000)
    return min(took), len(found)


def roll(store: Store, samples: int) -> dict[str, float]:
    """Fold all of it, a step after the other; return samples a second, and the longest that a step held the writer."""
    took = [0.0]
    began = time.perf_counter()
    while True:
        before = time.perf_counter()
        if not store.tidy(lambda sql: rollups.step(sql, T0 + 100 * HOUR)).result(60):
            break
        took.append((time.perf_counter() - before) * 1_000)
    return {
        "folded a second": round(samples / (time.perf_counter() - began)),
        "longest step, ms": round(max(took), 1),
        "minutes' bytes a sample": round(sizes.by_table(store.reader.ask, store.reader.engine)["minutes"] / samples, 1),
    }


def point_of(store: Store, handle: int) -> tuple[float, int]:
    """Return ms to read the same out of the blocks."""
    began = time.perf_counter()
    found = [
        one
        for row in store.reader.ask("SELECT p.payload FROM payloads p ORDER BY p.block")
        for one in decode(row[0]).samples
        if one.handle == handle
    ]
    return (time.perf_counter() - began) * 1_000, len(found)


def measure(hours: float) -> dict[str, Any]:
    """Return the figures of one run of each."""
    catalogue = naming()
    payloads = blocks(catalogue, round(hours * HOUR / SECOND))
    count = len(payloads) * A_SECOND
    found: dict[str, Any] = {"bench": "record", "samples": count, "hours": hours}
    handle = (DEVICES // 2) * POINTS + 3
    with tempfile.TemporaryDirectory() as folder:
        store: Store = SqliteStore.open(Path(folder) / "rows.db")
        rate = ingest(store, catalogue, payloads)
        found["sqlite rows"] = _figures(store, rate, count, "samples", rows_of(store), hours) | roll(store, count)
        store.close()
        store = SqliteStore.open(Path(folder) / "blocks.db")
        store.do(lambda sql: sql.execute("CREATE TABLE payloads (block INTEGER PRIMARY KEY, payload BLOB)")).result()
        store._applier = AsBlocks()
        rate = ingest(store, catalogue, payloads)
        found["sqlite blocks"] = _figures(store, rate, count, "payloads", point_of(store, handle), hours)
        store.close()
    servers = postgres_server()
    pg = PostgresStore.open(next(servers).create())
    rate = ingest(pg, catalogue, payloads)
    found["postgres rows"] = _figures(pg, rate, count, "samples", rows_of(pg), hours) | roll(pg, count)
    pg.close()
    servers.close()
    return found


def _figures(
    store: Store, rate: float, count: int, table: str, read: tuple[float, int], hours: float
) -> dict[str, float]:
    tables = sizes.by_table(store.reader.ask, store.reader.engine)
    a_sample = tables[table] / count
    return {
        "bytes a sample": round(a_sample, 1),
        "with the blocks rows": round((tables[table] + tables["blocks"]) / count, 1),
        "samples a second": round(rate),
        "rows of the point": read[1],
        "ms for its day": round(read[0] * 24 / hours, 1),
        "GB a day": round((tables[table] + tables["blocks"]) / count * A_DAY / 1e9, 1),
        "TB in 90 days": round((tables[table] + tables["blocks"]) / count * A_DAY * 90 / 1e12, 2),
    }


def main() -> None:
    """Print a table and, with --json, the same as data."""
    result = measure(0.1 if "--quick" in sys.argv else 1.0 if "--hour" in sys.argv else 3.0)
    if "--json" in sys.argv:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:16} {value}")


if __name__ == "__main__":
    main()
