"""`docs/at-the-cabinet.md` on simulated devices of all three protocols: every command says what the page shows."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from simulators.stage import free_port
from tests.docs.pages import DOCS, ROOT, blocks, play, swapped, table, write
from tests.sk import SK, sk, wait_for

pytestmark = pytest.mark.slow

PORTS = ("5041", "5042", "5043", "1883", "47831")


@contextmanager
def process(folder: Path, name: str, *command: str) -> Iterator[None]:
    with (folder / f"{name}.log").open("wb") as log:
        running = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        running.terminate()
        try:
            running.wait(20)
        finally:
            running.kill()


@contextmanager
def everything(folder: Path, broker: str, replayed: str) -> Iterator[Path]:
    """Start what the page says, and wait until the silent and the frozen lift are known as such."""
    socket = folder / "control.sock"
    with (
        process(folder, "broker", sys.executable, "-m", "simulators.broker", "--port", broker),
        process(folder, "sim", *SK, "sim", "cabinet.yaml"),
        process(folder, "replay", *SK, "sim", "--from", "counter.json", "--port", replayed),
        process(folder, "gateway", *SK, "run", "--site", "cabinet", "--socket", "control.sock"),
    ):
        wait_for(lambda: sk("device", "list", SITEKEEPER_SOCKET=str(socket)).out.count("\tanswers\t") == 4)
        wait_for(lambda: "lift-a2, lift-a3" in sk("status", SITEKEEPER_SOCKET=str(socket)).out)
        yield socket


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """Every command of the page gives the output that the page shows."""
    swap = {shown: str(free_port()) for shown in PORTS}
    for file, content in blocks("at-the-cabinet.md"):
        if file:
            write(tmp_path / file, swapped(content, swap))
    with everything(tmp_path, swap["1883"], swap["5043"]) as socket:
        assert play("at-the-cabinet.md", tmp_path, swap, SITEKEEPER_SOCKET=str(socket)) == 19


def test_every_command_of_the_situations_exists() -> None:
    """What the table says to type is there."""
    typed = [cell[1] for cell in table("at-the-cabinet.md", "# At the cabinet") if len(cell) == 3]
    named = {words for cell in typed for words in re.findall(r"`sk ([a-z]+(?: [a-z]+)?)", cell)}
    assert len(typed) >= 10
    assert {"status", "doctor", "why", "probe modbus", "probe bacnet", "probe mqtt", "point read"} <= named
    for words in named:
        assert sk(*words.split(), "--help").code == 0, words


def test_the_page_names_every_hop() -> None:
    """All hops of `sk why`, in their order."""
    words = yaml.safe_load((ROOT / "config/lang/en/cli.yaml").read_text(encoding="utf-8"))
    hops = [key.removeprefix("why.hop.") for key in words if key.startswith("why.hop.")]
    assert ", ".join(hops) in (DOCS / "at-the-cabinet.md").read_text(encoding="utf-8")
