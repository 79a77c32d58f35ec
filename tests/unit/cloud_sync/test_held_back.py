"""What is held back at a site stands so at the office: stored whole, folded the same, found again after a loss."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cloud_sync import wire
from cloud_sync.store import leaving
from cloud_sync.store.base import PutBlock, PutStatus, PutVolatile, Transaction
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.wire import Status
from edge.alarm_moves import RuleFacts
from edge.alarms import AlarmBook
from edge.rules.instance import Verdict
from sitekeeper.block import Block, decode, encode
from sitekeeper.model.alarm import AlarmRecord, Cause, Transition, annunciates
from sitekeeper.model.clock import DAY, HOUR, SECOND, Moment
from sitekeeper.model.command import Actor
from tests.unit.cloud_sync.material import EPOCH, KEY, SITE, T0, block

LEE = Actor("lee", "technician", "site")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "office.db", inline=True)
    yield opened
    opened.close()


def history() -> tuple[AlarmBook, list[Transition]]:
    """Return a book, and the moves of one alarm through every layer: each in a block of its own."""
    book = AlarmBook(SITE, EPOCH, (), {"lift-a1/L01": RuleFacts(priority="P3", parent="L09")})

    def at(number: int) -> Moment:
        return Moment(mono=number * SECOND, wall=T0 + number * SECOND)

    def decided(kind: str, priority: str, number: int, *, through: bool = False) -> Transition:
        verdict = Verdict(
            rule="L01", device="lift-a1", kind=kind, at=number * SECOND, priority=priority, values={"floor": (3, 0)},
            limits={}, detail="stuck", latched=False, revision="r", mode="", through=through, parent="L09",
        )  # fmt: skip
        move = book.apply(verdict, at(number).wall, number)
        assert move is not None
        return move

    moves = [
        book.shelve(KEY, HOUR, LEE, "painting", at(1), 1),
        decided("raise", "P3", 2),
        book.cover(KEY, Cause.SUPPRESS, "link-1/GW20", at(3), 3),
        book.cover(KEY, Cause.SUPPRESS, "panel/A13", at(4), 4),
        book.unshelve(KEY, LEE, "", at(5)),
        decided("level", "P2", 6, through=True),
        book.out(KEY, "PTW-17", "Otis", T0 + DAY, LEE, "ropes", at(7), 7),
        book.cover(KEY, Cause.UNSUPPRESS, "link-1/GW20", at(8), 8),
        book.comment(KEY, LEE, "part ordered", at(9)),
    ]
    assert [move.target for move in moves] == ["E", "E", "F", "F", "F", "B", "G", "G", "G"]
    return book, moves


def blocks(moves: list[Transition]) -> list[Block]:
    return [block("alarms", number, transitions=[move]) for number, move in enumerate(moves, 1)]


def put(store: SqliteStore, *durable: Block) -> None:
    datas = [encode(one) for one in durable]
    entries = tuple(PutBlock(block=decode(data), payload=data, digest=wire.digest(data)) for data in datas)
    store.commit(Transaction(at=T0, entries=entries)).result()


def test_the_office_has_the_record_of_the_site(store: SqliteStore) -> None:
    """Veils, shelf, permit, parent and base: the same record at both ends, and each move as it was sent."""
    book, moves = history()
    put(store, *blocks(moves))
    assert store.reader.alarm(KEY) == book.record(KEY)
    occurrences = dict.fromkeys(move.occurrence for move in moves)
    told = [one.transition for occurrence in occurrences for one in store.reader.story(occurrence)]
    assert told == moves


def test_what_was_lost_from_memory_is_folded_away_whole(store: SqliteStore) -> None:
    """Told from memory the permit counts; lost with its process, the record is that of the durable moves again."""
    _, moves = history()
    put(store, *blocks(moves[:6]))
    before = store.reader.alarm(KEY)
    store.commit(Transaction(at=T0, entries=(PutVolatile(block=blocks(moves)[6]),))).result()
    assert store.reader.alarm(KEY).state == "G"
    status = Status(online=True, site=SITE, epoch=EPOCH, boot="b2", version="1", first={"alarms": 7}, unsent={})
    store.commit(Transaction(at=T0, entries=(PutStatus(status=status, live=True),))).result()
    assert store.reader.alarm(KEY) == before


def test_a_revoked_site_leaves_nothing_held_back_and_nothing_rings(store: SqliteStore) -> None:
    """Permit, shelf and veils are ended with the alarm, after its condition: none of the moves is annunciated."""
    _, moves = history()
    put(store, *blocks(moves))
    store.do(lambda sql: leaving.leave(sql, SITE, T0, "chan", "gone", epoch="office-1", at=T0, mono=0)).result()
    record = store.reader.alarm(KEY)
    assert (record.state, record.veils, record.shelved, record.permit) == ("A", (), None, None)
    made = [one.transition for one in store.reader.story(record.occurrence) if one.epoch == "office-1"]
    assert [move.cause for move in made] == ["clear", "return", "unsuppress"]
    assert not any(annunciates(move) for move in made)


def test_records_and_moves_of_before_read_as_they_were() -> None:
    """A saved record and a transition without the later fields: the base is the state, and nothing lies over it."""
    old = {"key": KEY, "rule": "L01", "occurrence": f"{KEY}@e1-1", "state": "C", "priority": "P1", "latched": True,
           "raised": 1, "changed": 2, "acked_by": "lee", "mode": ""}  # fmt: skip
    record = msgspec.json.decode(msgspec.json.encode(old), type=AlarmRecord)
    assert (record.standing, record.veils, record.shelved, record.through) == ("C", (), None, False)
    row = [f"{KEY}@e1-1", KEY, "L01", "A", "B", "raise", "P1", 1, 1, True]
    move = msgspec.msgpack.decode(msgspec.msgpack.encode(row), type=Transition)
    assert (move.standing, move.by, move.until) == ("B", "", 0)
