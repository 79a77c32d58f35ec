"""Each deliberately broken variant turns its named test red, and without the mistake the same tests are green.

The variants are made in a copy of the packages, in a temporary folder, from which the tests are run.
"""

import os
import subprocess
import sys
from compileall import compile_dir
from pathlib import Path
from py_compile import PycInvalidationMode

import pytest

from tests.mutants.mutants import MUTANTS, Mutant, broken, copy_into, environment

WITHIN_S = 200
EXPERIMENT_WITHIN_S = 400
FULL = os.environ.get("SITEKEEPER_FULL") == "1"
PACKAGES = ("sitekeeper", "drivers", "edge", "cloud_sync", "office", "simulators")
PASSED, FAILED = 0, 1
"""Exit codes of pytest; a test that cannot be found or imported ends with another one."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(WITHIN_S + 60)]


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the copy, with byte code that is believed only where the hash of its source says so."""
    folder = copy_into(tmp_path_factory.mktemp("mutants"))
    for package in PACKAGES:
        compile_dir(folder / package, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    return folder


def python(folder: Path, *arguments: str, within: float = WITHIN_S) -> subprocess.CompletedProcess[str]:
    """Run Python on the copy and nothing but the copy."""
    whole = {**os.environ, **environment(folder)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=whole, capture_output=True, text=True, timeout=within)


def pytest_on(folder: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    return python(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests)


def test_without_a_mistake_the_named_tests_are_green(copy: Path) -> None:
    """What turns red below is red because of the mistake; and it is the copy that is tested."""
    done = pytest_on(copy, *sorted({mutant.test for mutant in MUTANTS}))
    assert done.returncode == PASSED, done.stdout[-2000:]
    code = "import edge, cloud_sync, drivers; print(edge.__file__, cloud_sync.__file__, drivers.__file__)"
    where = python(copy, "-c", code)
    assert all(Path(path).is_relative_to(copy) for path in where.stdout.split()), where


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mistake_turns_its_test_red(copy: Path, mutant: Mutant) -> None:
    """The named test fails when this one mistake is made."""
    with broken(copy, mutant):
        done = pytest_on(copy, mutant.test)
    assert done.returncode == FAILED, f"{mutant.test} did not find it: {done.stdout[-2000:]}"
    assert " failed" in done.stdout.splitlines()[-1]


if FULL:

    @pytest.mark.timeout(2 * EXPERIMENT_WITHIN_S)
    @pytest.mark.parametrize(
        "mutant", [mutant for mutant in MUTANTS if mutant.experiment], ids=lambda mutant: mutant.name
    )
    def test_a_mistake_turns_its_experiment_red(copy: Path, mutant: Mutant) -> None:
        """The fault test finds it too, with the counts of the test tier."""
        run = f"sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', {mutant.experiment!r}]))"
        code = f"import os, sys, pytest; os.environ.pop('SITEKEEPER_FULL'); {run}"
        with broken(copy, mutant):
            done = python(copy, "-c", code, within=EXPERIMENT_WITHIN_S)
        assert done.returncode == FAILED, f"{mutant.experiment} did not find it: {done.stdout[-2000:]}"
