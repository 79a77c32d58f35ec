"""The lift's behaviour on its own clock."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.lift import Lift
from simulators.lift_settings import LiftSettings
from simulators.motion import Trip
from simulators.shaft import Shaft
from sitekeeper.model.clock import MS, SECOND, Micros

Fact = tuple[Micros, str, dict[str, int | bool | str]]


def lift_with_facts(seed: int = 1, **given: float | None) -> tuple[Lift, list[Fact]]:
    facts: list[Fact] = []
    lift = Lift(LiftSettings(**given), seed=seed, tell=lambda at, fact, more: facts.append((at, fact, more)))  # type: ignore[arg-type]
    return lift, facts


def look(lift: Lift) -> tuple[object, ...]:
    return (
        lift.floor,
        lift.running,
        lift.door,
        lift.in_zone,
        len(lift.riders),
        lift.motion,
        lift.run_count,
        lift.position,
    )


def test_ride() -> None:
    """A person who comes to floor 1 for floor 4 is there after the door and the run take their time."""
    lift, facts = lift_with_facts()
    lift.plan(SECOND, "person", lambda: lift.arrive(1, 4))
    lift.advance(3 * SECOND)
    assert (lift.door, len(lift.riders), lift.load) == ("open", 1, 7)
    lift.advance(10 * SECOND)
    assert lift.running
    assert lift.speed > 0
    lift.advance(30 * SECOND)
    assert (lift.floor, lift.door, lift.running, lift.riders) == (4, "closed", False, [])
    assert lift.run_count == LiftSettings().run_count + 1
    assert lift.door_cycles == LiftSettings().door_cycles + 2
    assert facts == []


@given(st.integers(0, 2**32), st.lists(st.integers(1, 3_000_000), min_size=1, max_size=30))
@settings(max_examples=15, deadline=None)
def test_same_seed_same_life_at_any_grain(seed: int, steps: list[int]) -> None:
    """What happens does not depend on how finely the clock is moved."""
    coarse, coarse_facts = lift_with_facts(seed, traffic=5 * SECOND)
    fine, fine_facts = lift_with_facts(seed, traffic=5 * SECOND)
    for lift in (coarse, fine):
        lift.plan(20 * SECOND, "stick", lift.stick)
        lift.plan(45 * SECOND, "release", lift.release)
    for step in steps:
        fine.advance(fine.now + step)
    fine.advance(100 * SECOND)
    coarse.advance(100 * SECOND)
    assert look(coarse) == look(fine)
    assert coarse_facts == fine_facts


@given(st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_physics(seed: int) -> None:
    """Whatever the traffic: doors move only in a zone at rest; speed, place and load stay within bounds."""
    lift, _ = lift_with_facts(seed, traffic=3 * SECOND, basements=2)
    top = lift.shaft.height(12)
    for tenth in range(1, 1200):
        lift.advance(tenth * 100 * MS)
        assert lift.door == "closed" or (lift.in_zone and not lift.running)
        assert abs(lift.speed) <= 1.6
        assert -1e-9 <= lift.position <= top + 1e-9
        assert lift.floor != 0
        assert lift.load <= 100
    assert lift.run_count > LiftSettings().run_count


def test_stuck_and_released() -> None:
    """A car told to get stuck on its way stops outside the zone at once; a rescue lets the people out at a landing."""
    lift, facts = lift_with_facts()
    lift.arrive(1, 9)
    lift.plan(12 * SECOND, "stick", lift.stick)
    lift.plan(60 * SECOND, "release", lift.release)
    lift.advance(59 * SECOND)
    assert (lift.in_zone, lift.running, lift.door, len(lift.riders)) == (False, False, "closed", 1)
    lift.advance(80 * SECOND)
    assert (lift.in_zone, lift.riders) == (True, [])
    assert [fact for _, fact, _ in facts] == ["stuck", "trapped", "rescue begins", "released"]
    assert facts[1][0] == 12 * SECOND
    assert facts[1][2] == {"people": 1, "floor": 2, "level": False}
    assert facts[3][2] == {"people": 1, "since": 12 * SECOND}


@pytest.mark.parametrize("people", [0, 3])
def test_stuck_on_the_next_run(people: int) -> None:
    """An idle lift told to get stuck with so many people starts a run and stops between floors with exactly those."""
    lift, facts = lift_with_facts(start_floor=6)
    lift.stick(people)
    lift.advance(60 * SECOND)
    assert (lift.in_zone, lift.running, len(lift.riders), lift.blocked) == (False, False, people, True)
    assert ("trapped" in [fact for _, fact, _ in facts]) == (people > 0)


def test_mains() -> None:
    """Without mains the car stops where it is; when they return it creeps to a landing and opens."""
    lift, facts = lift_with_facts()
    lift.arrive(1, 9)
    lift.plan(12 * SECOND, "off", lambda: lift.set_mains(False))
    lift.plan(40 * SECOND, "on", lambda: lift.set_mains(True))
    lift.advance(39 * SECOND)
    assert (lift.mains, lift.running, lift.in_zone) == (False, False, False)
    lift.advance(60 * SECOND)
    assert (lift.mains, lift.in_zone, lift.riders) == (True, True, [])
    assert [fact for _, fact, _ in facts] == ["mains failed", "trapped", "mains restored", "released"]


def test_mains_fail_while_the_door_moves() -> None:
    """A door caught half open by a mains failure stays so, and goes on when they return."""
    lift, _ = lift_with_facts()
    lift.arrive(1, 3)
    lift.advance(SECOND)
    lift.set_mains(False)
    lift.advance(30 * SECOND)
    assert lift.door == "opening"
    lift.set_mains(True)
    lift.advance(60 * SECOND)
    assert (lift.door, lift.floor, lift.riders) == ("closed", 3, [])


def test_door_held_open() -> None:
    """A door that somebody holds counts as open too long after one minute, and closes when let go."""
    lift, _ = lift_with_facts()
    lift.hold_door(90 * SECOND)
    lift.advance(61 * SECOND)
    assert not lift.door_open_long
    lift.advance(62 * SECOND)
    assert lift.door_open_long
    lift.advance(95 * SECOND)
    assert (lift.door, lift.door_open_long) == ("closed", False)


def test_inspection() -> None:
    """Under inspection nobody is served; afterwards those who waited are."""
    lift, _ = lift_with_facts()
    lift.set_inspection(True)
    lift.arrive(5, 1)
    lift.advance(60 * SECOND)
    assert (lift.floor, lift.running) == (1, False)
    lift.set_inspection(False)
    lift.advance(73 * SECOND)
    assert (lift.floor, lift.door, lift.riders) == (5, "open", [1])


def test_alarm_button() -> None:
    """The button is true exactly as long as it is held."""
    lift, _ = lift_with_facts()
    lift.press_alarm(5 * SECOND)
    lift.advance(5 * SECOND - 1)
    assert lift.alarm_button
    lift.advance(5 * SECOND)
    assert not lift.alarm_button


def test_motion_pulses() -> None:
    """The motion sensor pulses while somebody is inside, 1.5 s at a time, and never in an empty car."""
    lift, _ = lift_with_facts()
    lift.stick(1)
    seen = []
    for tenth in range(1, 600):
        lift.advance(tenth * 100 * MS)
        seen.append(lift.motion)
        assert not lift.motion or lift.riders
    rises = sum(now and not before for before, now in pairwise(seen))
    assert rises >= 4
    assert abs(sum(seen) - 15 * rises) <= 15


@given(
    st.floats(-50, 50).filter(lambda d: abs(d) > 0.01),
    st.floats(0.1, 10),
    st.floats(0.2, 2),
    st.floats(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_trip(distance: float, cruise: float, accel: float, share: float) -> None:
    """A trip ends at its target at rest, never exceeds its speed, and `reaches` inverts `position`."""
    trip = Trip(start=SECOND, origin=3.0, target=3.0 + distance, cruise=cruise, accel=accel)
    assert trip.position(trip.end) == pytest.approx(trip.target, abs=1e-4)
    assert trip.velocity(trip.end) == 0
    assert trip.position(SECOND) == 3.0
    at = trip.start + round((trip.end - trip.start) * share)
    assert abs(trip.velocity(at)) <= cruise + 1e-9
    assert trip.position(trip.reaches(trip.position(at))) == pytest.approx(trip.position(at), abs=1e-3)


def test_floors_have_no_zero() -> None:
    """Below floor 1 comes floor -1."""
    shaft = Shaft(floors=3, basements=2, storey=3.0)
    assert [shaft.ordinal(index) for index in range(5)] == [-2, -1, 1, 2, 3]
    assert all(shaft.ordinal(shaft.index(floor)) == floor for floor in (-2, -1, 1, 2, 3))


@pytest.mark.parametrize(
    ("position", "heading", "floor", "zone"),
    [(0.0, 1, 1, True), (2.86, 1, 2, True), (2.84, 1, 1, False), (3.2, -1, 3, False), (3.14, -1, 2, True)],
)
def test_reached(position: float, heading: int, floor: int, zone: bool) -> None:
    """A floor counts as reached when its zone is, from either side."""
    shaft = Shaft(floors=5, basements=0, storey=3.0)
    assert shaft.reached(position, heading) == floor
    assert shaft.in_zone(position) == zone


def test_reported_faults_move_nothing_and_a_fire_takes_no_calls() -> None:
    """A fault is a flag that comes and goes; a car called back by the panel answers no call until the fire is over."""
    lift, facts = lift_with_facts()
    lift.set_fault("ebike", True)
    lift.set_fire_mode(True)
    lift.arrive(1, 5)
    lift.advance(60 * SECOND)
    assert (lift.faults, lift.floor, lift.running) == ({"ebike"}, 1, False)
    lift.set_fault("ebike", False)
    lift.set_fire_mode(False)
    lift.advance(120 * SECOND)
    assert (lift.faults, lift.floor) == (set(), 5)
    assert [(fact, more.get("name")) for _, fact, more in facts][:4] == [
        ("lift fault", "ebike"), ("fire return on", None), ("lift fault gone", "ebike"), ("fire return off", None),
    ]  # fmt: skip


def test_a_heated_machine_room_stays_hot() -> None:
    """The temperature that a story sets drifts within a degree of it."""
    lift, _ = lift_with_facts()
    lift.heat(45)
    for minute in range(60):
        lift.advance(minute * 60 * SECOND)
        assert 44 <= lift.temperature <= 46
