"""Commands on a whole site in virtual time: fire frees doors, exits and escape lights; a kill loses none of it."""

import asyncio
import json
from pathlib import Path
from typing import Any

from edge.commands import audit
from tests import virtual, virtual_site
from tests.fire_rig import area_is_normal
from tests.virtual_site import VirtualSite

CONTROLLER = "405419896"
PLACES = {
    "lane-out": {"tags": ["exit"]},
    "lamp-01": {"tags": ["escape"]},
    "lamp-02": {"tags": ["escape"]},
}
PRESS, RESTORE, RESET = (
    {"at": "20s", "do": {"panel": "press"}},
    {"at": "100s", "do": {"panel": "restore"}},
    {"at": "110s", "do": {"panel": "reset"}},
)


def scenario(*panel: dict[str, Any], lobby: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    """Return a fire panel, an entry and an exit lane, three doors on MQTT and three luminaires on BACnet."""
    lanes = [
        {"id": f"lane-{way}", "unit": n, "face": "sp-barrier-1", "lane": {"way": way}}
        for n, way in enumerate(("in", "out"), 1)
    ]
    doors: list[dict[str, Any]] = [
        {"id": f"door-{n}", "face": "mqtt-door", "controller": CONTROLLER, "door": n} for n in (1, 2, 3)
    ]
    doors[0]["story"] = list(lobby)
    dim = [{"at": "1s", "do": {"level": 30}}]
    lamps = [{"id": f"lamp-0{n}", "object": n, "face": "lighting-output", "story": dim} for n in (1, 2, 3)]
    return {
        "title": "fire",
        "seed": 5,
        "links": [
            {"id": "panel", "devices": [{"id": "fire-1", "unit": 1, "face": "sp-io-16", "story": list(panel)}]},
            {"id": "lanes", "devices": lanes},
            {"id": "doors", "kind": "mqtt", "site": "s1", "devices": doors},
            {"id": "bms", "kind": "bacnet", "devices": lamps},
        ],
    }


def value(site: VirtualSite, point: str) -> Any:
    assert site.app is not None
    latest = site.app.pipeline.latest
    sample = latest.get(latest.find(point).handle)
    return None if sample is None else sample.value


def events(site: VirtualSite, name: str) -> list[Any]:
    """Return the events of a name that the office has, in their order: source_id, device_sequence, late, fields."""
    found = site.rows("SELECT * FROM events WHERE source_id LIKE ? ORDER BY at", f"%/{name}")
    return [{**dict(row), "fields": json.loads(row["fields"])} for row in found]


def outcomes(site: VirtualSite, point: str) -> list[str]:
    return [
        event["fields"]["outcome"]
        for event in events(site, "command")
        if f"{event['source_id'].split('/')[0]}/{event['fields']['point']}" == point
    ]


FREED = {"door-1/mode": "free", "door-2/mode": "free", "door-3/mode": "free", "lane-out/hold_open": True}


def test_fire_opens_the_ways_out_and_its_end_gives_them_back(tmp_path: Path) -> None:
    """S10 short: within 5 s of the call point doors report unlocked, the exit stands open, escape lights burn full.

    The entry lane and the lamp without the tag are left alone; after the reset everything goes back, doors when the
    area is normal.
    """

    async def story() -> None:
        async with virtual_site.running(tmp_path, scenario(PRESS, RESTORE, RESET), places=PLACES) as site:
            await site.at(19)
            assert value(site, "door-1/lock.state") == "locked"
            await site.at(26)
            assert {point: value(site, point) for point in FREED} == FREED
            assert [value(site, f"door-{n}/lock.state") for n in (1, 2, 3)] == ["unlocked"] * 3
            await site.at(35)
            assert value(site, "lane-out/lane.state") == "open"
            assert value(site, "lane-in/hold_open") is False
            assert [value(site, f"lamp-0{n}/level") for n in (1, 2, 3)] == [100.0, 100.0, 30.0]
            for point, wanted in (("door-1/mode", "controlled"), ("lane-out/hold_open", "false")):
                [refused] = await site.technician("point.write", id=point, value=wanted, reason="guard")
                assert (refused["outcome"], refused["reason"]) == ("refused", "life-safety")
            [status] = await site.technician("status")
            assert status["commands"]["unsettled"] == []
            assert status["commands"]["standing"] == 6
            await site.at(170)
            await area_is_normal(site)
            await site.at(180)
            assert [value(site, f"door-{n}/lock.state") for n in (1, 2, 3)] == ["locked"] * 3
            assert value(site, "lane-out/hold_open") is False
            assert value(site, "lamp-01/level") == 30.0, "relinquished: what held before holds again"
            assert outcomes(site, "door-1/mode") == ["accepted", "confirmed", "refused", "released"]
        account = site.judged()
        assert [line for line in account.wrong if not line.startswith("proved nothing")] == []
        assert account.figures["freed"]["doors"] == 3

    virtual.run(story())


def test_a_kill_in_the_fire_leaves_the_doors_to_the_next_start(tmp_path: Path) -> None:
    """What rules claimed stands again after a kill, nothing is written that already holds; the end gives it back."""

    async def story() -> None:
        async with virtual_site.running(tmp_path, scenario(PRESS, RESTORE, RESET), places=PLACES) as site:
            await site.at(40)
            await site.kill_gateway()
            await asyncio.sleep(10)
            await site.start_gateway()
            await site.at(80)
            assert {point: value(site, point) for point in FREED} == FREED
            await site.at(185)
            await area_is_normal(site)
            await site.at(200)
            assert [value(site, f"door-{n}/lock.state") for n in (1, 2, 3)] == ["locked"] * 3
            assert outcomes(site, "door-2/mode").count("accepted") == 1, (
                "it was still free, so it was not written again"
            )
            assert outcomes(site, "door-2/mode")[-1] == "released"

    virtual.run(story())


def test_events_of_doors_reach_the_office_once_over_cuts_and_a_kill(tmp_path: Path) -> None:
    """People go in and out while our broker session dies, the gateway is killed and the office is away."""

    async def story() -> None:
        crowd = ({"at": "5s", "do": {"crowd": {"people": 40, "every": "4s"}}},)
        async with virtual_site.running(tmp_path, scenario(lobby=crowd), places=PLACES) as site:
            await site.at(30)
            site.field_broker.cut()
            await site.at(50)
            site.cut()
            await site.at(70)
            await site.kill_gateway()
            await asyncio.sleep(20)
            await site.start_gateway()
            await site.at(110)
            site.mend()
            await site.at(260)
            found = [event["device_sequence"] for name in ("read.event", "door.event", "rex.event", "alarm.event")
                     for event in events(site, name)]  # fmt: skip
            assert len(found) > 80
            assert len(found) == len(set(found)), "no event twice"
            assert events(site, "audit_gap") == []
            assert sorted(found) == list(range(min(found), max(found) + 1))
        assert site.judged().wrong == []

    virtual.run(story())


def test_what_a_broker_loses_is_told_as_a_gap_or_comes_after_all(tmp_path: Path) -> None:
    """A broker that drops, repeats and reorders: each event is at the office once, or inside a gap that was told."""

    async def story() -> None:
        crowd = ({"at": "5s", "do": {"crowd": {"people": 40, "every": "4s"}}},)
        async with virtual_site.running(tmp_path, scenario(lobby=crowd), places=PLACES) as site:
            await site.at(20)
            faults = site.field_broker.faults
            faults.drop, faults.duplicate, faults.reorder = 0.2, 0.2, 0.2
            await site.at(60)
            await site.kill_gateway()
            await site.start_gateway()
            await site.at(120)
            faults.drop = faults.duplicate = faults.reorder = 0.0
            await site.at(260)
            found = [event["device_sequence"] for name in ("read.event", "door.event", "rex.event", "alarm.event")
                     for event in events(site, name)]  # fmt: skip
            gaps = [event["fields"] for event in events(site, "audit_gap")]
            assert gaps, "or nothing was lost and nothing proved"
            assert len(found) == len(set(found)), "no event twice"
            told = {n for gap in gaps if not gap["restarted"] for n in range(gap["from"], gap["to"] + 1)}
            assert set(range(min(found), max(found) + 1)) <= set(found) | told
            assert not any(gap["restarted"] for gap in gaps)

    virtual.run(story())


def test_a_technician_writes_a_point_at_the_site(tmp_path: Path) -> None:
    """Over the live door: accepted and confirmed, in the audit with his reason; the barrier is closed only if clear."""

    async def story() -> None:
        async with virtual_site.running(tmp_path, scenario(), places=PLACES) as site:
            await site.at(10)
            told = await site.technician("point.write", id="lane-in/cmd.open", value="true", reason="delivery")
            assert [each["outcome"] for each in told] == ["accepted", "confirmed"]
            await site.at(25)
            [missing] = await site.technician("point.write", id="lane-in/cmd.close", value="true", reason=" ")
            assert (missing["outcome"], missing["reason"]) == ("refused", "reason-needed")
            assert site.app is not None
            rows = [audit.decode(row) for row in site.app.outbox.audit_tail()]
            assert [(r.user, r.target, r.outcome, r.note) for r in rows][:2] == [
                ("chan", "lane-in/cmd.open", outcome, "delivery") for outcome in ("accepted", "confirmed")
            ]

    virtual.run(story())


def test_a_barrier_is_closed_only_when_it_is_known_to_be_clear(tmp_path: Path) -> None:
    """S6, live: refused with a car on the loop, 1 s after it left, with a faulty loop, and with no reading at all."""
    story = [
        {"at": "2s", "do": {"boom": "open"}},
        {"at": "20s", "do": {"sensor": {"name": "safety", "state": "occupied"}}},
        {"at": "30s", "do": {"sensor": {"name": "safety", "state": "works"}}},
        {"at": "40s", "do": {"sensor": {"name": "safety", "state": "fault"}}},
        {"at": "50s", "do": {"sensor": {"name": "safety", "state": "works"}}},
    ]
    lane = {"id": "lane-1", "unit": 1, "face": "sp-barrier-1", "lane": {"way": "in", "auto_close": 0}, "story": story}

    async def main() -> None:
        plan = {"title": "S6", "seed": 6, "links": [{"id": "lanes", "devices": [lane]}]}
        async with virtual_site.running(tmp_path, plan) as site:

            async def close() -> list[tuple[str, str]]:
                told = await site.technician(
                    "point.write", id="lane-1/cmd.close", value="true", reason="test", in_view=True
                )
                return [(each["outcome"], each["reason"]) for each in told]

            for at in (25, 31, 45, 51):
                await site.at(at)
                assert value(site, "lane-1/lane.state") == "open"
                assert await close() == [("refused", "interlock")], f"at {at} s"
            await site.at(60)
            await site.estate.servers["lanes"].close()
            await site.at(62)
            assert (await close())[0] in (("refused", "interlock"), ("refused", "device-offline"))
            lines = map(json.loads, (site.folder / "sim.jsonl").read_text().splitlines())
            assert not [line for line in lines if "wrote" in line], "no coil was written"
            await site.estate.start()

    virtual.run(main())


def test_a_barrier_that_is_clear_is_closed_by_one_write(tmp_path: Path) -> None:
    """The control: 2.5 s after the loop is clear the command goes out once, and the boom is seen to come down."""
    story = [
        {"at": "2s", "do": {"boom": "open"}},
        {"at": "20s", "do": {"sensor": {"name": "safety", "state": "occupied"}}},
        {"at": "30s", "do": {"sensor": {"name": "safety", "state": "works"}}},
    ]
    lane = {"id": "lane-1", "unit": 1, "face": "sp-barrier-1", "lane": {"way": "in", "auto_close": 0}, "story": story}

    async def main() -> None:
        plan = {"title": "S6", "seed": 6, "links": [{"id": "lanes", "devices": [lane]}]}
        async with virtual_site.running(tmp_path, plan) as site:
            await site.at(34)
            close = {"id": "lane-1/cmd.close", "value": "true", "reason": "test"}
            [unseen] = await site.technician("point.write", **close)
            assert (unseen["outcome"], unseen["reason"]) == ("refused", "not-in-view")
            told = await site.technician("point.write", **close, in_view=True)
            assert [each["outcome"] for each in told] == ["accepted", "confirmed"]
            await site.at(45)
            assert value(site, "lane-1/lane.state") == "closed"
            lines = map(json.loads, (site.folder / "sim.jsonl").read_text().splitlines())
            assert len([line for line in lines if "wrote" in line]) == 1

    virtual.run(main())


def test_a_door_controller_that_is_away_in_the_fire_is_freed_when_it_is_back(tmp_path: Path) -> None:
    """Its claim stands and shows as unsettled; the moment it answers again it is written."""

    async def story() -> None:
        async with virtual_site.running(tmp_path, scenario(PRESS), places=PLACES) as site:
            await site.at(10)
            site.field_broker.up = False
            site.field_broker.cut()
            await site.at(60)
            [status] = await site.technician("status")
            away = {each["point"] for each in status["commands"]["unsettled"]}
            assert away == {f"door-{n}/mode" for n in (1, 2, 3)}
            assert any(problem.code == "command" for problem in status["problems"])
            assert value(site, "lane-out/hold_open") is True, "what can be reached is reached"
            site.field_broker.up = True
            await site.at(90)
            assert [value(site, f"door-{n}/lock.state") for n in (1, 2, 3)] == ["unlocked"] * 3
            assert outcomes(site, "door-1/mode") == ["unconfirmed", "accepted", "confirmed"]

    virtual.run(story())
