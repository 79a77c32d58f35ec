"""A fire on a small site in which something else goes wrong: a controller is away, the gateway dies, the panel is reset
too early. The ways out stand open all the same, and doors are bound one by one when the area is normal.
"""

from pathlib import Path

import pytest

from tests import virtual, virtual_site
from tests.fire_rig import BOUND_AGAIN, HELD, NOT_HELD, PLACES, area_is_normal, assert_chain, at, shown, small
from tests.site_facts import alarms, events, outcomes, value, wrote
from tests.virtual_site import VirtualSite

PANEL = (at(20, panel="press"), at(100, panel="restore"), at(110, panel="reset"))


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
            assert shown(site, BOUND_AGAIN) == BOUND_AGAIN
            await area_is_normal(site)
            await site.at(170)
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
            await site.at(150)
            assert shown(site, BOUND_AGAIN) == BOUND_AGAIN
            await area_is_normal(site)
            await site.at(160)
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
            await site.at(170)
            assert shown(site, BOUND_AGAIN) == BOUND_AGAIN
            await site.kill_gateway()  # the alarm is latched now, and what it claims stands on
            await site.start_gateway()
            await site.at(175)
            doors = ("door-lobby/mode", "door-roof/mode")
            assert [value(site, door) for door in doors] == ["free", "free"]
            assert {e["state"] for e in await site.ask("control", "alarm.list", held=True)} == {"F"}
            await area_is_normal(site)
            await site.at(176.4)
            await site.kill_gateway()  # the first door is locked, the second not yet
            await site.at(176.7)
            await site.start_gateway()
            await site.at(182)
            assert shown(site, NOT_HELD) == NOT_HELD
            site.mend()
            await site.at(190)
        return site

    site = virtual.run(main())
    assert [len(wrote(site, device)) for device in ("door-lobby", "door-roof", "lane-out", "lamp-17")] == [2] * 4
    bound = [wrote(site, door)[1][0] for door in ("door-lobby", "door-roof")]
    assert 175 <= bound[0] <= 176
    assert bound[1] >= bound[0] + 1.9, "one by one, whatever happens to the gateway"
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
            await site.at(150)
            await area_is_normal(site)
            await site.at(157)
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
            await site.at(146)
            assert shown(site, BOUND_AGAIN) == BOUND_AGAIN
            await area_is_normal(site)
            await site.at(155)
            assert shown(site, NOT_HELD) == NOT_HELD
        return site

    site = virtual.run(main())
    for device, due in (("door-lobby", 146), ("door-roof", 148), ("lane-out", 140), ("lamp-17", 140)):
        ((_, _), (bound, _)) = wrote(site, device)
        assert due <= bound <= due + 5, device
    assert [move[2] for move in alarms(site, "F01")] == ["raise", "clear"]
    account = site.judged()
    assert account.wrong == []
    assert account.risk["blocks that waited"] > 0
