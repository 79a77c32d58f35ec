"""What the office does with each message: apply, park, ask, or put into quarantine. Pure.

1. A block is receipted when, and only when, the transaction that holds it has been committed (`committed`): applied,
   found to be a repeat, or put into quarantine with its bytes. The store decides which, in that same transaction.
2. Alarms blocks are applied strictly in order per (site, epoch). One that comes too early is parked, without a
   receipt, and the missing ones are asked for; those that the site does not have are passed by. The first one of an
   unknown epoch is the one that the site's status names as the first it can still send. Where more than `near` are
   missing below that one, the record is an old copy: new alarms do not wait for so many, which `lacking` asks for and
   which are stored whenever they come.
3. A block whose catalogue is unknown is parked until the catalogue came; it is asked for.
4. What cannot be read goes into quarantine and stops nothing behind it; so does a block that its site cannot have
   sealed (`fit.implausible`), which takes no place in the record, because all before it would be waited for.
5. Alarms that a site tells from memory are stored at once and beside the order: the durable block settles them.

Parking is bounded, and what is parked is acknowledged to the broker, so that it takes no place of what it waits for.
What does not fit is forgotten, and so is all of it with the process: without a receipt the site keeps the block and
sends it again.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from cloud_sync import fit, wire
from cloud_sync.ingest_parking import MOST_KEYS, Asking, Parking, Settled, Unread, Words, bounded
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
    Ready,
    words_after,
)
from cloud_sync.store.base import (
    Entry,
    Known,
    Outcome,
    PutBlock,
    PutCatalogue,
    PutMissing,
    PutStatus,
    PutVolatile,
    Shape,
    Transaction,
)
from cloud_sync.wire import Request, Resend, Status
from sitekeeper.block import Block, Header, Stream, decode
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import FormatError

__all__ = ["MOST_KEYS", "IngestMachine"]


@dataclass(slots=True)
class IngestMachine:
    """The receiving half. The shell moves messages and commits; everything decided is decided here.

    Attributes:
        counts: how many entries came to what: new, repeat, conflict, quarantined, and messages `ignored` (not ours) or
            `overflowed` (no room for them to wait), `waiting` (a repeat of what waits).
        bulk_size: most bytes of samples in one transaction at present; see `grouping`.
    """

    known: Known
    limits: IngestLimits = field(default_factory=IngestLimits)
    counts: Counter[str] = field(default_factory=Counter)
    bulk_size: int = 0
    _urgent: deque[Ready] = field(default_factory=deque)
    _bulk: deque[Ready] = field(default_factory=deque)
    _catalogues: dict[str, Shape] = field(default_factory=dict)
    _alarms: dict[Key, int] = field(default_factory=dict)  # last alarms block that is committed or on its way there
    _first: dict[Key, int] = field(default_factory=dict)
    _hole_since: dict[Key, Micros] = field(default_factory=dict)
    _settled: Settled = field(default_factory=Settled)
    _unread: Unread = field(default_factory=Unread)
    _words: Words = field(default_factory=Words)
    _parking: Parking = field(init=False)
    _asking: Asking = field(init=False)

    def __post_init__(self) -> None:
        self.bulk_size = self.bulk_size or self.limits.size
        self._parking = Parking(self.limits, self.counts)
        self._asking = Asking(self.limits.ask_every)
        self._catalogues.update(self.known.catalogues)
        self._alarms.update(self.known.alarms)
        for key, start, end in self.known.settled:
            self._settled.add(key, start, end)

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
                return [Heard(site, None), *self._volatile(site, arrival, now)]
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
        return len(self._bulk) >= self.limits.blocks or sum(one.size for one in self._bulk) >= self.bulk_size

    def batch(self, at: Micros) -> Batch | None:
        """Return the next transaction: the urgent entries if there are any, else bulk ones; None if nothing is ready.

        Alarms, events, catalogues and states never share a transaction with samples, so that they never wait for
        their insertion.
        """
        ready, most = (self._urgent, self.limits.size) if self._urgent else (self._bulk, self.bulk_size)
        taken: list[Ready] = []
        size = 0
        while ready and len(taken) < self.limits.blocks and (not taken or size + ready[0].size <= most):
            size += ready[0].size
            taken.append(ready.popleft())
        if not taken:
            return None
        transaction = Transaction(at=at, entries=tuple(one.entry for one in taken))
        return Batch(transaction, tuple(one.arrival for one in taken), bulk=0 if ready is self._urgent else size)

    def committed(self, batch: Batch, outcome: Outcome) -> list[Output]:
        """The transaction is durable: receipts first, then the acknowledgements to the broker. The only receipts."""
        receipts: dict[str, list[tuple[str, Stream, int]]] = {}
        outputs: list[Output] = []
        for entry, applied in zip(batch.transaction.entries, outcome.applied, strict=True):
            self.counts[applied] += 1
            if isinstance(entry, PutBlock):
                block = entry.block
                receipts.setdefault(block.site, []).append((block.epoch, block.stream, block.sequence))
            outputs += words_after(entry, applied)
        answers = [Answer(site, wire.receipt_for(batch.transaction.at, found)) for site, found in receipts.items()]
        acks = [Acknowledge(one) for one in batch.arrivals if one is not None and one.connection != ANSWERED]
        return [*answers, *outputs, *acks]

    # one kind of message each

    def _status(self, site: str, arrival: Arrival, now: Micros) -> list[Output]:
        try:
            status = wire.decode_status(arrival.delivery.payload)
        except FormatError:
            return self._ignore(arrival)
        if status.site != site or max([*status.first.values(), *status.next.values()], default=0) > fit.LAST:
            return self._ignore(arrival)
        live = not arrival.delivery.retained
        self._ready(PutStatus(status=status, live=live), arrival)
        outputs: list[Output] = []
        if live:
            outputs.append(Heard(site, status.online))
            self._words.heard(status, now)
        first = status.first.get("alarms")
        if first is not None:
            outputs += self._first_alarm((site, status.epoch), first, now)
        return [*outputs, *self._gone(status)]

    def _catalogue(self, site: str, arrival: Arrival, now: Micros) -> list[Output]:
        payload = arrival.delivery.payload
        catalogue = fit.read_catalogue(payload, site)
        if isinstance(catalogue, fit.Unfit):
            self._quarantine(site, "catalogue", arrival, catalogue)
            return []
        found = catalogue_hash(payload)
        self._ready(PutCatalogue(site=site, hash=found, payload=payload, catalogue=catalogue), arrival)
        return self.learnt(found, Shape.of(catalogue), now)

    def _block(self, site: str, kind: Stream, arrival: Arrival, now: Micros) -> list[Output]:
        payload = arrival.delivery.payload
        block = fit.read(payload, site, kind)
        if isinstance(block, fit.Unfit):
            return self._unreadable(site, kind, arrival, block, now)
        if far := self._far(block, now):
            header = Header(block.site, block.epoch, block.stream, block.sequence)
            self._quarantine(site, kind, arrival, fit.Unfit("sequence", far), header)
            return []
        put = PutBlock(block=block, payload=payload, digest=wire.digest(payload))
        if block.catalogue in self._catalogues:
            return self._apply(put, arrival, now)
        asks = self._want(site, block.catalogue, now)
        if not (block.samples or block.vouch):  # understood without a catalogue, so not kept waiting for one
            return [*asks, *self._apply(put, arrival, now)]
        waiting = self._parking.unnamed.setdefault(block.catalogue, {})
        which = (site, block.epoch, block.stream, block.sequence)
        return [*asks, *self._parking.put(waiting, which, put, arrival)]

    def _far(self, block: Block | Header, now: Micros) -> str:
        return fit.implausible(block, self._words.following((block.site, block.epoch), block.stream, now))

    def _want(self, site: str, catalogue: str, now: Micros) -> list[Output]:
        return self._asking.ask(site, catalogue, Request(catalogue=catalogue), now)

    def learnt(self, catalogue: str, shape: Shape, now: Micros) -> list[Output]:
        """Go on with the blocks that waited for this catalogue: it is in the store, or before them on the way there."""
        self._catalogues[catalogue] = shape
        outputs: list[Output] = []
        for parked in self._parking.unnamed.pop(catalogue, {}).values():
            outputs += self._apply(parked.put, parked.arrival, now)
        return outputs

    def forget(self, catalogues: Sequence[str]) -> None:
        """Know these catalogues no more: they went from the store for newer ones."""
        for one in catalogues:
            self._catalogues.pop(one, None)

    def _volatile(self, site: str, arrival: Arrival, now: Micros) -> list[Output]:
        """Store what a site tells past its disk; one that cannot be used is left to its durable block to explain."""
        try:
            block = decode(arrival.delivery.payload)
        except FormatError:
            return self._ignore(arrival)
        if block.site != site or block.stream != "alarms" or fit.misshapen(block) or self._far(block, now):
            return self._ignore(arrival)
        self._ready(PutVolatile(block=block), arrival, len(arrival.delivery.payload))
        return []

    def _apply(self, put: PutBlock, arrival: Arrival, now: Micros) -> list[Output]:
        shape = self._catalogues.get(put.block.catalogue)
        fault = fit.misshapen(put.block) or (fit.misfit(put.block, shape) if shape is not None else "")
        if fault:
            return self._unreadable(put.block.site, put.block.stream, arrival, fit.Unfit("constraint", fault), now)
        if put.block.stream == "alarms":
            return self._in_order(put, arrival, now)
        self._ready(put, arrival, len(put.payload))
        return []

    def _unreadable(self, site: str, kind: Stream, arrival: Arrival, unfit: fit.Unfit, now: Micros) -> list[Output]:
        """Put a block into quarantine; where its identity can be told, it takes its place in the order of alarms."""
        header = fit.header_of(arrival.delivery.payload, site, kind)
        if header is None or self._far(header, now):
            self._quarantine(site, kind, arrival, unfit)
            if header is None and kind == "alarms" and unfit.reason != "too-new":
                self._unread.put(site, wire.digest(arrival.delivery.payload))
            return []
        self._quarantine(site, kind, arrival, unfit, header)
        if unfit.reason == "too-new":
            which = Resend(header.epoch, kind, header.sequence, header.sequence)
            return [Ask(site, Request(version=which))]
        key = (site, header.epoch)
        if kind == "alarms":
            self._begin(key, header.sequence)
            self._settled.add(key, header.sequence, header.sequence)
        return self._drain(key) if key in self._alarms else []

    # alarms, strictly in order

    def _in_order(self, put: PutBlock, arrival: Arrival, now: Micros) -> list[Output]:
        block = put.block
        key = (block.site, block.epoch)
        self._begin(key, block.sequence)
        position = self._alarms.get(key)
        if position is None or block.sequence > position + 1:
            outputs = self._parking.keep_early(key, put, arrival)
            if position is None:
                return outputs
            if self._settled.last(key, position + 1) is not None:
                return [*outputs, *self._drain(key)]
            since = self._hole_since.setdefault(key, now)
            if now - since >= self.limits.give_up and self._words.is_over(key, since):
                # Of an earlier file, and its gateway may be too old to say what it has not: no word will come.
                return [*outputs, *self._give_up(key, min([block.sequence, *self._parking.early[key]]))]
            return [*outputs, *self._ask_for_alarms(key, position + 1, block.sequence - 1, now)]
        self._ready(put, arrival, len(put.payload))
        if block.sequence == position + 1:
            self._alarms[key] = block.sequence
            if key in self._hole_since:
                self._hole_since[key] = now  # they are coming
            return self._drain(key)
        return []

    def _begin(self, key: Key, sequence: int) -> None:
        """Find out where the alarms of an unknown epoch begin, of which this one came."""
        if key not in self._alarms:
            first = 1 if sequence == 1 or self._is_over(key) else self._first.get(key)
            if first is not None:
                self._alarms[key] = first - 1

    def _is_over(self, key: Key) -> bool:
        """Tell whether a site speaks under another epoch now: no status of it says where this one begins."""
        return key not in self._first and any(site == key[0] for site, _ in self._first)

    def _drain(self, key: Key) -> list[Output]:
        """Apply the parked alarms blocks that are next now, past those that nobody has; forget those that came.

        What found no room is asked for now that it is its turn: the site would send it again in its own time only.
        """
        early = self._parking.early.get(key, {})
        while True:
            following = self._alarms[key] + 1
            if (parked := early.pop(following, None)) is not None:
                self._alarms[key] = following
                self._ready(parked.put, parked.arrival, len(parked.put.payload))
            elif (gone := self._settled.last(key, following)) is not None:
                self._alarms[key] = gone
            else:
                break
        for sequence in [sequence for sequence in early if sequence <= self._alarms[key]]:
            parked = early.pop(sequence)
            self._ready(parked.put, parked.arrival, len(parked.put.payload))
        if not early:
            self._parking.early.pop(key, None)
            self._hole_since.pop(key, None)
        return self._parking.ask_again(key, self._alarms[key] + 1)

    def _first_alarm(self, key: Key, first: int, now: Micros) -> list[Output]:
        """The site says which alarms block is the first that it can still send without looking into its history."""
        bounded(self._first, key, first)
        if key not in self._alarms:
            if key in self._parking.early:
                self._alarms[key] = first - 1
                return self._drain(key)
            return []
        position = self._alarms[key]
        missing = first - position - 1
        if missing <= 0:
            return []
        if self._unread.explain(key[0], missing):  # an older gateway never says so itself
            return self._give_up(key, first)
        if missing <= self.limits.near:
            if now - self._hole_since.setdefault(key, now) < self.limits.give_up:
                return self._ask_for_alarms(key, position + 1, first - 1, now)
            return self._give_up(key, first)
        return self._go_on(key, first)

    def _give_up(self, key: Key, first: int) -> list[Output]:
        """Nobody sends the alarms before this one: say so, and wait for them no longer."""
        start, end = self._alarms[key] + 1, first - 1
        self._ready(PutMissing(site=key[0], epoch=key[1], stream="alarms", start=start, end=end), None)
        return self._go_on(key, first)

    def _go_on(self, key: Key, first: int) -> list[Output]:
        self._alarms[key] = first - 1
        self._hole_since.pop(key, None)
        return self._drain(key)

    def _gone(self, status: Status) -> list[Output]:
        """The site says which of the blocks that it was asked for it does not have any more; nobody has them then."""
        missing = self._settled.heard(status)
        for one in missing:
            self._ready(one, None)
        keys = dict.fromkeys((one.site, one.epoch) for one in missing if one.stream == "alarms")
        return [output for key in keys if key in self._alarms for output in self._drain(key)]

    # bookkeeping

    def _ready(self, entry: Entry, arrival: Arrival | None, size: int = 0) -> None:
        bulk = isinstance(entry, PutBlock) and entry.block.stream == "samples"
        (self._bulk if bulk else self._urgent).append(Ready(entry, arrival, size))

    def parked(self) -> int:
        """Return how many blocks wait for something else to come first."""
        return self._parking.count()

    def _quarantine(
        self, site: str, kind: str, arrival: Arrival, unfit: fit.Unfit, header: Header | None = None
    ) -> None:
        payload = arrival.delivery.payload
        self._ready(fit.unusable(site, kind, payload, unfit, header), arrival, len(payload))

    def _ask_for_alarms(self, key: Key, start: int, end: int, now: Micros) -> list[Output]:
        return self._asking.ask(key[0], key[1], Request(resend=Resend(key[1], "alarms", start, end)), now)

    def _ignore(self, arrival: Arrival) -> list[Output]:
        self.counts["ignored"] += 1
        return [Acknowledge(arrival)]
