"""Blocks: what a site records, sealed once; the same bytes lie in the outbox, travel, and are committed at the office.

Layout: the envelope of `sitekeeper.frame` around one MessagePack array

    site, epoch, stream, sequence, boot, catalogue, trusted, t0, mono0, vouches, gaps, records

- `vouches`: three columns: group (each as the difference to the one before), until, span. Times in whole milliseconds
  from t0, rounded down.
- `gaps`: rows of scan group, start, end, cause.
- `records` of `samples`: five columns: handle, receipt (each as the difference to the one before, the first to
  mono0; us), source time (difference to t0, or nil), value, quality byte.
- `records` of `events` and `alarms`: rows of `Event` and `Transition`, in the order of their fields.

A block is self-contained: its intervals of coverage carry both ends, so the office may apply blocks in any order, and a
block that never came leaves a hole that shows. Equal blocks give equal bytes. New causes and new columns take a new
version byte; `Event` and `Transition` may get new fields at their end.
"""

from collections.abc import Iterable
from enum import StrEnum
from itertools import accumulate, pairwise
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from sitekeeper.frame import seal, unseal
from sitekeeper.model.alarm import Transition
from sitekeeper.model.clock import MS, Micros
from sitekeeper.model.errors import FormatError, FormatTooNew
from sitekeeper.model.event import Event
from sitekeeper.model.quality import Quality, Reason
from sitekeeper.model.sample import Sample, Value

Stream = Literal["alarms", "events", "samples"]
STREAMS: Final[tuple[Stream, ...]] = ("alarms", "events", "samples")

MAX_BLOCK: Final = 64 * 1024
"""Bytes of an encoded block, at most."""
MAX_BODY: Final = 4 * 1024 * 1024
"""Bytes that a block may unpack to."""

_Text = Annotated[str, Meta(min_length=1, max_length=200)]
_Time = Annotated[int, Meta(ge=-(2**60), le=2**60)]
_Millis = Annotated[int, Meta(ge=-(2**50), le=2**50)]
_Handle = Annotated[int, Meta(ge=0, lt=2**31)]
_Sequence = Annotated[int, Meta(ge=1, lt=2**62)]
_QByte = Annotated[int, Meta(ge=0, le=255)]


class GapCause(StrEnum):
    """Why nothing is known about a scan group for a while."""

    SILENT = "silent"  # the device did not answer, or its heartbeat stood still
    LINK_DOWN = "link_down"
    GATEWAY_OFF = "gateway_off"
    CLOCK = "clock"  # the wall clock was set forward: these times never were
    DROPPED = "dropped"  # dropped by policy when space ran out
    CONFIGURATION = "configuration"  # not read as configured, or not configured yet
    WRITER_BEHIND = "writer_behind"  # the disk could not keep up
    REFUSED = "refused"  # the device answered, but refused every point


class Vouch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """From `until - span` to `until`, a point of this scan group without a sample did not change.

    Attributes:
        group: index into the catalogue's groups.
        until: wall time, us.
        span: how far the vouch reaches back, us; vouches and gaps of one group touch and leave no hole.
    """

    group: Annotated[int, Meta(ge=0, lt=2**31)]
    until: _Time
    span: Annotated[int, Meta(ge=0, le=2**60)] = 0

    @property
    def start(self) -> Micros:
        """Wall time from which the vouch holds."""
        return self.until - self.span


class Gap(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Nothing is known of scan group `group` (its id) between two wall times."""

    group: _Text
    start: _Time
    end: _Time
    cause: GapCause


class Header(msgspec.Struct, frozen=True, array_like=True):
    """What makes a block unique."""

    site: _Text
    epoch: _Text
    stream: Stream
    sequence: _Sequence


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One block, unpacked. Only the list that belongs to its stream holds anything.

    Attributes:
        epoch: random id of the outbox file. sequence: from 1, without holes per epoch and stream.
        boot: random id of the gateway process; monotonic times compare within one boot only.
        catalogue: hash of the catalogue that gives handles and groups their meaning.
        trusted: whether the wall clock was synchronised when the block was sealed.
        t0, mono0: one moment on both clocks, us; `wall` turns one into the other.
    """

    site: str
    epoch: str
    stream: Stream
    sequence: int
    boot: str
    catalogue: str
    trusted: bool
    t0: Micros
    mono0: Micros
    vouch: list[Vouch] = []
    gaps: list[Gap] = []
    samples: list[Sample] = []
    events: list[Event] = []
    transitions: list[Transition] = []

    def wall(self, at: Micros) -> Micros:
        """Return the wall time of a monotonic time, as the site's clock stood when the block was sealed."""
        return self.t0 + (at - self.mono0)


class BlockTooLarge(FormatError):
    """More records than fit into MAX_BLOCK: seal fewer."""


class _Vouches(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    groups: list[int]
    until: list[_Millis]
    span: list[Annotated[int, Meta(ge=0, le=2**50)]]


class _Samples(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    handles: list[_Handle]
    received: list[_Time]
    sources: list[_Time | None]
    values: list[Value]
    qualities: list[_QByte]


class _Body(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    site: _Text
    epoch: _Text
    stream: Stream
    sequence: _Sequence
    boot: _Text
    catalogue: _Text
    trusted: bool
    t0: _Time
    mono0: _Time
    vouches: _Vouches
    gaps: list[Gap]
    records: msgspec.Raw


_encoder = msgspec.msgpack.Encoder(order="deterministic")
_headers = msgspec.msgpack.Decoder(Header)
_bodies = msgspec.msgpack.Decoder(_Body)
_samples = msgspec.msgpack.Decoder(_Samples)
_events = msgspec.msgpack.Decoder(list[Event])
_transitions = msgspec.msgpack.Decoder(list[Transition])
_KNOWN: Final = frozenset(quality << 6 | reason for quality in Quality for reason in Reason)
_T = TypeVar("_T")


def encode(block: Block) -> bytes:
    """Return the block's bytes.

    Raises:
        BlockTooLarge: it would be longer than MAX_BLOCK.
        FormatError: it holds something that has no place in a block, such as an integer of more than 64 bits.
    """
    records: _Samples | list[Event] | list[Transition]
    match block.stream:
        case "samples":
            records = _to_columns(block)
        case "events":
            records = block.events
        case "alarms":
            records = block.transitions
    try:
        body = _encoder.encode(
            (
                *(block.site, block.epoch, block.stream, block.sequence, block.boot, block.catalogue, block.trusted),
                *(block.t0, block.mono0, _to_vouches(block), block.gaps, records),
            )
        )
    except (OverflowError, TypeError, ValueError) as error:
        msg = f"cannot be put into a block: {error}"
        raise FormatError(msg) from None
    data = seal(body)
    if len(body) > MAX_BODY or len(data) > MAX_BLOCK:
        msg = f"{block.stream} block {block.sequence} has {len(data)} bytes, at most {MAX_BLOCK} are allowed"
        raise BlockTooLarge(msg)
    return data


def decode(data: bytes, *, max_size: int = MAX_BLOCK) -> Block:
    """Return the block in `data`.

    Raises:
        FormatTooNew: a format, quality or reason of a newer version: keep the bytes and say so.
        FormatError: not a block, damaged, or beyond a limit.
    """
    body = _strict(_bodies, unseal(data, max_encoded=max_size, max_body=MAX_BODY))
    samples = _from_columns(_strict(_samples, body.records), body) if body.stream == "samples" else []
    return Block(
        site=body.site,
        epoch=body.epoch,
        stream=body.stream,
        sequence=body.sequence,
        boot=body.boot,
        catalogue=body.catalogue,
        trusted=body.trusted,
        t0=body.t0,
        mono0=body.mono0,
        vouch=_from_vouches(body),
        gaps=body.gaps,
        samples=samples,
        events=_strict(_events, body.records) if body.stream == "events" else [],
        transitions=_strict(_transitions, body.records) if body.stream == "alarms" else [],
    )


def peek(data: bytes, *, max_size: int = MAX_BLOCK) -> Header:
    """Return what names the block, without reading its records.

    Raises:
        FormatTooNew, FormatError: as `decode`; a block whose records are damaged may still have a header.
    """
    return _strict(_headers, unseal(data, max_encoded=max_size, max_body=MAX_BODY))


def _strict(decoder: msgspec.msgpack.Decoder[_T], data: bytes | msgspec.Raw) -> _T:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        msg = f"not a block: {error}"
        raise FormatError(msg) from None


def _deltas(first: int, numbers: list[int]) -> list[int]:
    return [after - before for before, after in pairwise([first, *numbers])]


def _sums(first: int, deltas: Iterable[int]) -> list[int]:
    return list(accumulate(deltas, initial=first))[1:]


def _to_vouches(block: Block) -> _Vouches:
    until = [(vouch.until - block.t0) // MS for vouch in block.vouch]
    # Both ends are rounded down, so that what touched before still touches.
    starts = [(vouch.start - block.t0) // MS for vouch in block.vouch]
    return _Vouches(
        groups=_deltas(0, [vouch.group for vouch in block.vouch]),
        until=until,
        span=[end - start for end, start in zip(until, starts, strict=True)],
    )


def _from_vouches(body: _Body) -> list[Vouch]:
    columns = body.vouches
    if not len(columns.groups) == len(columns.until) == len(columns.span):
        msg = "not a block: columns of vouches differ in length"
        raise FormatError(msg)
    groups = _sums(0, columns.groups)
    if min(groups, default=0) < 0 or max(groups, default=0) >= 2**31:
        msg = "not a block: a vouch for no group"
        raise FormatError(msg)
    return [
        Vouch(group, body.t0 + until * MS, span * MS)
        for group, until, span in zip(groups, columns.until, columns.span, strict=True)
    ]


def _to_columns(block: Block) -> _Samples:
    samples, t0 = block.samples, block.t0
    return _Samples(
        handles=[sample.handle for sample in samples],
        received=_deltas(block.mono0, [sample.at for sample in samples]),
        sources=[None if sample.source is None else sample.source - t0 for sample in samples],
        values=[sample.value for sample in samples],
        qualities=[sample.q for sample in samples],
    )


def _from_columns(columns: _Samples, body: _Body) -> list[Sample]:
    count = len(columns.handles)
    rest = (columns.received, columns.sources, columns.values, columns.qualities)
    if any(len(column) != count for column in rest):
        msg = "not a block: columns of samples differ in length"
        raise FormatError(msg)
    if not _KNOWN.issuperset(columns.qualities):
        msg = "a quality or reason that this software does not know"
        raise FormatTooNew(msg)
    at = _sums(body.mono0, columns.received)
    if max(map(abs, at), default=0) > 2**61:
        msg = "not a block: a sample outside all time"
        raise FormatError(msg)
    sources = [None if source is None else body.t0 + source for source in columns.sources]
    return list(map(Sample, columns.handles, at, columns.values, columns.qualities, sources))
