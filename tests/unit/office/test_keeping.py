"""The office's housekeeping: what it does when, and when not."""

import asyncio
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest

from cloud_sync import wire
from cloud_sync.store import sizes
from cloud_sync.store.base import PutBlock, PutCatalogue, Transaction
from cloud_sync.store.sqlite import SqliteStore
from office import clock_trust, keeping
from office.keeping import Keeper
from office.settings import OfficeSettings, RetentionSettings, load
from sitekeeper.block import decode
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.model.clock import DAY, HOUR, MINUTE, SECOND, ManualClock
from sitekeeper.model.errors import ConfigError, StorageError
from tests.unit.cloud_sync.material import SITE, T0, catalogue, payload


@pytest.fixture
def store(tmp_path):
    opened = SqliteStore.open(tmp_path / "office.db", inline=True)
    data = catalogue()
    entry = PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=decode_catalogue(data))
    opened.commit(Transaction(at=T0, entries=(entry,))).result()
    block = payload("samples", 1)
    put = PutBlock(block=decode(block), payload=block, digest=wire.digest(block))
    opened.commit(Transaction(at=T0, entries=(put,))).result()
    yield opened
    opened.close()


def count(store: SqliteStore, table: str) -> int:
    return store.reader.ask(f"SELECT count(*) FROM {table}")[0][0]


async def all_turns(keeper: Keeper) -> None:
    for _ in range(50):
        if not await keeper.turn():
            return
    raise AssertionError("it never has nothing to do")


async def test_hours_are_folded_and_old_rows_purged_by_a_clock_to_be_believed(store, tmp_path):
    """A hundred days later the raw rows are gone, the hour stays."""
    keeper = Keeper(store, ManualClock(T0 + 100 * DAY), RetentionSettings().limits(), tmp_path, threads=False)
    await all_turns(keeper)
    assert (count(store, "samples"), count(store, "hours"), count(store, "minutes")) == (0, 1, 1)
    assert keeper.counts["folded"] == 1
    assert keeper.counts["samples"] == 2


async def test_nothing_is_purged_by_a_clock_that_is_not_synchronised(store, tmp_path):
    """Folding goes on, purging waits until the clock is to be believed again."""
    clock = ManualClock(T0 + 100 * DAY, trusted=False)
    keeper = Keeper(store, clock, RetentionSettings().limits(), tmp_path, threads=False)
    await all_turns(keeper)
    assert (count(store, "samples"), count(store, "hours")) == (2, 1)
    assert keeper.problem == keeping.UNTRUSTED
    clock._trusted = True
    await all_turns(keeper)
    assert (count(store, "samples"), keeper.problem) == (0, "")


@pytest.mark.parametrize(
    ("answer", "file", "trusted"), [(0, False, True), (5, True, False), (-1, True, True), (-1, False, False)]
)
def test_the_clock_is_believed_on_the_kernels_word_or_that_of_the_time_service(
    tmp_path, monkeypatch, answer, file, trusted
):
    """Where the kernel may not be asked, the file of systemd-timesyncd counts; where there is none, nobody vouches."""
    if file:
        (tmp_path / "synchronized").touch()
    monkeypatch.setattr(clock_trust, "TIMESYNCD", tmp_path / "synchronized")
    monkeypatch.setattr(clock_trust, "_libc", SimpleNamespace(adjtimex=lambda _buffer: answer))
    assert clock_trust.synchronised() is trusted


async def test_a_disk_that_will_be_full_within_two_weeks_is_told_of(store, tmp_path, monkeypatch):
    """By the growth of the last week and what is free; nobody is told while it lasts longer."""
    clock = ManualClock(T0 + DAY)
    keeper = Keeper(store, clock, {}, tmp_path, threads=False)
    monkeypatch.setattr(keeping, "free_space", lambda folder: 60_000_000)
    grown = {T0 + DAY - hours * HOUR: 10_000_000 - hours * 100_000 for hours in (20, 10)}
    for at, size in grown.items():
        store.do(lambda sql, at=at, size=size: sizes.note(sql, at, {sizes.WHOLE: size})).result()
    monkeypatch.setattr(sizes, "whole", lambda ask, engine: 10_000_000)
    await all_turns(keeper)
    assert keeper.problem == ""  # 2.4 MB a day
    clock.advance(2 * HOUR)
    monkeypatch.setattr(sizes, "whole", lambda ask, engine: 16_000_000)
    await all_turns(keeper)
    assert keeper.problem == "the disk of the central store will be full in about 6d"


def test_growth_and_what_it_comes_to():
    """Raw rows grow until they are as old as they may become; what has no limit counts as it is."""

    def ask(sql: str, *_: object) -> list[tuple[object, ...]]:
        if "store_sizes" in sql:
            found = [(T0 - 2 * DAY, "whole", 100), (T0 - 2 * DAY, "raw", 50), (T0 - 2 * DAY, "other", 50)]
            return [*found, (T0, "whole", 160), (T0, "raw", 90), (T0, "other", 70)]
        return [(T0 - 10 * DAY,)] if "first_seen" in sql else []

    found = sizes.forecast(ask, T0, {"raw": 90, "other": 70}, {"raw": 90 * DAY}, 300)
    assert (found.growth, found.at_limits, found.for_ever) == (30, 90 + 80 * 20 + 70, 10)
    assert found.full_in == 10 * DAY
    nothing = sizes.forecast(lambda *_: [(None,)] if "first" in _[0] else [], T0, {"raw": 9}, {"raw": DAY}, 300)
    assert (nothing.growth, nothing.at_limits, nothing.full_in) == (None, None, None)


def test_sizes_by_table_add_up(store):
    """What the tables and indexes of an SQLite file take is what is in use."""
    found = sizes.by_table(store.reader.ask, "sqlite")
    assert sum(found.values()) == sizes.whole(store.reader.ask, "sqlite")
    assert found["samples"] > 0
    parts = sizes.by_part(found)
    assert sum(parts.values()) == sum(found.values())
    assert parts["raw"] == found["samples"] + found["blocks"]


def test_retention_is_written_as_durations_or_forever(tmp_path: Path):
    """The defaults, other limits, and what is refused with its place."""
    given = OfficeSettings.model_validate({"store": {"path": "x"}, "broker": {"host": "h"}})
    assert given.retention.limits() == {"raw": 90 * DAY, "minutes": 730 * DAY}
    path = tmp_path / "office.yaml"
    start = "store: {path: x}\nbroker: {host: h}\n"
    path.write_text(f"{start}retention: {{raw: 30d, minutes: forever, hours: 3650d}}\n")
    assert load(path).retention.limits() == {"raw": 30 * DAY, "hours": 3650 * DAY}
    for wrong in ("raw: 12h", "raw: never", "alarms: 10d"):
        path.write_text(f"{start}retention: {{{wrong}}}\n")
        with pytest.raises(ConfigError, match="3:"):
            load(path)


async def test_a_store_that_fails_is_looked_after_again(store, tmp_path, monkeypatch):
    """An error ends nothing; after a step there is a rest, with nothing to do or with an error a longer one."""
    keeper = Keeper(store, ManualClock(T0 + HOUR + 3 * MINUTE), {}, tmp_path, threads=False)
    waits: list[float] = []
    tidy = store.tidy

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        store.tidy = tidy  # the disk is well again
        if len(waits) == 3:
            raise asyncio.CancelledError

    def fails(work: object) -> Future[None]:
        failed: Future[None] = Future()
        failed.set_exception(StorageError("full"))
        return failed

    store.tidy = fails
    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await keeper.run()
    assert waits == [keeping.IDLE / SECOND, keeping.REST / SECOND, keeping.IDLE / SECOND]
    assert count(store, "hours") == 1
