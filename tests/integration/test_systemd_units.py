"""The shipped units are what systemd understands, and as closed as we say."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "config" / "systemd"
NAMES = ("sitekeeper.service", "sitekeeper-office.service", "sitekeeper-ingest@.service")
THRESHOLD = "15"
"""Exposure of at most 1.5 on systemd's scale from 0 to 10."""

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


def analyse(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60)


def verify(folder: Path, name: str, content: str) -> str:
    """Return all that systemd has to say about a unit; it exits 0 on keys that it does not know."""
    unit = folder / name
    unit.write_text(content.replace("/opt/sitekeeper/bin/sk", sys.executable), encoding="utf-8")
    done = analyse("verify", "--man=no", str(unit))
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_systemd_understands_every_line(name: str, tmp_path: Path) -> None:
    """`systemd-analyze verify` says nothing at all; a misspelt key would make it speak."""
    content = (UNITS / name).read_text(encoding="utf-8")
    assert verify(tmp_path, name, content) == ""
    assert "WatchdogSecs" in verify(tmp_path, name, content.replace("WatchdogSec=", "WatchdogSecs="))


@pytest.mark.parametrize("name", NAMES)
def test_the_commented_examples_are_understood_too(name: str, tmp_path: Path) -> None:
    """Whoever takes the `#` away from a line gets what systemd understands."""
    content = re.sub(r"^#(?=[A-Z]\w+=)", "", (UNITS / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert "\nLoadCredential=" in content
    assert verify(tmp_path, name, content) == ""


@pytest.mark.parametrize("name", NAMES)
def test_exposure_is_low(name: str, tmp_path: Path) -> None:
    """Exposure is at most 1.5; a unit that may write everywhere would fail."""
    done = analyse("security", "--offline=true", f"--threshold={THRESHOLD}", str(UNITS / name))
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    opened = tmp_path / name
    closed = (UNITS / name).read_text(encoding="utf-8")
    opened.write_text(re.sub(r"^(Protect|Restrict|SystemCall)\w+=.*\n", "", closed, flags=re.MULTILINE))
    assert analyse("security", "--offline=true", f"--threshold={THRESHOLD}", str(opened)).returncode != 0


def test_the_gateway_may_ask_whether_its_clock_is_synchronised() -> None:
    """Without adjtimex(2) the clock is never trusted (edge/clock_trust.py); ProtectClock= would forbid it."""
    lines = (UNITS / "sitekeeper.service").read_text(encoding="utf-8").splitlines()
    assert "SystemCallFilter=adjtimex clock_adjtime" in lines
    assert not [line for line in lines if line.startswith(("ProtectClock=y", "PrivateUsers=y"))]
