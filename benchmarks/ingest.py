"""Ingest: rows a second from encoded full blocks to committed rows, beside a bare insert of the same rows.

    python -m benchmarks.ingest [--json]

Ours decodes, checks, dedupes, writes rows, latest values and coverage, and answers with receipts; the baseline is
handed finished rows. Both put the same 16 blocks of 500 samples into a transaction. One process, one disk, in turns.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from benchmarks.baseline_ingest import Row, insert
from cloud_sync.ingest_machine import IngestMachine
from cloud_sync.ingest_records import Arrival, IngestLimits
from cloud_sync.session import Delivery
from cloud_sync.store.base import PutCatalogue, Transaction
from cloud_sync.store.sqlite import SqliteStore
from sitekeeper.block import Block, Vouch, encode
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CatalogueGroup, CataloguePoint, catalogue_hash, decode
from sitekeeper.catalogue import encode as encode_catalogue
from sitekeeper.model.clock import SECOND
from sitekeeper.model.sample import Sample

DEVICES, POINTS, BLOCKS, SAMPLES, GROUPED, RUNS = 50, 40, 400, 500, 16, 5
T0 = 1_767_225_600 * SECOND


def material() -> tuple[bytes, list[bytes], list[list[Row]]]:
    """Return a catalogue, its blocks, and the same samples as batches of rows."""
    names = [f"d{device:02}" for device in range(DEVICES)]
    data = encode_catalogue(
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
    random = Random(7)
    blocks: list[bytes] = []
    rows: list[Row] = []
    for sequence in range(1, BLOCKS + 1):
        mono = sequence * SECOND
        chosen = [random.randrange(DEVICES * POINTS) for _ in range(SAMPLES)]
        samples = [Sample(h, mono + 2_000 * i, random.randrange(1_000) / 10, 0) for i, h in enumerate(chosen)]
        vouch = [Vouch(group, T0 + mono + SECOND, SECOND) for group in range(DEVICES)]
        head = {"site": "bench", "epoch": "e", "boot": "b", "trusted": True, "catalogue": catalogue_hash(data)}
        block = Block(
            **head, stream="samples", sequence=sequence, t0=T0 + mono, mono0=mono, vouch=vouch, samples=samples
        )
        blocks.append(encode(block))
        rows += [(s.handle, T0 + s.at, s.value, s.q, None, sequence, i) for i, s in enumerate(samples)]
    size = GROUPED * SAMPLES
    return data, blocks, [sorted(rows[at : at + size], key=lambda row: row[:2]) for at in range(0, len(rows), size)]


def ours(path: Path, data: bytes, blocks: list[bytes]) -> float:
    """Return the seconds from the first payload to the last receipt."""
    store = SqliteStore.open(path)
    put = PutCatalogue(site="bench", hash=catalogue_hash(data), payload=data, catalogue=decode(data))
    store.commit(Transaction(at=T0, entries=(put,))).result()
    machine = IngestMachine(store.known(), IngestLimits(blocks=GROUPED, size=1 << 20))
    topic = "sitekeeper/1/bench/up/samples"
    began = time.perf_counter()
    for at in range(0, len(blocks), GROUPED):
        for mid, payload in enumerate(blocks[at : at + GROUPED]):
            delivery = Delivery(topic=topic, payload=payload, retained=False, mid=mid, qos=1)
            machine.accept(Arrival("bulk", 1, delivery), at)
        batch = machine.batch(T0)
        assert batch is not None
        machine.committed(batch, store.commit(batch.transaction).result())
    took = time.perf_counter() - began
    store.close()
    return took


def bare(path: Path, batches: list[list[Row]]) -> float:
    """Return the seconds of the baseline."""
    began = time.perf_counter()
    insert(path, batches)
    return time.perf_counter() - began


def main() -> None:
    """Print a table and, with --json, the same as data."""
    data, blocks, batches = material()
    count = BLOCKS * SAMPLES
    own, base = [], []
    with tempfile.TemporaryDirectory() as folder:
        for run in range(RUNS):
            own.append(count / ours(Path(folder) / f"ours{run}.db", data, blocks))
            base.append(count / bare(Path(folder) / f"bare{run}.db", batches))
    ratios = [mine / theirs for mine, theirs in zip(own, base, strict=True)]
    result = {
        "bench": "ingest",
        "rows": count,
        "bytes_a_sample": round(sum(map(len, blocks)) / count, 2),
        "ours_rows_a_second": round(statistics.median(own)),
        "bare_rows_a_second": round(statistics.median(base)),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_spread": [round(min(ratios), 3), round(max(ratios), 3)],
        "promise": "ratio >= 0.5",
    }
    if "--json" in sys.argv:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:22} {value}")


if __name__ == "__main__":
    main()
