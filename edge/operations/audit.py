"""Operations about the audit: its newest rows, and whether all of it stands."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

from edge.commands.audit import decode
from edge.commands.audit_check import examine_file
from edge.operations import audience
from edge.operations.gateway import Gateway, Item, rfc3339
from edge.outbox.reader import Reader
from edge.socket_api import Operation
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import Refused

MOST_ROWS: Final = 1_000
MOST_HEADS: Final = 5_000


def operations(gateway: Gateway) -> dict[str, Operation]:
    """Return `audit.show` and `audit.verify`."""
    return {"audit.show": partial(_show, gateway), "audit.verify": partial(_verify, gateway)}


async def _show(gateway: Gateway, _actor: Actor, args: Item) -> AsyncIterator[Item]:
    last = args.get("last", 50)
    if not isinstance(last, int) or not 0 < last <= MOST_ROWS:
        raise Refused("usage", f"1 to {MOST_ROWS} rows can be shown at once")
    hidden = audience.hidden(gateway, args)
    for row in map(decode, gateway.outbox.audit_tail(last)):
        if row.target.partition("@")[0].rpartition("/")[2] in hidden:
            continue
        yield {
            "at": rfc3339(row.at), "user": row.user, "role": row.role, "origin": row.origin,
            "operation": row.operation, "target": row.target, "value": row.value, "outcome": row.outcome,
            "reason": row.reason, "note": row.note, "id": row.ack_id,
        }  # fmt: skip


async def _verify(gateway: Gateway, _actor: Actor, args: Item) -> AsyncIterator[Item]:
    heads = args.get("heads") or []
    if not isinstance(heads, list) or len(heads) > MOST_HEADS or not all(map(_is_head, heads)):
        raise Refused("usage", f"heads are at most {MOST_HEADS} pairs of a number and a hash")
    yield await asyncio.to_thread(verify, gateway.outbox_path, dict(heads))


def verify(path: Path, heads: Mapping[int, str]) -> Item:
    """Return what is wrong with the audit in an outbox file, where the office was told these heads of it.

    Raises:
        StorageError: the file cannot be read.
    """
    with Reader(path) as reader:
        meta, found = reader.meta(), examine_file(reader, heads)
    return {
        "site": meta.get("site", ""), "epoch": meta.get("epoch", ""), "rows": found.rows, "folded": found.folded,
        "head": found.head, "compared": sum(n >= found.folded for n in heads), "stands": not found.findings,
        "findings": [asdict(finding) for finding in found.findings],
    }  # fmt: skip


def _is_head(each: object) -> bool:
    return isinstance(each, list) and len(each) == 2 and isinstance(each[0], int) and isinstance(each[1], str)
