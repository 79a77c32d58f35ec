"""What the office does with each message: apply, park, ask, or put into quarantine. Pure.

1. A block is receipted when, and only when, the transaction that holds it has been committed (`committed`): applied,
   found to be a repeat, or put into quarantine with its bytes. The store decides which, in that same transaction.
2. Alarms blocks are applied strictly in order per (site, epoch). One that comes too early is parked, without a
   receipt, and the missing ones are asked for; those that the site does not have are passed by. The first one of an
   unknown epoch is the one that the site's status names as the first it can still send. Where more than `near` are
   missing below that one, the record is an old copy: new alarms do not wait for so many, which `lacking` asks for and
   which are stored whenever they come.
3. A block whose catalogue is unknown is parked until the catalogue came; it is asked for.
4. What cannot be read goes into quarantine and stops nothing behind it.
5. Alarms that a site tells from memory are stored at once and beside the order: the durable block settles them.

Parking is bounded, and what is parked is acknowledged to the broker, so that it takes no place of what it waits for.
What does not fit is forgotten, and so is all of it with the process: without a receipt the site keeps the block and
sends it again.
"""

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TypeVar

from cloud_sync import wire
from cloud_sync.fit import misfit, misshapen, unusable
from cloud_sync.ingest_records import (
    ANSWERED,
    Acknowledge,
    Answer,
    Arrival,
    Ask,
    Batch,
    Heard,
    IngestLimits,
    Key,
    Look,
    Output,
    Parked,
    Ready,
)
from cloud_sync.store.base import (
    Entry,
    Known,
    Outcome,
    PutBlock,
    PutCatalogue,
    PutMissing,
    PutQuarantine,
    PutStatus,
    PutVolatile,
    QuarantineReason,
    Shape,
    Transaction,
)
from cloud_sync.wire import Request, Resend, Status
from sitekeeper.block import Header, Stream, decode, peek
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import FormatError, FormatTooNew

_K = TypeVar("_K")

MOST_KEYS = 4_096
"""Epochs, and things asked for, that are remembered; beyond it the oldest goes first."""


@dataclass(slots=True)
class IngestMachine:
    """The receiving half. The shell moves messages and commits; everything decided is decided here.

    Attributes:
        counts: how many entries came to what: new, repeat, conflict, quarantined, and messages `ignored` (not ours) or
            `overflowed` (no room to park them).
    """

    known: Known
    limits: IngestLimits = field(default_factory=IngestLimits)
    counts: Counter[str] = field(default_factory=Counter)
    _urgent: deque[Ready] = field(default_factory=deque)
    _bulk: deque[Ready] = field(default_factory=deque)
    _catalogues: dict[str, Shape] = field(default_factory=dict)
    _alarms: dict[Key, int] = field(default_factory=dict)  # last alarms block that is committed or on its way there
    _first: dict[Key, int] = field(default_factory=dict)
    _hole_since: dict[Key, Micros] = field(default_factory=dict)
    _absent: dict[str, tuple[Resend, ...]] = field(default_factory=dict)
    _early: dict[Key, dict[int, Parked]] = field(default_factory=dict)
    _unnamed: dict[str, dict[tuple[str, str, Stream, int], Parked]] = field(default_factory=dict)
    _asked: dict[tuple[str, str], Micros] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._catalogues.update(self.known.catalogues)
        self._alarms.update(self.known.alarms)

    # messages in

    def accept(self, arrival: Arrival, now: Micros) -> list[Output]:
        """Take one message. What it leads to is in `batch` from now on, or parked, or answered at once."""
        delivery = arrival.delivery
        try:
            site, direction, kind = wire.parse_topic(delivery.topic)
        except FormatError:
            return self._ignore(arrival)
        if direction != "up":
            return self._ignore(arrival)
        match kind:
            case "status":
                return self._status(site, arrival, now)
            case "catalogue":
                return [Heard(site, None), *self._catalogue(site, arrival, now)]
            case "alarms" | "events" | "samples":
                return [Heard(site, None), *self._block(site, kind, arrival, now)]
            case "alarms-volatile":
                return [Heard(site, None), *self._volatile(site, arrival)]
            case _:
                return self._ignore(arrival)

    def advance(self, now: Micros) -> list[Output]:
        """Let time pass; to be called every few hundred milliseconds. Alone with its store nothing waits for that."""
        del now
        return []

    def looked(self, look: Look, shape: Shape | None) -> list[Output]:
        """Take the store's answer to a Look; alone with its store it knows all catalogues and asks for none."""
        del look, shape
        return []

    # transactions out

    def pending(self) -> tuple[int, int]:
        """Return how many urgent and how many bulk entries are ready to be committed."""
        return len(self._urgent), len(self._bulk)

    def full(self) -> bool:
        """Tell whether enough bulk entries are ready to fill a transaction."""
        return len(self._bulk) >= self.limits.blocks or sum(one.size for one in self._bulk) >= self.limits.size

    def batch(self, at: Micros) -> Batch | None:
        """Return the next transaction: the urgent entries if there are any, else bulk ones; None if nothing is ready.

        Alarms, events, catalogues and states never share a transaction with samples, so that they never wait for
        their insertion.
        """
        ready = self._urgent or self._bulk
        taken: list[Ready] = []
        size = 0
        while ready and len(taken) < self.limits.blocks and (not taken or size + ready[0].size <= self.limits.size):
            size += ready[0].size
            taken.append(ready.popleft())
        if not taken:
            return None
        return Batch(Transaction(at=at, entries=tuple(one.entry for one in taken)), tuple(one.arrival for one in taken))

    def committed(self, batch: Batch, outcome: Outcome) -> list[Output]:
        """The transaction is durable: receipts first, then the acknowledgements to the broker. The only receipts."""
        receipts: dict[str, list[tuple[str, Stream, int]]] = {}
        outputs: list[Output] = []
        for entry, applied in zip(batch.transaction.entries, outcome.applied, strict=True):
            self.counts[applied] += 1
            if isinstance(entry, PutBlock):
                block = entry.block
                receipts.setdefault(block.site, []).append((block.epoch, block.stream, block.sequence))
            elif isinstance(entry, PutQuarantine) and entry.reason != "too-new" and applied != "overflow":
                outputs.append(Ask(entry.site, Request(quarantined=entry.digest)))
        answers = [Answer(site, wire.receipt_for(batch.transaction.at, found)) for site, found in receipts.items()]
        acks = [Acknowledge(one) for one in batch.arrivals if one is not None and one.connection != ANSWERED]
        return [*answers, *outputs, *acks]

    # one kind of message each

    def _status(self, site: str, arrival: Arrival, now: Micros) -> list[Output]:
        try:
            status = wire.decode_status(arrival.delivery.payload)
        except FormatError:
            return self._ignore(arrival)
        if status.site != site:
            return self._ignore(arrival)
        live = not arrival.delivery.retained
        self._ready(PutStatus(status=status, live=live), arrival)
        outputs: list[Output] = [Heard(site, status.online)] if live else []
        first = status.first.get("alarms")
        if first is not None:
            outputs += self._first_alarm((site, status.epoch), first, now)
        self._gone(status)
        return outputs

    def _catalogue(self, site: str, arrival: Arrival, now: Micros) -> list[Output]:
        payload = arrival.delivery.payload
        try:
            catalogue = decode_catalogue(payload)
        except FormatError as err:
            reason: QuarantineReason = "too-new" if isinstance(err, FormatTooNew) else "catalogue"
            self._quarantine(site, "catalogue", arrival, reason, str(err))
            return []
        if catalogue.site != site:
            self._quarantine(site, "catalogue", arrival, "wrong-topic", f"catalogue of site {catalogue.site!r}")
            return []
        found = catalogue_hash(payload)
        self._ready(PutCatalogue(site=site, hash=found, payload=payload, catalogue=catalogue), arrival)
        return self.learnt(found, Shape.of(catalogue), now)

    def _block(self, site: str, kind: Stream, arrival: Arrival, now: Micros) -> list[Output]:
        payload = arrival.delivery.payload
        try:
            block = decode(payload)
        except FormatTooNew as err:
            return self._unreadable(site, kind, arrival, "too-new", str(err))
        except FormatError as err:
            return self._unreadable(site, kind, arrival, "undecodable", str(err))
        if block.site != site or block.stream != kind:
            detail = f"block of site {block.site!r}, stream {block.stream}"
            self._quarantine(site, kind, arrival, "wrong-topic", detail)
            return []
        put = PutBlock(block=block, payload=payload, digest=wire.digest(payload))
        if block.catalogue in self._catalogues:
            return self._apply(put, arrival, now)
        asks = self._want(site, block.catalogue, now)
        if not (block.samples or block.vouch):  # understood without a catalogue, so not kept waiting for one
            return [*asks, *self._apply(put, arrival, now)]
        waiting = self._unnamed.setdefault(block.catalogue, {})
        return [*asks, *self._park(waiting, (site, block.epoch, block.stream, block.sequence), put, arrival)]

    def _want(self, site: str, catalogue: str, now: Micros) -> list[Output]:
        return self._ask(site, catalogue, Request(catalogue=catalogue), now)

    def learnt(self, catalogue: str, shape: Shape, now: Micros) -> list[Output]:
        """Go on with the blocks that waited for this catalogue: it is in the store, or before them on the way there."""
        self._catalogues[catalogue] = shape
        outputs: list[Output] = []
        for parked in self._unnamed.pop(catalogue, {}).values():
            outputs += self._apply(parked.put, parked.arrival, now)
        return outputs

    def _volatile(self, site: str, arrival: Arrival) -> list[Output]:
        """Store what a site tells past its disk; one that cannot be used is left to its durable block to explain."""
        try:
            block = decode(arrival.delivery.payload)
        except FormatError:
            return self._ignore(arrival)
        if block.site != site or block.stream != "alarms" or misshapen(block):
            return self._ignore(arrival)
        self._ready(PutVolatile(block=block), arrival, len(arrival.delivery.payload))
        return []

    def _apply(self, put: PutBlock, arrival: Arrival, now: Micros) -> list[Output]:
        shape = self._catalogues.get(put.block.catalogue)
        fault = misshapen(put.block) or (misfit(put.block, shape) if shape is not None else "")
        if fault:
            return self._unreadable(put.block.site, put.block.stream, arrival, "constraint", fault)
        if put.block.stream == "alarms":
            return self._in_order(put, arrival, now)
        self._ready(put, arrival, len(put.payload))
        return []

    def _unreadable(
        self, site: str, kind: Stream, arrival: Arrival, reason: QuarantineReason, detail: str
    ) -> list[Output]:
        """Put a block into quarantine; where its identity can be told, it takes its place in the order of alarms."""
        try:
            header = peek(arrival.delivery.payload)
        except FormatError:
            header = None
        if header is None or header.site != site or header.stream != kind:
            self._quarantine(site, kind, arrival, reason, detail)
            return []
        self._quarantine(site, kind, arrival, reason, detail, header=header)
        if reason == "too-new":
            which = Resend(header.epoch, kind, header.sequence, header.sequence)
            return [Ask(site, Request(version=which))]
        key = (site, header.epoch)
        if kind == "alarms" and self._alarms.get(key) == header.sequence - 1:
            self._alarms[key] = header.sequence
            self._drain(key)
        return []

    # alarms, strictly in order

    def _in_order(self, put: PutBlock, arrival: Arrival, now: Micros) -> list[Output]:
        block = put.block
        key = (block.site, block.epoch)
        if key not in self._alarms:
            first = 1 if block.sequence == 1 or self._is_over(key) else self._first.get(key)
            if first is not None:
                self._alarms[key] = first - 1
        position = self._alarms.get(key)
        if position is None or block.sequence > position + 1:
            outputs = self._park(self._early.setdefault(key, {}), block.sequence, put, arrival)
            if position is not None:
                self._hole_since.setdefault(key, now)
                outputs += self._ask_for_alarms(key, position + 1, block.sequence - 1, now)
            return outputs
        self._ready(put, arrival, len(put.payload))
        if block.sequence == position + 1:
            self._alarms[key] = block.sequence
            if key in self._hole_since:
                self._hole_since[key] = now  # they are coming
            self._drain(key)
        return []

    def _is_over(self, key: Key) -> bool:
        """Tell whether a site speaks under another epoch now: no status of it says where this one begins."""
        return key not in self._first and any(site == key[0] for site, _ in self._first)

    def _drain(self, key: Key) -> None:
        """Apply the parked alarms blocks that are next now; forget those that came in the meantime."""
        early = self._early.get(key, {})
        while (parked := early.pop(self._alarms[key] + 1, None)) is not None:
            self._alarms[key] += 1
            self._ready(parked.put, parked.arrival, len(parked.put.payload))
        for sequence in [sequence for sequence in early if sequence <= self._alarms[key]]:
            parked = early.pop(sequence)
            self._ready(parked.put, parked.arrival, len(parked.put.payload))
        if not early:
            self._early.pop(key, None)
            self._hole_since.pop(key, None)

    def _first_alarm(self, key: Key, first: int, now: Micros) -> list[Output]:
        """The site says which alarms block is the first that it can still send without looking into its history."""
        self._first[key] = first
        if len(self._first) > MOST_KEYS:
            del self._first[next(iter(self._first))]
        if key not in self._alarms:
            if key in self._early:
                self._alarms[key] = first - 1
                self._drain(key)
            return []
        position = self._alarms[key]
        if first <= position + 1:
            return []
        if first - position - 1 <= self.limits.near:
            if now - self._hole_since.setdefault(key, now) < self.limits.give_up:
                return self._ask_for_alarms(key, position + 1, first - 1, now)
            missing = PutMissing(site=key[0], epoch=key[1], stream="alarms", start=position + 1, end=first - 1)
            self._ready(missing, None)
        self._alarms[key] = first - 1
        self._hole_since.pop(key, None)
        self._drain(key)
        return []

    def _gone(self, status: Status) -> None:
        """The site says which of the blocks that it was asked for it does not have any more; nobody has them then."""
        if status.absent and self._absent.get(status.site) != status.absent:
            self._absent[status.site] = status.absent
            for one in sorted(status.absent, key=lambda one: one.start):
                missing = PutMissing(site=status.site, epoch=one.epoch, stream=one.stream, start=one.start, end=one.end)
                self._ready(missing, None)
                key = (status.site, one.epoch)
                if one.stream == "alarms" and one.start <= self._alarms.get(key, one.end) + 1 <= one.end:
                    self._alarms[key] = one.end
                    self._drain(key)

    # bookkeeping

    def _ready(self, entry: Entry, arrival: Arrival | None, size: int = 0) -> None:
        bulk = isinstance(entry, PutBlock) and entry.block.stream == "samples"
        (self._bulk if bulk else self._urgent).append(Ready(entry, arrival, size))

    def _park(self, where: dict[_K, Parked], key: _K, put: PutBlock, arrival: Arrival) -> list[Output]:
        """Keep a block until it can go on, without a receipt.

        The broker is answered at once: it sends only so many messages that nobody has answered, and what the parked
        ones wait for would be behind them.
        """
        if key not in where and self.parked() >= self.limits.parked:
            self.counts["overflowed"] += 1
            return [Acknowledge(arrival)]
        where[key] = Parked(put, replace(arrival, connection=ANSWERED))
        return [] if arrival.connection == ANSWERED else [Acknowledge(arrival)]

    def parked(self) -> int:
        """Return how many blocks wait for something else to come first."""
        return sum(map(len, self._early.values())) + sum(map(len, self._unnamed.values()))

    def _quarantine(
        self,
        site: str,
        kind: str,
        arrival: Arrival,
        reason: QuarantineReason,
        detail: str,
        *,
        header: Header | None = None,
    ) -> None:
        payload = arrival.delivery.payload
        self._ready(unusable(site, kind, payload, reason, detail, header), arrival, len(payload))

    def _ask_for_alarms(self, key: Key, start: int, end: int, now: Micros) -> list[Output]:
        return self._ask(key[0], key[1], Request(resend=Resend(key[1], "alarms", start, end)), now)

    def _ask(self, site: str, what: str, request: Request, now: Micros) -> list[Output]:
        asked = self._asked.get((site, what))
        if asked is not None and now - asked < self.limits.ask_every:
            return []
        self._asked[site, what] = now
        if len(self._asked) > MOST_KEYS:
            del self._asked[next(iter(self._asked))]
        return [Ask(site, request)]

    def _ignore(self, arrival: Arrival) -> list[Output]:
        self.counts["ignored"] += 1
        return [Acknowledge(arrival)]
