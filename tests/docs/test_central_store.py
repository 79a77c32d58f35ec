"""`docs/central-store.md`: sizes, queries and copies as the page shows them."""

import re
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from cloud_sync import wire
from cloud_sync.store import rollups
from cloud_sync.store.base import PutBlock, PutCatalogue, Transaction
from cloud_sync.store.postgres import PostgresStore
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.store.store import Store
from office.settings import load
from sitekeeper.block import Gap, GapCause, Vouch, decode
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.model.clock import DAY, HOUR, SECOND
from sitekeeper.model.sample import Sample
from tests.docs.pages import DOCS, blocks, play, table, write
from tests.fixtures.postgres import Postgres
from tests.unit.cloud_sync.material import SITE, T0, catalogue, payload

PAGE = "central-store.md"


def fill(store: Store) -> None:
    """Put three hours of a point into a store: two with changes, a minute of the third unknown."""
    data = catalogue()
    entry = PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=decode_catalogue(data))
    store.commit(Transaction(at=T0, entries=(entry,))).result(30)
    changes = [[(0, 1), (1800, 3)], [(5400, 9)], []]
    for sequence, rows in enumerate(changes, 1):
        hour = (sequence - 1) * HOUR
        silent = sequence == 3
        vouch = [Vouch(0, T0 + hour + HOUR, HOUR - 60 * SECOND * silent)]
        gaps = [Gap("lift-a1@1s", T0 + hour, T0 + hour + 60 * SECOND, GapCause.SILENT)] if silent else []
        samples = [Sample(1, at * SECOND, value, 0) for at, value in rows]
        block = payload("samples", sequence, t0=T0, mono0=0, samples=samples, vouch=vouch, gaps=gaps)
        put = PutBlock(block=decode(block), payload=block, digest=wire.digest(block))
        store.commit(Transaction(at=T0 + hour + HOUR, entries=(put,))).result(30)
    while store.tidy(lambda sql: rollups.step(sql, T0 + DAY)).result(30):
        pass


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """Every command with its output, on a store of three hours; the limits on the page are the defaults."""
    with closing(SqliteStore.open(tmp_path / "office.db")) as store:
        fill(store)
    assert play(PAGE, tmp_path) == 5
    written, plain = tmp_path / "office.yaml", tmp_path / "plain.yaml"
    write(plain, re.sub(r"^retention.*\n", "", written.read_text(), flags=re.MULTILINE))
    assert load(written).retention == load(plain).retention


def test_the_queries_for_postgresql_run(postgres: Postgres) -> None:
    """Both give a time and a number for each row."""
    queries = re.findall(r"^```sql\n(.*?)^```$", (DOCS / PAGE).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    url = postgres.create()
    with closing(PostgresStore.open(url)) as store:
        fill(store)
    with psycopg.connect(url) as sql:
        hours, changes = (sql.execute(query).fetchall() for query in queries)
    assert [(row[0].hour, row[1], row[2]) for row in hours] == [(0, "lift-a1/floor", 2), (1, "lift-a1/floor", 6)]
    assert [row[1] for row in changes] == [1, 3, 9]


def test_the_sizes_are_those_of_the_measured_bytes() -> None:
    """The table multiplies what decision 013 measured."""
    page = (DOCS / PAGE).read_text(encoding="utf-8")
    lite, pg = map(int, re.search(r"(\d+) bytes a change in SQLite, (\d+) in PostgreSQL", page).groups())
    units = {"MB": 1e6, "GB": 1e9, "TB": 1e12}
    for load_, small, large, long in table(PAGE, "## How large"):
        sites, rate = map(int, load_.split(" x "))
        for cell, size in ((small, lite), (large, pg), (long, 90 * pg)):
            number, unit = cell.split()
            assert float(number) * units[unit] == pytest.approx(sites * rate * 86_400 * size, rel=0.06)
    assert blocks(PAGE)
