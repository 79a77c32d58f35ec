"""Doors of makers on the virtual site: UHPPOTE behind its gateway and esp-rfid, through our driver and the rules."""

from pathlib import Path
from typing import Any

from tests import virtual, virtual_site
from tests.site_facts import at, events, only, value


def scenario(face: str, *story: dict[str, Any]) -> dict[str, Any]:
    door = {"id": "door-1", "face": face, "controller": "405419896", "door": 1, "story": list(story)}
    return {"title": face, "seed": 3, "links": [{"id": "doors", "kind": "mqtt", "devices": [door]}]}


PLACES = {"door-1": {"tags": ["perimeter"]}}


def test_a_door_behind_uhppoted(tmp_path: Path) -> None:
    """Who is let in is no alarm; forced, held and refused again and again are; each event counts once; then silence."""
    plan = scenario(
        "uhppote-door",
        at(10, grant={"after": "1s", "stay": "5s"}),
        at(30, rex={"after": "1s", "stay": "5s"}),
        at(50, deny={"times": 5, "every": "2s"}),
        at(80, door="force"),
        at(100, door="shut"),
        at(130, fault={"kind": "offline"}),
    )

    async def main() -> None:
        async with virtual_site.running(tmp_path, plan, places=PLACES) as site:
            await site.at(13)
            assert value(site, "door-1/door.state") == "open"
            await site.at(25)
            assert value(site, "door-1/door.state") == "closed"
            await site.at(260)
            only(
                site,
                ("A03", "door-1", "raise", 58, 60),
                ("A01", "door-1", "raise", 80, 82), ("A01", "door-1", "clear", 110, 112),
                ("A11", "door-1", "raise", 205, 240),
            )  # fmt: skip
            assert len(events(site, "read.event")) == 6  # told twice each, on both topics

    virtual.run(main())


def test_an_esp_rfid_reader(tmp_path: Path) -> None:
    """Its reads and its door are heard: five refusals are an alarm, and so is a door that stands open."""
    plan = scenario(
        "esp-rfid",
        at(10, grant={"after": "1s", "stay": "5s"}),
        at(50, deny={"times": 5, "every": "2s"}),
        at(80, grant={"after": "1s", "stay": "100s"}),
    )

    async def main() -> None:
        async with virtual_site.running(tmp_path, plan, places=PLACES) as site:
            await site.at(5)
            assert value(site, "door-1/door.state") is None  # it tells its door when it moves, and not before
            await site.at(30)
            assert value(site, "door-1/door.state") == "closed"
            await site.at(130)
            assert value(site, "door-1/tamper.case") is True
            await site.at(200)
            assert value(site, "door-1/tamper.case") is False
            only(
                site,
                ("A03", "door-1", "raise", 58, 60),
                ("A02", "door-1", "raise", 111, 113), ("A02", "door-1", "clear", 190, 193),
                ("A08", "door-1", "raise", 112, 114), ("A08", "door-1", "clear", 190, 193),
            )  # fmt: skip

    virtual.run(main())
