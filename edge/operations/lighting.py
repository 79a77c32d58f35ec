"""Operations about the tests of emergency lighting: start one, how they stand, the log book."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Final

from edge.commands import lamp_log
from edge.commands.lamp_tests import KINDS
from edge.operations.gateway import Gateway, Item, rfc3339, text
from edge.outbox.reader import Reader
from edge.socket_api import Operation
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import Refused

MOST_LINES: Final = 10_000
"""Newest lines of the log book in one answer."""


def operations(gateway: Gateway) -> dict[str, Operation]:
    """Return `lighting.test`, `lighting.status` and `lighting.log`."""
    return {
        "lighting.test": partial(_test, gateway),
        "lighting.status": partial(_status, gateway),
        "lighting.log": partial(_log, gateway),
    }


async def _test(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    kind = next((known for known in KINDS if known == text(args, "kind")), None)
    if kind is None:
        raise Refused("usage", f"a test is one of {', '.join(KINDS)}")
    plan = text(args, "plan")
    for lamp in gateway.lamp_tests.start(plan, kind, actor):
        yield {"plan": plan, "kind": kind, "lamp": lamp}


async def _status(gateway: Gateway, _actor: Actor, _args: Item) -> AsyncIterator[Item]:
    for item in gateway.lamp_tests.status():
        due = item["due"]
        yield item | {"due": None if due is None else rfc3339(due) if due else "now"}


async def _log(gateway: Gateway, _actor: Actor, _args: Item) -> AsyncIterator[Item]:
    for line in await asyncio.to_thread(_lines, gateway.outbox_path):
        yield line | {"at": rfc3339(line["at"])}


def _lines(path: Path) -> list[Item]:
    with Reader(path) as reader:
        return list(deque(lamp_log.entries(record for _, record, _ in reader.audit()), MOST_LINES))
