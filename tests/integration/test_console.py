"""The console over a real store and a real port: who gets in, what is told, how an acknowledgement travels."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi.routing import APIRoute

from cloud_sync.memory import MemoryBroker
from office.app import Office
from office.console import server, stream
from office.console.gate import MAX_BODY
from office.console.web import routes
from sitekeeper.block import Gap, GapCause
from sitekeeper.model.alarm import AlarmState, Cause
from sitekeeper.model.clock import MINUTE, SECOND, SystemClock
from sitekeeper.model.quality import Reason
from tests.console_estate import PASSWORDS, Site, running, site_on, until

OPEN = {"/healthz", "/readyz", "/login", "/static/{path:path}"}


@asynccontextmanager
async def browser(app: Office, name: str = "") -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of the console, logged in as `name` if one is given."""
    assert app.console is not None
    async with httpx.AsyncClient(base_url=app.console.address, trust_env=False, timeout=60) as client:
        if name:
            answer = await client.post("/login", data={"name": name, "password": PASSWORDS[name]})
            assert answer.status_code == 303, answer.text
        yield client


async def token(client: httpx.AsyncClient) -> str:
    found = re.search(r'data-csrf="([^"]+)"', (await client.get("/sites")).text)
    assert found is not None
    return found[1]


async def raised(app: Office, site: Site, **fields: Any) -> str:
    occurrence = await site.alarm("L01", "P1", Cause.RAISE, AlarmState.UNACKED, **fields)
    await until(lambda: app.store.reader.alarm(occurrence) is not None)
    return occurrence


def filled(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "x", path)


async def test_every_route_needs_a_login(tmp_path: Path) -> None:
    """Walked over the route table: without a session nothing answers but health, login and static files."""
    async with running(tmp_path, MemoryBroker()) as app, browser(app) as client:
        assert app.console is not None
        found = [route for route in _routes(routes(app.console.parts).routes) if isinstance(route, APIRoute)]
        assert len(found) > 20
        for route in found:
            for method in sorted(route.methods):
                answer = await client.request(method, filled(route.path))
                if route.path in OPEN:
                    assert answer.status_code in {200, 401, 404, 422}, route.path
                elif route.path.startswith(("/api/", "/metrics")):
                    assert (answer.status_code, answer.json()) == (401, {"problem": "login"}), route.path
                else:
                    assert answer.status_code == 303, route.path
                    assert answer.headers["location"].startswith("/login"), route.path
        assert (await client.get("/static/console.js")).status_code == 200
        assert (await client.get("/static/../auth.py")).status_code != 200
        assert (await client.get("/docs")).status_code == 303


def _routes(found: Any) -> list[Any]:
    """Return all routes, those of included routers too."""
    every = []
    for route in found:
        inner = getattr(route, "original_router", None)
        every += _routes(inner.routes) if inner is not None else [route]
    return every


async def test_what_changes_something_needs_the_sessions_token_and_this_origin(tmp_path: Path) -> None:
    """Each POST is refused without its token, with another session's, and from another site's page."""
    async with running(tmp_path, MemoryBroker()) as app, browser(app, "ann") as ann, browser(app, "admin") as admin:
        assert app.console is not None
        found = [
            r for r in _routes(routes(app.console.parts).routes) if isinstance(r, APIRoute) and "POST" in r.methods
        ]
        other = await token(admin)
        for route in found:
            path = filled(route.path)
            own = await token(ann)
            evil = {"Origin": "https://evil.example", "X-CSRF-Token": own}
            foreign = await ann.post(path, headers=evil, data={"csrf": own})
            assert foreign.status_code == 403, path
            assert (await ann.post(path, headers={"Sec-Fetch-Site": "cross-site"})).status_code == 403, path
            if route.path != "/login":
                for given in ("", other):
                    by_header = await ann.post(path, headers={"X-CSRF-Token": given}, json={})
                    assert by_header.status_code == 403, path
                    assert (await ann.post(path, data={"csrf": given})).status_code == 403, path


async def test_logging_in_and_out(tmp_path: Path) -> None:
    """The cookie is HttpOnly and Strict; a wrong password waits; after logging out the cookie opens nothing."""
    async with running(tmp_path, MemoryBroker()) as app, browser(app) as client:
        tries = 0
        while (wrong := await client.post("/login", data={"name": "ann", "password": "x"})).status_code == 401:
            tries += 1  # on a busy machine a try takes longer than the first wait, so it may be let in once more
            assert tries < 15
        assert tries >= 5
        assert (wrong.status_code, int(wrong.headers["retry-after"]) >= 1) == (429, True)
        done = await client.post("/login", data={"name": "vic", "password": PASSWORDS["vic"], "next": "/alarms"})
        assert done.headers["location"] == "/alarms"
        cookie = done.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        kept = client.cookies["sitekeeper_session"]
        answer = await client.post("/logout", data={"csrf": await token(client)})
        assert answer.headers["location"] == "/login"
        client.cookies.set("sitekeeper_session", kept)
        assert (await client.get("/sites")).status_code == 303


async def test_a_stranger_is_not_told_where_the_office_keeps_its_files(tmp_path: Path) -> None:
    """What fails inside stands in the office's log; a caller learns that something failed."""
    async with running(tmp_path, MemoryBroker()) as app, browser(app) as client:
        (tmp_path / "console-users.json").write_text("{")
        answer = await client.post("/login", data={"name": "ann", "password": "x"})
        assert (answer.status_code, answer.json()["problem"]) == (503, "store")
        assert str(tmp_path) not in answer.text


async def test_pages_forbid_what_they_do_not_need(tmp_path: Path) -> None:
    """No script or style from elsewhere or from the page itself; nothing is cached; large bodies are refused."""
    async with running(tmp_path, MemoryBroker()) as app, browser(app, "ann") as client:
        answer = await client.get("/sites")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(r"https?://", answer.text)
        assert not re.search(r"<script>|<style|\son\w+=", answer.text)
        assert (await client.post("/logout", content=b"x" * (MAX_BODY + 1))).status_code == 413


async def test_what_a_site_says_is_shown_as_text(tmp_path: Path) -> None:
    """Names, notes and values with markup in them come out escaped, on every page and in every language."""
    broker, evil = MemoryBroker(), "<script>alert(1)</script>"
    async with running(tmp_path, broker) as app, site_on(broker, "hq", en=evil) as site, browser(app, "ann") as client:
        now = SystemClock().wall()
        await site.samples(now - SECOND, now, door=evil, floor=3)
        occurrence = await raised(app, site, detail=evil, note=evil)
        await until(lambda: bool(app.store.reader.latest("hq")))
        for path in ("/sites", "/sites/hq", "/sites/hq/devices/lift-a1", "/alarms", f"/alarms/{quote(occurrence)}"):
            for lang in ("en", "zh-Hant", "zh-Hans"):
                answer = await client.get(path, params={"lang": lang})
                assert answer.status_code == 200, (path, answer.text)
                assert evil not in answer.text, path
                assert f'<html lang="{lang}">' in answer.text


async def test_a_viewer_may_look_but_not_acknowledge(tmp_path: Path) -> None:
    """Refused at the API and on the page, and nothing is stored; the page does not offer it."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, browser(app, "vic") as client:
        occurrence = await raised(app, site)
        csrf = await token(client)
        answer = await client.post(
            f"/api/v1/alarms/{occurrence}/ack", headers={"X-CSRF-Token": csrf}, json={"note": ""}
        )
        assert (answer.status_code, answer.json()["problem"]) == (403, "permission")
        page = await client.post(f"/alarms/{quote(occurrence)}/ack", data={"csrf": csrf})
        assert page.status_code == 409
        assert 'id="ack"' not in (await client.get(f"/alarms/{quote(occurrence)}")).text
        assert app.store.reader.acks(occurrence) == []


async def test_an_acknowledgement_is_pending_until_the_site_has_answered(tmp_path: Path) -> None:
    """Made here: pending, with a name; answered by the site: done; a second one is refused in words."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, browser(app, "ann") as client:
        occurrence = await raised(app, site)
        csrf = await token(client)
        headers = {"X-CSRF-Token": csrf}
        answer = await client.post(f"/api/v1/alarms/{occurrence}/ack", headers=headers, json={"note": "on my way"})
        assert answer.json()["ack"] == "pending"
        [listed] = (await client.get("/api/v1/alarms")).json()
        assert (listed["state"], listed["ack_pending_by"], listed["acked_by"]) == ("B", "ann", "")
        assert 'id="pending"' in (await client.get(f"/alarms/{quote(occurrence)}")).text
        answering = asyncio.ensure_future(site.answer_acks())
        await until(lambda: app.store.reader.acks(occurrence)[0].state == "done")
        answering.cancel()
        told = (await client.get(f"/api/v1/alarms/{occurrence}")).json()
        assert (told["state"], told["ack_pending_by"], told["acked_by"]) == ("C", None, "ann")
        assert any("on my way" in line for line in told["story"])
        assert told["rescue_phone"] == "+852 5550 0100"
        again = await client.post(f"/alarms/{quote(occurrence)}/ack", data={"csrf": csrf, "note": "x"})
        assert "acknowledged it already" in again.text


# the stream


async def events(client: httpx.AsyncClient, count: int, **headers: str) -> list[dict[str, Any]]:
    """Return the first `count` events of the stream as {event, id, data}."""
    found: list[dict[str, Any]] = []
    one: dict[str, Any] = {}
    async with asyncio.timeout(30), client.stream("GET", "/api/v1/stream", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            if not line and "event" in one:
                found.append({**one, "data": json.loads(one["data"])})
                one = {}
                if len(found) == count:
                    break
            elif ": " in line:
                name, _, value = line.partition(": ")
                one[name] = value
    return found


async def test_the_stream_tells_each_transition_once_in_order_and_again_to_who_missed_it(tmp_path: Path) -> None:
    """A beat at once, then what is raised, with ascending ids; with Last-Event-ID what came after, and nothing else."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, browser(app, "vic") as client:
        listening = asyncio.ensure_future(events(client, 4))
        assert app.console is not None
        hub = app.console.parts.hub
        await until(lambda: len(hub._clients) == 1)
        for rule, priority in (("L01", "P1"), ("L22", "P2"), ("L25", "P3")):
            await site.alarm(rule, priority, Cause.RAISE, AlarmState.UNACKED)
        await until(lambda: app.store.reader.alarm("hq/lift-a1/L25") is not None)
        alarms = [one for one in await events(client, 4, **{"Last-Event-ID": "0"}) if one["event"] == "alarm"]
        first = [one for one in await listening if one["event"] == "alarm"]
        assert [one["data"]["rule"] for one in alarms] == ["L01", "L22", "L25"]
        assert [one["id"] for one in alarms] == ["1", "2", "3"]
        assert first == alarms[: len(first)]
        again = [one for one in await events(client, 2, **{"Last-Event-ID": "2"}) if one["event"] == "alarm"]
        assert [one["id"] for one in again] == ["3"]


async def test_who_missed_too_much_loads_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit of a replay there is one `reload` instead."""
    monkeypatch.setattr(stream, "REPLAY", 1)
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, browser(app, "vic") as client:
        await site.alarm("L22", "P2", Cause.RAISE, AlarmState.UNACKED)
        await raised(app, site)
        found = await events(client, 2, **{"Last-Event-ID": "0"})
    assert [one["event"] for one in found] == ["beat", "reload"]


async def test_the_beat_tells_of_the_broker_and_of_sites(tmp_path: Path) -> None:
    """A site that was heard is named in the next beat; a lost broker is told within a beat."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, browser(app, "vic") as client:
        await until(lambda: bool(app.store.reader.sites()))
        listening = asyncio.ensure_future(events(client, 2))
        while not listening.done():  # one that is said before the browser listens may be told to nobody
            await site.say()
            await asyncio.sleep(0.1)
        found = [one["data"] for one in await listening]
        assert found[-1]["sites"] == ["hq"]
        assert found[-1]["broker"] is True


async def test_an_open_stream_does_not_hold_the_office_up_and_ends_with_its_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logging out ends the stream with the next beat; stopping the office with a stream open takes no grace time."""
    monkeypatch.setattr(server, "GRACE_S", 60)
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app:
        async with browser(app, "vic") as client:
            listening = asyncio.ensure_future(events(client, 1_000))
            assert app.console is not None
            hub = app.console.parts.hub
            await until(lambda: len(hub._clients) == 1)
            await client.post("/logout", data={"csrf": await token(client)})
            async with asyncio.timeout(30):
                await listening
        left = asyncio.ensure_future(_until_it_ends(app))
        await until(lambda: len(hub._clients) == 1)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 30
    await left


async def _until_it_ends(app: Office) -> None:
    async with browser(app, "ann") as client:
        await events(client, 1_000)


# facts


async def told_an_hour(site: Site) -> int:
    """Tell twenty minutes of floors with a gap and a bad value in them; return when they began."""
    began = (SystemClock().wall() - 20 * MINUTE) // SECOND * SECOND
    for minute in range(20):
        at = began + minute * MINUTE
        if 5 <= minute < 8:
            continue
        gaps = [Gap("lift-a1@1s", began + 5 * MINUTE, at, GapCause.LINK_DOWN)] if minute == 8 else []
        await site.samples(at, at + MINUTE, gaps, floor=Reason.STALE if minute == 12 else minute, online=minute != 12)
    return began


async def test_a_trend_has_gaps_as_gaps_with_their_cause(tmp_path: Path) -> None:
    """Steps inside a gap or a bad time are null; the gap tells its cause, the bad time its quality."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, browser(app, "vic") as client:
        began = await told_an_hour(site)
        await until(
            lambda: (row := app.store.reader.latest_value("hq", "lift-a1/floor")) is not None and row.value == 19
        )
        start, end = (f"{n}" for n in (_rfc3339(began), _rfc3339(began + 20 * MINUTE)))
        path = "/api/v1/sites/hq/points/lift-a1/floor/samples"
        found = (await client.get(path, params={"from": start, "to": end, "step": "60s"})).json()
        assert found["steps"]["last"][:4] == [0, 1, 2, 3]
        assert [found["steps"]["last"][n] for n in (5, 6, 7, 12)] == [None] * 4
        assert found["steps"]["high"][8:12] == [8, 9, 10, 11]
        assert [hole["causes"] for hole in found["holes"]] == [["link_down"]]
        assert [one["quality"] for one in found["bad"]] == ["bad stale"]
        page = await client.get("/sites/hq/devices/lift-a1/floor", params={"span": "1h"})
        assert "link down" in page.text
        assert (await client.get(path, params={"from": "yesterday"})).status_code == 422
        assert (await client.get("/api/v1/sites/hq/points/lift-a1/flor/samples")).status_code == 404


def _rfc3339(at: int) -> str:
    from office.api.items import rfc3339

    return rfc3339(at) or ""


async def test_a_silent_site_never_looks_live(tmp_path: Path) -> None:
    """Its values are told with `live: false`, the page has their age in the value's place."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, browser(app, "vic") as client:
        now = SystemClock().wall()
        await site.samples(now - 10 * MINUTE, now - 9 * MINUTE, floor=7, door="closed", online=True)
        await until(lambda: bool(app.store.reader.latest("hq")))
        told = (await client.get("/api/v1/sites/hq/points/lift-a1/floor/latest")).json()
        assert (told["value"], told["quality"], told["live"]) == (7, "good", False)
        page = (await client.get("/sites/hq/devices/lift-a1")).text
        assert "STALE for" in page
        assert "(was 7)" in page
        await site.samples(now - SECOND, SystemClock().wall(), floor=8)
        await until(
            lambda: (row := app.store.reader.latest_value("hq", "lift-a1/floor")) is not None and row.value == 8
        )
        told = (await client.get("/api/v1/sites/hq/points/lift-a1/floor/latest")).json()
        assert (told["value"], told["live"]) == (8, True)


async def test_an_empty_list_proves_that_it_is_live(tmp_path: Path) -> None:
    """Without alarms the page says how many sites report; without sites, what to do."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, browser(app, "vic") as client:
        assert "No sites yet" in (await client.get("/sites")).text
        async with site_on(broker):
            await until(lambda: any(row.online for row in app.store.reader.sites()))
            assert "1 of 1 sites are reporting" in (await client.get("/alarms")).text


async def test_the_api_tells_the_same_facts(tmp_path: Path) -> None:
    """Sites, devices, points, health and the API's own description."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, browser(app, "vic") as client:
        await site.samples(SystemClock().wall() - SECOND, SystemClock().wall(), floor=7, passenger=True, online=True)
        await until(lambda: bool(app.store.reader.latest("hq")))
        await raised(app, site)
        [told] = (await client.get("/api/v1/sites")).json()
        assert (told["id"], told["live"], told["open"], told["worst"]) == ("hq", True, {"P1": 1}, "P1")
        assert [one["id"] for one in (await client.get("/api/v1/sites/hq/devices")).json()] == ["lift-a1"]
        points = {one["id"]: one for one in (await client.get("/api/v1/sites/hq/points")).json()}
        assert points["lift-a1/passenger"]["value"] is True
        assert points["lift-a1/door"]["value"] is None
        assert (await client.get("/api/v1/alarms", params={"state": "all", "priority": "P2"})).json() == []
        assert (await client.get("/api/v1/alarms", params={"state": "zzz"})).status_code == 422
        assert "/api/v1/alarms/{alarm}/ack" in (await client.get("/api/openapi.json")).json()["paths"]
        assert (await client.get("/healthz")).text == "ok\n"
        assert (await client.get("/readyz")).status_code == 200


async def test_a_port_in_use_is_refused_in_words(tmp_path: Path) -> None:
    """The office does not start without its console, and says which address it could not have."""
    from sitekeeper.model.errors import Refused
    from tests.console_estate import settings

    (tmp_path / "b").mkdir()
    async with running(tmp_path, MemoryBroker()) as app:
        assert app.console is not None
        port = int(app.console.address.rstrip("/").rpartition(":")[2])
        with pytest.raises(Refused, match=str(port)):
            await Office(settings(tmp_path / "b", port), connect={}, channels={}).open()
