"""Topics and small messages between a site and its office (sync.md sections 2 and 3); blocks are `sitekeeper.block`.

Status, requests and acknowledgements are JSON, because people look at them with a broker's own tools; receipts are
MessagePack, because there are many. Every decoder is strict about types and sizes: what it returns may be used.
"""

import hashlib
from collections.abc import Iterable
from typing import Annotated, Literal, TypeVar

import msgspec

from sitekeeper.block import Stream
from sitekeeper.model.clock import Micros
from sitekeeper.model.command import Ack
from sitekeeper.model.errors import FormatError

ROOT = "sitekeeper/1"
MAX_MESSAGE = 64 * 1024
"""Size cap of every message that is not a catalogue, in bytes."""

MAX_CATALOGUE = 4 * 1024 * 1024
MAX_LINKS = 100
"""Rows of its audit whose hashes a site tells in one status."""

MAX_ABSENT = 32
"""Ranges of blocks that one status can say are gone."""


UpKind = Literal["alarms", "events", "samples", "catalogue", "status", "alarms-volatile"]
"""`alarms-volatile` carries an alarms block that the site's disk has not taken yet: the same bytes come as `alarms`
once it has. No receipt answers it."""

DownKind = Literal["receipt", "request", "ack", "command"]

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[^/+#\s\x00]+$")]
Text = Annotated[str, msgspec.Meta(max_length=2_000)]
Boot = Annotated[str, msgspec.Meta(max_length=200)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Sequence = Annotated[int, msgspec.Meta(ge=1, le=2**62)]
Time = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]
Head = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$")]
Link = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$")]


class Resend(msgspec.Struct, frozen=True, array_like=True):
    """A closed range of blocks that the office wants (again)."""

    epoch: Name
    stream: Stream
    start: Sequence
    end: Sequence


class Links(msgspec.Struct, frozen=True, array_like=True):
    """The hashes of rows of an audit, in hex, from row `first` on."""

    first: Sequence
    hashes: Annotated[tuple[Link, ...], msgspec.Meta(min_length=1, max_length=MAX_LINKS)]


class Held(msgspec.Struct, frozen=True, array_like=True):
    """The last of the links that the office has committed, and the outbox whose audit it is of."""

    epoch: Name
    n: Sequence
    hash: Link


class Status(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a site says of itself every 10 s, retained; the last will is the same with `online` false.

    Attributes:
        at: the site's wall time; clock: whether it may be believed. mono: the site's monotonic time at that moment.
        window: how many sample blocks the uplink lets wait for a receipt at present.
        first: per stream the lowest sequence that can still be sent: the oldest unreleased block, or the next one.
        next: per stream the sequence of the next block; nothing from a gateway that does not tell.
        unsent: per stream how many blocks wait.
        absent: blocks that the office asked for and that the site does not have any more, the latest answers; and
            alarms that the office could not read, of which it knows no number.
        nonce: fresh each time; an office command quotes it. Empty if the site takes none.
        hours: for how long without us the site's buffer lasts at its present rate; None if it does not tell.
        audit: rows of the audit and the hash of the last, in hex; an empty hash says that the row after so many does
            not fit the chain. None from a gateway that does not tell.
        links: hashes of single rows that the office has not confirmed yet; None if there are none.
    """

    online: bool
    site: Name
    epoch: Name
    boot: Boot
    version: Text
    at: Time = 0
    clock: bool = False
    mono: Time | None = None
    window: Count = 0
    first: dict[Stream, Sequence] = {}
    next: dict[Stream, Sequence] = {}
    unsent: dict[Stream, Count] = {}
    nonce: Text = ""
    absent: Annotated[tuple[Resend, ...], msgspec.Meta(max_length=MAX_ABSENT)] = ()
    audit: tuple[Count, Head] | None = None
    links: Links | None = None
    hours: Annotated[float, msgspec.Meta(ge=0)] | None = None


class Committed(msgspec.Struct, frozen=True, array_like=True):
    """Blocks of one stream that the office has committed, as closed ranges of sequences."""

    epoch: Name
    stream: Stream
    ranges: Annotated[list[tuple[Sequence, Sequence]], msgspec.Meta(max_length=4_096)]


class Receipt(msgspec.Struct, frozen=True, array_like=True):
    """The office's word, after its commit, that these blocks need not be kept for its sake."""

    at: Time
    blocks: Annotated[list[Committed], msgspec.Meta(max_length=256)]


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the office asks of a site; exactly one field is set.

    Attributes:
        catalogue: hash of a catalogue that the office lacks.
        resend: blocks that are missing before later ones can be applied.
        version: this block's format is newer than the office understands; the site keeps it.
        quarantined: digest of a message that the office could not read and has put into quarantine for good, so
            that it stops nothing behind it: a receipt by content, for bytes whose identity cannot be told.
        audit: nothing is asked: so far the office has the hash of every row of the audit that it was told.
    """

    catalogue: Digest | None = None
    resend: Resend | None = None
    version: Resend | None = None
    quarantined: Digest | None = None
    audit: Held | None = None


def up_topic(site: str, kind: UpKind) -> str:
    """Return the topic on which a site publishes `kind`."""
    return f"{ROOT}/{site}/up/{kind}"


def down_topic(site: str, kind: DownKind) -> str:
    """Return the topic on which the office speaks to a site."""
    return f"{ROOT}/{site}/down/{kind}"


def parse_topic(topic: str) -> tuple[str, str, str]:
    """Return (site, `up` or `down`, kind). Raises FormatError for any other topic."""
    parts = topic.split("/")
    if len(parts) != 5 or parts[:2] != ROOT.split("/") or parts[3] not in {"up", "down"}:
        raise FormatError(f"not one of our topics: {topic[:200]!r}")
    return parts[2], parts[3], parts[4]


def encode_status(status: Status) -> bytes:
    """Encode a status as JSON."""
    return msgspec.json.encode(status)


def decode_status(payload: bytes) -> Status:
    """Decode a status. Raises FormatError."""
    return _json(payload, _STATUS)


def encode_receipt(receipt: Receipt) -> bytes:
    """Encode a receipt as MessagePack."""
    return msgspec.msgpack.encode(receipt)


def decode_receipt(payload: bytes) -> Receipt:
    """Decode a receipt. Raises FormatError, also for a range that runs backwards."""
    _check_size(payload)
    try:
        receipt = _RECEIPT.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as err:
        raise FormatError(f"receipt: {err}") from None
    for block in receipt.blocks:
        if any(start > end for start, end in block.ranges):
            raise FormatError("receipt: a range runs backwards")
    return receipt


def encode_request(request: Request) -> bytes:
    """Encode a request as JSON."""
    return msgspec.json.encode(request)


def decode_request(payload: bytes) -> Request:
    """Decode a request. Raises FormatError unless exactly one thing is asked."""
    request = _json(payload, _REQUEST)
    asked = (request.catalogue, request.resend, request.version, request.quarantined, request.audit)
    if sum(one is not None for one in asked) != 1:
        raise FormatError("request: exactly one of catalogue, resend, version, quarantined, audit is expected")
    return request


def encode_ack(ack: Ack) -> bytes:
    """Encode an acknowledgement as JSON."""
    return msgspec.json.encode(ack)


def decode_ack(payload: bytes) -> Ack:
    """Decode an acknowledgement. Raises FormatError."""
    ack = _json(payload, _ACK)
    if not ack.id or not ack.occurrence or max(len(ack.id), len(ack.occurrence), len(ack.who)) > 256:
        raise FormatError("ack: id, occurrence and who must have 1 to 256 characters")
    return ack


def digest(payload: bytes) -> str:
    """Return what names these very bytes: BLAKE2b, 128 bits, hex. It tells a repeat from a conflict."""
    return hashlib.blake2b(payload, digest_size=16).hexdigest()


def ranges(sequences: Iterable[int]) -> list[tuple[int, int]]:
    """Return the closed ranges that cover exactly these sequences."""
    found: list[tuple[int, int]] = []
    for sequence in sorted(set(sequences)):
        if found and sequence == found[-1][1] + 1:
            found[-1] = (found[-1][0], sequence)
        else:
            found.append((sequence, sequence))
    return found


def receipt_for(at: Micros, committed: Iterable[tuple[str, Stream, int]]) -> Receipt:
    """Return one site's receipt for the blocks (epoch, stream, sequence) of one office transaction."""
    by_stream: dict[tuple[str, Stream], list[int]] = {}
    for epoch, stream, sequence in committed:
        by_stream.setdefault((epoch, stream), []).append(sequence)
    return Receipt(at, [Committed(epoch, stream, ranges(found)) for (epoch, stream), found in by_stream.items()])


_T = TypeVar("_T")
_STATUS = msgspec.json.Decoder(Status)
_REQUEST = msgspec.json.Decoder(Request)
_ACK = msgspec.json.Decoder(Ack)
_RECEIPT = msgspec.msgpack.Decoder(Receipt)


def _check_size(payload: bytes) -> None:
    if len(payload) > MAX_MESSAGE:
        raise FormatError(f"message of {len(payload)} bytes, at most {MAX_MESSAGE} are allowed")


def _json(payload: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
    _check_size(payload)
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as err:
        raise FormatError(f"message: {err}") from None
