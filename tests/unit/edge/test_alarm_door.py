"""The guarded door: who may do what, what is asked twice, and that every attempt is one row of the audit."""

from typing import Any

import pytest

from edge.commands import alarm_door as door_module
from edge.commands.alarm_door import ALLOWED, AlarmDoor
from edge.commands.audit import AuditRow, decode, encode, outcomes
from sitekeeper.model.alarm import AlarmState, Cause, Transition
from sitekeeper.model.clock import Moment
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import FormatError, NotFound, Refused

OCCURRENCE = "harbour/lift-a1/L01@e-1"
NOW = Moment(mono=3, wall=7, trusted=True)
OPERATOR = Actor("chan", "operator", "site")
TECHNICIAN = Actor("lee", "technician", "site")
OFFICE = Actor("wong", "office", "office")
AFAR = ("ack", "unack", "shelve", "unshelve", "note")
ON_SITE = ("clear", "out", "return")


class Book:
    """An alarm book that does what it is told and remembers how it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.error: Exception | None = None

    def _move(self, cause: Cause, actor: Actor, *asked: Any) -> Transition:
        self.asked.append((cause, *asked))
        if self.error:
            raise self.error
        return Transition(
            OCCURRENCE, "k", "L01", AlarmState.UNACKED, AlarmState.ACKED, cause, "P1", 7, 3, True, actor=actor
        )

    def ack(self, occurrence: str, actor: Actor, note: str, ack_id: str, now: Moment) -> Transition:
        return self._move(Cause.ACK, actor, note, ack_id)

    def unack(self, occurrence: str, actor: Actor, note: str, now: Moment) -> Transition:
        return self._move(Cause.UNACK, actor, note)

    def reset(
        self, occurrence: str, actor: Actor, note: str, now: Moment, *, condition_false: bool, reset_allowed: bool
    ) -> Transition:
        return self._move(Cause.RESET, actor, note, condition_false, reset_allowed)

    def shelve(self, key: str, lasts: int, actor: Actor, reason: str, now: Moment, sequence: int) -> Transition:
        return self._move(Cause.SHELVE, actor, key, lasts, reason, sequence)

    def unshelve(self, key: str, actor: Actor, note: str, now: Moment) -> Transition:
        return self._move(Cause.UNSHELVE, actor, key, note)

    def out(
        self, key: str, permit: str, owner: str, until: int, actor: Actor, note: str, now: Moment, sequence: int
    ) -> Transition:
        return self._move(Cause.OUT, actor, key, permit, owner, until, note, sequence)

    def back(self, key: str, actor: Actor, note: str, now: Moment) -> Transition:
        return self._move(Cause.RETURN, actor, key, note)

    def comment(self, key: str, actor: Actor, note: str, now: Moment) -> Transition:
        return self._move(Cause.COMMENT, actor, key, note)


class Sink:
    """A pipeline that only remembers."""

    def __init__(self) -> None:
        self.moves: list[Transition] = []
        self.rows: list[AuditRow] = []

    def record(self, transition: Transition | None, audit: bytes) -> None:
        self.moves += [transition] if transition else []
        self.rows.append(decode(audit))


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def door(book: Book, sink: Sink) -> AlarmDoor:
    return AlarmDoor(book, sink.record, lambda: NOW, {}, lambda: 9)


def ask(door: AlarmDoor, operation: str, actor: Actor) -> object:
    if operation == "clear":
        return door.clear(OCCURRENCE, actor, "2 persons released", condition_false=True, reset_allowed=False)
    if operation == "shelve":
        return door.shelve(OCCURRENCE, 1_800_000_000, actor, "painting")
    if operation == "out":
        return door.out(OCCURRENCE, "PTW-17", "Otis", 99, actor, "ropes")
    method = {"return": "back", "note": "comment"}.get(operation, operation)
    return getattr(door, method)(OCCURRENCE, actor, "seen")


@pytest.mark.parametrize("role", sorted(ALLOWED))
@pytest.mark.parametrize("origin", ["site", "office"])
@pytest.mark.parametrize("operation", [*AFAR, *ON_SITE])
def test_the_role_table(door: AlarmDoor, book: Book, sink: Sink, role: str, origin: str, operation: str) -> None:
    """Every role, origin and operation gives what the table says, and one row either way."""
    actor = Actor("somebody", role, origin)
    may = {"viewer": (), "operator": AFAR, "office": AFAR}.get(role, (*AFAR, *ON_SITE))
    reason = "site-only" if operation in ON_SITE and origin == "office" else "not-permitted"
    if operation in may and not (operation in ON_SITE and origin == "office"):
        assert ask(door, operation, actor) == sink.moves[0]
        reason = "done"
    else:
        with pytest.raises(Refused) as refused:
            ask(door, operation, actor)
        assert refused.value.reason == reason
        assert (book.asked, sink.moves) == ([], [])
    row = sink.rows[0]
    assert len(sink.rows) == 1
    assert (row.at, row.user, row.role, row.origin) == (7, "somebody", role, origin)
    assert (row.operation, row.target, row.outcome) == (operation, OCCURRENCE, reason)


def test_a_clear_tells_the_book_what_stands_and_what_was_entered(door: AlarmDoor, book: Book, sink: Sink) -> None:
    """The released persons are in the move's note and in the audit."""
    ask(door, "clear", TECHNICIAN)
    assert book.asked == [(Cause.RESET, "2 persons released", True, False)]
    assert sink.rows[0].note == "2 persons released"


def test_what_holds_an_alarm_back_tells_the_book_all_and_the_audit_for_how_long(
    door: AlarmDoor, book: Book, sink: Sink
) -> None:
    """How long, why, the permit and who answers for it; the block that may begin an occurrence is named."""
    for operation in ("shelve", "out", "return", "note"):
        ask(door, operation, TECHNICIAN)
    assert book.asked == [
        (Cause.SHELVE, OCCURRENCE, 1_800_000_000, "painting", 9),
        (Cause.OUT, OCCURRENCE, "PTW-17", "Otis", 99, "ropes", 9),
        (Cause.RETURN, OCCURRENCE, "seen"),
        (Cause.COMMENT, OCCURRENCE, "seen"),
    ]
    assert [(row.operation, row.value, row.note) for row in sink.rows] == [
        ("shelve", "30min", "painting"), ("out", "PTW-17", "ropes"), ("return", "", "seen"), ("note", "", "seen"),
    ]  # fmt: skip


def test_a_clear_without_an_entry_is_refused(door: AlarmDoor, book: Book, sink: Sink) -> None:
    """Nobody ends an entrapment without saying what was found."""
    with pytest.raises(Refused, match="entry-needed"):
        door.clear(OCCURRENCE, TECHNICIAN, " \t", condition_false=True, reset_allowed=True)
    assert book.asked == []
    assert sink.rows[0].outcome == "entry-needed"


@pytest.mark.parametrize(
    ("error", "outcome"), [(Refused("already-acknowledged"), "already-acknowledged"), (NotFound("it"), "not-found")]
)
def test_what_the_book_refuses_is_recorded_and_raised(
    door: AlarmDoor, book: Book, sink: Sink, error: Exception, outcome: str
) -> None:
    """A refusal by state is an attempt like any other."""
    book.error = error
    with pytest.raises(type(error)):
        door.ack(OCCURRENCE, OPERATOR)
    assert [row.outcome for row in sink.rows] == [outcome]
    assert sink.moves == []


def test_an_acknowledgement_of_the_office_counts_once(door: AlarmDoor, book: Book, sink: Sink) -> None:
    """The office repeats until it sees the move: one move, one row, the key handed on."""
    door.ack(OCCURRENCE, OFFICE, "on the way", "k1")
    assert door.ack(OCCURRENCE, OFFICE, "on the way", "k1") is None
    assert book.asked == [(Cause.ACK, "on the way", "k1")]
    assert sink.moves[0].actor == OFFICE
    assert [(row.ack_id, row.outcome) for row in sink.rows] == [("k1", "done")]


def test_a_refused_key_gets_the_same_answer_without_a_second_row(door: AlarmDoor, book: Book, sink: Sink) -> None:
    """Repeats of a refused acknowledgement neither fill the audit nor succeed later by chance."""
    book.error = Refused("already-acknowledged")
    for _ in range(3):
        with pytest.raises(Refused, match="already-acknowledged"):
            door.ack(OCCURRENCE, OFFICE, ack_id="k1")
        book.error = None
    assert len(sink.rows) == 1


def test_keys_are_known_after_a_restart(book: Book, sink: Sink, door: AlarmDoor) -> None:
    """What the audit holds of keys is enough to do nothing twice."""
    door.ack(OCCURRENCE, OFFICE, ack_id="k1")
    book.error = Refused("not-active")
    with pytest.raises(Refused):
        door.ack(OCCURRENCE, OFFICE, ack_id="k2")
    known = outcomes(encode(row) for row in sink.rows)
    assert known == {"k1": "done", "k2": "not-active"}
    again = AlarmDoor(book, sink.record, lambda: NOW, known, lambda: 9)
    assert again.ack(OCCURRENCE, OFFICE, ack_id="k1") is None
    with pytest.raises(Refused, match="not-active"):
        again.ack(OCCURRENCE, OFFICE, ack_id="k2")
    assert len(book.asked) == 2


def test_the_keys_kept_are_bounded(door: AlarmDoor, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest keys go first."""
    monkeypatch.setattr(door_module, "REMEMBERED", 2)
    for key in ("k1", "k2", "k3"):
        door.ack(OCCURRENCE, OFFICE, ack_id=key)
    assert door.ack(OCCURRENCE, OFFICE, ack_id="k2") is None
    assert door.ack(OCCURRENCE, OFFICE, ack_id="k1") is not None


def test_rows_are_stable_bytes_and_anything_else_is_refused() -> None:
    """Equal rows are equal bytes, since a hash is made of them."""
    row = AuditRow(at=1, trusted=True, user="陳", role="operator", origin="site", operation="ack", target="x")
    assert encode(row) == (
        b'{"at":1,"trusted":true,"user":"\xe9\x99\xb3","role":"operator","origin":"site","operation":"ack",'
        b'"target":"x","outcome":"","note":"","ack_id":"","value":"","reason":""}'
    )
    assert decode(encode(row)) == row
    with pytest.raises(FormatError):
        decode(b'{"at": "never"}')
