"""The muster on the virtual site: made when there is a fire, right after a restart, names where a table has them."""

import json
from pathlib import Path
from typing import Any

import pytest

from edge import operations
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import Refused
from tests import virtual, virtual_site
from tests.site_facts import alarms
from tests.virtual_site import VirtualSite

ANN, BOB, CID = "1008538001", "1008538002", "1008538003"
FIRE = 60.0


def grants(*people: tuple[float, str, str]) -> list[dict[str, Any]]:
    return [{"at": f"{at}s", "do": {"grant": {"card": card, "way": way}}} for at, card, way in people]


def plan() -> dict[str, Any]:
    """Return a hall with readers on both sides, a yard with one, and a fire panel whose call point is pressed."""
    door = {"face": "mqtt-door", "controller": "405419896"}
    hall = grants((10, ANN, "in"), (20, BOB, "in"), (40, ANN, "out"), (50, CID, "in"))
    yard = [*grants((15, CID, "in")), {"at": "25s", "do": {"rex": {}}}]
    panel = {"id": "panel", "unit": 1, "face": "sp-io-16", "story": [{"at": f"{FIRE}s", "do": {"panel": "press"}}]}
    doors = [{"id": "hall", "door": 1, "story": hall, **door}, {"id": "yard", "door": 2, "story": yard, **door}]
    links = [{"id": "doors", "kind": "mqtt", "devices": doors}, {"id": "fire", "devices": [panel]}]
    return {"title": "muster", "seed": 3, "links": links}


async def asked(site: VirtualSite, role: Any) -> dict[str, Any]:
    """Return what somebody of a role is told of who may be inside."""
    assert site.app is not None
    operation = operations.table(site.app._gateway())["muster"]
    [found] = [item async for item in operation(Actor(name="lee", role=role, origin="site"), {})]
    assert isinstance(found, dict)
    return found


def test_a_fire_has_the_list_made_from_the_record(tmp_path: Path) -> None:
    """Two are inside though the gateway died meanwhile; their names are told to operators, the number to the office."""
    tables = {"credentials": {"file": "data/cards.csv", "key": "cred"}}
    folder = tmp_path / "site/data"
    folder.mkdir(parents=True)
    (folder / "cards.csv").write_text("cred,name\n", encoding="utf-8")

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, plan(), sections={"tables": tables}) as site:
            await site.at(30)
            [ann] = await site.technician("point.pseudonym", kind="card", number=ANN)
            [bob] = await site.technician("point.pseudonym", kind="card", number=BOB)
            with pytest.raises(Refused, match="a card or a plate"):
                await site.technician("point.pseudonym", kind="face", number=BOB)
            lines = f"cred,name\n{ann['pseudonym']},Ann\n{bob['pseudonym']},Bob\n"
            (folder / "cards.csv").write_text(lines, encoding="utf-8")
            await site.kill_gateway()
            await site.at(45)
            await site.start_gateway()
            await site.at(FIRE + 8)
            found = await asked(site, "operator")
            assert [(one["door"], one["name"]) for one in found["people"]] == [("hall", None), ("hall", "Bob")]
            assert found["people"][1]["cred"] == bob["pseudonym"]
            assert (found["count"], found["no_out"], found["by_button"]) == (2, ["yard"], 1)
            assert {one["name"] for one in (await asked(site, "viewer"))["people"]} == {None}
            await site.kill_gateway()
            await site.start_gateway()  # the fire stands, and its list is there: no other is made
            await site.at(FIRE + 15)
        return site

    site = virtual.run(main())
    [row] = site.rows("SELECT fields, at FROM events WHERE source_id = 'gateway/muster'")
    fields = json.loads(row["fields"])
    assert fields["count"] == 2
    assert fields["since"].startswith("2026-06-01T00:00:")
    raised = next(at for rule, _, cause, _, at in alarms(site) if (rule, cause) == ("F01", "raise"))
    assert 0 <= virtual_site.seconds(row["at"]) - raised <= 2
