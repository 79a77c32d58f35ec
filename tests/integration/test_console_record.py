"""The pages of the record, of buffers, and of an office that lacks something: what an operator reads there."""

import asyncio
import re
from pathlib import Path

from cloud_sync import wire
from cloud_sync.memory import MemoryBroker
from office import ledger
from office.app import Office
from sitekeeper.block import Gap, GapCause
from sitekeeper.model.clock import HOUR, MINUTE, SECOND, SystemClock
from sitekeeper.texts import LANGUAGES
from tests.console_estate import Site, running, site_on, until
from tests.integration.test_console import browser
from tests.integration.test_console_api import program

GROUP = "lift-a1@1s"


def words(html: str) -> str:
    """Return what a reader sees of the page's main part."""
    main = html.partition('<main id="main" tabindex="-1">')[2].partition("</main>")[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", main))


def day_of(app: Office) -> str:
    """Return the day that it is at the site of the estate."""
    catalogue = app.store.reader.catalogue("hq")
    return str(ledger.today(ledger.zone_of(catalogue), SystemClock().wall() - MINUTE))


async def told(app: Office, site: Site, *, ago: int, holes: bool = False) -> None:
    """Tell ten minutes that end so long ago: a gap with its cause among them, and perhaps one that nobody explains."""
    end = SystemClock().wall() // SECOND * SECOND - ago
    gap = Gap(GROUP, end - 6 * MINUTE, end - 5 * MINUTE, GapCause.SILENT)
    await site.samples(end - 10 * MINUTE, end - 6 * MINUTE, floor=1)
    await site.samples(end - 5 * MINUTE, end - 3 * MINUTE, gaps=[gap], floor=2)
    await site.samples(end - (2 if holes else 3) * MINUTE, end, floor=3)
    await until(lambda: len(app.store.reader._rows("SELECT 1 FROM blocks WHERE stream = 'samples'")) == 3)


async def test_the_ledger_leads_from_all_sites_to_the_stretch_that_nobody_explains(tmp_path: Path) -> None:
    """Fleet, site, day, group: at each step the same minute, in words, and the gap beside it with its cause."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, browser(app, "vic") as client:
        await told(app, site, ago=SECOND, holes=True)
        day = day_of(app)
        for path, expected in (
            ("/ledger", ("UNEXPLAINED time", "device silent", "1 min 0 s")),
            ("/ledger?state=unexplained", ("UNEXPLAINED time", "Pine Court")),
            ("/ledger/hq", (day, "UNEXPLAINED time", "1 min 0 s")),
            (f"/ledger/hq/{day}", ("Tower A lift 1, every 1 s", "device silent 1 min 0 s", "1 min 0 s")),
            (f"/ledger/hq/{day}/{GROUP}", ("UNEXPLAINED: nobody knows", "device silent", "Floor", "1 min 0 s")),
        ):
            answer = await client.get(path)
            assert answer.status_code == 200, path
            for each in expected:
                assert each in words(answer.text), (path, each)
        assert "Pine Court" not in words((await client.get("/ledger?state=complete")).text)
        for path in (f"/ledger/hq/{day}/no-such@1s", "/ledger/never-was", f"/ledger/never-was/{day}"):
            assert (await client.get(path)).status_code == 404
        assert (await client.get("/ledger/hq/yesterday")).status_code == 422


async def test_a_site_whose_line_is_down_is_still_being_told_everywhere(tmp_path: Path) -> None:
    """Half an hour behind: the mark with the time up to which it told, on the page and by each way of the API."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, browser(app, "vic") as client:
        await told(app, site, ago=30 * MINUTE)
        page = words((await client.get("/ledger")).text)
        assert re.search(r"still being told told up to (\d\d-\d\d )?\d\d:\d\d", page), page
        assert "complete" not in page.partition("Site How it stands")[2].partition("known")[0]
        [row] = (await client.get("/api/v1/ledger/sites")).json()
        assert (row["state"], row["site"], row["awaited_s"] > 20 * 60) == ("telling", "hq", True)
        [today, *_] = (await client.get("/api/v1/ledger?site=hq&by=day")).json()
        assert (today["state"], today["told_to"]) == ("telling", row["told_to"])
        [group] = (await client.get(f"/api/v1/ledger?site=hq&day={row['day']}")).json()
        assert group["state"] == "telling"


async def test_buffers_are_shown_the_one_that_is_full_soonest_first(tmp_path: Path) -> None:
    """One that is away, and full by now, before one that is heard: what it told last counts on by the clock."""
    broker = MemoryBroker()
    async with (
        running(tmp_path, broker) as app,
        site_on(broker, "hq") as near,
        site_on(broker, "away", en="Far Court") as away,
        browser(app, "vic") as client,
        program(app, "viewer") as api,
    ):
        for site, hours in ((near, 71.5), (away, 2.0)):
            status = wire.Status(
                online=True, site=site.name, epoch="e1", boot="b", version="0", hours=hours, unsent={"samples": 7}
            )
            await site.session.publish(f"sitekeeper/1/{site.name}/up/status", wire.encode_status(status))
        await until(lambda: sum(word.hours is not None for word in app.store.reader.words()) == 2)
        hours_ago = SystemClock().wall() - 3 * HOUR
        for change in (
            f"UPDATE site_words SET told = {hours_ago}, heard = 0 WHERE site = 'away'",
            f"UPDATE sites SET online = 0, last_seen = {hours_ago} WHERE site = 'away'",
        ):
            work = app.store.do(lambda sql, change=change: sql.execute(change) and None)
            await asyncio.wrap_future(work)
        page = words((await client.get("/buffers")).text)
        assert page.index("Far Court") < page.index("Pine Court")
        assert "buffer FULL since about" in page
        assert "2.9 days" in page
        assert "buffer lasts 2.9 days without the office" in words((await client.get("/sites/hq")).text)
        assert "buffer FULL since about" in words((await client.get("/sites")).text)
        found = {one["id"]: one for one in (await api.get("/api/v1/sites")).json()}
        assert (found["hq"]["buffer_hours"], found["away"]["buffer_hours"]) == (71.5, 2.0)
        assert found["away"]["buffer_full_at"] < found["hq"]["buffer_full_at"]
        assert 'sitekeeper_site_buffer_hours{site="hq"} 71.5' in (await api.get("/metrics")).text


async def test_a_revoked_site_says_so_at_once_and_is_not_live(tmp_path: Path) -> None:
    """Though it was heard a second ago: on the list, on its page, in the API, with since when."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker), browser(app, "vic") as client:
        assert app.console is not None
        assert 'class="heard live"' in (await client.get("/sites")).text
        app.console.parts.catalogues.revoked = lambda: {"hq": SystemClock().wall()}
        for path in ("/sites", "/sites/hq"):
            page = await client.get(path)
            assert "REVOKED since" in words(page.text), path
            assert 'class="heard live"' not in page.text, path
        [row] = (await client.get("/api/v1/sites")).json()
        assert (row["live"], row["revoked"] is None) == (False, False)


async def test_a_page_of_an_office_without_its_broker_is_stale_from_its_first_byte(tmp_path: Path) -> None:
    """Banner and grey come with the page, not with a script, and tell since when: on each page alike."""
    broker, reachable = MemoryBroker(), [True]
    async with (
        running(tmp_path, broker, reachable=lambda: reachable[0]) as app,
        site_on(broker),
        browser(app, "vic") as client,
    ):
        assert app.console is not None
        hub = app.console.parts.hub
        assert 'role="alert" hidden>' in (await client.get("/sites")).text
        reachable[0] = False
        broker.cut()
        await until(lambda: hub.trouble() is not None)
        _, since = hub.trouble() or ("", 0)
        assert abs(SystemClock().wall() - since) < 10 * SECOND
        for path in ("/sites", "/sites/hq", "/alarms", "/ledger", "/buffers", "/commands"):
            page = (await client.get(path)).text
            assert '<body class="cut"' in page, path
            assert re.search(r'role="alert">The office has no broker since \d\d:\d\d:\d\d', page), path
        reachable[0] = True
        await until(lambda: hub.trouble() is None)
        assert 'role="alert" hidden>' in (await client.get("/sites")).text


async def test_a_store_that_does_not_answer_is_noticed_without_any_news(tmp_path: Path) -> None:
    """Nothing wakes the stream, but it looks: within seconds it knows, with the time at which that began."""
    async with running(tmp_path, MemoryBroker()) as app, browser(app, "vic") as client:
        assert app.console is not None
        hub = app.console.parts.hub
        assert hub.trouble() is None
        hub._newer = lambda reader: reader._rows("SELECT no_such")  # type: ignore[method-assign,assignment,return-value]
        await until(lambda: hub.trouble() is not None, 15)
        assert (hub.trouble() or ("",))[0] == "no-store"
        page = (await client.get("/sites")).text
        assert "The office cannot read its store since" in page


async def test_the_new_pages_speak_three_languages(tmp_path: Path) -> None:
    """Every word of them: none falls back to English."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, browser(app, "ann") as client:
        await told(app, site, ago=SECOND, holes=True)
        paths = ("/ledger", "/ledger/hq", f"/ledger/hq/{day_of(app)}/{GROUP}", "/buffers", "/commands")
        for lang in (each for each in LANGUAGES if each != "en"):
            for path in (*paths, "/commands/to/hq/lift-a1"):
                page = words((await client.get(path, params={"lang": lang})).text)
                foreign = set(re.findall(r"[A-Za-z]{3,}", page)) - {"UTC", "Asia", "Hong", "Kong", "lift"}
                assert not foreign, (lang, path, foreign)
