"""An alarm is shelved from the office: asked of the site by a signed order, refused in words, shown as held back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec.structs import replace

from cloud_sync.memory import MemoryBroker
from cloud_sync.store import bundles
from cloud_sync.store.base import Digest
from office import trust
from office.app import Office
from sitekeeper.catalogue import decode, encode
from sitekeeper.model.alarm import AlarmState, Cause
from sitekeeper.model.clock import HOUR, MINUTE, SystemClock
from sitekeeper.model.command import Actor
from sitekeeper.model.event import Event
from sitekeeper.order import Order, unseal
from sitekeeper.texts import LANGUAGES
from tests.console_estate import catalogue, named, running, until
from tests.integration.test_console import browser, token
from tests.integration.test_console_api import program
from tests.integration.test_console_record import words
from tests.integration.test_office_commands_api import Commanded, settled

NAMES = named("Pine Court", "松濤苑一期", "松涛苑一期")


class Shelving(Commanded):
    """A site of one lift that does what the office orders of its alarms, or refuses it. L01 protects life."""

    def __init__(self, session: Any, office: Path) -> None:
        super().__init__(session, office)
        known = decode(catalogue("hq", NAMES))
        rules = tuple(replace(rule, flags=("life_safety",) if rule.id == "L01" else ()) for rule in known.rules)
        self.catalogue, self.refuses = encode(replace(known, rules=rules)), ""
        self.raised: dict[str, str] = {}

    async def obey(self) -> None:
        while True:
            delivery = await self.session.receive()
            self.session.ack(delivery)
            order = unseal(delivery.payload, self.verify)
            self.orders.append(order)
            await self.tell(order, "accepted")
            if not self.refuses:
                await self.do(order)
            await self.tell(order, "refused" if self.refuses else "confirmed")

    async def tell(self, order: Order, outcome: str) -> None:
        now = SystemClock().wall()
        fields = {"id": order.id, "point": order.target, "value": order.value, "by": order.who, "outcome": outcome}
        await self.publish("events", now, events=[Event("gateway/command", now, fields | {"reason": self.refuses})])

    async def do(self, order: Order) -> None:
        rule, actor = order.value.partition("/")[2], Actor(order.who, "operator", "office")
        more: dict[str, Any] = {"occurrence": self.raised[rule], "actor": actor, "note": order.reason}
        match order.target:
            case "alarms/shelve":
                until, base = SystemClock().wall() + order.lasts, AlarmState.UNACKED
                await self.alarm(rule, "P3", Cause.SHELVE, AlarmState.SHELVED, until=until, base=base, **more)
            case "alarms/unshelve":
                await self.alarm(rule, "P3", Cause.UNSHELVE, AlarmState.UNACKED, **more)
            case _:
                await self.alarm(rule, "P3", Cause.COMMENT, self.states[f"hq/{order.value}"], **more)


@asynccontextmanager
async def estate(folder: Path) -> AsyncIterator[tuple[Office, Shelving]]:
    """Yield an office with a key, and a site at which L01, L22 and L25 stand."""
    trust.command_key(folder / "trust")
    broker = MemoryBroker()
    async with running(folder, broker) as app:
        session = await broker.connector("hq")()
        site = Shelving(session, folder)
        await session.subscribe("sitekeeper/1/hq/down/command", queued=False)
        await site.begin()
        for rule, priority in (("L01", "P1"), ("L22", "P2"), ("L25", "P3")):
            site.raised[rule] = await site.alarm(rule, priority, Cause.RAISE, AlarmState.UNACKED)
        await until(lambda: app.store.reader.alarm(site.raised["L25"]) is not None)
        obeying = asyncio.create_task(site.obey(), name="site")
        try:
            yield app, site
        finally:
            obeying.cancel()
            await asyncio.wait({obeying})
            await session.close()


async def test_a_program_shelves_unshelves_and_writes_into_the_story(tmp_path: Path) -> None:
    """Signed orders of one person; what the site did stands in the alarm, the lists, the counts and the story."""
    async with estate(tmp_path) as (app, site), program(app, "operator") as desk:
        path = f"/api/v1/alarms/{site.raised['L25']}"
        for deed, body, states in (
            ("shelve", {"for": "2h", "reason": "being repaired"}, {"open": 2, "shelved": 1, "held": 1}),
            ("comment", {"note": "part ordered"}, {"open": 2, "shelved": 1, "suppressed": 0, "out": 0}),
            ("unshelve", {"reason": "done"}, {"open": 3, "shelved": 0}),
        ):
            await site.say()
            asked = await desk.post(f"{path}/{deed}", json=body)
            assert (asked.status_code, asked.json()["state"]) == (202, "sent"), asked.text
            told = await settled(desk, asked.json()["id"])
            assert (told["state"], told["who"], told["second"]) == ("confirmed", "token test-operator", None)
            for state, count in states.items():
                assert len((await desk.get("/api/v1/alarms", params={"state": state})).json()) == count, (deed, state)
            alarm = (await desk.get(path)).json()
            [found] = (await desk.get("/api/v1/sites")).json()
            assert (found["held"], found["open"]["P2"]) == (states["shelved"], 1)
            if deed == "shelve":
                shelf = alarm["shelved"]
                assert (alarm["state"], alarm["standing"], shelf["by"]) == ("E", "B", "token test-operator")
                assert shelf["note"] == "being repaired"
        assert [(order.target, order.value, order.second) for order in site.orders] == [
            (f"alarms/{deed}", "lift-a1/L25", "") for deed in ("shelve", "comment", "unshelve")
        ]
        assert site.orders[0].lasts == 2 * HOUR
        assert any("part ordered" in line for line in alarm["story"])
        figures = (await desk.get("/api/v1/alarms/quality")).json()
        assert (figures["annunciated"], figures["shelved"], figures["ack_median_s"]) == (4, 1, None)
        assert figures["top"][0] == {"key": "hq/lift-a1/L25", "count": 2, "share": 0.5}  # it rang again off the shelf
        for wrong in ({"from": "2026-01-01T00:00:00Z", "to": "2026-03-01T00:00:00Z"}, {"from": "yesterday"}):
            assert (await desk.get("/api/v1/alarms/quality", params=wrong)).status_code == 422


async def test_what_the_site_would_refuse_is_refused_in_words_and_what_it_refuses_is_told(tmp_path: Path) -> None:
    """Life safety, too long, no reason, a viewer, an unknown alarm, an office's own; the site's own reason at last."""
    async with (
        estate(tmp_path) as (app, site),
        program(app, "operator") as desk,
        program(app, "viewer") as viewer,
    ):
        good = {"for": "30min", "reason": "noise"}
        for client, rule, body, status, problem in (
            (desk, "L01", good, 409, "protects-life"),
            (desk, "L22", good | {"for": "2h"}, 409, "too-long"),
            (desk, "L25", good | {"for": "9h"}, 409, "too-long"),
            (desk, "L25", good | {"for": "soon"}, 422, "usage"),
            (desk, "L25", good | {"reason": " "}, 422, "usage"),
            (desk, "L25", {"for": "1h"}, 422, "usage"),
            (viewer, "L25", good, 403, "permission"),
        ):
            await site.say()
            answer = await client.post(f"/api/v1/alarms/{site.raised[rule]}/shelve", json=body)
            assert (answer.status_code, answer.json()["problem"]) == (status, problem), body
        assert (await desk.post("/api/v1/alarms/hq/lift-a1/L99/shelve", json=good)).status_code == 404
        direct = {"site": "hq", "device": "alarms", "point": "shelve", "value": "lift-a1/L01", "reason": "x"}
        assert (await desk.post("/api/v1/commands", json=direct)).status_code == 404, "no way round the checks"
        assert site.orders == []
        site.refuses = "not-shown"
        await site.say()
        asked = await desk.post(f"/api/v1/alarms/{site.raised['L25']}/shelve", json=good)
        told = await settled(desk, asked.json()["id"])
        assert (told["state"], told["why"]) == ("refused", "not-shown")
        site.nonce = ""
        await site.say()
        await until(lambda: (word := app.store.reader.word("hq")) is not None and not word.nonce)
        off = await desk.post(f"/api/v1/alarms/{site.raised['L25']}/shelve", json=good)
        assert (off.status_code, off.json()["problem"]) == (409, "commands-off")


async def test_the_pages_offer_it_tell_what_came_of_it_and_list_what_is_held_back(tmp_path: Path) -> None:
    """For operators alone, never for what protects life; all three kinds on one page, in three languages."""
    async with estate(tmp_path) as (app, site), browser(app, "ann") as ann, browser(app, "vic") as vic:
        place = f"/alarms/{quote(site.raised['L25'])}"
        assert 'name="lasts"' in (await ann.get(place)).text
        assert 'name="lasts"' not in (await vic.get(place)).text
        life = await ann.get(f"/alarms/{quote(site.raised['L01'])}")
        assert 'name="lasts"' not in life.text
        assert "never shelved" in words(life.text)
        await site.say()
        given = {"csrf": await token(ann), "lasts": "30min", "reason": "being repaired"}
        assert (await ann.post(f"{place}/shelve", data=given | {"reason": ""})).status_code == 409
        assert (await ann.post(f"{place}/shelve", data=given)).status_code == 303
        await until(lambda: app.store.reader.orders(1)[0].state == "confirmed")
        opened = words((await ann.get(place)).text)
        for each in ("shelve for 30 min 0 s", "done", "ann: being repaired", "shelved until", "Take off the shelf"):
            assert each in opened, opened
        assert "shelve for 30 min" in words((await ann.get("/commands")).text)
        one = words((await ann.get(f"/commands/{app.store.reader.orders(1)[0].id}")).text)
        assert "Pine Court · Tower A lift 1 · Lift not monitored" in one
        assert "live view" not in one
        held = AlarmState.UNACKED
        now = SystemClock().wall()
        await site.alarm("L22", "P2", Cause.SUPPRESS, AlarmState.SUPPRESSED, occurrence=site.raised["L22"], base=held,
                         by="lift-a1/L01")  # fmt: skip
        await site.alarm("L01", "P1", Cause.OUT, AlarmState.OUT, occurrence=site.raised["L01"], base=held,
                         until=now + 90 * MINUTE, detail="PTW-17", by="Lee, Otis", note="new ropes")  # fmt: skip
        await site.alarm("L09", "P2", Cause.SUPPRESS, AlarmState.SUPPRESSED, base=AlarmState.NORMAL, by="lift-a1/L01")
        await until(lambda: {row.state for row in app.store.reader.alarms(site="hq")} == {"E", "F", "G"})
        await until(lambda: len(app.store.reader.alarms(site="hq")) == 4)
        whole = (await vic.get("/held")).text
        page = words(whole)
        assert "Suppressed by other alarms 2 · 1 of them stand unseen" in page
        assert whole.count('class="chip') == 3  # the one that is normal wears no badge
        for each in (
            "ann",
            "being repaired",
            "29 min",
            "People trapped in the lift",
            "PTW-17",
            "Lee, Otis",
            "new ropes",
        ):
            assert each in page, page
        assert "4 held back" in words((await vic.get("/sites")).text)
        assert "Tower A lift 1 · Mains failed" in words((await vic.get("/quality")).text)
        table, actor = app._asked_locally(), Actor("may", "viewer", "office")
        rows = [item async for item in table["alarm.list"](actor, {"held": True})]
        assert {(row["rule"], row["held_by"], bool(row["until"])) for row in rows} == {
            ("L01", "Lee, Otis", True), ("L22", "lift-a1/L01", False), ("L25", "ann", True),
            ("L09", "lift-a1/L01", False),
        }  # fmt: skip
        assert [item async for item in table["alarm.list"](actor, {})] == []
        for lang in LANGUAGES[1:]:
            other = words((await vic.get("/held", params={"lang": lang})).text)
            foreign = {each for each in ("Held", "Until", "Shelf", "Permit", "Reason") if each in other}
            assert not foreign, other


async def test_a_drill_and_a_flood_are_said_on_top_while_they_last(tmp_path: Path) -> None:
    """By the newest word of each; a drill of three hours ago is none."""
    async with estate(tmp_path) as (app, site), browser(app, "vic") as vic:
        now, drills = SystemClock().wall(), ((True, 3 * HOUR, False), (True, MINUTE, True), (False, 0, False))
        for told, (on, ago, said) in enumerate(drills, start=1):
            event = Event("gateway/drill", now - ago, {"on": on, "who": "wong", "devices": "lift-a1"})
            await site.publish("events", now, events=[event])
            await until(lambda count=told: len(app.store.reader.ask("SELECT 1 FROM events")) == count)  # type: ignore[misc]
            told_of = "DRILL, begun by wong: nobody outside is called for Tower A lift 1"
            assert (told_of in words((await vic.get("/sites/hq")).text)) is said
        lasts = Digest(event_id="d1", site="hq", kind="begun", at=now, first_id=1, after_id=0, upto_id=2)
        for digest in (lasts, replace(lasts, event_id="d2", kind="over", upto_id=3)):
            await asyncio.wrap_future(app.store.do(lambda sql, digest=digest: bundles.tell(sql, digest)))
            for path in ("/sites", "/sites/hq", "/alarms"):
                flood = "Flood of alarms at Pine Court" in words((await vic.get(path)).text)
                assert flood is (digest is lasts), path
