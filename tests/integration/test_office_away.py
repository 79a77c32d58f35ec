"""An office whose database goes away, refusing or mute, and one whose broker does: it stays, says so, and goes on."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.memory import MemoryBroker
from cloud_sync.session import Connect, Session, Will
from office.app import Office
from office.own_alarms import OFFICE
from office.settings import OfficeSettings
from sitekeeper import control
from sitekeeper.model.alarm import AlarmState, Cause
from sitekeeper.model.clock import MS, SECOND
from sitekeeper.model.errors import StorageError
from tests.fixtures.channel import Chat
from tests.fixtures.postgres import Postgres, rows
from tests.integration.test_office import KEY, Site, app_state, ask, site_on, until
from tests.integration.test_office import rows as on_file
from tests.integration.test_office import running as running_on_file

pytestmark = pytest.mark.timeout(60)

AFTER_MS = 1_000
"""How long database or broker are away before somebody is called, in these tests."""
OPEN_PUSHES = """
SELECT (SELECT count(*) FROM transitions WHERE decision IS NULL)
    + (SELECT count(*) FROM pushes WHERE state <> 'sent') + (SELECT 1 - count(*) FROM transitions WHERE rule = 'L01')"""
LATE_S = 30.0
"""For what only a machine under load is late with."""


def settings(folder: Path, url: str) -> OfficeSettings:
    return OfficeSettings.model_validate(
        {
            "store": {"url": url, "folder": str(folder)},
            "broker": {"host": "unused"},
            "socket": {"path": str(folder / "office.sock")},
            "routes": {"P1": ["desk"], "P2": ["desk"]},
            "silence": {"after": f"{AFTER_MS}ms"},
        }
    )


def alone(broker: MemoryBroker, name: str) -> Connect:
    """Return what makes sessions of a broker that knows no shared subscriptions, as MQTT 3.1.1 has none."""
    make = broker.connector(name, persistent=True)

    async def connect(will: Will | None = None) -> Session:
        session = await make(will)
        older: Any = session
        older.protocol = "3.1.1"
        return session

    return connect


@asynccontextmanager
async def running(folder: Path, url: str, broker: MemoryBroker, desk: Chat) -> AsyncIterator[Office]:
    connect = {lane: alone(broker, f"office-{lane}") for lane in ("urgent", "bulk")}
    app = Office(settings(folder, url), connect=connect, channels={"desk": desk})
    await app.open()
    task = asyncio.ensure_future(app.run())
    try:
        await until(lambda: len(app.ingest.connected()) == 2)
        yield app
        assert not task.done(), f"the office died: {task.exception()!r}"
    finally:
        task.cancel()
        await asyncio.wait({task})
        await app.close()


class Gone:
    """The server crashes, and is started again."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def away(self) -> None:
        self._postgres.stop(signal.SIGQUIT)

    def back(self) -> None:
        self._postgres.start()


class Mute(Gone):
    """All of the server's processes stand still: it takes connections and questions, and answers none."""

    def __init__(self, postgres: Postgres) -> None:
        parent = postgres.process_id
        self._family = [parent]

    def away(self) -> None:
        parent = self._family[0]
        os.kill(parent, signal.SIGSTOP)  # first, so that it makes no more children
        self._family = [parent, *(int(p.name) for p in Path("/proc").glob("[0-9]*") if _parent(p) == parent)]
        for number in self._family:
            os.kill(number, signal.SIGSTOP)

    def back(self) -> None:
        for number in reversed(self._family):
            os.kill(number, signal.SIGCONT)


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


async def talk(site: Site) -> None:
    """Have the site say that it lives, oftener than its limit."""
    while True:
        await site.say()
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("way", [Gone, Mute])
async def test_a_database_that_is_away_is_told_from_memory_and_costs_nothing(
    postgres: Postgres, tmp_path: Path, way: type[Gone]
) -> None:
    """Told once, under the id that is stored later; callers are answered; what came meanwhile is pushed once."""
    url, broker, desk = postgres.create(), MemoryBroker(), Chat()
    async with running(tmp_path, url, broker, desk) as app, site_on(broker) as site:
        await until(lambda: rows(url, "SELECT count(*) FROM sites") == [(1,)])
        talking = asyncio.ensure_future(talk(site))
        database = way(postgres)
        await asyncio.to_thread(database.away)
        try:
            await site.alarm(Cause.RAISE, AlarmState.NORMAL, AlarmState.UNACKED)
            await until(lambda: bool(app.health().database.since), LATE_S)
            with pytest.raises(control.ControlError) as caught:
                await ask(tmp_path, "alarm.ack", id=KEY)
            [status] = await ask(tmp_path, "office.status")
            with pytest.raises(StorageError):
                await app._read(lambda reader: reader.sites())
            await until(lambda: bool(desk.sent), LATE_S)
        finally:
            await asyncio.to_thread(database.back)
        [told] = desk.sent
        await until(lambda: rows(url, "SELECT state FROM alarms WHERE rule = 'GW16'") == [("D",)], LATE_S)
        await until(lambda: rows(url, OPEN_PUSHES) == [(0,)], LATE_S)
        await until(lambda: app.health().database.ok, LATE_S)
        talking.cancel()
    assert caught.value.problems[0].code == "failed"
    assert (status["ok"], status["database"]["ok"]) == (False, False)
    assert status["sites_unknown_since"] is not None
    assert [(one.rule, one.site) for one in desk.sent if one.rule != "GW01"] == [("GW16", OFFICE), ("L01", "hq")]
    pushes = rows(url, "SELECT event_id, state FROM pushes WHERE occurrence NOT LIKE '%GW01%' ORDER BY occurrence")
    assert pushes == [(told.event_id, "sent"), (f"{KEY}@e1-1", "sent")]
    over = "SELECT at FROM transitions WHERE rule = 'GW16' AND cause = 'clear'"
    assert rows(url, f"SELECT count(*) FROM transitions WHERE rule = 'GW01' AND at < ({over})") == [(0,)]


async def test_an_office_without_its_broker_is_its_own_alarm_and_blames_no_site(tmp_path: Path) -> None:
    """GW15 is pushed once and cleared; of the site, which is silent all the time, nothing is said before that."""
    broker, desk, short = MemoryBroker(), Chat(), 400 * MS
    async with running_on_file(tmp_path, broker, desk, short) as app:
        async with site_on(broker):
            await until(lambda: app._silence.knows("hq"))
            broker.up = False
            broker.cut()
            await until(lambda: app_state(tmp_path, f"{OFFICE}/broker/GW15") == "B")
            await until(lambda: [message.rule for message in desk.sent] == ["GW15"])
            await asyncio.sleep(2 * short / SECOND)
            [status] = await ask(tmp_path, "office.status")
            blamed = app_state(tmp_path, "hq/gateway/GW01")
            broker.up = True
        await until(lambda: app_state(tmp_path, f"{OFFICE}/broker/GW15") == "D")
        await until(lambda: app_state(tmp_path, "hq/gateway/GW01") == "B")
        assert app.health().sites_unknown_since is None
    assert blamed == ""
    assert status["broker"]["ok"] is False
    assert status["sites_unknown_since"] == status["broker"]["away_since"]
    times = "SELECT rule, cause, mono FROM transitions ORDER BY id"
    raised, cleared, silent = on_file(tmp_path, times)
    assert [raised[:2], cleared[:2], silent[:2]] == [("GW15", "raise"), ("GW15", "clear"), ("GW01", "raise")]
    stored_later = 100 * MS  # the delay begins when the broker is back, and that is stored a moment after it
    assert silent[2] - cleared[2] >= short - stored_later, "judged anew, with its full delay"
