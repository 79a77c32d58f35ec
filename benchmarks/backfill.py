"""Backfill: an outbox of 10 M samples (PostgreSQL: 4 M) drained end to end, beside the bare insertion of the same rows.

    python -m benchmarks.backfill [--quick] [--json]

Gateway, mosquitto and office as processes, the devices read meanwhile; the office's store is SQLite, then PostgreSQL.
The site sends as fast as it can, `backfill: 9999999/s` in place of the default of 20,000, which would be the figure
otherwise. Counted is what the office has committed, by its own rows, from the first block of the backlog to the last,
or until LONGEST_S are over: then the rate is of what was drained, and how much that is stands beside it. The bare
insertion takes the first million of the same samples, as finished rows in batches of 16 blocks, in a file of its own
after the drain: the quickest that the engine has, executemany in SQLite and binary COPY in PostgreSQL.
"""

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import backlog, baseline_ingest, baseline_ingest_postgres, machine
from benchmarks.baseline_ingest import Row
from benchmarks.rig import Estate, Rig, rig
from tests.fixtures.postgres import postgres_server

SAMPLES, SAMPLES_POSTGRES, BARE, GROUPED = 10_000_000, 4_000_000, 1_000_000, 16
LONGEST_S = 180.0
COUNT = "SELECT coalesce(sum(records), 0) FROM blocks WHERE boot = 'earlier'"


async def drain(store: str, samples: int, longest: float, bare: Callable[[Path, list[list[Row]]], float]) -> Any:
    """Return how fast an office with this store ("" is SQLite) takes a backlog in, and the bare insertion's rate."""
    estate = Estate()
    async with rig() as made:
        await made.start_broker()
        made.write_site(estate, await made.start_field("field", estate), backfill="9999999/s")
        content = backlog.moving(estate)
        size = await asyncio.to_thread(backlog.fill, made, content, samples)
        await made.start_office(store=store)
        with _counter(made, store) as count:
            await made.start_gateway()
            await made.until(lambda: count() > 0, 60)
            began, first, cpu = time.monotonic(), count(), made.cpu("gateway", "office")
            while (done := count()) < samples and time.monotonic() - began < longest:
                await asyncio.sleep(0.25)
            seconds, after = time.monotonic() - began, made.cpu("gateway", "office")
            memory = machine.memory_mb(made.pid("gateway"))
        rows = min(samples, BARE)
        base = rows / await asyncio.to_thread(bare, made.folder / "bare.db", batches(content, rows))
    return {
        "drained": done,
        "of": samples,
        "bytes a sample": round(size / samples, 2),
        "seconds": round(seconds, 1),
        "samples a second": round((done - first) / seconds),
        "bare rows a second": round(base),
        "ratio": round((done - first) / seconds / base, 3),
        "cpu % of a core": {name: round(100 * (after[name] - cpu[name]) / seconds) for name in after},
        "gateway's memory MB": round(memory),
    }


@contextmanager
def _counter(made: Rig, store: str) -> Iterator[Callable[[], int]]:
    """Give what counts the samples of the backlog that the office has committed."""
    if not store:
        with closing(sqlite3.connect(f"file:{made.folder}/office.db?mode=ro", uri=True, timeout=10)) as sql:
            yield lambda: int(sql.execute(COUNT).fetchone()[0])
        return
    with psycopg.connect(store, autocommit=True) as server:
        yield lambda: int((server.execute(COUNT).fetchone() or (0,))[0])


def batches(content: backlog.Content, rows: int) -> list[list[Row]]:
    """Return the samples of the first blocks as finished rows, sorted as a careful inserter would."""
    found = []
    for first in range(1, rows // backlog.BLOCK + 1, GROUPED):
        blocks = range(first, min(first + GROUPED, rows // backlog.BLOCK + 1))
        lot: list[Row] = [
            (one.handle, one.at, one.value, one.q, None, sequence, position)
            for sequence in blocks
            for position, one in enumerate(backlog.samples_of(content, sequence))
        ]
        found.append(sorted(lot, key=lambda row: row[:2]))
    return found


def _bare_sqlite(path: Path, lots: list[list[Row]]) -> float:
    began = time.perf_counter()
    baseline_ingest.insert(path, lots)
    return time.perf_counter() - began


def run(*, quick: bool = False) -> dict[str, Any]:
    """Drain into both engines and return the figures."""
    samples, postgres, longest = (300_000, 300_000, 30.0) if quick else (SAMPLES, SAMPLES_POSTGRES, LONGEST_S)
    found = {"SQLite": asyncio.run(drain("", samples, longest, _bare_sqlite))}
    with contextmanager(postgres_server)() as server:

        def bare(_: Path, lots: list[list[Row]]) -> float:
            url, began = server.create(), time.perf_counter()
            baseline_ingest_postgres.insert(url, lots, by_copy=True)
            return time.perf_counter() - began

        found["PostgreSQL"] = asyncio.run(drain(server.create(), postgres, longest, bare))
    return found


def main() -> None:
    """Print the figures."""
    found = run(quick="--quick" in sys.argv)
    print(json.dumps(found) if "--json" in sys.argv else "\n".join(f"{name}: {facts}" for name, facts in found.items()))


if __name__ == "__main__":
    main()
