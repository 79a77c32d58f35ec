"""What ingest and the office need of a central store: values and Protocols, no SQL.

One `Transaction` is committed as a whole or not at all, and committing it a second time changes nothing: that is what
makes any repeat, any order and any unknown outcome harmless.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import msgspec

from cloud_sync.wire import Status
from sitekeeper.block import Block, Stream
from sitekeeper.catalogue import Catalogue
from sitekeeper.model.alarm import Transition
from sitekeeper.model.clock import Micros
from sitekeeper.model.command import Ack

NEAR: Final = 64
"""Alarms blocks lacking below the first that a site still has to send, beyond which new ones do not wait for them."""

QuarantineReason = Literal["undecodable", "too-new", "wrong-topic", "constraint", "catalogue", "sequence", "flood"]
Applied = Literal["new", "repeat", "conflict", "quarantined", "overflow", "early"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBlock:
    """A block to apply: its records, coverage, gaps, latest values and alarm records."""

    block: Block
    payload: bytes
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PutVolatile:
    """An alarms block told from memory while the site's disk does not take it; the durable one may follow, or never."""

    block: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class PutCatalogue:
    """A catalogue under its hash."""

    site: str
    hash: str
    payload: bytes
    catalogue: Catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class PutQuarantine:
    """Bytes that could not be used, kept for good with the reason. Identity is None where it cannot be told."""

    site: str
    kind: str
    payload: bytes
    digest: str
    reason: QuarantineReason
    detail: str
    epoch: str | None = None
    stream: Stream | None = None
    sequence: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutReplay:
    """A message out of quarantine that can be used now; `number` is its row there."""

    number: int
    entry: PutBlock | PutCatalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class PutMissing:
    """Blocks that a site can no longer send: a hole in the record, with its bounds."""

    site: str
    epoch: str
    stream: Stream
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PutStatus:
    """A site's own word about itself; `live` unless the broker had kept it from before."""

    status: Status
    live: bool


Entry = PutBlock | PutVolatile | PutCatalogue | PutQuarantine | PutReplay | PutMissing | PutStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """What is committed together. `at` is the office's wall time."""

    at: Micros
    entries: tuple[Entry, ...]


class StoredTransition(msgspec.Struct, frozen=True, kw_only=True):
    """A transition as the office has it.

    Attributes:
        id: order of arrival at the office, without meaning beyond that.
        committed: the office's wall time. decision: what notify decided; None while it has not.
    """

    id: int
    site: str
    epoch: str
    sequence: int
    position: int
    committed: Micros
    transition: Transition
    decision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a transaction, entry by entry, and the transitions that were new in it.

    Attributes:
        forgotten: hashes of catalogues that went for newer ones; a block that names one waits until it is sent again.
        turns: whose turn it is, by (site, epoch), where an alarms block came to `early`: it is not in the store.
    """

    applied: tuple[Applied, ...]
    transitions: tuple[StoredTransition, ...] = ()
    turns: "Mapping[tuple[str, str], Turn]" = field(default_factory=dict)
    forgotten: tuple[str, ...] = ()


class Turn(msgspec.Struct, frozen=True):
    """Where an epoch's alarms stand: `next` to apply, and the `first` that the site can still send, if it said so.

    `unread`: alarms messages of the site in quarantine that nobody could tell the number of, and that explain no gap
    yet; counted where there is a gap.
    """

    next: int
    first: int | None
    unread: int = 0


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What an ingest starts from: catalogues by hash, and per (site, epoch) the last alarms block applied.

    `settled`: ranges of alarms blocks behind that one that are in quarantine, or that nobody has.
    """

    catalogues: dict[str, "Shape"] = {}
    alarms: dict[tuple[str, str], int] = {}
    settled: tuple[tuple[tuple[str, str], int, int], ...] = ()


class Shape(msgspec.Struct, frozen=True):
    """As much of a catalogue as is needed to refuse a block that does not fit it."""

    site: str
    points: int
    groups: int

    @classmethod
    def of(cls, catalogue: Catalogue) -> "Shape":
        return cls(catalogue.site, len(catalogue.points), len(catalogue.groups))


PushState = Literal["planned", "sending", "sent", "failed", "given-up"]


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """One send to one recipient, recorded before it is tried.

    Attributes:
        id: 0 until stored. event_id: what the receiver dedupes by; equal for all attempts.
        started, finished: office wall time. answer: the provider's own words.
        possible_repeat: a process or link died between the provider's acceptance and our record of it.
        reason: why it was sent, by the name that notify's stages give it.
    """

    id: int = 0
    occurrence: str
    event_id: str
    recipient: str
    channel: str
    attempt: int = 1
    state: PushState = "planned"
    started: Micros | None = None
    finished: Micros | None = None
    latency_ms: float | None = None
    answer: str = ""
    possible_repeat: bool = False
    reason: str = ""


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """A message that speaks of many annunciations of a site together, because there is a flood of them.

    Attributes:
        kind: what it says of the flood: it has begun, it goes on, or it is over.
        at: the office's wall time at which it was due.
        first_id: transition with which the flood began. after_id, upto_id: it speaks of those behind the one, up to
            the other.
    """

    event_id: str
    site: str
    kind: Literal["begun", "going-on", "over"]
    at: Micros
    first_id: int
    after_id: int
    upto_id: int


class Chatter(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that comes and goes: when it was pushed last, and the last transition held back since (0: none)."""

    key: str
    told: Micros
    held: int = 0


class PendingAck(msgspec.Struct, frozen=True, kw_only=True):
    """An acknowledgement made here whose transition has not come back yet."""

    site: str
    ack: Ack


class IngestStore(Protocol):
    """What ingest needs. Futures resolve after the commit, or fail with StorageError."""

    def known(self) -> Known:
        """Return what the store holds already."""

    @property
    def shared(self) -> bool:
        """Return whether others may write to the store at the same time, so that only its word counts."""

    def shape(self, catalogue: str) -> Shape | None:
        """Return the shape of the catalogue with this hash, if the store has it by now."""

    def commit(self, transaction: Transaction) -> "Future[Outcome]":
        """Commit all of it, or nothing."""

    def pending_acks(self) -> list[PendingAck]:
        """Return the acknowledgements to repeat."""


class OfficeStore(IngestStore, Protocol):
    """What the office adds: its own transitions, acknowledgements, pushes. Reading is `store.reader`."""

    def add_ack(self, site: str, ack: Ack) -> "Future[str]":
        """Keep an acknowledgement; return `pending`, or `moot` if nothing is left to do. Repeats change nothing."""

    def add_transitions(
        self, epoch: str, at: Micros, moves: Sequence[Transition]
    ) -> "Future[Sequence[StoredTransition]]":
        """Add transitions of an office's own, such as a silent site, under epoch `office-<id>`."""

    def undecided(self) -> list[StoredTransition]:
        """Return the transitions about which notify has not decided, in order: so a kill loses no push."""

    def decide(
        self, transition: int, decision: str, pushes: Sequence[Push], chatter: Chatter | None = None
    ) -> "Future[Sequence[int]]":
        """Record the decision and what follows from it in one transaction; return the ids of the pushes."""

    def tell(self, digest: Digest, pushes: Sequence[Push]) -> "Future[Sequence[int]]":
        """Record a digest and its planned pushes in one transaction; return their ids. Repeats change nothing."""

    def save_push(self, push: Push) -> "Future[int]":
        """Insert (id 0) or overwrite a push; return its id."""

    def unfinished_pushes(self) -> list[Push]:
        """Return the pushes that were planned or begun and not finished."""
