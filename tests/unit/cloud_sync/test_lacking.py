"""What the office has had of each stream, what it lacks, and when it asks for it."""

from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_sync import wire
from cloud_sync.lacking import FIRST, MOST, PIECE, Lack, Lacking
from cloud_sync.store import streams
from cloud_sync.store.base import PutBlock, PutStatus, Transaction
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.wire import Request, Resend, Status
from sitekeeper.block import decode
from sitekeeper.model.clock import HOUR, SECOND
from tests.unit.cloud_sync.material import EPOCH, SITE, payload

NUMBERS = count()
RANGES = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 6)).map(lambda p: (p[0], p[0] + p[1])), max_size=8)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "office.db", inline=True)
    yield opened
    opened.close()


def members(ranges: list[tuple[int, int]]) -> set[int]:
    return {number for start, end in ranges for number in range(start, end + 1)}


@given(RANGES, st.tuples(st.integers(1, 20), st.integers(20, 50)))
def test_ranges_are_sets_of_numbers(ranges, wanted) -> None:
    """`joined` and `without` say the same as sets, with the fewest ranges."""
    joined = streams.joined(ranges)
    assert members(joined) == members(ranges)
    assert all(after[0] > before[1] + 1 for before, after in pairwise(joined))
    left = streams.without(wanted, ranges)
    assert members(left) == members([wanted]) - members(ranges)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=5), min_size=1, max_size=8))
def test_the_ranges_in_the_store_are_what_was_added(store: SqliteStore, batches) -> None:
    """In any order and with any repeats; what is left over are the holes."""
    epoch = f"e{next(NUMBERS)}"
    for batch in batches:
        store._writer.submit(lambda sql, batch=batch: streams.extend(sql, SITE, epoch, "events", batch)).result()
    have = {number for batch in batches for number in batch}
    rows = store.reader.ask('SELECT start, "end" FROM streams WHERE epoch = ? ORDER BY start', epoch)
    found = [(row[0], row[1]) for row in rows]
    assert members(found) == have
    assert found == streams.joined(found)
    holes = streams.holes(store.reader.ask, SITE, epoch, "events", (1, 40))
    assert members(holes) == set(range(1, 41)) - have


def put(sequence: int, epoch: str = EPOCH) -> PutBlock:
    data = payload("events", sequence, epoch=epoch)
    return PutBlock(block=decode(data), payload=data, digest=wire.digest(data))


def status(first: int, *, epoch: str = EPOCH, online: bool = True, unsent: int = 0) -> PutStatus:
    said = Status(
        online=online,
        site=SITE,
        epoch=epoch,
        boot="b1",
        version="0",
        first={"events": first},
        unsent={"events": unsent},
    )
    return PutStatus(status=said, live=True)


def test_only_what_has_a_receipt_is_asked_for_and_only_of_a_site_that_is_there(store: SqliteStore) -> None:
    """What has none comes by itself. An epoch that is over is asked for an hour after the next one began."""
    ask = store.reader.ask

    def lacks(now: int) -> list[tuple[str, int, int]]:
        found = streams.all_lacks(ask, now).get(SITE, [])
        return [(one.epoch, one.start, one.end) for one in found]

    store.commit(Transaction(at=1, entries=(status(9), put(3), put(4), put(12)))).result()
    assert lacks(1) == [(EPOCH, 1, 2), (EPOCH, 5, 8)]
    store.commit(Transaction(at=2, entries=(status(9, online=False),))).result()
    assert lacks(2) == []
    store.commit(Transaction(at=3, entries=(status(1, epoch="e2", unsent=1),))).result()
    assert lacks(2 * HOUR) == []
    store.commit(Transaction(at=4, entries=(status(1, epoch="e2"),))).result()
    assert lacks(HOUR) == []
    assert lacks(HOUR + 3) == [(EPOCH, 1, 2), (EPOCH, 5, 11)]


def lack(start: int, end: int, stream: str = "samples") -> Lack:
    return Lack(SITE, EPOCH, stream, start, end)  # type: ignore[arg-type]


def asked(start: int, end: int, stream: str = "samples") -> list[tuple[str, Request]]:
    return [(SITE, Request(resend=Resend(EPOCH, stream, start, end)))]  # type: ignore[arg-type]


def test_a_site_far_behind_is_asked_for_one_piece_at_a_time() -> None:
    """The next piece follows when the one before has come; while blocks come, nothing is asked for twice."""
    lacking, now = Lacking(), 0
    assert lacking.advance({SITE: [lack(1, 10 * PIECE)]}, now) == asked(1, PIECE)
    for start in (2, 300, PIECE):
        now += FIRST - 1
        assert lacking.advance({SITE: [lack(start, 10 * PIECE)]}, now) == []
    assert lacking.advance({SITE: [lack(PIECE + 1, 10 * PIECE)]}, now) == asked(PIECE + 1, 2 * PIECE)


def test_what_does_not_come_is_asked_for_again_ever_more_seldom_and_stops_nothing_else() -> None:
    """Alarms first; without an answer the next stream gets its turn; the delays double up to ten minutes."""
    lacking, now, times = Lacking(), 0, []
    lacks = {SITE: [lack(1, 5), lack(7, 8, "alarms")]}
    assert lacking.advance(lacks, now) == asked(7, 8, "alarms")
    assert lacking.advance(lacks, FIRST) == asked(1, 5)
    only = {SITE: [lack(7, 8, "alarms")]}
    for now in range(FIRST, 3 * HOUR, SECOND):
        if lacking.advance(only, now):
            times.append(now)
    waits = [after - before for before, after in pairwise(times)]
    assert waits[:3] == [FIRST, 2 * FIRST, 4 * FIRST]
    assert waits[-1] == MOST
    assert lacking.advance({}, now) == []
    assert lacking._asked == {}


def test_many_sites_are_asked_in_turn() -> None:
    """At most fifty requests at once; those that had none yet are the next."""
    lacks = {f"s{n:03}": [Lack(f"s{n:03}", EPOCH, "events", 1, 2)] for n in range(120)}
    lacking = Lacking()
    turns = [{site for site, _ in lacking.advance(lacks, at)} for at in (1, 2, 3)]
    assert [len(turn) for turn in turns] == [50, 50, 20]
    assert len(set().union(*turns)) == 120
