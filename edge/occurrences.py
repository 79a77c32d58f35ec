"""The ledger of events: which of those that devices tell are new, and which never came. Pure.

A counter is a teller's own numbering of its events: one controller of four doors has one. For each counter the ledger
keeps the first and the highest sequence of its account, the last 512 events as (sequence, fingerprint), the ranges
that are missing, and checkpoints (sequence, the teller's time) over the whole account. An event known by number and
fingerprint is a repeat, whatever its place; one from further back, by its place among the checkpoints (`edge.lives`).
Else it is new, and if it is

    the next one            that is all
    higher                  what lies between is a gap
    in a gap                the gap is filled so far
    a little before first   the account begins there, with a gap up to where it began
    lower, told live        the counter has begun anew, and with it the account
    lower, buffered         a straggler; the account stays as it is

The last lives of a counter are kept, for a broker restored from an old copy of itself tells again what was before and
after a new beginning. The fingerprint is of what was said, when and of which device, so that an event told again is
known whatever its way here, and a counter that begins anew is not taken for a repeat. A repeat from further back than
512 events whose time vouches for nothing counts as new: an event twice is a lesser evil than none. An event without a
counter or sequence is always new.

Nothing here changes by asking. `sort` says what is new and what the counters would then be; `keep` makes it so, and
belongs after the append that carries both. Whoever does not get that far asks again and gets the same answer.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from drivers.base import Account, Heard
from edge.lives import DIGEST, Life, SavedLife, agrees, marks, restored, shown
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import FormatError

REMEMBERED: Final = 512
"""Events by which a repeat is known, per counter."""

PREFIX: Final = "~events/"
"""Where the counters are among the saved states."""

LIVES: Final = 4
"""Lives of a counter that are kept: the present one and those before it."""

_FORMAT: Final = 2
_DIGEST_1: Final = 8
"""Bytes of a fingerprint in format 1, of which the present one is the beginning."""


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


class _Version(msgspec.Struct, frozen=True, array_like=True):
    version: int


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    version: int
    device: str
    lives: list[SavedLife]
    behind: int | None


class _Saved1(msgspec.Struct, frozen=True, array_like=True):
    """As it was saved before there were checkpoints: the present life only, with fingerprints twice as wide."""

    version: int
    device: str
    first: int
    last: int
    missing: list[tuple[int, int]]
    sequences: list[int]
    fingerprints: bytes
    behind: int | None = None


@dataclass(slots=True)
class Counter:
    """One counter: its lives, the present one last. Together they know the last 512 events by fingerprint.

    `behind` is what was last known of its clock, as in `Heard`.
    """

    lives: list[Life]
    device: str = ""
    behind: Micros | None = None

    @property
    def life(self) -> Life:
        """The present life."""
        return self.lives[-1]

    def copy(self) -> "Counter":
        return Counter([life.copy() for life in self.lives], self.device, self.behind)

    def take(self, heard: Heard, sequence: int, wall: Micros | None) -> list[AuditGap] | None:
        """Take one event; return the gap that it shows, if any, or None if it is a repeat."""
        mark = (sequence, fingerprint(heard))
        if any(mark in life.recent for life in self.lives):
            return None
        behind = self.behind if heard.behind is None else heard.behind
        second = shown(heard.source, behind)
        life = self._whose(sequence, second)
        if life is None:
            return None
        self.device, self.behind = heard.device or self.device, behind
        vouched = second if agrees(heard.source, wall) else None
        found: Sequence[tuple[int | None, int | None]] | None = life.enter(sequence, vouched)
        if found is None and not heard.buffered:
            found, life = [(None, None)], self._begin(sequence, vouched)
        life.recent[mark] = None
        self._forget()
        return [AuditGap(self.device or heard.counter, heard.counter, *gap) for gap in found or ()]

    def _whose(self, sequence: int, second: int | None) -> Life | None:
        """Return the life in which an event belongs, the present one if it cannot be told; None: it is a repeat.

        What was told since a later life began is of none before it, so that a counter and a clock that both go back
        and come to the same numbers at the same times lose nothing.
        """
        for life in reversed(self.lives):
            if second is None:
                break
            if (told := life.knows(sequence, second)) is not None:
                return None if told else life
            if life.checkpoints and second >= life.checkpoints[0][1]:
                break
        return self.life

    def _begin(self, sequence: int, vouched: int | None) -> Life:
        """Begin a life with this event."""
        self.life.end()
        self.lives.append(Life(sequence, sequence - 1))
        self.life.enter(sequence, vouched)
        if len(self.lives) > LIVES:
            oldest, heir = self.lives[:2]
            heir.recent = oldest.recent | heir.recent
            del self.lives[0]
        return self.life

    def _forget(self) -> None:
        """Drop the oldest fingerprint if there are too many."""
        if sum(len(life.recent) for life in self.lives) > REMEMBERED:
            recent = next(life.recent for life in self.lives if life.recent)
            del recent[next(iter(recent))]

    def save(self) -> bytes:
        """Return it as bytes."""
        return msgspec.msgpack.encode(_Saved(_FORMAT, self.device, [life.saved() for life in self.lives], self.behind))


@dataclass(frozen=True, slots=True)
class Sorted:
    """What is new, in order: each gap before the event that showed it. `state` goes where the events go.

    `repeats` counts, by counter, what was not new.
    """

    told: tuple[Heard | AuditGap, ...]
    counters: Mapping[str, Counter]
    state: Mapping[str, bytes]
    repeats: Mapping[str, int]


class Occurrences:
    """The counters of all tellers of a site.

    Args:
        state: of an earlier process, as `Sorted.state` told it; other keys are passed over.

    Attributes:
        repeats: events told again, by counter, since the start.

    Raises:
        FormatError: a state cannot be read.
    """

    def __init__(self, state: Mapping[str, bytes]) -> None:
        self.repeats: dict[str, int] = {}
        self._counters = {
            key.removeprefix(PREFIX): _restored(key, saved) for key, saved in state.items() if key.startswith(PREFIX)
        }

    def sort(self, heard: Iterable[Heard], wall: Micros | None = None) -> Sorted:
        """Return what of `heard` is new, and changes nothing yet.

        Args:
            wall: the time by our clock, trusted or not. A teller's clock that differs much from it vouches for nothing.
        """
        counters: dict[str, Counter] = {}
        changed: dict[str, Counter] = {}
        told: list[Heard | AuditGap] = []
        repeats: dict[str, int] = {}
        for each in heard:
            sequence, counter = each.sequence, each.counter
            if sequence is None or not counter:
                told.append(each)
                continue
            if counter not in counters:
                known = self._counters.get(counter)
                counters[counter] = Counter([Life(sequence, sequence - 1)]) if known is None else known.copy()
            gaps = counters[counter].take(each, sequence, wall)
            if gaps is None:
                repeats[counter] = repeats.get(counter, 0) + 1
            else:
                changed[counter] = counters[counter]
                told += [*gaps, each]
        state = {PREFIX + name: counter.save() for name, counter in changed.items()}
        return Sorted(tuple(told), changed, state, repeats)

    def keep(self, result: Sorted) -> None:
        """Go on from `result`, whose state has been handed to the store."""
        self._counters.update(result.counters)
        for name, times in result.repeats.items():
            self.repeats[name] = self.repeats.get(name, 0) + times

    def behind(self, heard: Heard) -> Micros:
        """Return how far the clock that stamped an event is behind ours, for judging its age.

        Where the event does not know, a clock that was ahead in earlier days may be so still, and what waited then
        looks fresh; one that was behind may have been set since. So only the former is believed.
        """
        if heard.behind is not None:
            return heard.behind
        known = self._counters.get(heard.counter)
        return 0 if known is None or known.behind is None else min(known.behind, 0)

    def accounts(self) -> dict[str, Account]:
        """Return the highest number and the ranges that have not come, by counter."""
        lives = {name: counter.life for name, counter in self._counters.items()}
        return {name: Account(life.last, tuple(life.missing)) for name, life in lives.items()}

    def missing(self) -> dict[str, Sequence[tuple[int, int]]]:
        """Return the ranges that have not come, by counter that lacks any."""
        return {name: account.missing for name, account in self.accounts().items() if account.missing}


def fingerprint(heard: Heard) -> bytes:
    """Return a hash of what was said, when by the device's clock, and of which device; not of its way here."""
    said = (heard.device, heard.name, sorted(heard.fields.items()), heard.source)
    return hashlib.blake2b(msgspec.msgpack.encode(said), digest_size=_DIGEST_1).digest()[:DIGEST]


def _restored(key: str, state: bytes) -> Counter:
    try:
        if msgspec.msgpack.decode(state, type=_Version).version == 1:
            old = msgspec.msgpack.decode(state, type=_Saved1)
            recent = marks(old.sequences, old.fingerprints, _DIGEST_1)
            return Counter([Life(old.first, old.last, list(old.missing), recent)], old.device, old.behind)
        saved = msgspec.msgpack.decode(state, type=_Saved)
    except msgspec.MsgspecError as error:
        raise FormatError(f"state of a counter of events, {key}: {error}") from error
    if saved.version != _FORMAT or not saved.lives:
        raise FormatError(f"state of a counter of events, {key}: version {saved.version} with {len(saved.lives)} lives")
    return Counter([restored(life) for life in saved.lives], saved.device, saved.behind)
