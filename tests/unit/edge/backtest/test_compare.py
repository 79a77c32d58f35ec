"""What a change of rules would have changed, and which limits it breaks."""

import pytest

from edge.backtest.compare import Span, compare, of_transitions, of_verdicts
from edge.backtest.gates import Gates, judge
from edge.rules.instance import Verdict
from sitekeeper.model.alarm import AlarmState, Cause, Transition
from sitekeeper.model.clock import DAY, HOUR, SECOND

A, B, C, D, E, F = (AlarmState(letter) for letter in "ABCDEF")
DAYS = 2


def spans(*times: tuple[float, float | None], priority="P2", acked=False):
    """Return alarms of one rule; times are seconds."""
    every = [Span(round(s * SECOND), None if e is None else round(e * SECOND), priority, acked) for s, e in times]
    return {"d1/R1": every}


def kinds(old, new, since=0):
    result = compare(old, new, since * SECOND, DAYS * DAY, 1)
    return [difference.kind for difference in result.differences]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([(100, 200)], [(100, 200)], []),
        ([], [(100, 200)], ["added"]),
        ([(100, 200)], [], ["removed"]),
        ([(100, 200)], [(100, 211)], ["longer"]),
        ([(100, 200)], [(100, 210)], []),
        ([(100, 300)], [(100, 319)], []),
        ([(100, 200)], [(100, 150)], ["shorter"]),
        ([(100, 200)], [(101, 200)], []),
        ([(100, 200)], [(101.1, 200)], ["later"]),
        ([(100, 200)], [(95, 200)], ["earlier"]),
        ([(100, 110)], [(160, 170)], ["later"]),
        ([(100, 110)], [(160.1, 170)], ["removed", "added"]),
        ([(100, 500)], [(100, 200), (300, 500)], ["shorter", "added"]),
        ([(100, None)], [(100, None)], []),
        ([(100, None)], [(100, 200)], ["shorter"]),
        ([(100, 110), (130, 140)], [(128, 140)], ["removed", "earlier"]),
    ],
)
def test_two_alarms_are_one_if_they_overlap_or_begin_within_a_minute(old, new, expected):
    """Lengths count beyond 10 s and a tenth, beginnings beyond a second."""
    assert kinds(spans(*old), spans(*new)) == expected


def test_another_priority_is_a_difference():
    """And nothing else about that alarm is."""
    assert kinds(spans((100, 200)), spans((100, 200), priority="P1")) == ["priority"]


def test_what_stood_before_the_time_is_carried_and_not_judged():
    """It was decided by what is not looked at."""
    result = compare(spans((100, 900)), spans((50, 900)), 500 * SECOND, DAY, 1)
    assert (list(result.differences), result.carried, result.rules["R1"].new) == ([], 1, 0)


@pytest.mark.parametrize(
    ("old", "new", "expected", "carried"),
    [
        ([(100, 900)], [], ["removed"], 0),
        ([(100, 900)], [(100, 400)], [], 1),
        ([(100, 499)], [], [], 0),
        ([], [(100, 900)], [], 1),
        ([(490, 900)], [(510, 900)], ["later"], 0),
        ([(510, 900)], [(490, 900)], ["earlier"], 0),
        ([(100, 900)], [(600, 900)], ["shorter", "later"], 0),
        ([(100, 900)], [(100, 550), (600, 900)], ["added"], 1),
        ([(20, 900)], [], [], 1),
        ([(20, 900)], [(600, 900)], [], 1),
    ],
)
def test_pairs_are_made_before_it_is_asked_who_is_judged(old, new, expected, carried):
    """What shifts over the edge is neither added nor removed; of what began before rules saw it nothing is known."""
    result = compare(spans(*old), spans(*new), 500 * SECOND, DAY, 1, 50 * SECOND)
    assert ([difference.kind for difference in result.differences], result.carried) == (expected, carried)
    assert result.rules["R1"].new == sum(kind in {"added", "later", "earlier"} for kind in expected)


def test_nuisances_are_short_ones_that_nobody_acknowledged_and_chatter():
    """Three raises within a minute are chatter however long each was."""
    short = compare({}, spans((100, 130), (5_000, 5_090)), 0, DAYS * DAY, 1)
    assert short.rules["R1"].nuisance_new == 1 / DAYS
    acked = compare({}, spans((100, 130), acked=True), 0, DAYS * DAY, 1)
    assert acked.rules["R1"].nuisance_new == 0
    again = compare(spans((100, 130), acked=True), spans((100, 130)), 0, DAYS * DAY, 1)
    assert (again.rules["R1"].nuisance_old, again.rules["R1"].nuisance_new) == (0, 0)
    chatter = compare(spans((0, 70), (30, 100), (60, 125), (500, 600)), {}, 0, DAYS * DAY, 1)
    assert chatter.rules["R1"].nuisance_old == 3 / DAYS


def _move(
    at: int,
    source: AlarmState,
    target: AlarmState,
    cause: Cause,
    base: AlarmState | None = None,
    priority="P2",
    revision="r",
):
    return Transition(
        occurrence="s/d1/R1@e-1", key="s/d1/R1", rule="R1", source=source, target=target, cause=cause,
        priority=priority, at=at * SECOND, mono=at, latched=False, base=base, revision=revision,
    )  # fmt: skip


def test_a_recorded_alarm_is_the_time_of_its_condition_whatever_people_do():
    """Acknowledged, shelved and suppressed meanwhile, it is one alarm from raise to clear, at its worst priority."""
    moves = [
        _move(10, A, B, Cause.RAISE),
        _move(20, B, E, Cause.SHELVE, base=B),
        _move(30, E, E, Cause.LEVEL, base=B, priority="P1"),
        _move(40, E, E, Cause.CLEAR, base=D),
        _move(50, E, F, Cause.SUPPRESS, base=D),
        _move(60, F, F, Cause.RAISE, base=B, priority="P3"),
        _move(70, F, C, Cause.ACK, priority="P3", revision=""),
    ]
    assert of_transitions(moves) == {
        "d1/R1": [Span(10 * SECOND, 40 * SECOND, "P1"), Span(60 * SECOND, None, "P3", acked=True)]
    }


def test_of_the_record_only_what_rules_decided_counts():
    """What the gateway watches of itself has no rule's revision; an alarm without its beginning stood before."""
    assert of_transitions([_move(10, A, B, Cause.RAISE, revision="")]) == {}
    assert of_transitions([_move(10, B, B, Cause.LEVEL), _move(20, C, A, Cause.CLEAR)]) == {
        "d1/R1": [Span(0, 20 * SECOND, "P2")]
    }


def test_decided_alarms_are_read_from_verdicts():
    """Rules that only write are none."""

    def verdict(kind, priority="P2", *, alarm=True):
        return Verdict("R1", "d1", kind, 0, priority, {}, {}, "", False, "", "", (), alarm)

    told = [(10, verdict("raise")), (15, verdict("note")), (20, verdict("level", "P1")), (30, verdict("clear"))]
    assert of_verdicts(told) == {"d1/R1": [Span(10, 30, "P1")]}
    assert of_verdicts([(10, verdict("raise", alarm=False))]) == {}


@pytest.mark.parametrize(
    ("old", "new", "gates", "broken"),
    [
        ([(100, 200)], [(100, 200)], {}, []),
        ([(100, 200)], [], {}, ["removed"]),
        ([(100, 200)], [], {"removed": 1}, []),
        ([(100, 200)], [(102, 200)], {}, ["later"]),
        ([(100, 200)], [(102, 200)], {"later": 2 * SECOND}, []),
        ([], [(n * 200, n * 200 + 9) for n in range(7)], {}, ["nuisance_per_day"]),
        ([], [(n * 200, n * 200 + 9) for n in range(6)], {}, []),
        ([], [(100, 200)], {}, []),
    ],
)
def test_a_gate_that_is_not_kept_is_named(old, new, gates, broken):
    """Each of them on its own, exactly at its limit and beyond."""
    result = compare(spans(*old), spans(*new), 0, DAYS * DAY, 5)
    assert [one.gate for one in judge(result, Gates(**gates))] == broken


def test_a_further_p1_breaks_its_gate_and_tells_which():
    """One P1 that was not there before is one too many, unless it is allowed."""
    result = compare({}, spans((HOUR // SECOND, 9_999), priority="P1"), 0, DAYS * DAY, 5)
    assert [(one.gate, one.found, one.where) for one in judge(result, Gates())] == [("added_p1", "1", "d1/R1")]
    assert judge(result, Gates(added_p1=1)) == []


def test_an_empty_record_proves_nothing():
    """No difference on no data is no pass."""
    assert [one.gate for one in judge(compare({}, {}, 0, DAY, 0), Gates())] == ["records"]
