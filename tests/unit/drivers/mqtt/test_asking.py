"""What is asked for, how often, and when not: the account of numbers alone, and in the driver with a poller."""

import asyncio
import json
from dataclasses import replace

from drivers.base import Account
from drivers.mqtt.asking import GRACE, REMEMBERED, TIMES, Asking, Request
from drivers.mqtt.options import RANGE, EventPlace, MqttEvent
from sitekeeper.model.clock import SECOND
from tests.fixtures import mqtt
from tests.fixtures.mqtt import EVENT, REQUEST, STATUS
from tests.fixtures.mqtt_rig import Rig, on

COUNTER = f"doors/{EVENT}"


def asking() -> Asking:
    made = Asking("doors", [mqtt.door(1), mqtt.door(2)])
    made.opened()
    return made


def ranges(*requests: Request | None) -> list[tuple[int, int]]:
    found = [each for each in requests if each is not None]
    assert {each.topic for each in found} <= {REQUEST}
    bodies = [json.loads(each.payload) for each in found]
    return [(body["from"], body["to"]) for body in bodies]


def status(last: object) -> bytes:
    return json.dumps({"online": True, "last": last}).encode()


def resumed(made: Asking, *missing: tuple[int, int], last: int = 9_000) -> list[tuple[int, int]]:
    return ranges(*made.resumed({COUNTER: Account(last, missing)}))


def test_what_the_ledger_lacks_is_asked_for_once_on_a_connection_and_three_times_in_all() -> None:
    """A range that never comes is left after three; what is left of one in part is not asked for anew."""
    made = asking()
    assert resumed(made, (5, 9), (20, 20)) == [(5, 9), (20, 20)]
    assert resumed(made, (5, 9), (20, 20)) == []
    for _ in range(TIMES - 1):
        made.opened()
        assert resumed(made, (5, 6), (8, 9)) == [(5, 6), (8, 9)]
    made.opened()
    assert resumed(made, (5, 6), (8, 8), (20, 20)) == [(20, 20)]


def test_a_storm_of_reconnections_asks_no_more() -> None:
    """A thousand new connections, each with the ledger's 64 ranges: three requests for each range and no more."""
    made = asking()
    missing = [(at, at) for at in range(0, 128, 2)]
    asked = []
    for _ in range(1_000):
        made.opened()
        asked += resumed(made, *missing)
    assert len(asked) == TIMES * 64 == made.asked


def test_a_wide_range_is_asked_for_in_bounded_parts() -> None:
    """Of a wide range the newest thousand; when those have come, the next connection asks for more."""
    made = asking()
    assert resumed(made, (1, 5_000)) == [(5_001 - RANGE, 5_000)]
    made.opened()
    assert resumed(made, (1, 5_000 - RANGE)) == [(5_001 - 2 * RANGE, 5_000 - RANGE)]


def test_a_counter_of_another_link_is_passed_over() -> None:
    """The ledger is that of the whole site; only what can be asked for here is."""
    assert asking().resumed({"gates/x/event": Account(9, ((1, 2),)), "doors/other": Account(9, ((1, 2),))}) == []


def test_the_ledger_goes_before_what_was_heard() -> None:
    """After a restart a jump over the death is seen, once the ledger has said where it was; what was heard stands."""
    made = asking()
    assert resumed(made, last=10) == []
    assert ranges(made.heard(COUNTER, 13, buffered=False)) == [(11, 12)]
    assert resumed(made, (11, 12), last=13) == []
    assert ranges(made.heard(COUNTER, 14, buffered=False)) == []


def test_a_counter_that_begins_anew_is_asked_again_for_the_same_numbers() -> None:
    """The same numbers are other events then."""
    made = asking()
    for sequence in (1, 3):
        found = made.heard(COUNTER, sequence, buffered=False)
    assert ranges(found) == [(2, 2)]
    for sequence in (1, 3):
        found = made.heard(COUNTER, sequence, buffered=False)
    assert ranges(found) == [(2, 2)]


def test_a_loss_at_the_end_is_asked_for_after_a_grace() -> None:
    """What the device says it has told may be on its way for 5 s; then it is asked for, once."""
    made = asking()
    made.heard(COUNTER, 7, buffered=False)
    assert ranges(*made.take(STATUS, status(7), 0)) == []
    assert ranges(*made.take(STATUS, status(9), 10 * SECOND)) == []
    assert ranges(*made.take(STATUS, status(9), 10 * SECOND + GRACE - 1)) == []
    assert ranges(*made.take(STATUS, status(12), 10 * SECOND + GRACE)) == [(8, 9)], "12 is too new"
    assert ranges(*made.take(STATUS, status(9), 40 * SECOND)) == []
    assert ranges(*made.take(STATUS, status(9), 60 * SECOND)) == []
    assert ranges(made.heard(COUNTER, 10, buffered=False)) == [], "asked for already"


def test_what_comes_within_the_grace_is_not_asked_for() -> None:
    """A status may overtake its events."""
    made = asking()
    made.heard(COUNTER, 7, buffered=False)
    made.take(STATUS, status(9), 0)
    for sequence in (8, 9):
        made.heard(COUNTER, sequence, buffered=False)
    assert ranges(*made.take(STATUS, status(9), 10 * SECOND)) == []
    made.take(STATUS, status(11), 20 * SECOND)
    assert ranges(*made.take(STATUS, status(11), 21 * SECOND)) == [], "a new grace for new numbers"


def test_as_long_as_events_come_the_end_is_not_asked_for() -> None:
    """A broker that hands over what it kept for an hour takes its time; nothing of it is asked for beside that."""
    made = asking()
    for sequence in range(1, 50):
        made.heard(COUNTER, sequence, buffered=False)
        assert made.take(STATUS, status(60), sequence * 10 * SECOND) == []
    assert ranges(*made.take(STATUS, status(60), 600 * SECOND)) == [(50, 60)]


def test_a_status_of_no_use_asks_for_nothing() -> None:
    """Nothing heard yet, rubbish, no number: nothing is asked."""
    made = asking()
    for payload in (status(5), status(5), status("9"), status(True), status(-1), b"\xff", b"{}"):
        assert made.take(STATUS, payload, 100 * SECOND) == []
    made.heard(COUNTER, 1, buffered=False)
    for at, payload in enumerate((status("9"), status(True), status(-1), b"\xff", b"{}", status(0))):
        assert made.take(STATUS, payload, at * 100 * SECOND) == []


def test_memory_is_bounded() -> None:
    """Requests without end take no memory without end."""
    made = asking()
    for at in range(0, 4 * REMEMBERED, 2):
        made.heard(COUNTER, at, buffered=False)
    assert len(made._asked) == REMEMBERED


def test_a_poller_asks_for_what_the_ledger_lacks_five_seconds_after_each_opening() -> None:
    """What the broker kept comes first; then the rest is asked for, and again on the next two connections only."""

    async def story(rig: Rig) -> None:
        rig.present()
        controller = await rig.broker.connector("controller", persistent=True)()
        await controller.subscribe(REQUEST)
        rig.accounts[COUNTER] = Account(12, ((8, 9),))
        rig.start()
        await asyncio.sleep(4.9)
        assert rig.driver.report("door-1")["ranges_asked"] == 0
        await asyncio.sleep(1)
        assert json.loads((await controller.receive()).payload) == {"from": 8, "to": 9}
        for _ in range(5):
            rig.broker._clients[next(n for n in rig.broker._clients if n.startswith("sitekeeper"))].session.lose()
            await asyncio.sleep(10)
        assert rig.driver.report("door-1")["ranges_asked"] == TIMES

    on(story)


def test_a_device_whose_memory_is_shorter_than_the_gap() -> None:
    """What it had comes; the rest is asked for on two more connections, and then nobody waits for it any longer."""
    made = asking()
    made.heard(COUNTER, 100, buffered=False)
    assert ranges(made.heard(COUNTER, 200, buffered=False)) == [(101, 199)]
    for sequence in range(150, 200):
        made.heard(COUNTER, sequence, buffered=True)
    for _ in range(TIMES - 1):
        made.opened()
        assert resumed(made, (101, 149), last=200) == [(101, 149)]
    made.opened()
    assert resumed(made, (101, 149), last=200) == []
    assert sum(first <= 101 and last >= 149 for first, last in made.requests(COUNTER)) == TIMES


def test_repeats_and_late_ones_ask_for_nothing() -> None:
    """Only a number above all others shows a gap; a repeat of the gap's edge does not show it again."""
    made = asking()
    found = [made.heard(COUNTER, sequence, buffered=False) for sequence in (5, 5, 8, 8, 7, 6, 5, 9, 8)]
    assert ranges(*found) == [(6, 7)]


def test_one_message_for_each_where_a_device_gives_one_at_a_time() -> None:
    """The newest 64 of a wide gap, each by its own message."""
    request = {"topic": REQUEST, "json": {"from": "$from", "to": "$to"}, "most": 1}
    door = mqtt.door(1)
    events = []
    for read in door.events:
        event = read.address.event  # type: ignore[attr-defined]
        one = MqttEvent.model_validate(
            {"topic": event.topic, "sequence": "seq", "when": dict(event.when), "request": request}
        )
        events.append(replace(read, address=EventPlace(one)))
    made = Asking("doors", [replace(door, events=tuple(events))])
    made.opened()
    made.heard(COUNTER, 1, buffered=False)
    found = made.heard(COUNTER, 1_000, buffered=False)
    assert found is not None
    bodies = [json.loads(each) for each in (found.payload, *found.more)]
    assert [(each["from"], each["to"]) for each in bodies] == [(at, at) for at in range(936, 1_000)]
