"""The central store's disk is full: nothing is receipted, the reason is told, and it goes on by itself afterwards."""

from contextlib import closing
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.store import rollups
from cloud_sync.store.base import PutBlock, PutCatalogue, Transaction
from cloud_sync.store.sqlite import SqliteStore
from sitekeeper.block import decode
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.model.clock import DAY, SECOND
from sitekeeper.model.errors import StorageError
from sitekeeper.model.sample import Sample
from tests.fixtures.small_disk import small_disk
from tests.unit.cloud_sync.material import SITE, T0, catalogue, payload

SAMPLES = 500
MOST = 2_000


def transaction(sequence: int) -> Transaction:
    rows = [Sample(1, sequence * SECOND + n, n, 0) for n in range(SAMPLES)]
    data = payload("samples", sequence, samples=rows)
    return Transaction(at=T0, entries=(PutBlock(block=decode(data), payload=data, digest=wire.digest(data)),))


def until_full(store: SqliteStore, first: int) -> int:
    """Return the sequence that the disk had no room for."""
    for sequence in range(first, MOST):
        failed = store.commit(transaction(sequence)).exception(30)
        if failed is not None:
            assert isinstance(failed, StorageError)
            assert "full" in str(failed)
            return sequence
    raise AssertionError("the disk is never full")


def test_a_full_disk_is_told_and_nothing_is_lost_or_torn(tmp_path: Path) -> None:
    """What was refused is stored whole when there is room again, by the same process; so does folding."""
    data = catalogue()
    names = PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=decode_catalogue(data))
    with small_disk(tmp_path, 24) as disk, closing(SqliteStore.open(disk.folder / "office.db")) as store:
        store.commit(Transaction(at=T0, entries=(names,))).result(30)
        for sequence in range(1, 21):
            assert store.commit(transaction(sequence)).result(30).applied == ("new",)
        disk.fill()
        sequence = until_full(store, 21)
        with pytest.raises(StorageError, match="full"):
            store.tidy(lambda sql: rollups.step(sql, T0 + DAY)).result(30)
        disk.free()
        assert store.commit(transaction(sequence)).result(30).applied == ("new",)
        assert store.tidy(lambda sql: rollups.step(sql, T0 + DAY)).result(30) == 1
        counts = "SELECT (SELECT count(*) FROM samples), (SELECT sum(records) FROM blocks), (SELECT sum(n) FROM hours)"
        assert list(store.reader.ask(counts)[0]) == [sequence * SAMPLES] * 3
