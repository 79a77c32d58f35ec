"""The ingest's machine where others write to the same store: it keeps no order of its own and asks the store. Pure.

What it does otherwise than `ingest_machine`:

1. Every alarms block goes to the store. One that comes back as `early` is parked, without a receipt, and tried again;
   what is missing before it is asked for, unless another worker has it on the way.
2. A catalogue that this worker does not know is looked for in the store before its site is asked.
"""

from dataclasses import dataclass, field

from cloud_sync.ingest_machine import IngestMachine
from cloud_sync.ingest_records import Arrival, Batch, Key, Look, Output
from cloud_sync.store.base import Outcome, PutBlock, PutMissing, Shape, Transaction, Turn
from cloud_sync.wire import Request
from sitekeeper.model.clock import MS, Micros

TRY_AGAIN: Micros = 250 * MS
"""Between two looks at what is parked: about as long as another worker needs for a transaction."""
OURS: Micros = 1_000 * MS
"""How long another worker may need for what is missing, before the site is asked for it."""


@dataclass(slots=True)
class SharedIngestMachine(IngestMachine):
    """An ingest machine that is one of several on a store."""

    _now: Micros = 0
    _next_try: Micros = 0
    _waiting: dict[Key, tuple[int, Micros]] = field(default_factory=dict)  # for which turn, and since when

    def __post_init__(self) -> None:
        IngestMachine.__post_init__(self)
        self._alarms.clear()  # whose turn it is the store says

    def accept(self, arrival: Arrival, now: Micros) -> list[Output]:
        self._now = now
        return IngestMachine.accept(self, arrival, now)

    def advance(self, now: Micros) -> list[Output]:
        """Try what is parked again."""
        self._now = now
        if now < self._next_try:
            return []
        self._next_try = now + TRY_AGAIN
        for key in list(self._parking.early):
            self._drain(key)
        unnamed = list(self._parking.unnamed.items())
        return [Look(next(iter(waiting))[0], catalogue) for catalogue, waiting in unnamed if waiting]

    def looked(self, look: Look, shape: Shape | None) -> list[Output]:
        """Take the store's answer: go on with what waited, or ask the site."""
        if shape is not None:
            return self.learnt(look.catalogue, shape, self._now)
        return self._asking.ask(look.site, look.catalogue, Request(catalogue=look.catalogue), self._now)

    def committed(self, batch: Batch, outcome: Outcome) -> list[Output]:
        """Answer for what is durable; park what was too early."""
        kept = [place for place, applied in enumerate(outcome.applied) if applied != "early"]
        entries = batch.transaction.entries
        durable = Batch(
            Transaction(at=batch.transaction.at, entries=tuple(entries[place] for place in kept)),
            tuple(batch.arrivals[place] for place in kept),
        )
        done = Outcome(applied=tuple(outcome.applied[place] for place in kept))
        outputs = IngestMachine.committed(self, durable, done)
        for entry, arrival, applied in zip(entries, batch.arrivals, outcome.applied, strict=True):
            if applied == "early" and isinstance(entry, PutBlock) and arrival is not None:
                outputs += self._too_early(entry, arrival, outcome.turns[entry.block.site, entry.block.epoch])
        for entry in durable.transaction.entries:
            if isinstance(entry, PutBlock) and entry.block.stream == "alarms":
                key = (entry.block.site, entry.block.epoch)
                outputs += [*self._parking.ask_again(key, entry.block.sequence + 1), *self._drain(key)]
        return outputs

    def _too_early(self, put: PutBlock, arrival: Arrival, turn: Turn) -> list[Output]:
        self.counts["early"] += 1
        key = (put.block.site, put.block.epoch)
        outputs = self._parking.keep_early(key, put, arrival)
        waits_for, since = self._waiting.get(key, (0, 0))
        if waits_for != turn.next:
            since = self._now
            self._waiting[key] = (turn.next, since)
        unknown = turn.first is None and turn.next == 1  # the site's status will say where this epoch begins
        if unknown or self._now - since < OURS:
            return outputs
        is_over = self._words.is_over(key, since)  # of an earlier file: no word of the site will come
        first = min([put.block.sequence, *self._parking.early[key]]) if is_over else turn.first
        explained = turn.first is not None and turn.first - turn.next <= turn.unread
        if first is not None and first > turn.next and (explained or self._now - since >= self.limits.give_up):
            start, end = turn.next, first - 1
            self._ready(PutMissing(site=key[0], epoch=key[1], stream="alarms", start=start, end=end), None)
            return outputs
        return [*outputs, *self._ask_for_alarms(key, turn.next, put.block.sequence - 1, self._now)]

    def _want(self, site: str, catalogue: str, now: Micros) -> list[Output]:
        del now
        return [Look(site, catalogue)]

    def _in_order(self, put: PutBlock, arrival: Arrival, now: Micros) -> list[Output]:
        del now
        self._ready(put, arrival, len(put.payload))
        return []

    def _drain(self, key: Key) -> list[Output]:
        """Give the store the parked alarms blocks of an epoch again, in order."""
        for _, parked in sorted(self._parking.early.pop(key, {}).items()):
            self._ready(parked.put, parked.arrival, len(parked.put.payload))
        return []

    def _first_alarm(self, key: Key, first: int, now: Micros) -> list[Output]:
        """The store has it with the status."""
        del key, first, now
        return []
