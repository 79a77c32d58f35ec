"""The demo, unattended, as a newcomer runs it: a clean account, something at risk, and nothing left behind."""

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.integration.test_console_browser import FLAGS

SK = str(Path(sys.executable).with_name("sk"))
CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip("playwright.async_api")
SHOWN_S = 6.0
"""On a machine with nothing else to do it is 2 s; here everything, a browser among it, has a part of two cores."""
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


class Demo:
    """A demo that runs. `said` holds what it has told so far."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [SK, "demo", "--for", "75s", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.said: list[str] = []
        self._listening = threading.Thread(target=self._listen)
        self._listening.start()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as told:
            self.said.extend(told)

    async def told(self, pattern: str, within: float = 120) -> re.Match[str]:
        """Wait until a line matches."""
        async with asyncio.timeout(within):
            while True:
                assert self._process.poll() is None, "".join(self.said)
                for line in list(self.said):
                    if found := re.search(pattern, line):
                        return found
                await asyncio.sleep(0.02)

    async def end(self) -> tuple[int, str]:
        """Wait for its end; return its exit code and what it printed as data."""
        assert self._process.stdout is not None
        out = await asyncio.to_thread(self._process.stdout.read)
        code = await asyncio.to_thread(self._process.wait, 120)
        self.kill()
        return code, out

    def kill(self) -> None:
        """End it if it still runs, and close what was open."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)
        self._listening.join()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _fact(folder: Path, device: str, fact: str) -> float:
    """Return the wall time in seconds at which something truly happened."""
    lines = map(json.loads, (folder / "devices.jsonl").read_text().splitlines())
    return next(line["t"] / 1e6 for line in lines if (line.get("device"), line.get("fact")) == (device, fact))


@asynccontextmanager
async def _browser(url: str, password: str) -> AsyncIterator[tuple["playwright.Page", "playwright.Page"]]:
    """Yield two pages of one who has logged in: all alarms, and the site."""
    async with playwright.async_playwright() as api:
        chromium = await api.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        try:
            context = await chromium.new_context(locale="en")
            context.set_default_timeout(30_000)
            alarms, site = await context.new_page(), await context.new_page()
            await alarms.goto(url)
            await alarms.fill("[name=name]", "operator")
            await alarms.fill("[name=password]", password)
            await alarms.click("button.main")
            for page, path in ((alarms, "alarms"), (site, "sites/estate")):
                await page.goto(url + path)
                await page.wait_for_selector("#link.on")
            yield alarms, site
        finally:
            await chromium.close()


async def _look(demo: Demo) -> None:
    """See the cut show and end, the fire come, and acknowledge the entrapment from the page."""
    folder = Path((await demo.told(r"databases: (\S+)"))[1])
    where = await demo.told(r"(http://\S+/)  user operator  password (\S+)")
    async with _browser(where[1], where[2]) as (alarms, site):
        await demo.told("line to the office is dead")
        await site.wait_for_selector(".heard.silent")
        await demo.told("line is good again")
        await site.wait_for_selector(".heard.live")
        await alarms.wait_for_selector('tr[data-occurrence*="/F01@"]')
        assert time.time() - _fact(folder, "fire-panel", "fire alarm") < SHOWN_S
        await alarms.click('tr[data-occurrence*="/L01@"] .opens')
        await alarms.fill("#note", "called the car")
        await alarms.click("#ack")
        await alarms.wait_for_selector("#pending")
        await alarms.wait_for_selector("#pending", state="detached")
        assert "called the car" in await alarms.inner_text("#story")
        assert "acknowledged" in await alarms.inner_text("#state")


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
async def test_the_demo_loses_nothing_and_the_console_shows_it() -> None:
    """A clean account and nothing left behind; meanwhile, in a browser, the dead line shows, a fire is on the page
    within seconds of its beginning, and an acknowledgement from the page reaches the site."""
    demo = Demo()
    try:
        await _look(demo)
        code, out = await demo.end()
    finally:
        demo.kill()
    assert code == 0, out + "".join(demo.said)
    account = json.loads(out)
    assert account["ok"] is True
    assert (account["lost"], account["duplicated"], account["wrong_values"], account["unexplained_s"]) == (0, 0, 0, 0.0)
    assert (account["devices"], account["points"] > 350, account["polls"] > 1_000) == (35, True, True)
    assert account["events_stored"] >= account["events"] > 30  # what doors told before the site knew them is kept, too
    assert account["alarms"]["by_rule"] == dict.fromkeys(("A01", "A13", "B01", "F01", "G01", "L01", "L22"), 1)
    assert account["alarms"]["pushed"] == 5  # not the lamp, which is advice, nor A13, which F01 says
    freed = account["freed"]
    assert (freed["doors"], freed["barriers"], freed["luminaires"]) == (6, 1, 8)
    assert account["resent_blocks"] >= 1
    at_risk = account["at_risk"]  # the gateway may die between two readings, and no door may open meanwhile
    assert at_risk["alarms raised while the office was away"] >= 1
    assert at_risk["blocks that waited"] >= 1
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
