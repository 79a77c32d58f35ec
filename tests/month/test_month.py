"""A month of an estate that shares nothing with the packs: what must ring does, and nothing else."""

from collections import Counter
from pathlib import Path

import pytest

from edge.rules import packs
from tests.month import faults
from tests.month import faults_doors as doors
from tests.month import faults_lifts as lifts
from tests.month.run import Outcomes, month
from tests.month.world import MINUTE
from tests.mutants.rules import everything, variants

pytestmark = pytest.mark.timeout(1_500)  # half a minute of work, on two cores that others use too

DAYS = 30
SEED = "a month"
REPEATED = 2
"""Days of it that are run twice."""

FATAL = (
    lifts.entrapment, lifts.entrapment_with_button, lifts.entrapment_in_the_dark, lifts.halt_short,
    lifts.under_inspection, *(lifts.button_at_landing,) * 4, *(lifts.nobody_leaves,) * 2, lifts.opened_between,
    *(lifts.flagged(name) for name in lifts.FLAGS[:5]), *(doors.forced,) * 3, doors.under_duress, faults.fire,
    faults.gas, faults.contact("panel", "one detector", 4 * MINUTE, contact__zone2=True),
    faults.contact("leak-1", "leak near switches", 5 * MINUTE, contact__leak=True),
)  # fmt: skip
"""A day with little else than danger."""

MISTAKES = (
    ("L01", "negate"), ("L03", "no-delay params.pressed_for"), ("L08", "no-delay on_delay"), ("A01", "negate"),
    ("F01", "negate"), ("F02", "no-delay params.verify_within"), ("H02", "negate"),
    ("W01", "no-delay levels.0.after"),
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Thirty days."""
    return month(tmp_path_factory.mktemp("month"), SEED, DAYS, snapshot=REPEATED)


def test_every_danger_rings_in_time_and_none_without_its_cause(whole: Outcomes) -> None:
    """Each injected P1 condition is raised within its limits, and no P1 rings without its cause."""
    assert whole.of("P1") == ([], [])
    met = Counter(due.rule for due in whole.due if due.priority == "P1")
    assert met.keys() >= {
        "L01",
        "L02",
        "L03",
        "L05",
        "L06",
        "L07",
        "L08",
        "L09",
        "L10",
        "A01",
        "F01",
        "F02",
        "H02",
        "W01",
    }
    assert met.total() >= 20


def test_all_other_faults_ring_in_time_and_nothing_else_does(whole: Outcomes) -> None:
    """The same of P2 to P4: what was too short, bounced, or was ordinary traffic is no alarm."""
    assert (whole.missing, whole.unexplained) == ([], [])
    assert len(whole.due) > 150
    assert whole.records > 200_000


def test_one_alarm_at_most_in_ten_minutes(whole: Outcomes) -> None:
    """Outside the injected storms no two alarms ring within ten minutes, and at the end none is left over."""
    assert whole.crowded == []
    assert whole.standing == []


def test_the_same_seed_gives_the_same_bytes(whole: Outcomes, tmp_path: Path) -> None:
    """The month begun anew records byte for byte the same; another seed does not."""
    again = month(tmp_path, SEED, DAYS, snapshot=REPEATED, stop=REPEATED)
    assert again.digest == whole.digest
    assert month(tmp_path, "another", DAYS, snapshot=1, stop=1).digest != whole.digest


def test_a_day_of_dangers_is_judged_well(tmp_path: Path) -> None:
    """The day with which mistakes are looked for is faultless without them."""
    found = month(tmp_path, SEED, 1, FATAL)
    assert (found.missing, found.unexplained) == ([], [])
    assert len(found.due) >= len(FATAL) - 5


@pytest.mark.parametrize(("rule", "name"), MISTAKES)
def test_a_mistake_in_a_rule_of_dangers_shows(
    rule: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule that is turned round, or does not wait as long as it should, misses its alarm or rings without cause."""
    text = next(text for text in everything() if text.mapping["id"] == rule)
    wrong = next(variant for variant in variants(text) if variant.name == name).text
    shipped = packs.load

    def load(*asked: object) -> tuple[object, ...]:
        return tuple(wrong if each.mapping.get("id") == rule else each for each in shipped(*asked))  # type: ignore[arg-type]

    monkeypatch.setattr(packs, "load", load)
    found = month(tmp_path, SEED, 1, FATAL)
    assert found.missing or found.unexplained


@pytest.mark.faults
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", [f"month {n} of the year" for n in range(1, 13)])
def test_a_year_of_estates(seed: str, tmp_path: Path) -> None:
    """Twelve months, each with faults and traffic of its own."""
    found = month(tmp_path, seed, DAYS)
    assert (found.missing, found.unexplained, found.crowded, found.standing) == ([], [], [], [])
