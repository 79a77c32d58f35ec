"""The central store on SQLite, through its own interface and through plain SQL."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import permutations
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.store.base import Push, PutBlock, PutCatalogue, PutQuarantine, PutStatus, Transaction
from cloud_sync.store.coverage import merge
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.wire import Status
from sitekeeper.block import decode
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.model.alarm import AlarmState, Cause
from sitekeeper.model.clock import SECOND
from sitekeeper.model.command import Ack, Actor
from sitekeeper.model.errors import StorageError
from sitekeeper.model.sample import Sample
from tests.unit.cloud_sync.material import EPOCH, KEY, SITE, T0, catalogue, gap, payload, transition


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "office.db", inline=True)
    data = catalogue()
    put = PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=decode_catalogue(data))
    opened.commit(Transaction(at=T0, entries=(put,))).result()
    yield opened
    opened.close()


def put(data: bytes) -> PutBlock:
    return PutBlock(block=decode(data), payload=data, digest=wire.digest(data))


def commit(store: SqliteStore, *blocks: bytes):
    return store.commit(Transaction(at=T0, entries=tuple(put(data) for data in blocks))).result()


def rows(tmp_path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(tmp_path / "office.db")) as connection:
        return connection.execute(sql).fetchall()


def test_a_block_becomes_rows_that_plain_sql_reads(store, tmp_path):
    """Samples, coverage and the latest value of one block, with names and times as the site had them."""
    commit(store, payload("samples", 3, gaps=[gap(0, SECOND)]))
    expected = [
        (SITE, "lift-a1/floor", T0 + 3 * SECOND, 6, 0, None, EPOCH, 3, 0),
        (SITE, "lift-a1/floor", T0 + 3 * SECOND + 500_000, 7, 0, None, EPOCH, 3, 1),
    ]
    assert rows(tmp_path, "SELECT * FROM v_samples ORDER BY at") == expected
    assert rows(tmp_path, "SELECT * FROM v_latest") == expected[1:]
    assert rows(tmp_path, "SELECT * FROM coverage") == [(SITE, "lift-a1@1s", T0 + 3 * SECOND, T0 + 4 * SECOND)]
    assert rows(tmp_path, "SELECT site, scan_group, start, end, cause FROM gaps") == [
        (SITE, "lift-a1@1s", T0, T0 + SECOND, "silent")
    ]


def test_a_block_twice_is_a_block_once(store, tmp_path):
    """A repeat, in the same transaction or a later one, changes no row and announces no transition."""
    for data in (payload("samples", 1), payload("events", 1), payload("alarms", 1)):
        first = commit(store, data, data)
        again = commit(store, data)
        assert (first.applied, again.applied) == (("new", "repeat"), ("repeat",))
        assert again.transitions == ()
    counts = [rows(tmp_path, f"SELECT count(*) FROM {t}")[0][0] for t in ("samples", "events", "transitions")]
    assert counts == [2, 1, 1]


def test_of_two_blocks_with_one_identity_the_first_stays(store, tmp_path):
    """Other bytes under the same id are an integrity conflict: recorded with their bytes, not applied."""
    other = payload("samples", 1, samples=[Sample(1, 0, 99, 0)])
    commit(store, payload("samples", 1))
    assert commit(store, other).applied == ("conflict",)
    assert rows(tmp_path, "SELECT value FROM v_samples ORDER BY at") == [(2,), (3,)]
    assert rows(tmp_path, "SELECT sequence, payload FROM conflicts") == [(1, other)]


@pytest.mark.parametrize("order", list(permutations((1, 2, 3))))
def test_the_outcome_does_not_depend_on_the_order_of_sample_blocks(store, tmp_path, order):
    """Latest is the newest by sequence, and coverage is one interval, whichever block comes first."""
    for sequence in order:
        commit(store, payload("samples", sequence))
    assert rows(tmp_path, "SELECT sequence, position, value FROM v_latest") == [(3, 1, 7)]
    assert rows(tmp_path, "SELECT start, until FROM coverage") == [(T0 + SECOND, T0 + 4 * SECOND)]
    assert rows(tmp_path, "SELECT count(*) FROM v_holes") == [(0,)]


def test_an_older_epoch_does_not_overwrite_the_latest_of_a_newer_one(store, tmp_path):
    """Between epochs time decides; within one the sequence does, even if the clock went back."""
    commit(store, payload("samples", 5))
    commit(store, payload("samples", 2, epoch="e0"))
    assert rows(tmp_path, "SELECT epoch, sequence FROM v_latest") == [(EPOCH, 5)]
    commit(store, payload("samples", 6, t0=T0 - 7200 * SECOND))
    assert rows(tmp_path, "SELECT epoch, sequence FROM v_latest") == [(EPOCH, 6)]


def test_missing_blocks_show_as_holes(store, tmp_path):
    """What has not come is listed by plain SQL with both ends."""
    commit(store, payload("samples", 1), payload("samples", 5))
    assert rows(tmp_path, "SELECT stream, start, end FROM v_holes") == [("samples", 2, 4)]


def test_coverage_joins_what_touches_and_keeps_holes():
    """Rounding of less than a millisecond closes; a real hole stays."""
    assert merge([(5_000, 9_000), (0, 4_200)]) == [(0, 9_000)]
    assert merge([(6_000, 9_000), (0, 4_000)]) == [(0, 4_000), (6_000, 9_000)]


def test_transitions_keep_everything_and_fold_into_the_alarm(store):
    """A move read back equals the one that was sent; the record is the state after the last one."""
    moves = [transition(1), transition(2)]
    outcome = commit(store, payload("alarms", 1, transitions=moves))
    assert [stored.transition for stored in outcome.transitions] == moves
    assert [stored.transition for stored in store.reader.story(moves[0].occurrence)] == moves
    record = store.reader.alarm(KEY)
    assert record is not None
    assert (record.state, record.occurrence) == (AlarmState.RETURNED, moves[0].occurrence)
    assert [alarm.key for alarm in store.reader.alarms(site=SITE)] == [KEY]


def test_undecided_transitions_survive_until_notify_has_decided(store):
    """A kill between commit and push loses no push: the transition is still undecided at the next start."""
    commit(store, payload("alarms", 1))
    [waiting] = store.undecided()
    push = Push(occurrence=waiting.transition.occurrence, event_id="x", recipient="lee", channel="phone")
    [number] = store.decide(waiting.id, "send", [push]).result()
    assert store.undecided() == []
    assert [one.id for one in store.unfinished_pushes()] == [number]
    done = Push(
        id=number, occurrence=push.occurrence, event_id="x", recipient="lee", channel="phone", state="sent", answer="ok"
    )
    store.save_push(done).result()
    assert store.unfinished_pushes() == []
    assert store.reader.pushes(push.occurrence) == [done]


ACK = Ack("a1", f"{KEY}@{EPOCH}-1", "lee", "", T0)


@pytest.mark.parametrize(
    ("answer", "left", "state"),
    [
        ({"cause": Cause.ACK, "target": AlarmState.ACKED, "ack_id": "a1"}, 0, "done"),
        ({"cause": Cause.ACK, "target": AlarmState.ACKED, "actor": Actor("wong", "technician", "site")}, 0, "done"),
        ({"cause": Cause.CLEAR, "target": AlarmState.RETURNED}, 1, "pending"),
        ({"cause": Cause.ACK, "target": AlarmState.NORMAL}, 0, "done"),
    ],
)
def test_an_acknowledgement_is_pending_until_the_sites_transition_returns(store, answer, left, state):
    """A transition with its id, or anybody's acknowledgement of that occurrence, ends the repeating."""
    commit(store, payload("alarms", 1))
    assert store.add_ack(SITE, ACK).result() == "pending"
    assert store.add_ack(SITE, ACK).result() == "pending"
    assert [pending.ack for pending in store.pending_acks()] == [ACK]
    commit(store, payload("alarms", 2, transitions=[transition(2, **answer)]))
    assert len(store.pending_acks()) == left
    assert [row.state for row in store.reader.acks(ACK.occurrence)] == [state]


def test_an_acknowledgement_of_what_is_over_is_moot(store):
    """Nothing is repeated to the site for an occurrence that nobody needs to acknowledge."""
    assert store.add_ack(SITE, ACK).result() == "moot"
    commit(store, payload("alarms", 1))
    assert store.add_ack(SITE, Ack("a2", ACK.occurrence, "lee", "", T0)).result() == "pending"
    commit(store, payload("alarms", 3))
    assert store.pending_acks() == []


def test_quarantine_keeps_the_bytes_once_and_the_place_in_the_order(store, tmp_path):
    """The same poison again only counts; its sequence is taken, so a restarted office goes on behind it."""
    entry = PutQuarantine(
        site=SITE, kind="alarms", payload=b"x", digest="d", reason="constraint", detail="", epoch=EPOCH,
        stream="alarms", sequence=1,
    )  # fmt: skip
    for _ in range(2):
        store.commit(Transaction(at=T0, entries=(entry,))).result()
    assert rows(tmp_path, "SELECT payload, times FROM quarantine") == [(b"x", 2)]
    assert store.known().alarms == {(SITE, EPOCH): 1}


def test_what_is_known_survives_a_restart(store, tmp_path):
    """Catalogues and positions are there for the next process, and samples find their points again."""
    commit(store, payload("alarms", 1))
    store.close()
    again = SqliteStore.open(tmp_path / "office.db", inline=True)
    assert again.known().alarms == {(SITE, EPOCH): 1}
    assert list(again.known().catalogues) == [catalogue_hash(catalogue())]
    commit(again, payload("samples", 1))
    assert [row.point for row in again.reader.latest(SITE, "lift-a1")] == ["lift-a1/floor"]
    again.close()


def test_a_sites_status_is_kept_and_a_retained_one_is_no_sign_of_life(store):
    """A status updates the row; only a live one moves `last_seen`."""
    status = Status(online=True, site=SITE, epoch=EPOCH, boot="b2", version="1.0", window=7, unsent={"samples": 4})
    store.commit(Transaction(at=T0 + SECOND, entries=(PutStatus(status=status, live=False),))).result()
    [site] = store.reader.sites()
    assert (site.boot, site.window, site.unsent, site.last_seen) == ("b2", 7, {"samples": 4}, T0)
    store.commit(Transaction(at=T0 + SECOND, entries=(PutStatus(status=status, live=True),))).result()
    assert store.reader.sites()[0].last_seen == T0 + SECOND


def test_the_offices_own_transitions_share_the_table(store):
    """A silent site is an alarm of the office's own epoch, numbered by the store."""
    epoch = "office-1"
    move = transition(1, key=f"{SITE}/gateway/GW01", occurrence=f"{SITE}/gateway/GW01@{epoch}-1", rule="GW01")
    assert store.reader.next_sequence(SITE, epoch) == 1
    [stored] = store.add_transitions(epoch, T0, [move]).result()
    assert (stored.epoch, stored.sequence, stored.transition) == (epoch, 1, move)
    assert store.reader.next_sequence(SITE, epoch) == 2
    assert store.known().alarms == {}


def test_a_transaction_that_fails_leaves_nothing_and_can_be_repeated(store, tmp_path):
    """All of a transaction or none of it: a block of an unknown catalogue takes the others with it."""
    good, bad = payload("samples", 1), payload("samples", 2, catalogue="0" * 32)
    with pytest.raises(StorageError):
        commit(store, good, bad)
    assert rows(tmp_path, "SELECT count(*) FROM blocks") == [(0,)]
    assert commit(store, good).applied == ("new",)


def test_integers_beyond_63_bits_are_kept_as_text(store, tmp_path):
    """An unsigned 64-bit counter does not stop a transaction."""
    commit(store, payload("samples", 1, samples=[Sample(1, 0, 2**64 - 1, 0)]))
    assert rows(tmp_path, "SELECT value FROM v_samples") == [(str(2**64 - 1),)]


def test_a_second_process_and_foreign_files_are_refused(store, tmp_path):
    """One writing process per file; a file that is something else is left as it is."""
    with pytest.raises(StorageError, match="in use"):
        SqliteStore.open(tmp_path / "office.db")
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE mine (x)")
        other.commit()
    with pytest.raises(StorageError, match="not a central store"):
        SqliteStore.open(tmp_path / "other.db")


def test_the_writer_thread_commits_too(tmp_path):
    """Without `inline` the same work is done on the store's own thread."""
    store = SqliteStore.open(tmp_path / "office.db")
    assert store.commit(Transaction(at=T0, entries=(put(payload("alarms", 1)),))).result(5).applied == ("new",)
    store.close()
