"""Databases hold what happens in buildings: nobody else on the machine reads them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync.store.sqlite import SqliteStore
from edge.outbox import Outbox
from sitekeeper.model.clock import ManualClock


@pytest.fixture
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("usual_umask")
def test_no_database_is_made_that_others_can_read(tmp_path: Path) -> None:
    """Under the usual umask 022 the outbox, the central store, their logs and indexes are 0640."""
    outbox = Outbox.open(tmp_path / "outbox.db", site="hq", clock=ManualClock(), inline=True)
    store = SqliteStore.open(tmp_path / "office.db", inline=True)
    found = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("*.db*")}
    outbox.close()
    store.close()
    names = ["outbox.db", "outbox.db-wal", "office.db"]
    assert {name: found.get(name) for name in names} == dict.fromkeys(names, 0o640)
    assert [name for name, mode in found.items() if mode & 0o007] == []
