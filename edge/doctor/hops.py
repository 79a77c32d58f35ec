"""`sk why`: one point's way from the wire to the office's record, judged hop by hop. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from edge.doctor.devices import probe
from edge.doctor.finding import Facts
from edge.doctor.office import REACHED, STARTING_S, unreceived
from sitekeeper.texts import text

_BACNET: Final = re.compile(r"(\S+) device (\d+)")

State = Literal["ok", "broken", "unknown"]
"""`unknown`: it cannot be told yet, or only follows from a hop before."""

TABLES: Final = ("coil", "discrete", "holding", "input")
WIRE: Final = {"comm": "wire-silent", "refused": "wire-refused", "mismatch": "wire-mismatch"}
DECODE: Final = {"unmapped": "decode-unmapped", "out_of_range": "decode-range", "config": "decode-config"}
QUALITY: Final = {"stale": "quality-stale", "device_flagged": "quality-flagged", "not_yet": "quality-never"}
"""Reasons of a bad value by the hop that they speak of, with the text that says so."""
SEALED_S: Final = 5.0
"""Within so long a change is in a durable block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One hop. `said` is the key of its evidence among the texts of `cli`, under `why.`, and `fields` what it needs.

    `rules` are those that read the point, with the letter of their alarm's state; told as the field `rules`.
    """

    name: str
    state: State
    said: str
    fields: dict[str, object] = field(default_factory=dict)
    next: str = ""
    rules: tuple[tuple[str, str], ...] = ()

    def told(self, lang: str) -> str:
        """Return the evidence in words."""
        states = ", ".join(f"{rule} ({text(f'model.state.{state}', lang)})" for rule, state in self.rules)
        return text(f"cli.why.{self.said}", lang, **self.fields, rules=states)


def walk(facts: Facts) -> list[Hop]:
    """Return the nine hops in order; the first broken one is where the chain breaks."""
    wire = _wire(facts)
    return [
        wire,
        _decode(facts, wire),
        _quality(facts),
        _changes(facts),
        _rules(facts),
        _recorder(facts),
        _outbox(facts),
        _broker(facts),
        _office(facts),
    ]


def broken(hops: Sequence[Hop]) -> Hop | None:
    """Return where the chain breaks."""
    return next((hop for hop in hops if hop.state == "broken"), None)


def _reason(facts: Facts) -> str:
    """Return why the value is not good: `comm`, `stale`; empty if it is good."""
    quality, _, reason = str(facts["point"]["quality"]).partition(" ")
    return "" if quality == "good" else reason or quality


def _wire(facts: Facts) -> Hop:
    device, reason = facts["device"], _reason(facts)
    fields = {
        "device": device["id"],
        "endpoint": facts["endpoint"] or device["endpoint"] or device["link"],
        "error": device["last_error"],
    }
    fields |= {"last_good": device["last_good"] or "-", "link": device["link"]}
    if facts["derived_from"]:
        return _sources(facts)
    silent = device["state"] == "silent" and not facts["frozen"]
    if said := "wire-silent" if silent else WIRE.get(reason):
        return Hop(name="wire", state="broken", said=said, fields=fields, next=_probe(facts))
    if device["state"] == "starting":
        return Hop(name="wire", state="unknown", said="wire-starting", fields=fields, next="sk status")
    group = next((group for group in device["groups"] if group["id"] == facts["group"]), None)
    if group is None:
        return Hop(name="wire", state="ok", said="wire-answers", fields=fields)
    fields |= {"group": _group(facts, group["id"]), "period": group["period_s"], "age": group["good_s_ago"]}
    return Hop(name="wire", state="ok", said="wire-reads", fields=fields)


def _group(facts: Facts, name: str) -> str:
    """Return the scan group with the request in which the point is read, where the driver tells it."""
    asked = facts["device"].get("asked", {}).get("requests", ())
    wanted = str(facts["point"]["id"]).partition("/")[2]
    told = (f" ({each['function']} address {each['first']} count {each['count']})" for each in asked
            if wanted in each["points"])  # fmt: skip
    return name + next(told, "")


def _probe(facts: Facts) -> str:
    """Return what to type to ask the device, or the broker behind which it stands, without the gateway."""
    device, driver = facts["device"], str(facts["driver"])
    if driver.startswith("bacnet") and (number := _BACNET.fullmatch(str(facts["endpoint"]))):
        return f"sk probe bacnet {number[1]} --device {number[2]}"
    if driver.startswith("mqtt") and ":" in str(device["endpoint"]):
        return f"sk probe mqtt {device['endpoint']}"
    return probe(str(device["endpoint"]), str(device["last_error"]), str(device["id"]))


def _sources(facts: Facts) -> Hop:
    sources = facts["derived_from"]
    wrong = [source for source in sources if not source["good"]]
    fields: dict[str, object] = {"points": ", ".join(f"{each['id']} ({each['quality']})" for each in wrong or sources)}
    if wrong and _reason(facts):
        return Hop(name="wire", state="broken", said="wire-sources", fields=fields, next=f"sk why {wrong[0]['id']}")
    return Hop(name="wire", state="ok", said="wire-derived", fields=fields)


def _decode(facts: Facts, wire: Hop) -> Hop:
    device, address = facts["device"], facts["address"]
    where = " ".join(f"{key} {value}" for key, value in address.items()) or "-"
    where += f" = {' '.join(facts['raw'])}" if facts["raw"] else ""
    fields = {"address": where, "profile": device["profile"]}
    if said := DECODE.get(_reason(facts)):
        return Hop(name="decode", state="broken", said=said, fields=fields, next=_ask(facts))
    if wire.state != "ok":
        return Hop(name="decode", state="unknown", said="decode-nothing")
    return Hop(name="decode", state="ok", said="decode-known" if address else "decode-none", fields=fields)


def _ask(facts: Facts) -> str:
    """Return what to type to see the point's raw value."""
    address, device = facts["address"], facts["device"]
    table = next((table for table in TABLES if table in address), "")
    if not table:
        return f"sk device show {device['id']}"
    numbers = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
    return probe(str(device["endpoint"]), f"FC0{numbers[table]} address {address[table]}", str(device["id"]))


def _quality(facts: Facts) -> Hop:
    point, reason, device = facts["point"], _reason(facts), facts["device"]
    fields = {"quality": point["quality"], "age": point["age_s"], "stale_after": facts["stale_after_s"]}
    fields |= {"value": _value(point["value"], point["unit"]), "device": device["id"]}
    if not reason:
        return Hop(name="quality", state="ok", said="quality-good", fields=fields)
    if reason == "not_yet" and facts["status"]["uptime_s"] < STARTING_S:
        return Hop(name="quality", state="unknown", said="quality-starting", fields=fields, next="sk status")
    if reason in QUALITY:
        frozen = reason == "stale" and facts["frozen"]
        said = "quality-frozen" if frozen else QUALITY[reason]
        return Hop(name="quality", state="broken", said=said, fields=fields, next=f"sk device show {device['id']}")
    if reason in WIRE or reason in DECODE:
        return Hop(name="quality", state="unknown", said="quality-follows", fields=fields)
    return Hop(name="quality", state="broken", said="quality-other", fields=fields, next=_ask(facts))


def _value(value: object, unit: str) -> str:
    """Return a value as `sk point` shows it, with its unit if it has one."""
    shown = str(value).lower() if isinstance(value, bool) else f"{value:.6g}" if isinstance(value, float) else value
    return f"{shown} {unit}".rstrip()


def _changes(facts: Facts) -> Hop:
    point, deadband = facts["point"], facts["deadband"]
    if point["at"] is None:
        return Hop(name="changes", state="unknown", said="changes-none")
    fields = {"at": point["at"], "deadband": _value(deadband, point["unit"])}
    return Hop(name="changes", state="ok", said="changes-last" if deadband else "changes-every", fields=fields)


def _rules(facts: Facts) -> Hop:
    rules = facts["rules"]
    if not rules:
        return Hop(name="rules", state="ok", said="rules-none")
    reading = tuple((str(each["rule"]), str(each["state"])) for each in rules)
    if _reason(facts):
        return Hop(name="rules", state="unknown", said="rules-blind", rules=reading)
    return Hop(name="rules", state="ok", said="rules-read", rules=reading)


def _recorder(facts: Facts) -> Hop:
    block, point, outbox = facts["block"], facts["point"], facts["status"]["outbox"]
    if block is not None:
        return Hop(name="recorder", state="ok", said="recorder-block", fields={"sequence": block["sequence"]})
    if point["at"] is None:
        return Hop(name="recorder", state="unknown", said="recorder-nothing")
    fields = {"count": outbox["samples_dropped"]}
    if outbox["state"] == "ok" and outbox["samples_dropped"]:
        return Hop(name="recorder", state="broken", said="recorder-dropped", fields=fields, next="sk doctor")
    fresh = facts["changed_s_ago"] < SEALED_S
    return Hop(name="recorder", state="unknown", said="recorder-waits" if fresh else "recorder-past", fields=fields)


def _outbox(facts: Facts) -> Hop:
    outbox, unsent, block = facts["status"]["outbox"], facts["sync"]["unsent"], facts["block"]
    fields = {"error": outbox["state"], "blocks": sum(stream["blocks"] for stream in unsent.values())}
    if outbox["state"] != "ok":
        return Hop(name="outbox", state="broken", said="outbox-fails", fields=fields, next="df -h; sk doctor")
    if block is None:
        return Hop(name="outbox", state="ok", said="outbox-writes", fields=fields)
    said = "outbox-released" if block["released"] else "outbox-unsent"
    return Hop(name="outbox", state="ok", said=said, fields={**fields, "sequence": block["sequence"]})


def _broker(facts: Facts) -> Hop:
    uplink, uptime = facts["sync"]["uplink"], facts["status"]["uptime_s"]
    fields = {"protocol": uplink["protocol"], "state": uplink["state"], "error": uplink["last_error"]}
    if uplink["state"] == "none":
        return Hop(name="broker", state="ok", said="broker-none")
    if uplink["state"] in REACHED:
        return Hop(name="broker", state="ok", said="broker-connected", fields=fields)
    if uptime < STARTING_S and not uplink["last_error"]:
        return Hop(name="broker", state="unknown", said="broker-starting", fields=fields, next="sk sync status")
    return Hop(name="broker", state="broken", said="broker-away", fields=fields, next="sk sync status")


def _office(facts: Facts) -> Hop:
    uplink, block = facts["sync"]["uplink"], facts["block"]
    unsent = sum(stream["blocks"] for stream in facts["sync"]["unsent"].values())
    age, uptime = uplink["receipt_age_s"], facts["status"]["uptime_s"]
    fields = {"age": "-" if age is None else age, "blocks": unsent}
    if uplink["state"] == "none":
        return Hop(name="office", state="ok", said="office-none")
    if uplink["state"] in REACHED and unreceived(uplink, unsent, uptime):
        said = "office-never" if age is None else "office-silent"
        return Hop(name="office", state="broken", said=said, fields=fields, next="sk sync status")
    if block is not None and block["released"]:
        return Hop(name="office", state="ok", said="office-has", fields={**fields, "sequence": block["sequence"]})
    if uplink["state"] not in REACHED:
        return Hop(name="office", state="unknown", said="office-waits", fields=fields)
    return Hop(name="office", state="unknown" if unsent else "ok", said="office-soon" if unsent else "office-all",
               fields=fields)  # fmt: skip
