"""Alarms out of a site's history: an office restored from a backup gets again what its predecessor had, and had pushed.

A site's status names the first block of each stream that it still has to send; what is below it was receipted once, by
an office that had committed it and whose notify had it from then on. When such a transition comes now and is new here,
it is told again to a record that had lost it. One that is older than AFTER is decided as history in the transaction
that stores it, so that nobody is called for it a second time. A younger one is decided as any other, and its push is
marked as a possible repeat: the office before may have died between its commit and its push.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from cloud_sync.store.base import StoredTransition
from cloud_sync.store.sql import Sql
from sitekeeper.block import Block
from sitekeeper.model.clock import MINUTE, Micros

AFTER: Final[Micros] = 15 * MINUTE
HISTORY: Final = "history"
"""The decision; `office.notify.stages.Reason.HISTORY` is the same word."""

_first = msgspec.json.Decoder(dict[str, int])


def settle(sql: Sql, block: Block, moves: Sequence[StoredTransition], at: Micros) -> list[StoredTransition]:
    """Decide what of a new alarms block is history; return its transitions as they stand."""
    told = sql.execute("SELECT epoch, first FROM sites WHERE site = ?", (block.site,)).fetchone()
    first = _first.decode(told[1]).get("alarms", 0) if told and told[0] == block.epoch and told[1] else 0
    if block.sequence >= first:
        return list(moves)
    settled = []
    for move in moves:
        sql.execute("INSERT INTO resent (id) VALUES (?) ON CONFLICT DO NOTHING", (move.id,))
        if at - move.transition.at > AFTER:
            sql.execute("UPDATE transitions SET decision = ? WHERE id = ?", (HISTORY, move.id))
            move = replace(move, decision=HISTORY)
        settled.append(move)
    return settled
