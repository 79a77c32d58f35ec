"""Scenario S10, fire: on the estate of its file, with the panel's 22 minutes shortened to two, and on a small one.

Not built yet, and so not here: the muster list, the recall of lifts, A13 and the report of suppressed alarms.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edge.commands import audit
from edge.outbox.reader import Reader
from sitekeeper import chain, control
from sitekeeper.model.errors import Refused
from tests import virtual, virtual_site
from tests.site_facts import alarms, events, later, outcomes, value, wrote
from tests.virtual_site import VirtualSite

BEGINS = 10.0
FIRE, RESET = BEGINS + 21, BEGINS + 120
"""The call point, and the reset of the panel."""
BOUND = RESET + 30
"""A panel that is reset too early alarms again within seconds, so the ways out stay open for so long."""
PLACES: Mapping[str, Mapping[str, Any]] = {
    "door-lobby": {"zone": "lobby", "tags": ["perimeter"]},
    "lane-out": {"zone": "gate", "tags": ["exit"]},
    **{f"lamp-{n}": {"zone": "stairs", "tags": ["escape"]} for n in range(17, 25)},
}
DOORS = ("door-lobby", "door-stairs", "door-office", "door-store", "door-roof", "door-plant")
ESCAPE, OTHER = [f"lamp-{n}" for n in range(17, 25)], ["lamp-01", "lamp-02"]
LEFT_OUT = {"lift-a1", "lift-b1", *(f"lamp-{n:02}" for n in range(3, 17))}
"""They have no part in it, and their traffic would take its time."""


def estate(more: Mapping[str, tuple[dict[str, Any], ...]]) -> dict[str, Any]:
    """Return the scenario file without its bystanders, with its end after two minutes, and `more` for some devices."""
    plan = later("s10-fire.yaml", BEGINS)
    sooner = {"restore": RESET - 5, "reset": RESET}
    for link in plan["links"]:
        link["devices"] = [device for device in link["devices"] if device["id"] not in LEFT_OUT]
    plan["links"] = [link for link in plan["links"] if link["devices"]]
    for device in (device for link in plan["links"] for device in link["devices"]):
        for step in device.get("story", ()):
            if device["id"] == "fire-panel" and (deed := step["do"].get("panel")) in sooner:
                step["at"] = f"{sooner[deed]}s"
            elif step["do"].get("smoke", {}).get("density") == "none":
                step["at"] = f"{RESET - 10}s"
        device["story"] = [*device.get("story", ()), *more.get(device["id"], ())]
    return plan


def at(seconds: float, **do: Any) -> dict[str, Any]:
    return {"at": f"{seconds}s", "do": do}


def small(
    *panel: dict[str, Any],
    roof: tuple[dict[str, Any], ...] = (),
    lobby: tuple[dict[str, Any], ...] = (),
) -> dict[str, Any]:
    """Return a panel, two controllers with a door each, an exit lane and an escape luminaire."""
    doors = [
        {"id": "door-lobby", "face": "mqtt-door", "controller": "405419896", "door": 1, "story": list(lobby)},
        {"id": "door-roof", "face": "mqtt-door", "controller": "405419897", "door": 1, "story": list(roof)},
    ]
    lane = {"id": "lane-out", "unit": 1, "face": "sp-barrier-1", "lane": {"way": "out"}}
    lamp = {"id": "lamp-17", "object": 1, "face": "lighting-output", "story": [at(1, level=30)]}
    return {
        "title": "a small fire",
        "seed": 5,
        "links": [
            {"id": "panel", "devices": [{"id": "fire-panel", "unit": 1, "face": "sp-io-16", "story": list(panel)}]},
            {"id": "lanes", "devices": [lane]},
            {"id": "doors", "kind": "mqtt", "devices": doors},
            {"id": "bms", "kind": "bacnet", "devices": [lamp]},
        ],
    }


HELD = {"door-lobby/mode": "free", "door-roof/mode": "free", "lane-out/hold_open": True, "lamp-17/command": 100.0}
NOT_HELD = {
    "door-lobby/lock.state": "locked", "door-roof/lock.state": "locked", "lane-out/hold_open": False,
    "lamp-17/level": 30.0,
}  # fmt: skip


def shown(site: VirtualSite, points: Mapping[str, Any]) -> dict[str, Any]:
    return {point: value(site, point) for point in points}


async def refused(asked: Any) -> str:
    """Return the word with which what is asked is refused, by an error or by its outcome."""
    try:
        answers = await asked
    except control.ControlError as error:
        return error.problems[0].code
    except Refused as error:
        return error.reason
    assert [answer["outcome"] for answer in answers] == ["refused"]
    return str(answers[0]["reason"])


def assert_chain(site: VirtualSite) -> list[audit.AuditRow]:
    """The chain of the audit verifies; return its rows."""
    with Reader(site.folder / "site/outbox.db") as reader:
        rows = list(reader.audit())
    assert chain.verify((record, hash_) for _, record, hash_ in rows) is None
    assert [number for number, *_ in rows] == list(range(1, len(rows) + 1))
    return [audit.decode(record) for _, record, _ in rows]


async def nobody_undoes_it(site: VirtualSite) -> int:
    """Neither on site nor from the office is anything of it taken back; return how often it was tried on site."""
    tried = {
        "door-lobby/mode": ("controlled", "life-safety"),
        "lane-out/hold_open": ("false", "life-safety"),
        "lane-out/cmd.close": ("true", "interlock"),
        "lamp-17/command": ("0", "bad-value"),
        "fire-panel/callpoint": ("false", "not-writable"),
    }
    for point, (wanted, why) in tried.items():
        told = await refused(site.technician("point.write", id=point, value=wanted, reason="guard", in_view=True))
        assert told in {why, "life-safety"}, (point, told)
    relock = {"id": "door-lobby/mode", "value": "controlled", "reason": "desk"}
    assert await refused(site.ask("office", "point.write", **relock)) == "not-found", "the office has no such operation"
    assert await refused(site.ask("office", "alarm.clear", id="F01", note="all clear")) == "site-only"
    assert await refused(site.technician("alarm.clear", id="F01", note="all clear")) == "condition-still-true"
    return len(tried)


def test_s10_short(tmp_path: Path) -> None:
    """F02, F01 within a second, all ways out open and reporting it within five, nothing undone, all given back."""
    more = {
        "door-stairs": (at(FIRE + 15, door="force"), at(FIRE + 60, door="shut")),
        "door-store": (at(FIRE + 20, door="force"), at(BOUND + 45, door="shut")),
    }

    async def main() -> tuple[VirtualSite, int]:
        async with virtual_site.running(tmp_path, estate(more), places=PLACES) as site:
            await site.at(BEGINS + 19.9)
            assert [move[:4] for move in alarms(site)] == [("F02", "fire-panel", "raise", "P2")]
            assert BEGINS + 10 <= alarms(site)[0][4] <= BEGINS + 11
            assert [value(site, f"{door}/lock.state") for door in DOORS] == ["locked"] * 6
            await site.at(FIRE + 1)
            assert [move[:4] for move in alarms(site)][1:] == [("F01", "fire-panel", "raise", "P1")]
            assert 0 <= alarms(site)[1][4] - FIRE <= 1
            site.cut()  # what must be done in a fire needs no office
            await site.at(FIRE + 5)
            assert [value(site, f"{door}/lock.state") for door in DOORS] == ["unlocked"] * 6
            assert [value(site, f"{door}/mode") for door in DOORS] == ["free"] * 6
            assert value(site, "lane-out/lane.state") == "open"
            assert value(site, "lane-in/hold_open") is False
            await site.at(FIRE + 7)  # luminaires are read every 5 s
            assert [value(site, f"{lamp}/level") for lamp in ESCAPE] == [100.0] * 8
            assert [value(site, f"{lamp}/level") for lamp in OTHER] == [30.0] * 2
            [status] = await site.technician("status")
            assert (status["commands"]["standing"], status["commands"]["unsettled"]) == (6 + 1 + 8, [])
            site.mend()
            await site.at(FIRE + 10)
            attempts = await nobody_undoes_it(site)
            await site.at(BOUND - 1)
            assert [value(site, f"{door}/lock.state") for door in DOORS] == ["unlocked"] * 6
            assert value(site, "lane-out/lane.state") == "open"
            await site.at(BOUND + 10)
            assert [value(site, f"{door}/lock.state") for door in DOORS] == ["locked"] * 6
            assert value(site, "lane-out/hold_open") is False
            assert [value(site, f"{lamp}/level") for lamp in [*ESCAPE, *OTHER]] == [30.0] * 10
            await site.ask("office", "alarm.ack", id="F01")
            await site.at(BOUND + 12)
            [done] = await site.technician("alarm.clear", id="F01", note="burnt paper in a bin, room aired")
            assert done["state"] == "A"
            await site.at(BOUND + 70)
        return site, attempts

    site, attempts = virtual.run(main())
    assert_ways_out(site)
    assert_quiet_about_freed_doors(site)
    rows = [row for row in assert_chain(site) if row.operation == audit.WRITE]
    assert sum(row.user == "chan" and row.outcome == "refused" for row in rows) == attempts
    for point in [f"{door}/mode" for door in DOORS] + ["lane-out/hold_open"] + [f"{lamp}/command" for lamp in ESCAPE]:
        told = [row.outcome for row in rows if row.target == point and row.user != "chan"]
        assert told == ["accepted", "confirmed", "released"], point
        assert [outcome for outcome in outcomes(site, point) if outcome != "refused"] == told
    account = site.judged()
    assert account.wrong == []
    assert (account.figures["freed"]["doors"], account.figures["freed"]["luminaires"]) == (6, 8)
    assert account.figures["freed"]["slowest_s"] <= 5
    assert account.risk["blocks that waited"] > 0


def assert_ways_out(site: VirtualSite) -> None:
    """Each is told once to open and once to go back; the exit stood open all the time, whatever closes by itself."""
    for door in DOORS:
        (freed, free), (bound, bind) = wrote(site, door)
        assert (free, bind) == ({"mode": "free"}, {"mode": "controlled"})
        assert FIRE <= freed <= FIRE + 5
        assert BOUND <= bound <= BOUND + 5
    assert [told for _, told in wrote(site, "lane-out")] == [{"hold_open": True}, {"hold_open": False}]
    assert wrote(site, "lane-in") == []
    sql = "SELECT value FROM v_samples WHERE point = 'lane-out/lane.state' AND at BETWEEN ? AND ? AND value IS NOT NULL"
    states = [row["value"] for row in site.rows(sql, *(virtual.START + int(s * 1e6) for s in (FIRE + 5, BOUND)))]
    assert set(states) <= {"open"}


def assert_quiet_about_freed_doors(site: VirtualSite) -> None:
    """A freed door that is opened or stands open is a note at most; one that is still open when bound is held open."""
    moves = alarms(site)
    assert {move[0] for move in moves} == {"F01", "F02", "A02"}
    ((*what, raised), (*over, cleared)) = [move for move in moves if move[0] == "A02"]
    assert what == ["A02", "door-store", "raise", "P3"]
    assert over == ["A02", "door-store", "clear", "P3"]
    assert BOUND + 29 <= raised <= BOUND + 36 < cleared
    notes = {(event["fields"]["rule"], event["device"]) for event in events(site, "note")}
    assert notes == {("A01", "door-stairs"), ("A01", "door-store"), ("A02", "door-stairs"), ("A02", "door-store")}


def test_a_controller_that_is_offline_in_the_fire_is_freed_when_it_is_back(tmp_path: Path) -> None:
    """Its door is reported as unconfirmed, shown as a problem, and freed the moment it is back while the fire lasts."""
    away = at(15, fault={"kind": "offline", "for": "60s"})
    panel = (at(20, panel="press"), at(110, panel="restore"), at(115, panel="reset"))

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, small(*panel, roof=(away,)), places=PLACES) as site:
            await site.at(18)
            assert value(site, "door-roof/online") is False
            await site.at(26)
            assert value(site, "door-lobby/lock.state") == "unlocked", "one that is away holds up no other"
            await site.at(60)
            [status] = await site.technician("status")
            [unsettled] = status["commands"]["unsettled"]
            assert (unsettled["point"], unsettled["outcome"]) == ("door-roof/mode", "unconfirmed")
            assert any(problem.code == "command" for problem in status["problems"])
            assert outcomes(site, "door-roof/mode") == ["unconfirmed"]
            site.cut()
            await site.at(85)
            assert value(site, "door-roof/lock.state") == "unlocked"
            site.mend()
            await site.at(160)
            assert shown(site, NOT_HELD) == NOT_HELD
        return site

    site = virtual.run(main())
    [(freed, free), (_, bind)] = wrote(site, "door-roof")
    assert (free, bind) == ({"mode": "free"}, {"mode": "controlled"})
    assert 75 <= freed <= 80
    assert outcomes(site, "door-roof/mode") == ["unconfirmed", "accepted", "confirmed", "released"]
    [told] = [event["fields"] for event in events(site, "command") if event["fields"]["outcome"] == "unconfirmed"]
    assert (told["point"], told["reason"]) == ("mode", "device-offline")
    assert_chain(site)
    account = site.judged()
    assert account.wrong == []
    assert account.figures["freed"]["doors"] == 2
    assert account.risk["blocks that waited"] > 0


PANEL = (at(20, panel="press"), at(100, panel="restore"), at(110, panel="reset"))


@pytest.mark.parametrize("dies", [20.4, 21.15, 23.0, 40.0])
def test_a_gateway_killed_in_the_fire_loses_none_of_it(tmp_path: Path, dies: float) -> None:
    """Before, while and after the ways out are written: all stand open 10 s after the restart, and go back once."""

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, small(*PANEL), places=PLACES) as site:
            await site.at(dies)
            await site.kill_gateway()
            await site.at(dies + 10)
            await site.start_gateway()
            await site.at(dies + 20)
            assert shown(site, HELD) == HELD
            site.cut()
            await site.at(100)
            assert shown(site, HELD) == HELD
            site.mend()
            [status] = await site.technician("status")
            assert status["commands"]["unsettled"] == []
            await site.at(200)
            assert shown(site, NOT_HELD) == NOT_HELD
            [status] = await site.technician("status")
            assert status["commands"]["standing"] == 0
        return site

    site = virtual.run(main())
    confirmed_before = dies >= 40
    for device in ("door-lobby", "door-roof", "lane-out", "lamp-17"):
        told = [written for _, written in wrote(site, device)]
        assert len(told) == 2 or not confirmed_before, f"{device} was written again for nothing: {told}"
        assert len(told) <= 3
    for point in ("door-lobby/mode", "door-roof/mode", "lane-out/hold_open", "lamp-17/command"):
        assert outcomes(site, point)[-2:] == ["confirmed", "released"], point
    assert_chain(site)
    assert [move[:3] for move in alarms(site, "F01")] == [
        ("F01", "fire-panel", "raise"),
        ("F01", "fire-panel", "clear"),
    ]
    account = site.judged()
    assert account.wrong == []
    assert account.risk["blocks that waited"] > 0


def test_a_panel_that_is_reset_while_the_gateway_is_dead(tmp_path: Path) -> None:
    """After the restart the ways out stay open for as long as after any reset, and then everything goes back."""

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, small(*PANEL), places=PLACES) as site:
            await site.at(95)
            await site.kill_gateway()
            await site.at(125)
            await site.start_gateway()
            await site.at(150)
            assert shown(site, HELD) == HELD
            site.cut()
            await site.at(180)
            assert shown(site, NOT_HELD) == NOT_HELD
            site.mend()
            await site.at(200)
        return site

    site = virtual.run(main())
    assert [len(wrote(site, device)) for device in ("door-lobby", "door-roof", "lane-out", "lamp-17")] == [2] * 4
    assert_chain(site)
    assert site.judged().wrong == []


def test_a_kill_while_a_door_is_away_in_the_fire_forgets_neither(tmp_path: Path) -> None:
    """The claim on a door that was never reached survives the gateway, and is written when the door is back."""
    away = at(15, fault={"kind": "offline", "for": "60s"})

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, small(*PANEL, roof=(away,)), places=PLACES) as site:
            await site.at(30)
            await site.kill_gateway()
            await site.at(40)
            await site.start_gateway()
            await site.at(60)
            [status] = await site.technician("status")
            assert [each["point"] for each in status["commands"]["unsettled"]] == ["door-roof/mode"]
            site.cut()
            await site.at(85)
            assert shown(site, HELD) == HELD
            site.mend()
            await site.at(170)
            assert shown(site, NOT_HELD) == NOT_HELD
        return site

    site = virtual.run(main())
    [(freed, free), (_, bind)] = wrote(site, "door-roof")
    assert (free, bind) == ({"mode": "free"}, {"mode": "controlled"})
    assert 75 <= freed <= 80
    assert len(wrote(site, "door-lobby")) == 2
    assert_chain(site)
    account = site.judged()
    assert account.wrong == []
    assert account.risk["blocks that waited"] > 0


def test_a_panel_that_is_reset_too_early_binds_nothing(tmp_path: Path) -> None:
    """The call point is still pressed: the panel alarms again 2 s after the reset, and no door was bound meanwhile."""
    panel = (at(20, panel="press"), at(60, panel="reset"), at(100, panel="restore"), at(110, panel="reset"))

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, small(*panel), places=PLACES) as site:
            await site.at(61)
            site.cut()
            await site.at(139)
            assert shown(site, HELD) == HELD
            site.mend()
            await site.at(165)
            assert shown(site, NOT_HELD) == NOT_HELD
        return site

    site = virtual.run(main())
    for device in ("door-lobby", "door-roof", "lane-out", "lamp-17"):
        ((_, _), (bound, _)) = wrote(site, device)
        assert 140 <= bound <= 145, device
    assert [move[2] for move in alarms(site, "F01")] == ["raise", "clear"]
    account = site.judged()
    assert account.wrong == []
    assert account.risk["blocks that waited"] > 0
