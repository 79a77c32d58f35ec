"""The demo, unattended, as a newcomer runs it: a clean account, something at risk, and nothing left behind."""

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

SK = str(Path(sys.executable).with_name("sk"))
PARTS = ("simulators.broker", "simulators.phone", "simulators.tap", "sk run --site", "sk office run", "sk sim")


def _running() -> set[str]:
    """Return the process ids of everything that a demo starts."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if any(part in words for part in PARTS) and "sitekeeper-demo-" in words:
            found.add(entry.parent.name)
    return found


def test_the_demo_loses_nothing_and_leaves_nothing() -> None:
    """`sk demo --for 75s --json` gives the account as data, exits 0, and leaves no process and no file."""
    done = subprocess.run([SK, "demo", "--for", "75s", "--json"], capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    account = json.loads(done.stdout)
    assert account["ok"] is True
    assert (account["lost"], account["duplicated"], account["wrong_values"], account["unexplained_s"]) == (0, 0, 0, 0.0)
    assert (account["devices"], account["points"] > 350, account["polls"] > 1_000) == (35, True, True)
    assert account["events"] == account["events_stored"] > 30
    assert account["alarms"]["by_rule"] == dict.fromkeys(("A01", "B01", "F01", "G01", "L01", "L22"), 1)
    assert account["alarms"]["pushed"] == 5  # not the lamp: advice is not pushed
    freed = account["freed"]
    assert (freed["doors"], freed["barriers"], freed["luminaires"]) == (6, 1, 8)
    assert account["resent_blocks"] >= 1
    assert account["at_risk"]["deaths with work in hand"] >= 1
    assert account["at_risk"]["alarms raised while the office was away"] >= 1
    assert not list(Path(tempfile.gettempdir()).glob("sitekeeper-demo-*"))
    assert not _running()


def test_an_interrupted_demo_leaves_nothing() -> None:
    """Ctrl-C in the middle ends with 130, and no process and no file is left."""
    with subprocess.Popen([SK, "demo"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "http://127.0.0.1" in line:
                break
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 130
    assert not list(Path(tempfile.gettempdir()).glob("sitekeeper-demo-*"))
    assert not _running()


def test_a_shorter_demo_is_refused() -> None:
    """The delays of the story are real, so a length that cuts them is a usage error that names the shortest."""
    done = subprocess.run([SK, "demo", "--for", "10s"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "75s" in done.stderr
