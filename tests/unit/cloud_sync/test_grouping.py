"""How large a transaction of samples may be."""

from cloud_sync.grouping import ALONE, FIRST, LEAST, Grouping
from cloud_sync.ingest_machine import IngestMachine
from sitekeeper.model.clock import MS
from tests.unit.cloud_sync.material import payload
from tests.unit.cloud_sync.test_ingest_machine import KNOWN, arrival

MOST = 32 * 1024


def test_transactions_that_last_too_long_become_smaller_down_to_a_block():
    """A machine that takes four times too long writes half as much the next time, and never less than the least."""
    grouping = Grouping(MOST, ALONE)
    grouping.took(FIRST, 4 * ALONE, behind=False)
    assert grouping.size == FIRST // 2
    for _ in range(9):
        grouping.took(grouping.size, 4 * ALONE, behind=False)
    assert grouping.size == LEAST


def test_quick_transactions_grow_slowly_up_to_the_bound_and_only_full_ones():
    """What was small says nothing about larger ones; what was full and quick allows a quarter more."""
    grouping = Grouping(MOST, ALONE)
    grouping.took(FIRST // 4, MS, behind=False)
    assert grouping.size == FIRST
    grouping.took(FIRST, MS, behind=False)
    assert grouping.size == FIRST * 5 // 4
    for _ in range(20):
        grouping.took(grouping.size, MS, behind=False)
    assert grouping.size == MOST


def test_where_samples_come_faster_than_they_can_be_written_transactions_may_last_longer():
    """What is too long while the office keeps up is short enough to grow while it is behind, and no longer after."""
    grouping = Grouping(MOST, ALONE)
    grouping.took(FIRST, ALONE + MS, behind=True)
    assert grouping.size == FIRST * 5 // 4
    grouping.took(grouping.size, 2 * ALONE, behind=False)
    assert grouping.size == FIRST * 5 // 8


def test_a_limit_below_the_least_stays_the_limit():
    """Whoever wants less in a transaction gets less."""
    grouping = Grouping(100, ALONE)
    grouping.took(100, 9 * ALONE, behind=False)
    assert grouping.size == 100


def test_samples_keep_to_their_own_bound_and_alarms_to_theirs():
    """A bound that is down to one block holds up no alarms: all of them are in one transaction."""
    machine = IngestMachine(KNOWN)
    machine.bulk_size = 1
    for sequence in range(1, 4):
        machine.accept(arrival("samples", payload("samples", sequence)), 0)
        machine.accept(arrival("alarms", payload("alarms", sequence)), 0)
    urgent, bulk = machine.batch(0), machine.batch(0)
    assert urgent is not None
    assert bulk is not None
    assert (len(urgent.arrivals), urgent.bulk) == (3, 0)
    assert (len(bulk.arrivals), bulk.bulk) == (1, len(payload("samples", 1)))
