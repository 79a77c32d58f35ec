"""Invariants C1 to C3 on both machines with a bad network between them."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.cloud_sync.material import EPOCH, SITE
from tests.unit.cloud_sync.rig import Rig

STEPS = 120


def run(seed: int, *, steps: int = STEPS, **broken: bool) -> Rig:
    rig = Rig(seed, **broken)
    for _ in range(steps):
        rig.step()
    rig.settle()
    return rig


@given(st.integers(min_value=0, max_value=2**32))
@settings(max_examples=15, deadline=None)
def test_nothing_is_lost_nothing_is_doubled_and_alarms_keep_their_order(seed):
    """Whatever is lost, repeated, swapped or killed on the way, the office holds every block once, alarms in order."""
    rig = run(seed)
    assert set(rig.office.blocks) == made_by(rig)
    assert set(rig.office.writes.values()) <= {1}
    assert rig.office.order == list(range(1, len(rig.source.blocks["alarms"]) + 1))
    assert rig.office.missing == []
    assert rig.source.left() == 0


def test_the_schedules_had_something_to_lose():
    """Over a few seeds messages were lost, repeated and swapped, and the office died between commit and receipt."""
    happened: Counter[str] = Counter()
    for seed in range(8):
        happened += run(seed).happened
    assert all(happened[what] > 3 for what in ("lost", "repeated", "swapped", "died after commit")), happened


def made_by(rig: Rig) -> set[tuple[str, str, str, int]]:
    return {(SITE, EPOCH, stream, sequence) for stream, blocks in rig.source.blocks.items() for sequence in blocks}


@pytest.mark.parametrize("seed", range(3))
def test_control_believing_the_broker_loses_blocks(seed):
    """A site that takes the broker's acknowledgement for a receipt loses blocks on these schedules."""
    rig = run(seed, believe_broker=True)
    assert set(rig.office.blocks) != made_by(rig)


@pytest.mark.parametrize("seed", range(3))
def test_control_an_office_without_dedupe_doubles_blocks(seed):
    """An office that applies every block it gets doubles blocks on these schedules."""
    assert max(run(seed, dedupe=False).office.writes.values()) > 1
