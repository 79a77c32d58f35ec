"""A minute of atheris over everything that reads bytes of strangers: nothing is found, and a seeded mistake is."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.fuzz_targets import TARGETS
from tests.mutants.mutants import Mutant, broken, copy_into, environment

pytest.importorskip("atheris")
pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300)]

SECONDS = 10
"""For each target: a minute in all."""
ROOT = Path(__file__).parents[2]
MISTAKE = Mutant(
    name="an element before the first one",
    file="drivers/mqtt/paths.py",
    changes=(("    if not -len(found) <= at < len(found):\n", "    if at >= len(found):\n"),),
    test="tests/faults/test_fuzz.py::test_a_seeded_mistake_is_found",
)


def searched(folder: Path, target: str, seconds: int) -> subprocess.CompletedProcess[str]:
    """Search in the packages of a folder."""
    command = [sys.executable, "-m", "tests.fixtures.fuzz_run", target, str(seconds)]
    return subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True, errors="replace",
        timeout=seconds + 120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found(target: str) -> None:
    """No bytes break a promise, and the search has really searched."""
    run = searched(ROOT, target, SECONDS)
    assert run.returncode == 0, run.stderr[-2_000:]
    (units,) = (line for line in run.stderr.splitlines() if "number_of_executed_units" in line)
    assert int(units.rpartition(":")[2]) > 1_000


def test_a_seeded_mistake_is_found(tmp_path: Path) -> None:
    """With an index out of bounds in the paths the same search ends with it."""
    folder = copy_into(tmp_path / "copy")
    with broken(folder, MISTAKE):
        run = searched(folder, "mqtt-path", 60)
    assert run.returncode != 0
    assert "IndexError" in run.stderr + run.stdout
