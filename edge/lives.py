"""One life of a counter: the account of its events from where it begins until the counter begins anew. Pure.

A repeat from further back than the events known by fingerprint shows itself by its place: its number lies inside the
account and is not missing, and its time, by its teller's clock, lies between those of the checkpoints around it. There
are checkpoints only of events told by a clock that agreed with ours. Whatever does not fit is none of this life: to
call a new event a repeat is to lose it, and to call a repeat new is only to have it twice.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Final

import msgspec

from sitekeeper.model.clock import MINUTE, SECOND, Micros

RANGES: Final = 64
"""Missing ranges kept per life. Beyond it the two oldest are taken together, with what came between them."""

NEAR: Final = 64
"""How far before the first event of an account one may lie that merely came later, as after the first connection."""

APART: Final = 64
"""Numbers between two checkpoints, at least, as long as the clock does not step back between them."""

CHECKPOINTS: Final = 256
"""Checkpoints kept per life; beyond it every second one is dropped. A life that is over keeps a quarter of it."""

CORRECTED: Final = 2
"""Seconds by which a clock may be put back between two events; clocks in controllers lose about that in a day."""

CLOCK_SET: Final[Micros] = 1_577_836_800 * SECOND
"""A clock that shows a time before 2020 was not set, and may show the same times again in its counter's next life."""

ASTRAY: Final[Micros] = 30 * MINUTE
"""A clock that is known to differ so much from ours was not set, or by hand. The least that a wrong zone makes."""

DIGEST: Final = 4

Mark = tuple[int, bytes]
"""An event by its number and fingerprint."""

Gap = tuple[int, int]
"""The first and the last number that is missing."""


class SavedLife(msgspec.Struct, frozen=True, array_like=True):
    """A life as it is saved: each list as the differences from one number to the next."""

    first: int
    last: int
    missing: list[int]
    sequences: list[int]
    fingerprints: bytes
    checkpoints: list[int]
    seconds: list[int]


@dataclass(slots=True)
class Life:
    """One life. `recent` is in the order of acceptance, `missing` and `checkpoints` in the order of numbers.

    `checkpoints` are (number, time in whole seconds) of events that were told; the last one is the highest such event.
    """

    first: int
    last: int
    missing: list[Gap] = field(default_factory=list)
    recent: dict[Mark, None] = field(default_factory=dict)
    checkpoints: list[tuple[int, int]] = field(default_factory=list)

    def copy(self) -> "Life":
        return Life(self.first, self.last, list(self.missing), dict(self.recent), list(self.checkpoints))

    def knows(self, sequence: int, second: int) -> bool | None:
        """Tell whether an event has been told by its place (True) or is missing (False); None: it is not of this life.

        It is for events whose fingerprint is not known.
        """
        before = bisect_right(self.checkpoints, sequence, key=_number) - 1
        after = bisect_left(self.checkpoints, sequence, key=_number)
        if before < 0 or after == len(self.checkpoints):
            return None
        if not self.checkpoints[before][1] - CORRECTED <= second <= self.checkpoints[after][1] + CORRECTED:
            return None
        if any(first <= sequence <= last for first, last in self.missing):
            return False
        return None if any(number == sequence for number, _ in self.recent) else True

    def enter(self, sequence: int, vouched: int | None) -> list[Gap] | None:
        """Enter an event; return the gap that it shows, if any, or None if its number has no place in this account.

        Args:
            vouched: when it was told, by a clock that agrees with ours; None: by one that does not.
        """
        gap = (0, -1)
        if sequence > self.last:
            gap, self.last = (self.last + 1, sequence - 1), sequence
        elif self._fill(sequence):
            pass
        elif self.first - NEAR <= sequence < self.first:
            gap, self.first = (sequence + 1, self.first - 1), sequence
        else:
            return None
        if vouched is not None:
            self._check(sequence, vouched)
        if gap[0] > gap[1]:
            return []
        self._miss(gap)
        return [gap]

    def end(self) -> None:
        """Take note that the counter has begun anew: what remains is for late copies."""
        while len(self.checkpoints) > CHECKPOINTS // 4:
            self._thin()

    def _miss(self, *gaps: Gap) -> None:
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

    def _check(self, sequence: int, second: int) -> None:
        """Make a checkpoint of an event at either end; the one before it goes if what it vouches for stays vouched."""
        known = self.checkpoints
        if not known or sequence < known[0][0]:
            known.insert(0, (sequence, second))
        elif sequence > known[-1][0]:
            if len(known) > 1:
                (earlier, began), (latest, ended) = known[-2:]
                if latest - earlier < APART and began - CORRECTED <= ended <= second:
                    known.pop()
            known.append((sequence, second))
        if len(known) > CHECKPOINTS:
            self._thin()

    def _thin(self) -> None:
        """Drop every second checkpoint, and neither end: older ones are further apart than newer ones."""
        self.checkpoints = [*self.checkpoints[:-1:2], self.checkpoints[-1]]

    def saved(self) -> SavedLife:
        return SavedLife(
            self.first,
            self.last,
            _steps([number for gap in self.missing for number in gap]),
            _steps([sequence for sequence, _ in self.recent]),
            b"".join(mark for _, mark in self.recent),
            _steps([sequence for sequence, _ in self.checkpoints]),
            _steps([second for _, second in self.checkpoints]),
        )


def restored(saved: SavedLife) -> Life:
    """Return the life that was saved."""
    ends = [*accumulate(saved.missing)]
    checkpoints = [*zip(accumulate(saved.checkpoints), accumulate(saved.seconds), strict=False)]
    recent = marks([*accumulate(saved.sequences)], saved.fingerprints, DIGEST)
    return Life(saved.first, saved.last, [*zip(ends[::2], ends[1::2], strict=False)], recent, checkpoints)


def marks(sequences: list[int], fingerprints: bytes, width: int) -> dict[Mark, None]:
    """Return events by number and fingerprint from fingerprints that were saved `width` bytes wide."""
    cut = (fingerprints[at : at + DIGEST] for at in range(0, len(fingerprints), width))
    return dict.fromkeys(zip(sequences, cut, strict=False))


def shown(source: Micros | None, behind: Micros | None) -> int | None:
    """Return the second at which an event was told by its teller's clock; None if that clock is known to be wrong.

    Args:
        source, behind: as in `Heard`.
    """
    if source is None or source < CLOCK_SET or abs(behind or 0) >= ASTRAY:
        return None
    return source // SECOND


def agrees(source: Micros | None, wall: Micros | None) -> bool:
    """Tell whether a teller's clock agrees with ours by an event that has just come.

    Only then does its time vouch for others: a clock that begins at the same wrong time with each life of its counter
    shows the same times again for the same numbers, and the driver may not know yet that it is wrong. What waited long
    on its way vouches for nothing either; its neighbours do.
    """
    return source is not None and wall is not None and abs(wall - source) < ASTRAY


def _number(checkpoint: tuple[int, int]) -> int:
    return checkpoint[0]


def _steps(numbers: list[int]) -> list[int]:
    return [*numbers[:1], *(after - before for before, after in pairwise(numbers))]
