"""Backup and restore of an SQLite store, and what the office's tools say of it."""

import json
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from cloud_sync import wire
from cloud_sync.store import backup, streams
from cloud_sync.store.base import PutBlock, PutCatalogue, Transaction
from cloud_sync.store.sqlite import SqliteStore
from office.cli import office
from sitekeeper.block import decode
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import NotFound, Refused, StorageError
from sitekeeper.model.sample import Sample
from tests.fixtures.postgres import Postgres
from tests.unit.cloud_sync.material import EPOCH, SITE, T0, catalogue, payload


def opened(path: Path) -> SqliteStore:
    store = SqliteStore.open(path)
    data = catalogue()
    entry = PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=decode_catalogue(data))
    store.commit(Transaction(at=T0, entries=(entry,))).result(30)
    return store


def put(store: SqliteStore, sequence: int, samples: int = 2) -> str:
    rows = [Sample(1, sequence * SECOND + n, n, 0) for n in range(samples)]
    data = payload("samples", sequence, samples=rows)
    entry = PutBlock(block=decode(data), payload=data, digest=wire.digest(data))
    return store.commit(Transaction(at=T0, entries=(entry,))).result(30).applied[0]


def test_a_copy_made_under_load_has_each_block_whole_or_not_at_all(tmp_path):
    """The office commits all the time meanwhile; of what the copy has, nothing is missing."""
    store = opened(tmp_path / "office.db")
    for sequence in range(1, 200):
        put(store, sequence, 500)
    stop, made = threading.Event(), []

    def load() -> None:
        for sequence in range(200, 5_000):
            if stop.is_set():
                return
            began = time.monotonic()
            put(store, sequence, 100)
            made.append(time.monotonic() - began)

    writer = threading.Thread(target=load)
    writer.start()
    try:
        copies = []
        for number in range(3):
            before = len(made)
            copies.append((backup.backup(tmp_path / "office.db", tmp_path / f"copy{number}.db"), len(made) - before))
    finally:
        stop.set()
        writer.join()
        store.close()
    assert any(during > 0 for _, during in copies), "nothing was committed while a copy was made"
    for number, (copied, _) in enumerate(copies):
        with closing(sqlite3.connect(tmp_path / f"copy{number}.db")) as sql:
            torn = sql.execute(
                "SELECT b.id FROM blocks b LEFT JOIN samples s ON s.block = b.id GROUP BY b.id"
                " HAVING count(s.block) <> b.records"
            ).fetchall()
            assert torn == []
            assert sql.execute("SELECT count(*) FROM blocks").fetchone()[0] == copied.rows["blocks"] >= 199
        assert not (tmp_path / f"copy{number}.db-wal").exists()


def test_a_restored_store_knows_what_it_lacks_and_takes_it_in(tmp_path):
    """What came after the copy is missing after the restore, comes again, and is stored once; the old file is kept."""
    path, copy = tmp_path / "office.db", tmp_path / "copy.db"
    store = opened(path)
    put(store, 1)
    backup.backup(path, copy)
    put(store, 2)
    with pytest.raises(Refused, match="stop it first"):
        backup.restore(copy, path, T0)
    store.close()
    aside = backup.restore(copy, path, T0)
    assert aside == tmp_path / "office.db.before-20260101T000000Z"
    with closing(sqlite3.connect(aside / "office.db")) as sql:
        assert sql.execute("SELECT count(*) FROM blocks").fetchone() == (2,)
    store = SqliteStore.open(path)
    lacking = streams.lacking(store.reader.ask, SITE, EPOCH, "samples", 2)
    assert [(one.start, one.end) for one in lacking] == [(2, 2)]
    assert (put(store, 1), put(store, 2), put(store, 2)) == ("repeat", "new", "repeat")
    assert streams.lacking(store.reader.ask, SITE, EPOCH, "samples", 2) == []
    store.close()


def test_what_is_no_whole_copy_is_refused_and_nothing_is_touched(tmp_path):
    """Damaged, something else, missing, in the way: said so, and the store stays as it is."""
    path = tmp_path / "office.db"
    store = opened(path)
    for sequence in range(1, 50):
        put(store, sequence, 200)
    copy = tmp_path / "copy.db"
    backup.backup(path, copy)
    store.close()
    with pytest.raises(Refused, match="there already"):
        backup.backup(path, copy)
    with pytest.raises(NotFound):
        backup.backup(tmp_path / "none.db", tmp_path / "x.db")
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as sql:
        sql.execute("CREATE TABLE t (x)")
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(copy.read_bytes()[: copy.stat().st_size // 2])
    for wrong in (other, damaged):
        with pytest.raises(StorageError):
            backup.restore(wrong, path, T0)
    with pytest.raises(StorageError, match="backup of"):
        backup.backup(path, tmp_path / "no folder" / "copy.db")
    assert not list(tmp_path.glob("*.part")) + list(tmp_path.glob("*.before-*")) + list(tmp_path.glob("*.restored"))
    with closing(SqliteStore.open(path)) as again:
        assert again.reader.ask("SELECT count(*) FROM blocks")[0][0] == 49


def test_the_commands(tmp_path):
    """Size, copy and restore by office.yaml, with what they print."""
    (tmp_path / "office.yaml").write_text("store: {path: %s}\nbroker: {host: h}\n" % (tmp_path / "office.db"))
    config = ["--config", str(tmp_path / "office.yaml")]
    run = CliRunner().invoke
    assert run(office, ["store", *config]).exit_code == 1
    store = opened(tmp_path / "office.db")
    put(store, 1)
    said = run(office, ["store", *config])
    assert said.exit_code == 0, said.output
    assert "samples\t4.1 kB" in said.stdout
    assert "full_in\tnot known yet" in said.stdout
    item = json.loads(run(office, ["store", "--json", *config]).stdout)
    assert item["used"] == sum(item["tables"].values())
    assert item["free"] > 0
    copy = str(tmp_path / "copy.db")
    assert "blocks 1" in run(office, ["backup", copy, *config]).stdout
    refused = run(office, ["restore", copy, *config])
    assert (refused.exit_code, "stop it first" in refused.output) == (1, True)
    store.close()
    assert "moved aside" in run(office, ["restore", copy, *config]).stdout


def test_with_postgresql_the_commands_say_what_does_it(tmp_path, postgres: Postgres):
    """The size by table; the exact command for a copy, without the password."""
    from cloud_sync.store.postgres import PostgresStore

    url = postgres.create()
    with closing(PostgresStore.open(url)):
        pass
    config = tmp_path / "office.yaml"
    config.write_text(f"store: {{url: '{url}'}}\nbroker: {{host: h}}\n")
    item = json.loads(CliRunner().invoke(office, ["store", "--json", "--config", str(config)]).stdout)
    assert item["tables"]["samples"] > 0
    assert (item["free"], item["used"] > 0) == (None, True)
    config.write_text("store: {url: 'postgresql://ann:hidden@db.example/sk'}\nbroker: {host: h}\n")
    said = CliRunner().invoke(office, ["backup", "sk.dump", "--config", str(config)])
    assert said.exit_code == 1
    assert "pg_dump --format=custom --file=sk.dump 'postgresql://ann@db.example/sk'" in said.output
    assert CliRunner().invoke(office, ["restore", "sk.dump", "--config", str(config)]).exit_code == 1
