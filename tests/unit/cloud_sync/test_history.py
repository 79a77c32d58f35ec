"""What the console reads of the central store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync.store.base import Push
from cloud_sync.store.history import HistoryReader
from cloud_sync.store.sqlite import SqliteStore
from sitekeeper.block import Vouch
from sitekeeper.model.alarm import AlarmState, Cause
from sitekeeper.model.clock import SECOND
from sitekeeper.model.quality import Reason, bad
from sitekeeper.model.sample import Sample
from tests.unit.cloud_sync.material import KEY, SITE, T0, payload, transition
from tests.unit.cloud_sync.test_store import commit, store

__all__ = ["store"]  # a fixture, used by its name

DOOR, FLOOR = 0, 1
STALE = bad(Reason.STALE)


@pytest.fixture
def reader(store: SqliteStore, tmp_path: Path) -> Iterator[HistoryReader]:
    found = HistoryReader(tmp_path / "office.db")
    yield found
    found.close()


def tell(store: SqliteStore, sequence: int, *samples: Sample, until: int = 0) -> None:
    """Commit a block whose monotonic time 0 is T0."""
    vouch = [Vouch(0, T0 + until, until)] if until else []
    commit(store, payload("samples", sequence, t0=T0, mono0=0, samples=list(samples), vouch=vouch))


def floors(*values: int | None) -> list[Sample]:
    return [Sample(FLOOR, n * SECOND, value, 0 if value is not None else STALE) for n, value in enumerate(values)]


def test_a_step_has_the_lowest_highest_and_last_good_value(store: SqliteStore, reader: HistoryReader) -> None:
    """Bad samples count as samples and give no value; what stood before the window comes first."""
    tell(store, 1, *floors(9, 3, 1, 2, None, None))
    found = reader.steps(SITE, "lift-a1/floor", T0 + SECOND, T0 + 7 * SECOND, 3 * SECOND)
    assert [(s.at - T0, s.low, s.high, s.last, s.samples) for s in found] == [
        (0, 9, 9, 9, 0),
        (SECOND, 1, 3, 2, 3),
        (4 * SECOND, None, None, None, 2),
    ]


def test_a_word_counts_as_its_place_among_the_members(store: SqliteStore, reader: HistoryReader) -> None:
    """Else an enumeration could not be drawn; a word that the list lacks has no value."""
    words = ("closed", "open", "ajar")
    tell(store, 1, *[Sample(DOOR, n * SECOND, word, 0) for n, word in enumerate(words)])
    found = reader.steps(SITE, "lift-a1/door", T0, T0 + 3 * SECOND, SECOND, '["closed","open"]')
    assert [s.last for s in found] == [0, 1, None]


def test_bad_times_last_until_the_next_change_and_touching_ones_are_one(
    store: SqliteStore, reader: HistoryReader
) -> None:
    """A bad value that began before the window is bad in it; the last one lasts to its end."""
    tell(store, 1, *floors(None, None, 3, None))
    found = reader.bad(SITE, "lift-a1/floor", T0 + SECOND // 2, T0 + 9 * SECOND)
    assert [(m.start - T0, m.end - T0, int(m.what)) for m in found] == [
        (SECOND // 2, 2 * SECOND, STALE),
        (3 * SECOND, 9 * SECOND, STALE),
    ]


def test_coverage_is_cut_to_the_window(store: SqliteStore, reader: HistoryReader) -> None:
    """And the newest end of it is what a group is vouched for."""
    tell(store, 1, *floors(1), until=10 * SECOND)
    assert reader.coverage(SITE, "lift-a1@1s", T0 + SECOND, T0 + 5 * SECOND) == [(T0 + SECOND, T0 + 5 * SECOND)]
    assert reader.covered_until(SITE, ["lift-a1@1s", "nobody@1s"]) == {"lift-a1@1s": T0 + 10 * SECOND}


def test_what_came_after_a_transition_comes_in_order(store: SqliteStore, reader: HistoryReader) -> None:
    """Bounded; and none after the last."""
    for sequence in (1, 2, 3):
        commit(store, payload("alarms", sequence))
    assert [one.id for one in reader.transitions_after(1, 10)] == [2, 3]
    assert [one.id for one in reader.transitions_after(0, 2)] == [1, 2]
    assert reader.transitions_after(reader.last_transition(), 10) == []


def test_an_alarm_span_ends_where_its_condition_did(store: SqliteStore, reader: HistoryReader) -> None:
    """Two occurrences, the second still true: two spans, one without an end; one before the window is left out."""
    for sequence in (1, 2, 3):
        commit(store, payload("alarms", sequence))
    found = reader.alarm_spans(SITE, "lift-a1", T0, T0 + 99 * SECOND)
    assert [(s.start - T0, s.end and s.end - T0) for s in found] == [(SECOND, 2 * SECOND), (3 * SECOND, None)]
    assert [s.start - T0 for s in reader.alarm_spans(SITE, "lift-a1", T0 + 3 * SECOND, T0 + 99 * SECOND)] == [
        3 * SECOND
    ]
    assert reader.alarm_spans(SITE, "lift-a", T0, T0 + 99 * SECOND) == []


def test_the_page_of_alarms_is_ordered_filtered_and_bounded(store: SqliteStore, reader: HistoryReader) -> None:
    """The most urgent first, of those the ones that nobody has acknowledged, of those the newest."""
    a, b, c = AlarmState.NORMAL, AlarmState.UNACKED, AlarmState.ACKED
    for n, (rule, priority, at) in enumerate([("X1", "P2", 1), ("X2", "P2", 2), ("X3", "P1", 3), ("X4", "P2", 4)]):
        key = f"{SITE}/lift-a1/{rule}"
        moved = {"key": key, "rule": rule, "priority": priority, "at": at, "occurrence": f"{key}@e-{n}"}
        moves = [transition(1, **moved, source=a, target=b)]
        if rule == "X4":
            moves.append(transition(1, **moved, source=b, target=c, cause=Cause.ACK))
        store.add_transitions("office-1", at, moves).result()
    listed = [record.rule for record in reader.alarm_page(limit=10, states=["B", "C"])]
    assert listed == ["X3", "X2", "X1", "X4"]
    assert [record.rule for record in reader.alarm_page(limit=2, skip=1)] == ["X2", "X1"]
    assert [record.rule for record in reader.alarm_page(limit=9, states=["C"], site=SITE, priority="P2")] == ["X4"]
    assert reader.alarm_page(limit=9, device="nobody") == []
    assert reader.alarm_counts() == {(SITE, "P1", "B"): 1, (SITE, "P2", "B"): 2, (SITE, "P2", "C"): 1}
    assert reader.alarm_counts("nowhere") == {}
    assert reader.last_alarm_at() == 4


def test_causes_and_pushes_are_found_by_occurrence(store: SqliteStore, reader: HistoryReader) -> None:
    """The move that announced it last; pushes in order; an occurrence without any has an empty list."""
    for sequence in (1, 2):
        commit(store, payload("alarms", sequence))
    occurrence = f"{KEY}@e1-1"
    push = Push(occurrence=occurrence, event_id=occurrence, recipient="r", channel="c")
    store.save_push(push).result()
    assert reader.causes([occurrence])[occurrence].transition.cause is Cause.RAISE
    assert [len(found) for found in reader.pushes_of([occurrence, "other"]).values()] == [1, 0]
    assert reader.causes([]) == {} == reader.pushes_of([])


def test_the_newest_word_about_a_drill_is_found_by_an_index_of_its_own(
    reader: HistoryReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many events a site has, one row is looked at, and nothing is sorted."""
    monkeypatch.setattr(reader, "_rows", lambda sql, *given: ask(f"EXPLAIN QUERY PLAN {sql}", *given) and [])
    plans: list[str] = []

    def ask(sql: str, *given: object) -> bool:
        plans.extend(row["detail"] for row in reader.ask(sql, *given))
        return True

    assert reader.drill_told(SITE) is None
    assert "events_of_drills" in plans[0]
    assert not [plan for plan in plans if "TEMP B-TREE" in plan]
