"""One site's ledger out of the store: what is awaited, missing, unreadable, dropped; points that come and go."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from cloud_sync import wire
from cloud_sync.store.base import PutBlock, PutCatalogue, PutMissing, PutQuarantine, PutStatus, Transaction
from cloud_sync.store.ledger import PATIENCE, SiteLedger
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.wire import Status
from sitekeeper.block import Gap, GapCause, Vouch, decode
from sitekeeper.catalogue import Catalogue, CataloguePoint, catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.catalogue import encode as encode_catalogue
from sitekeeper.model.clock import HOUR, SECOND
from sitekeeper.model.event import Event
from tests.unit.cloud_sync.material import EPOCH, SITE, T0, catalogue, payload

GROUP = "lift-a1@1s"
BEGIN, END = T0, T0 + HOUR


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "office.db", inline=True)
    put_catalogue(opened, decode_catalogue(catalogue()))
    yield opened
    opened.close()


def put_catalogue(store: SqliteStore, made: Catalogue) -> str:
    data = encode_catalogue(made)
    name = catalogue_hash(data)
    commit(store, PutCatalogue(site=SITE, hash=name, payload=data, catalogue=made))
    return name


def commit(store: SqliteStore, *entries: object) -> None:
    store.commit(Transaction(at=1, entries=entries)).result()  # type: ignore[arg-type]


def minutes(store: SqliteStore, *numbers: int, **more: object) -> None:
    """Commit samples blocks, the one of each number vouching for the minute before."""
    for number in numbers:
        t0 = T0 + number * 60 * SECOND
        data = payload("samples", number, **({"t0": t0, "vouch": [Vouch(0, t0, 60 * SECOND)]} | more))
        commit(store, PutBlock(block=decode(data), payload=data, digest=wire.digest(data)))


def of(store: SqliteStore, *, end: int = END, now: int = END) -> SiteLedger:
    return SiteLedger(store.reader.ask, SITE, BEGIN, end, [GROUP], now)


def seconds(store: SqliteStore, **more: int) -> dict[str, float]:
    [row] = of(store, **more).groups()
    found = {"known": row.account.known, "awaited": row.account.awaited, "unexplained": row.account.unexplained}
    found |= row.account.causes
    assert sum(found.values()) == row.account.span
    return {name: length / SECOND for name, length in found.items() if length}


def test_blocks_on_their_way_are_awaited_until_they_come_or_nobody_has_them(store: SqliteStore) -> None:
    """Of 60 minutes the blocks 20 to 29 lack: awaited, then half of them come, the rest is stated as missing."""
    minutes(store, *range(1, 20), *range(30, 61))
    assert seconds(store) == {"known": 50 * 60, "awaited": 600}
    minutes(store, *range(20, 25))
    assert seconds(store) == {"known": 55 * 60, "awaited": 300}
    commit(store, PutMissing(site=SITE, epoch=EPOCH, stream="samples", start=1, end=99))
    assert seconds(store) == {"known": 55 * 60, "missing": 300}


def test_time_that_no_block_lacks_is_unexplained(store: SqliteStore) -> None:
    """All blocks are there, and nobody vouches for two minutes: that is what must never be."""
    minutes(store, *range(1, 30))
    minutes(store, 30, vouch=[])
    minutes(store, *range(31, 61))
    assert seconds(store) == {"known": 59 * 60, "unexplained": 60}


def test_a_block_that_cannot_be_read_explains_its_time(store: SqliteStore) -> None:
    """Its place is taken, its time is `quarantined`."""
    minutes(store, *range(1, 30), *range(31, 61))
    data = b"cannot be read"
    identity = {"epoch": EPOCH, "stream": "samples", "sequence": 30}
    commit(
        store,
        PutQuarantine(
            site=SITE,
            kind="samples",
            payload=data,
            digest=wire.digest(data),
            reason="undecodable",
            detail="",
            **identity,  # type: ignore[arg-type]
        ),
    )
    assert seconds(store) == {"known": 59 * 60, "quarantined": 60}


def test_a_stretch_that_runs_is_accounted_for_up_to_the_newest_vouch(store: SqliteStore) -> None:
    """Half an hour in: 30 minutes, all known. Once it is over, what the site has not told is awaited."""
    minutes(store, *range(1, 31))
    ledger = of(store, now=T0 + HOUR // 2)
    [row] = ledger.groups()
    assert (ledger.running, row.accounted, row.account.span) == (True, T0 + HOUR // 2, HOUR // 2)
    assert seconds(store, now=T0 + HOUR // 2) == {"known": 30 * 60}
    assert seconds(store) == {"known": 30 * 60, "awaited": 30 * 60}


def test_a_group_that_falls_silent_in_the_record_while_its_site_goes_on_is_noticed(store: SqliteStore) -> None:
    """Another group is vouched for to the end; this one has neither vouch nor gap after 10 minutes."""
    minutes(store, *range(1, 11))
    other = Gap("lift-b@1s", T0 + 10 * 60 * SECOND, END, GapCause.SILENT)
    minutes(store, 11, vouch=[], gaps=[other])
    rows = SiteLedger(store.reader.ask, SITE, BEGIN, END, [GROUP, "lift-b@1s"], END).groups()
    assert [row.scan_group for row in rows] == [GROUP, "lift-b@1s"]
    assert rows[0].account.unexplained == 50 * 60 * SECOND - PATIENCE
    assert rows[0].account.awaited == PATIENCE


def at(wall: int) -> str:
    return datetime.fromtimestamp(wall / SECOND, UTC).isoformat()


def test_what_the_site_dropped_counts_in_records_and_is_not_asked_for(store: SqliteStore) -> None:
    """Blocks 20 to 29 were deleted unsent; 20 had come nevertheless, and its two records are not counted as dropped."""
    minutes(store, *range(1, 21), *range(31, 61))
    since = T0 + 19 * 60 * SECOND
    fields = {
        "stream": "samples", "epoch": EPOCH, "first": 20, "last": 29, "records": 20,
        "from": at(since), "to": at(since + 600 * SECOND),
    }  # fmt: skip
    gap = Gap(GROUP, T0 + 20 * 60 * SECOND, T0 + 29 * 60 * SECOND, GapCause.DROPPED)
    minutes(store, 30, gaps=[gap])
    data = payload("events", 1, events=[Event("gateway/dropped", 0, fields)])
    commit(store, PutBlock(block=decode(data), payload=data, digest=wire.digest(data)))
    assert seconds(store) == {"known": 51 * 60, "dropped": 9 * 60}
    dropped = of(store).dropped()
    assert (dropped.blocks, dropped.records) == (9, 18)
    commit(store, PutMissing(site=SITE, epoch=EPOCH, stream="samples", start=20, end=29))
    assert store.reader.ask("SELECT * FROM missing") == []
    minutes(store, *range(61, 73))
    with_sent = fields | {"first": 61, "last": 76, "blocks": 4, "records": 8}  # 12 of the 16 had been sent
    data = payload("events", 2, events=[Event("gateway/dropped", 0, with_sent)])
    commit(store, PutBlock(block=decode(data), payload=data, digest=wire.digest(data)))
    assert of(store).dropped().records == 18 + 8


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stream": "samples"},
        {
            "stream": "nonsense",
            "epoch": "e",
            "first": 1,
            "last": 2,
            "records": 1,
            "from": "2026-01-01T00:00:00Z",
            "to": "2026-01-01T00:00:01Z",
        },
        {
            "stream": "samples",
            "epoch": "e",
            "first": 3,
            "last": 2,
            "records": 1,
            "from": "2026-01-01T00:00:00Z",
            "to": "2026-01-01T00:00:01Z",
        },
        {
            "stream": "samples",
            "epoch": "e",
            "first": 1,
            "last": 2,
            "records": -1,
            "from": "2026-01-01T00:00:00Z",
            "to": "2026-01-01T00:00:01Z",
        },
        {
            "stream": "samples",
            "epoch": 7,
            "first": 1,
            "last": 2,
            "records": 1,
            "from": "2026-01-01T00:00:00Z",
            "to": "2026-01-01T00:00:01Z",
        },
        {"stream": "samples", "epoch": "e", "first": True, "last": 2.5, "records": 1, "from": "a", "to": None},
    ],
)
def test_a_word_of_drops_that_makes_no_sense_is_an_event_and_nothing_more(store: SqliteStore, fields) -> None:
    """The event is kept; the ledger is not touched."""
    for name in ("gateway/dropped", "gateway/salvaged"):
        data = payload("events", 1 if name.endswith("ped") else 2, events=[Event(name, 0, fields)])
        commit(store, PutBlock(block=decode(data), payload=data, digest=wire.digest(data)))
    assert len(store.reader.ask("SELECT * FROM events")) == 2
    assert store.reader.ask("SELECT * FROM dropped") == []
    assert store.reader.ask("SELECT * FROM missing") == []


def test_lost_ranges_of_a_salvage_are_stated(store: SqliteStore) -> None:
    """Of `2-3, 6` the office has 3: 2 and 6 are gone."""
    minutes(store, 1, 3, 4, 5)
    told = Event("gateway/salvaged", 0, {"old_epoch": EPOCH, "stream": "samples", "lost": "2-3, 6, ..."})
    data = payload("events", 1, epoch="e2", events=[told])
    commit(store, PutBlock(block=decode(data), payload=data, digest=wire.digest(data)))
    rows = store.reader.ask('SELECT start, "end" FROM missing ORDER BY start')
    assert [(row[0], row[1]) for row in rows] == [(2, 2), (6, 6)]


def test_a_hole_that_the_site_s_own_word_contradicts_is_unexplained_after_an_hour(store: SqliteStore) -> None:
    """Block 5,000 follows 29, the site holds none unsent: awaited at first, then told apart; with 10,000 unsent not."""

    def says(unsent: int) -> None:
        status = Status(online=True, site=SITE, epoch=EPOCH, boot="b", version="0")
        told = replace(status, first={"samples": 30}, unsent={"samples": unsent})
        commit(store, PutStatus(status=told, live=True))

    minutes(store, *range(1, 30))
    far = payload("samples", 5_000, t0=T0 + HOUR, vouch=[Vouch(0, T0 + HOUR, 30 * 60 * SECOND)])
    put = PutBlock(block=decode(far), payload=far, digest=wire.digest(far))
    store.commit(Transaction(at=END, entries=(put,))).result()
    says(unsent=0)
    assert seconds(store, now=END + HOUR - 1) == {"known": 60 * 60 - 60, "awaited": 60}
    assert seconds(store, now=END + HOUR) == {"known": 60 * 60 - 60, "unexplained": 60}
    says(unsent=10_000)
    assert seconds(store, now=END + HOUR) == {"known": 60 * 60 - 60, "awaited": 60}


def test_a_point_counts_from_when_it_is_in_the_catalogue(store: SqliteStore) -> None:
    """`speed` comes with the second catalogue at minute 30, when `door` goes; `floor` is there throughout."""
    minutes(store, *range(1, 31))
    before = decode_catalogue(catalogue())
    floor = next(point for point in before.points if point.id == "lift-a1/floor")
    speed = CataloguePoint("lift-a1/speed", "lift-a1", "float", GROUP)
    later = put_catalogue(store, replace(before, points=(floor, speed)))
    minutes(store, *range(31, 61), catalogue=later, samples=[])
    points = {row.point: row for row in of(store).points()}
    assert {name: row.account.span // (60 * SECOND) for name, row in points.items()} == {
        "lift-a1/door": 31,
        "lift-a1/floor": 60,
        "lift-a1/speed": 29,
    }
    assert all(row.account.known == row.account.span for row in points.values())
    assert {name: row.records for name, row in points.items()} == {
        "lift-a1/door": 0,
        "lift-a1/floor": 60,
        "lift-a1/speed": 0,
    }
