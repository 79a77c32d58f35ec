"""Alarms told from memory at the office: stored once, settled by the durable block or by the site's return."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.store.base import (
    Applied,
    Entry,
    Push,
    PutBlock,
    PutMissing,
    PutQuarantine,
    PutStatus,
    PutVolatile,
    Transaction,
)
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.store.store import Store
from cloud_sync.wire import Status
from office.notify.log import StoreLog
from office.notify.stages import settled_id
from sitekeeper.block import Block, decode, encode
from sitekeeper.model.alarm import AlarmState
from sitekeeper.model.clock import SECOND
from sitekeeper.model.command import Ack
from tests.unit.cloud_sync.material import EPOCH, KEY, SITE, T0, block, transition


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "office.db", inline=True)
    yield opened
    opened.close()


def commit(store: Store, entry: Entry) -> Applied:
    [applied] = store.commit(Transaction(at=T0, entries=(entry,))).result().applied
    return applied


def tell(store: Store, told: Block) -> Applied:
    return commit(store, PutVolatile(block=told))


def put(store: Store, durable: Block) -> Applied:
    data = encode(durable)
    return commit(store, PutBlock(block=decode(data), payload=data, digest=wire.digest(data)))


def speaks(store: Store, boot: str, first: int, unsent: int = 0, *, live: bool = True) -> None:
    status = Status(
        online=True, site=SITE, epoch=EPOCH, boot=boot, version="1", first={"alarms": first}, unsent={"alarms": unsent}
    )
    commit(store, PutStatus(status=status, live=live))


def moves(store: Store) -> list[tuple[object, ...]]:
    return [
        tuple(row) for row in store.reader.ask("SELECT epoch, sequence, cause, volatile FROM transitions ORDER BY id")
    ]


def state(store: Store) -> tuple[str, AlarmState] | None:
    record = store.reader.alarm(KEY)
    return None if record is None else (record.occurrence.partition("@")[2], record.state)


def test_what_was_told_counts_at_once_and_a_repeat_changes_nothing(store):
    """An alarm told from memory stands at the office, marked, and telling it again adds nothing."""
    assert tell(store, block("alarms", 1)) == "new"
    assert tell(store, block("alarms", 1)) == "repeat"
    assert moves(store) == [("e1~b1", 1, "raise", 1)]
    assert state(store) == ("e1-1", AlarmState.UNACKED)
    [stored] = store.undecided()
    assert stored.transition.volatile


def test_the_durable_block_settles_what_was_told(store):
    """One row in the end, durable, with the decision that was taken when it was told: nothing is pushed again."""
    tell(store, block("alarms", 1))
    [stored] = store.undecided()
    store.decide(stored.id, "send: desk", ()).result()
    assert put(store, block("alarms", 1)) == "new"
    assert moves(store) == [("e1", 1, "raise", 0)]
    assert store.undecided() == []
    assert tell(store, block("alarms", 1)) == "repeat"
    assert moves(store) == [("e1", 1, "raise", 0)]
    assert put(store, block("alarms", 2)) == "new"
    assert state(store) == ("e1-1", AlarmState.RETURNED)


def test_what_was_told_overtakes_what_is_durable_and_the_order_stays(store):
    """The end of an alarm that was told before its durable beginning arrived is not undone by that."""
    tell(store, block("alarms", 2))
    put(store, block("alarms", 1))
    assert state(store) == ("e1-1", AlarmState.RETURNED)
    put(store, block("alarms", 2))
    assert state(store) == ("e1-1", AlarmState.RETURNED)
    assert sorted(moves(store)) == [("e1", 1, "raise", 0), ("e1", 2, "clear", 0)]


@pytest.mark.parametrize("live", [True, False])
def test_a_later_boot_that_never_had_it_ends_it(store, live):
    """The site's own word after a restart takes the alarm back to what is durable; a retained word proves nothing."""
    put(store, block("alarms", 1))
    put(store, block("alarms", 2))
    before = state(store)
    tell(store, block("alarms", 3))
    assert state(store) == ("e1-3", AlarmState.UNACKED)
    speaks(store, "b1", first=3)
    assert state(store) == ("e1-3", AlarmState.UNACKED)
    speaks(store, "b2", first=3, live=live)
    assert state(store) == (before if live else ("e1-3", AlarmState.UNACKED))
    assert moves(store)[-1] == ("e1~b1", 3, "raise", 2 if live else 1)


def test_the_late_word_of_an_earlier_boot_ends_nothing(store):
    """Two workers may store two statuses the wrong way round: what the process that lives now told goes on standing."""
    speaks(store, "b1", first=1)
    speaks(store, "b2", first=1)
    tell(store, block("alarms", 1, boot="b2"))
    speaks(store, "b1", first=1)
    assert state(store) == ("e1-1", AlarmState.UNACKED)
    speaks(store, "b3", first=1)
    assert state(store) is None


def test_an_alarm_that_was_only_ever_told_leaves_no_record(store):
    """The office does not show for ever what the site does not know of, and keeps what was told."""
    tell(store, block("alarms", 1))
    store.add_ack(SITE, Ack("k1", f"{KEY}@e1-1", "mei", "", T0)).result()
    speaks(store, "b2", first=1)
    assert state(store) is None
    assert store.pending_acks() == []
    assert moves(store) == [("e1~b1", 1, "raise", 2)]


def test_a_later_boot_that_has_it_on_its_disk_keeps_it(store):
    """Durable just before the process died and not sent yet: the block of the earlier boot comes and settles it."""
    tell(store, block("alarms", 1))
    speaks(store, "b2", first=1, unsent=1)
    assert state(store) == ("e1-1", AlarmState.UNACKED)
    put(store, block("alarms", 1))
    assert moves(store) == [("e1", 1, "raise", 0)]


@pytest.mark.parametrize("how", ["unreadable", "missing", "receipted"])
def test_a_number_that_is_settled_otherwise_ends_what_was_told(store, how):
    """The next boot's block of that number cannot be read, or nobody has it; below its first one alone says nothing."""
    tell(store, block("alarms", 1))
    if how == "unreadable":
        of = {"site": SITE, "epoch": EPOCH, "stream": "alarms", "sequence": 1}
        commit(store, PutQuarantine(kind="alarms", payload=b"x", digest="d", reason="constraint", detail="", **of))
    elif how == "missing":
        commit(store, PutMissing(site=SITE, epoch=EPOCH, stream="alarms", start=1, end=2))
    speaks(store, "b1", first=2)
    assert state(store) == ("e1-1", AlarmState.UNACKED)  # the boot that told it lives
    speaks(store, "b2", first=2)
    assert state(store) == (("e1-1", AlarmState.UNACKED) if how == "receipted" else None)
    assert moves(store) == [("e1~b1", 1, "raise", 1 if how == "receipted" else 2)]


def test_a_number_that_is_given_again_is_another_alarm(store):
    """The next boot gives the same number to another alarm: that one is new, and the one that was told is lost."""
    tell(store, block("alarms", 1))
    other = f"{SITE}/lift-a1/L05"
    again = transition(1, key=other, occurrence=f"{other}@e1-1", rule="L05")
    put(store, block("alarms", 1, boot="b2", transitions=[again]))
    assert moves(store) == [("e1~b1", 1, "raise", 2), ("e1", 1, "raise", 0)]
    assert state(store) is None
    assert [record.key for record in store.reader.alarms()] == [other]


def test_what_is_told_too_late_is_kept_and_moves_nothing(store):
    """A message of an earlier boot that was long under way does not open an alarm again that is over."""
    put(store, block("alarms", 1, boot="b2", transitions=[transition(1), transition(2)]))
    assert tell(store, block("alarms", 1)) == "new"
    assert state(store) == ("e1-1", AlarmState.RETURNED)
    assert moves(store)[-1] == ("e1~b1", 1, "raise", 2)


def test_what_comes_back_after_all_is_durable(store):
    """Given up for lost, then found on the disk: the durable block wins, and the alarm stands again."""
    tell(store, block("alarms", 1))
    speaks(store, "b2", first=1)
    put(store, block("alarms", 1))
    assert moves(store) == [("e1", 1, "raise", 0)]
    assert state(store) == ("e1-1", AlarmState.UNACKED)


async def test_a_push_under_way_outlives_the_settling(store):
    """A push that is retried finds its alarm under the same name after the durable block has come."""
    log = StoreLog(store, store.reader)
    tell(store, block("alarms", 1))
    [case] = [case async for case in log.undecided()]
    assert case.event_id == f"{KEY}@e1-1~b1"
    push = store_push(case.event_id)
    put(store, block("alarms", 1))
    found = await log.case(push)
    assert found is not None
    assert (found.event_id, found.transition.volatile) == (case.event_id, False)
    assert settled_id(case.event_id) == f"{KEY}@e1-1"


async def test_the_same_alarm_of_the_next_boot_is_pushed_again(store):
    """What one boot told does not pass for what the next boot raises under the same occurrence."""
    log = StoreLog(store, store.reader)
    tell(store, block("alarms", 1))
    [case] = [case async for case in log.undecided()]
    await log.decide(case, "send: desk", [store_push(case.event_id)])
    put(store, block("alarms", 1, boot="b2"))
    [again] = [case async for case in log.undecided()]
    assert (again.event_id, again.finished, again.acknowledged) == (f"{KEY}@e1-1", frozenset(), False)


async def test_a_step_of_the_ladder_is_the_same_once_its_alarm_is_durable(store):
    """Made under the name of what was told, asked for under the settled one: done; not so for another boot's alarm."""
    log = StoreLog(store, store.reader)
    for number, durable, finished in ((1, "b1", {"desk"}), (2, "b2", set())):
        moved = transition(2 * number - 1)
        name = moved.occurrence
        tell(store, block("alarms", number, transitions=[moved]))
        store.save_push(store_push(f"{name}~b1#1", occurrence=name)).result()
        put(store, block("alarms", number, transitions=[moved], boot=durable))
        step, other = await log.step(name, f"{name}#1"), await log.step(name, f"{name}#2")
        assert step is not None
        assert other is not None
        assert (step.step, step.finished, other.finished, step.superseded) == (1, finished, set(), False)


async def test_nobody_else_is_called_for_what_was_lost_with_the_memory_that_told_it(store):
    """The site is back without it, and has raised it anew: only the new one is climbed for."""
    log = StoreLog(store, store.reader)
    tell(store, block("alarms", 1))
    [case] = [case async for case in log.undecided()]
    assert not case.superseded
    put(store, block("alarms", 1, boot="b2"))
    lost = await log.step(case.occurrence, f"{case.event_id}#1")
    anew = await log.step(case.occurrence, f"{case.occurrence}#1")
    assert lost is not None
    assert anew is not None
    assert (lost.superseded, anew.superseded) == (True, False)


def store_push(event: str, occurrence: str = f"{KEY}@e1-1") -> Push:
    return Push(occurrence=occurrence, event_id=event, recipient="desk", channel="desk", state="sent", started=SECOND)
