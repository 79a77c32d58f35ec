"""Luminaires and doors as behaviours, how they look on BACnet, and what a scenario may say of them."""

import pytest

from simulators.access import HELD_LIMIT, PULSE, Entrance
from simulators.bacnet_face import DoorFace, EscalatorFace, LampFace, LiftFace, real
from simulators.bacnet_maps import ESCALATOR, LIFT
from simulators.escalator import Escalator
from simulators.lift import Lift
from simulators.lift_settings import LiftSettings
from simulators.lighting import STANDBY, Lamp
from simulators.scenario import Scenario
from sitekeeper.model.clock import MS, SECOND


def test_a_lamp_fades_and_burns() -> None:
    """A commanded level is reached in a second, evenly, and power follows the light."""
    lamp = Lamp(rated=18.0)
    lamp.advance(10 * SECOND)
    lamp.command(80)
    seen = []
    for quarter in range(5):
        lamp.advance(10 * SECOND + quarter * 250 * MS)
        seen.append((lamp.level, lamp.fading))
    assert seen == [(0, True), (20, True), (40, True), (60, True), (80, False)]
    assert lamp.power == pytest.approx(STANDBY + 18 * 0.8)


def test_a_failed_lamp_is_dark_and_obeys() -> None:
    """With its lamp failed the gear still sets levels, and there is no light."""
    lamp = Lamp(level=100)
    lamp.fail("lamp")
    lamp.command(0.5)
    lamp.advance(5 * SECOND)
    assert (lamp.commanded, lamp.level, lamp.light, lamp.power) == (1.0, 1.0, 0.0, STANDBY)


def test_a_command_in_mid_fade_starts_where_the_lamp_is() -> None:
    """No level is jumped over when the target changes on the way."""
    lamp = Lamp()
    lamp.command(100)
    lamp.advance(SECOND // 2)
    lamp.command(0)
    assert lamp.level == 50
    lamp.advance(SECOND)
    assert lamp.level == 25


def test_a_granted_person_passes() -> None:
    """The lock opens for its pulse, the door for the passage, and nothing is alarmed."""
    door = Entrance(seed=1)
    door.enter(3 * SECOND)
    seen = []
    for second in (0, 1, 2, 3, 4, 5, 6):
        door.advance(second * SECOND)
        seen.append((door.open, door.locked, door.alarm))
    assert [is_open for is_open, _, _ in seen] == [False, True, True, True, False, False, False]
    assert [locked for _, locked, _ in seen] == [False] * 5 + [True] * 2
    assert {alarm for _, _, alarm in seen} == {"normal"}


def test_forced_and_held_open() -> None:
    """Opening a locked door is forced; one held open after a grant is too long open from its limit on."""
    door = Entrance(seed=1)
    door.force()
    assert (door.open, door.alarm) == (True, "forced")
    door.shut()
    assert (door.open, door.alarm) == (False, "normal")
    door.enter(10 * HELD_LIMIT)
    door.advance(HELD_LIMIT)
    assert door.alarm == "normal"
    door.advance(HELD_LIMIT + SECOND)
    assert door.alarm == "too_long"


def test_a_free_door_stays_unlocked() -> None:
    """Released for good, a door does not lock after a pulse; locked again, it does."""
    door = Entrance(seed=1)
    door.release(True)
    door.pulse()
    door.advance(2 * PULSE)
    assert not door.locked
    door.release(False)
    assert door.locked


def test_traffic_is_the_same_for_the_same_seed() -> None:
    """What people do follows from the seed alone, however finely the clock is moved."""

    def told(step: int) -> list[int]:
        times: list[int] = []
        door = Entrance(seed=7, traffic=20 * SECOND, tell=lambda at, _fact, _more: times.append(at))
        for at in range(0, 600 * SECOND, step):
            door.advance(at)
        door.advance(600 * SECOND)
        return times

    assert told(SECOND) == told(97 * SECOND)
    assert len(told(SECOND)) > 10


def test_the_serial_numbers_on_the_wire() -> None:
    """Serial numbers come out of 4 bytes as they went in: of a lift to four million, of a luminaire at each level."""
    lift = LiftFace(Lift(LiftSettings(), seed=1))
    for serial in (1, 2, 999, 65_536, 4_000_000):
        energy = lift.properties(serial)["energyMeter"]
        assert round((energy - 184) * 1000) == serial
    for level in (0, 33, 66.6, 100):
        face = LampFace(Lamp(level=level))
        for serial in (0, 1, 4095):
            seen = face.properties(serial)
            power, light = real(seen["instantaneousPower"]) * 1000, seen["feedbackValue"]
            assert round((power - STANDBY - 0.18 * light) * 10_000) == serial


def test_a_stuck_lift_tells_it() -> None:
    """A lift that stands between floors shows itself stationary, outside the zone, closed, loaded, with its fault."""
    lift = Lift(LiftSettings(start_floor=5), seed=1)
    lift.stick(2)
    lift.advance(30 * SECOND)
    seen = LiftFace(lift).properties(0)
    wanted = {"carDriveStatus": 1, "carMovingDirection": 2, "carDoorZone": False, "carDoorStatus": [0]}
    assert wanted.items() <= seen.items()
    assert (seen["carLoad"], seen["faultSignals"]) == (15.0, [8])
    points = {}
    for name, meaning in LIFT.items():
        points |= meaning(seen[name])
    assert points["stop_outside_zone"] is True
    assert (points["car_status"], points["door_zone"], points["door_closed"]) == ("stopped", False, True)


def test_a_pulse_and_a_release_of_a_door() -> None:
    """A pulse unlocks for a moment; unlock stays."""
    door = Entrance(seed=1)
    face = DoorFace(door)
    face.command(2, True)
    assert face.properties(0)["lockStatus"] == 1
    face.live(PULSE)
    assert face.properties(0)["lockStatus"] == 0
    face.command(1, False)
    face.live(10 * PULSE)
    assert face.properties(0)["securedStatus"] == 1


LIFT_THERE = {"id": "lift-a1", "object": 1, "face": "bacnet-lift"}


@pytest.mark.parametrize(
    ("device", "link", "why"),
    [
        ({"unit": 1}, {}, "has 'object'"),
        ({"face": "sp-lift-1"}, {}, "has 'unit'"),
        ({}, {"kind": "modbus"}, "another protocol"),
        ({"story": [{"at": "1s", "do": {"level": 50}}]}, {}, "'level' is not for"),
        ({"story": [{"at": "1s", "do": {"fault": {"kind": "short"}}}]}, {}, "'short' is not for"),
        ({"face": "lighting-output", "story": [{"at": "1s", "do": {"travel": {"to": 2}}}]}, {}, "'travel' is not for"),
    ],
)
def test_scenarios_that_cannot_be(device: dict[str, object], link: dict[str, object], why: str) -> None:
    """What does not fit together in a scenario with BACnet is refused."""
    whole = {"title": "t", "links": [{"id": "bms", "kind": "bacnet", "devices": [LIFT_THERE | device]} | link]}
    with pytest.raises(ValueError, match=why):
        Scenario.model_validate(whole)


def test_a_lift_and_a_lamp_may_have_one_instance() -> None:
    """Objects of different types may have the same number; two of one type may not."""
    lamp = {"id": "lamp", "object": 1, "face": "lighting-output"}
    link = {"id": "bms", "kind": "bacnet", "devices": [LIFT_THERE, lamp]}
    Scenario.model_validate({"title": "t", "links": [link]})
    twice = link | {"devices": [LIFT_THERE, LIFT_THERE | {"id": "other"}]}
    with pytest.raises(ValueError, match="same unit or object"):
        Scenario.model_validate({"title": "t", "links": [twice]})


def test_an_escalator_runs_is_turned_round_and_fails() -> None:
    """Its movement, mode and faults are the properties of the standard; only a person starts it again."""
    told: list[str] = []
    escalator = Escalator(tell=lambda _at, fact, _more: told.append(fact))
    face = EscalatorFace(escalator)
    assert [face.properties(1)[name] for name in ("operationDirection", "escalatorMode", "faultSignals")] == [2, 2, []]
    escalator.do("reverse")
    assert (escalator.direction, escalator.set_to) == ("down", "up")
    escalator.do("overspeed")
    escalator.do("comb")
    escalator.set_mains(False)
    said = face.properties(2)
    assert (said["operationDirection"], said["faultSignals"]) == (1, [4, 3, 8])
    assert ESCALATOR["faultSignals"](said["faultSignals"])["power"] == "failed"
    escalator.set_mains(True)
    escalator.do("clear")
    assert face.properties(3)["operationDirection"] == 1
    escalator.do("run_down")
    assert ESCALATOR["operationDirection"](face.properties(4)["operationDirection"]) == {"direction": "down"}
    assert told[:2] == ["escalator reverse", "escalator overspeed"]


def test_a_lift_object_tells_its_faults() -> None:
    """The standard's list has those it knows; a fire's return is the car's mode."""
    lift = Lift(LiftSettings(), seed=1)
    for name in ("door_close", "position_lost", "ebike"):
        lift.set_fault(name, True)  # type: ignore[arg-type]
    lift.set_fire_mode(True)
    said = LiftFace(lift).properties(1)
    assert (said["faultSignals"], LIFT["carMode"](said["carMode"])) == ([6, 14], {"service_mode": "fire_return"})
