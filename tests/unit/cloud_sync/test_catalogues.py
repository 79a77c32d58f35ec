"""Catalogues of one site: bounded in number and bytes, a flood is kept apart and told."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from cloud_sync.store import catalogues, evidence
from cloud_sync.store.base import Outcome, PutBlock, PutCatalogue, PutReplay, Transaction
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.wire import digest
from sitekeeper.block import decode as decode_block
from sitekeeper.catalogue import Catalogue, catalogue_hash, decode, encode
from sitekeeper.model.clock import DAY, HOUR

from .material import SITE, T0, catalogue, payload


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore.open(tmp_path / "office.db", inline=True)
    yield made
    made.close()


def made(number: int, site: str = SITE, size: int = 0) -> bytes:
    return encode(Catalogue(site=site, names={"en": f"{number} {Random(number).randbytes(size // 2).hex()}"}))


def put(data: bytes) -> PutCatalogue:
    found = decode(data)
    return PutCatalogue(site=found.site, hash=catalogue_hash(data), payload=data, catalogue=found)


def send(store: SqliteStore, data: bytes, at: int = T0) -> Outcome:
    return store.commit(Transaction(at=at, entries=(put(data),))).result()


def kept(store: SqliteStore, site: str = SITE) -> list[str]:
    return [row[0] for row in store.reader.ask("SELECT hash FROM catalogues WHERE site = ? ORDER BY received", site)]


def test_one_beyond_a_day_is_kept_apart_and_told_and_other_sites_go_on(store: SqliteStore) -> None:
    """The one after the last allowed goes into quarantine with its bytes; a day later the site may send again."""
    for number in range(catalogues.A_DAY):
        assert send(store, made(number)).applied == ("new",)
    assert evidence.found(store.reader.ask, T0 - DAY) == []
    assert send(store, made(1_000)).applied == ("quarantined",)
    assert send(store, made(5)).applied == ("repeat",), "what is kept is known as before"
    assert len(kept(store)) == catalogues.A_DAY
    [found] = evidence.found(store.reader.ask, T0 - DAY)
    assert (found.kind, found.site, found.count) == ("flood", SITE, 1)
    assert send(store, made(1, "annex")).applied == ("new",)
    assert send(store, made(1_001), T0 + DAY + HOUR).applied == ("new",)


def test_the_oldest_that_nobody_named_goes_first(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four places one is in use and stays; the outcome says who went, so that a block may ask for it again."""
    monkeypatch.setattr(catalogues, "MOST", 4)
    used = catalogue()
    send(store, used)
    block = payload("samples", 1)
    store.commit(
        Transaction(at=T0, entries=(PutBlock(block=decode_block(block), payload=block, digest=digest(block)),))
    ).result()
    for number in range(1, 4):
        send(store, made(number), T0 + number * DAY)
    assert send(store, made(4), T0 + 9 * DAY).forgotten == (catalogue_hash(made(1)),)
    assert send(store, made(5), T0 + 10 * DAY).forgotten == (catalogue_hash(made(2)),)
    assert kept(store) == [catalogue_hash(one) for one in (used, made(3), made(4), made(5))]


def test_bytes_are_bounded_as_well(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three large ones in one day do not fit; they do over days, the oldest going."""
    monkeypatch.setattr(catalogues, "MOST_BYTES", 13_000)
    assert [send(store, made(n, size=10_000)).applied for n in range(3)] == [("new",), ("new",), ("quarantined",)]
    assert send(store, made(2, size=10_000), T0 + 2 * DAY).applied == ("new",)
    assert len(kept(store)) == 2


def test_a_person_may_have_a_flood_taken_all_the_same(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay out of quarantine is somebody's decision."""
    monkeypatch.setattr(catalogues, "A_DAY", 1)
    send(store, made(1))
    send(store, made(2))
    [row] = store.reader.ask("SELECT id FROM quarantine")
    replay = PutReplay(number=row[0], entry=put(made(2)))
    assert store.commit(Transaction(at=T0, entries=(replay,))).result().applied == ("new",)
    assert len(kept(store)) == 2
