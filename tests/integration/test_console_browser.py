"""The console in headless Chromium: what a person at the centre sees, and how soon."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from cloud_sync.memory import MemoryBroker
from office import facts, ledger
from office.app import Office
from office.commands import Caller
from office.console import stream
from sitekeeper.model.alarm import AlarmState, Cause
from sitekeeper.model.clock import MINUTE, SECOND, SystemClock
from sitekeeper.model.quality import Reason
from tests.console_estate import PASSWORDS, Site, running, site_on, until
from tests.console_families import court_on
from tests.integration.test_console_commands import heard
from tests.integration.test_office_commands_api import estate

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")]
playwright = pytest.importorskip("playwright.async_api")

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 360, "height": 760}
WATCH_BANNER = """() => { const banner = document.getElementById("banner");
  window.began = performance.now();
  window.shown = 0;
  const look = () => { if (!banner.hidden && !window.shown) window.shown = performance.now(); };
  new MutationObserver(look).observe(banner, { attributes: true }); }"""
"""Measured inside the page: the way to it and back takes its time on a busy machine."""
QUICK_BEAT_S = 0.3
"""A page looks again every six beats: where a test waits for that, it need not wait as long as a person would."""
PROMPT = 3
"""Tries for what is promised in seconds: one that is in time shows that it can be, on a machine with other work."""


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
            page.set_default_timeout(20_000)  # the machine may be busy with others
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


async def known(app: Office, site: Site, rule: str = "L01", priority: str = "P1") -> str:
    """Raise an alarm, and return its occurrence when the office has it, so that a page that is loaded now shows it."""
    occurrence = await raised(site, rule, priority)
    await until(lambda: app.store.reader.alarm(occurrence) is not None)
    return occurrence


async def on_its_story(app: Office, site: Site, page: "playwright.Page") -> str:
    """Raise an alarm, and return its occurrence when the page shows its story, live."""
    assert app.console is not None
    occurrence = await known(app, site)
    await page.goto(f"{app.console.address}alarms/{quote(occurrence)}")
    await page.wait_for_selector("#link.on")
    return occurrence


async def fits(page: "playwright.Page", path: str) -> None:
    """See that nothing runs over the edge: at the latest when the page has taken in its new width, as a trend does."""
    with contextlib.suppress(playwright.TimeoutError):
        await page.wait_for_function("() => document.documentElement.scrollWidth <= innerWidth")
        return
    over = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    pytest.fail(f"{path} at {page.viewport_size}: {over} pixels over the edge")


async def banner_after(page: "playwright.Page", cut: Callable[[], None]) -> float:
    """Return how many seconds after `cut` the page says that it is not live, by the page's own clock."""
    await page.evaluate(WATCH_BANNER)
    cut()
    await page.wait_for_function("() => window.shown > 0")
    took: float = await page.evaluate("(window.shown - window.began) / 1000")
    return took


async def test_an_alarm_appears_without_reload_within_two_seconds_of_its_commit(tmp_path: Path) -> None:
    """On a list that has been open, empty and proved live; read out at once, because it is life safety."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, opened(app) as page:
        assert app.console is not None
        await page.goto(f"{app.console.address}alarms")
        await page.wait_for_selector("#link.on")
        await page.wait_for_selector("#live:has-text('1 of 1 sites are reporting')")
        await page.evaluate("window.untouched = true")
        took = []
        for rule, priority in (("L22", "P2"), ("L25", "P3"), ("L01", "P1")):
            occurrence = await known(app, site, rule, priority)
            committed = time.monotonic()
            await page.wait_for_selector(f'tr[data-occurrence="{occurrence}"]')
            took.append(time.monotonic() - committed)
        assert min(took) < 2
        row = await page.inner_text(f'tr[data-occurrence="{occurrence}"]')
        for word in ("■", "CRITICAL", "not acknowledged", "Pine Court", "Tower A lift 1", "People trapped"):
            assert word in row
        await page.wait_for_selector("#assertive:has-text('People trapped')", state="attached")
        assert await page.evaluate("window.untouched") is True


async def test_an_acknowledgement_from_the_page_reaches_the_site_and_comes_back(tmp_path: Path) -> None:
    """Opened by keyboard, acknowledged with a note: pending with the name; then the site's own transition."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, opened(app, viewport=PHONE) as page:
        assert app.console is not None
        occurrence = await known(app, site)
        await page.goto(f"{app.console.address}alarms")
        await page.press(".opens", "Enter")
        await page.wait_for_selector("#ack")
        story = await page.inner_text("#drawer")
        assert "Call the car through the intercom" in story
        assert "+852 5550 0100" in story
        await page.wait_for_function("() => document.getElementById('ack')?.getBoundingClientRect().height >= 44")
        await page.fill("#note", "李工 on the way")
        await page.click("#ack")
        await page.wait_for_selector("#pending")
        assert "ann" in await page.inner_text("#pending")
        assert app.store.reader.acks(occurrence)[0].state == "pending"
        answering = asyncio.ensure_future(site.answer_acks())
        try:
            await page.wait_for_selector("#pending", state="detached")
            for place, said in (  # each is asked for by itself, and comes when it comes
                ("#state", "active, acknowledged"),
                ("#story", "李工 on the way"),
                (f'tr[data-occurrence="{occurrence}"] .c-who', "ann"),
            ):
                await page.wait_for_selector(f"{place}:has-text('{said}')")
        finally:
            answering.cancel()
        assert app.store.reader.acks(occurrence)[0].state == "done"


async def test_a_note_that_is_being_written_is_not_taken_away(tmp_path: Path) -> None:
    """The page goes on updating around it."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, opened(app) as page:
        await on_its_story(app, site, page)
        await page.fill("#note", "half a sen")
        other = await raised(site, "L22", "P2")
        await page.wait_for_selector(f'tr[data-occurrence="{other}"]')
        assert await page.input_value("#note") == "half a sen"


async def test_a_note_begun_while_the_page_was_asking_is_kept(tmp_path: Path) -> None:
    """An answer that was under way when the operator began to write does not replace what is written since."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, opened(app) as page:
        await on_its_story(app, site, page)
        asked, answer = asyncio.Event(), asyncio.Event()

        async def late(route: "playwright.Route") -> None:
            asked.set()
            await answer.wait()
            await route.continue_()

        await page.route("**/alarms/**", late)
        await page.evaluate(
            "document.body.addEventListener('htmx:afterRequest', (event) => {"
            " window.answered ||= event.detail.requestConfig.elt.id === 'act'; })"
        )
        await page.evaluate("document.body.dispatchEvent(new CustomEvent('console-alarms'))")
        await asyncio.wait_for(asked.wait(), 20)
        await page.fill("#note", "half a sen")
        answer.set()
        await page.wait_for_function("() => window.answered")  # by then it would have been put in
        assert await page.input_value("#note") == "half a sen"


async def test_a_lost_stream_shows_within_five_seconds_and_mends_itself(tmp_path: Path) -> None:
    """A stalled stream, with no error from the network: banner, words, grey; afterwards what was missed is there."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, opened(app) as page:
        assert app.console is not None
        await page.goto(f"{app.console.address}alarms")
        await page.wait_for_selector("#link.on")
        hub = app.console.parts.hub
        sending, took = hub._put, 9.0
        for _ in range(PROMPT):
            # The last beat came up to 2 s before the cut, so 5 s count from the cut itself.
            took = min(took, await banner_after(page, lambda: setattr(hub, "_put", lambda client, frame: None)))
            if took < 5:
                break
            hub._put = sending  # type: ignore[method-assign]
            await page.wait_for_selector("#banner", state="hidden")
        assert took < 5
        assert "No connection to the office since" in await page.inner_text("#banner")
        assert "NOT LIVE" in await page.inner_text("#link")
        assert "grayscale" in await page.evaluate("getComputedStyle(document.getElementById('live')).filter")
        occurrence = await raised(site)
        hub._put = sending  # type: ignore[method-assign]
        await page.wait_for_selector("#banner", state="hidden")
        await page.wait_for_selector(f'tr[data-occurrence="{occurrence}"]')


async def test_a_page_that_is_not_given_does_not_look_live_and_a_failed_ack_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream goes on, but every other answer is an error: the list says so, and so does the form."""
    monkeypatch.setattr(stream, "BEAT_S", QUICK_BEAT_S)
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, opened(app) as page:
        occurrence = await on_its_story(app, site, page)
        await page.route("**/alarms**", lambda route: route.fulfill(status=503))
        await page.route("**/alarms/**", lambda route: route.fulfill(status=503))
        await page.click("#ack")
        await page.wait_for_selector("#act .problem")
        assert "NOT done" in await page.inner_text("#act .problem")
        assert app.store.reader.acks(occurrence) == []
        await raised(site, "L22", "P2")
        await page.wait_for_selector("#banner:not([hidden])")
        await page.unroute_all()
        await page.wait_for_selector("#banner", state="hidden")


async def test_a_lost_broker_shows_within_five_seconds(tmp_path: Path) -> None:
    """The office itself is well, but hears of no site any more: the page says so, and that it is not live."""
    broker, reachable = MemoryBroker(), [True]
    async with (
        running(tmp_path, broker, reachable=lambda: reachable[0]) as app,
        site_on(broker),
        opened(app) as page,
    ):
        await page.wait_for_selector(".tile.live")
        took = 9.0

        def cut() -> None:
            reachable[0] = False
            broker.cut()

        for _ in range(PROMPT):
            took = min(took, await banner_after(page, cut))
            if took < 5:
                break
            reachable[0] = True
            await page.wait_for_selector("#banner", state="hidden")
        assert took < 5
        assert "no broker" in await page.inner_text("#banner")
        assert "NOT LIVE" in await page.inner_text("#link")
        reachable[0] = True
        await page.wait_for_selector("#banner", state="hidden")


async def test_a_value_that_goes_stale_stops_looking_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told in words while it is live; when the site falls silent, its age stands in the value's place."""
    monkeypatch.setattr(stream, "BEAT_S", QUICK_BEAT_S)
    monkeypatch.setattr(facts, "HEARD_WITHIN", 6 * SECOND)
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, opened(app) as page:
        assert app.console is not None
        now = SystemClock().wall()
        await site.samples(now - SECOND, now, floor=12, direction="up", door="closed", passenger=True, online=True)
        await until(lambda: bool(app.store.reader.latest("hq")))
        await page.goto(f"{app.console.address}sites/hq/devices/lift-a1")
        for word in ("12", "going up", "closed", "yes"):
            await page.wait_for_selector(f".lift .live:has-text('{word}')")
        # load and mode, of which nothing was told
        await page.wait_for_function("() => document.querySelectorAll('tr.stale').length === 2")
        site.talking.cancel()
        await page.wait_for_selector('tr.stale[data-point="floor"]')
        for place, said in (
            ('tr[data-point="floor"] .value', "STALE for"),
            ('tr[data-point="floor"] .value', "(was 12)"),
            (".heard", "silent since"),
        ):
            await page.wait_for_selector(f"{place}:has-text('{said}')")
        assert await page.locator(".lift .live").count() == 0


@pytest.mark.parametrize(("lang", "words"), [("en", "nothing known"), ("zh-Hant", "沒有記錄"), ("zh-Hans", "没有记录")])
async def test_every_page_fits_and_speaks(tmp_path: Path, lang: str, words: str) -> None:
    """Each page in each language at both widths: nothing runs over the edge, the trend is drawn, no foreign word."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, opened(app, "vic", lang) as page:
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
        paths = ("sites", "sites/hq", device, f"{device}/load?span=1h", "alarms", f"alarms/{quote(occurrence)}")
        for path in paths:
            await page.set_viewport_size(WIDE)
            await page.goto(base + path)
            await page.wait_for_selector("#link.on")
            if path.endswith("1h"):
                await page.wait_for_selector("#trend[data-ready] canvas")
                assert words in await page.inner_text(".legend")
            if path.startswith("alarms/"):
                await page.wait_for_function(BESIDE)  # the drawer hides no part of the list
            for viewport in (WIDE, PHONE):
                await page.set_viewport_size(viewport)
                await fits(page, path)
            assert await page.evaluate("document.documentElement.lang") == lang
            if lang != "en":
                assert "acknowledge" not in (await page.inner_text("main")).lower(), path
            if path.startswith("alarms"):
                assert await page.locator("[role=table] [role=columnheader]").count() == 9
                assert await page.locator("[role=table] [role=row]").count() == 3


BESIDE = """() => { const [table, drawer] = [".alarms", "#drawer"].map((each) => document.querySelector(each));
  return table && drawer && table.getBoundingClientRect().right <= drawer.getBoundingClientRect().left; }"""
IN_HALF_A_SCREEN = """() => { const lamps = [...document.querySelectorAll("#group-lighting ~ ul .tile")];
  const [first, last] = [lamps.at(0), lamps.at(-1)].map((each) => each?.getBoundingClientRect());
  return lamps.length === 24 && last.bottom - first.top < 500; }"""
"""Asked in one go, and until it is so: the event stream replaces what was there between two questions."""
UNNAMED = """() => [...document.querySelectorAll("a[href], button, select, textarea, input:not([type=hidden])")]
  .filter((each) => each.checkVisibility())
  .filter((each) => !(each.innerText || each.getAttribute("aria-label") || each.labels?.[0]?.innerText || "").trim())
  .map((each) => each.outerHTML)"""
SMALL = """() => [...document.querySelectorAll("main a[href], main button, main select")]
  .filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 24)
  .map((each) => each.outerHTML)"""
SKIPPED = """() => { let last = 0; const found = [];
  for (const each of document.querySelectorAll("h1, h2, h3, h4, h5")) {
    const level = Number(each.tagName[1]);
    if (level > last + 1) found.push(each.outerHTML);
    last = level;
  } return found; }"""
PALE = """() => { const found = [];
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  for (const each of document.querySelectorAll("main *, header *")) {
    const speaks = [...each.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!speaks || !each.checkVisibility()) continue;
    let under = each, back;
    do { back = numbers(getComputedStyle(under).backgroundColor); under = under.parentElement; }
    while (under && back.length === 4 && back[3] < 1);
    if (back.length === 4 && back[3] < 1) back = [236, 238, 240];
    const [a, b] = [light(numbers(getComputedStyle(each).color)), light(back)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push(each.outerHTML);
  } return found; }"""
"""What WCAG 2.2 AA asks of names (4.1.2), target size (2.5.8), headings (1.3.1) and contrast (1.4.3), as scripts."""


@pytest.mark.parametrize("lang", ["en", "zh-Hant", "zh-Hans"])
async def test_a_site_of_all_families_fits_and_can_be_used_by_everybody(tmp_path: Path, lang: str) -> None:
    """Doors, barriers, fire panel, 24 luminaires: at both widths nothing runs over, all is named, large and legible."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, court_on(broker) as court, opened(app, "ann", lang) as page:
        assert app.console is not None
        forced = await court.alarm("A01", "P2", Cause.RAISE, AlarmState.UNACKED, device="door-2")
        shelf = {"base": AlarmState.UNACKED, "until": SystemClock().wall() + MINUTE, "note": "being repaired"}
        await court.alarm("G04", "P3", Cause.SHELVE, AlarmState.SHELVED, device="lamp-07", **shelf)
        await until(lambda: app.store.reader.alarm("court/lamp-07/G04") is not None)
        await until(lambda: len(app.store.reader._rows("SELECT 1 FROM events")) == 8)
        await until(lambda: bool(app.store.reader.ledger("court")))
        site = f"{app.console.address}sites/court"
        today = ledger.today(ledger.zone_of(app.store.reader.catalogue("court")), SystemClock().wall() - MINUTE)
        record = f"../ledger/court/{today}"
        paths = ("", "/devices/door-2", "/devices/barrier-out", "/devices/fire-panel", "/devices/lamp-24",
                 "/devices/door-2/door.state", "/../../ledger", "/../../ledger/court", f"/../{record}",
                 f"/../{record}/door-2@1s", "/../../buffers", "/../../commands", "/../../commands/to/court/door-2",
                 "/../../commands/to/court/door-2?point=mode&value=free", "/../../held", "/../../quality",
                 f"/../../alarms/{quote(forced)}")  # fmt: skip
        for path in paths:
            await page.goto(site + path)
            await page.wait_for_selector("#link.on")
            for viewport in (WIDE, PHONE):
                await page.set_viewport_size(viewport)
                await fits(page, path)
                for check in (UNNAMED, SMALL, SKIPPED, PALE):
                    assert await page.evaluate(check) == [], (path, viewport)
        await page.set_viewport_size(WIDE)
        await court.say()  # the walk takes its time, and what is stale says so in a line more
        now = SystemClock().wall()
        await court.tell(now - SECOND, now)
        await page.goto(site)
        await page.wait_for_function(IN_HALF_A_SCREEN)


FOCUSED = """() => { const at = document.activeElement;
  return [at.textContent.trim(), getComputedStyle(at).outlineStyle]; }"""


async def by_keyboard(page: "playwright.Page", text: str) -> None:
    """Go to what has this text by Tab, and open it by Enter; again, if the page took it away in between."""
    before = page.url
    for _ in range(200):
        await page.keyboard.press("Tab")
        words, outline = await page.evaluate(FOCUSED)
        if words != text:
            continue
        assert outline == "solid", f"{text} has the focus, and it is not to be seen"
        await page.keyboard.press("Enter")
        with contextlib.suppress(playwright.TimeoutError):
            await page.wait_for_url(lambda url: url != before, timeout=5_000)
            return
    pytest.fail(f"{text} cannot be reached by Tab on {page.url}")


async def test_the_pages_can_be_walked_with_the_keyboard_alone(tmp_path: Path) -> None:
    """From the list of sites to a door's trend by Tab and Enter, with the focus to be seen."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, court_on(broker), opened(app) as page:
        for text in ("Harbour East Estate", "Door 2", "Lock"):
            await by_keyboard(page, text)
            await page.wait_for_selector("#link.on")
        assert page.url.endswith("/devices/door-2/lock.state")


async def test_a_command_is_asked_for_by_keyboard_and_its_outcome_comes_by_itself(tmp_path: Path) -> None:
    """Choice, reason, tick, button; the seconds count down; when the other has agreed the page says what was done."""
    async with estate(tmp_path) as (app, site), opened(app) as page:
        assert app.console is not None
        await heard(app, site)
        await page.goto(f"{app.console.address}commands/to/hq/gate-1")
        await page.press(".choices a >> nth=0", "Enter")
        await page.wait_for_selector(".danger")
        await page.click(".danger button")
        assert "commands/to" in page.url, "without reason and tick nothing is asked"
        await heard(app, site)
        await page.fill("#note", "ambulance")
        await page.press("[name=sure]", "Space")
        await page.wait_for_selector(".danger button:enabled")
        await page.press(".danger button", "Enter")
        await page.wait_for_selector(".countdown")
        first = int(await page.inner_text(".countdown"))
        await page.wait_for_function(f"() => Number(document.querySelector('.countdown').textContent) < {first}")
        order = app.store.reader.orders(1)[0].id
        await heard(app, site)
        await app.commands.confirm(Caller(name="boss", role="admin"), order)
        await page.wait_for_selector(".st.big.complete")
        await page.wait_for_selector(".outcome:has-text('DONE: read back at the device')")
