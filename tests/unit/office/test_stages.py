"""Send or not: every named reason, and the order in which they count."""

import pytest
from msgspec.structs import replace

from office.notify.stages import Case, NotSent, Reason, Routing, Send, Step, decide, event_id, step_id, step_of
from sitekeeper.model.alarm import AlarmState, Cause

from .conftest import case, transition

ROUTES = Routing({"P1": ("desk", "chat"), "P2": ("desk",)})


def of(**fields: object) -> Case:
    return replace(case(), transition=transition(**fields))


def test_a_new_alarm_goes_to_every_channel_of_its_priority() -> None:
    """A raise of P1 is sent over both channels that P1 names."""
    assert decide(case(), ROUTES) == Send(("desk", "chat"))


def test_a_reannunciation_is_sent_like_a_raise() -> None:
    """A latched alarm whose condition came back is pushed again."""
    assert decide(of(cause=Cause.REANNUNCIATE), ROUTES) == Send(("desk", "chat"))


def test_a_finished_channel_is_left_out() -> None:
    """Only the channel that has not finished gets the event."""
    assert decide(case(finished=frozenset({"desk"})), ROUTES) == Send(("chat",))


def test_what_is_held_back_is_not_pushed_until_it_comes_into_sight() -> None:
    """A raise under another alarm says so; when that one is over and the condition is true, it is sent."""
    covered = of(target=AlarmState.SUPPRESSED, base=AlarmState.UNACKED)
    assert decide(covered, ROUTES) == NotSent(Reason.HELD_BACK)
    for cause in (Cause.UNSUPPRESS, Cause.SHELF_OVER, Cause.UNSHELVE, Cause.RETURN, Cause.PERMIT_OVER, Cause.LEVEL):
        assert isinstance(decide(of(cause=cause, source=AlarmState.SUPPRESSED), ROUTES), Send), cause
        over = of(cause=cause, source=AlarmState.SUPPRESSED, target=AlarmState.NORMAL)
        assert decide(over, ROUTES) == NotSent(Reason.NOT_ANNUNCIATING)


@pytest.mark.parametrize("cause", sorted(set(Cause) - {Cause.RAISE, Cause.REANNUNCIATE, Cause.REALARM}))
def test_other_moves_are_not_announced(cause: Cause) -> None:
    """Clear, acknowledge, level down, unack and reset push nothing, nor does what stays in sight."""
    assert decide(of(cause=cause), ROUTES) == NotSent(Reason.NOT_ANNUNCIATING)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (of(mode="watch"), Reason.WATCH_MODE),
        (of(mode="drill"), Reason.DRILL),
        (case(secret=True), Reason.AUDIENCE),
        (case(parent_stands=True), Reason.CHILD),
        (case(step=1, over=True), Reason.CONDITION_OVER),
        (case(step=1, acknowledged=True), Reason.ALREADY_ACKNOWLEDGED),
        (case(acknowledged=True), Reason.ALREADY_ACKNOWLEDGED),
        (of(priority="P4"), Reason.NOT_ROUTED),
        (case(finished=frozenset({"desk", "chat"})), Reason.ALREADY_SENT),
    ],
)
def test_every_no_has_its_name(given: Case, reason: Reason) -> None:
    """What is not sent says why in one stable word."""
    assert decide(given, ROUTES) == NotSent(reason)


def test_an_alarm_from_the_site_is_pushed_although_the_site_counts_as_silent() -> None:
    """A trapped person's alarm that arrives before GW01 is cleared must not be held back by GW01."""
    assert isinstance(decide(case(site_silent=True), ROUTES), Send)


def test_what_the_office_concluded_from_silence_is_not_pushed_beside_it() -> None:
    """A child of GW01, raised by the office, is suppressed while GW01 stands; GW01 itself is not."""
    child = of(occurrence="hq/gateway/GW02@office-x-2", rule="GW02", priority="P2")
    itself = of(occurrence="hq/gateway/GW01@office-x-1", rule="GW01", priority="P2")
    assert decide(replace(child, site_silent=True), ROUTES) == NotSent(Reason.SITE_SILENT)
    assert decide(replace(itself, site_silent=True), ROUTES) == Send(("desk",))


def test_event_ids_tell_annunciations_apart_and_nothing_else() -> None:
    """A raise is named by its occurrence, each re-annunciation also by its place in the stream; repeats alike."""
    again = transition(Cause.REANNUNCIATE)
    assert event_id(transition(), "e1", 1, 0) == "hq/lift-a1/L01@e1-1"
    assert event_id(again, "e1", 7, 0) == event_id(again, "e1", 7, 0)
    assert len({event_id(again, e, s, p) for e in ("e1", "e2") for s in (7, 8) for p in (0, 1)}) == 8


def test_only_faults_and_notes_wait_in_a_flood_or_a_chatter() -> None:
    """P1 and P2 go out at once whatever else happens; of P3 and P4 the reason says with what they are told."""
    routing = Routing(dict.fromkeys(("P1", "P2", "P3", "P4"), ("desk",)))
    crowded = {"flood": True}, {"chattering": True, "told": True}
    for priority in ("P1", "P2"):
        for how in crowded:
            assert decide(replace(of(priority=priority), **how), routing) == Send(("desk",)), (priority, how)
    for priority in ("P3", "P4"):
        found = [decide(replace(of(priority=priority), **how), routing) for how in crowded]
        assert found == [NotSent(Reason.FLOOD), NotSent(Reason.CHATTER)]
        assert decide(replace(of(priority=priority), chattering=True), routing) == Send(
            ("desk",)
        )  # the first that says so


def test_the_reasons_count_in_their_order() -> None:
    """Of several the first one is told: a drill before an acknowledgement, that before a parent, all before a flood."""
    routing = Routing({"P3": ("desk",)})
    everything = {"acknowledged": True, "parent_stands": True, "flood": True}
    given = replace(of(priority="P3", mode="drill"), **everything)
    reasons = [decide(given, routing)]
    given = replace(given, transition=transition(priority="P3"))
    for name in everything:
        reasons.append(decide(given, routing))
        given = replace(given, **{name: False})
    assert reasons == [
        NotSent(Reason.DRILL), NotSent(Reason.ALREADY_ACKNOWLEDGED), NotSent(Reason.CHILD), NotSent(Reason.FLOOD),
    ]  # fmt: skip
    assert decide(given, routing) == Send(("desk",))


def test_steps_of_a_ladder_are_events_of_their_own() -> None:
    """The name tells annunciation and step; a step that the settings no longer have goes nowhere."""
    routing = Routing({"P1": ("desk",)}, ladder={"P1": (Step(30, ("boss",)),)})
    assert step_of(step_id("hq/lift-a1/L01@e1-1~b1", 2)) == ("hq/lift-a1/L01@e1-1~b1", 2)
    assert step_of(step_id("x", 0)) == ("x", 0)
    assert decide(case(step=1), routing) == Send(("boss",))
    assert decide(case(step=2), routing) == NotSent(Reason.NOT_ROUTED)
