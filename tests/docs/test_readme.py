"""The README's commands exist and do what their comments say; its links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
ASKED = re.compile(r"^(sk (?:config|rule) .*?)(?:\s+#.*)?$", re.MULTILINE)


def _run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )


def test_what_needs_no_daemon_runs_as_shown() -> None:
    """Each `sk config` and `sk rule` line of the five minutes exits 0 and says something."""
    commands = [command for block in BLOCKS for command in ASKED.findall(block)]
    assert len(commands) >= 3
    for command in commands:
        done = _run(command, ROOT)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert done.stdout, command


def test_every_command_named_exists() -> None:
    """Each `sk NOUN VERB` of the page knows `--help`."""
    named = set(
        re.findall(r"\bsk ((?:config|rule|alarm|point|device|sync|office) [a-z]+|status|sim|run|demo|version)", TEXT)
    )
    assert {"status", "demo", "run", "sim"} <= named
    for words in sorted(named):
        assert _run(f"sk {words} --help", ROOT).returncode == 0, words


def test_every_link_leads_somewhere() -> None:
    """Relative links of the README and of docs/ point at files of this repository."""
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_make_targets_named_exist() -> None:
    """The two commands are targets of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)", TEXT, re.MULTILINE)) <= targets
