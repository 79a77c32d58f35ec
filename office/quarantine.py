"""Messages in quarantine: what they are, and using one that can be used now, after an upgrade say. Nothing here writes.

A block made by a newer gateway is kept by its site too and comes again by itself; one that could not be read, or did
not fit, was answered for when its bytes were kept, and comes never again: then this is the way in.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from cloud_sync.fit import misfit, misshapen
from cloud_sync.store import quarantine
from cloud_sync.store.base import PutBlock, PutCatalogue, Shape
from cloud_sync.store.quarantine import QuarantineRow
from cloud_sync.wire import digest
from sitekeeper.block import decode, peek
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.model.errors import FormatError, NotFound, Refused

HEAD: Final = 256
"""Bytes of a message that are shown."""

Ask = Callable[..., Sequence[Any]]


def found(ask: Ask, number: int) -> tuple[QuarantineRow, bytes]:
    """Return a message with its bytes.

    Raises:
        NotFound: there is none with this number.
    """
    one = quarantine.one(ask, number)
    if one is None:
        raise NotFound(f"no message {number} in quarantine")
    return one


def header(payload: bytes) -> dict[str, Any]:
    """Return what a block says of itself, as far as that can be read."""
    try:
        of = peek(payload)
    except FormatError as err:
        return {"unreadable": str(err)[:200]}
    return {"site": of.site, "epoch": of.epoch, "stream": of.stream, "sequence": of.sequence}


def revived(ask: Ask, number: int) -> PutBlock | PutCatalogue:
    """Return what a message says, now that it can be used.

    Raises:
        NotFound: there is none with this number.
        Refused: it was used already, or still cannot be.
    """
    row, payload = found(ask, number)
    if row.replayed is not None:
        raise Refused("already-replayed", "it was applied before")
    if not payload:
        raise Refused("not-kept", "there was no room for its bytes; the site has it")
    try:
        return _catalogue(row, payload) if row.kind == "catalogue" else _block(ask, row, payload)
    except FormatError as err:
        raise Refused("still-unreadable", str(err)[:300]) from None


def _catalogue(row: QuarantineRow, payload: bytes) -> PutCatalogue:
    catalogue = decode_catalogue(payload)
    if catalogue.site != row.site:
        raise Refused("wrong-topic", f"it is the catalogue of site {catalogue.site!r}")
    return PutCatalogue(site=row.site, hash=catalogue_hash(payload), payload=payload, catalogue=catalogue)


def _block(ask: Ask, row: QuarantineRow, payload: bytes) -> PutBlock:
    block = decode(payload)
    if block.site != row.site or block.stream != row.kind:
        raise Refused("wrong-topic", f"it is a block of site {block.site!r}, stream {block.stream}")
    fault = misshapen(block)
    if block.samples or block.vouch:
        rows = ask("SELECT payload FROM catalogues WHERE hash = ?", block.catalogue)
        if not rows:
            raise Refused("catalogue-missing", f"the catalogue {block.catalogue} is not here")
        fault = fault or misfit(block, Shape.of(decode_catalogue(bytes(rows[0][0]))))
    if fault:
        raise Refused("constraint", fault)
    return PutBlock(block=block, payload=payload, digest=digest(payload))
