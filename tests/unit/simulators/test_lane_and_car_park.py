"""Cars that do not keep to the rules, the camera that reads plates, and the counter of a car park."""

from simulators.access import Entrance
from simulators.barrier import Barrier, LaneSettings
from simulators.carpark import CarPark
from simulators.lane_camera import LaneCamera
from sitekeeper.model.clock import MS, SECOND


def told():
    facts = []
    return facts, lambda at, fact, more: facts.append((at, fact, dict(more)))


def edges(barrier, until):
    """Live on in small steps; return when each loop came on and went off."""
    seen, found = {}, []
    for at in range(0, until + 1, 100 * MS):
        barrier.advance(at)
        for loop in ("arrival", "safety", "exit"):
            on = barrier.sees(loop)
            if seen.get(loop, False) != on:
                found.append((at, loop, on))
            seen[loop] = on
    return found


def test_a_car_that_follows_clears_the_safety_loop_a_second_time():
    """Two cars pass under one open boom, and only the first has waited at the arrival loop."""
    facts, tell = told()
    barrier = Barrier(LaneSettings(), seed=1, tell=tell)
    barrier.plan(0, "story", barrier.tailgate)
    found = edges(barrier, 30 * SECOND)
    assert [loop for _, loop, on in found if on] == ["arrival", "safety", "exit", "safety", "exit"]
    assert [fact for _, fact, _ in facts].count("vehicle arrived") == 1
    assert barrier.vehicles == 2
    assert barrier.position == 0
    assert barrier.operations == LaneSettings().operations + 1, "one opening"


def test_a_car_against_the_direction_comes_from_the_exit_loop():
    """Exit, safety, arrival; before a closed boom it turns back."""
    barrier = Barrier(LaneSettings(auto_close=0), seed=1)
    barrier.open()
    barrier.plan(5 * SECOND, "story", barrier.wrong_way)
    assert [loop for _, loop, on in edges(barrier, 20 * SECOND) if on] == ["exit", "safety", "arrival"]
    closed = Barrier(LaneSettings(), seed=1)
    closed.plan(SECOND, "story", closed.wrong_way)
    assert [(loop, on) for _, loop, on in edges(closed, 20 * SECOND)] == [("exit", True), ("exit", False)]


def test_the_boom_never_falls_onto_a_car_against_the_direction():
    """The safety loop turns a boom on its way down, whichever way a car comes."""
    barrier = Barrier(LaneSettings(auto_close=3), seed=1)
    barrier.open()
    barrier.plan(5 * SECOND, "story", barrier.wrong_way)
    for at in range(0, 30 * SECOND, 100 * MS):
        barrier.advance(at)
        assert not (barrier.sees("safety") and barrier.closing)


def test_a_camera_reads_each_car_once_and_as_the_story_wants():
    """A plate a car, of the list that was ordered for the next one only; none while it is covered."""
    read, event = told()
    camera = LaneCamera(seed=3, way="out", event=event)
    camera.expect("black", 71)
    camera.sees(SECOND, "vehicle arrived")
    camera.sees(2 * SECOND, "vehicle left")
    camera.sees(3 * SECOND, "vehicle arrived")
    camera.cover(on=True)
    camera.sees(4 * SECOND, "vehicle arrived")
    assert [(at, kind) for at, kind, _ in read] == [(SECOND, "plate"), (3 * SECOND, "plate")]
    first, second = (more for _, _, more in read)
    assert (first["list"], first["confidence"], first["way"]) == ("black", 71, "out")
    assert second["list"] == "white"
    assert second["confidence"] >= 90
    assert camera.shown() == {"fault": True}


def test_a_car_park_counts_and_its_count_drifts():
    """Cars in and out move count and sessions; a drift moves the count alone, and a recount ends it."""
    park = CarPark(capacity=4, inside=2)
    for fact in ("vehicle arrived", "vehicle entered", "vehicle entered", "vehicle left", "vehicle entered"):
        park.sees(0, fact)
    assert park.shown() == {"occupancy": 4, "capacity": 4, "sessions": 4, "full": True}
    park.drift(-3)
    assert (park.counted, park.sessions) == (1, 4)
    park.recount()
    assert park.counted == 4


def test_a_second_person_pulls_the_door_open_on_one_grant():
    """One read, two openings, and no word of force: the lock is still free."""
    said, event = told()
    door = Entrance(seed=1, event=event)
    door.plan(0, "story", door.tail)
    door.advance(20 * SECOND)
    assert [(kind, more.get("state")) for _, kind, more in said] == [
        ("read", None), ("door", "open"), ("door", "closed"), ("door", "open"), ("door", "closed"),
    ]  # fmt: skip


def test_a_jammed_bolt_lets_nobody_through_and_follows_once_it_is_freed():
    """What was granted opens nothing; set free it stays locked until the bolt moves again."""
    said, event = told()
    door = Entrance(seed=1, event=event)
    door.jam(on=True)
    door.enter()
    door.advance(10 * SECOND)
    assert [kind for _, kind, _ in said] == ["read"]
    door.release(free=True)
    assert door.shown() == {"state": "closed", "lock": "locked", "mode": "free", "tamper": False, "pulse": 0.0}
    door.jam(on=False)
    door.tamper(on=True)
    assert door.shown() == {"state": "closed", "lock": "unlocked", "mode": "free", "tamper": True, "pulse": 0.0}


def test_unlocked_from_afar_for_so_long_and_locked_again_by_itself():
    """Whoever pushes the door meanwhile forces nothing."""
    said, event = told()
    door = Entrance(seed=1, event=event)
    door.unlock(3)
    door.plan(2 * SECOND, "story", door.force)
    door.advance(2 * SECOND)
    assert (door.shown()["lock"], door.shown()["pulse"]) == ("unlocked", 3)
    door.advance(4 * SECOND)
    assert (door.shown()["lock"], door.shown()["pulse"]) == ("locked", 0.0)
    assert [kind for _, kind, _ in said] == ["door"]
