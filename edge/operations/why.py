"""Behind `sk why`: everything that is known of one point's way, hop by hop, as facts without judgement."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from drivers.captured import Captured
from edge.operations import audience, devices, points, status
from edge.operations.gateway import Gateway, Item, text
from edge.outbox.reader import Reader
from edge.rules.compiling import Rules
from edge.rules.syntax import Expression, Name, parts
from edge.settings.values import Site
from edge.socket_api import Operation
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import FieldError, FormatError, NotFound, StorageError
from sitekeeper.model.point import Point
from sitekeeper.model.quality import Reason, bad, is_good, words

RAW_S: Final = 3.0
"""Seconds for which a driver may look for what it does not keep."""
STEP: Micros = 2 * SECOND
"""How far the wall clock may have been moved since a change, for its block still to be found."""


def operations(gateway: Gateway) -> dict[str, Operation]:
    """Return `point.why`."""
    return {"point.why": partial(_why, gateway)}


async def _why(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    point = gateway.pipeline.latest.find(text(args, "id"))
    asked: dict[str, tuple[dict[str, Operation], str, Item]] = {
        "point": (points.operations(gateway), "point.read", {"id": point.id}),
        "device": (devices.operations(gateway), "device.show", {"id": point.device}),
        "status": (status.operations(gateway), "status", args),
        "sync": (status.operations(gateway), "sync.status", {}),
    }
    found = {name: await _first(table[op], actor, arguments) for name, (table, op, arguments) in asked.items()}
    sample = gateway.pipeline.latest.get(point.handle)
    changed = None if sample is None else gateway.clock.wall() - (gateway.clock.monotonic() - sample.at)
    yield {
        **found,
        "driver": _driver(gateway.site, point.device),
        "endpoint": _endpoint(gateway.site, point.device),
        "group": point.group,
        "deadband": point.deadband,
        "stale_after_s": point.stale_after / SECOND,
        "changed_s_ago": None if sample is None else gateway.age_s(sample.at),
        "frozen": _frozen(gateway, point.device),
        "address": _address(gateway.site, point),
        "raw": await _raw(gateway, point),
        "derived_from": _sources(gateway, point),
        "rules": _rules(gateway, point, args),
        "block": None if changed is None else await asyncio.to_thread(_block, gateway.outbox_path, point.id, changed),
    }


async def _first(operation: Operation, actor: Actor, args: Item) -> object:
    return await anext(operation(actor, args))


def _driver(site: Site, device: str) -> str:
    """Return the driver that reads a device; of the gateway's own devices none."""
    return site.links[site.devices[device].link].kind if device in site.devices else ""


def _endpoint(site: Site, device: str) -> str:
    """Return where the device itself is, if it has an address of its own behind its link; else nothing."""
    options = site.devices[device].read.options if device in site.devices else None
    address, number = getattr(options, "address", None), getattr(options, "device", None)
    return f"{address} device {number}" if address and number is not None else str(address or "")


def _frozen(gateway: Gateway, device: str) -> bool:
    """Tell whether the device answers, but is held for silent because its heartbeat stands still."""
    said = {
        sample.q for point, sample in gateway.pipeline.latest.all() if point.device == device and sample is not None
    }
    return bad(Reason.STALE) in said and bad(Reason.COMM) not in said


def _address(site: Site, point: Point) -> Item:
    """Return where in the device the point is, as its profile writes it; empty where no driver reads it."""
    groups = site.devices[point.device].read.groups if point.device in site.devices else ()
    reads = (read for group in groups for read in group.points)
    address = next((read.address for read in reads if read.name == point.name), None)
    address = getattr(address, "point", address)  # BACnet and MQTT wrap it in what `bind` made of it
    if not isinstance(address, BaseModel):
        return {} if address is None else {"address": str(address)}
    written = address.model_dump(mode="json", exclude_defaults=True)
    return {key: value for key, value in written.items() if isinstance(value, str | int | float)}


async def _raw(gateway: Gateway, point: Point) -> list[str]:
    """Return what the point was last made of, as it came: words and octets in hex; nothing where none is there."""
    device = gateway.site.devices.get(point.device)
    if device is None:  # the gateway's own
        return []
    driver = gateway.drivers.get(device.link)
    if driver is None or not isinstance(driver, Captured):
        return []
    read = next((read for group in device.read.groups for read in group.points if read.name == point.name), None)
    if read is None:  # derived
        return []
    from edge.dump import raw_of  # which brings in a protocol

    try:
        async with asyncio.timeout(RAW_S):
            return raw_of(device, read, await driver.captured(point.device))
    except (FieldError, TimeoutError):  # the other hops say what is wrong with it
        return []


def _sources(gateway: Gateway, point: Point) -> list[Item]:
    """Return the points that this one is derived from, with their quality."""
    derivation = next((each for each in gateway.site.derivations if each.point.id == point.id), None)
    if derivation is None:
        return []
    found = []
    for name in sorted(set(_names(derivation.tree)) & derivation.points.keys()):
        source = derivation.points[name]
        sample = gateway.pipeline.latest.get(source.handle)
        quality = words(bad(Reason.NOT_YET) if sample is None else sample.q)
        found.append({"id": source.id, "quality": quality, "good": sample is not None and is_good(sample.q)})
    return found


def _rules(gateway: Gateway, point: Point, args: Item) -> list[Item]:
    """Return the rules that read the point, with the state of their alarm, and whether their condition is known."""
    hidden = audience.hidden(gateway, args)
    records = {record.key: record for record in gateway.pipeline.book.records()}
    found = []
    for rule in sorted(_readers(gateway.site.rules, point) - hidden):
        record = records.get(f"{gateway.site.id}/{point.device}/{rule}")
        over, _ = gateway.pipeline.standing(rule, point.device)
        found.append({"rule": rule, "state": "A" if record is None else str(record.state), "condition_false": over})
    return found


def _readers(rules: Rules, point: Point) -> set[str]:
    found = set()
    for plan in rules.plans:
        rule = plan.rule
        trees = [rule.when, rule.unless, rule.reset_when, *rule.named.values(), *(level.when for level in rule.levels)]
        read = {name for tree in trees if tree is not None for name in _names(tree)}
        if plan.device.id == point.device and point.name in read:
            found.add(rule.id)
    return found


def _names(tree: Expression) -> Iterator[str]:
    if isinstance(tree, Name):
        yield tree.name
    for part in parts(tree):
        yield from _names(part)


def _block(path: Path, point: str, changed: Micros) -> Item | None:
    """Return the durable block that holds the last change; None if it is not written, purged, or cannot be read.

    A disk that fails is told by the outbox's own state; it must not keep the other hops from being told.
    """
    try:
        with Reader(path) as reader:
            found = reader.block_of(point, changed - STEP, changed + STEP)
    except (StorageError, FormatError, NotFound):
        return None
    return None if found is None else {"sequence": found[0], "released": found[1]}
