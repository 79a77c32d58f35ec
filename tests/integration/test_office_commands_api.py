"""Commands over the office's HTTP API and its local socket; the site is what it says on the broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner

from cloud_sync import wire
from cloud_sync.memory import MemoryBroker
from cloud_sync.signing import verifier
from office import trust
from office.app import Office
from office.cli import office as office_cli
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CatalogueGroup, CataloguePoint, encode
from sitekeeper.model.clock import SECOND, SystemClock
from sitekeeper.model.event import Event
from sitekeeper.order import Order, unseal
from tests.console_estate import Site, running, until
from tests.integration.test_console import browser, token
from tests.integration.test_console_api import program

LAMP = {"site": "hq", "device": "lamp-1", "point": "command", "value": 50, "reason": "cleaning"}
GATE = {"site": "hq", "device": "gate-1", "point": "cmd.open", "value": True, "reason": "ambulance", "expires": "30s"}


class Commanded(Site):
    """A site of a lamp and a barrier that takes orders, and answers each as it is told to."""

    def __init__(self, session: Any, office: Path) -> None:
        super().__init__(session, "hq", {"en": "Pine Court"})
        names = {"gate-1": ("parking", "cmd.open", "bool"), "lamp-1": ("lighting", "command", "float")}
        self.catalogue = encode(
            Catalogue(
                site="hq",
                groups=tuple(CatalogueGroup(f"{device}@1s", device, SECOND) for device in names),
                devices=tuple(CatalogueDevice(device, cls, "p") for device, (cls, _, _) in names.items()),
                points=tuple(
                    CataloguePoint(f"{device}/{name}", device, kind, f"{device}@1s")  # type: ignore[arg-type]
                    for device, (_, name, kind) in names.items()
                ),
            )
        )
        self.verify = verifier(office / "trust/office-command.pub")
        self.orders: list[Order] = []
        self.nonce = "nonce-1"
        self.answers = ("accepted", "confirmed")
        self.sequences["events"] = 0

    async def say(self) -> None:
        status = wire.Status(
            online=True, site="hq", epoch="e1", boot="b", version="0", first={"alarms": 1}, nonce=self.nonce
        )
        await self.session.publish("sitekeeper/1/hq/up/status", wire.encode_status(status), retain=True)

    async def obey(self) -> None:
        while True:
            delivery = await self.session.receive()
            self.session.ack(delivery)
            if not delivery.topic.endswith("/command"):
                continue
            order = unseal(delivery.payload, self.verify)
            self.orders.append(order)
            now, (device, _, point) = SystemClock().wall(), order.target.partition("/")
            for n, outcome in enumerate(self.answers):
                fields = {"id": order.id, "point": point, "value": order.value, "by": order.who, "outcome": outcome}
                await self.publish(
                    "events", now, events=[Event(f"{device}/command", now + n, {**fields, "reason": ""})]
                )


@asynccontextmanager
async def estate(folder: Path) -> AsyncIterator[tuple[Office, Commanded]]:
    trust.command_key(folder / "trust")
    broker = MemoryBroker()
    async with running(folder, broker) as app:
        session = await broker.connector("hq")()
        site = Commanded(session, folder)
        await session.subscribe("sitekeeper/1/hq/down/command", queued=False)
        await site.begin()
        obeying = asyncio.create_task(site.obey(), name="site")
        try:
            await until(lambda: app.store.reader.word("hq") is not None and app.store.reader.sites()[0].catalogue)
            yield app, site
        finally:
            obeying.cancel()
            await session.close()


async def done(app: Office, work: Any) -> None:
    await asyncio.wrap_future(app.store.do(lambda sql: work(sql) and None))


async def settled(client: httpx.AsyncClient, id_: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            found: dict[str, Any] = (await client.get(f"/api/v1/commands/{id_}")).json()
            if found["state"] not in {"sent", "accepted"}:
                return found
            await asyncio.sleep(0.02)


async def test_a_command_of_a_program_is_signed_sent_and_its_outcome_told(tmp_path: Path) -> None:
    """The order names who asked; the site's own outcome is what the API shows; a viewer's token may not."""
    async with estate(tmp_path) as (app, site), program(app, "operator") as desk, program(app, "viewer") as viewer:
        refused = await viewer.post("/api/v1/commands", json=LAMP)
        assert (refused.status_code, refused.json()["problem"]) == (403, "permission")
        asked = await desk.post("/api/v1/commands", json=LAMP)
        assert (asked.status_code, asked.json()["state"]) == (202, "sent")
        told = await settled(desk, asked.json()["id"])
        assert (told["state"], told["who"], told["second"]) == ("confirmed", "token test-operator", None)
        [order] = site.orders
        assert (order.target, order.value, order.nonce, order.role) == ("lamp-1/command", "50", "nonce-1", "operator")
        assert order.expires - order.issued == 10 * SECOND
        assert 0 <= order.after < 10 * SECOND
        assert [one["id"] for one in (await viewer.get("/api/v1/commands")).json()] == [told["id"]]
        assert (await viewer.get("/api/v1/commands/none")).status_code == 404


async def test_a_barrier_waits_for_another_person(tmp_path: Path) -> None:
    """Not the same one, not a program; then it is sent, and both stand in it."""
    async with (
        estate(tmp_path) as (app, site),
        browser(app, "ann") as ann,
        browser(app, "admin") as admin,
        program(app, "operator") as desk,
    ):
        for client in (ann, admin):
            client.headers["X-CSRF-Token"] = await token(client)
        asked = (await ann.post("/api/v1/commands", json=GATE)).json()
        assert (asked["state"], asked["lasts_s"]) == ("awaiting-confirmation", 30)
        confirm = f"/api/v1/commands/{asked['id']}/confirm"
        assert (await ann.post(confirm)).json()["problem"] == "same-person"
        assert (await desk.post(confirm)).json()["problem"] == "not-a-person"
        await asyncio.sleep(0.2)
        assert site.orders == []
        assert (await admin.post(confirm)).json()["state"] == "sent"
        told = await settled(desk, asked["id"])
        assert (told["state"], told["who"], told["second"]) == ("confirmed", "ann", "admin")
        assert [(order.who, order.second, order.value) for order in site.orders] == [("ann", "admin", "true")]
        assert (await admin.post(confirm)).json()["problem"] == "not-waiting"
        assert (await admin.post("/api/v1/commands/none/confirm")).status_code == 404


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"device": "lamp-9"}, 404, "not-found"), ({"site": "none"}, 404, "not-found"), ({"reason": " "}, 422, "usage"),
    ({"expires": "13h"}, 422, "usage"), ({"expires": "soon"}, 422, "usage"), ({"value": ""}, 422, "usage"),
    ({"value": None}, 422, "usage"), ({"value": [1]}, 422, "usage"), ({"reason": "x" * 501}, 422, "usage"),
]  # fmt: skip


async def test_what_is_asked_wrongly_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    """With the word for it, and without an order."""
    async with estate(tmp_path) as (app, site), program(app, "operator") as desk:
        for change, status, problem in WRONG:
            answer = await desk.post("/api/v1/commands", json={**LAMP, **change})
            assert (answer.status_code, answer.json()["problem"]) == (status, problem), change
        assert (site.orders, app.store.reader.orders(9)) == ([], [])


async def test_a_site_that_takes_none_or_is_away_is_refused_at_once(tmp_path: Path) -> None:
    """`commands-off` where it says no nonce, `site-unreachable` where nobody listens; the office keeps nothing."""
    async with estate(tmp_path) as (app, site), program(app, "operator") as desk:
        site.nonce = ""
        await site.say()
        await until(lambda: (word := app.store.reader.word("hq")) is not None and not word.nonce)
        assert (await desk.post("/api/v1/commands", json=LAMP)).json()["problem"] == "commands-off"
        site.nonce = "nonce-2"
        await site.say()
        await until(lambda: (word := app.store.reader.word("hq")) is not None and bool(word.nonce))
        await done(app, lambda sql: sql.execute("UPDATE site_words SET heard = heard - 16000000"))
        answer = await desk.post("/api/v1/commands", json=LAMP)
        assert (answer.status_code, answer.json()["problem"]) == (503, "site-unreachable")
        assert site.orders == []
        rows, broken = app.store.reader.office_audit()
        assert (rows, broken) == (2, None)


async def test_the_command_line_orders_waits_and_agrees(tmp_path: Path) -> None:
    """Exit code 0 is `confirmed` alone; the list shows all; the office's audit stands."""
    async with estate(tmp_path) as (app, site):
        socket = ["--socket", str(tmp_path / "office.sock")]

        async def sk(*words: str) -> Any:
            return await asyncio.to_thread(CliRunner().invoke, office_cli, [*words, *socket])

        ran = await sk("command", "hq/lamp-1/command", "50", "--reason", "cleaning", "--yes")
        assert (ran.exit_code, ran.stdout.split()[-1]) == (0, "confirmed")
        site.answers = ("accepted", "unconfirmed")
        assert (await sk("command", "hq/lamp-1/command", "60", "--reason", "x", "--yes")).exit_code == 1
        asked = asyncio.create_task(sk("command", "hq/gate-1/cmd.open", "true", "--reason", "x", "--yes"))
        await until(lambda: any(row.state == "awaiting-confirmation" for row in app.store.reader.orders(9)))
        waiting = app.store.reader.orders(1)[0].id
        same = await sk("confirm", waiting)
        assert (same.exit_code, "same-person" in same.stderr) == (4, True)
        await done(app, lambda sql: sql.execute("UPDATE orders SET due = 0 WHERE id = ?", (waiting,)))
        assert (await asked).stdout.split()[-1] == "nobody-agreed"
        listed = await sk("commands")
        assert (listed.exit_code, len(listed.stdout.splitlines())) == (0, 3)
        assert (await sk("command", "hq/lamp-1", "1", "--reason", "x", "--yes")).exit_code == 2
        nobody = await asyncio.to_thread(CliRunner().invoke, office_cli, ["commands", "--socket", str(tmp_path / "no")])
        assert nobody.exit_code == 3
        assert app.store.reader.office_audit()[1] is None
