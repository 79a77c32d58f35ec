"""One alarm that hides another, and what time gives back: the order of the moves, each durable with the rest."""

import pytest

from edge.alarm_moves import facts_of
from edge.alarms import AlarmBook
from edge.moves import Moves
from edge.rules.instance import Verdict
from sitekeeper.model.alarm import Cause, Transition, annunciates
from sitekeeper.model.clock import MINUTE
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import StorageError
from tests.unit.edge.pipeline_rig import Rig
from tests.unit.edge.rules.worlds import compiled, rule, thing

LEE = Actor("lee", "technician", "site")
HIDES = "{each: [self, any], rules: [R2], until: clear}"
UNTIL_RESET = HIDES.replace("until: clear", "until: reset")


def rig(suppress: str = HIDES, **more: str) -> Rig:
    """Return a device whose R1 (`a`) hides its R2 (`a or b`), without delays."""
    second = rule("a or b", off_delay="0s").replace("id: R1", "id: R2")
    return Rig(compiled(rule("a", off_delay="0s", suppress=suppress, **more) + second, thing())).settled()


def moved(rig: Rig) -> list[tuple[str, str, str, str]]:
    return [(move.rule, move.cause, move.source, move.target) for move in rig.store.moves()]


def of(rig: Rig, name: str) -> list[Transition]:
    return [move for move in rig.store.moves() if move.rule == name]


def test_of_one_moment_the_one_that_hides_comes_first_and_goes_last() -> None:
    """Both become true at once: the hidden one never rings. Both clear at once: it never comes into sight."""
    site = rig()
    site.scan(a=True)
    site.passes(2)
    site.scan(a=False)
    site.passes(2)
    assert moved(site) == [
        ("R1", "raise", "A", "B"), ("R2", "suppress", "A", "F"), ("R2", "raise", "F", "F"),
        ("R2", "clear", "F", "F"), ("R1", "clear", "B", "D"), ("R2", "unsuppress", "F", "A"),
    ]  # fmt: skip
    assert [annunciates(move) for move in of(site, "R2")] == [False] * 4
    assert {record.key: record for append in site.store.appended for record in append.alarms} == {
        record.key: record for record in site.book.records()
    }


def test_what_is_still_true_rings_when_nothing_hides_it() -> None:
    """The one that hides is over, the other condition is not: it is announced, under the occurrence of its raise."""
    site = rig()
    site.scan(a=True, b=True)
    site.passes(2)
    site.scan(a=False)
    site.passes(2)
    *_, raised, shown = of(site, "R2")
    assert (shown.cause, shown.target, shown.occurrence) == ("unsuppress", "B", raised.occurrence)
    assert annunciates(shown)


def test_until_the_reset_the_hidden_stay_hidden_and_claims_stand() -> None:
    """The clear ends nothing; the reset gives up the claims and shows what is still true, in one transaction."""
    site = rig(UNTIL_RESET, latch="true")
    told: list[Verdict] = []
    site.pipeline.commands = told.extend
    site.scan(a=True, b=True)
    site.passes(2)
    site.scan(a=False)
    site.passes(2)
    assert [site.book.record(f"hq/t1/{name}").state for name in ("R1", "R2")] == ["LU", "F"]
    occurrence = site.book.record("hq/t1/R1").occurrence
    site.pipeline.moved(site.book.ack(occurrence, LEE, "", "", site.moment()), b"ack")
    told.clear()
    reset = site.book.reset(occurrence, LEE, "normal", site.moment(), condition_false=True, reset_allowed=True)
    site.pipeline.moved(reset, b"reset")
    assert [(m.rule, m.cause, m.target) for m in site.store.moves()[-2:]] == [
        ("R1", "reset", "A"),
        ("R2", "unsuppress", "B"),
    ]
    last = site.store.appended[-1]
    assert (last.audit, {record.key for record in last.alarms}) == ([b"reset"], {"hq/t1/R1", "hq/t1/R2"})
    assert [(v.rule, v.kind, v.until) for v in told] == [("R1", "clear", "clear")]


def test_a_shelf_that_is_over_is_a_move_of_its_own_in_time() -> None:
    """Thirty minutes after the act, to the tick that the pipeline asked for, and durable."""
    site = rig()
    site.scan(b=True)
    site.passes(2)
    start = site.clock.monotonic()
    move = site.book.shelve("hq/t1/R2", 30 * MINUTE, LEE, "painting", site.moment(), site.pipeline.sequence())
    site.pipeline.moved(move, b"shelve")
    site.passes(30 * 60 - 1)
    assert site.book.record("hq/t1/R2").state == "E"
    site.passes(2)
    over = of(site, "R2")[-1]
    assert (over.cause, over.target, over.mono - start) == ("shelf_over", "B", 30 * MINUTE)
    assert [r.state for append in site.store.appended for r in append.alarms if r.key == over.key][-1] == "B"


def test_a_restart_drops_what_nothing_hides_any_more() -> None:
    """The rule that hid it is gone: at the first tick the alarm is shown again, once."""
    site = rig()
    fresh = Rig(site.rules)
    fresh.book.cover("hq/t1/R2", Cause.SUPPRESS, "t9/R9", fresh.moment(), 1)
    fresh.pipeline.tick()
    fresh.pipeline.tick()
    assert moved(fresh) == [("R2", "unsuppress", "F", "A")]


def test_a_restart_hides_what_the_rules_that_stand_hide() -> None:
    """A book that was lost, or a rule that hides more than before: what stands now counts."""
    site = rig()
    site.scan(a=True)
    site.passes(2)
    book = AlarmBook("hq", "e2", (), facts_of(site.rules.plans), site.moment())
    blocks, records = Moves(book, site.recorder).taken_up(site.engine.standing(), site.moment())
    assert ([block.count for block in blocks], [(r.key, r.state, r.veils) for r in records]) == (
        [1], [("hq/t1/R2", "F", ("t1/R1",))],
    )  # fmt: skip


def test_duress_during_a_drill_on_its_device_is_real() -> None:
    """What else is raised on the device is part of the drill; what only security may know is not."""
    duress = rule("a", audience="security").replace("id: R1", "id: R2")
    site = Rig(compiled(rule("a") + duress, thing())).settled()
    site.book.drilled = frozenset({"t1"})
    site.scan(a=True)
    site.passes(1)
    assert {move.rule: move.mode for move in site.store.moves()} == {"R1": "drill", "R2": ""}


def test_the_end_of_a_drill_moves_nothing_that_cannot_be_stored() -> None:
    """Refused while the writer is behind, with the alarm still of the drill; asked again, it rings."""
    site = rig()
    site.book.drilled = frozenset({"t1"})
    site.scan(a=True)
    site.passes(2)
    site.book.drilled = frozenset()
    site.store.events_behind = True
    before = site.book.records()
    with pytest.raises(StorageError):
        site.pipeline.serious()
    assert site.book.records() == before
    site.store.events_behind = False
    site.pipeline.serious()
    last = of(site, "R1")[-1]
    assert (last.cause, last.mode, annunciates(last)) == ("reannunciate", "", True)
