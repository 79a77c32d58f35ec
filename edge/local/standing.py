"""After a restart: which alarms want somebody, and in which block the office must have them."""

from collections.abc import Callable, Iterable
from typing import Final

from edge.local.machine import WANTED
from sitekeeper import block
from sitekeeper.model.alarm import AlarmRecord, Transition, annunciates
from sitekeeper.model.errors import FormatError, StorageError

BLOCKS: Final = 2_000
"""Blocks without a receipt that are looked through, the newest first; of older ones the occurrence's own id tells."""


def standing(
    records: Iterable[AlarmRecord], epoch: str, oldest: int, newest: int, read: Callable[[int], bytes | None]
) -> list[tuple[AlarmRecord, int]]:
    """Return the alarms of which the office lacks the move that wanted attention, each with that move's block.

    Args:
        epoch: of the outbox. oldest, newest: blocks of the alarms stream that have no receipt; none if oldest is newer.
        read: a block's bytes; None if it is gone.

    A block that cannot be read says nothing: the uplink sees to it, and the occurrence's own id stands in for it.
    """
    wanted = {record.occurrence: record for record in records if record.state in WANTED}
    found: dict[str, int] = {}
    for occurrence in wanted:
        of, _, number = occurrence.rpartition("@")[2].rpartition("-")
        if of == epoch and number.isdecimal() and int(number) >= oldest:
            found[occurrence] = int(number)
    for sequence in range(newest, max(oldest, newest - BLOCKS + 1) - 1, -1) if wanted else ():
        for move in _moves(sequence, read):
            if move.occurrence in wanted and annunciates(move):
                found[move.occurrence] = max(sequence, found.get(move.occurrence, 0))
    return [(wanted[occurrence], sequence) for occurrence, sequence in found.items()]


def _moves(sequence: int, read: Callable[[int], bytes | None]) -> list[Transition]:
    try:
        data = read(sequence)
        return [] if data is None else block.decode(data).transitions
    except (FormatError, StorageError):
        return []
