"""What only security may know: an alarm of duress leaves no trace for anybody else, walked over the route table."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cloud_sync.memory import MemoryBroker
from cloud_sync.store import orders
from cloud_sync.store.base import Push
from cloud_sync.store.orders import OrderRow
from office.audience import Hidden
from office.auth import ConsoleRole
from office.known import Known
from sitekeeper.audience import SECURITY_FLAG, hidden_rules
from sitekeeper.catalogue import CatalogueRule, decode, encode
from sitekeeper.model.alarm import AlarmState, Cause
from sitekeeper.model.clock import SECOND, SystemClock
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import NotFound
from sitekeeper.model.event import Event
from tests.console_estate import RULES, Site, named, running, until
from tests.integration.callers import EDGE, OFFICE, Door, Item, Table
from tests.integration.callers import asked as local
from tests.integration.test_site_isolation import OF_NOBODY, OWN, Estate, asked, found_routes, heard

CANARY = "c4nary"
SECRETS = (CANARY, "A06", "duress")
DURESS = CatalogueRule("A06", "P1", named(f"{CANARY} duress", "脅迫", "胁迫"), "", "security", ("life_safety",))
PEOPLE: tuple[tuple[ConsoleRole, bool], ...] = (("viewer", True), ("admin", False))
"""Role, and whether it is a program."""


class Watched(Estate):
    """One site with an alarm that all may see, and one of duress, with everything that can come of such a one."""

    async def told(self) -> None:
        await super().told()
        site, app, now = self.sites[OWN], self.app, SystemClock().wall()
        self.open = self.alarms[OWN]
        self.alarms[OWN] = await site.alarm("A06", "P1", Cause.RAISE, AlarmState.UNACKED, detail=CANARY, note=CANARY)
        site.sequences["events"] = 0
        await site.publish("events", now, events=[
            Event("lift-a1/read.event", now, {"granted": True, "duress": True, "dir": "in"}, 1, now),
            Event("gateway/told", now + 1, {"target": CANARY, "occurrence": self.alarms[OWN]}, 2, now),
            Event("lift-a1/command", now + 2, {"point": "floor", "value": CANARY, "by": "lift-a1/A06"}, 3, now),
        ])  # fmt: skip
        row = OrderRow(
            id="d" * 32, site=OWN, target="alarms/comment", value="lift-a1/A06", lasts=SECOND, who=CANARY, role="admin",
            reason=CANARY, state="sent", asked=now, changed=now, due=now + 60 * SECOND,
        )  # fmt: skip
        self.orders[OWN] = row.id
        await asyncio.wrap_future(app.store.do(lambda sql: orders.put(sql, row, "ask")))
        await until(lambda: app.store.reader.alarm(self.alarms[OWN]) is not None)
        await until(lambda: len(app.store.reader._rows("SELECT 1 FROM events")) == 3)


@asynccontextmanager
async def estate(folder: Path) -> AsyncIterator[Watched]:
    broker = MemoryBroker()
    async with running(folder, broker) as app:
        session = await broker.connector(OWN)()
        site = Site(session, OWN, named("Pine Court", "松濤苑一期", "松涛苑一期"))
        known = decode(site.catalogue)
        rules = tuple(sorted((*known.rules, DURESS), key=lambda rule: rule.id))
        site.catalogue = encode(replace(known, rules=rules, secrets=("read.event/duress",)))
        await site.begin()
        try:
            found = Watched(app, {OWN: site})
            await found.told()
            yield found
        finally:
            await session.close()


async def traces(two: Watched, client: Any, *, program: bool) -> tuple[list[Any], set[str]]:
    """Return where a client learns of the duress, with each way of asking on each route, and on which routes."""
    found, seen = [], set()
    for method, route in found_routes(two):
        if program != route.path.startswith(("/api/", "/metrics")) or route.path in OF_NOBODY:
            continue
        path = two.filled(route.path, OWN)
        for query in two.queries(route, OWN):
            answer = await asked(client, method, path, query, OWN)
            about_it = two.alarms[OWN] in path or two.alarms[OWN] in query.values() or two.orders[OWN] in path
            if about_it and answer.status_code == 404:
                continue  # as for what never was; the address comes back in its words
            if (about_it and "notifications" not in path) or any(each in answer.text for each in SECRETS):
                found.append((method, path, query, answer.status_code))
                seen.add(route.path)
    return found, seen


async def test_nobody_but_security_sees_a_trace_of_duress(tmp_path: Path) -> None:
    """Every route, lists, counts and things by name: nothing without the flag, and with it, it is there."""
    async with estate(tmp_path) as two:
        for role, program in PEOPLE:
            async with two.caller(role, None, program=program) as client:
                assert (await traces(two, client, program=program))[0] == [], role
                [site] = (await client.get("/api/v1/sites")).json()
                assert (site["open"], site["worst"]) == ({"P1": 1}, "P1")  # the one that all may see
                assert 'priority="P1",state="B"} 1\n' in (await client.get("/metrics")).text
        bare = two.sites[OWN]
        bare.catalogue = encode(replace(decode(bare.catalogue), rules=RULES, secrets=()))
        await bare.begin()  # neither is in the newest catalogue any more, and yet both stay what they are
        await until(lambda: (told := two.app.store.reader.catalogue(OWN)) is not None and not told.secrets)
        async with two.caller("operator", None, program=True) as client:
            assert (await traces(two, client, program=True))[0] == []
        with_it: set[str] = set()
        for role, program in PEOPLE:
            async with two.caller(role, None, program=program, security=True) as client:
                with_it |= (await traces(two, client, program=program))[1]
                assert 'priority="P1",state="B"} 2\n' in (await client.get("/metrics")).text
        assert with_it >= {
            "/api/v1/alarms", "/api/v1/alarms/{alarm:path}", "/api/v1/alarms/{alarm:path}/ack", "/api/v1/commands",
            "/api/v1/commands/{command}", "/api/v1/sites/{site}/events", "/alarms", "/alarms/{occurrence:path}",
            "/sites/{site}", "/sites/{site}/devices/{device}", "/commands", "/commands/{command}",
            "/quality", "/api/v1/alarms/quality", "/api/v1/alarms/{alarm:path}/shelve",
        }  # fmt: skip


class Plain(Table):
    """Tells the arguments as they came to the operation."""

    async def echo(self, actor: Actor, args: Item) -> AsyncIterator[Item]:
        yield dict(args)


@pytest.mark.parametrize("door", [EDGE, OFFICE], ids=lambda door: door.name)
@pytest.mark.parametrize("security", [False, True])
async def test_who_is_of_security_says_the_server_and_no_request(
    door: Door, security: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the Unix user of the caller; what a request says of itself is thrown away."""
    monkeypatch.setattr(door.module, "sees_security", lambda _uid, _gid: security)
    async with door.serving(tmp_path / "s", Plain()):
        told = await local(tmp_path / "s", "echo", **{SECURITY_FLAG: True, "~more": 1, "a": 1})
    assert told == [{"a": 1, SECURITY_FLAG: security}]


async def test_the_local_socket_tells_of_duress_to_security_alone(tmp_path: Path) -> None:
    """Alarms, their stories, acknowledging and commands; who is of security says the server, not the question."""
    async with estate(tmp_path) as two:
        actor, table = Actor("may", "operator", "office"), two.app._asked_locally()
        for security in (False, True):
            for op in ("alarm.list", "command.list"):
                told = [item async for item in table[op](actor, {SECURITY_FLAG: security})]
                assert ("A06" in str(told)) is security, op
            for op in ("alarm.show", "alarm.ack"):
                for name in ("A06", two.alarms[OWN]):
                    asking = table[op](actor, {"id": name, SECURITY_FLAG: security})
                    if security:
                        assert "A06" in str(await anext(asking))
                    else:
                        with pytest.raises(NotFound):
                            await anext(asking)


async def test_a_short_name_means_what_its_caller_may_know(tmp_path: Path) -> None:
    """Nothing for everybody else, whatever it is short for; with the flag it is acknowledged, and the pages go on."""
    async with estate(tmp_path) as two:
        async with two.caller("operator", None, program=True) as client:
            for name in ("A06", "L01"):
                assert (await client.post(f"/api/v1/alarms/{name}/ack", json={"note": ""})).status_code == 404
        async with two.caller("operator", None, program=True, security=True) as client:
            answer = await client.post("/api/v1/alarms/A06/ack", json={"note": ""})
            assert (answer.status_code, answer.json()["occurrence"]) == (200, two.alarms[OWN])
        await until(lambda: not two.parts.hub._changed)


async def test_where_a_question_goes_on_tells_of_nothing_hidden(tmp_path: Path) -> None:
    """`next` stands still while only hidden events and notifications come, however few are asked for at once."""
    async with estate(tmp_path) as two:
        reader, hidden = two.app.store.reader, two.alarms[OWN]
        push = Push(occurrence=hidden, event_id=hidden, recipient="desk", channel="desk", state="sent")
        number = await asyncio.wrap_future(two.app.store.save_push(push))
        shown = max(push.id for push in reader.pushes(two.open))
        first = min(row[0] for row in reader.ask("SELECT id FROM events"))
        assert first
        assert shown < number
        for security in (False, True):
            async with two.caller("viewer", None, program=True, security=security) as client:
                for path, last in ((f"/api/v1/sites/{OWN}/events", first), ("/api/v1/notifications", shown)):
                    for query in ({}, {"after": last}, {"after": last, "limit": 1}):
                        told = (await client.get(path, params=query)).json()
                        assert (told["next"] == last) is not security, (path, query)
                    assert (await client.get(path, params={"after": 0, "limit": 1})).json()["next"] <= last


async def test_the_stream_tells_of_duress_to_security_alone(tmp_path: Path) -> None:
    """What was missed, what comes, and what changes: nothing for the others, all for them."""
    async with estate(tmp_path) as two:
        for security in (False, True):
            async with two.caller("viewer", None, program=True, security=security) as client:
                listening = asyncio.create_task(heard(client, "?after=0", 3 + security))
                await until(lambda: bool(two.parts.hub._clients))
                for occurrence in (two.alarms[OWN], two.open):
                    two.parts.hub.changed(occurrence)
                await two.sites[OWN].alarm("A06", "P1", Cause.RAISE, AlarmState.UNACKED)
                for rule, priority in (("L22", "P2"), ("L25", "P3")):
                    await two.sites[OWN].alarm(rule, priority, Cause.RAISE, AlarmState.UNACKED)
                told = await listening
                assert ("A06" in told) is security
                assert '"rule":"L25"' in told or security
                await until(lambda: not two.parts.hub._clients)


def test_the_flag_is_kept_with_the_account(tmp_path: Path) -> None:
    """Accounts and tokens have it only if it was given to them."""
    from office.auth import Sessions, Users

    users = Users(tmp_path / "users.json")
    users.put("ann", "admin")
    users.put("guard", "viewer", security=True)
    account = users.find("guard")
    assert account is not None
    sessions = Sessions(users)
    token = sessions.begin("guard", account, 0)
    found = sessions.find(token, 0)
    assert found is not None
    assert found.security
    users._write(users.all() | {"guard": replace(account, security=False)}, {})
    assert sessions.find(token, 0) is None
    bearers = [users.bearer(users.add_token(f"t{flag}", "viewer", security=flag)) for flag in (False, True)]
    assert [None if each is None else each.security for each in bearers] == [False, True]
    assert users.all()["ann"].security is False


@pytest.mark.parametrize("value", ["A06", "lift-a1/A06", "hq/lift-a1/A06@e1-4"])
def test_an_event_that_names_a_hidden_alarm_is_left_out_and_no_other(value: str) -> None:
    """By the rule, the key or the occurrence; a longer name and a sentence are none of these."""
    from office.known import indexed
    from sitekeeper.catalogue import Catalogue

    catalogue = Catalogue(site="hq", rules=(DURESS,), secrets=("read.event/duress",))
    known: Known = indexed(catalogue, None, Hidden(hidden_rules(catalogue), frozenset(catalogue.secrets)))
    assert known.shown("gateway/told", {"by": value}) is None
    for other in ("A061", "lift-a1/A07", "see A06 in the book", "lift-A06/L01"):
        assert known.shown("gateway/told", {"by": other}) == {"by": other}
    assert known.shown("d/read.event", {"duress": False, "granted": True}) == {"granted": True}
    assert known.shown("d/door.event", {"duress": False}) == {"duress": False}
