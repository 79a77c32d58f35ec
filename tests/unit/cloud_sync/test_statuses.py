"""Statuses of one site in any order: the newest one by the site's own order stands."""

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest
from msgspec.structs import replace

from cloud_sync.store.base import PutStatus, Transaction
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.wire import Status
from sitekeeper.model.clock import SECOND

from .material import EPOCH, SITE, T0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore.open(tmp_path / "office.db", inline=True)
    yield made
    made.close()


def said(second: int, *, boot: str = "b1", **more: object) -> Status:
    """Return what the site says at a second of its boot."""
    fields = {"online": True, "site": SITE, "epoch": EPOCH, "version": "1", "clock": True, "at": T0 + second * SECOND}
    return Status(**(fields | {"boot": boot, "mono": second * SECOND, "nonce": f"{boot}-{second}"} | more))


def hear(store: SqliteStore, status: Status, *, live: bool = True) -> None:
    store.commit(Transaction(at=T0 + 500 * SECOND, entries=(PutStatus(status=status, live=live),))).result()


def stands(store: SqliteStore) -> tuple[object, ...]:
    [row] = store.reader.ask("SELECT s.boot, s.online, s.nonce, w.nonce FROM sites s JOIN site_words w USING (site)")
    return tuple(row)


@pytest.mark.parametrize("order", list(permutations((10, 20, 30))))
def test_in_any_order_the_last_word_of_a_boot_stands(tmp_path: Path, order: tuple[int, ...]) -> None:
    """Whichever worker is quicker: row and nonce are those of second 30."""
    store = SqliteStore.open(tmp_path / "office.db", inline=True)
    for second in order:
        hear(store, said(second))
    assert stands(store) == ("b1", 1, "b1-30", "b1-30")
    store.close()


def test_the_wall_clock_does_not_order_a_boot(store: SqliteStore) -> None:
    """A clock that was set back by an hour in between: the later word is the later one."""
    hear(store, said(10))
    hear(store, said(20, at=T0 - 3_600 * SECOND))
    hear(store, said(15))
    assert stands(store)[2] == "b1-20"


def test_a_late_word_of_a_boot_that_is_over_changes_nothing(store: SqliteStore) -> None:
    """Neither a status nor the last will of a process that another one has followed."""
    hear(store, said(900))
    hear(store, said(1, boot="b2", clock=False))
    hear(store, said(910, clock=False))
    assert stands(store) == ("b2", 1, "b2-1", "b2-1")
    hear(store, said(900, online=False))
    assert stands(store) == ("b2", 1, "b2-1", "b2-1")


def test_a_boot_that_was_never_heard_is_ordered_by_clocks_that_are_believed(store: SqliteStore) -> None:
    """Its only word came late; with clocks that nobody believes it cannot be told, and counts."""
    hear(store, said(5, boot="b2", at=T0 + 1_000 * SECOND))
    hear(store, said(900))
    assert stands(store)[0] == "b2"
    hear(store, said(901, boot="b0", clock=False))
    assert stands(store)[0] == "b0"


def test_a_last_will_counts_and_so_does_the_word_after_it(store: SqliteStore) -> None:
    """A will was written when the connection began, so its time says nothing."""
    hear(store, said(20))
    hear(store, said(1, online=False))
    assert stands(store)[1] == 0
    hear(store, said(30))
    assert stands(store)[1] == 1


def test_a_gateway_that_tells_no_monotonic_time_is_ordered_by_its_clock(store: SqliteStore) -> None:
    """As long as that is to be believed."""
    hear(store, replace(said(20), mono=None))
    hear(store, replace(said(10), mono=None))
    assert stands(store)[2] == "b1-20"
    hear(store, replace(said(5), mono=None, clock=False))
    assert stands(store)[2] == "b1-5"


def test_an_overtaken_word_still_brings_the_heads_of_its_audit(store: SqliteStore) -> None:
    """What was once told of the audit is evidence, in whatever order it comes."""
    hear(store, said(20, audit=(9, "b" * 64)))
    hear(store, said(10, audit=(7, "a" * 64)))
    assert [head.n for head in store.reader.audit_heads(SITE)] == [7, 9]
    word = store.reader.word(SITE)
    assert word is not None
    assert (word.n, word.behind, word.changed) == (9, 0, -1)
    hear(store, said(15, audit=(7, "c" * 64)))
    word = store.reader.word(SITE)
    assert word is not None
    assert word.changed == 0
