"""How a box becomes the gateway of a site: the code that `sk office site add` prints, and what is said over HTTPS.

    box                                         office, `enrol:` of office.yaml
    GET  /enrol/v1/ca                      ->   the authority's certificate; the box checks it against the code
    POST /enrol/v1/join   Join             ->   Issued; over TLS, the server's certificate from that authority
    POST /enrol/v1/renew  Renew            ->   Issued; over TLS with the box's present certificate (mutual)

A refusal is `Refusal` with an HTTP status of 4xx. The box's private key is in none of it.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeVar

import msgspec

from sitekeeper.model.errors import FormatError

CA_PATH: Final = "/enrol/v1/ca"
JOIN_PATH: Final = "/enrol/v1/join"
RENEW_PATH: Final = "/enrol/v1/renew"
MAX_BODY: Final = 16 * 1024
"""Bytes of a request or an answer."""

SECRET_BYTES: Final = 10
"""80 random bits, good for one use within an hour."""
FINGERPRINT_BYTES: Final = 20
"""So much of the SHA-256 of the authority's certificate stands in a code: 160 bits, no second one can be made."""

SITE: Final = r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?"
_CODE: Final = re.compile(rf"({SITE})@(\[[0-9a-f:]+\]|[A-Za-z0-9.-]{{1,253}}):([0-9]{{1,5}})/([a-z2-7-]{{48,80}})")

Site = Annotated[str, msgspec.Meta(pattern=f"^{SITE}$")]
Pem = Annotated[str, msgspec.Meta(min_length=1, max_length=4_096)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What a box must know to join: who it is to be, where the office is, how to know it, and one secret."""

    site: str
    host: str
    port: int
    secret: bytes = field(repr=False)
    fingerprint: bytes

    def __str__(self) -> str:
        letters = base64.b32encode(self.secret + self.fingerprint).decode().lower()
        groups = "-".join(letters[at : at + 4] for at in range(0, len(letters), 4))
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.site}@{host}:{self.port}/{groups}"


def parse_code(written: str) -> Code:
    """Return the code that somebody typed or pasted.

    Raises:
        FormatError: it is no code, or not all of one.
    """
    found = _CODE.fullmatch("".join(written.split()))
    if found is None:
        raise FormatError("not a code of `sk office site add`: SITE@HOST:PORT/xxxx-xxxx-... is expected")
    try:
        raw = base64.b32decode(found[4].replace("-", "").upper())
    except binascii.Error:
        raw = b""
    port = int(found[3])
    if len(raw) != SECRET_BYTES + FINGERPRINT_BYTES or not 0 < port <= 65_535:
        raise FormatError("the code is not complete: copy all of it")
    return Code(
        site=found[1],
        host=found[2].strip("[]"),
        port=port,
        secret=raw[:SECRET_BYTES],
        fingerprint=raw[SECRET_BYTES:],
    )


class Join(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A box asks for its first certificate. `secret` in hex; `request`: a certificate signing request, PEM."""

    site: Site
    secret: Annotated[str, msgspec.Meta(pattern=rf"^[0-9a-f]{{{2 * SECRET_BYTES}}}$")]
    request: Pem


class Renew(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gateway asks for its next certificate, with a new key."""

    request: Pem


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """What the office answers. More may be added later; a box passes over what it does not know.

    Attributes:
        certificate: the box's own. authority: what broker and office must have theirs from.
        broker: `mqtts://host:port`. command_key: with which the office's commands are verified.
    """

    certificate: Pem
    authority: Pem
    broker: Annotated[str, msgspec.Meta(pattern=r"^mqtts://[^/\s]{1,280}$")]
    command_key: Pem


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why not. `reason` is a stable word."""

    reason: Annotated[str, msgspec.Meta(max_length=64)]
    detail: Annotated[str, msgspec.Meta(max_length=500)] = ""


_T = TypeVar("_T", Join, Renew, Issued, Refusal)


def decode(body: bytes, kind: type[_T]) -> _T:
    """Return a message.

    Raises:
        FormatError: it is none of this kind.
    """
    if len(body) > MAX_BODY:
        raise FormatError(f"more than {MAX_BODY} bytes")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"{kind.__name__}: {error}") from None


def encode(message: Join | Renew | Issued | Refusal) -> bytes:
    """Return a message's bytes."""
    return msgspec.json.encode(message)
