"""Who on site is told while the office is away: at once, again and again, and not a moment longer than needed."""

from typing import Any

import pytest

from edge.local.machine import AT_ONCE, LocalTargets
from edge.local.plan import Fits, LocalPlan
from edge.local.standing import standing
from sitekeeper.model.alarm import AlarmRecord, AlarmState, Priority
from sitekeeper.model.clock import SECOND, Micros, Moment
from sitekeeper.model.errors import FormatError

PLAN = LocalPlan(
    after=30 * SECOND,
    repeat=60 * SECOND,
    fits={
        "horn": Fits(priorities=frozenset({"P1"})),
        "guard": Fits(priorities=frozenset({"P1", "P2"})),
        "control": Fits(priorities=frozenset({"P1"}), audience="security"),
    },
)
SECRET = {"A06": "security"}


def alarm(
    rule: str = "L01", state: str = "B", priority: Priority = "P1", occurrence: int = 5, **more: Any
) -> AlarmRecord:
    key = f"s1/lift-a1/{rule}"
    return AlarmRecord(
        key=key, rule=rule, occurrence=f"{key}@e-5", state=AlarmState(state), priority=priority,
        latched=True, raised=0, changed=0, **more,
    )  # fmt: skip


def moment(seconds: float) -> Moment:
    return Moment(mono=round(seconds * SECOND), wall=round((1_000_000 + seconds) * SECOND))


class Case:
    """A machine whose office is gone since second 0, and what it tells second by second."""

    def __init__(self, connected: bool = False, **more: Any) -> None:
        self.machine = LocalTargets(PLAN, audience=SECRET, now=moment(0), **more)
        self.connected, self.receipted = connected, 0
        self.machine.office(connected=connected, receipted=0, now=0)

    def moved(self, at: float, *records: AlarmRecord, sequence: int = 5) -> None:
        self.machine.moved(records, sequence, moment(at).mono)

    def told(self, first: int, last: int) -> list[tuple[int, str, int]]:
        """Return who is told from one second to another: second, target, attempt."""
        found = []
        for second in range(first, last + 1):
            self.machine.office(connected=self.connected, receipted=self.receipted, now=second * SECOND)
            found += [(second, send.target, send.attempt) for send in self.machine.advance(moment(second))]
        return found


def test_told_at_once_when_the_office_is_away_and_again_until_acknowledged() -> None:
    """Each target that the priority fits, every minute; the acknowledgement ends it."""
    case = Case()
    case.moved(40, alarm())
    assert case.told(40, 110) == [(40, "horn", 1), (40, "guard", 1), (100, "horn", 2), (100, "guard", 2)]
    case.moved(111, alarm(state="C"))
    assert case.told(111, 400) == []
    assert not case.machine.wanted()


def test_an_office_that_is_gone_for_less_than_that_is_not_away() -> None:
    """29 s without a connection tell nobody; neither does an alarm that it confirms meanwhile."""
    case = Case()
    case.moved(1, alarm())
    assert case.told(1, 29) == []
    case.connected, case.receipted = True, 5
    assert case.told(30, 200) == []


def test_an_office_that_is_connected_and_says_nothing_is_away() -> None:
    """The alarm is told when it has waited for its receipt for as long."""
    case = Case(connected=True)
    case.moved(100, alarm())
    assert [each[0] for each in case.told(100, 135)] == [130, 130]


def test_what_the_office_has_ends_it_and_what_it_lacks_goes_on() -> None:
    """It is back: a receipt of earlier blocks ends nothing, that of the raise does."""
    case = Case()
    case.moved(40, alarm(), sequence=7)
    assert len(case.told(40, 40)) == 2
    case.connected, case.receipted = True, 6
    assert [each[0] for each in case.told(41, 101)] == [100, 100]
    case.receipted = 7
    assert case.told(102, 400) == []


def test_a_latch_goes_on_what_is_over_or_held_back_does_not() -> None:
    """LU still wants somebody; D, E, F and G do not, and neither does what is watched or a drill."""
    case = Case()
    case.moved(40, alarm(), alarm("L02", "B"), alarm("L03", "B", mode="drill"), alarm("L04", "B", mode="watch"))
    assert len(case.told(40, 40)) == 4
    case.moved(41, alarm(state="LU"), alarm("L02", "E"))
    assert {each[1:] for each in case.told(41, 100)} == {("horn", 2), ("guard", 2)}
    case.moved(101, alarm(state="D"))
    assert case.told(101, 300) == []


def test_what_rings_once_more_is_told_at_once() -> None:
    """A level that rises, and a latched condition that comes back, do not wait for the next round."""
    case = Case()
    case.moved(40, alarm(priority="P2"))
    assert case.told(40, 40) == [(40, "guard", 1)]
    case.moved(50, alarm(priority="P1"), sequence=6)
    assert case.told(50, 50) == [(50, "horn", 1), (50, "guard", 2)]
    case.moved(55, alarm(state="LU"))
    case.moved(60, alarm(), sequence=7)
    assert case.told(60, 60) == [(60, "horn", 2), (60, "guard", 3)]


def test_duress_is_told_to_security_alone_and_security_nothing_else() -> None:
    """The audience must be the same, both ways."""
    case = Case()
    case.moved(40, alarm("A06"))
    assert case.told(40, 40) == [(40, "control", 1)]
    case.moved(41, alarm())
    assert {each[1] for each in case.told(41, 41)} == {"horn", "guard"}


def test_nobody_is_told_of_more_than_he_can_read() -> None:
    """Of a hundred the first fifty."""
    case = Case()
    case.moved(40, *(alarm(f"L{number}") for number in range(100, 200)))
    assert len([each for each in case.told(40, 40) if each[1] == "horn"]) == AT_ONCE


def test_a_restart_goes_on_where_it_was() -> None:
    """Counted on, at the time that was due; what is not open any more is forgotten, a broken state is refused."""
    case = Case()
    case.moved(40, alarm())
    assert len(case.told(40, 40)) == 2
    saved = {target: state for target in PLAN.fits if (state := case.machine.state(target)) is not None}
    assert set(saved) == {"horn", "guard"}
    later = LocalTargets(PLAN, audience=SECRET, now=moment(70), standing=[(alarm(), 5)], saved=saved)
    assert later.advance(moment(99)) == []
    assert [(send.target, send.attempt) for send in later.advance(moment(100))] == [("horn", 2), ("guard", 2)]
    gone = LocalTargets(PLAN, audience=SECRET, now=moment(70), saved=saved)
    assert gone.facts() == []
    with pytest.raises(FormatError):
        LocalTargets(PLAN, audience=SECRET, now=moment(0), saved={"horn": b"\xc1"})


@pytest.mark.parametrize(("oldest", "wanted"), [(3, 5), (5, 5), (6, None)])
def test_after_a_restart_what_the_office_has_is_known(oldest: Micros, wanted: int | None) -> None:
    """Of an alarm that was raised in block 5: it is lacking unless the office has that block."""
    found = standing([alarm(), alarm("L02", "C")], "e", oldest, 0, lambda _: None)
    assert found == ([] if wanted is None else [(alarm(), wanted)])
    assert standing([alarm()], "another", oldest, 0, lambda _: None) == []


def test_who_was_never_told_of_comes_before_what_is_told_again() -> None:
    """Fifty have been told of and nobody heeds them: the next one is told at once, and so are two when 52 are due."""
    case = Case()
    case.moved(40, *(alarm(f"L{number}") for number in range(100, 100 + AT_ONCE)))
    assert len(case.told(40, 40)) == 2 * AT_ONCE
    case.moved(50, alarm("L900"))
    assert case.told(50, 50) == [(50, "horn", 1), (50, "guard", 1)]
    case.moved(120, alarm("L901"), alarm("L902"))
    horn = [each for each in case.told(120, 120) if each[1] == "horn"]
    assert [attempt for *_, attempt in horn] == [1, 1] + [2] * (AT_ONCE - 2)
    assert len([each for each in case.told(121, 121) if each[1] == "horn"]) == 3, "the rest a moment later"
