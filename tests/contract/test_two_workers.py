"""Two workers on one PostgreSQL, blocks shuffled and doubled: what is stored equals what one SQLite office stores."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from random import Random

import psycopg
import pytest

from cloud_sync.fit import Unfit, unusable
from cloud_sync.store.base import Transaction
from cloud_sync.store.postgres import PostgresStore
from cloud_sync.store.sqlite import SqliteStore
from sitekeeper.block import STREAMS, Header, decode
from sitekeeper.model.clock import SECOND
from sitekeeper.model.sample import Sample
from tests.contract.test_store_contract import commit, name_points, put
from tests.fixtures.postgres import Postgres
from tests.unit.cloud_sync.material import EPOCH, T0, gap, payload, transition

SITES = ("tower", "annex", "depot")
PLAIN = {
    "samples": "SELECT site, point, at, CAST(value AS TEXT), q, source, epoch, sequence, position FROM v_samples",
    "latest": "SELECT site, point, at, CAST(value AS TEXT), q, source, epoch, sequence, position FROM v_latest",
    "coverage": "SELECT site, scan_group, start, until FROM coverage",
    "gaps": 'SELECT g.site, scan_group, start, "end", cause, b.sequence FROM gaps g JOIN blocks b ON b.id = block',
    "events": "SELECT e.site, source_id, at, fields, b.sequence, position FROM events e JOIN blocks b ON b.id = block",
    "blocks": "SELECT site, epoch, stream, sequence, records, digest FROM blocks",
    "transitions": "SELECT site, epoch, sequence, position, occurrence, target FROM transitions",
    "alarms": "SELECT key, occurrence, state, changed, epoch, sequence, position FROM alarms",
    "sites": "SELECT site, names, catalogue, first_seen, last_seen FROM sites",
    "streams": 'SELECT site, epoch, stream, min(start), max("end") FROM streams GROUP BY site, epoch, stream',
}


def blocks(random: Random) -> list[bytes]:
    """Return blocks of three sites, in the order in which they were made; one epoch's clock goes back in the middle."""
    found = []
    for site in SITES:
        for stream in STREAMS:
            for sequence in range(1, 8 if stream == "alarms" else 20):
                more: dict[str, object] = {}
                if stream == "samples":
                    back = 100 * SECOND if sequence > random.randrange(2, 20) else 0
                    more = {"t0": T0 + sequence * SECOND - back, "gaps": [gap(sequence, sequence + 1)]}
                    # Every other block says only that nothing changed, so that no common row hides a race.
                    more["samples"] = [Sample(1, sequence * SECOND, sequence, 0)] if sequence % 2 else []
                if stream == "alarms":
                    key = f"{site}/lift-a1/L01"
                    raised = sequence if sequence % 2 else sequence - 1
                    more = {"transitions": [transition(sequence, key=key, occurrence=f"{key}@{EPOCH}-{raised}")]}
                found.append(payload(stream, sequence, site=site, **more))
        found += [payload("samples", n, site=site, epoch="e0", t0=T0 + n * 20 * SECOND) for n in (1, 2)]
    return found


def test_what_goes_into_quarantine_waits_for_the_site_as_blocks_do(postgres: Postgres):
    """It takes a place among the ranges of a stream: two writers at once would undo each other's."""
    url = postgres.create()
    store = PostgresStore.open(url)
    try:
        name_points(store, "tower")
        commit(store, payload("samples", 1))
        spoilt = unusable("tower", "samples", b"x", Unfit("constraint", ""), Header("tower", EPOCH, "samples", 2))
        with psycopg.connect(url) as other:
            other.execute("SELECT 1 FROM sites WHERE site = 'tower' FOR UPDATE")
            waiting = store.commit(Transaction(at=T0, entries=(spoilt,)))
            with pytest.raises(TimeoutError):
                waiting.result(0.3)
        assert waiting.result(10).applied == ("quarantined",)
    finally:
        store.close()


def work(store: PostgresStore, waiting: list[bytes], random: Random) -> None:
    """Commit all in batches of a few, samples apart, as a worker does; what is early goes to the end again."""
    lots = [[data for data in waiting if (decode(data).stream == "samples") is bulk] for bulk in (False, True)]
    turns = 0
    while any(lots):
        turns += 1
        assert turns < 2_000, "early for ever"
        lot = random.choice([lot for lot in lots if lot])
        batch = [lot.pop() for _ in range(min(random.randrange(1, 6), len(lot)))]
        outcome = store.commit(Transaction(at=T0, entries=tuple(put(data) for data in batch))).result(60)
        for data, applied in zip(batch, outcome.applied, strict=True):
            assert applied in {"new", "repeat", "early"}
            if applied == "early":
                lot.insert(0, data)


@pytest.fixture
def pair(postgres: Postgres) -> Iterator[tuple[str, PostgresStore, PostgresStore]]:
    """Yield an empty database and two workers that made its tables at the same moment."""
    url = postgres.create()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(PostgresStore.open, [url, url])
    yield url, first, second
    first.close()
    second.close()


@pytest.mark.parametrize("seed", range(3))
def test_the_outcome_does_not_depend_on_who_wins_or_on_the_order(pair, tmp_path: Path, seed: int):
    """Both get every block, twice, in any order: table by table the same rows as from one office in order."""
    url, *workers = pair
    random = Random(seed)
    made = blocks(random)
    lite = SqliteStore.open(tmp_path / "office.db", inline=True)
    for site in SITES:
        name_points(lite, site)
        name_points(workers[0], site)
    for data in made:
        commit(lite, data)
    lite.close()
    lots = [random.sample(made * 2, len(made) * 2) for _ in workers]
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work, *one) for one in zip(workers, lots, (Random(seed), Random(-seed)), strict=True)]:
            done.result()
    with closing(sqlite3.connect(tmp_path / "office.db")) as expected, psycopg.connect(url) as found:
        for table, sql in PLAIN.items():
            assert sorted(found.execute(sql).fetchall(), key=repr) == sorted(
                expected.execute(sql).fetchall(), key=repr
            ), table
        order = found.execute("SELECT site, sequence FROM transitions ORDER BY id").fetchall()
    for site in SITES:
        assert [sequence for where, sequence in order if where == site] == list(range(1, 8))
