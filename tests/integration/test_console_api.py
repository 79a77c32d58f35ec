"""The office's API for programs: tokens, events, ledger, notifications, means, metrics, and its own description."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from cloud_sync.memory import MemoryBroker
from office.app import Office
from office.console.web import routes
from sitekeeper.block import Gap, GapCause
from sitekeeper.model.clock import MINUTE, SECOND, SystemClock
from sitekeeper.model.quality import Reason
from tests.console_estate import running, site_on, until
from tests.console_families import CARD, court_on
from tests.integration.test_console import _rfc3339, _routes, browser, raised


@asynccontextmanager
async def program(app: Office, role: Any = "viewer") -> AsyncIterator[httpx.AsyncClient]:
    """Return a client with a bearer token and no session."""
    assert app.console is not None
    token = app.console.parts.users.add_token(f"test-{role}", role)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=app.console.address, trust_env=False, headers=headers, timeout=60) as client:
        yield client


async def test_a_token_opens_the_api_and_nothing_else(tmp_path: Path) -> None:
    """Reading works, pages stay shut, a wrong one is refused even beside a good session; revoking is at once."""
    async with running(tmp_path, MemoryBroker()) as app, program(app) as client, browser(app, "ann") as ann:
        assert app.console is not None
        assert (await client.get("/api/v1/sites")).json() == []
        assert (await client.get("/sites")).status_code == 303
        wrong = await ann.get("/api/v1/sites", headers={"Authorization": "Bearer nonsense"})
        assert (wrong.status_code, wrong.headers["www-authenticate"]) == (401, "Bearer")
        app.console.parts.users.revoke_token("test-viewer")
        assert (await client.get("/api/v1/sites")).status_code == 401


async def test_a_token_acts_by_its_role_and_needs_no_csrf_token(tmp_path: Path) -> None:
    """A viewer's may not acknowledge, an operator's may, and its name stands in the record."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site:
        occurrence = await raised(app, site)
        async with program(app, "viewer") as client:
            refused = await client.post(f"/api/v1/alarms/{occurrence}/ack", json={"note": ""})
            assert (refused.status_code, refused.json()["problem"]) == (403, "permission")
        async with program(app, "operator") as client:
            assert (await client.post(f"/api/v1/alarms/{occurrence}/ack", json={"note": "x"})).status_code == 200
        assert app.store.reader.acks(occurrence)[0].who == "token test-operator"


async def test_a_host_name_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    """A foreign name that points here gets nothing, not even the login page; addresses and localhost are ours."""
    async with running(tmp_path, MemoryBroker()) as app, browser(app) as client:
        for host in ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "a@b", "[::1", ""):
            answer = await client.get("/login", headers={"Host": host})
            assert answer.status_code == 421, host
            assert answer.headers["x-content-type-options"] == "nosniff"
        for host in ("localhost:1", "127.0.0.1", "[::1]:8080", "192.168.1.2:80"):
            assert (await client.get("/login", headers={"Host": host})).status_code == 200, host


async def test_events_are_told_in_order_of_arrival_with_a_cursor(tmp_path: Path) -> None:
    """Of a site or one device; `next` is where to go on; a card is never told."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, court_on(broker), program(app) as client:
        path = "/api/v1/sites/court/events"
        await until(lambda: len(app.store.reader._rows("SELECT 1 FROM events")) == 8)
        every = (await client.get(path)).json()
        assert [one["event"] for one in every["events"][:3]] == ["read.event", "door.event", "read.event"]
        assert CARD not in json.dumps(every)
        first = (await client.get(path, params={"after": 0, "limit": 3})).json()
        rest = (await client.get(path, params={"after": first["next"]})).json()
        assert first["events"] + rest["events"] == every["events"]
        assert (await client.get(path, params={"after": rest["next"]})).json() == {"events": [], "next": rest["next"]}
        door = (await client.get(path, params={"device": "door-2"})).json()["events"]
        assert [(one["event"], one["late"]) for one in door] == [
            ("read.event", False), ("rex.event", True), ("audit_gap", False),
        ]  # fmt: skip
        assert (await client.get("/api/v1/sites/none/events")).status_code == 404
        assert (await client.get(path, params={"limit": 0})).json()["problem"] == "usage"


async def test_the_ledger_of_a_day_is_that_of_the_sites_own_day(tmp_path: Path) -> None:
    """Known, gaps by cause, nothing unexplained; of a day of which the site has told nothing yet all is awaited."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, program(app) as client:
        noon = int(datetime(2026, 3, 1, 4, tzinfo=UTC).timestamp()) * SECOND  # 12:00 in Hong Kong
        gap = Gap("lift-a1@1s", noon + 10 * MINUTE, noon + 12 * MINUTE, GapCause.LINK_DOWN)
        await site.samples(noon, noon + 10 * MINUTE, floor=1)
        await site.samples(noon + 12 * MINUTE, noon + 20 * MINUTE, [gap], floor=2)
        await until(lambda: len(app.store.reader.ledger("hq")) == 1 and app.store.reader.ledger("hq")[0].gap > 0)
        [row] = (await client.get("/api/v1/ledger", params={"site": "hq", "day": "2026-03-01"})).json()
        assert (row["known_s"], row["gap_s"], row["unexplained_s"]) == (18 * 60, 120, 0)
        assert row["causes"] == {"link_down": 120}
        assert row["awaited_s"] == row["span_s"] - 20 * 60
        [later] = (await client.get("/api/v1/ledger", params={"site": "hq", "day": "2026-03-02"})).json()
        assert (later["known_s"], later["awaited_s"], later["unexplained_s"]) == (0, 86_400, 0)
        assert (await client.get("/api/v1/ledger", params={"site": "hq", "day": "2026-02-28"})).json() == []
        [whole] = (await client.get("/api/v1/ledger", params={"site": "hq"})).json()
        assert (whole["known_s"], whole["gap_s"], whole["causes"]) == (18 * 60, 120, row["causes"])
        asked = {"site": "hq", "day": "2026-03-01", "by": "point"}
        points = {point["point"]: point for point in (await client.get("/api/v1/ledger", params=asked)).json()}
        assert (points["lift-a1/floor"]["records"], points["lift-a1/floor"]["known_s"]) == (2, 18 * 60)
        assert len((await client.get("/api/v1/ledger", params=asked | {"point": "lift-a1/floor"})).json()) == 1
        assert len((await client.get("/api/v1/ledger", params={"site": "hq", "by": "day"})).json()) == 14
        assert (await client.get("/api/v1/quarantine")).json()["quarantine"] == []
        assert (await client.get("/api/v1/ledger", params={"site": "hq", "day": "tomorrow"})).status_code == 422


async def test_notifications_are_the_push_log(tmp_path: Path) -> None:
    """One row for each attempt, with the alarm it speaks of, after a cursor or of one alarm."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, program(app) as client:
        occurrence = await raised(app, site)
        await until(lambda: [push.state for push in app.store.reader.pushes(occurrence)] == ["sent"])
        told = (await client.get("/api/v1/notifications")).json()
        [row] = told["notifications"]
        assert (row["alarm"], row["recipient"], row["state"], row["attempt"]) == (occurrence, "desk", "sent", 1)
        assert (await client.get("/api/v1/notifications", params={"after": told["next"]})).json()["notifications"] == []
        of_one = await client.get("/api/v1/notifications", params={"alarm": occurrence})
        assert of_one.json()["notifications"] == [row]


async def test_a_mean_weights_each_value_by_how_long_it_stood(tmp_path: Path) -> None:
    """10 for 45 s and 50 for 15 s are 20; holes and bad times count for nothing; a step without any is null."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, program(app) as client:
        t = (SystemClock().wall() - 20 * MINUTE) // MINUTE * MINUTE
        await site.samples(t, t + 45 * SECOND, load=10.0, passenger=True)
        await site.samples(t + 45 * SECOND, t + 2 * MINUTE, load=50.0, passenger=False)  # stands through minute 1
        await site.samples(t + 2 * MINUTE, t + 150 * SECOND, load=Reason.STALE)  # bad, then a hole of 15 s
        await site.samples(t + 165 * SECOND, t + 3 * MINUTE, load=30.0)
        await until(
            lambda: (row := app.store.reader.latest_value("hq", "lift-a1/load")) is not None and row.value == 30
        )
        asked = {"from": _rfc3339(t), "to": _rfc3339(t + 4 * MINUTE), "step": "60s"}
        path = "/api/v1/sites/hq/points/lift-a1/{}/samples"
        steps = (await client.get(path.format("load"), params=asked)).json()["steps"]
        assert steps["mean"] == [20.0, 50.0, 30.0, None]
        assert (steps["low"], steps["high"], steps["last"][:3]) == (
            [10, 50, 30, None], [50, 50, 30, None], [50, 50, 30],
        )  # fmt: skip
        share = (await client.get(path.format("passenger"), params=asked)).json()["steps"]["mean"]
        assert share[:2] == [0.75, 0.0]


LINE = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+')


async def test_metrics_are_prometheus_text_without_people(tmp_path: Path) -> None:
    """Each line is in the text format; sites, alarms and pushes are counted; no account, card or telephone is named."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, site_on(broker) as site, program(app) as client:
        occurrence = await raised(app, site)
        await until(lambda: [push.state for push in app.store.reader.pushes(occurrence)] == ["sent"])
        answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        lines = answer.text.splitlines()
        assert [line for line in lines if not line.startswith("# ") and not LINE.fullmatch(line)] == []
        for line in (
            'sitekeeper_site_live{site="hq"} 1',
            'sitekeeper_alarms_open{site="hq",priority="P1",state="B"} 1',
            'sitekeeper_pushes{channel="desk",state="sent"} 1',
            "sitekeeper_office_ready 1",
        ):
            assert line in lines
        for personal in ('"ann', '"vic', "+852", "test-viewer"):
            assert personal not in answer.text


async def test_the_description_is_true_to_the_api(tmp_path: Path) -> None:
    """Every path and method of the API and no page is in it, with its ways in; parameters are those of the code."""
    async with running(tmp_path, MemoryBroker()) as app, program(app) as client:
        assert app.console is not None
        told = (await client.get("/api/openapi.json")).json()
        found = [route for route in _routes(routes(app.console.parts).routes) if isinstance(route, APIRoute)]
        api = {r.path.replace(":path}", "}"): r for r in found if r.path.startswith("/api/v1") or r.path == "/metrics"}
        assert set(told["paths"]) == {*api, "/healthz", "/readyz"}
        for path, operations in told["paths"].items():
            if path in api:
                assert {each["security"][0].keys() <= {"bearer"} for each in operations.values()} == {True}, path
                assert all("401" in each["responses"] and each.get("description") for each in operations.values()), path
        listed = {each["name"] for each in told["paths"]["/api/v1/sites/{site}/events"]["get"]["parameters"]}
        assert listed == {"site", "device", "after", "limit"}
        # What it says of a refusal is what comes.
        refusal = (await client.get("/api/v1/sites/none")).json()
        assert set(refusal) == set(told["components"]["schemas"]["Problem"]["properties"])
        wrong = await client.get("/api/v1/sites/none/events", params={"after": "x"})
        assert (wrong.status_code, set(wrong.json())) == (422, {"problem", "detail"})
        assert "HTTPValidationError" not in json.dumps(told)


@pytest.mark.parametrize("lang", ["en", "zh-Hant", "zh-Hans"])
async def test_a_site_of_all_families_is_told_in_peoples_words(tmp_path: Path, lang: str) -> None:
    """No code of an enumeration, no `true`, no card number; a lamp that fails and one that is silent stand out."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, court_on(broker), browser(app, "ann") as client:
        await until(lambda: len(app.store.reader._rows("SELECT 1 FROM events")) == 8)
        page = (await client.get("/sites/court", params={"lang": lang})).text
        assert [page.index(f'id="group-{cls}"') for cls in ("lift", "access", "parking", "fire", "lighting")] == sorted(
            page.index(f'id="group-{cls}"') for cls in ("lift", "access", "parking", "fire", "lighting")
        )
        for path in ("", "/devices/door-2", "/devices/barrier-out", "/devices/fire-panel", "/devices/lamp-07"):
            text = re.sub(r"<[^>]*>", " ", (await client.get(f"/sites/court{path}", params={"lang": lang})).text)
            assert not re.search(r"\b(forced_open|out_of_service|true|false|read\.event|timed_out)\b", text), path
            assert CARD not in text
        tiles = dict(re.findall(r'<li class="tile[^>]*data-device="([^"]+)">(.*?)</li>', page, re.DOTALL))
        assert len(tiles) == 35
        assert "▲" in tiles["lamp-07"]
        assert "▲" not in tiles["lamp-08"]
        assert "✕" in tiles["lamp-24"]
