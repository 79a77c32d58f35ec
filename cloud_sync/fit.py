"""Whether a block that can be read can also be stored, and what becomes of one that cannot. Pure."""

from dataclasses import dataclass
from typing import Final

from cloud_sync.ingest_records import Batch
from cloud_sync.store.base import Entry, PutBlock, PutCatalogue, PutQuarantine, QuarantineReason, Shape, Transaction
from cloud_sync.wire import digest
from sitekeeper.block import Block, Header, Stream, decode, peek
from sitekeeper.catalogue import Catalogue
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import FormatError, FormatTooNew

FARTHEST: Final[Micros] = 2**61
"""Times beyond are none, and their sums would not fit into 64 bits."""
LONGEST: Final = 400
"""Characters of a name by which something is looked up: PostgreSQL has no index for texts of several kilobytes."""

LAST: Final = 2**40
"""No site seals so many blocks of a stream in one epoch: a thousand a second for 34 years."""
AHEAD: Final = 100_000
"""Blocks beyond the one that a site called its next a minute ago at most: it cannot have sealed more in that time."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a message cannot be stored; `detail` is for people."""

    reason: QuarantineReason
    detail: str


def read(payload: bytes, site: str, kind: Stream) -> Block | Unfit:
    """Return the block that came on a site's topic of this stream, or why it cannot be used."""
    try:
        block = decode(payload)
    except FormatTooNew as err:
        return Unfit("too-new", str(err))
    except FormatError as err:
        return Unfit("undecodable", str(err))
    if block.site != site or block.stream != kind:
        return Unfit("wrong-topic", f"block of site {block.site!r}, stream {block.stream}")
    return block


def read_catalogue(payload: bytes, site: str) -> Catalogue | Unfit:
    """Return the catalogue that came on a site's topic, or why it cannot be used."""
    try:
        catalogue = decode_catalogue(payload)
    except FormatError as err:
        return Unfit("too-new" if isinstance(err, FormatTooNew) else "catalogue", str(err))
    return catalogue if catalogue.site == site else Unfit("wrong-topic", f"catalogue of site {catalogue.site!r}")


def header_of(payload: bytes, site: str, kind: Stream) -> Header | None:
    """Return what names a block whose records cannot be used; None if that cannot be told, or it is another's."""
    try:
        header = peek(payload)
    except FormatError:
        return None
    return header if (header.site, header.stream) == (site, kind) else None


def implausible(block: Block | Header, following: int | None) -> str:
    """Return why a site cannot have sealed a block of this sequence, or nothing if it can.

    Args:
        following: the sequence that the site called its next, a minute ago at most; None if it has not said.
    """
    if block.sequence > LAST:
        return f"{block.stream} {block.sequence} of epoch {block.epoch}: no site comes so far"
    if following is not None and block.sequence > following + AHEAD:
        return f"{block.stream} {block.sequence} of epoch {block.epoch}: the site itself is at {following}"
    return ""


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
            return unusable(block.site, block.stream, payload, Unfit("constraint", why), header)
        case PutCatalogue(site=site, payload=payload):
            return unusable(site, "catalogue", payload, Unfit("catalogue", why), None)
        case _:
            return None


def unusable(site: str, kind: str, payload: bytes, unfit: Unfit, header: Header | None) -> PutQuarantine:
    """Return the entry that puts a message away; with a header it takes its place among the blocks."""
    return PutQuarantine(
        site=site,
        kind=kind,
        payload=payload,
        digest=digest(payload),
        reason=unfit.reason,
        detail=unfit.detail[:500],
        epoch=None if header is None else header.epoch,
        stream=None if header is None else header.stream,
        sequence=None if header is None else header.sequence,
    )
