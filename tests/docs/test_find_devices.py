"""`docs/find-devices.md` on simulated devices: every command says what the page shows, and its table is complete."""

import re
import sys
from pathlib import Path

import pytest

from edge.cli.discover import discover
from simulators.stage import free_port
from tests.docs.pages import DOCS, blocks, play, swapped, table, write
from tests.docs.test_at_the_cabinet import process
from tests.sk import SK, wait_for

PORTS = ("5051", "1893", "47851")


@pytest.mark.slow
def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """Every command of the page gives the output that the page shows."""
    swap = {shown: str(free_port()) for shown in PORTS}
    for file, content in blocks("find-devices.md"):
        if file:
            write(tmp_path / file, swapped(content, swap))
    with (
        process(tmp_path, "broker", sys.executable, "-m", "simulators.broker", "--port", swap["1893"]),
        process(tmp_path, "sim", *SK, "sim", "found.yaml"),
    ):
        wait_for(lambda: "bms" in (tmp_path / "sim.log").read_text())
        assert play("find-devices.md", tmp_path, swap) == 3


def test_every_way_to_search_is_on_the_page() -> None:
    """The table has each command, and each option by which a search differs."""
    typed = " ".join(row[1] for row in table("find-devices.md", "# Find devices"))
    assert set(re.findall(r"sk discover ([a-z-]+)", typed)) == set(discover.commands)
    assert {"--bbmd", "--network", "--directed", "--range"} <= set(re.findall(r"--[a-z]+", typed))


def test_every_finding_that_has_a_code_is_explained() -> None:
    """Codes of problems that are no plain silence stand on the page."""
    page = (DOCS / "find-devices.md").read_text(encoding="utf-8")
    for code in ("duplicate-instance", "nameless", "refused", "any-unit", "jammed", "held"):
        assert f"`{code}`" in page, code
