"""A full filesystem: alarms go on in the reserve, samples where history made room, and what is dropped is told."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.outbox import Limits, Outbox, drops, space, writer
from edge.outbox.drops import Drops, Lost
from edge.outbox.pace import Pace, depth
from sitekeeper.block import GapCause
from sitekeeper.model.clock import MINUTE, SECOND, ManualClock
from tests.outbox_content import CATALOGUE, ENCODED, GROUPS, SITE, START, samples
from tests.unit.edge.outbox.conftest import Disk, kill, sealed

Open = Callable[..., Outbox]
RESERVE = 1 << 20


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the filesystem says that it has left."""
    left = [1 << 40]
    monkeypatch.setattr(space, "room", lambda _: left[0])
    return left


def test_the_reserve_is_really_allocated_given_back_and_taken_again(path: Path, room: list[int]) -> None:
    """Its blocks are counted by the filesystem, not only its length; without room it is not touched."""
    reserve = space.Reserve(path, RESERVE)
    assert not reserve.held
    room[0] = RESERVE
    assert not reserve.hold()
    room[0] = RESERVE + space.MARGIN
    assert reserve.hold()
    assert reserve.path.stat().st_blocks * 512 >= RESERVE
    reserve.give_back()
    assert not reserve.held
    assert reserve.path.stat().st_blocks == 0


def test_an_alarm_is_durable_on_a_full_disk_and_the_samples_before_it_are_told(
    open_outbox: Open, disk: Disk, room: list[int], path: Path
) -> None:
    """The reserve is given back at the first refusal; samples do not dig into it: they are dropped with an account."""
    outbox = open_outbox(limits=Limits(reserve=RESERVE), site=SITE)
    outbox.put_catalogue(ENCODED)
    outbox.append([samples(outbox.epoch, 1, 1)])
    assert space.Reserve(path, RESERVE).held
    room[0], disk.faults = 0, ["full"]
    waiting = outbox.append([samples(outbox.epoch, 2, 2)])
    assert not waiting.done()
    assert outbox.short is not None
    assert not space.Reserve(path, RESERVE).held
    alarm = outbox.append([samples(outbox.epoch, 3, 3), sealed("alarms", 1)])
    assert alarm.done()
    assert waiting.done()
    assert outbox.problem is None
    assert outbox.read("alarms", 1) == b"alarms 1"
    assert [outbox.read("samples", n) is None for n in (1, 2, 3)] == [False, True, True]
    assert outbox.unsent("samples") == (1, 1, 1)
    assert outbox.next_sequence("samples") == 4
    assert outbox.untold() is None
    room[0] = 1 << 40
    outbox.append([samples(outbox.epoch, 4, 4)])
    assert outbox.short is None
    assert space.Reserve(path, RESERVE).held
    note = outbox.untold()
    assert note is not None
    assert note.dropped[0][:4] == (2, 3, 2, 40)
    gaps = [(gap.group, gap.start, gap.end, gap.cause) for gap in note.gaps]
    assert gaps == [(group, START + SECOND, START + 3 * SECOND, GapCause.DROPPED) for group in GROUPS]
    assert [state.value for state in note.states["lift-a1/p4"]] == [2_000]
    assert [state.value for state in note.states["lift-a2/p1"]] == [3_000]


def test_samples_go_on_into_the_room_that_history_gives(
    open_outbox: Open, disk: Disk, room: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With history to give up nothing is lost on a full disk; without, samples wait in memory as long as they may."""
    monkeypatch.setattr(writer, "SLACK", 4_000)
    outbox = open_outbox(limits=Limits(samples_bytes=40_000))
    for n in range(1, 41):
        outbox.append([sealed("samples", n, bytes(2_000))])
    outbox.release(outbox.epoch, [("samples", 1, 20)])
    room[0], disk.faults = 0, ["full"]
    assert outbox.append([sealed("samples", 41, bytes(2_000))]).done()
    assert outbox.read("samples", 1, history=True) is None
    assert outbox.unsent("samples") == (21, 41, 21)
    waiting = [outbox.append([sealed("samples", n, bytes(2_000))]) for n in range(42, 60)]
    assert outbox.untold() is None
    assert waiting[0].done()
    outbox.flush()
    assert all(future.done() for future in waiting)


def test_above_its_size_the_outbox_drops_the_oldest_samples_and_tells_it_once(
    open_outbox: Open, clock: ManualClock
) -> None:
    """Alarms and events that the office lacks stay; the account survives a kill and is forgotten by telling it."""
    outbox = open_outbox(limits=Limits(max_size=300_000))
    for n in range(1, 41):
        outbox.append([sealed("samples", n, bytes(10_000)), sealed("alarms", n, bytes(1_000))])
    clock.advance(2 * MINUTE)
    outbox.flush()
    assert outbox.unsent("alarms").blocks == 40
    oldest = outbox.unsent("samples").oldest
    assert 1 < oldest < 40
    kill(outbox)
    again = open_outbox(limits=Limits(max_size=300_000))
    note = again.untold()
    assert note is not None
    assert [each[:4] for each in note.dropped] == [(1, oldest - 1, oldest - 1, oldest - 1)]
    assert again.unsent("samples") == (oldest, 40, 41 - oldest)
    again.append([sealed("events", 1)], told=note)
    assert again.untold() is None
    again.close()
    third = open_outbox()
    assert third.untold() is None
    assert third.unsent("samples").oldest == oldest


def test_a_note_that_is_not_durable_yet_is_not_given_twice(open_outbox: Open, disk: Disk, clock: ManualClock) -> None:
    """Told exactly once: while the append that tells is on its way nothing comes, and after a kill it comes again."""
    outbox = open_outbox(limits=Limits(max_size=50_000))
    for n in range(1, 11):
        outbox.append([sealed("samples", n, bytes(10_000))])
    clock.advance(2 * MINUTE)
    outbox.flush()
    note = outbox.untold()
    disk.faults = ["lost"]
    outbox.append([sealed("events", 1)], told=note)
    assert outbox.untold() is None
    kill(outbox)
    assert open_outbox().untold() == note


def lost(n: int) -> Lost:
    block = samples("e1", n, n)
    return Lost(n, block.count, block.t0, block.t1, block.payload)


def test_neighbours_become_one_and_what_came_since_stays_to_be_told() -> None:
    """The account is bounded by gaps in the sequences, and telling takes away what was told and no more."""
    first = Drops().with_blocks([lost(1), lost(2)], lambda _: CATALOGUE)
    note = first.note()
    then = first.with_blocks([lost(3), lost(9)], lambda _: CATALOGUE).without(note)
    assert [(each.first, each.last, each.records) for each in note.dropped] == [(1, 2, 40)]
    assert [(each.first, each.last, each.records) for each in then.note().dropped] == [(3, 3, 20), (9, 9, 20)]
    assert {(gap.start - START, gap.end - START) for gap in then.note().gaps} == {
        (2 * SECOND, 3 * SECOND),
        (8 * SECOND, 9 * SECOND),
    }
    assert then.sequences() == ((1, 3), (9, 9))
    assert Drops.of_rows(then.tables()) == then


def test_the_account_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However the receipts lie between the drops, no more ranges and intervals are kept than said."""
    monkeypatch.setattr(drops, "MAX_RANGES", 3)
    monkeypatch.setattr(drops, "MAX_INTERVALS", 2)
    found = Drops().with_blocks([lost(n) for n in range(1, 21, 2)], lambda _: CATALOGUE)
    assert [(each.first, each.last, each.blocks) for each in found.untold] == [(1, 15, 8), (17, 17, 1), (19, 19, 1)]
    assert {len(each) for each in found.times.values()} == {2}


def test_depth_is_room_by_the_rate_of_the_last_hour() -> None:
    """Hours until samples would be dropped; nothing is said as long as nothing was written."""
    pace = Pace(0)
    assert depth(pace, 0, unsent=0, capacity=10).hours is None
    for n in range(360):
        pace.wrote(n * 10 * SECOND, 10_000)
    now = 360 * 10 * SECOND
    found = depth(pace, now, unsent=3_600_000, capacity=10_800_000)
    assert found.hours == pytest.approx(2.0, rel=0.01)
    assert found.minute == pytest.approx(1_000, rel=0.2)


def test_a_real_full_database_keeps_the_order_and_heals(open_outbox: Open) -> None:
    """SQLite's own `full` is a shortage, not a failure: the file is opened anew, and all is written."""
    outbox = open_outbox()
    connection = outbox._store._connection
    connection.execute(f"PRAGMA max_page_count={connection.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        connection.execute("CREATE TABLE more AS SELECT randomblob(9000)")
    assert outbox.append([sealed("samples", 1, b"x" * 50_000)]).done()
    assert outbox.unsent("samples") == (1, 1, 1)
    assert outbox.short is None
