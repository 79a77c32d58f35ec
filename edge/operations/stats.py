"""The operation `alarm.stats`: how good the alarms of this site are, by the figures of ISA-18.2."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from edge.operations import audience
from edge.operations.gateway import Gateway, Item, rfc3339, text
from edge.operations.held_alarms import span
from edge.outbox.reader import Reader
from edge.socket_api import Operation
from sitekeeper.alarm_quality import Entry, Kpi, entry, plain, report
from sitekeeper.model.clock import DAY, Micros
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import Refused

LONGEST: Micros = 366 * DAY


def operations(gateway: Gateway) -> dict[str, Operation]:
    """Return `alarm.stats`."""
    return {"alarm.stats": partial(_stats, gateway)}


async def _stats(gateway: Gateway, _actor: Actor, args: Item) -> AsyncIterator[Item]:
    since = span(text(args, "since"))
    if not 0 < since <= LONGEST:
        raise Refused("usage", f"at most {LONGEST // DAY} days")
    end = gateway.clock.wall()
    hidden = audience.hidden(gateway, args)
    kpi = await asyncio.to_thread(_report, gateway.outbox_path, hidden, end - since, end)
    yield plain(kpi) | {"start": rfc3339(kpi.start), "end": rfc3339(kpi.end)}


def _report(path: Path, hidden: frozenset[str], start: Micros, end: Micros) -> Kpi:
    with Reader(path) as reader:
        moves: list[Entry] = [entry(move) for move in reader.moves(0) if move.rule not in hidden]
    return report(moves, start, end)
