"""S11: who may see one site learns nothing of another, walked over the route table with three roles, own and other."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import httpx
import pytest
from fastapi.routing import APIRoute
from msgspec.structs import replace

from cloud_sync.memory import MemoryBroker
from cloud_sync.store import orders
from cloud_sync.store.orders import OrderRow
from office import ledger
from office.api.sites import NEWEST
from office.app import Office
from office.auth import ConsoleRole
from office.console.web import routes
from sitekeeper.model.alarm import AlarmState, Cause
from sitekeeper.model.clock import SECOND, SystemClock
from tests.console_estate import Site, running, site_on, until
from tests.integration.test_console import _routes, raised

OWN, OTHER = "hq", "zz-elsewhere"
ROLES: tuple[ConsoleRole, ...] = get_args(ConsoleRole)
ENDLESS = frozenset({"/api/v1/stream"})
"""Has a test of its own below."""
OF_NOBODY = frozenset(
    {"/login", "/logout", "/healthz", "/readyz", "/api/v1/health", "/static/{path:path}", "/api/openapi.json", "/"}
)
"""Name no site and show none; they are asked all the same."""
SILENT = frozenset(
    {
        "/api/v1/ledger",
        "/api/v1/sites/{site}/devices",
        "/api/v1/sites/{site}/events",
        "/api/v1/sites/{site}/points",
        "/api/v1/sites/{site}/points/{device}/{point}/latest",
    }
)
"""Are of one site that is named in the question, and do not name it in the answer: 404 is what is to be seen."""


class Estate:
    """An office with two sites that are alike: an alarm, samples and an order each."""

    def __init__(self, app: Office, sites: dict[str, Site]) -> None:
        assert app.console is not None
        self.app, self.sites, self.parts, self.address = app, sites, app.console.parts, app.console.address
        self.alarms: dict[str, str] = {}
        self.orders = {OWN: "a" * 32, OTHER: "b" * 32}
        self.day = ledger.today(ZoneInfo("Asia/Hong_Kong"), SystemClock().wall() - 30 * SECOND)

    async def told(self) -> None:
        now = SystemClock().wall()
        for name, site in self.sites.items():
            await site.samples(now - 60 * SECOND, now, floor=3, load=12.5)
            self.alarms[name] = await raised(self.app, site)
            shelf = {"until": now + 60 * SECOND, "base": AlarmState.UNACKED, "note": name}
            await site.alarm("L25", "P3", Cause.SHELVE, AlarmState.SHELVED, **shelf)
            row = OrderRow(
                id=self.orders[name], site=name, target="lift-a1/floor", value="3", lasts=SECOND, who="boss",
                role="admin", reason="test", state="confirmed", asked=now, changed=now, due=now,
            )  # fmt: skip
            await site.session.publish(f"sitekeeper/1/{name}/up/samples", b"nonsense")
            await asyncio.wrap_future(self.app.store.do(lambda sql, row=row: orders.put(sql, row, "ask")))
        await until(lambda: all(self.app.store.reader.ledger(name) for name in self.sites))
        await until(lambda: len(self.app.store.reader._rows("SELECT 1 FROM quarantine")) == len(self.sites))
        await until(lambda: all(self.app.store.reader.pushes(each) for each in self.alarms.values()))

    def filled(self, path: str, site: str) -> str:
        values = {
            "site": site, "device": "lift-a1", "point": "floor", "alarm": self.alarms[site], "path": "console.js",
            "occurrence": self.alarms[site], "command": self.orders[site], "group": "lift-a1@1s", "day": str(self.day),
        }  # fmt: skip
        return re.sub(r"\{(\w+)[^}]*\}", lambda found: values[found[1]], path)

    def queries(self, route: APIRoute, site: str) -> list[dict[str, str]]:
        """Return the queries to try: each parameter that names something of a site, and none."""
        known = {"site": site, "alarm": self.alarms[site]}
        names = [each.name for each in route.dependant.query_params if each.name in known]
        needed = any(each.field_info.is_required() for each in route.dependant.query_params)
        return [{name: known[name]} for name in names] + ([] if needed else [{}])

    @asynccontextmanager
    async def caller(
        self, role: ConsoleRole, sites: list[str] | None, *, program: bool, security: bool = False
    ) -> AsyncIterator[httpx.AsyncClient]:
        """Yield a client that may see these sites; with a token if it is a program, else logged in."""
        name = f"{role}-{'some' if sites is not None else 'all'}{'-security' * security}"
        async with httpx.AsyncClient(base_url=self.address, trust_env=False, timeout=60) as client:
            if program:
                client.headers["Authorization"] = (
                    f"Bearer {self.parts.users.add_token(name, role, sites, security=security)}"
                )
            else:
                password = self.parts.users.put(name, role, sites, security=security)
                assert (await client.post("/login", data={"name": name, "password": password})).status_code == 303
                page = await client.get("/alarms")
                client.headers["X-CSRF-Token"] = re.findall(r'data-csrf="([^"]+)"', page.text)[0]
            yield client


@asynccontextmanager
async def estate(folder: Path) -> AsyncIterator[Estate]:
    broker = MemoryBroker()
    async with running(folder, broker) as app, site_on(broker, OWN) as own, site_on(broker, OTHER) as other:
        found = Estate(app, {OWN: own, OTHER: other})
        await found.told()
        yield found


async def asked(client: httpx.AsyncClient, method: str, path: str, query: dict[str, str], site: str) -> httpx.Response:
    if method == "GET":
        return await client.get(path, params=query)
    token = client.headers.get("X-CSRF-Token", "")
    if path.startswith("/api/"):
        body = {"site": site, "device": "lift-a1", "point": "floor", "value": 1, "reason": "test", "note": ""}
        if path.endswith("/shelve"):
            body = {"for": "30min", "reason": "test"}
        if path.endswith("/ack"):
            body = {"note": ""}
        return await client.request(method, path, params=query, json=body)
    return await client.request(method, path, params=query, data={"csrf": token, "note": "", "reason": "test"})


def found_routes(estate: Estate) -> list[tuple[str, APIRoute]]:
    every = [route for route in _routes(routes(estate.parts).routes) if isinstance(route, APIRoute)]
    return [(method, route) for route in every for method in sorted(route.methods) if route.path not in ENDLESS]


async def leaked(
    two: Estate, client: httpx.AsyncClient, method: str, route: APIRoute, site: str, *, program: bool
) -> list[Any]:
    """Return what a client that may see OWN alone learns of OTHER by one route, with each way of asking."""
    path, found = two.filled(route.path, site), []
    for query in two.queries(route, site):
        answer = await asked(client, method, path, query, site)
        about_other = site == OTHER and (path != route.path or bool(query) or method == "POST")
        if not about_other or route.path in OF_NOBODY:
            found += [(method, path, query, "names it")] * (OTHER in answer.text)
        elif answer.status_code != 404 and not (program and answer.status_code == 303):  # a page sends programs away
            found += [(method, path, query, answer.status_code)]
    return found


@pytest.mark.parametrize("program", [True, False], ids=["program", "person"])
async def test_no_route_tells_of_another_site(tmp_path: Path, program: bool) -> None:
    """Its things are not there: 404, as for what never was; lists are without them, with each role."""
    leaks = []
    async with estate(tmp_path) as two:
        table = found_routes(two)
        assert len({route.path for _, route in table}) > 35
        for role in ROLES:
            async with two.caller(role, [OWN], program=program) as client:
                for method, route in table:
                    usual = route.path.startswith(("/api/", "/metrics")) == program or role == "viewer"
                    if usual and (method, route.path) not in {("POST", "/logout"), ("POST", "/login")}:
                        for site in (OWN, OTHER):
                            leaks += await leaked(two, client, method, route, site, program=program)
    assert leaks == []


async def test_the_other_site_is_there_for_who_may_see_it(tmp_path: Path) -> None:
    """The same questions by somebody who sees all sites name it on most routes: else the test above proves nothing."""
    seen = set()
    async with (
        estate(tmp_path) as two,
        two.caller("viewer", None, program=True) as program,
        two.caller("operator", None, program=False) as person,
    ):
        for method, route in found_routes(two):
            client = program if route.path.startswith(("/api/", "/metrics")) else person
            for query in two.queries(route, OTHER) if method == "GET" else []:
                answer = await asked(client, method, two.filled(route.path, OTHER), query, OTHER)
                if answer.status_code == 200 and OTHER in answer.text:
                    seen.add(route.path)
    every = {route.path for method, route in found_routes(two) if method == "GET"}
    assert every - seen - OF_NOBODY == SILENT


async def test_what_is_hidden_looks_as_if_it_were_not(tmp_path: Path) -> None:
    """The same words for another site's things and for things that never were; short names of alarms mean nothing."""
    async with estate(tmp_path) as two, two.caller("operator", [OWN], program=True) as some:
        for path, other in (("/api/v1/sites/{}", OTHER), ("/api/v1/sites/{}/points", OTHER)):
            hidden, none = await some.get(path.format(other)), await some.get(path.format("never-was"))
            assert hidden.status_code == none.status_code == 404
            assert hidden.json() == json.loads(none.text.replace("never-was", other))
        for short in ("L01", "lift-a1/L01", two.alarms[OTHER]):
            assert (await some.post(f"/api/v1/alarms/{short}/ack", json={"note": ""})).status_code == 404
        assert two.app.store.reader.acks(two.alarms[OTHER]) == []
        every = {row[1]: row[0] for row in two.app.store.reader.ask("SELECT id, site FROM quarantine")}
        for query in ({}, {"limit": 1}, {"limit": 1, "before": every[OTHER] + 1}):
            told = (await some.get("/api/v1/quarantine", params=query)).json()["next"]
            assert told == (every[OWN] if query.get("before", NEWEST) > every[OWN] else query["before"])
        body = {"device": "lift-a1", "point": "floor", "value": "1", "reason": "x"}
        hidden = await some.post("/api/v1/commands", json={"site": OTHER, **body})
        none = await some.post("/api/v1/commands", json={"site": "never-was", **body})
        assert hidden.status_code == none.status_code == 404
        assert hidden.json() == json.loads(none.text.replace("never-was", OTHER))


async def heard(client: httpx.AsyncClient, after: str, count: int) -> str:
    """Return what the stream tells until it has told so many alarms."""
    text = ""
    async with asyncio.timeout(30), client.stream("GET", f"/api/v1/stream{after}") as answer:
        async for piece in answer.aiter_text():
            text += piece
            if text.count("event: alarm") >= count and text.count("event: beat") >= 2:
                return text
    return text


async def test_the_stream_tells_of_the_own_sites_only(tmp_path: Path) -> None:
    """What was missed, what comes, what changes, and who was heard: nothing of the other site, all of the own."""
    async with estate(tmp_path) as two, two.caller("viewer", [OWN], program=True) as some:
        listening = asyncio.create_task(heard(some, "?after=0", 2))
        while not two.parts.hub._clients:
            await asyncio.sleep(0.01)
        for name in (OTHER, OWN):
            await two.sites[name].say()
            await two.sites[name].alarm("L22", "P2", Cause.RAISE, AlarmState.UNACKED)
            two.parts.hub.changed(two.alarms[name])
        told = await listening
        assert OTHER not in told
        assert f'"site":"{OWN}"' in told
        async with two.caller("viewer", None, program=True) as all_:
            assert OTHER in await heard(all_, "?after=0", 4)


async def test_other_rights_end_a_session(tmp_path: Path) -> None:
    """A changed role, or other sites, and the next request meets the login page; the event stream ends too."""
    async with estate(tmp_path) as two, two.caller("operator", [OWN], program=False) as person:
        assert (await person.get("/sites")).status_code == 200
        users = two.parts.users
        account = users.find("operator-some")
        assert account is not None
        listening = asyncio.create_task(heard(person, "", 99))
        await asyncio.sleep(0.1)
        changed = replace(account, sites=(OTHER,))
        users._write(users.all() | {"operator-some": changed}, users.tokens())
        assert (await person.get("/sites")).status_code == 303
        assert "event: beat" in await listening
