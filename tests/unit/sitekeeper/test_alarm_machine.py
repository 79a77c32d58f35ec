"""The whole alarm machine, base and layers: nothing is unreachable, nothing is dead, and what comes back is right."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitekeeper.model.alarm import ACTIVE, HELD_BACK, AlarmState, Cause
from sitekeeper.model.errors import Refused
from sitekeeper.model.veil import Layers, after

A, B, C, D = AlarmState.NORMAL, AlarmState.UNACKED, AlarmState.ACKED, AlarmState.RETURNED
LU, LA = AlarmState.LATCHED_UNACKED, AlarmState.LATCHED_ACKED
E, F, G = AlarmState.SHELVED, AlarmState.SUPPRESSED, AlarmState.OUT
BY = "gateway/GW20"
RULE = frozenset({Cause.RAISE, Cause.CLEAR, Cause.REANNUNCIATE, Cause.LEVEL})


def ways(now: Layers, latched: bool) -> dict[tuple[Cause, bool | None], Layers]:
    """Return every move that there is from here; a rule gives a priority that is shown through, or another."""
    found = {}
    for cause in Cause:
        # A verdict announces again only what stands or is latched.
        if cause is Cause.REANNUNCIATE and now.base not in {B, C, LU, LA}:
            continue
        for through in (False, True) if cause in RULE - {Cause.CLEAR} else (None,):
            try:
                found[cause, through] = after(now, cause, latched=latched, by=BY, through=through)
            except Refused:
                continue
    return found


def walk(start: Layers, latched: bool) -> set[Layers]:
    """Return all places that can be reached, breadth first."""
    seen, ahead = {start}, [start]
    for now in ahead:
        for then in ways(now, latched).values():
            if then not in seen:
                seen.add(then)
                ahead.append(then)
    return seen


@pytest.mark.parametrize("latched", [False, True])
def test_every_combination_is_reached(latched: bool) -> None:
    """From normal each base state of the kind is reached under each combination of veil, shelf, permit and through.

    The exception: an alarm that is over is never shown through.
    """
    bases = [A, B, C, LU, LA] if latched else [A, B, C, D]
    wanted = {
        Layers(base, (BY,) if veiled else (), through, shelved, out)
        for base, veiled, through, shelved, out in itertools.product(bases, *[(False, True)] * 4)
        if not (base is A and through)
    }
    assert walk(Layers(), latched) == wanted


@pytest.mark.parametrize("latched", [False, True])
def test_no_place_is_dead(latched: bool) -> None:
    """From everywhere the end of the condition, an acknowledgement, a reset and time lead back to plain normal."""
    home = {
        Cause.CLEAR, Cause.ACK, Cause.RESET, Cause.UNSUPPRESS, Cause.SHELF_OVER, Cause.PERMIT_OVER,
    }  # fmt: skip
    for start in walk(Layers(), latched):
        seen, ahead = {start}, [start]
        for now in ahead:
            for (cause, _), then in ways(now, latched).items():
                if cause in home and then not in seen:
                    seen.add(then)
                    ahead.append(then)
        assert Layers() in seen, start


@pytest.mark.parametrize("latched", [False, True])
def test_nothing_is_lost_on_the_way_out(latched: bool) -> None:
    """Wherever the last layer goes while the condition is true, the alarm is annunciated; a latch outlives every layer.

    And no move of anybody but the rule changes whether the condition is true.
    """
    for now in walk(Layers(), latched):
        for (cause, _), then in ways(now, latched).items():
            if now.shown in HELD_BACK and then.shown not in HELD_BACK:
                wanted = {B: B, C: B, A: A, D: A, LU: LA if now.shown is E else LU, LA: LA}
                assert cause in RULE or then.base is wanted[now.base], (now, cause)
                assert then.base not in ACTIVE or then.shown is B, (now, cause)
            if cause not in RULE:
                assert (then.base in ACTIVE) == (now.base in ACTIVE), (now, cause)


@pytest.mark.parametrize(
    ("now", "shown"),
    [
        (Layers(B, (BY,), out=True, shelved=True), G),
        (Layers(B, (BY,), shelved=True), F),
        (Layers(B, (BY,), through=True), B),
        (Layers(B, (BY,), through=True, shelved=True), E),
        (Layers(B, (BY,), through=True, out=True), G),
        (Layers(C, shelved=True), E),
    ],
)
def test_the_topmost_layer_is_shown(now: Layers, shown: AlarmState) -> None:
    """A permit hides a veil, a veil hides a shelf; a priority shown through a veil is not shown through these."""
    assert now.shown is shown


@pytest.mark.parametrize(
    ("now", "cause", "reason"),
    [
        (Layers(B, shelved=True), Cause.ACK, "not-shown"),
        (Layers(LA, (BY,)), Cause.RESET, "not-shown"),
        (Layers(C, out=True), Cause.UNACK, "not-shown"),
        (Layers(C, (BY,)), Cause.REALARM, "not-shown"),
        (Layers(B, (BY,)), Cause.SHELVE, "not-shown"),
        (Layers(B, out=True), Cause.SHELVE, "not-shown"),
        (Layers(B), Cause.UNSHELVE, "not-shelved"),
        (Layers(B), Cause.RETURN, "not-out"),
        (Layers(B), Cause.UNSUPPRESS, "not-active"),
        (Layers(B), Cause.REALARM, "not-active"),
    ],
)
def test_what_cannot_be_is_refused_by_name(now: Layers, cause: Cause, reason: str) -> None:
    """Each impossible move has its own word."""
    with pytest.raises(Refused) as refused:
        after(now, cause, latched=False, by=BY)
    assert refused.value.reason == reason


def test_a_level_shown_through_a_veil_rings_and_goes_back_under_it() -> None:
    """Somebody is inside: P2 rings although the link's own alarm covers it; when it falls it is covered again."""
    covered = Layers(B, (BY,))
    rings = after(covered, Cause.REANNUNCIATE, latched=False, through=True)
    assert rings.shown is B
    assert after(rings, Cause.LEVEL, latched=False, through=False).shown is F
    over = after(rings, Cause.CLEAR, latched=False)
    assert (over.shown, after(over, Cause.ACK, latched=False).shown) == (D, F)


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from([Cause.SUPPRESS, Cause.UNSUPPRESS, Cause.SHELVE, Cause.UNSHELVE, Cause.OUT, Cause.RETURN]))
)
def test_layers_never_touch_the_condition(steps: list[Cause]) -> None:
    """However people and other alarms cover and uncover it, an active alarm stays active until its rule clears it."""
    now = Layers(C)
    for step in steps:
        try:
            now = after(now, step, latched=False, by=BY)
        except Refused:
            continue
    assert now.base in ACTIVE
