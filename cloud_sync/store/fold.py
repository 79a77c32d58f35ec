"""Folding an hour of one point's samples into rows of a minute and of an hour each. Pure.

A value stands from its sample to the next one, as long as the record vouches for it without a break: the first moment
that no coverage vouches for (a gap, a block that never came) ends it, and so does a sample that is not good. So the
mean is weighted by known good time; recording is by exception, and the mean of the samples would say something else.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from cloud_sync.store.coverage import SLACK, Interval
from sitekeeper.model.clock import HOUR, MINUTE, Micros
from sitekeeper.model.quality import Q, is_good
from sitekeeper.model.sample import Value

Change = tuple[Micros, Value, Q]
"""When, what, how good: in the order of time, and those of one moment in the order of recording."""


@dataclass(frozen=True, slots=True)
class Carry:
    """What stood at the end of an hour: the last good value and when it came, unless something bad came after it."""

    at: Micros
    value: Value


@dataclass(slots=True)
class Bucket:
    """A minute or an hour in which something changed.

    Attributes:
        at: wall time at which it begins. changes: good ones. low, high: of all good numbers that came or stood in it.
        last, word: the last good value, if it is a number and if it is a word. good: how long a good value was known.
        last_at: when the last good value came. stands: nothing ended it by a sample that was not good.
    """

    at: Micros
    changes: int = 0
    low: float | None = None
    high: float | None = None
    last: float | None = None
    word: str | None = None
    good: Micros = 0
    last_at: Micros | None = None
    stands: bool = False
    _area: float = 0.0
    _weight: Micros = field(default=0)

    @property
    def mean(self) -> float | None:
        """Return the mean of numbers over the time in which they were known."""
        return self._area / self._weight if self._weight else None

    def carry(self) -> Carry | None:
        """Return what stands at the end."""
        if not self.stands or self.last_at is None:
            return None
        return Carry(self.last_at, self.last if self.word is None else self.word)

    def came(self, at: Micros, value: Value, q: Q) -> None:
        """Count a change."""
        self.stands = good(value, q)
        if not self.stands:
            return
        self.changes += 1
        self.last_at = at
        self.last, self.word = (None, value) if isinstance(value, str) else (_number(value), None)
        if self.last is not None:
            self._widen(self.last)

    def stood(self, value: Value, span: Micros) -> None:
        """Count the time in which a value was known."""
        self.good += span
        if not isinstance(value, str):
            number = _number(value)
            self._area += number * span
            self._weight += span
            self._widen(number)

    def _widen(self, number: float) -> None:
        if self.low is None or self.high is None:
            self.low = self.high = number
        elif number < self.low:
            self.low = number
        elif number > self.high:
            self.high = number


def good(value: Value, q: Q) -> bool:
    """Tell whether a change gave a value that counts."""
    return value is not None and is_good(q)


def fold(
    hour: Micros, carry: Carry | None, changes: Sequence[Change], known: Sequence[Interval]
) -> tuple[list[Bucket], Bucket]:
    """Return the minutes in which something changed, in order, and the hour. There is at least one change.

    Args:
        hour: where it begins. carry: what stood before it. changes: all of the hour.
        known: disjoint, ordered intervals that the record vouches for, those that reach into the hour with their whole
            length.
    """
    whole = Bucket(hour)
    minutes: dict[Micros, Bucket] = {}
    for at, value, q in changes:
        minute = at - at % MINUTE
        if minute not in minutes:
            minutes[minute] = Bucket(minute)
        minutes[minute].came(at, value, q)
        whole.came(at, value, q)
    standing: list[tuple[Micros, Value]] = [] if carry is None else [(carry.at, carry.value)]
    first = len(standing)
    standing += [(at, value if good(value, q) else None) for at, value, q in changes]
    starts = [start for start, _ in known]
    for place, (at, value) in enumerate(standing):
        if value is None:
            continue
        following = standing[place + 1][0] if place + 1 < len(standing) else hour + HOUR
        begin = max(at, hour)
        end = min(following, _known_until(starts, known, at))
        if begin >= end:
            continue
        whole.stood(value, end - begin)
        of_both = {following - following % MINUTE} | ({at - at % MINUTE} if place >= first else set())
        for minute in of_both & minutes.keys():
            inside = min(end, minute + MINUTE) - max(begin, minute)
            if inside > 0:
                minutes[minute].stood(value, inside)
    return [minutes[at] for at in sorted(minutes)], whole


def _known_until(starts: Sequence[Micros], known: Sequence[Interval], at: Micros) -> Micros:
    """Return until when the time from `at` on is vouched for without a break; `at` itself if it is not."""
    place = bisect_right(starts, at + SLACK) - 1
    return max(known[place][1], at) if place >= 0 else at


def _number(value: Value) -> float:
    assert value is not None
    return float(value)
