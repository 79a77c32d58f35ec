"""Rules on a record decide what they decide live: over restarts, changed handles, overlapping blocks and holes."""

from dataclasses import replace

from edge.backtest.record import Piece, Record, begun
from edge.backtest.run import run
from edge.rules.compiling import Rules
from edge.rules.derives import compile_derives
from edge.rules.engine import Engine
from edge.rules.places import Written
from sitekeeper.block import Block, Gap, GapCause
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CataloguePoint
from sitekeeper.faults import Faults, Place
from sitekeeper.model.clock import SECOND
from sitekeeper.model.quality import GOOD
from sitekeeper.model.sample import Sample
from tests.unit.edge.rules.worlds import compiled, event, rule, samples, thing

WALL = 1_000_000 * SECOND
GROUP = "t1/all"


def catalogue(*names: str) -> Catalogue:
    """Return a catalogue of points of the thing, whose handles are their places here."""
    points = tuple(CataloguePoint(f"t1/{name}", "t1", "bool", GROUP) for name in names)
    return Catalogue(site="s", devices=(CatalogueDevice("t1", "thing", ""),), points=points)


def block(boot: str, stream: str, number: int, mono0: int, wall: int = WALL, names: str = "new", **records) -> Block:
    """Return a block; `wall` is the wall time of the monotonic time 0 of that run."""
    return Block(site="s", epoch="e", stream=stream, sequence=number, boot=boot, catalogue=names, trusted=True,
                 t0=wall + mono0, mono0=mono0, **records)  # fmt: skip


def record() -> Record:
    """Return a record in which `a` was handle 1 of an old catalogue, beside a point that is gone."""
    known = {"old": catalogue("0ld", "a"), "new": catalogue("a", "b")}
    return Record(known.__getitem__, {point.id: point for point in thing().points.values()})


def told(rules, blocks):
    return [((at - WALL) / SECOND, v.kind) for at, v in run(record().pieces(blocks), rules).verdicts]


def test_overlapping_blocks_of_samples_and_events_are_one_stream():
    """An event is decided between the samples before and after it, whichever block came first."""
    rules = compiled(rule("within(on(ev, a), 1s)"), thing())
    blocks = [
        block("b1", "samples", 1, 0, samples=[Sample(0, 0, True, GOOD), Sample(0, 2 * SECOND, False, GOOD)]),
        block("b1", "events", 1, SECOND, events=[event("ev", SECOND), event("ev", 3 * SECOND)]),
        block("b1", "samples", 2, 9 * SECOND, samples=[Sample(1, 9 * SECOND, True, GOOD)]),
    ]
    assert told(rules, blocks) == [(1.0, "raise"), (2.0, "clear")]


def test_a_point_is_found_by_its_name_and_one_that_is_gone_is_named():
    """Handles of an older catalogue mean other points."""
    rules = compiled(rule("a"), thing())
    old = record()
    gone = [Sample(0, 1, True, GOOD), Sample(1, 5, True, GOOD)]
    found = run(old.pieces([block("b1", "samples", 1, 0, names="old", samples=gone)]), rules)
    assert [(v.at, v.kind) for _, v in found.verdicts] == [(5, "raise")]
    assert (old.gone, found.records) == ({"t1/0ld"}, 1)


def test_a_new_run_is_a_restart():
    """The delay goes on where it was, on another monotonic clock, once the input is heard again."""
    rules = compiled(rule("a", on_delay="5s"), thing())
    second = WALL + 100 * SECOND
    blocks = [
        block("b1", "samples", 1, 0, samples=[Sample(0, 0, True, GOOD), Sample(1, 3 * SECOND, True, GOOD)]),
        block("b2", "samples", 2, 0, second, samples=[Sample(0, SECOND, True, GOOD), Sample(1, 9 * SECOND, True, GOOD)])
    ]  # fmt: skip
    (raised,) = told(rules, blocks)
    assert raised == (103.0 - 1e-6, "raise")


def _quiet(second: int, **more) -> list[Block]:
    """Return a true `a` that is confirmed after 20 s, and a block that ends the record 20 s later."""
    return [
        block("b1", "samples", 1, 2 * SECOND, samples=[Sample(0, 0, True, GOOD)]),
        block("b1", "samples", second, 20 * SECOND, samples=[Sample(0, 20 * SECOND, True, GOOD)], **more),
        block("b1", "samples", second + 1, 40 * SECOND, samples=[Sample(1, 40 * SECOND, True, GOOD)]),
    ]


def test_a_hole_in_the_record_is_unknown_from_its_beginning():
    """What was in blocks that are missing may have been anything, as what could not be written; the delay stands."""
    rules = compiled(rule("a", on_delay="5s"), thing())
    behind = Gap(GROUP, WALL + 2 * SECOND, WALL + 20 * SECOND, GapCause.WRITER_BEHIND)
    assert told(rules, _quiet(2)) == [(5.0, "raise")]
    assert told(rules, _quiet(3)) == [(23.0, "raise")]
    assert told(rules, _quiet(2, gaps=[behind])) == [(23.0, "raise")]


def test_a_silence_is_no_hole():
    """The device's points turned bad in the record when rules saw it; before that they were good."""
    rules = compiled(rule("a", on_delay="5s"), thing())
    silent = Gap(GROUP, WALL + 2 * SECOND, WALL + 20 * SECOND, GapCause.SILENT)
    assert told(rules, _quiet(2, gaps=[silent])) == [(5.0, "raise")]


def test_what_is_told_late_of_the_past_does_not_undo_what_was_told_since():
    """After records were dropped the site tells what a point was then; it was heard again meanwhile."""
    rules = compiled(rule("a", off_delay="0s"), thing())
    blocks = [
        block("b1", "samples", 1, 0, samples=[Sample(0, 5 * SECOND, False, GOOD)]),
        block("b1", "samples", 2, 9 * SECOND, samples=[Sample(0, SECOND, True, GOOD), Sample(1, SECOND, True, GOOD)]),
    ]
    assert told(rules, blocks) == []


def test_a_run_lasts_as_long_as_its_last_block_says():
    """A timer that is over before the gateway ended has fired, even if nothing changed any more."""
    rules = compiled(rule("a", on_delay="5s"), thing())
    quiet = [block("b1", "samples", 1, 2 * SECOND, samples=[Sample(0, 0, True, GOOD)])]
    assert told(rules, quiet) == []
    assert told(rules, [*quiet, block("b1", "samples", 2, 9 * SECOND)]) == [(5.0, "raise")]


def test_a_look_at_the_end_of_a_record_begins_with_the_states_of_then():
    """What did not change since is known; a start of the gateway in between makes it unknown, as it was."""
    rules = compiled(rule("a and b", off_delay="0s"), thing())
    blocks = [
        block("b1", "samples", 1, 0, samples=[Sample(0, 0, True, GOOD), Sample(1, 1, False, GOOD)]),
        block("b1", "samples", 2, 20 * SECOND, samples=[Sample(1, 20 * SECOND, True, GOOD)]),
    ]
    found = run(begun(record().pieces(blocks), WALL + 9 * SECOND), rules)
    assert [((at - WALL) / SECOND, v.kind) for at, v in found.verdicts] == [(20.0, "raise")]
    restarted = [blocks[0], block("b2", "samples", 2, 20 * SECOND, samples=blocks[1].samples)]
    assert run(begun(record().pieces(restarted), WALL + 9 * SECOND), rules).verdicts == []
    assert run(begun(record().pieces(blocks), WALL + 21 * SECOND), rules).records == 0


def test_it_decides_what_was_decided_live():
    """The same records, fed to an engine as they came."""
    device = thing()
    levels = "[{priority: P3}, {priority: P1, when: b}]"
    rules = compiled(rule("held(a, 2s) or count(on(ev, f), 9s) >= 2", levels=levels), device)
    fed = [
        *samples(device, SECOND, a=True, b=False),
        event("ev", 2 * SECOND, f=True),
        *samples(device, 4 * SECOND, b=True),
        *samples(device, 5 * SECOND, a=None),
        *samples(device, 6 * SECOND, a=False),
    ]
    live = Engine(rules, state={}, as_of=None, now=SECOND).feed(fed, now=6 * SECOND + 1)
    again = run([Piece("b", WALL, fed[:2], 0), Piece("b", WALL, fed[2:], 0)], rules).verdicts
    assert [verdict for _, verdict in again] == live
    assert [at - verdict.at for at, verdict in again] == [WALL] * len(live)
    assert len(live) >= 2


def test_derived_points_that_the_record_lacks_are_computed():
    """They are fed between the samples they are made of."""
    device = thing()
    faults = Faults()
    made = compile_derives(
        {"t1/b": (device.points["b"], Written("held(a, 1s)", Place("s")))}, {"t1": device.points}, faults
    )
    assert faults.found == []
    fed = [*samples(device, SECOND, a=True), event("ev", 3 * SECOND), *samples(device, 4 * SECOND, a=True)]
    found = run([Piece("b", 0, fed, 0)], compiled(rule("b"), device), made)
    assert [(at, v.kind) for at, v in found.verdicts] == [(2 * SECOND, "raise")]


def test_of_a_window_its_records_are_counted_and_what_was_decided_before_its_end():
    """A piece is cut at both ends, and timers that fire after it are too late."""
    rules = compiled(rule("a", off_delay="5s"), thing())
    fed = [sample for at in range(1, 5) for sample in samples(thing(), at * SECOND, a=at < 3)]
    piece = Piece("b", WALL, fed, 99 * SECOND)

    def found(since, until):
        decided = run([piece], rules, window=(WALL + since * SECOND, WALL + until * SECOND))
        return [((at - WALL) / SECOND, v.kind) for at, v in decided.verdicts], decided.records

    assert found(0, 9) == ([(1.0, "raise"), (8.0, "clear")], 4)
    assert found(2, 8) == ([(1.0, "raise")], 3)
    assert found(2, 4) == ([(1.0, "raise")], 2)
    assert found(5, 9)[1] == 0


def test_rules_without_an_alarm_are_not_kept():
    """What a schedule does all day is no alarm, and is not compared."""
    fed = samples(thing(), SECOND, a=True)
    (plan,) = compiled(rule("a"), thing()).plans
    quiet = Rules(rules=(), plans=(replace(plan, rule=replace(plan.rule, alarm=False)),))
    found = run([Piece("b", 0, fed, 0)], quiet)
    assert (found.verdicts, found.records) == ([], 1)


def test_nothing_is_decided_about_nothing():
    """An empty record has no records to be counted."""
    found = run([], compiled(rule("a"), thing()))
    assert (found.verdicts, found.records) == ([], 0)
