"""What else happens at doors and in lanes, one trouble each, on the virtual site: its alarm, in time, and no other."""

from pathlib import Path
from typing import Any

from tests import virtual, virtual_site
from tests.site_facts import alarms, at, events, journal, outcomes, wrote
from tests.virtual_site import VirtualSite

POLL, SLACK = 1.0, 1.0
ENDS = 655.0


DOORS: dict[str, list[dict[str, Any]]] = {
    "door-tail": [at(22, door="force"), at(24, door="shut"), at(60, grant={}), at(100, tail=True)],
    "door-cover": [at(100, tamper=True), at(130, tamper=False)],
    "door-bolt": [at(100, lock="jam"), at(110, rex={}), at(200, door="free")],
    "door-back": [at(100 + 30 * n, deny={"reason": 8}) for n in range(3)],
}
LANE = [
    at(40, cars=2), at(70, tailgate=True), at(130, boom="open"), at(136, wrong_way=True),
    at(180, boom="cabinet_open"), at(200, boom="cabinet_shut"),
    at(230, sensor={"name": "exit", "state": "fault"}), at(250, sensor={"name": "exit", "state": "works"}),
    at(280, cars=1),
]  # fmt: skip
CAMERA = [at(270, plate={"listed": "black"}), at(300, camera="covered"), at(390, camera="sees")]
PARK = [at(30, drift=7), at(640, recount=True)]


def scenario() -> dict[str, Any]:
    """Return four doors of one controller, a lane with a camera, and a car park that counts the lane's cars."""
    doors = [
        {"id": name, "face": "mqtt-door", "controller": "405419896", "door": n, "story": story}
        for n, (name, story) in enumerate(DOORS.items(), 1)
    ]
    watching = {"face": "mqtt-lpr", "controller": "7001", "door": 1, "watches": ["lane-in"]}
    counting = {"face": "mqtt-carpark", "controller": "8001", "door": 1, "watches": ["lane-in"]}
    return {
        "title": "doors and lanes",
        "seed": 5,
        "links": [
            {"id": "lanes", "devices": [{"id": "lane-in", "unit": 1, "face": "sp-barrier-1", "story": LANE}]},
            {
                "id": "field",
                "kind": "mqtt",
                "devices": [
                    *doors,
                    {"id": "camera", "story": CAMERA, **watching},
                    {"id": "park", "story": PARK, "carpark": {"capacity": 100, "inside": 40}, **counting},
                ],
            },
        ],
    }


def happened(site: VirtualSite, device: str, fact: str) -> float:
    """Return when something truly happened for the first time, in seconds of the run."""
    return next(
        virtual_site.seconds(line["t"])
        for line in journal(site)
        if (line.get("device"), line.get("fact")) == (device, fact)
    )


def test_each_trouble_has_its_alarm_in_time_and_nothing_else_has_one(tmp_path: Path) -> None:
    """Tailgating, tampering, bolts, passback; followers, the wrong way, cabinets, loops, plates, cameras, counts."""

    async def main() -> VirtualSite:
        places = {"lane-in": {"via": "lane-in"}, "camera": {"via": "lane-in"}}
        async with virtual_site.running(tmp_path, scenario(), places=places) as site:
            await site.at(20)
            await site.technician("point.write", id="door-tail/unlock.pulse", value="5", reason="parcel")
            await site.at(95)
            site.cut()
            await site.at(125)
            site.mend()
            await site.at(ENDS)
        return site

    site = virtual.run(main())
    due: dict[tuple[str, str], tuple[float, str]] = {
        ("A07", "door-tail"): (happened(site, "door-tail", "followed through"), "P3"),
        ("A08", "door-cover"): (happened(site, "door-cover", "reader opened") + 2, "P2"),
        ("A15", "door-bolt"): (happened(site, "door-bolt", "exit button") + 10, "P4"),
        ("A10", "door-bolt"): (200 + 5, "P2"),
        ("A05", "door-back"): (100, "P4"),
        ("B08", "lane-in"): (136 + 3, "P2"),
        ("B13-CABINET", "lane-in"): (happened(site, "lane-in", "cabinet opened") + 2, "P2"),
        ("B05", "lane-in"): (happened(site, "lane-in", "exit fault") + 5, "P3"),
        ("B10", "camera"): (280, "P3"),
        ("B09", "camera"): (happened(site, "camera", "camera covered") + 60, "P3"),
        ("B11", "park"): (happened(site, "park", "count drifted") + 600, "P4"),
    }
    # The follower clears the safety loop once it is through: 1.5 s after it began to roll, and 0.9 s more.
    due["B07", "lane-in"] = (happened(site, "lane-in", "vehicle followed through") + 2.4, "P3")
    raised = {move[:2]: move for move in alarms(site) if move[2] == "raise"}
    assert raised.keys() == due.keys(), "unlocked from afar, the first opening was nobody's deed"
    assert outcomes(site, "door-tail/unlock.pulse") == ["accepted", "confirmed"]
    assert [told for _, told in wrote(site, "door-tail")] == [{"unlock.pulse": 5}]
    for key, (wanted, priority) in due.items():
        _, _, _, told, when = raised[key]
        assert told == priority, key
        assert wanted <= when + 0.01, key
        assert when <= wanted + 2 * POLL + SLACK, key
    assert [move[3] for move in alarms(site, "A05") if move[2] in {"reannunciate", "level"}] == ["P3"]
    plates = {line["event"]["plate"] for line in journal(site) if line.get("event", {}).get("kind") == "plate"}
    told = events(site, "lpr.read")
    assert len(told) == sum(line.get("event", {}).get("kind") == "plate" for line in journal(site)) > 3
    assert all(event["fields"]["plate"].startswith("h1:") for event in told)
    assert not any(plate in str(event) for plate in plates for event in told)
    assert site.judged().wrong == []
