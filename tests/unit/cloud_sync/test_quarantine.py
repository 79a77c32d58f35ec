"""Quarantine: bounded for each site, alarms apart; what does not fit is not answered; replay applies it once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.ingest_machine import IngestMachine
from cloud_sync.ingest_records import Acknowledge, Arrival, Ask
from cloud_sync.session import Delivery
from cloud_sync.store import quarantine
from cloud_sync.store.base import (
    PutBlock,
    PutCatalogue,
    PutQuarantine,
    PutReplay,
    QuarantineReason,
    Transaction,
)
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.wire import Request
from office.quarantine import found, header, revived
from sitekeeper.block import Stream
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.model.errors import NotFound, Refused
from tests.unit.cloud_sync.material import EPOCH, SITE, catalogue, payload


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "office.db", inline=True)
    data = catalogue()
    put = PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=decode_catalogue(data))
    opened.commit(Transaction(at=1, entries=(put,))).result()
    yield opened
    opened.close()


def kept(data: bytes, kind: str = "samples", sequence: int | None = None, reason: QuarantineReason = "undecodable"):
    """Return an entry as the ingest makes it."""
    identity = {} if sequence is None else {"epoch": EPOCH, "stream": kind, "sequence": sequence}
    return PutQuarantine(
        site=SITE, kind=kind, payload=data, digest=wire.digest(data), reason=reason, detail="why", **identity
    )


def commit(store: SqliteStore, *entries: object) -> list[str]:
    return list(store.commit(Transaction(at=5, entries=entries)).result().applied)  # type: ignore[arg-type]


def test_a_flood_keeps_its_bounds_and_leaves_room_for_alarms(store: SqliteStore, monkeypatch) -> None:
    """Beyond the rows, and beyond the bytes, only one row counts on; repeats of what is kept are answered."""
    monkeypatch.setattr(quarantine, "MOST", 3)
    came = [commit(store, kept(b"junk %d" % n))[0] for n in range(50)]
    assert came == ["quarantined"] * 3 + ["overflow"] * 47
    assert commit(store, kept(b"junk 1")) == ["quarantined"]
    assert commit(store, kept(b"alarm junk", "alarms", 4)) == ["quarantined"]
    rows = {row.reason: row for row in quarantine.listed(store.reader.ask, SITE)}
    assert (rows["overflow"].times, rows["overflow"].size) == (47, 0)
    assert len(quarantine.listed(store.reader.ask)) == 5
    monkeypatch.setattr(quarantine, "MOST", 500)
    monkeypatch.setattr(quarantine, "MOST_BYTES", 100)
    assert commit(store, kept(b"x" * 200)) == ["overflow"]
    assert quarantine.listed(store.reader.ask, "elsewhere") == []


def test_what_there_was_no_room_for_is_not_answered(store: SqliteStore, monkeypatch) -> None:
    """No `quarantined` word, so the site keeps it; the broker is told, so that it does not pile up there."""
    monkeypatch.setattr(quarantine, "MOST", 1)
    machine = IngestMachine(store.known())
    answers = []
    for mid, data in enumerate((b"\x01one", b"\x01two")):
        topic = f"sitekeeper/1/{SITE}/up/samples"
        machine.accept(Arrival("bulk", 1, Delivery(topic=topic, payload=data, retained=False, mid=mid, qos=1)), 0)
        batch = machine.batch(0)
        assert batch is not None
        answers.append(machine.committed(batch, store.commit(batch.transaction).result()))
    assert answers[0][0] == Ask(SITE, Request(quarantined=wire.digest(b"\x01one")))
    assert [type(one) for one in answers[1]] == [Acknowledge]
    assert machine.counts["overflow"] == 1


@pytest.mark.parametrize("stream", ["alarms", "events", "samples"])
def test_what_can_be_read_now_is_applied_once(store: SqliteStore, stream: Stream) -> None:
    """Its place among the blocks becomes a real one, with its records; a second replay is refused."""
    data = payload(stream, 3)
    assert commit(store, kept(data, stream, 3)) == ["quarantined"]
    [row] = quarantine.listed(store.reader.ask)
    assert found(store.reader.ask, row.id)[1] == data
    assert header(data) == {"site": SITE, "epoch": EPOCH, "stream": stream, "sequence": 3}
    entry = revived(store.reader.ask, row.id)
    assert isinstance(entry, PutBlock)
    assert commit(store, PutReplay(number=row.id, entry=entry)) == ["new"]
    [block] = store.reader.ask("SELECT quarantined, records FROM blocks")
    assert (block[0], block[1]) == (0, {"samples": 2}.get(stream, 1))
    stored = sum(store.reader.ask(f"SELECT count(*) FROM {t}")[0][0] for t in ("samples", "events", "transitions"))
    assert stored == block[1]
    with pytest.raises(Refused, match="already-replayed"):
        revived(store.reader.ask, row.id)
    assert commit(store, entry) == ["repeat"]


def test_what_still_cannot_be_used_stays(store: SqliteStore) -> None:
    """Unreadable, of another site, beyond its catalogue, or not there: each with its word, and nothing is written."""
    lies = [
        (b"\x01garbage", "samples", "still-unreadable"),
        (payload("samples", 1, site="elsewhere"), "samples", "wrong-topic"),
        (payload("events", 1), "samples", "wrong-topic"),
        (payload("samples", 1, catalogue="0" * 32), "samples", "catalogue-missing"),
        (catalogue("elsewhere"), "catalogue", "wrong-topic"),
    ]
    for data, kind, word in lies:
        commit(store, kept(data, kind))
        with pytest.raises(Refused, match=word):
            revived(store.reader.ask, quarantine.listed(store.reader.ask)[0].id)
    with pytest.raises(NotFound):
        revived(store.reader.ask, 99)
    assert "unreadable" in header(b"\x01garbage")
