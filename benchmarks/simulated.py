"""What stands beside the bench's Modbus devices: luminaires on BACnet/IP and doors on MQTT, simulated by `sk sim`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

LAMPS = "bms"
"""Link of the luminaires: one controller, as many objects."""
DOORS = "doors"
"""Link of the doors: controllers of four."""
INSTANCE = 1200
LAMP_POINTS = ("command", "level", "feedback", "fading", "lamp.fail", "power", "simulated")
LAMP_RULE = (
    "- {id: BLAMP, class: lighting, name: {en: Lamp, zh-Hant: 燈, zh-Hans: 灯}, when: lamp.fail, priority: P2}\n"
)
"""The shipped rule waits for a second reading and is no P2; this one raises at once, as a lift's does."""


@dataclass(kw_only=True, frozen=True)
class Beside:
    """Devices by what happens to them, seconds after the simulation's start.

    Attributes:
        lamps: when the lamp of each luminaire fails. doors: when each door is forced. None: never.
        scan: how often luminaires are read.
    """

    lamps: Sequence[float | None] = ()
    doors: Sequence[float | None] = ()
    scan: str = "1s"

    def scenario(self) -> str:
        """Return the scenario that simulates them."""
        lamps: list[Json] = [
            {"id": lamp_id(n), "object": n + 1, "face": "lighting-output", "story": _step(at, {"lamp": "lamp"})}
            for n, at in enumerate(self.lamps)
        ]
        doors: list[Json] = [
            {"id": door_id(n), "face": "mqtt-door", **_place(n), "story": _step(at, {"door": "force"})}
            for n, at in enumerate(self.doors)
        ]
        links: list[Json] = [
            {"id": LAMPS, "kind": "bacnet", "instance": INSTANCE, "devices": lamps},
            {"id": DOORS, "kind": "mqtt", "site": "bench", "devices": doors},
        ]
        return json.dumps({"title": "bench", "links": [link for link in links if link["devices"]]})

    def links(self, broker: int) -> str:
        """Return their links in the site's file; the doors' broker listens on port `broker`."""
        lamps = f"  {LAMPS}: {{driver: bacnet-ip, address: 127.0.0.1/8, port: 0, instance: 990001, timeout: 1s}}\n"
        doors = f'  {DOORS}: {{driver: mqtt, host: 127.0.0.1, port: {broker}, protocol: "3.1.1"}}\n'
        return (lamps if self.lamps else "") + (doors if self.doors else "")

    def devices(self, ports: Mapping[str, int]) -> str:
        """Return their entries in the site's file."""
        scans = ", ".join(f"{name}: {{scan: {self.scan}}}" for name in LAMP_POINTS)
        lamps = "".join(
            f"  - {{id: {lamp_id(n)}, profile: bacnet-lighting-output, link: {LAMPS}, device: {INSTANCE}, "
            f'address: "127.0.0.1:{ports[LAMPS]}", object: {n + 1}, points: {{{scans}}}}}\n'
            for n in range(len(self.lamps))
        )
        doors = "".join(
            f"  - {{id: {door_id(n)}, profile: mqtt-door, link: {DOORS}, "
            f"with: {json.dumps({'site': 'bench', **_place(n)})}}}\n"
            for n in range(len(self.doors))
        )
        return lamps + doors


def lamp_id(number: int) -> str:
    return f"lamp-{number:03}"


def door_id(number: int) -> str:
    return f"door-{number:03}"


def _place(number: int) -> Json:
    return {"controller": str(405_419_000 + number // 4), "door": number % 4 + 1}


def _step(at: float | None, deed: Mapping[str, str]) -> list[Json]:
    return [] if at is None else [{"at": f"{int(at * 1000)}ms", "do": deed}]
