"""Operations on drills: begin, end, and the report of the last one."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from edge.drill import Drill
from edge.operations import audience
from edge.operations.alarms import NOTE_LIMIT, asked_note, durable
from edge.operations.gateway import Gateway, Item, not_found, rfc3339, text
from edge.operations.held_alarms import span
from edge.outbox.reader import Reader
from edge.socket_api import Operation
from sitekeeper.model.alarm import Cause, Transition, split_key
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import Refused


def operations(gateway: Gateway) -> dict[str, Operation]:
    """Return `drill.start`, `drill.stop` and `drill.show`."""
    return {
        "drill.start": partial(_start, gateway),
        "drill.stop": partial(_stop, gateway),
        "drill.show": partial(_show, gateway),
    }


async def _start(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    where, devices = _devices(gateway, args)
    drill = gateway.drill.start(actor, where, devices, span(text(args, "for")), asked_note(gateway, args))
    await durable(gateway, None)
    yield shown(drill)


async def _stop(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    note = str(args.get("note") or "")[:NOTE_LIMIT]  # an end is an end, also while the disk is behind
    drill = gateway.drill.stop(actor, note)
    await durable(gateway, None)
    yield shown(drill)


async def _show(gateway: Gateway, _actor: Actor, args: Item) -> AsyncIterator[Item]:
    drill = gateway.drill.last
    if drill is None:
        raise Refused("no-drill", "there was none")
    hidden = audience.hidden(gateway, args)
    moves = await asyncio.to_thread(_moves, gateway.outbox_path, drill.started)
    yield shown(drill) | {"alarms": [row for row in report(moves) if row["rule"] not in hidden]}


def shown(drill: Drill) -> Item:
    """Return a drill as it is answered."""
    return {
        "on": drill.on,
        "where": drill.where,
        "devices": list(drill.devices),
        "who": drill.who,
        "note": drill.note,
        "started": rfc3339(drill.started),
        "until": rfc3339(drill.until),
        "ended": rfc3339(drill.ended) if drill.ended else "",
        "why": drill.why,
    }


def report(moves: list[Transition]) -> list[Item]:
    """Return what became of each alarm that was raised in a drill: when, and how long people took."""
    found: dict[str, Item] = {}
    for move in moves:
        row = found.get(move.occurrence)
        if row is None and move.cause in (Cause.RAISE, Cause.REANNUNCIATE) and move.mode == "drill":
            _, device, _ = split_key(move.key)
            row = {"rule": move.rule, "device": device, "priority": move.priority, "raised": rfc3339(move.at)}
            found[move.occurrence] = row | {"at": move.at, "ack_s": None, "clear_s": None, "reset_s": None}
        elif row is not None and f"{move.cause}_s" in row:
            row[f"{move.cause}_s"] = _since(row["at"], move.at)
    return [{key: value for key, value in row.items() if key != "at"} for row in found.values()]


def _since(start: Micros, end: Micros) -> float:
    return round((end - start) / SECOND, 1)


def _moves(path: Path, since: Micros) -> list[Transition]:
    with Reader(path) as reader:
        return reader.moves(since)


def _devices(gateway: Gateway, args: Item) -> tuple[str, tuple[str, ...]]:
    """Return what was asked for, and the devices that are meant.

    Raises:
        Refused: `usage`, neither or both. NotFound: there is no such device or zone.
    """
    device, zone = args.get("device"), args.get("zone")
    devices = gateway.site.devices
    if bool(device) == bool(zone):
        raise Refused("usage", "name a device or a zone")
    if device:
        names = tuple(str(device).split(","))
        for name in names:
            if name not in devices:
                raise not_found("device", name, devices)
        return ", ".join(names), names
    found = tuple(each.id for each in devices.values() if each.zone == zone)
    if not found:
        raise not_found("zone", str(zone), {each.zone for each in devices.values() if each.zone})
    return str(zone), found
