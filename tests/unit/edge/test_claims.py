"""Sixteen priorities: whatever is claimed, given up, expires or dies, the device ends with what the strongest wants."""

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from edge.commands.claims import (
    Claim,
    Step,
    Wishes,
    claimed,
    due,
    expired,
    given_back,
    next_expiry,
    restored,
    save,
    winner,
    without,
    writing,
)
from sitekeeper.model.clock import HOUR, SECOND, Moment
from sitekeeper.model.errors import FormatError
from sitekeeper.model.sample import Value

REST = "controlled"


def wish(by: str, value: Value, priority: int, number: int, until: int | None = None) -> Claim:
    return Claim(by, f"{by}-{number}", value, priority, number, until)


@dataclass
class Device:
    """A point as devices have it: with a priority array of its own, or with nothing but its last value."""

    relinquishes: bool
    value: Value = REST
    slots: dict[int, Value] = field(default_factory=dict)
    writes: int = 0

    def write(self, value: Value, priority: int) -> None:
        self.writes += 1
        if not self.relinquishes:
            assert value is not None
            self.value = value
        elif value is None:
            del self.slots[priority]
        else:
            self.slots[priority] = value

    @property
    def now(self) -> Value:
        return self.slots[min(self.slots)] if self.slots else self.value


@dataclass
class Keeper:
    """Carries out what is due, as `Line` does."""

    device: Device
    wishes: Wishes = field(default_factory=Wishes)
    done: Step | None = None

    def settle(self) -> None:
        for _ in range(40):
            how = self.device.relinquishes
            step = due(self.wishes, self.done, rest=REST, relinquishes=how)
            if step is None:
                return
            self.wishes = writing(self.wishes, step, relinquishes=how)
            self.device.write(step.value, step.priority)
            self.done = self.done if step.claim is None else step
            if step.claim is None:
                self.wishes = given_back(self.wishes, step, relinquishes=how)
        raise AssertionError("it never comes to rest")

    def killed(self) -> "Keeper":
        saved = save(self.wishes, Moment(0, 0))
        return Keeper(self.device, Wishes() if saved is None else restored(saved, Moment(0, 0)))


Moves = st.lists(
    st.tuples(
        st.sampled_from(["claim", "claim", "claim", "give up", "expire", "kill", "kill before it is written"]),
        st.integers(0, 4),
        st.integers(1, 16),
        st.sampled_from(["free", "controlled", "x", "y"]),
    ),
    max_size=25,
)


@settings(max_examples=400, deadline=None)
@given(Moves, st.booleans())
def test_the_device_ends_with_what_the_strongest_wants(
    moves: list[tuple[str, int, int, str]], relinquishes: bool
) -> None:
    """After every move: the winner's value, or rest; nothing of ours is left behind in any of its slots."""
    keeper, now = Keeper(Device(relinquishes)), 0
    for number, (move, who, priority, value) in enumerate(moves, 1):
        by = f"claimant-{who}"
        match move:
            case "claim":
                until = now + priority if who == 0 else None
                keeper.wishes = claimed(keeper.wishes, wish(by, value, priority, number, until))
            case "give up":
                for claim in keeper.wishes.claims:
                    keeper.wishes = without(keeper.wishes, claim.id) if claim.by == by else keeper.wishes
            case "expire":
                now += priority
                keeper.wishes, over = expired(keeper.wishes, now)
                assert all(claim.until is not None and claim.until <= now for claim in over)
            case "kill":
                keeper = keeper.killed()
            case _:
                step = due(keeper.wishes, keeper.done, rest=REST, relinquishes=relinquishes)
                if step is not None:  # remembered, and written or not: nobody knows
                    keeper.wishes = writing(keeper.wishes, step, relinquishes=relinquishes)
                    if number % 2 or step.value is None:
                        keeper.device.write(step.value, step.priority)
                    elif relinquishes:
                        keeper.device.slots.setdefault(step.priority, "unknown")
                keeper = keeper.killed() if step is None or step.value is not None else keeper
                if step is not None and step.value is None:
                    keeper.wishes = given_back(keeper.wishes, step, relinquishes=relinquishes)
        keeper.settle()
        best = min(keeper.wishes.claims, key=lambda c: (c.priority, -c.number), default=None)
        assert winner(keeper.wishes) is best
        assert keeper.device.now == (REST if best is None else best.value)
        held = {claim.priority for claim in keeper.wishes.claims}
        assert set(keeper.device.slots) <= held


def test_of_equals_the_newest_wins_and_the_older_one_comes_back() -> None:
    """Two rules at one priority: the later one holds, and when it ends the earlier one is written again."""
    keeper = Keeper(Device(relinquishes=False))
    keeper.wishes = claimed(keeper.wishes, wish("a", "x", 8, 1))
    keeper.settle()
    keeper.wishes = claimed(keeper.wishes, wish("b", "y", 8, 2))
    keeper.settle()
    assert keeper.device.now == "y"
    keeper.wishes = without(keeper.wishes, "b-2")
    keeper.settle()
    assert keeper.device.now == "x"


def test_a_weaker_claim_is_not_written() -> None:
    """A schedule that begins during a fire waits; it costs the device no write."""
    keeper = Keeper(Device(relinquishes=False))
    keeper.wishes = claimed(keeper.wishes, wish("fire", "free", 1, 1))
    keeper.settle()
    keeper.wishes = claimed(keeper.wishes, wish("schedule", "controlled", 14, 2))
    keeper.settle()
    assert (keeper.device.now, keeper.device.writes) == ("free", 1)


def test_a_claim_is_written_once() -> None:
    """Nothing is due again after it was tried, whatever came of it."""
    wishes = claimed(Wishes(), wish("fire", "free", 1, 1))
    step = due(wishes, None, rest=REST, relinquishes=False)
    assert step is not None
    assert due(writing(wishes, step, relinquishes=False), step, rest=REST, relinquishes=False) is None


def test_without_rest_and_relinquishing_a_point_is_left_as_it_is() -> None:
    """Where nobody said what to leave behind, nothing is guessed."""
    assert due(Wishes((), (8,)), None, rest=None, relinquishes=False) is None


@pytest.mark.parametrize(
    ("passed", "left"),
    [(0, 30), (20, 10), (40, 0), (-HOUR // SECOND, 30)],
)
def test_what_remains_of_a_claim_survives_a_restart(passed: int, left: int) -> None:
    """Counted by the wall, on another monotonic clock; a wall set back never makes it longer than it was made for."""
    claim = wish("lee", "free", 8, 1, until=500 * SECOND)
    saved = save(Wishes((claim,), (8,)), Moment(mono=470 * SECOND, wall=HOUR))
    assert saved is not None
    found = restored(saved, Moment(mono=7 * SECOND, wall=HOUR + passed * SECOND))
    assert next_expiry(found) == (7 + left) * SECOND
    assert found.written == (8,)


def test_nothing_to_remember_is_no_state_and_nonsense_is_refused() -> None:
    """A point at rest leaves nothing behind in the file."""
    assert save(Wishes(), Moment(0, 0)) is None
    with pytest.raises(FormatError):
        restored(b"\xc1", Moment(0, 0))


def test_what_an_older_gateway_saved_is_read() -> None:
    """Its claims knew no `leaving`, its wishes no `spent`: an update in a fire must not forget what was claimed."""
    claim = ["fire", "c1", "free", 1, 7, None, "linkage", "site", "", False]
    old = msgspec.msgpack.encode([1, [[claim], [1]], 0, 0])
    assert restored(old, Moment(0, 0)) == Wishes((Claim("fire", "c1", "free", 1, 7),), (1,))


def test_only_a_rule_whose_condition_goes_on_is_spent() -> None:
    """A person's claim, one that was given up and one that acts once leave nothing to be remembered."""
    rule = wish("gas", True, 5, 1, until=SECOND)
    wishes = claimed(Wishes(), rule)
    left, over = expired(wishes, SECOND)
    assert (over, left) == ((rule,), Wishes(spent=("gas",)))
    saved = save(left, Moment(0, 0))
    assert saved is not None
    assert restored(saved, Moment(0, 0)).spent == ("gas",)
    assert claimed(left, rule).spent == ()
    for other in (replace(rule, role="operator"), replace(rule, pulse=True), replace(rule, leaving=True)):
        assert expired(claimed(Wishes(), other), SECOND)[0] == Wishes()
