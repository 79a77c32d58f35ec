"""A parking lane: cars that pass, a boom that closes onto nothing, and all the ways in which it breaks."""

from collections import Counter

import pytest

from simulators.barrier import TRAVEL, Barrier, Deed, LaneSettings
from simulators.table_face import state
from sitekeeper.model.clock import MINUTE, MS, SECOND

Fact = tuple[float, str]


class Lane:
    """A lane, and what it told with the seconds."""

    def __init__(self, **given: object) -> None:
        self.facts: list[Fact] = []
        settings = LaneSettings(**given)  # type: ignore[arg-type]
        self.barrier = Barrier(settings, seed=3, tell=lambda at, fact, _: self.facts.append((at / SECOND, fact)))

    def after(self, seconds: float) -> Barrier:
        self.barrier.advance(self.barrier.now + round(seconds * SECOND))
        return self.barrier

    def told(self) -> list[str]:
        return [fact for _, fact in self.facts]


def test_a_car_passes_in_order() -> None:
    """Arrival loop, boom up, safety loop and photocell, exit loop, gone; then the boom closes by itself."""
    lane = Lane(auto_close=5)
    lane.barrier.arrive()
    seen: list[tuple[int, str]] = []
    for _ in range(200):
        barrier = lane.after(0.1)
        loops = "".join(name[0] for name in ("arrival", "safety", "photocell", "exit") if barrier.sees(name))
        now = (state(barrier), loops)
        if not seen or seen[-1] != now:
            seen.append(now)
    assert seen == [
        (17, "a"), (32, "a"), (16, "a"), (16, "asp"), (16, "sp"), (16, "e"), (16, ""), (33, ""), (17, ""),
    ]  # fmt: skip
    assert lane.facts == [(0, "vehicle arrived"), (7.7, "vehicle entered")]
    assert (lane.barrier.vehicles, lane.barrier.operations) == (1, LaneSettings().operations + 1)


def test_the_position_moves_evenly() -> None:
    """The boom needs its time from end to end, and turns where it is."""
    lane = Lane(auto_close=0)
    lane.barrier.open()
    assert [round(lane.after(TRAVEL / SECOND / 4).position) for _ in range(4)] == [25, 50, 75, 100]
    lane.barrier.close()
    assert lane.after(TRAVEL / SECOND / 2).position == 50
    lane.barrier.open()
    assert lane.barrier.position == 50
    assert lane.after(TRAVEL / SECOND / 2).position == 100


@pytest.mark.parametrize("sensor", ["safety", "photocell"])
def test_nothing_is_closed_onto(sensor: str) -> None:
    """While a sensor sees something the boom stays up; a boom on its way down turns; later it closes by itself."""
    lane = Lane(auto_close=2)
    lane.barrier.open()
    lane.after(3)
    lane.barrier.disturb(sensor, "occupied")  # type: ignore[arg-type]
    assert not lane.barrier.close()
    assert state(lane.after(30)) == 16
    lane.barrier.disturb(sensor, "works")  # type: ignore[arg-type]
    assert state(lane.after(1.5)) == 16
    assert state(lane.after(2)) == 33
    lane.barrier.disturb(sensor, "occupied")  # type: ignore[arg-type]
    assert state(lane.barrier) == 32
    lane.barrier.disturb(sensor, "works")  # type: ignore[arg-type]
    assert state(lane.after(30)) == 17


def test_a_faulty_loop_counts_as_occupied() -> None:
    """A safety loop with a fault forbids closing; a faulty arrival loop does not."""
    lane = Lane(auto_close=2)
    lane.barrier.disturb("safety", "fault")
    assert (lane.barrier.sees("safety"), lane.barrier.faulty("safety"), lane.barrier.may_close) == (True, True, False)
    lane.barrier.disturb("safety", "works")
    lane.barrier.disturb("arrival", "fault")
    assert lane.barrier.may_close


def test_a_broken_safety_chain_forbids_closing() -> None:
    """With the chain broken the board refuses, and a boom on its way down turns."""
    lane = Lane(auto_close=2)
    lane.barrier.open()
    lane.after(6)
    assert lane.barrier.closing
    lane.barrier.do("chain_broken")
    assert (state(lane.barrier), lane.barrier.close()) == (32, False)
    assert state(lane.after(60)) == 16


def test_an_obstacle_turns_the_boom() -> None:
    """On its next way down the boom meets an obstacle half-way, shows it for a moment, opens, and then closes."""
    lane = Lane(auto_close=2)
    lane.barrier.do("obstacle")
    lane.barrier.open()
    lane.after(5)
    assert (state(lane.after(1.4)), lane.barrier.reversed) == (33, False)
    assert (state(lane.after(0.2)), lane.barrier.reversed) == (32, True)
    assert not lane.after(3).reversed
    assert state(lane.after(10)) == 17
    assert lane.told() == ["obstacle"]


def test_a_jam_while_opening() -> None:
    """The board says opening for as long as the motor is jammed, a car waits, and freed it goes on."""
    lane = Lane()
    lane.barrier.do("jam")
    lane.barrier.arrive()
    lane.after(60)
    assert (state(lane.barrier), lane.barrier.position, lane.barrier.sees("arrival")) == (32, 0, True)
    assert lane.told() == ["motor jammed", "vehicle arrived", "stuck opening"]
    lane.barrier.do("free")
    lane.after(8)
    assert lane.told()[3:] == ["motor freed", "vehicle entered"]


def test_a_jam_half_way() -> None:
    """A motor that jams on its way leaves the boom where it is."""
    lane = Lane(auto_close=1)
    lane.barrier.open()
    lane.after(1.5)
    lane.barrier.do("jam")
    assert (lane.after(20).position, state(lane.barrier)) == (50, 32)
    lane.barrier.stop()
    assert (lane.after(1).position, state(lane.barrier)) == (50, 19)


def test_a_broken_arm_keeps_nobody() -> None:
    """With the arm off cars pass under a boom that says closed or not; the fact is told once."""
    lane = Lane(auto_close=1)
    lane.barrier.do("jam")
    lane.barrier.do("break")
    lane.barrier.arrive()
    lane.after(10)
    assert (lane.barrier.attached, lane.barrier.vehicles) == (False, 1)
    assert lane.told().count("arm broken") == 1


def test_hold_open() -> None:
    """Held open, the boom opens and stays, whatever the automatic close says; given up, it closes by itself."""
    lane = Lane(auto_close=2)
    lane.barrier.hold(1)
    assert state(lane.after(60)) == 16
    assert lane.barrier.close()
    assert state(lane.after(5)) == 16
    lane.barrier.hold(0)
    assert state(lane.after(5.5)) == 17
    assert lane.told() == ["hold-open", "hold-open ended"]


def test_hold_open_turns_a_closing_boom() -> None:
    """A boom on its way down turns at once when it is to be held open."""
    lane = Lane(auto_close=2)
    lane.barrier.open()
    lane.after(6)
    lane.barrier.hold(1)
    assert state(lane.barrier) == 32


def test_mains_failure() -> None:
    """Without mains the boom stands where it is and obeys nothing; when it returns the boom opens first."""
    lane = Lane(auto_close=2)
    lane.barrier.open()
    lane.after(1.5)
    lane.barrier.set_mains(False)
    lane.barrier.open()
    assert (lane.after(60).position, state(lane.barrier)) == (50, 19)
    lane.barrier.set_mains(True)
    assert state(lane.after(2)) == 16
    assert state(lane.after(10)) == 17


def test_hold_open_survives_a_mains_failure() -> None:
    """What was to be held open while the mains was away is opened when it returns."""
    lane = Lane()
    lane.barrier.set_mains(False)
    lane.barrier.hold(1)
    assert state(lane.after(5)) == 17
    lane.barrier.set_mains(True)
    assert state(lane.after(60)) == 16


def test_manual_release() -> None:
    """Released by hand the boom is up and obeys no command; engaged again it closes by itself."""
    lane = Lane(auto_close=2)
    lane.barrier.do("release")
    assert lane.barrier.close()
    assert (lane.after(60).position, lane.barrier.manual) == (100, True)
    lane.barrier.do("engage")
    assert state(lane.after(6)) == 17


def test_a_stopped_boom_stays() -> None:
    """Stopped half-way it says so and does not close by itself; the next car opens it."""
    lane = Lane(auto_close=1)
    lane.barrier.open()
    lane.after(1.5)
    lane.barrier.stop()
    assert (lane.after(60).position, state(lane.barrier)) == (50, 19)
    lane.barrier.arrive()
    assert state(lane.after(60)) == 17
    assert lane.barrier.vehicles == 1


def test_traffic_is_the_same_for_the_same_seed() -> None:
    """What cars do follows from the seed alone, however finely the clock is moved, and who arrives gets through."""

    def lived(step: int) -> tuple[list[Fact], int]:
        lane = Lane(way="out", traffic=20 * SECOND)
        for at in range(0, 10 * MINUTE, step):
            lane.barrier.advance(at)
        lane.barrier.advance(10 * MINUTE)
        return lane.facts, lane.barrier.operations

    assert lived(SECOND) == lived(97 * SECOND) == lived(333 * MS)
    told = Counter(fact for _, fact in lived(SECOND)[0])
    assert told["vehicle left"] > 15
    assert 0 <= told["vehicle arrived"] - told["vehicle left"] <= 1


def test_the_queue_is_bounded() -> None:
    """A long line of cars does not wait for ever: five stand behind the first, others drive on."""
    lane = Lane()
    lane.barrier.arrive(50)
    lane.barrier.arrive(50)
    assert lane.barrier.queue == 5
    lane.after(120)
    assert lane.barrier.vehicles == 6


@pytest.mark.parametrize(
    ("deed", "back", "bit"),
    [("cabinet_open", "cabinet_shut", "cabinet_open"), ("chain_whole", "chain_broken", "chain")],
)
def test_switches_of_the_cabinet(deed: Deed, back: Deed, bit: str) -> None:
    """What stays until its opposite is seen and told."""
    lane = Lane()
    lane.barrier.do(deed)
    assert getattr(lane.barrier, bit) is True
    lane.barrier.do(back)
    assert getattr(lane.barrier, bit) is False
    assert len(lane.facts) == 2
