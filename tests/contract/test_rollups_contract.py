"""Rollups and retention on both engines: the same rows in whatever order blocks come, and nothing purged too early."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from random import Random

import psycopg
import pytest

from cloud_sync import wire
from cloud_sync.store import rollups
from cloud_sync.store.base import PutBlock, PutCatalogue, Transaction
from cloud_sync.store.fold import Carry, fold
from cloud_sync.store.postgres import PostgresStore
from cloud_sync.store.retention import Retention
from cloud_sync.store.rollups import SETTLE
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.store.store import Store
from sitekeeper.block import GapCause, Vouch, decode
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.model.clock import DAY, HOUR, MINUTE, SECOND
from sitekeeper.model.quality import Reason, bad
from sitekeeper.model.sample import Sample
from tests.fixtures.postgres import Postgres
from tests.unit.cloud_sync.material import SITE, T0, catalogue, gap, payload

FLOOR = 1
LATER = T0 + 30 * DAY


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = make(request, tmp_path)
    yield opened
    opened.close()


def make(request: pytest.FixtureRequest, folder: Path, name: str = "office.db") -> Store:
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        opened: Store = PostgresStore.open(server.create())
    else:
        opened = SqliteStore.open(folder / name, inline=True)
    data = catalogue()
    entry = PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=decode_catalogue(data))
    opened.commit(Transaction(at=T0, entries=(entry,))).result(30)
    return opened


def commit(store: Store, *blocks: bytes, at: int = LATER) -> Sequence[str]:
    entries = tuple(PutBlock(block=decode(one), payload=one, digest=wire.digest(one)) for one in blocks)
    return store.commit(Transaction(at=at, entries=entries)).result(30).applied


def samples(sequence: int, changes: Sequence[tuple[float, object, int]], known: Sequence[tuple[float, float]] = ()):
    """Return a block of floor changes, each (seconds from T0, value, quality), with what it vouches for."""
    rows = [Sample(FLOOR, round(at * SECOND), value, q) for at, value, q in sorted(changes)]
    vouch = [Vouch(0, T0 + round(end * SECOND), round((end - start) * SECOND)) for start, end in known]
    return payload("samples", sequence, t0=T0, mono0=0, samples=rows, vouch=vouch)


def roll(store: Store, now: int = LATER) -> int:
    steps = 0
    while store.do(lambda sql: rollups.step(sql, now)).result(30):
        steps += 1
        assert steps < 1_000, "it never ends"
    return steps


def rows(store: Store, table: str, columns: str = "point, at, n, low, high, mean, last, word, good_s") -> list[tuple]:
    return [tuple(row) for row in store.reader.ask(f"SELECT {columns} FROM {table} ORDER BY 1, 2")]


def test_an_hour_and_its_minutes_become_rows(store):
    """Time-weighted, by minute and by hour; a minute without a change has no row; the views name site and point."""
    commit(store, samples(1, [(0, 10, 0), (30, 20, 0), (1800, None, bad(Reason.COMM))], [(0, 3600)]))
    roll(store)
    assert rows(store, "v_hours", "site, point, at, n, low, high, mean, last, word, good_s") == [
        (SITE, "lift-a1/floor", T0, 2, 10, 20, pytest.approx((30 * 10 + 1770 * 20) / 1800), 20, None, 1800)
    ]
    assert rows(store, "v_minutes", "at, n, low, high, mean, last, good_s") == [
        (T0, 2, 10, 20, 15, 20, 60), (T0 + 30 * MINUTE, 0, None, None, None, None, 0),
    ]  # fmt: skip


def test_an_hour_that_is_not_over_waits(store):
    """Two minutes after its end an hour is folded, not before."""
    commit(store, samples(1, [(5, 1, 0)], [(0, 60)]), at=T0 + 60 * SECOND)
    assert roll(store, T0 + HOUR + SETTLE - 1) == 0
    assert rollups.newest(store.reader.ask, T0 + HOUR + SETTLE - 1) == T0
    assert roll(store, T0 + HOUR + SETTLE) == 1
    assert rollups.newest(store.reader.ask, T0 + HOUR + SETTLE) == T0 + HOUR


def test_what_comes_late_changes_its_hour_and_the_next_one(store):
    """A late value is carried into the next hour with a change; late coverage makes known what was not."""
    commit(store, samples(1, [(60, 1, 0), (2 * 3600 + 1800, 5, 0)], [(0, 3600), (7200, 10800)]))
    roll(store)
    hours = "at, mean, good_s"
    assert rows(store, "hours", hours) == [(T0, 1, 3540), (T0 + 2 * HOUR, 5, 1800)]
    commit(store, samples(2, [], [(3600, 7200)]))
    roll(store)
    assert rows(store, "hours", hours) == [(T0, 1, 3540), (T0 + 2 * HOUR, 3, 3600)]
    commit(store, samples(3, [(1800, 9, 0)]))
    roll(store)
    assert rows(store, "hours", hours)[1] == (T0 + 2 * HOUR, 7, 3600)


def test_a_late_gap_and_late_marks_end(store):
    """A gap told late marks the hours that it touches; folding them again changes nothing and comes to an end."""
    commit(store, samples(1, [(60, 1, 0)], [(0, 3600)]))
    roll(store)
    before = rows(store, "hours")
    commit(store, payload("samples", 2, samples=[], vouch=[], gaps=[gap(0, SECOND, GapCause.DROPPED)]))
    assert roll(store) == 2
    assert rows(store, "hours") == before
    assert rows(store, "rollup_due", "*") == []


def material(random: Random) -> list[bytes]:
    """Return blocks of six hours in seconds, some of the time in none of them."""
    blocks = []
    for sequence in range(1, 13):
        begin = (sequence - 1) * 1800
        known = [(begin, begin + random.choice((1800, 1800, 900)))]
        changes = [
            (at, random.choice((1, 2.5, -3, None)), 0)
            for at in random.sample(range(begin, begin + 1800), random.randrange(4))
        ]
        fine = [(at, value, 0 if value is not None else bad(Reason.COMM)) for at, value, _ in changes]
        blocks.append(samples(sequence, fine, known))
    return blocks


@pytest.mark.parametrize("store", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_arrival_does_not_matter(store, seed):
    """Blocks in any order, with folding in between, give the rows that one fold over everything gives."""
    random = Random(seed)
    blocks = material(random)
    order = random.sample(blocks, len(blocks))
    for one in order:
        commit(store, one)
        if random.random() < 0.7:
            roll(store)
    roll(store)
    assert rows(store, "hours", "at, n, low, high, mean, last, good_s") == expected(blocks)


def expected(blocks: Sequence[bytes]) -> list[tuple]:
    """Fold everything hour by hour, with all that is known from the beginning."""
    told = sorted((T0 + s.at, s.value, s.q) for one in blocks for s in decode(one).samples)
    known = []
    for one in sorted((v.start, v.until) for block in blocks for v in decode(block).vouch):
        known = [*known[:-1], (known[-1][0], one[1])] if known and known[-1][1] == one[0] else [*known, one]
    found = []
    for hour in range(T0, T0 + 6 * HOUR, HOUR):
        inside = [one for one in told if hour <= one[0] < hour + HOUR]
        before = [one for one in told if one[0] < hour]
        carry = Carry(before[-1][0], before[-1][1]) if before and before[-1][1] is not None else None
        if inside:
            _, b = fold(hour, carry, inside, [one for one in known if one[1] > hour and one[0] < hour + HOUR])
            mean = b.mean if b.mean is None else pytest.approx(b.mean)
            found.append((hour, b.changes, b.low, b.high, mean, b.last, b.good / SECOND))
    return found


def test_a_step_is_bounded_and_many_give_the_same(store, monkeypatch):
    """A point is read whole or left for the next step; one that has too much alone is a step of its own."""
    doors = [Sample(0, n * 60 * SECOND, "open", 0) for n in range(3)]
    floors = [Sample(FLOOR, n * 60 * SECOND, n, 0) for n in range(10)]
    rows_ = sorted([*doors, *floors], key=lambda one: one.at)
    vouch = [Vouch(0, T0 + HOUR, HOUR)]
    commit(store, payload("samples", 1, t0=T0, mono0=0, samples=rows_, vouch=vouch))
    commit(store, samples(2, [(3700, 1, 0), (3800, 2, 0)], [(3600, 7200)]))
    monkeypatch.setattr(rollups, "MOST_ROWS", 4)
    steps = []
    while done := store.do(lambda sql: rollups.step(sql, LATER)).result(30):
        steps.append(done)
    assert steps == [1, 1, 2, 1]  # two stretches of coverage are spread over their points first
    assert rows(store, "hours", "point, at, n, word, last") == [
        (1, T0, 3, "open", None), (2, T0, 10, None, 9), (2, T0 + HOUR, 2, None, 2),
    ]  # fmt: skip


def test_a_worker_that_writes_while_the_office_folds_loses_nothing(postgres: Postgres):
    """Two connections to one database: whatever is seen too late for one fold is marked for the next."""
    url = postgres.create()
    with closing(PostgresStore.open(url)) as worker, closing(PostgresStore.open(url)) as office:
        data = catalogue()
        entry = PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=decode_catalogue(data))
        worker.commit(Transaction(at=T0, entries=(entry,))).result(30)
        random = Random(11)
        blocks = [
            samples(n, [(n * 90 + random.random() * 80, n % 7, 0)], [((n - 1) * 90, n * 90)]) for n in range(1, 220)
        ]
        futures = []
        for one in random.sample(blocks, len(blocks)):
            put = PutBlock(block=decode(one), payload=one, digest=wire.digest(one))
            futures.append(worker.commit(Transaction(at=LATER, entries=(put,))))
        folded = 0
        while not futures[-1].done():
            folded += office.tidy(lambda sql: rollups.step(sql, LATER)).result(30)
        assert folded > 0, "nothing was folded while the worker wrote"
        assert all(future.result(30).applied == ("new",) for future in futures)
        roll(office)
        assert rows(office, "hours", "at, n, low, high, mean, last, good_s") == expected(blocks)


# retention


def purge(store: Store, now: int, **limits: int) -> list[tuple[str, int]]:
    retention, found = Retention(limits), []
    while (one := store.do(lambda sql: retention.step(sql, now)).result(30)) is not None:
        if one.count:
            found.append((one.what, one.count))
        assert len(found) < 1_000
    assert store.do(lambda sql: retention.step(sql, now)).result(30) is None
    return found


def count(store: Store, table: str) -> int:
    return store.reader.ask(f"SELECT count(*) FROM {table}")[0][0]


def test_raw_rows_go_after_their_time_and_never_before_their_rollup(store):
    """Nothing goes while a mark is left; then the old day, in time its blocks, and never the latest value."""
    for day in range(3):
        commit(
            store, samples(day + 1, [(day * 86400 + 60, day, 0)], [(day * 86400, day * 86400 + 90)]), at=T0 + day * DAY
        )
    now = T0 + 3 * DAY + HOUR
    assert purge(store, now, raw=2 * DAY) == []
    roll(store, now)
    found = dict(purge(store, now, raw=2 * DAY))
    assert found in ({"samples": 1}, {"days": 1})
    assert (count(store, "v_samples"), count(store, "hours"), count(store, "blocks")) == (2, 3, 3)
    later = now + 20 * DAY
    assert dict(purge(store, later, raw=2 * DAY))["blocks"] == 1  # the first and the last bound what is there
    assert (count(store, "samples"), count(store, "hours"), count(store, "v_latest")) == (0, 3, 1)
    kept = {row[0]: row[1] for row in store.reader.ask("SELECT what, since FROM kept")}
    assert kept["raw"] == later - HOUR - 2 * DAY


def test_a_block_whose_row_was_purged_is_still_a_repeat(store):
    """What comes again after it was purged writes nothing; those beside a hole keep their rows, and it shows."""
    old = [samples(n, [(60 * n, 1, 0)], [(60 * n - 60, 60 * n)]) for n in range(1, 8) if n != 4]
    commit(store, *old, at=T0 + HOUR)
    now = T0 + 40 * DAY
    roll(store, now)
    purge(store, now, raw=2 * DAY)
    left = "SELECT sequence FROM blocks ORDER BY 1"
    assert [row[0] for row in store.reader.ask(left)] == [1, 3, 5, 7]
    assert commit(store, *old, at=now) == ("repeat",) * 6
    assert [row[0] for row in store.reader.ask(left)] == [1, 3, 5, 7]
    assert count(store, "samples") == 0
    assert [tuple(row) for row in store.reader.ask('SELECT start, "end" FROM v_holes')] == [(4, 4)]


def test_what_has_just_come_is_kept_whatever_its_date_says(store):
    """A site's clock that stands years back dates samples long ago: they are kept as long as those of today."""
    now = T0 + 9_000 * DAY
    commit(store, samples(1, [(60, 1, 0)]), at=now)
    roll(store, now)
    assert purge(store, now, raw=90 * DAY) == []
    assert count(store, "samples") == 1
    gone = dict(purge(store, now + 92 * DAY, raw=90 * DAY))
    assert (gone["samples"], count(store, "samples")) == (1, 0)


def test_an_hour_that_was_purged_stays_as_it_was_folded(store):
    """Late data for it is folded no more: half of an hour must not take the place of the whole one."""
    commit(store, samples(1, [(60, 4, 0)], [(0, 3600)]), at=T0 + HOUR)
    now = T0 + 40 * DAY
    roll(store, now)
    before = rows(store, "hours")
    purge(store, now, raw=2 * DAY)
    commit(store, samples(2, [(120, 9, 0)]), at=now)
    roll(store, now)
    assert rows(store, "hours") == before


def test_minutes_hours_and_events_go_after_theirs(store):
    """Each by its own limit; what has none stays."""
    commit(store, samples(1, [(60, 4, 0)], [(0, 3600)]), payload("events", 1), at=T0 + HOUR)
    now = T0 + 40 * DAY
    roll(store, now)
    assert purge(store, now, minutes=50 * DAY, hours=50 * DAY, events=50 * DAY) == []
    assert purge(store, now, minutes=DAY) == [("minutes", 1)]
    assert purge(store, now, hours=DAY, events=DAY) == [("hours", 1), ("events", 1)]


def test_a_store_from_before_the_rollups_gets_all_of_its_hours(tmp_path):
    """The migration marks what is there."""
    with closing(SqliteStore.open(tmp_path / "office.db", inline=True)) as opened:
        data = catalogue()
        entry = PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=decode_catalogue(data))
        opened.commit(Transaction(at=T0, entries=(entry,))).result()
        commit(opened, samples(1, [(-5, 1, 0), (60, 4, 0), (3700, 5, 0)]))
    with closing(sqlite3.connect(tmp_path / "office.db")) as sql:
        sql.execute("DELETE FROM rollup_due")
        sql.execute(rollups.FILL)
        sql.commit()
        found = sql.execute("SELECT hour FROM rollup_due ORDER BY 1").fetchall()
    assert found == [(T0 - HOUR,), (T0,), (T0 + HOUR,)]


def test_a_reader_that_holds_a_day_does_not_hold_up_ingest(request, postgres: Postgres):
    """While somebody reads, no day is dropped or made; samples come in all the same, and their day is made later."""
    url = postgres.create()
    with closing(PostgresStore.open(url)) as store, psycopg.connect(url) as reading:
        data = catalogue()
        entry = PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=decode_catalogue(data))
        store.commit(Transaction(at=T0, entries=(entry,))).result(30)
        commit(store, samples(1, [(60, 1, 0)]), at=T0)
        roll(store)
        reading.execute("SELECT count(*) FROM samples").fetchall()
        with pytest.raises(Exception, match="lock timeout"):
            purge(store, LATER, raw=DAY)
        assert commit(store, samples(2, [(86400 * 30, 2, 0)])) == ("new",)
        assert count(store, "samples_other") == 1
        reading.rollback()
        assert ("days", 1) in purge(store, LATER, raw=DAY)
        assert commit(store, samples(3, [(86400 * 30 + 1, 2, 0)]), at=LATER + 2 * MINUTE) == ("new",)
        assert (count(store, "samples_other"), count(store, "samples")) == (0, 2)
