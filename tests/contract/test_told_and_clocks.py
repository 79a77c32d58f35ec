"""Alarms told from memory, wrong clocks and exports, on PostgreSQL: the facts of the unit tests, word for word."""

from collections.abc import Iterator

import pytest

from cloud_sync.store.base import PutCatalogue, Transaction
from cloud_sync.store.history import HistoryReader
from cloud_sync.store.postgres import PostgresStore
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from tests.fixtures.postgres import Postgres
from tests.unit.cloud_sync.material import SITE, T0, catalogue
from tests.unit.cloud_sync.test_clocks import *  # noqa: F403 - each of its tests runs here too
from tests.unit.cloud_sync.test_export import *  # noqa: F403
from tests.unit.cloud_sync.test_volatile import *  # noqa: F403


@pytest.fixture
def store(postgres: Postgres) -> Iterator[PostgresStore]:
    """A store with the site's catalogue, in the place of the one that both files make."""
    opened = PostgresStore.open(postgres.create())
    data = catalogue()
    entry = PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=decode_catalogue(data))
    opened.commit(Transaction(at=T0, entries=(entry,))).result(30)
    yield opened
    opened.close()


@pytest.fixture
def reader(store: PostgresStore) -> Iterator[HistoryReader]:
    """A reader of it."""
    found = store.history()
    yield found
    found.close()
