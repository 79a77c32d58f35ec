"""The ledger of the central store: what is known, what is a gap and why, and what nobody can explain."""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.store.coverage import Interval
from cloud_sync.store.reader import LedgerRow, StoreReader, _account
from cloud_sync.store.schema import prepare
from sitekeeper.model.clock import SECOND

GROUP, OTHER = "lift-a1@1s", "lift-a2@1s"
SPAN = st.tuples(st.integers(0, 60), st.integers(1, 30)).map(lambda p: (p[0] * SECOND, (p[0] + p[1]) * SECOND))


@pytest.fixture
def reader(tmp_path: Path) -> Iterable[StoreReader]:
    prepare(tmp_path / "office.db")
    opened = StoreReader(tmp_path / "office.db")
    yield opened
    opened.close()


def fill(path: Path, covered: Sequence[tuple[str, int, int]], gaps: Sequence[tuple[str, int, int, str]]) -> None:
    """Write rows of site `hq`, in seconds."""
    with closing(sqlite3.connect(path / "office.db")) as db, db:
        db.executemany(
            "INSERT INTO coverage VALUES ('hq', ?, ?, ?)", [(g, a * SECOND, b * SECOND) for g, a, b in covered]
        )
        rows = [(g, a * SECOND, b * SECOND, cause) for g, a, b, cause in gaps]
        db.executemany("INSERT INTO gaps VALUES ('hq', ?, ?, ?, ?, 1)", rows)


def test_each_group_has_its_own_account(reader: StoreReader, tmp_path: Path) -> None:
    """Known, gaps by cause and the hole; a group with nothing but gaps too; other sites are not mixed in."""
    fill(
        tmp_path,
        [(GROUP, 0, 10), (GROUP, 15, 20)],
        [(GROUP, 10, 13, "silent"), (GROUP, 20, 21, "silent"), (GROUP, 12, 13, "clock"), (OTHER, 3, 4, "gateway_off")],
    )
    assert reader.ledger("hq") == [
        LedgerRow(
            scan_group=GROUP,
            start=0,
            end=21 * SECOND,
            known=15 * SECOND,
            gap=4 * SECOND,
            unexplained=2 * SECOND,
            causes={"clock": SECOND, "silent": 4 * SECOND},
        ),
        LedgerRow(
            scan_group=OTHER,
            start=3 * SECOND,
            end=4 * SECOND,
            known=0,
            gap=SECOND,
            unexplained=0,
            causes={"gateway_off": SECOND},
        ),
    ]
    assert reader.ledger("elsewhere") == []


def seconds(intervals: Iterable[Interval]) -> set[int]:
    return {s for start, end in intervals for s in range(start // SECOND, end // SECOND)}


@given(st.lists(SPAN, max_size=5), st.dictionaries(st.sampled_from(["silent", "clock"]), st.lists(SPAN, min_size=1)))
def test_the_account_equals_counting_seconds(known: list[Interval], gaps: dict[str, list[Interval]]) -> None:
    """Overlaps and repeats of any kind: the figures are those of a set of seconds, and add up to the span."""
    every = [*known, *(interval for intervals in gaps.values() for interval in intervals)]
    if not every:
        return
    row = _account(GROUP, known, gaps)
    assert row.known == len(seconds(known)) * SECOND
    assert row.gap == len(seconds(every) - seconds(known)) * SECOND
    assert row.known + row.gap + row.unexplained == row.end - row.start
    assert row.causes == {cause: len(seconds(intervals)) * SECOND for cause, intervals in gaps.items()}
