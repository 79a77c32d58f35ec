"""The alarm book and the machine under it: every state can be reached and left, and who may not do what is told why."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.alarms import AlarmBook
from edge.rules.instance import Verdict
from sitekeeper.model.alarm import HELD_BACK, AlarmState, Cause, Transition, fold, next_state
from sitekeeper.model.clock import Moment
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import NotFound, Refused

ON_SITE = Actor("lee", "technician", "site")
OFFICE = Actor("desk", "office", "office")
NOW = Moment(mono=5, wall=1_000, trusted=True)
PERSONS = {Cause.ACK, Cause.UNACK, Cause.RESET}


def verdict(kind: str, *, priority: str = "P1", latched: bool = True, rule: str = "L01", at: int = 7) -> Verdict:
    return Verdict(
        rule=rule, device="lift-1", kind=kind, at=at, priority=priority, values={"floor": (7, 0)},
        limits={"stuck_for": "30s"}, detail="stuck", latched=latched, revision="r1", mode="",
    )  # fmt: skip


def raised(**more) -> tuple[AlarmBook, str]:
    book = AlarmBook("site", "e1")
    transition = book.apply(verdict("raise", **more), 900, 12)
    assert transition is not None
    return book, transition.occurrence


def moves(latched: bool) -> dict[AlarmState, dict[Cause, AlarmState]]:
    """Return the machine as a graph."""
    graph: dict[AlarmState, dict[Cause, AlarmState]] = {state: {} for state in AlarmState}
    for state, cause in itertools.product(AlarmState, Cause):
        try:
            graph[state][cause] = next_state(state, cause, latched=latched)
        except Refused:
            continue
    return graph


def reached(latched: bool) -> set[AlarmState]:
    """Return the states that can be reached from normal. A verdict never re-annunciates an alarm that is normal."""
    graph, found, ahead = moves(latched), {AlarmState.NORMAL}, [AlarmState.NORMAL]
    while ahead:
        for target in graph[ahead.pop()].values():
            if target not in found:
                found.add(target)
                ahead.append(target)
    return found


@pytest.mark.parametrize("latched", [False, True])
def test_every_state_of_its_kind_can_be_reached(latched):
    """A latched alarm knows A, B, C, LU, LA; another one A, B, C, D. Together nothing is unreachable."""
    plain = {AlarmState.NORMAL, AlarmState.UNACKED, AlarmState.ACKED}
    held = {AlarmState.LATCHED_UNACKED, AlarmState.LATCHED_ACKED}
    assert reached(latched) == plain | (held if latched else {AlarmState.RETURNED})
    assert reached(False) | reached(True) == set(AlarmState) - HELD_BACK


@pytest.mark.parametrize("latched", [False, True])
def test_no_state_is_dead(latched):
    """From every state that can be reached, a way leads back to normal."""
    graph = moves(latched)
    for start in reached(latched):
        seen, ahead = {start}, [start]
        while ahead:
            for target in graph[ahead.pop()].values():
                if target not in seen:
                    seen.add(target)
                    ahead.append(target)
        assert AlarmState.NORMAL in seen, start


def test_an_occurrence_is_named_by_the_block_that_raised_it():
    """Key, epoch and sequence make the occurrence; the transition carries why and with which values."""
    book, occurrence = raised()
    assert occurrence == "site/lift-1/L01@e1-12"
    record = book.record("site/lift-1/L01")
    assert record is not None
    assert (record.state, record.raised, record.priority) == ("B", 900, "P1")


def test_a_latched_life():
    """B, ack, C, clear, LA, reset on site, A: the whole of S1 as moves, and the next raise is another occurrence."""
    book, occurrence = raised()
    assert book.ack(occurrence, OFFICE, "coming", "ack-7", NOW).target == "C"
    cleared = book.apply(verdict("clear"), 950, 13)
    assert cleared is not None
    assert (cleared.source, cleared.target, cleared.occurrence) == ("C", "LA", occurrence)
    reset = book.reset(occurrence, ON_SITE, "released, 1 person", NOW, condition_false=True, reset_allowed=True)
    assert (reset.target, reset.note, reset.detail) == ("A", "released, 1 person", "released, 1 person")
    again = book.apply(verdict("raise"), 990, 20)
    assert again is not None
    assert again.occurrence.endswith("@e1-20")


def test_a_latched_alarm_whose_condition_comes_back_is_the_same_occurrence():
    """LU and LA go back to B, annunciated again."""
    for acked in (False, True):
        book, occurrence = raised()
        if acked:
            book.ack(occurrence, OFFICE, "", "", NOW)
        book.apply(verdict("clear"), 950, 13)
        back = book.apply(verdict("raise"), 960, 14)
        assert back is not None
        assert (back.occurrence, back.cause, back.target) == (occurrence, "reannunciate", "B")


def test_an_alarm_that_returned_unacknowledged_and_comes_back_is_a_new_occurrence():
    """D to B is a raise with a new name; an acknowledgement of the old one is refused as superseded."""
    book, old = raised(latched=False)
    book.apply(verdict("clear", latched=False), 950, 13)
    new = book.apply(verdict("raise", latched=False), 960, 14)
    assert new is not None
    assert new.occurrence != old
    with pytest.raises(Refused) as refused:
        book.ack(old, OFFICE, "", "ack-1", NOW)
    assert refused.value.reason == "superseded"


def test_a_level_that_rises_is_annunciated_again_and_one_that_falls_is_only_recorded():
    """P3 to P2 takes an acknowledged alarm back to B; P2 to P3 leaves its state alone."""
    book, occurrence = raised(priority="P3")
    book.ack(occurrence, OFFICE, "", "", NOW)
    up = book.apply(verdict("level", priority="P2"), 910, 13)
    assert up is not None
    assert (up.cause, up.target, up.priority) == ("reannunciate", "B", "P2")
    down = book.apply(verdict("level", priority="P3"), 920, 14)
    assert down is not None
    assert (down.cause, down.target, down.priority) == ("level", "B", "P3")


@pytest.mark.parametrize("kind", ["clear", "level", "note"])
def test_a_verdict_about_an_alarm_that_is_not_active_moves_nothing(kind):
    """A clear, a level or a note without a raise is no transition."""
    book = AlarmBook("site", "e1")
    assert book.apply(verdict(kind), 1, 1) is None
    assert book.records() == ()


def test_a_raise_of_an_active_alarm_moves_nothing():
    """After a change of rules the engine may raise what the book has already."""
    book, _ = raised()
    assert book.apply(verdict("raise"), 990, 20) is None


def refusal(book: AlarmBook, occurrence: str, actor: Actor = ON_SITE, **more: bool) -> str:
    given = {"condition_false": True, "reset_allowed": True, **more}
    with pytest.raises(Refused) as refused:
        book.reset(occurrence, actor, "released", NOW, **given)
    return refused.value.reason


def test_why_a_reset_is_refused():
    """Each obstacle has its own word; the office's own reset never passes."""
    book, occurrence = raised()
    assert refusal(book, occurrence) == "condition-still-true"
    book.apply(verdict("clear"), 950, 13)
    assert refusal(book, occurrence) == "acknowledge-first"
    book.ack(occurrence, ON_SITE, "", "", NOW)
    assert refusal(book, occurrence, OFFICE) == "site-only"
    assert refusal(book, occurrence, condition_false=False) == "condition-still-true"
    assert refusal(book, occurrence, reset_allowed=False) == "reset-not-yet"
    assert book.reset(occurrence, ON_SITE, "x", NOW, condition_false=True, reset_allowed=True).target == "A"
    assert refusal(book, occurrence) == "not-active"


def test_the_first_acknowledgement_wins():
    """A second one is refused, and the record keeps the first name until it is taken back."""
    book, occurrence = raised()
    book.ack(occurrence, OFFICE, "", "ack-1", NOW)
    with pytest.raises(Refused) as refused:
        book.ack(occurrence, ON_SITE, "", "", NOW)
    assert refused.value.reason == "already-acknowledged"
    assert book.records()[0].acked_by == "desk"
    assert book.unack(occurrence, ON_SITE, "wrong alarm", NOW).target == "B"
    assert book.records()[0].acked_by == ""


def test_an_alarm_that_does_not_exist_has_near_misses():
    """A wrong name is answered with alarms of the same device or rule."""
    book, occurrence = raised()
    with pytest.raises(NotFound) as missing:
        book.ack("site/lift-2/L01@e1-12", OFFICE, "", "", NOW)
    assert missing.value.near == (occurrence,)


@given(
    st.lists(st.sampled_from(["raise", "clear", "level-P2", "level-P1", "ack", "unack", "reset"]), max_size=25),
    st.booleans(),
)
def test_the_book_is_the_fold_of_its_transitions(steps, latched):
    """Whatever happens, the records are what the transitions say, and each begins where the last one ended."""
    book, made = AlarmBook("site", "e1"), []
    for number, step in enumerate(steps, 1):
        record = book.record("site/lift-1/L01")
        occurrence = record.occurrence if record is not None else "site/lift-1/L01@e1-0"
        kind, _, priority = step.partition("-")
        try:
            if kind in ("raise", "clear", "level"):
                made.append(book.apply(verdict(kind, priority=priority or "P3", latched=latched), number, number))
            elif kind == "reset":
                made.append(book.reset(occurrence, ON_SITE, "", NOW, condition_false=True, reset_allowed=True))
            elif kind == "ack":
                made.append(book.ack(occurrence, OFFICE, "", "", NOW))
            else:
                made.append(book.unack(occurrence, OFFICE, "", NOW))
        except (Refused, NotFound):
            continue
    transitions: list[Transition] = [move for move in made if move is not None]
    record = None
    for move in transitions:
        assert move.source == (AlarmState.NORMAL if record is None else record.state)
        assert (move.actor is not None) == (move.cause in PERSONS)
        record = fold(record, move)
    assert record == book.record("site/lift-1/L01")
