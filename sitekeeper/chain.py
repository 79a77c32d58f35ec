"""A tamper-evident chain of records: each link's hash covers the record and the hash before it.

Changing, removing or moving a record breaks every later link. Cutting off the end does not show in the chain itself, so
its head must be known elsewhere: the site sends it to the office.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

GENESIS: Final = bytes(32)
"""What the first link stands on."""


def link(previous: bytes, record: bytes) -> bytes:
    """Return the hash (BLAKE2b, RFC 7693, 256 bits) of `record` on top of `previous`, a hash of the same length."""
    return hashlib.blake2b(record, digest_size=32, key=previous, person=b"sitekeeper-chain").digest()


def verify(links: Iterable[tuple[bytes, bytes]], previous: bytes = GENESIS) -> int | None:
    """Return the position of the first (record, hash) that does not stand on the one before; None if all do."""
    for position, (record, claimed) in enumerate(links):
        previous = link(previous, record)
        if previous != claimed:
            return position
    return None
