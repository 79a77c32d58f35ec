"""`make shots`: the pictures in docs/screenshots, taken of a running console: `python -m tests.shots`.

By default of the demo, whose output tells the address and the login; `--of estate` takes a site of all families from
made-up data instead, for days on which the demo does not run. Nothing here knows an id: pages are found by their links.
"""

import argparse
import asyncio
import contextlib
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from playwright.async_api import async_playwright

from cloud_sync.memory import MemoryBroker
from sitekeeper.model.alarm import AlarmState, Cause
from sitekeeper.model.clock import MINUTE, SECOND, SystemClock
from tests.console_estate import PASSWORDS, named, running, site_on
from tests.console_families import Court, court_on
from tests.sk import SK

if TYPE_CHECKING:
    from playwright.async_api import Page

FOLDER: Final = Path(__file__).parents[1] / "docs/screenshots"
LARGEST: Final = 200_000
"""Bytes of a picture."""
WIDE, PHONE = {"width": 1280, "height": 780}, {"width": 360, "height": 780}
LOGIN: Final = re.compile(r"(https?://\S+)\s+user (\S+)\s+password (\S+)")
ALARM_WITHIN_S, MORE_WITHIN_S, LIVE_WITHIN_S = 70, 35, 40
MORE: Final = 4
"""Alarms that are worth waiting for."""
FLAGS: Final = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


class Login(NamedTuple):
    """Where a console is and how to get in."""

    url: str
    user: str
    password: str


@asynccontextmanager
async def demo() -> AsyncIterator[Login]:
    """Run the demo until the pictures are taken."""
    process = await asyncio.create_subprocess_exec(
        *SK, "demo", "--lang", "en", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    told = ""
    try:
        async with asyncio.timeout(60):
            while (found := LOGIN.search(told)) is None:
                line = await process.stdout.readline()
                if not line:
                    sys.exit(f"the demo ended before it told its console:\n{told}")
                told += line.decode()
        reading = asyncio.ensure_future(process.stdout.read())  # or a full pipe would stop it
        yield Login(*found.groups())
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        await process.wait()
    await reading


@asynccontextmanager
async def estate() -> AsyncIterator[Login]:
    """Run an office with a site of all families on made-up data."""
    broker = MemoryBroker()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        app = await stack.enter_async_context(running(Path(folder), broker))
        court = await stack.enter_async_context(court_on(broker))
        await court.remember(SystemClock().wall() - 20 * SECOND)
        at = SystemClock().wall() - 3 * MINUTE
        for device, rule, priority in (("lift-a2", "L01", "P1"), ("door-2", "A01", "P2"), ("lamp-07", "G04", "P3")):
            await court.alarm(rule, priority, Cause.RAISE, AlarmState.UNACKED, device=device, at=at)
            at += 40 * SECOND
        await _others(stack, broker)
        living = asyncio.ensure_future(_live(court))
        try:
            assert app.console is not None
            yield Login(app.console.address, "ann", PASSWORDS["ann"])
        finally:
            living.cancel()


async def _others(stack: AsyncExitStack, broker: MemoryBroker) -> None:
    """Add two sites: one that told its last hour, and one whose line went down in the middle of it."""
    now = SystemClock().wall()
    for name, names, ago in (
        ("pine", named("Pine Court", "松濤苑一期", "松涛苑一期"), 0),
        ("hill", named("Hillside Tower", "山景大廈", "山景大厦"), 40 * MINUTE),
    ):
        site = await stack.enter_async_context(site_on(broker, name, **names))
        await site.samples(now - 90 * MINUTE, now - ago, floor=3, online=True)


async def _live(court: Court) -> None:
    told = SystemClock().wall() - 30 * SECOND  # from before the last word of its beginning: no second between them
    while True:
        await court.say()
        now = SystemClock().wall()
        await court.tell(told, now)
        told = now
        await asyncio.sleep(2)


async def enter(page: "Page", login: Login) -> None:
    """Log in."""
    await page.goto(login.url)
    await page.fill("[name=name]", login.user)
    await page.fill("[name=password]", login.password)
    await page.click("button.main")
    await page.wait_for_selector("#link.on")


async def pictures(page: "Page", login: Login) -> None:
    """Wait for an alarm, and take each page."""
    await page.goto(f"{login.url}alarms")
    rows = page.locator("tr[data-occurrence]")
    await rows.first.wait_for(timeout=ALARM_WITHIN_S * 1_000)
    with contextlib.suppress(TimeoutError):  # a story makes the better picture in its middle; any alarm will do
        async with asyncio.timeout(MORE_WITHIN_S):
            while await rows.count() < MORE:
                await asyncio.sleep(0.5)
    await page.click("tr[data-occurrence] .opens >> nth=0")
    await page.wait_for_selector("#drawer h2")
    await _take(page, "alarms")
    await page.goto(f"{login.url}sites")
    await _take(page, "sites", of_site=True)
    await page.click(".tile a >> nth=0")
    await page.wait_for_selector(".tiles.devices")
    await page.evaluate("document.querySelector('section.group').previousElementSibling.scrollIntoView()")
    await _take(page, "site", of_site=True)
    site = page.url
    await page.locator(".alarms .c-device a, .tiles.devices .tile a").first.click()  # an alarm's, if one stands
    await page.wait_for_selector(".values")
    await _take(page, "device", of_site=True)
    await _record(page, login)
    await page.set_viewport_size(PHONE)
    await page.goto(f"{login.url}alarms")
    await _take(page, "phone-alarms")
    await page.goto(site)
    await _take(page, "phone-site", of_site=True)
    await page.set_viewport_size(WIDE)
    await _trend(page, site)


async def _record(page: "Page", login: Login) -> None:
    """Take the ledger of all sites, a scan group's day reached by its links, and the buffers."""
    await page.goto(f"{login.url}ledger")
    await page.wait_for_selector("table.ledger")
    await _take(page, "ledger")
    for _ in range(2):  # a site's day, a group's
        await page.locator("table.ledger .c-name a").first.click()
        await page.wait_for_load_state()
    await page.wait_for_selector("svg.day")
    await _take(page, "ledger-group")
    await page.goto(f"{login.url}buffers")
    await _take(page, "buffers")
    await page.set_viewport_size(PHONE)
    await page.goto(f"{login.url}ledger")
    await page.wait_for_selector("table.ledger")
    await _take(page, "phone-ledger")


async def _trend(page: "Page", site: str) -> None:
    """Take the trend, among the first group's devices, of the point with the most in it."""
    best, most = "", -1
    await page.goto(site)
    group = page.locator("section.group").first
    devices = await group.locator(".tile a").evaluate_all("links => links.map(link => link.href)")
    for device in devices:
        await page.goto(device)
        points = await page.locator("tr[data-point] th a").evaluate_all("links => links.map(link => link.href)")
        for point in points:
            found = await page.evaluate(_TURNS, point)
            if found > most:
                best, most = point, found
    await page.goto(f"{best}?span={await page.evaluate(_SPAN, best)}")
    await page.wait_for_selector("#trend[data-ready] canvas")
    await _take(page, "trend")


_TURNS: Final = """async (link) => {
  const [, site, device, point] = new URL(link).pathname.match("/sites/([^/]+)/devices/([^/]+)/([^/]+)");
  const reply = await fetch(`/api/v1/sites/${site}/points/${device}/${point}/samples`);
  if (!reply.ok) return -1;
  const { steps, unit } = await reply.json();
  const known = steps.last.filter((value) => value !== null);
  const turns = known.filter((value, n) => (value - known[n - 1]) * (known[n + 1] - value) < 0);
  return turns.length * (unit ? 2 : 1);
}"""
"""How often the point behind a link turned in an hour; numbers with a unit make the better picture."""


_SPAN: Final = """async (link) => {
  const [, site, device, point] = new URL(link).pathname.match("/sites/([^/]+)/devices/([^/]+)/([^/]+)");
  const reply = await fetch(`/api/v1/sites/${site}/points/${device}/${point}/samples`);
  const { last } = (await reply.json()).steps;
  return last.filter((value) => value !== null).length > last.length / 4 ? "1h" : "5m";
}"""


async def _take(page: "Page", name: str, *, of_site: bool = False) -> None:
    """Take a page; one `of_site` again and again until the site was heard before and after."""
    file = FOLDER / f"{name}.png"
    async with asyncio.timeout(LIVE_WITHIN_S):
        while True:
            await page.wait_for_selector("#link.on")
            if of_site:
                await page.wait_for_selector(".heard.live", timeout=LIVE_WITHIN_S * 1_000)
            await page.wait_for_timeout(1_000)
            await page.screenshot(path=file, animations="disabled")
            if not of_site or not await page.locator(".heard.silent").count():
                break
    size = file.stat().st_size
    if size > LARGEST:
        sys.exit(f"{file}: {size} bytes, at most {LARGEST}")
    print(f"{file.relative_to(FOLDER.parents[1])}  {size} bytes")


async def main(of: str, *, record: bool) -> None:
    """Take all pictures, or those of the record's pages."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is not installed: apt-get install chromium fonts-noto-cjk")
    FOLDER.mkdir(parents=True, exist_ok=True)
    async with demo() if of == "demo" else estate() as login, async_playwright() as api:
        browser = await api.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        try:
            context = await browser.new_context(viewport=WIDE, locale="en")
            page = await context.new_page()
            await enter(page, login)
            await (_record if record else pictures)(page, login)
        finally:
            await browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--of", choices=["demo", "estate"], default="demo")
    parser.add_argument("--record", action="store_true", help="only the ledger's pages and the buffers")
    given = parser.parse_args()
    asyncio.run(main(given.of, record=given.record))
