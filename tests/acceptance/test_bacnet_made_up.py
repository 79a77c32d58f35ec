"""What objects on BACnet say of their own values, from wire to alarm: where they are made up, nothing is decided."""

from pathlib import Path
from typing import Any

import pytest

from sitekeeper.model.quality import GOOD, Quality, Reason, pack
from tests import virtual, virtual_site
from tests.acceptance.test_bacnet_virtual import STUCK, alarms, truth, values

MADE_UP = pack(Quality.UNCERTAIN, Reason.SUBSTITUTED)
FAULTS_LISTED = 23


def scenario(*story: dict[str, Any]) -> dict[str, Any]:
    lift = {"id": "lift-a1", "object": 1, "face": "bacnet-lift", "lift": {"start_floor": 5}, "story": [STUCK, *story]}
    return {"title": "flags", "seed": 5, "links": [{"id": "bms", "kind": "bacnet", "cov": True, "devices": [lift]}]}


@pytest.fixture(autouse=True)
def _looks_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.bacnet_stack.LOOK", 0.97)


def test_values_that_are_not_of_the_lift_decide_nothing(tmp_path: Path) -> None:
    """A lift is stuck with somebody inside, and its object put out of service before L01 is due: each value says why
    it is not to be believed, and no timer runs on. Back in service, L01 comes when its 30 s are full."""

    async def story() -> None:
        away = {"at": "20s", "do": {"fault": {"kind": "out_of_service", "for": "40s"}}}
        async with virtual_site.running(tmp_path, scenario(away)) as site:
            await site.at(58)
            for point in ("door_zone", "car_status", "load", "passenger_alarm", "fault_door_open", "position"):
                assert values(site, f"lift-a1/{point}")[-1][1] == MADE_UP, point
            assert values(site, "lift-a1/load_unit")[-1][1] == GOOD, "a setting"
            assert values(site, "lift-a1/online")[-1] == (1, GOOD)
            assert alarms(site) == []
            await site.at(95)
            assert values(site, "lift-a1/door_zone")[-1] == (0, GOOD)
            assert alarms(site) == [("L01", "raise")]
            assert next(move[4] for move in site.moves() if move[0] == "L01") >= 60

    virtual.run(story())


def test_a_lift_that_lists_faults_is_believed(tmp_path: Path) -> None:
    """The flag "fault" of a lift says that the lift has faults, not that its values are wrong: L01 comes as ever."""

    async def story() -> None:
        listed = {"at": "20s", "do": {"fault": {"kind": "unreliable", "code": FAULTS_LISTED}}}
        async with virtual_site.running(tmp_path, scenario(listed)) as site:
            await site.at(50)
            assert alarms(site) == [("L01", "raise")]
            assert 30 <= next(move[4] for move in site.moves() if move[0] == "L01") - truth(site, "trapped") <= 32

    virtual.run(story())
