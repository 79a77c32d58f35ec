"""Subscriptions as a machine: proved before they count, renewed early, given up openly; doubt is read."""

import struct

import pytest

from drivers.bacnet.cov import AGAIN, RARELY, Ask, Subscriptions
from drivers.bacnet.message import Reference
from drivers.bacnet.notice import SUBSCRIBE, SUBSCRIBE_PROPERTY, Notice
from drivers.bacnet.subscription import PROOF, UNTOLD, Wanted
from sitekeeper.model.clock import HOUR, SECOND, Micros

LIFE = 300 * SECOND
VALUE = Reference(5, 1, 85)
DOOR = Reference(59, 1, 450)
ALARM = Reference(59, 1, 478)
NOW = 1000 * SECOND


def made(*wanted: Wanted) -> Subscriptions:
    """Return the subscriptions of a device that has been read."""
    found = Subscriptions(process=7, lifetime=LIFE, confirmed=True)
    found.want(wanted)
    found.read([one.reference for one in wanted], NOW)
    return found


def notice(reference: Reference, value: bytes, left: float = 300, process: int = 7) -> Notice:
    return Notice(process, 1200, reference[:2], int(left), {reference: value})


def asked(found: Subscriptions, now: Micros) -> Ask:
    ask = found.ask(now)
    assert ask is not None
    return ask


def alive(*wanted: Wanted) -> Subscriptions:
    """Return subscriptions that have been accepted and have proved themselves with the value 1."""
    found = made(*wanted)
    while (ask := found.ask(NOW)) is not None:
        found.acknowledged(ask)
    for one in wanted:
        found.told(notice(one.reference, b"\x91\x01"), NOW)
    assert all(found.alive(one.reference) for one in wanted)
    return found


def test_nothing_is_asked_before_the_device_was_read():
    """First the values, then the subscriptions: a start is not held up, and nothing is told that nobody knew."""
    found = Subscriptions(process=7, lifetime=LIFE, confirmed=True)
    found.want([Wanted(VALUE)])
    assert (found.ask(NOW), found.next()) == (None, None)
    assert found.read([VALUE, DOOR], NOW)
    assert not found.read([VALUE], NOW), "no news"
    assert asked(found, NOW).service == SUBSCRIBE


def test_it_is_alive_once_a_notification_has_come():
    """An acknowledgement proves nothing; the notification that follows it does, also if it comes first."""
    found = made(Wanted(VALUE))
    ask = asked(found, NOW)
    found.acknowledged(ask)
    assert not found.alive(VALUE)
    told = found.told(notice(VALUE, b"\x91\x01"), NOW + SECOND)
    assert (told.values, told.doubted, found.alive(VALUE)) == ([(VALUE, b"\x91\x01")], [], True)
    early = made(Wanted(VALUE))
    ask = asked(early, NOW)
    assert early.told(notice(VALUE, b"\x91\x01"), NOW).values
    early.acknowledged(ask)
    assert early.alive(VALUE)


def test_accepted_and_silent_is_polled():
    """Where no notification comes, for example through a firewall, it is polled; an hour later it is asked again."""
    found = made(Wanted(VALUE))
    found.acknowledged(asked(found, NOW))
    assert found.ask(NOW + PROOF) is None
    assert found.report()["refused"] == "accepted, but no notification comes"
    assert found.next() == NOW + PROOF + RARELY
    assert asked(found, NOW + PROOF + RARELY).service == SUBSCRIBE


def test_it_is_renewed_at_half_its_life_and_lost_at_its_end():
    """A renewal is tried every 5 s from half its life on; unanswered to the end, the property is polled again."""
    found = alive(Wanted(VALUE))
    assert found.next() == NOW + LIFE // 2
    version, at = found.version, NOW + LIFE // 2
    while at < NOW + LIFE:
        found.silent(asked(found, at), at)
        assert found.alive(VALUE)
        at += AGAIN
    ask = asked(found, NOW + LIFE)
    assert not found.alive(VALUE)
    assert (found.version, found.counts.lost) == (version + 1, 1)
    found.acknowledged(ask)
    assert not found.alive(VALUE), "it must prove itself anew"
    again = alive(Wanted(VALUE))
    again.acknowledged(asked(again, NOW + LIFE // 2))
    assert (again.alive(VALUE), again.next(), again.counts.renewed) == (True, NOW + LIFE, 1)


def test_a_property_is_asked_by_itself_then_with_its_object():
    """Other than Present_Value: SubscribeCOVProperty, then SubscribeCOV for all of its object at once, then polled."""
    found = made(Wanted(DOOR), Wanted(ALARM))
    ask = asked(found, NOW)
    assert (ask.service, ask.subscriptions[0].reference) == (SUBSCRIBE_PROPERTY, DOOR)
    found.refused(ask, "reject 9", NOW, unknown=True)
    ask = asked(found, NOW)
    assert (ask.service, [one.reference for one in ask.subscriptions]) == (SUBSCRIBE, [DOOR, ALARM])
    assert found.ask(NOW) is None, "both are asked for"
    found.acknowledged(ask)
    found.told(notice(ALARM, b"\x10"), NOW)
    assert (found.alive(ALARM), found.alive(DOOR)) == (True, False)
    assert found.ask(NOW + PROOF) is None
    assert found.report()["polled"] == 1


@pytest.mark.parametrize("unknown", [True, False])
def test_a_refusal_is_remembered_for_an_hour(unknown: bool):
    """A device without COV is asked once, whatever there is; where one property is refused, the others are asked."""
    found = made(Wanted(VALUE), Wanted(Reference(5, 2, 85)))
    found.refused(asked(found, NOW), "no", NOW, unknown=unknown)
    assert (found.ask(NOW) is None) is unknown
    assert found.ask(NOW + HOUR - SECOND) is None
    assert found.report()["refused"] == "no"
    assert asked(found, NOW + HOUR).service == SUBSCRIBE


def test_a_device_that_ignores_the_request_is_polled():
    """Silence is tried three times; a device may answer reads and drop what it does not know."""
    found = made(Wanted(VALUE))
    for at in range(3):
        found.silent(asked(found, NOW + at * AGAIN), NOW + at * AGAIN)
    assert found.report()["refused"] == "no answer to the subscription"
    assert found.ask(NOW + 10 * AGAIN) is None


@pytest.mark.parametrize(("kind", "asked_for"), [(5, 3), (59, 6)])
def test_a_device_that_ignores_every_request_is_left_alone(kind: int, asked_for: int):
    """Three silences in a row for each way of asking speak for all 60 properties, with 5 s between two requests, so
    that its readings are not held up all the time; an hour later it is asked again."""
    found = made(*(Wanted(Reference(kind, 1, 200 + at) if kind == 59 else Reference(5, at, 85)) for at in range(60)))
    now, count = NOW, 0
    while (at := found.next()) is not None and at < NOW + RARELY:
        assert at <= now or at == now + AGAIN
        now = max(now, at)
        found.silent(asked(found, now), now)
        assert found.ask(now) is None
        count += 1
    assert (count, found.report()["refused"]) == (asked_for, "no answer to the subscription")
    assert found.next() == now + RARELY
    assert asked(found, now + RARELY).service == (SUBSCRIBE if kind == 5 else SUBSCRIBE_PROPERTY)


def test_what_is_accepted_is_not_given_up_for_what_is_ignored():
    """A device that has accepted something knows the service: each property that it ignores is tried three times, and
    none of them holds up another."""
    properties = [Reference(5, at, 85) for at in range(4)]
    found = made(*(Wanted(one) for one in properties))
    first = asked(found, NOW)
    found.acknowledged(first)
    found.told(notice(properties[0], b"\x91\x01"), NOW)
    order, now = [], NOW
    while (ask := found.ask(now)) is not None and ask.subscriptions[0].reference != properties[0]:
        order.append(ask.subscriptions[0].reference)
        found.silent(ask, now)
        now += AGAIN
    assert order == properties[1:] * 3
    assert found.alive(properties[0])


def test_lost_means_all_over_again():
    """After silence or a closed link nothing counts as told, whatever comes; a reading begins anew, and a late answer
    to what was asked before changes nothing."""
    found = alive(Wanted(VALUE))
    late = asked(found, NOW + LIFE // 2)
    found.lost()
    assert (found.alive(VALUE), found.ask(NOW + LIFE), found.next()) == (False, None, None)
    assert not found.knows(notice(VALUE, b"\x91\x01"))
    found.acknowledged(late)
    found.silent(late, NOW)
    found.refused(late, "no", NOW, unknown=False)
    assert (found.alive(VALUE), found.next(), found.report()["refused"]) == (False, None, "")
    found.read([VALUE], NOW + LIFE)
    assert asked(found, NOW + LIFE).service == SUBSCRIBE


def test_whoever_was_switched_on_again_is_asked_at_once():
    """An I-Am renews what is alive, without ending it, and at most every 10 s."""
    found = alive(Wanted(VALUE))
    found.restarted(NOW + 20 * SECOND)
    found.acknowledged(asked(found, NOW + 20 * SECOND))
    assert found.alive(VALUE)
    found.restarted(NOW + 25 * SECOND)
    assert found.ask(NOW + 25 * SECOND) is None


def test_another_process_or_object_is_not_known():
    """A notification under another's number, for another object or of no subscription is nobody's."""
    found = alive(Wanted(VALUE))
    assert found.knows(notice(VALUE, b"\x91\x00"))
    assert not found.knows(notice(VALUE, b"\x91\x00", process=8))
    assert not found.knows(notice(Reference(5, 2, 85), b"\x91\x00"))
    assert found.told(notice(Reference(5, 1, 111), b"\x82\x04\x00"), NOW) == ([], [])


@pytest.mark.parametrize(("left", "believed"), [(200, True), (203, True), (204, False), (196, False), (50, False)])
def test_an_old_notification_is_read_instead(left: int, believed: bool):
    """By the seconds it has left a notification tells how old it is: held up for more than 3 s it is not believed."""
    found = alive(Wanted(VALUE))
    told = found.told(notice(VALUE, b"\x91\x00", left), NOW + 100 * SECOND)
    assert (bool(told.values), told.doubted) == (believed, [] if believed else [VALUE])


def test_two_at_once_are_believed_and_read():
    """Two different values within 2 s may have overtaken each other: the later stands, and is read again."""
    found = alive(Wanted(VALUE))
    told = found.told(notice(VALUE, b"\x91\x00", 299), NOW + SECOND)
    assert (told.values, told.doubted) == ([(VALUE, b"\x91\x00")], [VALUE])


def test_a_change_that_was_not_told_ends_it():
    """A reading finds what no notification said: counted after 3 s and subscribed anew; the third time it is polled."""
    found, at = alive(Wanted(VALUE)), NOW
    for time in range(3):
        found.seen(VALUE, b"\x91\x00", at)
        assert found.read([VALUE], at), "whoever waits for the next renewal must look again"
        assert not found.read([VALUE], at)
        assert (found.alive(VALUE), found.next()) == (True, at + UNTOLD)
        at += UNTOLD
        ask = found.ask(at)
        assert found.counts.untold == time + 1
        assert not found.alive(VALUE)
        assert (ask is None) is (time == 2)
        if ask is not None:
            found.acknowledged(ask)
            found.told(notice(VALUE, b"\x91\x01"), at)
    assert found.report()["refused"] == "changes are not told"


def test_who_has_forgotten_one_has_forgotten_all():
    """With the property whose change was not told, all others of the device are subscribed anew, and stay alive."""
    found = alive(Wanted(DOOR), Wanted(VALUE), Wanted(ALARM))
    found.seen(VALUE, b"\x91\x00", NOW + 20 * SECOND)
    places = set()
    while (ask := found.ask(NOW + 20 * SECOND + UNTOLD)) is not None:
        found.acknowledged(ask)
        places |= {one.reference for one in ask.subscriptions}
    assert places == {DOOR, VALUE, ALARM}
    assert (found.alive(DOOR), found.alive(VALUE), found.alive(ALARM)) == (True, False, True)
    assert (found.counts.untold, found.counts.renewed, found.counts.lost) == (1, 2, 1)


def test_a_change_told_a_moment_later_was_told():
    """A reading that overtakes its notification is no fault of the device's."""
    found = alive(Wanted(VALUE))
    found.seen(VALUE, b"\x91\x00", NOW + 100 * SECOND)
    found.told(notice(VALUE, b"\x91\x00", 199), NOW + 101 * SECOND)
    assert found.ask(NOW + 110 * SECOND) is None
    assert found.counts.untold == 0
    found.seen(VALUE, b"\x91\x01", NOW + 111 * SECOND)
    found.seen(VALUE, b"\x91\x00", NOW + 112 * SECOND)
    assert found.next() == NOW + LIFE // 2, "and back again it has not changed"


@pytest.mark.parametrize(("increment", "value", "untold"), [(None, 9.0, 0), (0.5, 1.4, 0), (0.5, 1.6, 1)])
def test_real_numbers_move_below_their_increment(increment: float | None, value: float, untold: int):
    """A real number that moved by less than the increment need not be told; whose increment is not known never must."""
    reference = Reference(2, 1, 85)
    found = made(Wanted(reference, increment))
    ask = asked(found, NOW)
    assert ask.service == (SUBSCRIBE if increment is None else SUBSCRIBE_PROPERTY)
    found.acknowledged(ask)
    found.told(notice(reference, b"\x44" + struct.pack(">f", 1.0)), NOW)
    found.seen(reference, b"\x44" + struct.pack(">f", value), NOW + SECOND)
    found.ask(NOW + 10 * SECOND)
    assert found.counts.untold == untold


def test_farewell_gives_up_what_may_still_be_told():
    """When the link closes, each subscription is given up once; one that was refused is not."""
    found = alive(Wanted(VALUE), Wanted(Reference(5, 2, 85)))
    assert [ask.data.hex() for ask in found.farewell()] == ["09071c01400001", "09071c01400002"]
    refused = made(Wanted(VALUE))
    refused.refused(asked(refused, NOW), "no", NOW, unknown=True)
    assert refused.farewell() == []
