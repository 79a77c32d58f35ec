"""The ledger of events: which of those that devices tell are new, and which never came. Pure.

A counter is a teller's own numbering of its events: one controller of four doors has one. For each counter the ledger
keeps the first and the highest sequence of its account, the last 512 events as (sequence, fingerprint), and the ranges
that are missing. An event known by number and fingerprint is a repeat, whatever its place. Else it is new, and if it is

    the next one            that is all
    higher                  what lies between is a gap
    in a gap                the gap is filled so far
    a little before first   the account begins there, with a gap up to where it began
    lower, told live        the counter has begun anew, and with it the account
    lower, buffered         a straggler; the account stays as it is

The fingerprint is of what was said, when and of which device, so that an event told again is known whatever its way
here, and a counter that begins anew is not taken for a repeat. A repeat from further back than 512 events counts as
new: an event twice is a lesser evil than none. An event without a counter or sequence is always new.

Nothing here changes by asking. `sort` says what is new and what the counters would then be; `keep` makes it so, and
belongs after the append that carries both. Whoever does not get that far asks again and gets the same answer.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from drivers.base import Heard
from sitekeeper.model.errors import FormatError

REMEMBERED: Final = 512
"""Events by which a repeat is known, per counter."""

RANGES: Final = 64
"""Missing ranges kept per counter. Beyond it the two oldest are taken together, with what came between them."""

PREFIX: Final = "~events/"
"""Where the counters are among the saved states."""

NEAR: Final = 64
"""How far before the first event of an account one may lie that merely came later, as after the first connection."""

_FORMAT: Final = 1
_DIGEST: Final = 8


@dataclass(frozen=True, slots=True)
class AuditGap:
    """Events that were counted and have not come; an unknown number of them if the counter began anew.

    Attributes:
        device: of the event that showed it. first, last: the missing sequences, both included; None if not known.
    """

    device: str
    counter: str
    first: int | None
    last: int | None

    @property
    def restarted(self) -> bool:
        """Whether it is the counter itself that began anew."""
        return self.first is None


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    version: int
    device: str
    first: int
    last: int
    missing: list[tuple[int, int]]
    sequences: list[int]
    fingerprints: bytes


@dataclass(slots=True)
class Counter:
    """One counter. `recent` is in the order of acceptance, `missing` in the order of numbers."""

    first: int
    last: int
    device: str = ""
    missing: list[tuple[int, int]] = field(default_factory=list)
    recent: dict[tuple[int, bytes], None] = field(default_factory=dict)

    def copy(self) -> "Counter":
        return Counter(self.first, self.last, self.device, list(self.missing), dict(self.recent))

    def take(self, heard: Heard, sequence: int) -> list[AuditGap] | None:
        """Take one event; return the gap that it shows, if any, or None if it is a repeat."""
        mark = (sequence, fingerprint(heard))
        if mark in self.recent:
            return None
        self.device = heard.device or self.device
        found = self._place(sequence, live=not heard.buffered)
        self.recent[mark] = None
        if len(self.recent) > REMEMBERED:
            del self.recent[next(iter(self.recent))]
        return [AuditGap(self.device or heard.counter, heard.counter, *gap) for gap in found]

    def _place(self, sequence: int, *, live: bool) -> list[tuple[int | None, int | None]]:
        """Enter a sequence into the account; return the gap that it shows as (first, last)."""
        gap = (0, -1)
        if sequence > self.last:
            gap, self.last = (self.last + 1, sequence - 1), sequence
        elif self._fill(sequence):
            pass
        elif self.first - NEAR <= sequence < self.first:
            gap, self.first = (sequence + 1, self.first - 1), sequence
        elif live:
            self.first, self.last, self.missing = sequence, sequence, []
            return [(None, None)]
        if gap[0] > gap[1]:
            return []
        self._miss(gap)
        return [gap]

    def _miss(self, *gaps: tuple[int, int]) -> None:
        self.missing = sorted([*self.missing, *gaps])
        while len(self.missing) > RANGES:
            (start, _), (_, end), *rest = self.missing
            self.missing = [(start, end), *rest]

    def _fill(self, sequence: int) -> bool:
        """Take a sequence out of the range in which it is missing; tell whether there is one."""
        for index, (first, last) in enumerate(self.missing):
            if first <= sequence <= last:
                del self.missing[index]
                self._miss(*(part for part in ((first, sequence - 1), (sequence + 1, last)) if part[0] <= part[1]))
                return True
        return False

    def save(self) -> bytes:
        """Return it as bytes."""
        sequences = [sequence for sequence, _ in self.recent]
        marks = b"".join(mark for _, mark in self.recent)
        return msgspec.msgpack.encode(
            _Saved(_FORMAT, self.device, self.first, self.last, self.missing, sequences, marks)
        )


@dataclass(frozen=True, slots=True)
class Sorted:
    """What is new, in order: each gap before the event that showed it. `state` goes where the events go."""

    told: tuple[Heard | AuditGap, ...]
    counters: Mapping[str, Counter]
    state: Mapping[str, bytes]


class Occurrences:
    """The counters of all tellers of a site.

    Args:
        state: of an earlier process, as `Sorted.state` told it; other keys are passed over.

    Raises:
        FormatError: a state cannot be read.
    """

    def __init__(self, state: Mapping[str, bytes]) -> None:
        self._counters = {
            key.removeprefix(PREFIX): _restored(key, saved) for key, saved in state.items() if key.startswith(PREFIX)
        }

    def sort(self, heard: Iterable[Heard]) -> Sorted:
        """Return what of `heard` is new, and changes nothing yet."""
        counters: dict[str, Counter] = {}
        told: list[Heard | AuditGap] = []
        for each in heard:
            sequence, counter = each.sequence, each.counter
            if sequence is None or not counter:
                told.append(each)
                continue
            if counter not in counters:
                known = self._counters.get(counter)
                counters[counter] = Counter(sequence, sequence - 1) if known is None else known.copy()
            gaps = counters[counter].take(each, sequence)
            told += [] if gaps is None else [*gaps, each]
        changed = {name: counter for name, counter in counters.items() if self._differs(name, counter)}
        return Sorted(tuple(told), changed, {PREFIX + name: counter.save() for name, counter in changed.items()})

    def keep(self, result: Sorted) -> None:
        """Go on from `result`, whose state has been handed to the store."""
        self._counters.update(result.counters)

    def missing(self) -> dict[str, Sequence[tuple[int, int]]]:
        """Return the ranges that have not come, by counter."""
        return {name: tuple(counter.missing) for name, counter in self._counters.items() if counter.missing}

    def _differs(self, name: str, counter: Counter) -> bool:
        return name not in self._counters or self._counters[name].recent != counter.recent


def fingerprint(heard: Heard) -> bytes:
    """Return a hash of what was said, when by the device's clock, and of which device; not of its way here."""
    said = (heard.device, heard.name, sorted(heard.fields.items()), heard.source)
    return hashlib.blake2b(msgspec.msgpack.encode(said), digest_size=_DIGEST).digest()


def _restored(key: str, state: bytes) -> Counter:
    try:
        saved = msgspec.msgpack.decode(state, type=_Saved)
    except msgspec.MsgspecError as error:
        raise FormatError(f"state of a counter of events, {key}: {error}") from error
    marks = (saved.fingerprints[at : at + _DIGEST] for at in range(0, len(saved.fingerprints), _DIGEST))
    recent = dict.fromkeys(zip(saved.sequences, marks, strict=False))
    return Counter(saved.first, saved.last, saved.device, list(saved.missing), recent)
