"""`docs/add-a-device.md` does what it says: its console blocks are run, its files written, its output compared."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(console|yaml file=(\S+))\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[tuple[str, str]]:
    """Split a console block into commands and the output expected of each."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [(command, output) for command, _, output in (part.partition("\n") for part in parts)]


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """Every command of the page gives exactly the output that the page shows."""
    (tmp_path / "config").symlink_to(ROOT / "config")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    ran = 0
    for kind, file, content in BLOCK.findall((ROOT / "docs" / "add-a-device.md").read_text(encoding="utf-8")):
        if kind != "console":
            (tmp_path / file).write_text(content, encoding="utf-8")
            continue
        for command, expected in commands(content):
            done = subprocess.run(
                ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30
            )
            assert done.stdout == expected, command
            ran += 1
    assert ran >= 6
