"""DEV: does every device answer, and does it have the points that its profile says? Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from edge.doctor.finding import Facts, Finding

_ENDPOINT: Final = re.compile(r"(\S+) unit (\d+)")
_BROKER: Final = re.compile(r"\bmqtt (\S+:\d+): ")
_UNHEARD: Final = re.compile("says its availability topic|nothing heard")
_STATION: Final = re.compile(r"\bbacnet-ip (\S+:\d+) device (\d+)")
_REQUEST: Final = re.compile(r"FC0([1-4]) address (\d+)")
_TABLES: Final = {"1": "coil", "2": "discrete", "3": "holding", "4": "input"}
_SHOWN: Final = 5
"""Points named in one line; the others are counted."""


def silent(every: Sequence[Facts], shown: Sequence[Facts]) -> list[Finding]:
    """Name each device that does not answer (DEV01): `every` as listed, `shown` in full, of the silent ones."""
    found = [_silent(device) for device in shown]
    if found:
        return found
    count = sum(device["state"] == "answers" for device in every)
    return [Finding(id="DEV01", state="ok", said="devices-answer", fields={"count": count})]


def refused(shown: Mapping[str, Facts], points: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Name each device that answers but refuses some of its points (DEV02)."""
    found = [_refused(shown[device], names) for device, names in points.items() if names]
    return found or [Finding(id="DEV02", state="ok", said="points-taken")]


def probe(endpoint: str, error: str, device: str) -> str:
    """Return what to type to ask the device what the gateway asked it last."""
    where, asked = _ENDPOINT.fullmatch(endpoint), _REQUEST.search(error)
    if broker := _BROKER.search(error):
        return f"sk probe mqtt {broker[1]}"
    if station := _STATION.search(error):
        return f"sk probe bacnet {station[1]} --device {station[2]}"
    if where is None:
        return f"sk device show {device}"
    command = f"sk probe modbus {where[1]} --unit {where[2]}"
    return command if asked is None else f"{command} --table {_TABLES[asked[1]]} --address {asked[2]}"


def _silent(device: Facts) -> Finding:
    error = device["last_error"]
    if device["frozen"] or not error:  # an error would be of an earlier fault
        kind = "device-frozen"
    elif _BROKER.search(error):
        kind = "device-offline" if _UNHEARD.search(error) else "device-broker"
    elif _STATION.search(error):
        kind = "device-station"
    elif ": FC" not in error or "peer closed" in error:
        kind = "device-nobody"  # the request that failed is told of every fault but those of connecting
    else:
        kind = "device-silent" if "no answer within" in error else "device-refused"
    fields = _fields(device) | ({} if kind == "device-frozen" else {"error": error})
    fields["last_good"] = device["last_good"] or "-"
    following = probe(device["endpoint"], error, device["id"])
    return Finding(id="DEV01", state="fail", said=kind, about=device["id"], fields=fields, next=following)


def _refused(device: Facts, names: Sequence[str]) -> Finding:
    more = ", ..." if len(names) > _SHOWN else ""
    fields = {**_fields(device), "count": len(names), "points": ", ".join(names[:_SHOWN]) + more}
    following = f"sk point list {device['id']}"
    return Finding(id="DEV02", state="warn", said="points-refused", about=device["id"], fields=fields, next=following)


def _fields(device: Facts) -> dict[str, object]:
    return {"device": device["id"], "endpoint": device["endpoint"]}
