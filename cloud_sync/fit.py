"""Whether a block that can be read can also be stored, and what becomes of one that cannot. Pure."""

from typing import Final

from cloud_sync.ingest_records import Batch
from cloud_sync.store.base import Entry, PutBlock, PutCatalogue, PutQuarantine, QuarantineReason, Shape, Transaction
from cloud_sync.wire import digest
from sitekeeper.block import Block, Header
from sitekeeper.model.clock import Micros

FARTHEST: Final[Micros] = 2**61
"""Times beyond are none, and their sums would not fit into 64 bits."""
LONGEST: Final = 400
"""Characters of a name by which something is looked up: PostgreSQL has no index for texts of several kilobytes."""


def misfit(block: Block, shape: Shape) -> str:
    """Return why a block does not fit its catalogue, or nothing if it does."""
    if block.site != shape.site:
        return f"the catalogue is that of site {shape.site!r}"
    if any(sample.handle >= shape.points for sample in block.samples):
        return f"a sample of a point beyond the catalogue's {shape.points}"
    if any(vouch.group >= shape.groups for vouch in block.vouch):
        return f"a vouch for a scan group beyond the catalogue's {shape.groups}"
    return ""


def misshapen(block: Block) -> str:
    """Return why a block's transitions or events cannot be stored, or nothing if they can."""
    for event in block.events:
        if max(abs(event.at), abs(event.source or 0)) > FARTHEST or abs(event.device_sequence or 0) >= 2**63:
            return f"an event with a number that no table holds: {event.source_id[:200]!r}"
        if len(event.source_id) > LONGEST:
            return f"an event of a name with {len(event.source_id)} characters"
    for move in block.transitions:
        if max(abs(move.at), abs(move.mono)) > FARTHEST:
            return f"a transition outside all time: {move.key[:200]!r}"
        if len(move.key) > LONGEST or len(move.occurrence) > LONGEST + 240:
            return f"an alarm key or occurrence with {len(move.occurrence)} characters"
        parts = move.key.split("/")
        if len(parts) != 3 or not all(parts) or parts[0] != block.site:
            return f"not an alarm key of this site: {move.key[:200]!r}"
        if not move.occurrence.startswith(f"{move.key}@"):
            return f"occurrence {move.occurrence[:200]!r} does not belong to key {move.key[:200]!r}"
    return ""


def apart(batch: Batch, why: str) -> list[Batch]:
    """Return what to commit in the place of a batch that the store refuses: each entry by itself.

    One that was alone goes into quarantine if it has bytes to keep; else nothing is left to commit.
    """
    at, entries = batch.transaction.at, batch.transaction.entries
    kept = list(entries) if len(entries) > 1 else [put for put in (_put_away(entries[0], why),) if put is not None]
    return [
        Batch(Transaction(at=at, entries=(entry,)), (arrival,))
        for entry, arrival in zip(kept, batch.arrivals, strict=False)
    ]


def _put_away(entry: Entry, why: str) -> PutQuarantine | None:
    match entry:
        case PutBlock(block=block, payload=payload):
            header = Header(block.site, block.epoch, block.stream, block.sequence)
            return unusable(block.site, block.stream, payload, "constraint", why, header)
        case PutCatalogue(site=site, payload=payload):
            return unusable(site, "catalogue", payload, "catalogue", why, None)
        case _:
            return None


def unusable(
    site: str, kind: str, payload: bytes, reason: QuarantineReason, detail: str, header: Header | None
) -> PutQuarantine:
    """Return the entry that puts a message away; with a header it takes its place among the blocks."""
    return PutQuarantine(
        site=site,
        kind=kind,
        payload=payload,
        digest=digest(payload),
        reason=reason,
        detail=detail[:500],
        epoch=None if header is None else header.epoch,
        stream=None if header is None else header.stream,
        sequence=None if header is None else header.sequence,
    )
