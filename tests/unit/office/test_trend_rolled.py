"""A trend out of minutes and hours."""

import time

import pytest

from cloud_sync import wire
from cloud_sync.store import rollups
from cloud_sync.store.base import PutBlock, PutCatalogue, Transaction
from cloud_sync.store.retention import Retention
from cloud_sync.store.rolled import Rolled
from cloud_sync.store.sqlite import SqliteStore
from office import trend_rolled
from office.facts import all_sites
from office.known import Catalogues
from office.trend import Trend, read, window
from sitekeeper.block import Vouch, decode
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.model.clock import DAY, HOUR, SECOND
from sitekeeper.model.errors import Refused
from sitekeeper.model.quality import Reason, bad
from sitekeeper.model.sample import Sample
from tests.unit.cloud_sync.material import SITE, T0, catalogue, payload

GROUP = "lift-a1@1s"


def row(hour: int, low: float | None, high: float | None, last: float | None, *, stands: bool = True, **more: float):
    figures = {"n": 2, "mean": low, "good_s": 3600.0} | more
    return Rolled(at=T0 + hour * HOUR, low=low, high=high, last=last, stands=stands, **figures)


def test_rows_become_steps():
    """Extremes and the last value of all rows of a step; the one before the window tells what stood."""
    rows = [row(-5, 7, 8, 8), row(0, 1, 4, 2), row(1, None, None, None, n=0), row(2, 3, 9, 5), row(4, 6, 6, 6)]
    found = trend_rolled.steps(rows, T0, T0 + 4 * HOUR, 3 * HOUR)
    assert [(s.at - T0, s.low, s.high, s.last, s.samples) for s in found] == [
        (-5 * HOUR, 7, 8, 8, 2), (0, 1, 9, 5, 4),
    ]  # fmt: skip


def test_what_ended_badly_is_bad_until_the_next_row():
    """From the end of the hour on; a value that stands is not."""
    rows = [row(0, 1, 1, 1, stands=False), row(3, 1, 1, 1), row(5, 1, 1, 1, stands=False)]
    marks = trend_rolled.bad(rows, HOUR, T0, T0 + 7 * HOUR)
    assert [(m.start - T0, m.end - T0) for m in marks] == [(HOUR, 3 * HOUR), (6 * HOUR, 7 * HOUR)]


def test_the_mean_weighs_hours_by_known_time_and_what_stands_between_them():
    """An hour of its own mean, three more of what stood, of which one is not known; nothing after a bad end."""
    rows = [row(0, 10, 10, 4, mean=10.0, good_s=3600.0), row(4, 0, 0, 0, mean=0.0, good_s=1800.0, stands=False)]

    def known(start: int, end: int) -> list[tuple[int, int]]:
        hole = T0 + HOUR
        return [(max(start, hole + HOUR), end)] if start == hole else [(start, end)]

    expected = (10 + 2 * 4 + 0 * 0.5) / 3.5
    assert trend_rolled.mean(rows, HOUR, T0, T0 + 8 * HOUR, known) == pytest.approx(expected)
    assert trend_rolled.mean(rows, HOUR, T0 + 6 * HOUR, T0 + 8 * HOUR, known) is None
    assert trend_rolled.mean([], HOUR, T0, T0 + HOUR, known) is None


def test_a_long_window_has_steps_of_whole_hours():
    """By itself; another one is refused."""
    year = window(T0, T0 + 365 * DAY, None)
    assert year.step == 15 * HOUR
    assert window(T0, T0 + 31 * DAY, None).step % HOUR
    with pytest.raises(Refused, match="whole hours"):
        window(T0, T0 + 365 * DAY, 90 * 60 * SECOND)
    with pytest.raises(Refused, match="ten years"):
        window(T0, T0 + 3700 * DAY, None)


@pytest.fixture
def store(tmp_path):
    opened = SqliteStore.open(tmp_path / "office.db", inline=True)
    data = catalogue()
    entry = PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=decode_catalogue(data))
    opened.commit(Transaction(at=T0, entries=(entry,))).result()
    yield opened
    opened.close()


def put(store: SqliteStore, sequence: int, changes: list[tuple[float, object, int]], span: float) -> None:
    """Put one block with changes at seconds after T0, which vouches for all time from T0 to `span`."""
    samples = [Sample(1, round(at * SECOND), value, q) for at, value, q in changes]
    vouch = [Vouch(0, T0 + round(span * SECOND), round(span * SECOND))]
    data = payload("samples", sequence, t0=T0, mono0=0, samples=samples, vouch=vouch)
    entry = PutBlock(block=decode(data), payload=data, digest=wire.digest(data))
    store.commit(Transaction(at=T0 + round(span * SECOND), entries=(entry,))).result()


def roll(store: SqliteStore, now: int) -> None:
    while store.do(lambda sql: rollups.step(sql, now)).result():
        pass


def trend(store: SqliteStore, start: int, end: int, step: int | None, now: int) -> Trend:
    reader = store.history()
    try:
        [site] = all_sites(reader, Catalogues(), now)
        point = next(one for one in reader.catalogue(SITE).points if one.id == "lift-a1/floor")
        return read(reader, site, point, window(start, end, step), now, means=True)
    finally:
        reader.close()


def test_a_year_is_answered_out_of_hours_and_its_end_out_of_rows(store):
    """A change an hour for a year: all of them in the steps, quickly; the last hour, not folded yet, too."""
    for part in range(20):
        changes = [((part * 438 + n) * 3600 + 60, part * 438 + n, 0) for n in range(438)]
        put(store, part + 1, changes, 8760 * 3600)
    now = T0 + 365 * DAY + 60 * SECOND
    roll(store, now)
    began = time.perf_counter()
    found = trend(store, T0, T0 + 365 * DAY, None, now)
    took = time.perf_counter() - began
    assert took < 0.5
    assert sum(step.samples for step in found.steps) == 8760
    assert (found.steps[1].low, found.steps[1].high, found.steps[1].last) == (14, 29, 29)
    assert found.steps[-1].last == 8759
    assert found.means[1] == pytest.approx(sum(range(15, 30)) / 15 - 1 / 60)
    assert (found.holes, found.bad) == ([], [])


def test_after_the_raw_rows_are_gone_minutes_and_then_hours_tell(store):
    """A day of which the raw rows were purged still has its values; of minutes, and when they are gone of hours."""
    put(store, 1, [(60, 1, 0), (3660, 5, 0), (3690, None, bad(Reason.COMM)), (7200, 7, 0)], 86400)
    now = T0 + 200 * DAY
    roll(store, now)
    before = trend(store, T0, T0 + 4 * HOUR, HOUR, now)
    for limits, mark in (({"raw": DAY}, 61 * 60), ({"minutes": DAY}, 2 * 3600)):
        retention = Retention(limits)
        while store.do(lambda sql, one=retention: one.step(sql, now)).result() is not None:
            pass
        after = trend(store, T0, T0 + 4 * HOUR, HOUR, now)
        for name in ("low", "high", "last"):
            assert [getattr(s, name) for s in after.steps] == [getattr(s, name) for s in before.steps]
        assert after.means == pytest.approx(before.means)
        assert [(m.start - T0) // SECOND for m in after.bad] == ([mark + 60] if mark < 7200 else [])
