"""Operations about links: their frames as they go over the wire."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

from drivers.frames import Frame, Tapped
from edge.operations.gateway import Gateway, Item, not_found, rfc3339, text
from edge.socket_api import Operation
from sitekeeper.model.clock import MS
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import Refused

BACKLOG: Final = 2_000
"""Frames that wait for one watcher who reads slowly; beyond it the oldest are dropped, for him alone."""


def operations(gateway: Gateway) -> dict[str, Operation]:
    """Return `bus.watch`."""
    return {"bus.watch": partial(_watch, gateway)}


async def _watch(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    """Yield each frame of a link, those that are kept first; with `past`, only these."""
    if actor.role not in {"technician", "engineer"}:
        raise Refused("not-permitted", f"{actor.role} may not watch the frames of a link")
    link = text(args, "link")
    if link not in gateway.site.links:
        raise not_found("link", link, gateway.site.links)
    driver = gateway.drivers.get(link)
    if driver is None or not isinstance(driver, Tapped):
        raise Refused("usage", f"{link}: frames are shown of Modbus links from which something is read")
    queue: asyncio.Queue[Frame] = asyncio.Queue(BACKLOG)
    dropped = 0

    def take(frame: Frame) -> None:
        nonlocal dropped
        if queue.full():
            queue.get_nowait()
            dropped += 1
        queue.put_nowait(frame)

    before: Frame | None = None
    past = driver.tap(take)
    try:
        for frame in past:
            yield _item(driver, frame, before, dropped)
            before = frame if frame.sent else before
        while not args.get("past"):
            frame = await queue.get()
            yield _item(driver, frame, before, dropped)
            before = frame if frame.sent else before
    finally:
        driver.untap(take)


def _item(driver: Tapped, frame: Frame, before: Frame | None, dropped: int) -> Item:
    said = dict(driver.describe(frame, before))
    exception = said.pop("exception", None)
    return {
        "at": rfc3339(frame.at),
        "at_us": frame.at,
        "direction": "sent" if frame.sent else "received",
        **said,
        "latency_ms": None if frame.since is None else frame.since / MS,
        "error": f"exception {exception}" if exception else frame.error,
        "raw": frame.data.hex(),
        "wire": driver.wire,
        "dropped": dropped,
    }
