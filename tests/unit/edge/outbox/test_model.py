"""The outbox against an obvious model in memory, over random appends, receipts, failing commits, kills and restarts."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.outbox import Limits, Outbox, ranges, schema
from edge.outbox.pending import Job, Pending
from sitekeeper.block import STREAMS, Stream
from sitekeeper.model.clock import ManualClock
from sitekeeper.model.errors import StorageError
from tests.unit.edge.outbox.conftest import Disk, FaultyConnection, kill, sealed

STREAM = st.sampled_from(STREAMS)
SMALL = st.integers(-2, 12)
STEP = st.one_of(
    st.tuples(st.just("append"), st.lists(STREAM, max_size=4), st.booleans()),
    st.tuples(st.just("release"), STREAM, SMALL, SMALL),
    st.tuples(st.just("fault"), st.sampled_from(["lost", "landed"])),
    st.tuples(st.just("close")),
    st.tuples(st.just("kill")),
)


class Model:
    """What must be there: payloads by stream, receipts, audit rows."""

    def __init__(self) -> None:
        self.blocks: dict[Stream, list[bytes]] = {stream: [] for stream in STREAMS}
        self.released: dict[Stream, set[int]] = {stream: set() for stream in STREAMS}
        self.audit: list[bytes] = []

    def agree(self, outbox: Outbox) -> None:
        for stream in STREAMS:
            count = len(self.blocks[stream])
            left = [n for n in range(1, count + 1) if n not in self.released[stream]]
            unsent = outbox.unsent(stream)
            assert unsent.blocks == len(left)
            if left:
                assert (unsent.oldest, unsent.newest) == (left[0], left[-1])
            for n in range(1, count + 2):
                payload = self.blocks[stream][n - 1] if n <= count else None
                assert outbox.read(stream, n, history=True) == payload
                assert outbox.read(stream, n) == (payload if n in left else None)
        assert outbox.audit_tail() == self.audit


@settings(max_examples=25, deadline=None)
@given(st.lists(STEP, max_size=25))
def test_the_outbox_equals_its_model(steps: list[tuple[Any, ...]]) -> None:
    """Whatever happens in whatever order, the file holds what the model holds, and nobody was told of more."""
    disk, model, connect = Disk(), Model(), schema.connect_writer
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "connect_writer", lambda path, **o: FaultyConnection(connect(path, **o), disk))

        def open_() -> Outbox:
            return Outbox.open(Path(folder) / "outbox.db", site="s", clock=ManualClock(), inline=True)

        outbox, waiting = open_(), []
        for step in steps:
            match step:
                case ("append", streams, audited):
                    waiting.append(append(outbox, model, streams, audited))
                case ("release", stream, first, last):
                    disk.faults.clear()  # receipts of blocks not yet durable are another test
                    outbox.flush()
                    outbox.release(outbox.epoch, [(stream, first, last)])
                    model.released[stream] |= set(range(max(first, 1), min(last, len(model.blocks[stream])) + 1))
                case ("fault", fault):
                    disk.faults = [fault]
                case ("close",):
                    disk.faults.clear()
                    outbox.close()
                    outbox = open_()
                case ("kill",):
                    disk.faults.clear()
                    forget = [entry for entry in waiting if not entry[0].done()]
                    kill(outbox)
                    outbox = open_()
                    settle(outbox, model, forget)
                    waiting = []
            waiting = [entry for entry in waiting if not entry[0].done()]
        disk.faults.clear()
        outbox.flush()
        model.agree(outbox)
        outbox.close()


def append(outbox: Outbox, model: Model, streams: Sequence[Stream], audited: bool) -> tuple[Future[None], Any, Any]:
    following = {stream: outbox.next_sequence(stream) for stream in STREAMS}
    blocks = []
    for stream in streams:
        blocks.append(sealed(stream, following[stream]))
        following[stream] += 1
    audit = [f"row {len(model.audit)}".encode()] if audited else []
    future = outbox.append(blocks, audit=audit)
    for block in blocks:
        model.blocks[block.stream].append(block.payload)
    model.audit += audit
    return future, blocks, audit


def settle(outbox: Outbox, model: Model, unresolved: list[Any]) -> None:
    """After a kill each unresolved append is there as a whole or not at all, and none without the ones before it."""
    gone = False
    for _, blocks, audit in unresolved:
        there = {block.sequence < outbox.next_sequence(block.stream) for block in blocks}
        there |= {row in outbox.audit_tail() for row in audit}
        assert len(there) <= 1, "half of an append"
        assert not (gone and True in there), "an append without the one before it"
        if False in there:
            gone = True
            for block in blocks:
                model.blocks[block.stream].remove(block.payload)
            for row in audit:
                model.audit.remove(row)


@given(st.lists(st.tuples(SMALL, SMALL)), st.integers(0, 14))
def test_ranges_equal_a_set(pairs: list[tuple[int, int]], upto: int) -> None:
    """Merged ranges hold the same numbers as a set, sorted, and never touch."""
    merged: ranges.Ranges = ()
    plain: set[int] = set()
    for first, last in pairs:
        first = max(first, 1)
        merged = ranges.add(merged, first, last)
        plain |= set(range(first, last + 1))
    assert {n for first, last in merged for n in range(first, last + 1)} == plain
    assert all(a[1] + 1 < b[0] for a, b in pairwise(merged))
    assert ranges.size(merged) == len(plain)
    assert ranges.first_missing(merged) == min(set(range(1, 16)) - plain)
    assert ranges.last_missing(merged, upto) == max(set(range(upto + 1)) - plain, default=0)
    assert [n for n in range(-3, 15) if ranges.contains(merged, n)] == sorted(plain)


def test_samples_wait_for_company_and_alarms_do_not() -> None:
    """Samples are due 250 ms after the first of them, or at 1 MiB; an alarm makes everything due at once."""
    pending = Pending(Limits())
    assert pending.due_in(0.0) is None
    pending.add(Job(blocks=(sealed("samples", 1),), at=10.0))
    pending.add(Job(blocks=(sealed("samples", 2),), at=10.2))
    assert pending.due_in(10.1) == pytest.approx(0.15)
    assert pending.due_in(11.0) == 0.0
    pending.add(Job(blocks=(sealed("alarms", 1),), urgent=True, at=10.2))
    assert pending.due_in(10.1) == 0.0
    assert [len(pending.done(3)), pending.due_in(10.1)] == [3, None]
    pending.add(Job(blocks=(sealed("samples", 3, bytes(1 << 20)),), at=10.3))
    assert pending.due_in(10.3) == 0.0


def test_a_batch_is_bounded_and_never_empty() -> None:
    """One transaction takes the oldest appends up to 8 MiB, and a single larger one alone."""
    pending = Pending(Limits())
    for n in range(1, 6):
        pending.add(Job(blocks=(sealed("samples", n, bytes(3 << 20)),)))
    assert len(pending.batch()) == 2
    assert len(pending) == 5


def test_a_waiter_cannot_cancel_what_is_on_its_way() -> None:
    """A caller who stops waiting does not make the writer stumble."""
    job = Job()
    assert not job.future.cancel()
    job.future.set_result(None)


def test_everything_counted_in_is_counted_out() -> None:
    """The bounds are of what waits now: after a queue was emptied it is as good as new."""
    limits = Limits(samples_bytes=600, appends=1)
    pending = Pending(limits)
    for _ in range(3):
        pending.add(Job(blocks=(sealed("samples", 1, bytes(100)),)))
        pending.add(Job(audit=(b"row",), urgent=True))
        assert pending.full(samples=True)
        assert pending.full(samples=False)
        with pytest.raises(StorageError):
            pending.add(Job())
        pending.done(2)
