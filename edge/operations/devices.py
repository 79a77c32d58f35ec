"""Operations about devices."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial

import msgspec

from edge.operations.gateway import Gateway, Item, not_found, text
from edge.poller import Pace, Poller
from edge.settings.own_devices import OwnDevice
from edge.settings.values import Device
from edge.socket_api import Operation
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.command import Actor
from sitekeeper.model.point import ONLINE
from sitekeeper.model.quality import is_good

ASKED = ("identity", "limits", "refused", "requests")
"""What a driver reports of how it asks, in this order."""


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
        "link_time": _time(poller),
        **_told(gateway, {} if poller is None else poller.report(wanted)),
        "groups": _groups(gateway, wanted, {} if poller is None else poller.pace(wanted)),
        "asset": msgspec.to_builtins(device.asset),
    }


def _own(gateway: Gateway, wanted: str) -> Item:
    """Return one of the gateway's own devices, which `device.list` leaves out: nothing is asked of any wire."""
    own = next((own for own in gateway.site.own if own.id == wanted), None)
    if own is None:
        raise not_found("device", wanted, [*gateway.site.devices, *(own.id for own in gateway.site.own)])
    poller = gateway.pollers.get(own.link)
    nothing: Item = {"zone": "", "endpoint": "", "last_error": "", "messages": {}, "asked": {}, "asset": {}}
    of_link: Item = {"link_counts": {} if poller is None else asdict(poller.counts), "link_time": _time(poller)}
    groups = _groups(gateway, wanted, {})
    return {**_summary(gateway, own), "names": own.names, **nothing, **of_link, "groups": groups}


def _time(poller: Poller | None) -> Item:
    """Return what a link's time goes to, and achieved over asked periods; nothing while it is not open."""
    usage = None if poller is None else poller.usage()
    return {} if usage is None else {name: round(figure, 3) for name, figure in usage._asdict().items()}


def _told(gateway: Gateway, report: Mapping[str, object]) -> Item:
    """Return what the driver tells of a device: under `messages` what it says unasked, under `asked` how it is read."""
    asked = {name: report[name] for name in ASKED if name in report}
    unasked = {name: told for name, told in report.items() if name not in asked}
    return {"messages": _messages(gateway, unasked), "asked": asked}


def _messages(gateway: Gateway, report: Mapping[str, object]) -> Item:
    """Return what the driver tells of a device that speaks unasked, with what the ledger has of its events."""
    found, ledger = dict(report), gateway.pipeline.occurrences
    counters, asked, most = found.pop("counters", ()), found.pop("asked_for", {}), found.pop("asked_at_most", 0)
    if not isinstance(counters, Sequence) or not counters:
        return found
    accounts = ledger.accounts()
    missing = [(each, *span) for each in counters if each in accounts for span in accounts[each].missing]
    found["repeats"] = sum(ledger.repeats.get(each, 0) for each in counters)
    assert isinstance(asked, Mapping)
    assert isinstance(most, int)
    vain = [each for each in missing if most and _times(asked.get(each[0], ()), *each[1:]) >= most]
    found["open_ranges"] = [_span(first, last) for _, first, last in missing]
    found["lost_for_ever"] = [_span(first, last) for _, first, last in vain]
    return found


def _times(asked: Sequence[tuple[int, int]], first: int, last: int) -> int:
    """Return how often a range was asked for, alone or within a wider one."""
    return sum(begin <= first and last <= end for begin, end in asked)


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


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


def _groups(gateway: Gateway, device: str, pace: Mapping[str, Pace]) -> list[Item]:
    """Return how each group is read: asked and achieved period, the latter not known while the device is silent."""
    unknown = Pace(urgent=False, achieved=None)
    return [
        {
            "id": group.id,
            "period_s": group.period / SECOND,
            "achieved_s": _seconds((one := pace.get(group.id, unknown)).achieved),
            "urgent": one.urgent,
            "points": len(group.handles),
            "good_s_ago": gateway.age_s(gateway.pipeline.changes.good_until(group.id)),
        }
        for group in gateway.site.groups
        if group.device == device
    ]


def _seconds(span: Micros | None) -> float | None:
    return None if span is None else span / SECOND
