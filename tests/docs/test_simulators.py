"""`docs/simulators.md`: its scenario runs and leaves the journal shown; its tables are what the simulators know."""

import re
import subprocess
from pathlib import Path

import pytest

from simulators.scenario import FACES, load
from tests.docs.pages import DOCS, ROOT, blocks, play, table, write
from tests.sk import SK, sk, wait_for

PAGE = (DOCS / "simulators.md").read_text(encoding="utf-8")
COLUMNS = (0, 18, 26, 50)
"""Where the columns of `sk sim --faults` begin."""


@pytest.mark.slow
def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """The scenario runs, its mistake is told, its journal has the lines shown."""
    for file, content in blocks("simulators.md"):
        if file:
            write(tmp_path / file, content)
    journal = tmp_path / "journal.jsonl"
    simulated = subprocess.Popen(
        [*SK, "sim", "bad-line.yaml", "--free-ports", "--journal", journal.name],
        cwd=tmp_path, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: journal.exists() and "mains failed" in journal.read_text())
    finally:
        simulated.terminate()
        assert simulated.wait(20) == 0
    assert play("simulators.md", tmp_path) == 2


def test_the_table_of_faults_is_that_of_the_command() -> None:
    """Each fault with its place, protocols and meaning, as `sk sim --faults` tells them."""
    lines = sk("sim", "--faults").out.splitlines()
    ends = (*COLUMNS[1:], None)
    wanted = [[line[start:end].strip() for start, end in zip(COLUMNS, ends, strict=True)] for line in lines]
    wanted = [[f"`{row[0]}`", *row[1:]] for row in wanted]
    shown = table("simulators.md", "## Faults")
    assert shown == wanted, "the table should be:\n" + "\n".join(f"| {' | '.join(row)} |" for row in wanted)


def test_the_table_of_faces_is_that_of_the_scenarios() -> None:
    """Each face with exactly what can happen to it."""
    shown = {
        face: frozenset(re.findall(r"`([a-z_]+)`", acts))
        for faces, acts in table("simulators.md", "as fast. A mistake is told with its place, as in a site.")
        for face in re.findall(r"`([a-z0-9-]+)`", faces)
    }
    assert shown == {face: frozenset(acts) for face, acts in FACES.items()}


def test_every_shipped_scenario_is_named() -> None:
    """And each can be read."""
    for path in sorted((ROOT / "config/scenarios").glob("*.yaml")):
        assert f"`{path.name}`" in PAGE, path.name
        load(path)


def test_every_line_of_the_journal_is_told() -> None:
    """The keys of the journal's own description stand on the page."""
    described = (ROOT / "simulators/journal.py").read_text(encoding="utf-8").split('"""')[1]
    keys = {key for line in re.findall(r"\{(t, [a-z, .]+)\}", described) for key in line.split(", ")} - {"..."}
    told = {key for line in re.findall(r"\{(t, [a-z, ]+)\}", PAGE) for key in line.split(", ")}
    assert keys == told
