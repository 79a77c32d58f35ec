"""The console in headless Chromium: what a person at the centre sees, and how soon."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from cloud_sync.memory import MemoryBroker
from office.app import Office
from sitekeeper.model.alarm import AlarmState, Cause
from sitekeeper.model.clock import MINUTE, SECOND, SystemClock
from sitekeeper.model.quality import Reason
from tests.console_estate import PASSWORDS, Site, running, site_on, until

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")]
playwright = pytest.importorskip("playwright.async_api")

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 360, "height": 760}


@asynccontextmanager
async def opened(
    app: Office, name: str = "ann", lang: str = "en", viewport: dict[str, int] = WIDE
) -> AsyncIterator["playwright.Page"]:
    """Yield a page that is logged in; fail if the page had an error of its own."""
    assert app.console is not None
    errors: list[str] = []
    async with playwright.async_playwright() as api:
        chromium = await api.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        try:
            context = await chromium.new_context(viewport=viewport, locale=lang)
            page = await context.new_page()
            page.set_default_timeout(10_000)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda said: errors.append(said.text) if "Content Security" in said.text else None)
            page.on("request", lambda sent: errors.append(sent.url) if not _ours(app, sent.url) else None)
            await page.goto(app.console.address)
            await page.fill("[name=name]", name)
            await page.fill("[name=password]", PASSWORDS[name])
            await page.click("button.main")
            await page.wait_for_selector("#link.on")
            yield page
        finally:
            await chromium.close()
    assert errors == []


def _ours(app: Office, url: str) -> bool:
    return app.console is not None and url.startswith((app.console.address, "data:", "blob:"))


async def raised(site: Site, rule: str = "L01", priority: str = "P1") -> str:
    return await site.alarm(rule, priority, Cause.RAISE, AlarmState.UNACKED, detail="x")


async def test_an_alarm_appears_without_reload_within_two_seconds_of_its_commit(tmp_path: Path) -> None:
    """On a list that has been open, empty and proved live; read out at once, because it is life safety."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, opened(app) as page:
        assert app.console is not None
        await page.goto(f"{app.console.address}alarms")
        await page.wait_for_selector("#link.on")
        assert "1 of 1 sites are reporting" in await page.inner_text("#live")
        await page.evaluate("window.untouched = true")
        occurrence = await raised(site)
        await until(lambda: app.store.reader.alarm(occurrence) is not None)
        committed = time.monotonic()
        await page.wait_for_selector(f'tr[data-occurrence="{occurrence}"]', timeout=2_000)
        assert time.monotonic() - committed < 2
        row = await page.inner_text(f'tr[data-occurrence="{occurrence}"]')
        for word in ("■", "CRITICAL", "not acknowledged", "Pine Court", "Tower A lift 1", "People trapped"):
            assert word in row
        await page.wait_for_function("document.getElementById('assertive').textContent.includes('People trapped')")
        assert await page.evaluate("window.untouched") is True


async def test_an_acknowledgement_from_the_page_reaches_the_site_and_comes_back(tmp_path: Path) -> None:
    """Opened by keyboard, acknowledged with a note: pending with the name; then the site's own transition."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, opened(app, viewport=PHONE) as page:
        assert app.console is not None
        occurrence = await raised(site)
        await page.goto(f"{app.console.address}alarms")
        await page.focus(".opens")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("#ack")
        story = await page.inner_text("#drawer")
        assert "Call the car through the intercom" in story
        assert "+852 5550 0100" in story
        size = await page.locator("#ack").bounding_box()
        assert size is not None
        assert size["height"] >= 44
        await page.fill("#note", "李工 on the way")
        await page.click("#ack")
        await page.wait_for_selector("#pending")
        assert "ann" in await page.inner_text("#pending")
        assert app.store.reader.acks(occurrence)[0].state == "pending"
        answering = asyncio.ensure_future(site.answer_acks())
        try:
            await page.wait_for_selector("#pending", state="detached")
            assert "active, acknowledged" in await page.inner_text("#state")
            assert "李工 on the way" in await page.inner_text("#story")
            assert "ann" in await page.inner_text(f'tr[data-occurrence="{occurrence}"] .c-who >> nth=0')
        finally:
            answering.cancel()
        assert app.store.reader.acks(occurrence)[0].state == "done"


async def test_a_note_that_is_being_written_is_not_taken_away(tmp_path: Path) -> None:
    """The page goes on updating around it."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, opened(app) as page:
        assert app.console is not None
        occurrence = await raised(site)
        await until(lambda: app.store.reader.alarm(occurrence) is not None)
        await page.goto(f"{app.console.address}alarms/{quote(occurrence)}")
        await page.wait_for_selector("#link.on")
        await page.fill("#note", "half a sen")
        other = await raised(site, "L22", "P2")
        await page.wait_for_selector(f'tr[data-occurrence="{other}"]')
        assert await page.input_value("#note") == "half a sen"


async def test_a_lost_stream_shows_within_five_seconds_and_mends_itself(tmp_path: Path) -> None:
    """A stalled stream, with no error from the network: banner, words, grey; afterwards what was missed is there."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, opened(app) as page:
        assert app.console is not None
        await page.goto(f"{app.console.address}alarms")
        await page.wait_for_selector("#link.on")
        hub = app.console.parts.hub
        sending, hub._send = hub._send, lambda frame: None  # type: ignore[method-assign]
        began = time.monotonic()
        await page.wait_for_selector("#banner:not([hidden])", timeout=7_000)
        # The last beat came up to 2 s before the cut, so 5 s count from the cut itself.
        assert time.monotonic() - began < 5
        assert "No connection to the office since" in await page.inner_text("#banner")
        assert "NOT LIVE" in await page.inner_text("#link")
        assert "grayscale" in await page.evaluate("getComputedStyle(document.getElementById('live')).filter")
        occurrence = await raised(site)
        hub._send = sending  # type: ignore[method-assign]
        await page.wait_for_selector("#banner", state="hidden")
        await page.wait_for_selector(f'tr[data-occurrence="{occurrence}"]')


async def test_a_page_that_is_not_given_does_not_look_live_and_a_failed_ack_says_so(tmp_path: Path) -> None:
    """The stream goes on, but every other answer is an error: the list says so, and so does the form."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, opened(app) as page:
        assert app.console is not None
        occurrence = await raised(site)
        await until(lambda: app.store.reader.alarm(occurrence) is not None)
        await page.goto(f"{app.console.address}alarms/{quote(occurrence)}")
        await page.wait_for_selector("#link.on")
        await page.route("**/alarms**", lambda route: route.fulfill(status=503))
        await page.route("**/alarms/**", lambda route: route.fulfill(status=503))
        await page.click("#ack")
        await page.wait_for_selector("#act .problem")
        assert "NOT done" in await page.inner_text("#act .problem")
        assert app.store.reader.acks(occurrence) == []
        await raised(site, "L22", "P2")
        await page.wait_for_selector("#banner:not([hidden])", timeout=5_000)
        await page.unroute_all()
        await page.wait_for_selector("#banner", state="hidden", timeout=15_000)


async def test_a_lost_broker_shows_within_five_seconds(tmp_path: Path) -> None:
    """The office itself is well, but hears of no site any more: the page says so, and that it is not live."""
    broker, reachable = MemoryBroker(), [True]
    async with (
        running(tmp_path, broker, reachable=lambda: reachable[0]) as app,
        site_on(broker),
        opened(app) as page,
    ):
        await page.wait_for_selector(".tile.live")
        reachable[0] = False
        broker.cut()
        began = time.monotonic()
        await page.wait_for_selector("#banner:not([hidden])", timeout=7_000)
        assert time.monotonic() - began < 5
        assert "no broker" in await page.inner_text("#banner")
        assert "NOT LIVE" in await page.inner_text("#link")
        reachable[0] = True
        await page.wait_for_selector("#banner", state="hidden")


async def test_a_value_that_goes_stale_stops_looking_live(tmp_path: Path) -> None:
    """Told in words while it is live; when the site falls silent, its age stands in the value's place."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, opened(app) as page:
        assert app.console is not None
        now = SystemClock().wall()
        await site.samples(now - SECOND, now, floor=12, direction="up", door="closed", passenger=True, online=True)
        await until(lambda: bool(app.store.reader.latest("hq")))
        await page.goto(f"{app.console.address}sites/hq/devices/lift-a1")
        words = await page.inner_text(".lift")
        for word in ("12", "going up", "closed", "yes"):
            assert word in words
        assert await page.locator("tr.stale").count() == 2  # load and mode, of which nothing was told
        await page.wait_for_selector('tr.stale[data-point="floor"]', timeout=30_000)
        shown = await page.inner_text('tr[data-point="floor"] .value')
        assert "STALE for" in shown
        assert "(was 12)" in shown
        assert "silent since" in await page.inner_text(".heard")
        assert await page.locator(".lift .live").count() == 0


@pytest.mark.parametrize(("lang", "words"), [("en", "nothing known"), ("zh-Hant", "沒有記錄"), ("zh-Hans", "没有记录")])
@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["1440", "360"])
async def test_every_page_fits_and_speaks(tmp_path: Path, lang: str, words: str, viewport: dict[str, int]) -> None:
    """Each page in each language at both widths: nothing runs over the edge, the trend is drawn, no foreign word."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, opened(app, "vic", lang, viewport) as page:
        assert app.console is not None
        now = SystemClock().wall()
        for minute in (50, 40, 30, 10, 1):
            value = Reason.STALE if minute == 30 else float(minute)
            await site.samples(now - minute * MINUTE, now - (minute - 1) * MINUTE, load=value, floor=3, online=True)
        occurrence = await raised(site)
        await raised(site, "L25", "P3")
        await until(lambda: app.store.reader.alarm("hq/lift-a1/L25") is not None)
        await until(lambda: len(app.store.reader.latest("hq")) == 3)
        base = app.console.address
        device = "sites/hq/devices/lift-a1"
        for path in ("sites", "sites/hq", device, f"{device}/load?span=1h", "alarms", f"alarms/{quote(occurrence)}"):
            await page.goto(base + path)
            await page.wait_for_selector("#link.on")
            if path.endswith("1h"):
                await page.wait_for_selector("#trend[data-ready] canvas")
                assert words in await page.inner_text(".legend")
            over = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert over <= 0, (path, over)
            assert await page.evaluate("document.documentElement.lang") == lang
            if lang != "en":
                assert "acknowledge" not in (await page.inner_text("main")).lower(), path
            if path.startswith("alarms/") and viewport == WIDE:
                table, drawer = [await page.locator(each).bounding_box() for each in (".alarms", "#drawer")]
                assert table["x"] + table["width"] <= drawer["x"], "the drawer hides a part of the list"
            if path.startswith("alarms"):
                assert await page.locator("[role=table] [role=columnheader]").count() == 9
                assert await page.locator("[role=table] [role=row]").count() == 3
