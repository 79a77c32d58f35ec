"""Times under a clock that was not to be believed, as recorded and as they should have been."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.store.base import PutBlock, PutCatalogue, PutStatus, Transaction
from cloud_sync.store.history import HistoryReader
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.wire import Status
from office import facts
from office.api import items
from sitekeeper.block import Stream, decode, encode
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.model.clock import HOUR, MINUTE, SECOND, Micros
from sitekeeper.model.event import Event
from tests.unit.cloud_sync.material import EPOCH, SITE, T0, block, catalogue

WRONG: Micros = T0 - 2 * HOUR
"""Wall minus monotonic while the clock is two hours behind; T0 is what it should be."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "office.db", inline=True)
    data = catalogue()
    entry = PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=decode_catalogue(data))
    opened.commit(Transaction(at=T0, entries=(entry,))).result()
    yield opened
    opened.close()


@pytest.fixture
def reader(store: SqliteStore, tmp_path: Path) -> Iterator[HistoryReader]:
    found = HistoryReader(tmp_path / "office.db")
    yield found
    found.close()


def put(store: SqliteStore, stream: Stream, sequence: int, *, behind: bool, boot: str = "b1", **more: object) -> None:
    """Store a block that was sealed at `sequence` seconds, under a wrong clock or a right one."""
    offset = WRONG if behind else T0
    made = block(stream, sequence, boot=boot, trusted=not behind, t0=offset + sequence * SECOND, **more)
    data = encode(made)
    entry = PutBlock(block=decode(data), payload=data, digest=wire.digest(data))
    store.commit(Transaction(at=T0, entries=(entry,))).result()


def status(store: SqliteStore, at: Micros, mono: Micros, *, trusted: bool = False) -> None:
    said = Status(online=True, site=SITE, epoch=EPOCH, boot="b1", version="1", clock=trusted, mono=mono)
    store.commit(Transaction(at=at, entries=(PutStatus(status=said, live=True),))).result()


def events(reader: HistoryReader) -> list[tuple[Micros, Micros | None, bool]]:
    return [(row.at, row.corrected, row.estimated) for row in reader.events(SITE, limit=9)]


def test_what_a_boot_recorded_before_its_clock_was_set_is_corrected_by_what_came_after(store, reader):
    """The time recorded stays; beside it stands the time by the offset of the first block under a right clock."""
    put(store, "events", 1, behind=True)
    assert events(reader) == [(WRONG + SECOND, None, False)]
    put(store, "events", 2, behind=False)
    assert events(reader) == [(WRONG + SECOND, T0 + SECOND, False), (T0 + 2 * SECOND, None, False)]
    shown = items.event(reader.events(SITE, limit=9)[0])
    assert (shown["at"], shown["corrected"]) == (items.rfc3339(WRONG + SECOND), items.rfc3339(T0 + SECOND))


def test_until_then_it_is_estimated_from_the_offices_own_time(store, reader):
    """A status that came a tenth of a second after it was sent is late by that; the truth replaces it, and stays."""
    put(store, "events", 1, behind=True)
    status(store, T0 + 5 * SECOND + SECOND // 10, 5 * SECOND)
    assert events(reader) == [(WRONG + SECOND, T0 + SECOND + SECOND // 10, True)]
    put(store, "samples", 1, behind=False)
    status(store, T0 + HOUR, 9 * SECOND)
    assert events(reader) == [(WRONG + SECOND, T0 + SECOND, False)]


def test_another_boot_has_a_clock_of_its_own(store, reader):
    """What is known of one boot says nothing about another: their monotonic times do not compare."""
    put(store, "events", 1, behind=True, boot="b0")
    put(store, "events", 2, behind=False)
    assert events(reader)[0] == (WRONG + SECOND, None, False)


def test_an_alarm_is_corrected_too(store, reader):
    """By the monotonic time of its move."""
    put(store, "alarms", 1, behind=True)
    put(store, "samples", 2, behind=False)
    [cause] = reader.causes([f"{SITE}/lift-a1/L01@{EPOCH}-1"]).values()
    assert reader.corrections([cause]) == {cause.id: (T0 + SECOND, True)}


def test_a_right_clock_needs_no_correction(store, reader):
    """Nothing is shown beside what was right from the beginning, nor made of nothing."""
    put(store, "events", 1, behind=False)
    put(store, "alarms", 1, behind=False)
    [cause] = reader.causes([f"{SITE}/lift-a1/L01@{EPOCH}-1"]).values()
    assert reader.corrections([cause]) == reader.corrections([]) == {}
    assert items.event(reader.events(SITE, limit=9)[0])["corrected"] is None


def test_a_drill_is_found_behind_whatever_came_since_and_by_its_true_time(store, reader):
    """Begun under a clock that was two hours behind, a minute ago; and 300 other words of the gateway came after it."""
    begun = Event("gateway/drill", SECOND, {"on": True, "who": "wong", "devices": "lift-a1"})
    put(store, "events", 1, behind=True, events=[begun])
    now = T0 + MINUTE
    assert facts.drill(reader, SITE, now) is None, "as far as anybody knows it began two hours ago"
    others = [Event("gateway/told", (2 + n) * SECOND, {"n": n}) for n in range(300)]
    put(store, "events", 2, behind=False, events=others)
    assert facts.drill(reader, SITE, now) == facts.Drill("wong", "lift-a1")
    assert facts.drill(reader, "other", now) is None
    assert facts.drill(reader, SITE, T0 + SECOND + 2 * HOUR + 1) is None
    put(store, "events", 3, behind=False, events=[Event("gateway/drill", 400 * SECOND, {"on": False})])
    assert facts.drill(reader, SITE, now) is None
