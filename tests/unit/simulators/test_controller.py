"""Doors as people use them, and the controller that numbers, keeps and forgets what they tell."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from simulators.access import HELD_LIMIT, Entrance
from simulators.controller import BOOT, Controller, rfc3339
from simulators.doors import DoorBuilder
from simulators.faults import Fault, FaultKind, possible
from simulators.journal import Journal
from simulators.mqtt_faults import Publication, outgoing
from simulators.scenario import Scenario, load
from sitekeeper.model.clock import HOUR, SECOND, ManualClock

SCENARIOS = Path(__file__).parents[3] / "config/scenarios"
Told = list[tuple[float, str, dict[str, Any]]]


def listened() -> tuple[Entrance, Told]:
    told: Told = []
    return Entrance(seed=1, event=lambda at, kind, more: told.append((at / SECOND, kind, dict(more)))), told


def kinds(told: Told) -> list[tuple[float, str, Any]]:
    return [(at, kind, more.get("state", more.get("reason"))) for at, kind, more in told]


def controlled(doors: int = 1, **more: Any) -> tuple[Controller, Told]:
    facts: Told = []
    controller = Controller(4711, tell=lambda at, fact, more: facts.append((at / SECOND, fact, dict(more))), **more)
    for number in range(1, doors + 1):
        controller.doors[number] = Entrance(
            seed=number, event=lambda at, kind, more, number=number: controller.happened(number, at, kind, more)
        )
    return controller, facts


def lived(scenario: str, seconds: int) -> list[dict[str, Any]]:
    """Return the journal of a scenario's doors without any broker."""
    plan = load(SCENARIOS / scenario)
    lines: list[dict[str, Any]] = []
    journal = Journal(lambda line: lines.append(json.loads(line)))
    builder = DoorBuilder(
        next(link for link in plan.links if link.kind == "mqtt"),
        seed=plan.seed,
        clock=ManualClock(),
        story=lambda: 0,
        speed=1.0,
        wall=lambda at: at,
        journal=journal,
        teller=lambda device: lambda at, fact, more: journal.fact(at, device, fact, more),
    )
    for plan_, at, name, deed in builder.deeds:
        plan_(at, name, deed)
    for controller in builder.controllers.values():
        controller.advance(seconds * SECOND)
    return lines


# --- doors


def test_a_passage_is_told_in_order() -> None:
    """The read comes first, then the open door, then the closed one; the card is a plain number."""
    door, told = listened()
    door.enter(3 * SECOND, after=2 * SECOND)
    door.advance(10 * SECOND)
    assert kinds(told) == [(0, "read", 1), (2, "door", "open"), (5, "door", "closed")]
    assert told[0][2]["granted"] is True
    assert told[0][2]["cred"].isdigit()


def test_duress_differs_by_its_flag_only() -> None:
    """A grant under duress unlocks as any other, and only the read says what it was."""
    plain, told = listened()
    pressed, told_under_duress = listened()
    plain.enter(card="1008538001")
    pressed.enter(card="1008538001", duress=True)
    for door in (plain, pressed):
        door.advance(10 * SECOND)
    assert told_under_duress[0][2].pop("duress") is True
    assert told_under_duress == told


def test_forced_held_and_refused() -> None:
    """A locked door that opens is forced; one held after the exit button is too long open; a refusal opens nothing."""
    door, told = listened()
    door.deny(2, every=SECOND)
    door.advance(5 * SECOND)
    assert not door.open
    door.force()
    door.shut()
    door.leave(HELD_LIMIT + SECOND, after=0)
    door.advance(60 * SECOND)
    assert kinds(told) == [
        (0, "read", 6), (1, "read", 6),
        (5, "door", "open"), (5, "alarm", 38), (5, "door", "closed"),
        (5, "rex", 20), (5, "door", "open"), (35, "alarm", 37), (36, "door", "closed"),
    ]  # fmt: skip


def test_somebody_holds_the_open_door() -> None:
    """An open door that is held stays open for that time from then on; a closed one is not opened by it."""
    door, told = listened()
    door.hold(SECOND)
    door.enter(3 * SECOND, after=SECOND)
    door.advance(2 * SECOND)
    door.hold(10 * SECOND)
    door.advance(20 * SECOND)
    assert kinds(told)[1:] == [(1, "door", "open"), (12, "door", "closed")]


def test_fire_unlocks_and_excuses() -> None:
    """The wire from the fire panel wins over a command to lock, and an open door is no alarm then."""
    door, told = listened()
    door.fire_input(True)
    door.fire_input(True)
    door.release(False)
    door.force()
    door.advance(2 * HELD_LIMIT)
    assert (door.open, door.locked, door.alarm) == (True, False, "normal")
    door.fire_input(False)
    assert door.locked
    assert kinds(told) == [(0, "alarm", 39), (0, "door", "open")]


def test_a_released_door_may_stay_open() -> None:
    """A door that is freed while somebody holds it never becomes too long open."""
    door, told = listened()
    door.enter(10 * HELD_LIMIT)
    door.advance(2 * SECOND)
    door.release(True)
    door.advance(2 * HELD_LIMIT)
    assert [kind for _, kind, _ in told] == ["read", "door"]


# --- the controller


@pytest.mark.parametrize("wire", [True, False])
def test_who_is_let_in_just_before_the_end_of_a_fire_forces_nothing(*, wire: bool) -> None:
    """Whether a wire or a command held the door free: the pulse of the grant runs out before it is locked again."""
    door, told = listened()
    hold = door.fire_input if wire else door.release
    hold(True)
    door.advance(10 * SECOND)
    door.enter(after=SECOND)
    door.advance(21 * SECOND // 2)
    hold(False)
    assert not door.locked
    door.advance(20 * SECOND)
    assert kinds(told)[-3:] == [(10, "read", 1), (11, "door", "open"), (14, "door", "closed")]
    assert door.locked


def test_one_counter_in_the_order_of_what_happened() -> None:
    """Two doors share a counter, and however far the clock jumps, a higher number happened later or at once."""
    controller, _ = controlled(2)
    for number in (1, 2):
        controller.doors[number].crowd(20, (4 + number) * SECOND)
    controller.advance(HOUR)
    events = [controller.message(seq) for seq in controller.unsent(1000)]
    assert [event["seq"] for event in events] == list(range(1, 121))
    assert [event["ts"] for event in events] == sorted(event["ts"] for event in events)
    assert {event["door"] for event in events} == {1, 2}


def test_the_canon() -> None:
    """An event reads as in the domain brief, 4.1, with its own serial number and time."""
    wall = 1_782_003_600_120_000
    controller, _ = controlled(wall=lambda at: wall + at)
    controller.doors[1].enter(card="1008538001")
    assert controller.message(1) == {
        "v": 1, "device": 4711, "seq": 1, "ts": "2026-06-21T09:00:00.120+08:00", "door": 1, "dir": "in", "kind": "read",
        "granted": True, "reason": 1, "cred": "1008538001", "buffered": False,
    }  # fmt: skip
    known = {"state": "closed", "lock": "unlocked", "mode": "controlled", "tamper": False, "pulse": 0.0}
    assert controller.door_state(1) == known
    assert controller.status(0)["last"] == 0


def test_buffered_is_what_happened_before_the_connection() -> None:
    """Events from before the broker came are buffered, later ones are not, unless somebody asks for them."""
    controller, _ = controlled()
    controller.doors[1].deny(2, every=SECOND)
    controller.advance(SECOND)
    controller.connected()
    controller.doors[1].deny()
    assert [controller.message(seq)["buffered"] for seq in (1, 2, 3)] == [True, True, False]
    assert controller.message(3, buffered=True)["buffered"] is True


def test_nothing_is_unsent_until_acknowledged() -> None:
    """An event stays due until the broker has it, and in the store beyond that; status tells only what was sent."""
    controller, _ = controlled()
    controller.doors[1].deny(3, every=SECOND)
    controller.advance(5 * SECOND)
    assert (controller.unsent(9), controller.status(0)["last"]) == ([1, 2, 3], 0)
    controller.acknowledged(1, 1)
    assert (controller.unsent(9), controller.status(0)["last"]) == ([2, 3], 1)
    assert controller.asked(1, 9) == [1, 2, 3]


def test_a_full_ring_overwrites_and_says_so() -> None:
    """The oldest event goes when the store is full; who asks hears reason 255, and its loss is in the journal."""
    controller, facts = controlled(capacity=3)
    controller.doors[1].deny(5, every=SECOND)
    controller.acknowledged(1, 1)
    controller.advance(9 * SECOND)
    assert controller.unsent(9) == [3, 4, 5]
    assert [(fact, more["seq"]) for _, fact, more in facts] == [("unsent event overwritten", 2)]
    gone = controller.message(1)
    assert (gone["kind"], gone["reason"], gone["seq"], gone["buffered"]) == ("system", 255, 1, True)
    controller.overwrite(9 * SECOND, 2)
    assert controller.unsent(9) == [5]


def test_a_skipped_number_is_nowhere() -> None:
    """A lost sequence number is jumped over, nobody gets it by asking, and the journal tells."""
    controller, facts = controlled()
    controller.doors[1].deny()
    controller.skip(0, 2)
    controller.doors[1].deny()
    assert controller.unsent(9) == [1, 4]
    assert controller.asked(1, 4) == [1, 4]
    assert facts == [(0, "sequence skipped", {"run": 1, "from": 2, "to": 3})]


@pytest.mark.parametrize(("restarts", "seq", "runs"), [(False, 3, 1), (True, 1, 2)])
def test_a_reboot(restarts: bool, seq: int, runs: int) -> None:
    """After a reboot the counter goes on, or begins anew with an empty store; it tells that the power came on."""
    controller, facts = controlled()
    controller.doors[1].deny(2, every=0)
    controller.advance(0)
    controller.reboot(10 * SECOND, restarts=restarts)
    assert (controller.last, controller.runs, controller.off_until) == (seq, runs, 10 * SECOND + BOOT)
    assert controller.message(seq)["reason"] == 28
    lost = [more["seq"] for _, fact, more in facts if fact == "unsent event overwritten"]
    assert lost == ([1, 2] if restarts else [])
    controller.acknowledged(1, 1)
    assert controller.owes(1, runs) is restarts, "an answer to an event of the run before is none to this one"


def test_a_flood_and_a_wrong_clock() -> None:
    """A mad reader tells 500 events in a second; a clock that is ahead dates them so."""
    controller, _ = controlled()
    controller.clock_error = HOUR
    controller.flood(1, 500)
    controller.advance(SECOND)
    assert len(controller.unsent(999)) == 500
    assert controller.message(1)["ts"] == rfc3339(HOUR) == "1970-01-01T09:00:00.000+08:00"


# --- what goes out wrong


def test_wrong_messages_come_in_addition() -> None:
    """Whatever a fault puts before an event, the event itself follows untouched; `lose` alone swallows it."""
    event = {"seq": 1, "ts": "t", "door": 1, "kind": "read"}
    sound = Publication("t", b"sound")
    wanted = {"lose": [], "retained": [Publication("t", b"sound", retain=True)]}
    for kind in possible("mqtt", "device"):
        out = outgoing(Fault(kind=kind, count=300), sound, event)
        if kind in wanted:
            assert out == wanted[kind]
        else:
            assert out[-1] == sound
    assert len(outgoing(Fault(kind=FaultKind.TWICE), sound, event)) == 2
    assert len(outgoing(Fault(kind=FaultKind.HUGE, count=300), sound, event)[0].payload) > 300 * 1024
    assert json.loads(outgoing(Fault(kind=FaultKind.WRONG_TYPES), sound, event)[0].payload)["seq"] == "1"


# --- scenario files


def test_s4_has_the_times_of_the_brief() -> None:
    """The journal of S4 is the brief's: grant and passage, forced, exit button and held, six refusals, duress."""
    lines = [line for line in lived("s4-doors.yaml", 600) if "event" in line]
    told = [
        (
            line["t"] / SECOND,
            line["device"],
            line["event"]["kind"],
            line["event"].get("state", line["event"].get("reason")),
        )
        for line in lines
    ]
    assert [each for each in told if each[1] == "door-lobby"][:6] == [
        (0, "door-lobby", "read", 1), (2, "door-lobby", "door", "open"), (20, "door-lobby", "door", "closed"),
        (60, "door-lobby", "door", "open"), (60, "door-lobby", "alarm", 38), (75, "door-lobby", "door", "closed"),
    ]  # fmt: skip
    assert [each[0] for each in told if each[1] == "door-stairs"] == [120, 123, 153, 154]
    assert [each[0] for each in told if each[1] == "door-store"] == [120, 123, 153, 468]
    assert [each[0] for each in told if each[1] == "door-office"] == [180, 188, 196, 204, 212, 220]
    assert [line["t"] / SECOND for line in lines if line["event"].get("duress")] == [300]
    assert [line["event"]["seq"] for line in lines] == list(range(1, len(lines) + 1))


def test_s5_has_its_number_of_events_and_three_conditions() -> None:
    """The short S5 is over after 133 s with 209 events; two doors are forced and one burst of refusals comes."""
    lines = lived("s5-short.yaml", 133)
    events = [line["event"] for line in lines if "event" in line]
    assert len(events) == 209
    assert len([line for line in lived("s5-short.yaml", 999) if "event" in line]) == 209
    assert [line["t"] / SECOND for line in lines if line.get("fact") == "door forced"] == [64, 66]
    assert sum(event.get("granted") is False for event in events) == 5
    for at, door in ((64, "door-workshop"), (66, "door-archive")):
        grants = [line["t"] / SECOND for line in lines if line.get("fact") == "granted" and line["device"] == door]
        assert not [grant for grant in grants if at - 6 < grant < at]


def test_the_estate_has_one_forced_door_and_people() -> None:
    """In the estate's story the lobby is forced once, with nobody let in just before, and nothing else is an alarm."""
    lines = lived("estate.yaml", 120)
    assert [(line["t"] / SECOND, line["device"]) for line in lines if line.get("fact") == "door forced"] == [
        (5, "door-lobby")
    ]
    told = [line for line in lines if "device" in line and "event" in line]
    lobby = [line["t"] / SECOND for line in told if line["device"] == "door-lobby" and line["event"]["kind"] == "read"]
    assert not [at for at in lobby if at < 5]
    assert [line["event"]["reason"] for line in told if line["event"]["kind"] == "alarm"] == [38]
    refused = Counter(line["device"] for line in told if line["event"].get("granted") is False)
    assert max(refused.values(), default=0) < 5
    assert {line["controller"] for line in told} == {"405419896", "405419897"}


DOOR = {"id": "d1", "face": "mqtt-door", "controller": "1", "door": 1}


@pytest.mark.parametrize(
    ("device", "link", "why"),
    [
        ({"unit": 1}, {}, "has 'controller' and 'door'"),
        ({"controller": "one"}, {}, "controller"),
        ({}, {"kind": "modbus"}, "another protocol"),
        ({"story": [{"at": "1s", "do": {"level": 50}}]}, {}, "'level' is not for"),
        ({"story": [{"at": "1s", "do": {"fault": {"kind": "short"}}}]}, {}, "'short' is not for"),
        ({}, {"devices": [DOOR, DOOR | {"id": "d2"}]}, "are the same door"),
    ],
)
def test_door_scenarios_that_cannot_be(device: dict[str, object], link: dict[str, object], why: str) -> None:
    """What does not fit together in a scenario with MQTT is refused."""
    whole = {"title": "t", "links": [{"id": "doors", "kind": "mqtt", "devices": [DOOR | device]} | link]}
    with pytest.raises(ValueError, match=why):
        Scenario.model_validate(whole)


def test_another_broker() -> None:
    """A scenario can be put at another broker; only its MQTT links move."""
    links = [
        {"id": "doors", "kind": "mqtt", "port": 1, "devices": [DOOR]},
        {"id": "lifts", "port": 2, "devices": []},
    ]
    moved = Scenario.model_validate({"title": "t", "links": links}).at_broker("broker.example", 9)
    assert [(link.host, link.port) for link in moved.links] == [("broker.example", 9), ("127.0.0.1", 2)]
