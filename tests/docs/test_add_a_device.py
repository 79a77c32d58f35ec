"""`docs/add-a-device.md` does what it says: its console blocks are run, its files written, its output compared."""

import re
import socket
import subprocess
from pathlib import Path

from edge.commands.warning import OCCUPIED
from edge.rules.packs import shipped_writables
from simulators.stage import free_port
from tests.docs.pages import ROOT, blocks, play, swapped, table, write
from tests.sk import SK, wait_for


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """Every command of the page gives exactly the output that the page shows, on the bench that it describes."""
    port = free_port()
    for file, content in blocks("add-a-device.md"):
        if file == "bench.yaml":
            write(tmp_path / file, swapped(content, {"5061": str(port)}))
    with subprocess.Popen([*SK, "sim", "bench.yaml"], cwd=tmp_path, stdout=subprocess.DEVNULL) as bench:
        try:
            wait_for(lambda: listens(port))
            assert play("add-a-device.md", tmp_path, {"5061": str(port)}) == 18
        finally:
            bench.terminate()


def listens(port: int) -> bool:
    with socket.socket() as caller:
        caller.settimeout(5)
        return caller.connect_ex(("127.0.0.1", port)) == 0


def test_the_tags_are_those_that_mean_something() -> None:
    """Every tag of which a shipped class or rule speaks, and no other."""
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "config/rules").glob("*.yaml"))
    rules = "\n".join(line for line in rules.splitlines() if not line.startswith("      "))  # without the tests
    spoken = {tag for tags in re.findall(r"tags: \[([a-z, -]+)\]", rules) for tag in tags.split(", ")}
    spoken |= set(re.findall(r"tagged\('([a-z-]+)'\)", rules)) | set(re.findall(r"tag='([a-z-]+)'", rules))
    writables = [each for points in shipped_writables().values() for each in points.values()]
    spoken |= {tag for each in writables for tag in each.tagged} | {OCCUPIED for each in writables if each.warn}
    shown = {row[0].strip("`") for row in table("add-a-device.md", "shipped classes and rules:")}
    assert shown == spoken
