"""Gas at its second level on the virtual site: nobody switches a lamp in that zone, a fire's rules neither."""

from pathlib import Path
from typing import Any

from tests import virtual, virtual_site
from tests.site_facts import events, only, outcomes, value, wrote


def scenario() -> dict[str, Any]:
    gas = [{"at": "10s", "do": {"gas": {"level": 60}}}, {"at": "60s", "do": {"gas": {"level": 0}}}]
    panel = [{"at": "30s", "do": {"panel": "press"}}]
    field = [
        {"id": "gas-1", "unit": 1, "face": "sp-io-16-gas", "story": gas},
        {"id": "panel", "unit": 2, "face": "sp-io-16", "story": panel},
    ]
    lamps = [{"id": f"lamp-{name}", "object": number, "face": "lighting-output"} for number, name in enumerate("ab", 1)]
    return {
        "title": "gas",
        "links": [{"id": "field", "devices": field}, {"id": "bms", "kind": "bacnet", "devices": lamps}],
    }


PLACES = {
    "gas-1": {"zone": "boiler"},
    "lamp-a": {"zone": "boiler", "tags": ["escape"]},
    "lamp-b": {"zone": "stairs", "tags": ["escape"]},
}


def test_nothing_is_switched_near_gas_until_a_minute_after_it(tmp_path: Path) -> None:
    """In the fire the lamp beside the gas is refused and the other lit; a minute after the gas both are."""

    async def story() -> None:
        async with virtual_site.running(tmp_path, scenario(), places=PLACES) as site:
            await site.at(100)
            assert wrote(site, "lamp-a") == []
            assert [written for _, written in wrote(site, "lamp-b")] == [{"command": 100.0}]
            assert value(site, "lamp-b/level") == 100.0
            [told] = await site.technician("point.write", id="lamp-a/command", value="100", reason="see something")
            assert (told["outcome"], told["reason"]) == ("refused", "forbidden")
            refused = {event["fields"]["reason"] for event in events(site, "command") if event["device"] == "lamp-a"}
            assert refused == {"forbidden"}
            await site.at(150)
            [(lit, written)] = wrote(site, "lamp-a")
            assert written == {"command": 100.0}
            assert 123.9 <= lit <= 131  # the gas is below the limit since 64 s
            assert outcomes(site, "lamp-a/command")[-1] == "confirmed"
            only(
                site,
                ("H02", "gas-1", "raise", 18, 21), ("H02", "gas-1", "clear", 74, 77),
                ("F01", "panel", "raise", 30, 33),
            )  # fmt: skip

    virtual.run(story())
