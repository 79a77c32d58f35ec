"""Pages as tests: the files that a page shows are written, its console blocks run in order, their output compared.

In what a page shows, `...` stands for anything: times, ages, what differs from one machine to the next.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
_BLOCK: Final = re.compile(r"^```(?:console|yaml file=(\S+))\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[str, str]]:
    """Return (file, content) of a page's blocks in order; the file of a console block is empty."""
    return _BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))


def play(page: str, folder: Path, swap: Mapping[str, str] | None = None, **environment: str) -> int:
    """Do in `folder` what the page says; return how many commands were run.

    Args:
        swap: what stands on the page, such as a port -> what it is today.
    """
    if not (folder / "config").exists():
        (folder / "config").symlink_to(ROOT / "config")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    known = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", **environment}
    ran = 0
    for file, content in blocks(page):
        if file:
            write(folder / file, swapped(content, swap))
            continue
        for command, expected in commands(swapped(content, swap)):
            done = subprocess.run(
                ["sh", "-c", command], cwd=folder, env=known, capture_output=True, text=True, timeout=60
            )
            assert matches(expected, done.stdout), f"{command}\n--- shown\n{expected}\n--- said\n{done.stdout}"
            ran += 1
    return ran


def write(path: Path, content: str) -> None:
    """Write a file that a page shows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def swapped(content: str, swap: Mapping[str, str] | None) -> str:
    """Return what a page shows with today's ports."""
    if not swap:
        return content
    return re.sub("|".join(map(re.escape, swap)), lambda found: swap[found[0]], content)


def commands(block: str) -> list[tuple[str, str]]:
    """Split a console block into commands and the output expected of each."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [(command, output) for command, _, output in (part.partition("\n") for part in parts)]


def matches(expected: str, said: str) -> bool:
    """Tell whether a command said what the page shows, where a last line always ends."""
    said += "" if said.endswith("\n") or not said else "\n"
    return re.fullmatch(".*?".join(map(re.escape, expected.split("..."))), said, re.DOTALL) is not None


def table(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading, without its head."""
    text = (DOCS / page).read_text(encoding="utf-8").partition(f"{heading}\n")[2]
    rows = re.search(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert rows is not None, heading
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[0].splitlines()[2:]]
