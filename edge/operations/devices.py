"""Operations about devices."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial

import msgspec

from edge.operations.gateway import Gateway, Item, not_found, text
from edge.settings.own_devices import OwnDevice
from edge.settings.values import Device
from edge.socket_api import Operation
from sitekeeper.model.clock import SECOND
from sitekeeper.model.command import Actor
from sitekeeper.model.point import ONLINE
from sitekeeper.model.quality import is_good


def operations(gateway: Gateway) -> dict[str, Operation]:
    """Return `device.list` and `device.show`."""
    return {"device.list": partial(_every, gateway), "device.show": partial(_one, gateway)}


async def _every(gateway: Gateway, _actor: Actor, _args: Item) -> AsyncIterator[Item]:
    for device in gateway.site.devices.values():
        yield _summary(gateway, device)


async def _one(gateway: Gateway, _actor: Actor, args: Item) -> AsyncIterator[Item]:
    wanted = text(args, "id")
    device = gateway.site.devices.get(wanted)
    if device is None:
        yield _own(gateway, wanted)
        return
    poller = gateway.pollers.get(device.link)  # none on a link from which nothing is read
    yield {
        **_summary(gateway, device),
        "names": device.names,
        "zone": device.zone,
        "endpoint": _endpoint(gateway, device),
        "last_error": "" if poller is None else poller.last_errors.get(wanted) or poller.last_error,
        "link_counts": {} if poller is None else asdict(poller.counts),
        "messages": {} if poller is None else _messages(gateway, poller.report(wanted)),
        "groups": _groups(gateway, wanted),
        "asset": msgspec.to_builtins(device.asset),
    }


def _own(gateway: Gateway, wanted: str) -> Item:
    """Return one of the gateway's own devices, which `device.list` leaves out: nothing is asked of any wire."""
    own = next((own for own in gateway.site.own if own.id == wanted), None)
    if own is None:
        raise not_found("device", wanted, [*gateway.site.devices, *(own.id for own in gateway.site.own)])
    nothing: Item = {"zone": "", "endpoint": "", "last_error": "", "link_counts": {}, "messages": {}, "asset": {}}
    return {**_summary(gateway, own), "names": own.names, **nothing, "groups": _groups(gateway, wanted)}


def _messages(gateway: Gateway, report: Mapping[str, object]) -> Item:
    """Return what the driver tells of a device that speaks unasked, with what the ledger has of its events."""
    found, ledger = dict(report), gateway.pipeline.occurrences
    counters = found.pop("counters", ())
    if not isinstance(counters, Sequence) or not counters:
        return found
    accounts = ledger.accounts()
    missing = [span for each in counters if each in accounts for span in accounts[each].missing]
    found["repeats"] = sum(ledger.repeats.get(each, 0) for each in counters)
    found["open_ranges"] = [str(first) if first == last else f"{first}-{last}" for first, last in missing]
    return found


def _endpoint(gateway: Gateway, device: Device) -> str:
    """Return where the device is on the wire, `10.1.3.41:502 unit 1`; of options only those that cannot be secret."""
    link, unit = gateway.site.links[device.link].options, getattr(device.read.options, "unit", None)
    place = ":".join(str(part) for key in ("host", "port") if (part := getattr(link, key, None)) is not None)
    return place if unit is None else f"{place} unit {unit}".strip()


def _summary(gateway: Gateway, device: Device | OwnDevice) -> Item:
    every = gateway.pipeline.latest.all()
    samples = [sample for point, sample in every if point.device == device.id and point.name != ONLINE]
    online = gateway.online(device.id)
    ids = [group.id for group in gateway.site.groups if group.device == device.id]
    good = max((gateway.pipeline.changes.good_until(group) or 0 for group in ids), default=0)
    return {
        "id": device.id,
        "class": device.cls,
        "profile": device.profile if isinstance(device, Device) else "",
        "link": device.link,
        "state": "starting" if online is None else "answers" if online.value else "silent",
        "since": None if online is None else gateway.when(online.at),
        "points": len(samples),
        "good": sum(sample is not None and is_good(sample.q) for sample in samples),
        "last_good": gateway.when(good) if good else None,
    }


def _groups(gateway: Gateway, device: str) -> list[Item]:
    return [
        {
            "id": group.id,
            "period_s": group.period / SECOND,
            "points": len(group.handles),
            "good_s_ago": gateway.age_s(gateway.pipeline.changes.good_until(group.id)),
        }
        for group in gateway.site.groups
        if group.device == device
    ]
