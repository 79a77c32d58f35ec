"""What tests of a fire share: a small site that burns, what must stand open in it, and who ends it."""

from collections.abc import Mapping
from typing import Any

from edge.commands import audit
from edge.outbox.reader import Reader
from sitekeeper import chain, control
from sitekeeper.model.errors import Refused
from tests.site_facts import at, value
from tests.virtual_site import VirtualSite

PLACES: Mapping[str, Mapping[str, Any]] = {
    "door-lobby": {"zone": "lobby", "tags": ["perimeter"]},
    "door-stairs": {"zone": "sluice", "tags": ["mantrap"]},
    "door-store": {"zone": "sluice", "tags": ["mantrap"]},
    "lift-a1": {"tags": ["fire-return"]},
    "circuit-1": {"zone": "stairs", "tags": ["escape"]},
    "lane-out": {"zone": "gate", "tags": ["exit"]},
    **{f"lamp-{n}": {"zone": "stairs", "tags": ["escape"]} for n in range(17, 25)},
}


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


BOUND_AGAIN = {point: NOT_HELD[point] for point in ("lane-out/hold_open", "lamp-17/level")}
"""What goes back without anybody's word."""


async def area_is_normal(site: VirtualSite) -> None:
    """The release of the doors is acknowledged, and somebody on site enters that the area is normal."""
    await site.technician("alarm.ack", id="A13")
    [done] = await site.technician("alarm.clear", id="A13", note="area normal")
    assert done["state"] == "A"


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
