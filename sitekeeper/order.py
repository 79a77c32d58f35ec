"""A command of the office as it travels: one envelope, signed, for one site, for ten seconds, for one time.

Bytes: 0x01, the signature (Ed25519, RFC 8032, 64 bytes), the body. The body is the MessagePack array of `Order`'s
fields in their order, and has one form only: equal orders are equal bytes, and bytes that do not come back the same
when they are encoded again are refused. What is signed is `CONTEXT` and the body, so that no other thing the key may
ever sign can be taken for an order. This module knows no cryptography: who seals and opens brings the two functions.
"""

import unicodedata
from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.errors import Refused

CONTEXT: Final = b"sitekeeper order 1\n"
VERSION: Final = b"\x01"
SIGNATURE: Final = 64
"""Bytes of an Ed25519 signature."""
MAX_ORDER: Final = 8_192
"""Bytes of an order as it travels; a reason and a value of 500 characters each, of any script, fit."""

VALID_FOR: Final[Micros] = 10 * SECOND
"""How long an order may be carried out, counted by the site's monotonic clock."""

TWO_PERSONS: Final = frozenset({"access", "parking"})
"""Classes whose points are written from the office only after a second person has agreed."""

ALARM_TARGETS: Final = frozenset({"alarms/shelve", "alarms/unshelve", "alarms/comment"})
"""Targets that are no points: what an operator may do to the alarm `<device>/<rule>` that is the order's value."""

OrderRole = Literal["viewer", "operator", "admin"]
"""What the person is at the office. At a site an admin is an operator like others: nothing more is done from afar."""

_Word = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^/+#\s\x00]+$")]
_Who = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^/\x00-\x1f]+$")]  # a rule's claims have a slash
_Time = Annotated[int, Meta(ge=-(2**62), le=2**62)]


class Order(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the office orders.

    Attributes:
        target: `<device>/<point>`. value: as a person writes it; the site knows the point's type.
        lasts: how long the point is held by it.
        second: who else had to agree; empty where nobody had to.
        issued, expires: wall time at the office, for people and the record; no site decides by them.
        after: time between the office's hearing of `nonce` and the signing, by the office's clock.
        id: of the command, used once. nonce: which of the site's own latest words it answers.
    """

    site: _Word
    target: Annotated[str, Meta(max_length=257, pattern=r"^[^/+#\s\x00]+/[^/+#\s\x00]+$")]
    value: Annotated[str, Meta(min_length=1, max_length=500)]
    lasts: Annotated[int, Meta(gt=0, le=2**62)]
    who: _Who
    role: OrderRole
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    second: Annotated[str, Meta(max_length=128, pattern=r"^[^/\x00-\x1f]*$")]
    issued: _Time
    expires: _Time
    after: _Time
    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]
    nonce: Annotated[str, Meta(min_length=1, max_length=64)]


def same_person(one: str, other: str) -> bool:
    """Tell whether two names may be one person's: alike but for case, width, form and blanks (Unicode's NFKC)."""
    return _plain(one) == _plain(other)


def _plain(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())


Sign = Callable[[bytes], bytes]
Verify = Callable[[bytes, bytes], bool]
"""(signature, what was signed) -> whether it is the key's."""

_encoder = msgspec.msgpack.Encoder(order="deterministic")
_decoder = msgspec.msgpack.Decoder(Order)


def seal(order: Order, sign: Sign) -> bytes:
    """Return the order as it travels."""
    body = _encoder.encode(order)
    return VERSION + sign(CONTEXT + body) + body


def unseal(payload: bytes, verify: Verify) -> Order:
    """Return the order in `payload`. Nothing of it is looked at before the signature is found good.

    Raises:
        Refused: `too-large`, `malformed` or `bad-signature`.
    """
    if len(payload) > MAX_ORDER:
        raise Refused("too-large", f"an order of {len(payload)} bytes, at most {MAX_ORDER} are allowed")
    head = len(VERSION) + SIGNATURE
    if len(payload) <= head or not payload.startswith(VERSION):
        raise Refused("malformed", "not an order of this format")
    body = payload[head:]
    if not verify(payload[len(VERSION) : head], CONTEXT + body):
        raise Refused("bad-signature", "not signed with the office's key")
    try:
        order = _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refused("malformed", f"signed, but not an order: {error}") from None
    if _encoder.encode(order) != body:
        raise Refused("malformed", "signed, but not in the one form that an order has")
    return order
