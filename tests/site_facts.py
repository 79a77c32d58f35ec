"""What tests ask of a virtual site and the stories they give it: what the office was told, what stands, what leaked."""

import json
from typing import Any

import msgspec
import yaml

from sitekeeper.block import decode
from sitekeeper.durations import parse_duration
from sitekeeper.model.clock import MS
from tests import virtual_site
from tests.virtual_site import SCENARIOS, VirtualSite, select

WHOLE = {
    "read.event": ("granted", "reason", "dir"),
    "rex.event": ("reason",),
    "door.event": ("state",),
    "alarm.event": ("reason",),
}
"""What the events of a door say beside the credential."""
OF_DOORS = " OR ".join(f"source_id LIKE '%/{name}'" for name in WHOLE)


def at(seconds: float, **do: Any) -> dict[str, Any]:
    """Return an act of a story at so many seconds."""
    return {"at": f"{seconds}s", "do": do}


def field(*devices: tuple[str, str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return a scenario of one link: id, face and story of each device, each a unit of its own."""
    made = [
        {"id": id_, "unit": unit, "face": face, "story": sorted(story, key=lambda act: float(act["at"][:-1]))}
        for unit, (id_, face, story) in enumerate(devices, 1)
    ]
    return {"title": "devices on one link", "links": [{"id": "field", "devices": made}]}


def later(scenario: str, seconds: float) -> dict[str, Any]:
    """Return a scenario file with everything that happens in it so much later."""
    plan: dict[str, Any] = yaml.safe_load((SCENARIOS / scenario).read_text(encoding="utf-8"))
    for place in [*plan["links"], *(device for link in plan["links"] for device in link["devices"])]:
        for step in place.get("story", ()):
            step["at"] = f"{parse_duration(step['at']) // MS + int(seconds * 1000)}ms"
    return plan


WIRES = ("tcp", "rtu-over-tcp")


def over(wire: str, plan: dict[str, Any]) -> dict[str, Any]:
    """Return the scenario with its Modbus links on another kind of wire: one of `WIRES`."""
    for link in plan["links"]:
        link["framing"] = {"tcp": "mbap", "rtu-over-tcp": "rtu"}[wire]
    return plan


# --- at the site


def value(site: VirtualSite, point: str) -> Any:
    """Return what the gateway last knew of a point; None for what it does not know now."""
    assert site.app is not None
    latest = site.app.pipeline.latest
    sample = latest.get(latest.find(point).handle)
    return None if sample is None or sample.q >= 64 else sample.value


# --- at the office


def events(site: VirtualSite, name: str = "") -> list[dict[str, Any]]:
    """Return the events of a name that the office has, or of all doors; in the order of their time at the site."""
    which = f"source_id LIKE '%/{name}'" if name else OF_DOORS
    found = site.rows(f"SELECT * FROM events WHERE {which} ORDER BY at")
    return [
        {**dict(row), "device": row["source_id"].split("/")[0], "fields": json.loads(row["fields"])} for row in found
    ]


def outcomes(site: VirtualSite, point: str) -> list[str]:
    """Return what became of commands on a point, as the office was told, in order."""
    return [
        event["fields"]["outcome"]
        for event in events(site, "command")
        if f"{event['device']}/{event['fields']['point']}" == point
    ]


def alarms(site: VirtualSite, *rules: str) -> list[tuple[str, str, str, str, float]]:
    """Return each move at the office in order: rule, device, cause, priority, seconds of the run."""
    sql = "SELECT rule, key, cause, priority, at FROM transitions WHERE mode = '' ORDER BY id"
    return [
        (row["rule"], row["key"].split("/")[1], row["cause"], row["priority"], virtual_site.seconds(row["at"]))
        for row in site.rows(sql)
        if not rules or row["rule"] in rules
    ]


def only(site: VirtualSite, *expected: tuple[str, str, str, float, float]) -> None:
    """Assert that just these moves came to the office: rule, device, cause, and the seconds between which each came."""
    found = sorted((rule, device, cause, at) for rule, device, cause, _, at in alarms(site))
    assert [move[:3] for move in found] == [move[:3] for move in sorted(expected)], found
    wrong = [
        (*move, earliest, latest)
        for move, (*_, earliest, latest) in zip(found, sorted(expected), strict=True)
        if not earliest <= move[3] <= latest
    ]
    assert wrong == [], wrong


# --- in truth


def journal(site: VirtualSite) -> list[dict[str, Any]]:
    """Return the lines of the simulators' journal."""
    return [json.loads(line) for line in (site.folder / "sim.jsonl").read_text(encoding="utf-8").splitlines()]


def recorded(site: VirtualSite) -> list[dict[str, Any]]:
    """Return what door controllers have recorded of their doors, with the device and the seconds of the run."""
    return [
        {**line["event"], "device": line["device"], "at": virtual_site.seconds(line["t"])}
        for line in journal(site)
        if "event" in line and "device" in line
    ]


def wrote(site: VirtualSite, device: str) -> list[tuple[float, dict[str, Any]]]:
    """Return what was written into a device, with the seconds of the run."""
    return [
        (virtual_site.seconds(line["t"]), line["wrote"])
        for line in journal(site)
        if "wrote" in line and line["device"] == device
    ]


def as_recorded(event: dict[str, Any]) -> tuple[Any, ...]:
    """Return what must be the same of an event at its door and at the office: who, number, name, what it says."""
    if "source_id" in event:
        name, said = event["source_id"].split("/")[1], event["fields"]
        return (event["device"], event["device_sequence"], name, *(said[field] for field in WHOLE[name]))
    name = f"{event['kind']}.event"
    return (event["device"], event["seq"], name, *(event[field] for field in WHOLE[name]))


# --- what must be nowhere


def cards(site: VirtualSite) -> set[str]:
    """Return the card numbers of the run."""
    return {event["cred"] for event in recorded(site) if event.get("cred")}


def in_the_clear(site: VirtualSite, said: str) -> list[str]:
    """Return where a card number of the run can be read: in its files, in its blocks unpacked, in what it `said`.

    Only the simulators' journal may have them. A number is looked for as text and as MessagePack writes it.
    """
    numbers = cards(site)
    assert numbers, "no card was read"
    needles = [needle for card in numbers for needle in (card.encode(), msgspec.msgpack.encode(int(card)))]
    places = {path.name: path.read_bytes() for path in site.folder.rglob("*") if path.is_file()}
    del places["sim.jsonl"]
    assert places.keys() >= {"outbox.db", "office.db", "phone.jsonl"}
    blocks = select(site.folder / "site/outbox.db", "SELECT sequence, payload FROM blocks_events")
    assert blocks
    places |= {f"block {row['sequence']}": repr(decode(row["payload"])).encode() for row in blocks}
    places["what was said"] = said.encode()
    return sorted(name for name, content in places.items() if any(needle in content for needle in needles))
