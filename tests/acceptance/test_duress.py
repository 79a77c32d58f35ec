"""Duress (A06 of scenario S4) on the virtual site: the door does what it always does, and only security is told."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edge import operations
from sitekeeper.audience import SECURITY_FLAG
from sitekeeper.model.errors import NotFound, Refused
from tests import virtual, virtual_site
from tests.site_facts import events, only
from tests.virtual_site import TECHNICIAN, VirtualSite

AT = 20.0
SECURITY = {SECURITY_FLAG: True}
HERS = f"{virtual_site.SITE}/door-1/A06"


def entry(*, duress: bool) -> dict[str, Any]:
    """Return one controller with two doors; at the first somebody is granted entry at `AT`."""
    grant = {"after": "2s", "card": "1008538002", "duress": duress}
    doors: list[dict[str, Any]] = [
        {"id": f"door-{number}", "face": "mqtt-door", "controller": "405419896", "door": number} for number in (1, 2)
    ]
    doors[0]["story"] = [{"at": f"{AT}s", "do": {"grant": grant}}]
    return {"title": "duress", "seed": 4, "links": [{"id": "doors", "kind": "mqtt", "site": "s1", "devices": doors}]}


async def listen(site: VirtualSite, heard: list[tuple[str, bytes]]) -> None:
    """Write down what anybody at the doors' broker can hear, but for the events."""
    session = await site.field_broker.connector("witness")()
    await session.subscribe("sp/s1/access/#")
    while True:
        delivery = await session.receive()
        session.ack(delivery)
        if not delivery.topic.endswith("/event"):
            heard.append((delivery.topic, delivery.payload))


async def seen(site: VirtualSite) -> dict[str, Any]:
    """Return all that a technician is shown at the site by his commands."""
    asked: dict[str, dict[str, Any]] = {
        "alarm.list": {"all": True},
        "status": {},
        "point.list": {},
        "device.show": {"id": "door-1"},
        "point.why": {"id": "door-1/lock.state"},
        "audit.show": {},
    }
    found: dict[str, Any] = {op: await site.technician(op, **args) for op, args in asked.items()}
    [why] = found["point.why"]
    for name in ("sync", "block"):
        del why[name]
    for told in (*found["status"], why["status"]):
        for name in ("boot", "outbox", "office"):  # drawn by lot, and how many blocks of any kind there were
            del told[name]
    return found


def test_nobody_at_the_door_or_the_desk_can_tell(tmp_path: Path) -> None:
    """The same entry with and without duress: byte by byte the same on the door's topics, word by word at the desk."""

    async def main(folder: Path, *, duress: bool) -> tuple[list[tuple[str, bytes]], dict[str, Any], VirtualSite]:
        folder.mkdir()
        heard: list[tuple[str, bytes]] = []
        async with virtual_site.running(folder, entry(duress=duress)) as site:
            listening = asyncio.create_task(listen(site, heard), name="witness")
            await site.at(AT + 15.5)  # between two readings, so that it is no matter of who comes first
            desk = await seen(site)
            await site.at(AT + 40)
            listening.cancel()
            await asyncio.wait({listening})
        return heard, desk, site

    free, shown, _ = virtual.run(main(tmp_path / "free", duress=False))
    forced, desk, site = virtual.run(main(tmp_path / "forced", duress=True))
    assert [topic for topic, _ in forced if topic.endswith("/door/1")], "the lock, the door and the lock again"
    assert forced == free
    assert desk == shown
    only(site, ("A06", "door-1", "raise", AT, AT + 1), ("A06", "door-1", "clear", AT + 1, AT + 2))
    assert [event["fields"]["duress"] for event in events(site, "read.event")] == [True], "the office knows"


def test_security_alone_is_told_and_nobody_shelves_it(tmp_path: Path) -> None:
    """Who is of security sees it, acknowledges and resets it, and cannot shelve it; to all others there is none."""

    async def main() -> None:
        async with virtual_site.running(tmp_path, entry(duress=True)) as site:
            await site.at(AT + 5)
            [told] = await site.technician("alarm.list", **SECURITY)
            assert (told["rule"], told["priority"], told["state"]) == ("A06", "P1", "LU")
            await to_nobody_else(site)
            for op, more in (("alarm.shelve", {"for": "10min"}), ("alarm.out", {"permit": "7", "owner": "chan"})):
                with pytest.raises(Refused) as refused:
                    await site.technician(op, id=HERS, note="quiet", until="2026-06-02", **more, **SECURITY)
                assert refused.value.reason == "protects-life"
            await site.technician("alarm.ack", id="A06", note="watched", **SECURITY)
            [done] = await site.technician("alarm.clear", id="A06", note="she is safe", **SECURITY)
            assert done["state"] == "A"
            await site.at(AT + 30)
            rows = await site.technician("audit.show", **SECURITY)
            assert [row["operation"] for row in rows] == ["shelve", "out", "ack", "clear"]
            assert await site.technician("audit.show") == []
            moves = [move[1] for move in site.moves()]
            assert moves == ["raise", "clear", "ack", "reset"]

    virtual.run(main())


async def to_nobody_else(site: VirtualSite) -> None:
    """Assert that without being of security there is no such alarm, however it is asked for."""
    assert await site.technician("alarm.list", all=True) == []
    for op in ("alarm.show", "alarm.ack", "alarm.unack", "alarm.clear", "alarm.shelve", "alarm.out", "alarm.note"):
        for name in ("A06", "door-1/A06", HERS):
            with pytest.raises(NotFound) as missing:
                await site.technician(op, id=name, note="x", until="2026-06-02", **{"for": "10min"})
            assert "A06" not in "".join(missing.value.near)
    [status] = await site.technician("status")
    assert status["alarms"] == {"active": 0, "unacked": 0}
    [why] = await site.technician("point.why", id="door-1/door.state")
    assert "A06" not in {rule["rule"] for rule in why["rules"]}
    assert site.app is not None
    everything = operations.table(site.app._gateway())
    told = [repr(item) async for item in everything["device.list"](TECHNICIAN, {})]
    assert "A06" not in "".join(told)
