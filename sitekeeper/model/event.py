"""An event: an occurrence with a sequence (a card read, a plate read, a note). Never coalesced, never overwritten."""

import hashlib
from typing import Literal

import msgspec

from sitekeeper.model.clock import Micros
from sitekeeper.model.sample import Value

Pseudonym = str
"""A personal identifier after hashing; starts with `h1:`."""

PersonalKind = Literal["card", "plate", "person", "phone"]


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Something that happened once.

    Attributes:
        source_id: `<device>/<name>`, for example `door-lobby/read` or `lift-a1/note`.
        at: monotonic time of receipt.
        fields: what it says; personal identifiers only as pseudonyms.
        device_sequence: the device's own counter, for finding gaps; None if it has none.
        source: wall time given by the device, if any.
        late: it was older than 5 s on receipt, so it feeds event rules but starts no delay.
    """

    source_id: str
    at: Micros
    fields: dict[str, Value]
    device_sequence: int | None = None
    source: Micros | None = None
    late: bool = False


def pseudonym(salt: bytes, kind: PersonalKind, identifier: str) -> Pseudonym:
    """Hash a card number, plate or name with the site's salt, so that equal stays equal and nothing more is told.

    Keyed BLAKE2b (RFC 7693), 96 bits. Without the salt, card numbers cannot be found by trying them all.

    Raises:
        ValueError: the salt is shorter than 16 bytes.
    """
    if len(salt) < 16:
        msg = f"the site's salt has {len(salt)} bytes, at least 16 are needed"
        raise ValueError(msg)
    text = " ".join(identifier.split()).upper()
    digest = hashlib.blake2b(text.encode(), digest_size=12, key=salt[:64], person=kind.encode()[:16])
    return f"h1:{digest.hexdigest()}"
