"""When what waits for the disk is due; time is a number here."""

from edge.outbox.pending import Job, Pending
from edge.outbox.records import Limits
from tests.unit.edge.outbox.conftest import sealed

LIMITS = Limits(group=0.25, receipts=2.0)


def _pending(*jobs: Job) -> Pending:
    pending = Pending(LIMITS)
    for job in jobs:
        pending.add(job)
    return pending


def _receipt(at: float) -> Job:
    return Job(release=(("samples", 1, 1),), at=at)


def test_a_receipt_waits_for_the_next_block_to_be_committed_with() -> None:
    """Alone it has two seconds; a block that comes meanwhile is not held up, and takes it along."""
    pending = _pending(_receipt(10.0), _receipt(10.5))
    assert pending.due_in(10.5) == 1.5
    pending.add(Job(blocks=(sealed("samples", 2),), at=11.0))
    assert pending.due_in(11.0) == 0.25
    assert len(pending.batch()) == 3


def test_a_receipt_holds_up_nothing_and_is_not_forgotten() -> None:
    """A block just before its time does not prolong a receipt's; an alarm is due at once as ever."""
    pending = _pending(_receipt(10.0), Job(blocks=(sealed("samples", 1),), at=11.875))
    assert pending.due_in(11.875) == 0.125
    assert pending.due_in(12.5) == 0.0
    pending.add(Job(blocks=(sealed("alarms", 1),), urgent=True, at=11.875))
    assert pending.due_in(11.875) == 0.0


def test_a_block_does_not_wait_as_long_as_a_receipt() -> None:
    """A receipt behind a block is committed when the block is; a catalogue waits no longer than a block."""
    pending = _pending(Job(blocks=(sealed("samples", 1),), at=10.0), _receipt(10.125))
    assert pending.due_in(10.125) == 0.125
    assert _pending(Job(catalogue=("hash", b""), at=10.0)).due_in(10.0) == 0.25
    assert _pending().due_in(10.0) is None
