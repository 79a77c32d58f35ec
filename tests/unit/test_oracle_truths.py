"""What the simulators' journal says was truly so, and which alarm that calls for: one line of each kind."""

from typing import Any

import pytest

from tests.oracle_truths import NEEDED, truths

S = 1_000_000


def journal(*lines: tuple[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return lines of one device, each at so many seconds."""
    return [{"t": at * S, "device": "d", **line} for at, line in lines]


@pytest.mark.parametrize(
    ("begins", "ends", "rules"),
    [
        ({"fact": "reader opened"}, {"fact": "reader closed"}, {"A08"}),
        ({"fact": "escalator overspeed"}, {"fact": "escalator clear"}, {"E01"}),
        ({"fact": "escalator missing step"}, {"fact": "escalator clear"}, {"E03"}),
        ({"fact": "escalator safety"}, {"fact": "escalator clear"}, {"E04"}),
        ({"fact": "escalator alarm"}, {"fact": "escalator alarm over"}, {"E07"}),
        ({"fact": "gas detector fault"}, {"fact": "gas detector good"}, {"H03"}),
        ({"fact": "fire alarm"}, {"fact": "panel reset"}, {"F01", "A13"}),
        ({"points": {"overspeed": True}}, {"points": {"overspeed": False}}, {"L10"}),
        ({"points": {"fault_pit": True}}, {"points": {"fault_pit": False}}, {"L06"}),
        ({"points": {"fault_pit": True}}, {"points": {"service_mode": "inspection"}}, {"L06"}),
        ({"points": {"gas.al1": True}}, {"points": {"gas.al2": True}}, {"H01"}),
        (
            {"points": {"lane.state": "closed", "cabinet.open": True, "power": "failed"}},
            {"points": {"cabinet.open": False, "power": "mains"}}, {"B13-CABINET"},
        ),
        (
            {"points": {"fire.alarm": False, "fire.fault": True, "line.zone1": True}},
            {"points": {"fire.fault": False, "line.zone1": False}}, {"F03"},
        ),
    ],
)  # fmt: skip
def test_a_truth_lasts_from_what_begins_it_to_what_ends_it(begins: Any, ends: Any, rules: set[str]) -> None:
    """Each calls for its alarm and for no other, and the judge knows how long it must last."""
    found = list(truths(journal((10, begins), (70, ends), (100, {"fact": "nothing"}))))
    assert {(rule, start, end) for rule, _, start, end in found} == {(rule, 10 * S, 70 * S) for rule in rules}
    assert NEEDED.keys() >= rules


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ({"fact": "followed through"}, "A07"),
        ({"event": {"kind": "read", "granted": False, "reason": 8}}, "A05"),
        ({"event": {"kind": "read", "granted": True, "reason": 1, "duress": True}}, "A06"),
    ],
)
def test_a_truth_of_one_moment_may_be_told_a_little_later(line: Any, rule: str) -> None:
    """What has no length has a few seconds."""
    assert list(truths(journal((10, line), (100, {"fact": "nothing"})))) == [(rule, "d", 10 * S, 15 * S)]


def test_a_boom_that_meets_something_three_times_in_ten_minutes() -> None:
    """Twice is no alarm, nor are three times in an hour."""
    often = [(at, {"fact": "obstacle"}) for at in (0, 30, 1_000, 1_400, 1_590)]
    assert list(truths(journal(*often))) == [("B04", "d", 1_590 * S, 1_595 * S)]
