"""Orders at the office: who may, who counts as another person, and how much of what is refused is kept."""

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from cloud_sync.store import orders as table
from cloud_sync.store.heads import Word
from cloud_sync.store.orders import OrderRow
from cloud_sync.store.sqlite_sql import SqliteSql
from office.command_operations import CommandOperations, wanted_of
from office.commands import MOST_OPEN, Caller, Orders, Wanted
from office.refusals import AT_ONCE, EVERY, MOST_ACCOUNTS, Refusals
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CataloguePoint
from sitekeeper.model.clock import ManualClock
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import NotFound, Refused
from sitekeeper.order import same_person

GATE = Wanted(site="hq", target="gate-1/cmd.open", value="true", reason="ambulance")
LAMP = Wanted(site="hq", target="lamp-1/command", value="50", reason="cleaning")
CATALOGUE = Catalogue(
    site="hq",
    devices=(CatalogueDevice("gate-1", "parking", "p"), CatalogueDevice("lamp-1", "lighting", "p")),
    points=(
        CataloguePoint("gate-1/cmd.open", "gate-1", "bool", "gate-1@1s"),
        CataloguePoint("lamp-1/command", "lamp-1", "float", "lamp-1@1s"),
    ),
)


class Desk:
    """An office's orders on a store in memory, with one site that was just heard."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.sql, self.clock, self.sent = SqliteSql(connection), ManualClock(), 0
        connection.executescript(table.SCHEMA)
        known = {"hq": CATALOGUE}.get
        self.orders = Orders(self, self, self.clock, sign=lambda: self.sign, send=self.send, catalogue=known)

    def sign(self, _: bytes) -> bytes:
        return bytes(64)

    async def send(self, _site: str, _payload: bytes) -> None:
        self.sent += 1

    def do(self, work: Callable[[Any], Any]) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_result(work(self.sql))
        return future

    def word(self, site: str) -> Word | None:
        return Word(site=site, nonce="n", heard=self.clock.wall(), epoch="e", n=0, hash="", behind=0)

    def order(self, id_: str) -> OrderRow | None:
        found = self.sql.execute(f"SELECT {table.COLUMNS} FROM orders WHERE id = ?", (id_,)).fetchone()
        return None if found is None else table._order(found)

    def kept(self) -> list[dict[str, Any]]:
        return [json.loads(record) for (record,) in self.sql.execute("SELECT record FROM office_audit ORDER BY n")]


@pytest.fixture
def desk() -> Iterator[Desk]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield Desk(connection)
    connection.close()


def person(name: str, role: Any = "operator") -> Caller:
    return Caller(name=name, role=role)


async def refused(work: Any) -> str:
    with pytest.raises((Refused, NotFound)) as caught:
        await work
    return getattr(caught.value, "reason", "not-found")


async def test_a_program_is_neither_of_the_two_people(desk: Desk) -> None:
    """Else one person who holds a token opens a barrier alone; a lamp needs nobody else."""
    program = Caller(name="token desk", role="operator", person=False)
    assert await refused(desk.orders.ask(program, GATE)) == "not-a-person"
    row = await desk.orders.ask(person("ann"), GATE)
    assert await refused(desk.orders.confirm(program, row.id)) == "not-a-person"
    assert desk.sent == 0
    await desk.orders.ask(program, LAMP)
    assert desk.sent == 1


@pytest.mark.parametrize("other", ["ann", "Ann", "ANN", " ann", "ａｎｎ", "ann\n"])
async def test_the_second_person_is_not_the_first_written_otherwise(desk: Desk, other: str) -> None:
    """An account of another case or width beside one's own does not open a barrier."""
    row = await desk.orders.ask(person("ann"), GATE)
    assert await refused(desk.orders.confirm(person(other), row.id)) == "same-person"
    assert desk.sent == 0
    assert (await desk.orders.confirm(person("bob"), row.id)).state == "sent"
    assert not same_person("ann", "anna")


async def test_an_account_that_is_refused_again_and_again_fills_no_audit(desk: Desk) -> None:
    """Twenty rows at once, then one in ten seconds that says how many were left out; every call is refused."""
    for _ in range(500):
        assert await refused(desk.orders.ask(person("eve", "viewer"), LAMP)) == "permission"
    assert len(desk.kept()) == AT_ONCE
    assert await refused(desk.orders.ask(person("sam", "viewer"), LAMP)) == "permission"
    assert desk.kept()[-1]["by"] == "sam"
    desk.clock.advance(EVERY)
    await refused(desk.orders.ask(person("eve", "viewer"), LAMP))
    await refused(desk.orders.ask(person("eve", "viewer"), LAMP))
    assert len(desk.kept()) == AT_ONCE + 2
    assert f"({500 - AT_ONCE} more" not in desk.kept()[-2]["reason"]
    assert f"and {500 - AT_ONCE} more refused" in desk.kept()[-1]["reason"]
    waiting = await desk.orders.ask(person("ann"), GATE)
    for _ in range(100):
        assert await refused(desk.orders.confirm(person("ann"), waiting.id)) == "same-person"
    assert len(desk.kept()) == AT_ONCE + 3 + AT_ONCE


def test_what_is_remembered_of_accounts_is_bounded() -> None:
    """Names come from outside."""
    refusals = Refusals()
    for number in range(MOST_ACCOUNTS + 10):
        refusals.keep(f"uid {number}", 0)
    assert len(refusals._accounts) == MOST_ACCOUNTS


async def test_with_enough_under_way_nothing_more_is_asked_but_agreed_to(desk: Desk) -> None:
    """Who asks a lot must not keep the second person from agreeing."""
    rows = [await desk.orders.ask(person("ann"), GATE) for _ in range(MOST_OPEN - 1)]
    assert await refused(desk.orders.ask(person("bob"), LAMP)) == "busy"
    assert (await desk.orders.confirm(person("bob"), rows[0].id)).state == "sent"


async def test_two_who_agree_at_once_send_it_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have read that it waits; the store decides who was first."""
    row = await desk.orders.ask(person("ann"), GATE)
    monkeypatch.setattr(desk, "order", lambda _: row)
    found = await asyncio.gather(
        *(desk.orders.confirm(person(name), row.id) for name in ("bob", "cat")), return_exceptions=True
    )
    assert [each.reason if isinstance(each, Refused) else "sent" for each in found] == ["sent", "not-waiting"]
    assert desk.sent == 1


async def test_the_audit_is_read_away_from_the_loop(desk: Desk) -> None:
    """It is read whole, and grows for ever."""
    threads: list[int] = []

    class Reader:
        def office_audit(self) -> tuple[int, int | None]:
            threads.append(threading.get_ident())
            return 7, None

        def close(self) -> None:
            threads.append(0)

    made: Any = CommandOperations(orders=desk.orders, reader=desk, open_reader=Reader)  # type: ignore[arg-type]
    items = [item async for item in made.table()["audit.office"](Actor("ann", "viewer", "office"), {})]
    assert items == [{"rows": 7, "broken": None}]
    assert threads[0] != threading.get_ident()
    assert threads[1:] == [0]


ASKED = {"site": "hq", "device": "lamp-1", "point": "command", "value": "50", "reason": "cleaning"}


@pytest.mark.parametrize(
    "changed",
    [
        {"value": "5\n0"}, {"value": "\x1b[2J"}, {"value": "\ud800"}, {"value": "50\u202e"}, {"value": ""},
        {"value": None}, {"value": "x" * 501}, {"value": 10**600}, {"reason": "a\x00b"}, {"reason": ""},
        {"device": "lamp\n1"}, {"site": ["hq"]}, {"expires": "soon"},
    ],
)  # fmt: skip
def test_a_text_is_what_it_looks_like(changed: dict[str, Any]) -> None:
    """What would forge a line on a terminal, break the store or show a second person something else is refused."""
    with pytest.raises(Refused) as caught:
        wanted_of(ASKED | changed)
    assert caught.value.reason == "usage"


def test_numbers_are_written_as_they_are() -> None:
    """A large whole number is not rounded on its way to the site, and letters of any script may be a reason."""
    values: list[Any] = [50, 0.25, True, 10**17, 1e300]
    assert [wanted_of(ASKED | {"value": value}).value for value in values] == [
        "50", "0.25", "true", "1" + "0" * 17, "1e+300",
    ]  # fmt: skip
    assert wanted_of(ASKED | {"reason": "救護車\u3000到達"}).reason == "救護車\u3000到達"
