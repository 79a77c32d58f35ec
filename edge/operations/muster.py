"""The operation `muster`: who may still be inside. Names, where a table has them, are for operators and above."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from edge import muster
from edge.muster_call import doors_of
from edge.operations.gateway import Gateway, Item, rfc3339
from edge.socket_api import Operation
from sitekeeper.model.command import Actor


def operations(gateway: Gateway) -> dict[str, Operation]:
    """Return `muster`."""
    return {"muster": partial(_muster, gateway)}


async def _muster(gateway: Gateway, actor: Actor, _args: Item) -> AsyncIterator[Item]:
    found = await asyncio.to_thread(muster.read, gateway.outbox_path, doors_of(gateway.site), gateway.clock.wall())
    names = gateway.tables.names if actor.role != "viewer" else dict
    known = names()
    yield {
        "count": len(found.people),
        "since": rfc3339(found.since),
        "people": [
            {"cred": entry.cred, "name": known.get(entry.cred), "door": entry.door, "at": rfc3339(entry.at)}
            for entry in found.people
        ],
        "no_out": list(found.no_out),
        "by_button": found.by_button,
    }
