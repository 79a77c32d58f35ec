"""How a day stands, in a word: what is still being told never looks complete, and what nobody explains stands out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.store.base import PutBlock, PutCatalogue, Transaction
from cloud_sync.store.ledger import PATIENCE, SiteLedger
from cloud_sync.store.sqlite import SqliteStore
from office import ledger
from sitekeeper.block import Vouch, decode
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.model.clock import HOUR, MINUTE, SECOND
from tests.unit.cloud_sync.material import SITE, T0, catalogue, payload

GROUP = "lift-a1@1s"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "office.db", inline=True)
    data = catalogue()
    put = PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=decode_catalogue(data))
    opened.commit(Transaction(at=1, entries=(put,))).result()
    yield opened
    opened.close()


def vouched(store: SqliteStore, *minutes: int) -> None:
    """Commit blocks, the one of each number vouching for the minute before."""
    for number, minute in enumerate(minutes, 1):
        t0 = T0 + minute * MINUTE
        data = payload("samples", number, t0=t0, vouch=[Vouch(0, t0, MINUTE)])
        put = PutBlock(block=decode(data), payload=data, digest=wire.digest(data))
        store.commit(Transaction(at=1, entries=(put,))).result()


def stands(store: SqliteStore, now: int, *, end: int = T0 + HOUR) -> tuple[str, float]:
    """Return state and awaited seconds of the stretch [T0, end)."""
    account = SiteLedger(store.reader.ask, SITE, T0, end, [GROUP], now)
    groups = account.groups()
    assert len(groups) <= 1
    total = groups[0].account if groups else ledger.Account()
    return ledger.state(account, total), total.awaited / SECOND


def test_a_running_day_is_complete_so_far_until_the_line_is_down(store: SqliteStore) -> None:
    """Told up to a minute ago; then nothing comes: it is still being told, and what is over since is awaited."""
    vouched(store, 1, 2, 3)
    assert stands(store, T0 + 4 * MINUTE) == ("running", 0)
    assert stands(store, T0 + 3 * MINUTE + PATIENCE) == ("running", 0)
    assert stands(store, T0 + 4 * MINUTE + PATIENCE) == ("telling", 60)
    assert stands(store, T0 + 2 * HOUR) == ("telling", 57 * 60)


def test_a_day_before_which_the_line_went_down_is_still_being_told(store: SqliteStore) -> None:
    """Though no scan group has a moment of it: it must not look as if the site had had no record."""
    vouched(store, 1, 2)
    account = SiteLedger(store.reader.ask, SITE, T0 + HOUR, T0 + 2 * HOUR, [GROUP], T0 + HOUR + MINUTE)
    assert ledger.state(account, ledger.Account()) == "telling"
    assert account.told == T0 + 2 * MINUTE


def test_a_day_that_is_over_and_told_is_complete(store: SqliteStore) -> None:
    """Known to its end; with a minute that no block lacks it is unexplained, whatever else is true of it."""
    vouched(store, *range(1, 61))
    assert stands(store, T0 + 2 * HOUR) == ("complete", 0)


def test_what_nobody_explains_comes_before_all(store: SqliteStore) -> None:
    """A hole between two blocks that follow each other: not awaited, not complete."""
    vouched(store, 1, 3, 4)
    assert stands(store, T0 + 5 * MINUTE)[0] == "unexplained"
    assert stands(store, T0 + 2 * HOUR)[0] == "unexplained"


def test_a_site_that_never_told_anything_has_no_record(store: SqliteStore) -> None:
    """And one whose record begins later has none of that day."""
    assert stands(store, T0 + HOUR)[0] == "nothing"
    vouched(store, 61, 62)
    assert stands(store, T0 + 2 * HOUR)[0] == "nothing"
