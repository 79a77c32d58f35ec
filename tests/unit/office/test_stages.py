"""Send or not: every named reason, and the order in which they count."""

import pytest
from msgspec.structs import replace

from office.notify.stages import Case, NotSent, Reason, Send, decide, event_id
from sitekeeper.model.alarm import AlarmState, Cause

from .conftest import case, transition

ROUTES = {"P1": ("desk", "chat"), "P2": ("desk",)}


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
