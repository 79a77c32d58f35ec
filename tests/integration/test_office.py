"""The office whole: from a message on the broker to a person, and back with an acknowledgement."""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cloud_sync import wire
from cloud_sync.memory import MemoryBroker
from cloud_sync.session import Session
from cloud_sync.store.sqlite import SqliteStore
from office.app import Office
from office.settings import OfficeSettings
from sitekeeper import control
from sitekeeper.block import Block, encode
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CatalogueRule, catalogue_hash
from sitekeeper.catalogue import encode as encode_catalogue
from sitekeeper.model.alarm import AlarmState, Cause, Transition
from sitekeeper.model.asset import Asset
from sitekeeper.model.clock import MS, SECOND, SystemClock
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import Refused, StorageError
from tests.fixtures.channel import Chat

KEY = "hq/lift-a1/L01"
CATALOGUE = encode_catalogue(
    Catalogue(
        site="hq",
        names={"en": "Pine Court"},
        devices=(CatalogueDevice("lift-a1", "lift", "x", {"en": "Lift 1"}, asset=Asset(rescue_phone="999")),),
        rules=(CatalogueRule("L01", "P1", {"en": "Entrapment"}, "lift-entrapment"),),
    )
)


class Site:
    """A site reduced to what it says and hears on the broker."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.sequence = 0

    async def alarm(self, cause: Cause, source: AlarmState, target: AlarmState, **fields: Any) -> None:
        now = SystemClock().wall()
        await self.alarms([Transition(f"{KEY}@e1-1", KEY, "L01", source, target, cause, "P1", now, 1, True, **fields)])

    async def alarms(self, moves: list[Transition]) -> None:
        self.sequence += 1
        block = Block(
            site="hq", epoch="e1", stream="alarms", sequence=self.sequence, boot="b", trusted=True, t0=moves[0].at,
            mono0=0, catalogue=catalogue_hash(CATALOGUE), transitions=moves,
        )  # fmt: skip
        await self.session.publish("sitekeeper/1/hq/up/alarms", encode(block))

    async def say(self) -> None:
        status = wire.Status(online=True, site="hq", epoch="e1", boot="b", version="0", first={"alarms": 1})
        await self.session.publish("sitekeeper/1/hq/up/status", wire.encode_status(status), retain=True)

    async def hear(self, kind: str) -> bytes:
        """Return the next message of this kind from the office, passing over others."""
        while True:
            delivery = await self.session.receive()
            self.session.ack(delivery)
            if delivery.topic.endswith(f"/down/{kind}"):
                return delivery.payload


def settings(folder: Path, silence: int = 60 * SECOND) -> OfficeSettings:
    return OfficeSettings.model_validate(
        {
            "store": {"path": str(folder / "office.db")},
            "broker": {"host": "unused"},
            "socket": {"path": str(folder / "office.sock")},
            "routes": {"P1": ["desk"], "P2": ["desk"]},
            "silence": {"after": f"{silence // MS}ms"},
        }
    )


@asynccontextmanager
async def running(folder: Path, broker: MemoryBroker, desk: Chat, silence: int = 60 * SECOND) -> AsyncIterator[Office]:
    connect = {lane: broker.connector(f"office-{lane}", persistent=True) for lane in ("urgent", "bulk")}
    app = Office(settings(folder, silence), connect=connect, channels={"desk": desk})
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


@asynccontextmanager
async def site_on(broker: MemoryBroker) -> AsyncIterator[Site]:
    session = await broker.connector("hq")()
    await session.subscribe("sitekeeper/1/hq/down/receipt")
    await session.subscribe("sitekeeper/1/hq/down/ack")
    site = Site(session)
    await session.publish("sitekeeper/1/hq/up/catalogue", CATALOGUE)
    await site.say()
    try:
        yield site
    finally:
        await session.close()


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def ask(folder: Path, op: str, **args: Any) -> list[Any]:
    """Ask the office as `sk` does; raise ControlError where it refuses."""
    reader, writer = await asyncio.open_unix_connection(folder / "office.sock")
    try:
        writer.write(control.encode_request(op, args))
        lines = (await asyncio.wait_for(reader.read(), 5)).splitlines(keepends=True)
    finally:
        writer.close()
        await writer.wait_closed()
    return list(control.read_reply(iter(lines)))


async def test_an_alarm_is_committed_receipted_and_pushed_once(tmp_path: Path) -> None:
    """A raise arrives twice; the site gets receipts, the person one message with the catalogue's words."""
    broker, desk = MemoryBroker(), Chat()
    async with running(tmp_path, broker, desk), site_on(broker) as site:
        await site.alarm(Cause.RAISE, AlarmState.NORMAL, AlarmState.UNACKED)
        site.sequence = 0
        await site.alarm(Cause.RAISE, AlarmState.NORMAL, AlarmState.UNACKED)
        receipt = wire.decode_receipt(await asyncio.wait_for(site.hear("receipt"), 5))
        await until(lambda: bool(desk.sent))
        await asyncio.sleep(0.1)
        [item] = await ask(tmp_path, "alarm.show", id=KEY)
    assert receipt.blocks[0].ranges == [(1, 1)]
    assert [message.title[:28] for message in desk.sent] == ["CRITICAL: Entrapment | Lift "]
    assert "Rescue phone: 999" in desk.sent[0].body
    assert [push["state"] for push in item["pushes"]] == ["sent"]
    assert any("accepted after" in line for line in item["story"])


async def test_a_block_that_raises_the_same_occurrence_twice_is_one_push(tmp_path: Path) -> None:
    """Raise, clear, raise in one block is one occurrence with one event id, and one push."""
    broker, desk = MemoryBroker(), Chat()
    async with running(tmp_path, broker, desk), site_on(broker) as site:
        now = SystemClock().wall()
        a, b, d = AlarmState.NORMAL, AlarmState.UNACKED, AlarmState.RETURNED
        steps = [(Cause.RAISE, a, b), (Cause.CLEAR, b, d), (Cause.RAISE, d, b)]
        once = (f"{KEY}@e1-1", KEY, "L01")
        moves = [Transition(*once, f, t, c, "P1", now + n, n, False) for n, (c, f, t) in enumerate(steps)]
        await site.alarms(moves)
        await until(lambda: rows(tmp_path, "SELECT count(*) FROM transitions WHERE decision IS NOT NULL") == [(3,)])
    decisions = rows(tmp_path, "SELECT decision FROM transitions ORDER BY id")
    assert decisions == [("send: desk",), ("not-annunciating",), ("already-sent",)]
    assert len(desk.sent) == 1


async def test_an_acknowledgement_is_pending_until_the_site_answers(tmp_path: Path) -> None:
    """Acknowledged at the office: shown as pending, sent down; done when the site's transition comes back."""
    broker, desk = MemoryBroker(), Chat()
    async with running(tmp_path, broker, desk), site_on(broker) as site:
        await site.alarm(Cause.RAISE, AlarmState.NORMAL, AlarmState.UNACKED)
        await until(lambda: bool(desk.sent))
        [answer] = await ask(tmp_path, "alarm.ack", id=KEY, note="on the way")
        [listed] = await ask(tmp_path, "alarm.list")
        assert (answer["ack"], listed["ack"], listed["state"]) == ("pending", "pending", "B")
        [again] = await ask(tmp_path, "alarm.ack", id=KEY)
        assert again["ack"] == "pending"
        ack = wire.decode_ack(await asyncio.wait_for(site.hear("ack"), 5))
        assert (ack.occurrence, ack.note) == (f"{KEY}@e1-1", "on the way")
        who = Actor(ack.who, "office", "office")
        await site.alarm(Cause.ACK, AlarmState.UNACKED, AlarmState.ACKED, actor=who, note=ack.note, ack_id=ack.id)
        await until(lambda: app_state(tmp_path) == "C")
        [listed] = await ask(tmp_path, "alarm.list")
        assert (listed["ack"], listed["acked_by"]) == ("", ack.who)
        with pytest.raises(control.ControlError) as caught:
            await ask(tmp_path, "alarm.ack", id=KEY)
        assert caught.value.problems[0].code == "already-acknowledged"
    assert len(desk.sent) == 1


async def test_what_needs_eyes_on_the_equipment_is_refused(tmp_path: Path) -> None:
    """Clear and unack from the office are `site-only`; an unknown alarm and an unknown operation are `not-found`."""
    broker = MemoryBroker()
    async with running(tmp_path, broker, Chat()):
        for op, args, code in [
            ("alarm.clear", {"id": KEY, "note": "x"}, "site-only"),
            ("alarm.unack", {"id": KEY}, "site-only"),
            ("alarm.show", {"id": KEY}, "not-found"),
            ("alarm.ack", {}, "usage"),
            ("device.reboot", {}, "not-found"),
        ]:
            with pytest.raises(control.ControlError) as caught:
                await ask(tmp_path, op, **args)
            assert caught.value.problems[0].code == code


async def test_a_silent_site_is_one_push_and_survives_a_restart(tmp_path: Path) -> None:
    """Silent: raised and pushed once; a restarted office raises nothing new; heard again: cleared, no second push."""
    broker, desk, short = MemoryBroker(), Chat(), 250 * MS
    async with running(tmp_path, broker, desk, short):
        async with site_on(broker):
            await until(lambda: bool(rows(tmp_path, "SELECT site FROM sites")))
        await until(lambda: bool(desk.sent))
    async with running(tmp_path, broker, desk, short):
        await asyncio.sleep(0.6)
        assert app_state(tmp_path, "hq/gateway/GW01") == "B"
    async with running(tmp_path, broker, desk), site_on(broker):  # patient: on a busy machine 250 ms pass unheard
        await until(lambda: app_state(tmp_path, "hq/gateway/GW01") == "D")
        [answer] = await ask(tmp_path, "alarm.ack", id="hq/gateway/GW01", note="line repaired")
        assert (answer["state"], answer["ack"]) == ("A", "done")
    assert [(m.rule, m.device) for m in desk.sent] == [("GW01", "gateway")]
    causes = rows(tmp_path, "SELECT cause, sequence FROM transitions ORDER BY id")
    assert causes == [("raise", 1), ("clear", 2), ("ack", 3)]
    assert len(rows(tmp_path, "SELECT DISTINCT epoch FROM transitions")) == 1


async def test_a_store_that_is_away_costs_no_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The office does not die of it, and the site that fell silent meanwhile is told when the store is back."""
    broker, desk, failed = MemoryBroker(), Chat(), 0
    async with running(tmp_path, broker, desk, silence=300 * MS) as app:
        move = app.own.move

        async def away(*args: Any, **named: Any) -> None:
            nonlocal failed
            failed += 1
            raise StorageError("central store: gone")

        monkeypatch.setattr(app.own, "move", away)
        async with site_on(broker):
            await until(lambda: app._silence.knows("hq"))
            await until(lambda: failed > 0)
        monkeypatch.setattr(app.own, "move", move)
        await until(lambda: bool(desk.sent))
    assert [message.rule for message in desk.sent] == ["GW01"]


async def test_a_kept_status_is_no_sign_of_life(tmp_path: Path) -> None:
    """What the broker had kept from a site that is gone does not delay GW01, and a last will does not clear it."""
    broker, desk, short = MemoryBroker(), Chat(), 250 * MS
    async with running(tmp_path, broker, desk, short):
        async with site_on(broker):
            await until(lambda: bool(rows(tmp_path, "SELECT site FROM sites")))
        await until(lambda: bool(desk.sent) and app_state(tmp_path, "hq/gateway/GW01") == "B")
        will = wire.Status(online=False, site="hq", epoch="e1", boot="b", version="0")
        broker.publish("sitekeeper/1/hq/up/status", wire.encode_status(will), retain=True)
        await asyncio.sleep(0.2)
    pushed = len(desk.sent)
    async with running(tmp_path, broker, desk, short):
        await asyncio.sleep(0.4)
        assert app_state(tmp_path, "hq/gateway/GW01") == "B"
    assert len(desk.sent) == pushed


async def test_hostile_callers_cost_nothing(tmp_path: Path) -> None:
    """Rubbish, an endless line and a mute caller leave the office answering others."""
    broker = MemoryBroker()
    async with running(tmp_path, broker, Chat()):
        _, mute = await asyncio.open_unix_connection(tmp_path / "office.sock")
        for sent in (b"rubbish\n", b"x" * (control.MAX_LINE + 10), b'{"v":9,"op":"alarm.list"}\n'):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "office.sock")
            with contextlib.suppress(ConnectionError):
                writer.write(sent)
                await writer.drain()
                await asyncio.wait_for(reader.read(), 5)
            writer.close()
        assert await ask(tmp_path, "alarm.list") == []
        mute.close()


async def test_a_viewer_may_look_but_not_acknowledge(tmp_path: Path) -> None:
    """Somebody who is no operator is refused with `permission`, and no acknowledgement is stored."""
    broker, desk = MemoryBroker(), Chat()
    async with running(tmp_path, broker, desk) as app, site_on(broker) as site:
        await site.alarm(Cause.RAISE, AlarmState.NORMAL, AlarmState.UNACKED)
        await until(lambda: bool(desk.sent))
        operation = app.operations.table()["alarm.ack"]
        with pytest.raises(Refused) as caught:
            await anext(operation(Actor("guest", "viewer", "office"), {"id": KEY}))
        assert len(await ask(tmp_path, "alarm.list")) == 1
    assert caught.value.reason == "permission"
    assert rows(tmp_path, "SELECT * FROM acks") == []


async def test_a_part_that_dies_stops_the_office_visibly(tmp_path: Path) -> None:
    """When the push log cannot be written, run() raises instead of going on without pushes."""
    broker = MemoryBroker()
    connect = {lane: broker.connector(f"office-{lane}") for lane in ("urgent", "bulk")}
    app = Office(settings(tmp_path), connect=connect, channels={"desk": Chat()})
    await app.open()
    try:
        app.store.undecided = broken  # type: ignore[method-assign]
        with pytest.raises(ExceptionGroup) as caught:
            await asyncio.wait_for(app.run(), 5)
    finally:
        await app.close()
    assert caught.group_contains(StorageError)


def broken() -> list[Any]:
    raise StorageError("disk full")


def rows(folder: Path, sql: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(folder / "office.db")) as db:
        return db.execute(sql).fetchall()


def app_state(folder: Path, key: str = KEY) -> str:
    return next((row[0] for row in rows(folder, f"SELECT state FROM alarms WHERE key = '{key}'")), "")


# a real process and its death


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A store with one committed alarm about which nothing has been decided, as a killed office leaves it."""
    store = SqliteStore.open(tmp_path / "office.db")
    now = SystemClock().wall()
    moved = Transition(
        f"{KEY}@e1-1", KEY, "L01", AlarmState.NORMAL, AlarmState.UNACKED, Cause.RAISE, "P1", now, 1, True
    )
    store.add_transitions("e1", now, [moved]).result()
    store.close()
    return tmp_path


class Killer:
    """A receiver that kills the office between accepting a message and answering, as often as asked."""

    def __init__(self, kills: int) -> None:
        self.kills = kills
        self.pid = 0
        self.got: list[dict[str, Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        self.got.append(json.loads(await reader.readexactly(length)))
        if self.kills:
            self.kills -= 1
            os.kill(self.pid, signal.SIGKILL)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()


async def start(folder: Path, port: int) -> asyncio.subprocess.Process:
    config = folder / "office.yaml"
    config.write_text(
        f"store: {{path: {folder}/office.db}}\nbroker: {{host: 127.0.0.1, port: 9}}\nsocket: {{path: {folder}/s}}\n"
        f"channels:\n- {{id: desk, kind: webhook, url: 'http://127.0.0.1:{port}/', secret: 0123456789abcdef}}\n"
    )
    command = "from sitekeeper.commands import main; main()"
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", command, "office", "run", "--config", str(config), stderr=asyncio.subprocess.DEVNULL
    )


async def test_death_between_acceptance_and_record_costs_one_marked_repeat(prepared: Path) -> None:
    """Killed twice at that moment: three messages of one event id, the repeats marked; the next start sends nothing."""
    killer = Killer(kills=2)
    server = await asyncio.start_server(killer.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        for expected in (-signal.SIGKILL, -signal.SIGKILL, 0):
            process = await start(prepared, port)
            killer.pid = process.pid
            if expected == 0:
                await until(lambda: rows(prepared, "SELECT state FROM pushes")[-1:] == [("sent",)])
                process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 10) == expected
        process = await start(prepared, port)
        killer.pid = process.pid
        await until(lambda: (prepared / "s").exists())
        await asyncio.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        server.close()
        await server.wait_closed()
    assert [(m["event_id"], m["attempt"], m["possible_repeat"]) for m in killer.got] == [
        (f"{KEY}@e1-1", 1, False),
        (f"{KEY}@e1-1", 2, True),
        (f"{KEY}@e1-1", 3, True),
    ]
    assert rows(prepared, "SELECT state, reason, possible_repeat FROM pushes ORDER BY id") == [
        ("failed", "office-died", 0),
        ("failed", "office-died", 1),
        ("sent", "", 1),
    ]


def test_a_faulty_config_ends_with_6_and_names_the_place(tmp_path: Path) -> None:
    """Exit code 6, the place on stderr, nothing on stdout."""
    config = tmp_path / "office.yaml"
    config.write_text("store: {path: x}\nbrokr: {host: y}\n")
    command = "from sitekeeper.commands import main; main()"
    arguments = [sys.executable, "-c", command, "office", "run", "--config", str(config)]
    done = subprocess.run(arguments, capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (6, b"")
    assert b"office.yaml:2:1" in done.stderr
