"""Commands on the console's pages: two steps and two people, every refusal in words, what the site made of it."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_sync.memory import MemoryBroker
from office.app import Office
from office.console import stream
from tests.console_estate import running, site_on, until
from tests.integration.test_console import browser, events, token
from tests.integration.test_console_record import words
from tests.integration.test_office_commands_api import Commanded, done, estate

GATE = "/commands/to/hq/gate-1"
OPEN = {"point": "cmd.open", "value": "true", "reason": "ambulance", "sure": "yes"}
DIM = {"point": "command", "value": "50", "reason": "cleaning", "sure": "yes", "expires": "1min"}


async def asked(client: httpx.AsyncClient, path: str, given: dict[str, Any]) -> httpx.Response:
    return await client.post(path, data={"csrf": await token(client), **given})


async def heard(app: Office, site: Commanded) -> None:
    """Have the site say a word now: on a busy machine its last one may be too old to be quoted."""
    before = app.store.reader.word("hq")
    assert before is not None
    await site.say()
    await until(lambda: (word := app.store.reader.word("hq")) is not None and word.heard > before.heard)


async def waiting(app: Office, site: Commanded, client: httpx.AsyncClient) -> str:
    """Ask for the barrier, and return the address of the command."""
    await heard(app, site)
    answer = await asked(client, GATE, OPEN)
    assert answer.status_code == 303, words(answer.text)
    assert app.store.reader.orders(1)[0].state == "awaiting-confirmation"
    return str(answer.headers["location"])


async def test_a_barrier_is_opened_by_two_people_and_the_page_tells_what_the_site_made_of_it(tmp_path: Path) -> None:
    """Chosen, asked for with a reason and a tick, agreed to by another; then the site's own outcome, read back."""
    async with estate(tmp_path) as (app, site), browser(app, "ann") as ann, browser(app, "admin") as boss:
        choice = await ann.get(GATE)
        assert f'href="{GATE}?point=cmd.open&amp;value=true"' in choice.text
        assert site.orders == []
        form = await ann.get(GATE, params={"point": "cmd.open", "value": "true"})
        assert "A second person has to agree within 60 s" in words(form.text)
        assert app.store.reader.orders(9) == []
        place = await waiting(app, site, ann)
        own = words((await ann.get(place)).text)
        assert re.search(r"Seconds left to agree: (60|[1-5]\d) ", own), own
        assert "another person has to agree" in own
        assert "<button" not in (await ann.get(place)).text.partition('id="act"')[2]
        assert "waits for a second person" in words((await boss.get("/commands")).text)
        assert "I have spoken with ann" in words((await boss.get(place)).text)
        await heard(app, site)
        assert (await asked(boss, f"{place}/confirm", {"sure": "yes"})).status_code == 303
        await until(lambda: app.store.reader.orders(1)[0].state == "confirmed")
        told = words((await ann.get(place)).text)
        for each in ("DONE: read back at the device", "ambulance", "Asked by ann", "Agreed to by admin"):
            assert each in told
        assert [order.second for order in site.orders] == ["admin"]


async def test_who_may_agree_is_told_wherever_he_is_that_something_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each beat of the stream, as a number beside the word in the bar; none before, and none when it is over."""
    monkeypatch.setattr(stream, "BEAT_S", 0.1)
    async with estate(tmp_path) as (app, site), browser(app, "ann") as ann, browser(app, "admin") as boss:
        assert 'id="waiting"' in (await boss.get("/sites")).text
        assert [beat["data"]["waiting"] for beat in await events(boss, 1)] == [0]
        await waiting(app, site, ann)
        assert app.console is not None
        hub = app.console.parts.hub
        await until(lambda: hub._waiting == {"hq": 1})
        assert [beat["data"]["waiting"] for beat in await events(boss, 1)] == [1]
        await done(app, lambda sql: sql.execute("UPDATE orders SET due = 0"))
        await until(lambda: hub._waiting == {})


async def test_nothing_is_sent_by_the_one_who_asked_by_a_viewer_or_without_the_tick(tmp_path: Path) -> None:
    """Each is told why in words, and that nothing was sent; the reason written is still there."""
    async with estate(tmp_path) as (app, site), browser(app, "ann") as ann, browser(app, "vic") as vic:
        for change, status, why in (
            ({"sure": ""}, 422, "Tick that you have made sure"),
            ({"reason": ""}, 422, "The reason is missing"),
        ):
            answer = await asked(ann, GATE, OPEN | change)
            page = words(answer.text)
            assert (answer.status_code, "Nothing was sent." in page, why in page) == (status, True, True), page
        assert "ambulance</textarea>" in (await asked(ann, GATE, OPEN | {"sure": ""})).text
        assert (await asked(vic, GATE, OPEN)).status_code == 403
        assert (await vic.get(GATE)).status_code == 403
        assert "Command …" not in words((await vic.get("/sites/hq/devices/gate-1")).text)
        assert "Command …" in words((await ann.get("/sites/hq/devices/gate-1")).text)
        place = await waiting(app, site, ann)
        for client, given, status, why in (
            (ann, {"sure": "yes"}, 403, "Another person than the one who asked"),
            (vic, {"sure": "yes"}, 403, "may look but not command"),
        ):
            answer = await asked(client, f"{place}/confirm", given)
            assert (answer.status_code, why in words(answer.text)) == (status, True)
        await done(app, lambda sql: sql.execute("UPDATE orders SET due = 0"))
        await until(lambda: app.store.reader.orders(1)[0].state == "expired")
        assert "nobody agreed; it was never sent" in words((await ann.get(place)).text)
        assert site.orders == []


async def test_one_person_dims_a_lamp_and_an_effect_that_is_not_seen_is_not_called_done(tmp_path: Path) -> None:
    """No second person, but the same two steps; `unconfirmed` says that somebody has to look at the place."""
    async with estate(tmp_path) as (app, site), browser(app, "ann") as ann:
        site.answers = ("accepted", "unconfirmed")
        await heard(app, site)
        answer = await asked(ann, "/commands/to/hq/lamp-1", DIM)
        await until(lambda: app.store.reader.orders(1)[0].state == "unconfirmed")
        page = words((await ann.get(answer.headers["location"])).text)
        assert "EFFECT NOT SEEN" in page
        assert "have somebody look at the place" in page
        assert "DONE" not in page
        assert site.orders[0].lasts == 60_000_000


async def test_off_away_and_stale_are_said_before_anybody_asks(tmp_path: Path) -> None:
    """The site takes none, it is away, nothing is seen of the device: plainly, and without a form to fill in vain."""
    async with estate(tmp_path) as (app, site), browser(app, "ann") as ann:
        form = {"point": "cmd.open", "value": "true"}
        await heard(app, site)
        page = await ann.get(GATE, params=form)
        assert "The live view of this device is STALE" in words(page.text)
        assert 'class="danger"' in page.text
        await done(app, lambda sql: sql.execute("UPDATE site_words SET nonce = ''"))
        page = await ann.get(GATE, params=form)
        assert "Commands are OFF: this site takes none" in words(page.text)
        assert 'class="danger"' not in page.text
        await done(app, lambda sql: sql.execute("UPDATE site_words SET nonce = 'n', heard = heard - 16000000"))
        page = await ann.get(GATE, params=form)
        assert "The site is AWAY" in words(page.text)
        assert 'class="danger"' not in page.text
        answer = await asked(ann, GATE, OPEN)
        assert (answer.status_code, "The site is away." in words(answer.text)) == (503, True)
        assert site.orders == []


async def test_an_office_without_a_key_says_that_commands_are_off(tmp_path: Path) -> None:
    """On the list and at the device; a lift allows nothing, whatever is on."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker), browser(app, "ann") as ann:
        await until(lambda: any(row.catalogue for row in app.store.reader.sites()))
        assert "Commands are OFF: this office has no key" in words((await ann.get("/commands")).text)
        page = words((await ann.get("/commands/to/hq/lift-a1")).text)
        assert "Commands are OFF: this office has no key" in page
        assert "Nothing can be commanded at this device from here" in page
        refused = await ann.get("/commands/to/hq/lift-a1", params={"point": "floor", "value": "3"})
        assert refused.status_code == 404


async def test_what_is_asked_for_is_shown_as_text(tmp_path: Path) -> None:
    """A reason with markup in it is no markup on anybody's page."""
    async with estate(tmp_path) as (app, site), browser(app, "ann") as ann:
        await heard(app, site)
        answer = await asked(ann, GATE, OPEN | {"reason": "<script>alert(1)</script>"})
        for path in (answer.headers["location"], "/commands"):
            page = (await ann.get(path)).text
            assert "<script>alert" not in page
            assert "&lt;script&gt;alert(1)" in page
