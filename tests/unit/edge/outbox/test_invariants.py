"""The invariants O1 to O8 of the outbox's specification, each under its number."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.outbox import AsOf, Limits, Outbox
from sitekeeper import chain
from sitekeeper.model.alarm import AlarmRecord, AlarmState
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import StorageError
from tests.unit.edge.outbox.conftest import Disk, kill, sealed

Open = Callable[..., Outbox]

RECORD = AlarmRecord(
    key="harbour/lift-a1/L01",
    rule="L01",
    occurrence="harbour/lift-a1/L01@e-1",
    state=AlarmState.UNACKED,
    priority="P1",
    latched=True,
    raised=5,
    changed=5,
)


def test_o1_a_block_is_not_readable_and_its_future_not_done_before_the_commit(open_outbox: Open, disk: Disk) -> None:
    """O1: while the commit has not succeeded nobody is told that the block is durable."""
    outbox = open_outbox()
    disk.faults = ["lost"]
    future = outbox.append([sealed("samples", 1)])
    assert not future.done()
    assert outbox.read("samples", 1) is None
    assert outbox.unsent("samples").blocks == 0
    outbox.flush()
    assert future.result(0) is None
    assert outbox.read("samples", 1) == b"samples 1"


def test_o1_the_callback_names_the_blocks_of_a_commit(open_outbox: Open) -> None:
    """O1: whoever waits for new blocks hears of them by stream and sequence."""
    heard: list[object] = []
    outbox = open_outbox(on_commit=heard.extend)
    outbox.append([sealed("samples", 1), sealed("alarms", 1)])
    assert heard == [("samples", 1), ("alarms", 1)]


def test_o2_sequences_go_on_over_a_restart(open_outbox: Open) -> None:
    """O2: the next sequence after a restart follows the last durable one, per stream."""
    outbox = open_outbox()
    outbox.append([sealed("samples", 1), sealed("samples", 2), sealed("events", 1)])
    outbox.close()
    again = open_outbox()
    assert [again.next_sequence(s) for s in ("alarms", "events", "samples")] == [1, 2, 3]
    assert again.epoch == outbox.epoch


def test_o2_sequences_go_on_after_all_history_was_purged(open_outbox: Open, clock) -> None:
    """O2: an empty table does not begin again at 1."""
    outbox = open_outbox(limits=Limits(history=0))
    outbox.append([sealed("samples", 1, t=1), sealed("samples", 2, t=2)])
    outbox.release(outbox.epoch, [("samples", 1, 2)])
    clock.advance(61 * SECOND)
    outbox.flush()
    assert outbox.read("samples", 2, history=True) is None
    outbox.close()
    assert open_outbox().next_sequence("samples") == 3


@pytest.mark.parametrize("sequence", [0, 1, 3])
def test_o2_only_the_next_block_is_taken(open_outbox: Open, sequence: int) -> None:
    """O2: a repeat or a hole is refused and takes nothing."""
    outbox = open_outbox()
    outbox.append([sealed("samples", 1)])
    with pytest.raises(ValueError, match="2 is the next"):
        outbox.append([sealed("events", 1), sealed("samples", sequence)])
    assert outbox.next_sequence("events") == 1
    assert outbox.next_sequence("samples") == 2


def test_o3_everything_of_an_append_comes_back_together(open_outbox: Open, path: Path) -> None:
    """O3: block, alarm record, rule state, group times and audit row are one transaction."""
    outbox = open_outbox()
    as_of = AsOf(wall=7, mono=3, boot="b1")
    outbox.append(
        [sealed("alarms", 1)],
        alarms=[RECORD],
        rule_state={"L01/lift-a1": b"\x01", "gone": b"\x02"},
        as_of=as_of,
        until={"lift-a1@1s": 6},
        audit=[b"row 1"],
    )
    outbox.append([], rule_state={"gone": None})
    outbox.close()
    state = open_outbox().state()
    assert state.alarms == [RECORD]
    assert state.rule_state == {"L01/lift-a1": b"\x01"}
    assert state.as_of == as_of
    assert state.group_until == {"lift-a1@1s": 6}
    assert state.sequences == {"alarms": 1, "events": 0, "samples": 0}


def test_o3_nothing_of_a_lost_transaction_is_there(open_outbox: Open, disk: Disk) -> None:
    """O3: a transaction that was rolled back leaves no part behind when the process is killed then."""
    outbox = open_outbox()
    disk.faults = ["lost"]
    outbox.append([sealed("alarms", 1)], alarms=[RECORD], rule_state={"x": b"1"}, audit=[b"row"])
    kill(outbox)
    again = open_outbox()
    assert again.state().alarms == []
    assert again.state().rule_state == {}
    assert again.audit_tail() == []
    assert again.next_sequence("alarms") == 1


def test_o3_audit_rows_form_one_chain_over_restarts(open_outbox: Open, path: Path) -> None:
    """O3: rows link to the last row in the file, whichever process wrote it."""
    outbox = open_outbox()
    outbox.append([], audit=[b"one", b"two"])
    outbox.close()
    outbox = open_outbox()
    outbox.append([], audit=[b"three"])
    assert outbox.audit_tail(2) == [b"two", b"three"]
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT record, hash FROM audit ORDER BY n").fetchall()
    connection.close()
    assert [record for record, _ in rows] == [b"one", b"two", b"three"]
    assert chain.verify(rows) is None
    assert chain.verify([rows[0], (b"TWO", rows[1][1]), rows[2]]) == 1


def test_o4_only_receipts_of_this_epoch_for_durable_blocks_count(open_outbox: Open) -> None:
    """O4: another epoch, sequences never written, and reversed or repeated ranges release nothing more."""
    outbox = open_outbox()
    outbox.append([sealed("samples", n) for n in range(1, 6)])
    assert not outbox.release("another", [("samples", 1, 5)])
    assert outbox.unsent("samples") == (1, 5, 5)
    outbox.release(outbox.epoch, [("samples", 2, 3), ("samples", 2, 2), ("samples", 5, 4), ("samples", -5, 0)])
    assert outbox.unsent("samples") == (1, 5, 3)
    outbox.release(outbox.epoch, [("samples", 5, 900)])
    assert outbox.unsent("samples") == (1, 4, 2)
    outbox.append([sealed("samples", 6)])
    assert outbox.unsent("samples") == (1, 6, 3)


def test_o4_a_released_block_is_history_and_is_not_offered_again(open_outbox: Open) -> None:
    """O4: what was released is read as history only, also after a restart."""
    outbox = open_outbox()
    outbox.append([sealed("samples", 1)])
    outbox.release(outbox.epoch, [("samples", 1, 1)])
    outbox.close()
    again = open_outbox()
    assert again.read("samples", 1) is None
    assert again.read("samples", 1, history=True) == b"samples 1"
    assert again.unsent("samples").blocks == 0


def test_o4_receipts_in_any_order_end_as_one_row(open_outbox: Open, path: Path) -> None:
    """O4: ranges grow and merge in the file as in memory, so that a receipt costs one small row."""
    outbox = open_outbox()
    outbox.append([sealed("samples", n) for n in range(1, 10)])
    for first, last in [(2, 2), (3, 4), (1, 1), (8, 9), (6, 6), (5, 5), (2, 7)]:
        outbox.release(outbox.epoch, [("samples", first, last)])
        assert outbox.problem is None
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT stream, first, last FROM released").fetchall() == [("samples", 1, 9)]
        assert connection.execute("SELECT sum(released), count(*) FROM blocks").fetchone() == (9, 9)
    connection.close()


def test_o6_samples_are_refused_beyond_their_bytes_and_alarms_are_not(open_outbox: Open, disk: Disk) -> None:
    """O6: with a disk that fails, samples stop at their limit, alarms go on to theirs, and all become durable later."""
    outbox = open_outbox(limits=Limits(samples_bytes=3_000, appends=2))
    disk.faults = ["lost"] * 9
    outbox.append([sealed("samples", 1, b"x" * 3_000)])
    assert outbox.behind("samples")
    assert not outbox.behind("alarms")
    with pytest.raises(StorageError, match="writer behind"):
        outbox.append([sealed("samples", 2)])
    assert outbox.next_sequence("samples") == 2
    outbox.append([sealed("samples", 2), sealed("alarms", 1)])
    outbox.append([sealed("alarms", 2)])
    with pytest.raises(StorageError, match="2 appends wait"):
        outbox.append([sealed("alarms", 3)])
    assert not outbox.release(outbox.epoch, [("samples", 1, 1)])
    disk.faults = []
    outbox._writer._drain()
    assert (outbox.unsent("samples").newest, outbox.unsent("alarms").newest) == (2, 2)
    assert not outbox.behind("samples")


def test_o7_a_second_outbox_on_the_same_file_is_refused(open_outbox: Open) -> None:
    """O7: the lock keeps a second writer out, and is gone after close."""
    outbox = open_outbox()
    with pytest.raises(StorageError, match="another process has this outbox open"):
        open_outbox()
    outbox.append([sealed("samples", 1)])
    outbox.close()
    assert open_outbox().next_sequence("samples") == 2


def test_every_commit_is_flushed(open_outbox: Open) -> None:
    """O1: the writing connection runs in WAL with synchronous=FULL (2), no mmap, and trusts no schema."""
    connection = open_outbox()._store._connection
    pragmas = ("journal_mode", "synchronous", "mmap_size", "trusted_schema")
    assert [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas] == ["wal", 2, 0, 0]


def test_a_catalogue_is_kept_under_its_hash(open_outbox: Open) -> None:
    """A catalogue can be put twice and is found by the hash of its bytes."""
    outbox = open_outbox()
    outbox.put_catalogue(b"points")
    outbox.put_catalogue(b"points")
    from sitekeeper.catalogue import catalogue_hash

    assert outbox.catalogue(catalogue_hash(b"points")) == b"points"
    assert outbox.catalogue("unknown") is None
