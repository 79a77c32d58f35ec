"""SQLite and PostgreSQL say the same of one story: ledger, what is lacking, quarantine, conflicts, two gateways."""

from pathlib import Path
from typing import Any

import pytest

from cloud_sync import wire
from cloud_sync.store import evidence, quarantine, streams
from cloud_sync.store.base import (
    PutBlock,
    PutCatalogue,
    PutMissing,
    PutQuarantine,
    PutReplay,
    PutStatus,
    Transaction,
)
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.store.store import Store
from cloud_sync.wire import Status
from office import ledger
from office.quarantine import revived
from sitekeeper.block import GapCause, decode
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.model.clock import SECOND
from sitekeeper.model.event import Event
from tests.fixtures.postgres import Postgres
from tests.unit.cloud_sync.material import EPOCH, SITE, T0, catalogue, gap, payload

pytestmark = pytest.mark.slow
DROPPED = {"stream": "samples", "epoch": EPOCH, "first": 8, "last": 9, "records": 4} | {
    "from": "2026-01-01T00:00:00Z",
    "to": "2026-01-01T00:00:01Z",
}


def put(*of: Any, **more: Any) -> PutBlock:
    data = payload(*of, **more)
    return PutBlock(block=decode(data), payload=data, digest=wire.digest(data))


def spoken(boot: str, first: int) -> PutStatus:
    said = {"samples": first, "alarms": 1_000}
    return PutStatus(
        status=Status(online=True, site=SITE, epoch=EPOCH, boot=boot, version="0", first=said),  # type: ignore[arg-type]
        live=True,
    )


def story(store: Store) -> None:
    """Tell the store all that can happen to the completeness of a record."""
    data = catalogue()
    lost = payload("events", 2)
    away = PutQuarantine(
        site=SITE,
        kind="events",
        payload=lost,
        digest=wire.digest(lost),
        reason="undecodable",
        detail="why",
        epoch=EPOCH,
        stream="events",
        sequence=2,
    )
    entries: list[Any] = [
        PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=decode_catalogue(data)),
        *(spoken(f"b{turn % 2}", 11) for turn in range(6)),
        put("samples", 1, gaps=[gap(2 * SECOND, 4 * SECOND, GapCause.SILENT)]),
        *(put("samples", sequence) for sequence in (4, 5, 12, 7)),
        put("samples", 4, boot="b2"),
        put("events", 1, events=[Event("gateway/dropped", 0, DROPPED)]),
        put("alarms", 3),
        away,
        away,
        PutMissing(site=SITE, epoch=EPOCH, stream="samples", start=6, end=6),
        put("alarms", 5, t0=T0),
    ]
    for number, entry in enumerate(entries):
        at = T0 + 3_600 * SECOND + number
        store.commit(Transaction(at=at, entries=(entry,))).result()
    [row] = quarantine.listed(store.reader.ask)
    replay = PutReplay(number=row.id, entry=revived(store.reader.ask, row.id))
    store.commit(Transaction(at=T0, entries=(replay,))).result()


def said(store: Store) -> list[Any]:
    """Return everything that is made of it."""
    ask, now = store.reader.ask, T0 + 7_200 * SECOND
    site = store.reader.catalogue(SITE)
    day = ledger.today(ledger.zone_of(site), T0)
    account = ledger.of_day(store.reader, SITE, site, day, now)
    decisions = ask("SELECT sequence, decision FROM transitions ORDER BY sequence")
    return [
        ledger.by_group(account),
        ledger.by_point(account),
        ledger.of_site(account, day),
        streams.all_lacks(ask, now),
        evidence.found(ask, T0),
        [(row.kind, row.reason, row.times, row.size > 0, row.replayed) for row in quarantine.listed(ask)],
        [tuple(row) for row in ask('SELECT stream, start, "end" FROM streams ORDER BY stream, start')],
        [tuple(row) for row in decisions],
    ]


def test_both_engines_tell_one_story(tmp_path: Path, postgres: Postgres) -> None:
    """Every figure is the same, and none of them is empty."""
    from cloud_sync.store.postgres import PostgresStore

    found = []
    for store in (SqliteStore.open(tmp_path / "office.db", inline=True), PostgresStore.open(postgres.create())):
        try:
            story(store)
            found.append(said(store))
        finally:
            store.close()
    assert found[0] == found[1]
    assert all(found[0])
    [site] = [found[0][2]]
    assert (site["records_dropped"], site["known_s"], site["causes"]["missing"] > 0) == (4, 5, True)
    assert {one.kind for one in found[0][4]} == {"conflict", "twins", "missing"}
    assert [decision for _, decision in found[0][-1]] == ["history", "history"]
