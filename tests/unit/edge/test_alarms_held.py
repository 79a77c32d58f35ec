"""Alarms that are held back: shelves with limits, other alarms, permits, and that the record tells it all."""

import random
from collections.abc import Callable

import pytest

from edge.alarm_moves import PERMIT, RuleFacts
from edge.alarms import AlarmBook
from edge.rules.instance import Verdict
from sitekeeper.model.alarm import HELD_BACK, AlarmRecord, Cause, Transition, annunciates, fold
from sitekeeper.model.clock import DAY, HOUR, MINUTE, SECOND, Micros, Moment
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import NotFound, Refused

LEE = Actor("lee", "technician", "site")
DESK = Actor("desk", "operator", "office")
START = 1_800_000_000 * SECOND
RULES = {
    "lift-1/L01": RuleFacts(priority="P1", latched=True, life_safety=True),
    "lift-1/L08": RuleFacts(priority="P1", latched=True),
    "lift-1/L21": RuleFacts(priority="P3", realarm=4 * HOUR),
    "lift-1/L25": RuleFacts(priority="P3"),
}
L01, L08, L21, L25 = (f"site/{name}" for name in RULES)


def at(mono: Micros, *, wall: Micros | None = None) -> Moment:
    return Moment(mono=mono, wall=START + mono if wall is None else wall)


def verdict(
    kind: str, rule: str = "L21", *, priority: str = "P3", latched: bool = False, mono: int = 1, **more
) -> Verdict:
    return Verdict(
        rule=rule, device=more.pop("device", "lift-1"), kind=kind, at=mono, priority=priority, values={}, limits={},
        detail="", latched=latched, revision="r", mode="", **more,
    )  # fmt: skip


def opened(records: tuple[AlarmRecord, ...] = (), start: Moment | None = None) -> AlarmBook:
    return AlarmBook("site", "e1", records, RULES, start or at(0))


def refusal(move: Callable[[], object]) -> str:
    with pytest.raises(Refused) as refused:
        move()
    return refused.value.reason


def test_life_safety_is_never_shelved_and_never_out_of_service():
    """The book itself refuses, whoever asks and whether or not the alarm stands."""
    book = opened()
    for _ in range(2):
        assert refusal(lambda: book.shelve(L01, MINUTE, LEE, "noisy", at(1), 1)) == "protects-life"
        assert refusal(lambda: book.out(L01, "P-7", "Otis", START + DAY, LEE, "", at(1), 1)) == "protects-life"
        book.apply(verdict("raise", "L01", priority="P1", latched=True), START, 1)


@pytest.mark.parametrize(("key", "most"), [(L08, HOUR), (L21, 8 * HOUR)])
def test_a_shelf_has_a_limit_by_priority(key: str, most: Micros):
    """One hour for what is urgent, eight for the rest; at the limit it is taken, a moment more is refused."""
    book = opened()
    assert refusal(lambda: book.shelve(key, most + 1, LEE, "painting", at(0), 1)) == "too-long"
    assert refusal(lambda: book.shelve(key, 0, LEE, "painting", at(0), 1)) == "too-short"
    assert refusal(lambda: book.shelve(key, most, LEE, "  ", at(0), 1)) == "reason-needed"
    move = book.shelve(key, most, LEE, "painting", at(0), 1)
    assert (move.target, move.base, move.until, move.occurrence) == ("E", "A", START + most, f"{key}@e1-1")


def test_a_shelved_alarm_comes_back_by_itself_and_rings():
    """Raised on the shelf it is recorded and silent; thirty minutes to the microsecond after the act it rings."""
    book = opened()
    book.shelve(L21, 30 * MINUTE, LEE, "painting", at(0), 1)
    raised = book.apply(verdict("raise"), START + 1, 2)
    assert raised is not None
    assert (raised.source, raised.target, raised.base, annunciates(raised)) == ("E", "E", "B", False)
    assert book.next_deadline() == 30 * MINUTE
    assert book.due(30 * MINUTE - 1) == []
    assert book.due(30 * MINUTE) == [(L21, Cause.SHELF_OVER)]
    over = book.expire(L21, Cause.SHELF_OVER, at(30 * MINUTE))
    assert (over.source, over.target, over.base, annunciates(over)) == ("E", "B", None, True)
    assert book.next_deadline() is None


def test_a_shelf_is_prolonged_from_now_and_ended_by_hand():
    """A second act on the shelf counts anew; taken off it, an acknowledged alarm rings again."""
    book = opened()
    raised = book.apply(verdict("raise"), START, 1)
    assert raised is not None
    book.ack(raised.occurrence, LEE, "", "", at(1))
    book.shelve(L21, HOUR, LEE, "painting", at(0), 2)
    book.shelve(L21, HOUR, LEE, "still painting", at(50 * MINUTE), 3)
    assert book.next_deadline() == 110 * MINUTE
    assert refusal(lambda: book.ack(raised.occurrence, LEE, "", "", at(51 * MINUTE))) == "not-shown"
    off = book.unshelve(L21, DESK, "", at(52 * MINUTE))
    assert (off.target, off.occurrence, annunciates(off)) == ("B", raised.occurrence, True)
    assert book.records()[0].acked_by == ""
    assert refusal(lambda: book.unshelve(L21, DESK, "", at(53 * MINUTE))) == "not-shelved"


def test_a_clock_set_back_prolongs_no_shelf():
    """In memory the monotonic clock counts; after a restart with a clock years back it is the limit at most."""
    book = opened()
    book.shelve(L21, 2 * HOUR, LEE, "painting", at(0), 1)
    book.apply(verdict("raise", mono=HOUR), START - 900 * DAY, 2)
    assert book.next_deadline() == 2 * HOUR
    again = opened(book.records(), at(5, wall=START - 900 * DAY))
    assert again.next_deadline() == 5 + 8 * HOUR
    assert opened(book.records(), at(5, wall=START + HOUR)).next_deadline() == 5 + HOUR
    assert opened(book.records(), at(5, wall=START + 9 * HOUR)).due(5) == [(L21, Cause.SHELF_OVER)]


def test_a_priority_that_rises_shortens_the_shelf():
    """Eight hours were asked for a normal fault; once it is urgent, one hour is left."""
    book = opened()
    book.apply(verdict("raise"), START, 1)
    book.shelve(L21, 8 * HOUR, LEE, "painting", at(0), 2)
    book.apply(verdict("level", priority="P2", mono=HOUR), START + HOUR, 3)
    assert book.next_deadline() == 2 * HOUR


def test_a_rule_that_became_life_safety_leaves_its_shelf_at_the_start():
    """What was shelved under yesterday's rules does not stay so under today's."""
    book = opened()
    book.shelve(L21, 2 * HOUR, LEE, "painting", at(0), 1)
    rules = RULES | {"lift-1/L21": RuleFacts(priority="P1", life_safety=True)}
    assert AlarmBook("site", "e1", book.records(), rules, at(7)).due(7) == [(L21, Cause.SHELF_OVER)]


def test_out_of_service_needs_a_permit_somebody_on_site_and_an_end():
    """Number, owner, at most thirty days, on site; it comes back by itself and rings if the condition is true."""
    book = opened()

    def out(permit: str = "PTW-17", owner: str = "Otis", until: Micros = START + DAY, actor: Actor = LEE) -> Transition:
        return book.out(L21, permit, owner, until, actor, "rope change", at(0), 1)

    assert refusal(lambda: out(actor=DESK)) == "site-only"
    assert refusal(lambda: out(permit=" ")) == "permit-needed"
    assert refusal(lambda: out(owner="")) == "permit-needed"
    assert refusal(lambda: out(until=START + PERMIT + 1)) == "too-long"
    assert refusal(lambda: out(until=START)) == "too-short"
    assert refusal(lambda: book.back(L21, LEE, "", at(0))) == "not-active"
    assert out().target == "G"
    record = book.record(L21)
    assert record is not None
    assert record.permit is not None
    assert (record.permit.permit, record.permit.by, record.permit.note) == ("PTW-17", "Otis", "rope change")
    book.apply(verdict("raise"), START, 2)
    assert refusal(lambda: book.back(L21, DESK, "", at(1))) == "site-only"
    assert book.due(DAY) == [(L21, Cause.PERMIT_OVER)]
    over = book.expire(L21, Cause.PERMIT_OVER, at(DAY))
    assert (over.target, annunciates(over)) == ("B", True)


def test_one_alarm_suppresses_others_and_gives_them_back():
    """Children never raised are counted too; those of two parents stay under the second until it ends as well."""
    book = opened()
    parent = verdict("raise", "GW20", device="link-1", priority="P2", veils=(("lift-1", "L21"), ("lift-1", "L25")))
    other = verdict("raise", "A13", device="panel", priority="P1", veils=(("lift-1", "L21"), ("door-9", "A01")))
    for each in (parent, other):
        for key, cause in book.veils(each):
            book.cover(key, cause, f"{each.device}/{each.rule}", at(1), 1)
    assert [(r.key, r.state, r.veils) for r in book.records()] == [
        (L21, "F", ("link-1/GW20", "panel/A13")), (L25, "F", ("link-1/GW20",)),
    ]  # fmt: skip
    assert (book.veils(parent), book.veils(other)) == ([], [])  # a rise of its level suppresses nothing twice
    assert book.apply(verdict("raise"), START, 2) is not None
    over = verdict("clear", "GW20", device="link-1", priority="P2", veils=parent.veils)
    moves = [book.cover(key, cause, "link-1/GW20", at(2), 3) for key, cause in book.veils(over)]
    assert [(m.key, m.source, m.target, annunciates(m)) for m in moves] == [
        (L21, "F", "F", False),
        (L25, "F", "A", False),
    ]
    last = [book.cover(key, cause, "panel/A13", at(2), 3) for key, cause in book.unveiled("panel/A13")]
    assert [(m.target, annunciates(m)) for m in last] == [("B", True)]


def test_what_lasts_until_a_reset_outlives_its_clear():
    """The clear of a rule with `until: reset` ends nothing."""
    book = opened()
    veils = (("lift-1", "L21"),)
    for key, cause in book.veils(verdict("raise", "A13", device="panel", veils=veils, until="reset")):
        book.cover(key, cause, "panel/A13", at(1), 1)
    assert book.veils(verdict("clear", "A13", device="panel", veils=veils, until="reset")) == []
    assert [key for key, _ in book.unveiled("panel/A13")] == [L21]


def test_after_a_restart_only_what_stands_suppresses():
    """A veil whose rule is gone, or no longer names the alarm, is dropped; the others stay."""
    book = opened()
    for by in ("link-1/GW20", "panel/A13"):
        book.cover(L21, Cause.SUPPRESS, by, at(1), 1)
    stands = verdict("raise", "GW20", device="link-1", veils=(("lift-1", "L21"),))
    assert book.stale([stands]) == [(L21, Cause.UNSUPPRESS, "panel/A13")]
    assert [by for _, _, by in book.stale([])] == ["link-1/GW20", "panel/A13"]


def test_an_old_acknowledgement_rings_again():
    """`realarm`: four hours after the acknowledgement; a comment does not put it off; a restart keeps the time."""
    book = opened()
    raised = book.apply(verdict("raise"), START, 1)
    assert raised is not None
    book.ack(raised.occurrence, DESK, "", "k", at(HOUR))
    assert opened(book.records(), at(9, wall=START + 2 * HOUR)).next_deadline() == 9 + 3 * HOUR
    book.comment(L21, LEE, "part ordered", at(2 * HOUR))
    assert book.next_deadline() == 5 * HOUR
    again = book.expire(L21, Cause.REALARM, at(5 * HOUR))
    assert (again.target, annunciates(again), book.next_deadline()) == ("B", True, None)


def test_a_comment_changes_nothing_else():
    """The note is in the move; what was never raised has no story to write into."""
    book = opened()
    assert refusal(lambda: book.comment(L21, LEE, "hm", at(1))) == "not-active"
    book.apply(verdict("raise"), START, 1)
    assert refusal(lambda: book.comment(L21, LEE, " ", at(1))) == "empty"
    move = book.comment(L21, DESK, "part ordered", at(1))
    assert (move.source, move.target, move.note, annunciates(move)) == ("B", "B", "part ordered", False)
    with pytest.raises(NotFound) as missing:
        book.comment("site/lift-9/L21", LEE, "hm", at(1))
    assert missing.value.near


def step(book: AlarmBook, dice: random.Random, number: int) -> list[Transition]:
    """Make one move of any kind; nothing if there is no such move now."""
    now, key = at(number * 40 * MINUTE), dice.choice([L08, L21, L25])
    rule = key.rpartition("/")[2]
    record = book.record(key)
    occurrence = record.occurrence if record else f"{key}@e1-0"
    by = dice.choice(["link-1/GW20", "panel/A13"])
    priority, through = dice.choice([("P1", True), ("P2", False), ("P3", False)])
    kind = dice.choice(["raise", "clear", "level"])
    decided = verdict(kind, rule, priority=priority, latched=rule == "L08", mono=now.mono, through=through)
    moves: list[Callable[[], Transition | None]] = [
        lambda: book.apply(decided, now.wall, number),
        lambda: book.apply(decided, now.wall, number),
        lambda: book.ack(occurrence, DESK, "", "", now),
        lambda: book.unack(occurrence, LEE, "", now),
        lambda: book.reset(occurrence, LEE, "done", now, condition_false=True, reset_allowed=True),
        lambda: book.cover(key, Cause.SUPPRESS, by, now, number),
        lambda: book.cover(key, Cause.UNSUPPRESS, by, now, number),
        lambda: book.shelve(key, dice.choice([HOUR, 8 * HOUR]), LEE, "why", now, number),
        lambda: book.unshelve(key, LEE, "", now),
        lambda: book.out(key, "P-7", "Otis", now.wall + DAY, LEE, "", now, number),
        lambda: book.back(key, LEE, "", now),
        lambda: book.comment(key, DESK, "hm", now),
    ]  # fmt: skip
    made = [book.expire(*due, now) for due in book.due(now.mono)]
    try:
        move = dice.choice(moves)()
    except (Refused, NotFound):
        return made
    return made if move is None else [*made, move]


def test_ten_thousand_histories_fold():
    """Whatever happens: the records are the fold of the transitions alone, each begins where the last one ended.

    Nothing that is held back is annunciated, and what comes into sight with a true condition always is.
    """
    rings = 0
    for seed in range(10_000):
        dice, book = random.Random(seed), opened()
        folded: dict[str, AlarmRecord] = {}
        for number in range(1, 11):
            for move in step(book, dice, number):
                before = folded.get(move.key)
                assert move.source == ("A" if before is None else before.state)
                assert not (annunciates(move) and move.target in HELD_BACK)
                if move.source in HELD_BACK and move.standing in ("B", "C") and move.target not in HELD_BACK:
                    assert annunciates(move), move
                    rings += 1
                folded[move.key] = fold(before, move)
        assert tuple(folded[key] for key in sorted(folded)) == book.records()
    assert rings > 500
