"""What only security may know of a site, by the catalogues that the store has of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from cloud_sync.store.base import PutCatalogue, Transaction
from cloud_sync.store.sqlite import SqliteStore
from office.audience import NEWEST, Audiences, Hidden, Numbered, going_on
from sitekeeper.catalogue import Catalogue, CatalogueRule, catalogue_hash, decode, encode
from sitekeeper.model.clock import SECOND

SITE = "hq"
T0 = 1_767_225_600 * SECOND
DURESS = CatalogueRule("A06", "P1", {"en": "Duress"}, audience="security")
ALL = Hidden(frozenset({"A06"}), frozenset({"read.event/duress"}))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore.open(tmp_path / "office.db", inline=True)
    yield made
    made.close()


def send(store: SqliteStore, second: int, name: str, *rules: CatalogueRule) -> None:
    secrets = ("read.event/duress",) if rules else ()
    data = encode(Catalogue(site=SITE, names={"en": name}, rules=rules, secrets=secrets))
    put = PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=decode(data))
    store.commit(Transaction(at=T0 + second * SECOND, entries=(put,))).result()


def test_what_the_catalogue_in_force_hides_is_hidden_however_long_ago_it_came_first(store: SqliteStore) -> None:
    """One that comes again after many others is not among the newest, and is the one that counts."""
    send(store, 0, "old", DURESS)
    assert Audiences().all_of(store.reader, SITE) == ALL
    for number in range(1, NEWEST + 1):
        send(store, number, f"without {number}")
        if number == NEWEST - 1:
            assert Audiences().all_of(store.reader, SITE) == ALL, "one of the newest"
    audiences = Audiences()
    assert audiences.all_of(store.reader, SITE) == Hidden()
    send(store, 99, "old", DURESS)
    assert audiences.all_of(store.reader, SITE) == ALL
    assert audiences.of(store.reader, "nowhere") == frozenset()


def test_the_newest_catalogues_of_a_site_are_found_by_an_index(store: SqliteStore) -> None:
    """Of many sites with many catalogues none but the asked ones is looked at."""
    plan = store.reader.ask(
        "EXPLAIN QUERY PLAN SELECT hash FROM catalogues WHERE site = ? ORDER BY received DESC LIMIT ?", SITE, NEWEST
    )
    assert ["catalogues_of_site" in row["detail"] for row in plan] == [True]


class Row(NamedTuple):
    id: int


@pytest.mark.parametrize(
    ("shown", "limit", "following"),
    [
        ((11, 12, 13), 3, 13),
        ((11, 12, 13), 1, 11),
        ((11,), 3, 11),  # what comes behind it is looked at again
        ((13,), 1, 13),
        ((), 3, 13),  # as many as are looked at, all hidden: they have to be passed
    ],
)
def test_a_question_goes_on_behind_what_was_shown(shown: Sequence[int], limit: int, following: int) -> None:
    """Three rows are looked at; with fewer, and nothing shown, the next question is the same one."""
    rows: list[Numbered] = [Row(11), Row(12), Row(13)]
    kept = [Row(each) for each in shown]
    assert going_on(rows, kept, 10, limit=limit, looked=3) == following
    assert going_on(rows, [], 10, limit=limit, looked=4) == 10
