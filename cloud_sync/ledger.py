"""The completeness ledger: of the time in which a scan group existed, what is known and why the rest is not. Pure.

Each moment counts once, for the first of these that claims it:

1. `dropped`: records of this time were deleted unsent when space ran out. It comes before what is known, because a
   vouch may travel in a later block than the samples that it vouches for.
2. known: a block vouches for it; no sample means no change.
3. the causes that the site gave, in the order of `CAUSES`, then any that this version has not heard of, by name.
4. `missing`: the blocks of this time exist nowhere any more; the office says so. `quarantined`: the office has the
   block, but cannot read it. `awaited`: the office lacks blocks of this time and waits for them.

What is left is unexplained. It must be 0. Blocks that by their site's own word never were (`never_were`) are awaited by
nobody: what they would hide is unexplained.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import Final

import msgspec

from sitekeeper.model.clock import MS, SECOND, Micros
from sitekeeper.model.errors import Refused

Interval = tuple[Micros, Micros]

DROPPED: Final = "dropped"
MISSING: Final = "missing"
QUARANTINED: Final = "quarantined"
CAUSES: Final = ("configuration", "refused", "silent", "link_down", "gateway_off", "clock", "writer_behind")
SLACK: Final[Micros] = MS
"""A hole this short is rounding: blocks round both ends of an interval down to whole milliseconds."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One scan group's time, or a sum of several. Lengths in microseconds; all but `span` add up to `span`.

    Attributes:
        span: time in which it existed and which is to be accounted for.
        causes: time that is not known, by cause; `dropped`, `missing` and `quarantined` among them.
        awaited: not known yet, because blocks are on their way or still with the site.
    """

    span: Micros = 0
    known: Micros = 0
    causes: dict[str, Micros] = {}
    awaited: Micros = 0
    unexplained: Micros = 0

    def __add__(self, other: "Account") -> "Account":
        names = sorted({*self.causes, *other.causes})
        return Account(
            span=self.span + other.span,
            known=self.known + other.known,
            causes={name: self.causes.get(name, 0) + other.causes.get(name, 0) for name in names},
            awaited=self.awaited + other.awaited,
            unexplained=self.unexplained + other.unexplained,
        )


class Windows(msgspec.Struct, frozen=True, kw_only=True):
    """When blocks were sealed that the office does not have, or cannot read: bounds, wider than the blocks' own time.

    A stretch that nothing else claims belongs to a window if it touches it: the blocks beside the window are here, and
    their intervals end where those of the lacking ones begin.
    """

    missing: Sequence[Interval] = ()
    quarantined: Sequence[Interval] = ()
    awaited: Sequence[Interval] = ()


def account(
    exists: Interval, known: Iterable[Interval], gaps: Mapping[str, Sequence[Interval]], windows: Windows
) -> Account:
    """Return the account of `exists`; intervals may overlap, repeat, and reach beyond it."""
    rest = [exists] if exists[0] < exists[1] else []
    spent: dict[str, Micros] = {}
    rest = _claim(rest, gaps.get(DROPPED, ()), spent, DROPPED)
    rest = _claim(rest, known, spent, "")
    for cause in [*CAUSES, *sorted(gaps.keys() - {DROPPED, *CAUSES})]:
        rest = _claim(rest, gaps.get(cause, ()), spent, cause)
    rounding = sum(end - start for start, end in rest if end - start <= SLACK)
    rest = [(start, end) for start, end in rest if end - start > SLACK]
    rest = _touched(rest, windows.missing, spent, MISSING)
    rest = _touched(rest, windows.quarantined, spent, QUARANTINED)
    rest = _touched(rest, windows.awaited, spent, "awaited")
    known_for = spent.pop("", 0) + rounding
    awaited = spent.pop("awaited", 0)
    return Account(
        span=max(exists[1] - exists[0], 0),
        known=known_for,
        causes={cause: spent[cause] for cause in sorted(spent) if spent[cause]},
        awaited=awaited,
        unexplained=sum(end - start for start, end in rest),
    )


def never_were(lacking: Iterable[tuple[int, int]], first: int | None, unsent: int | None) -> bool:
    """Tell whether a hole in a stream is one of blocks that do not exist, by the word of its site.

    The site holds `unsent` blocks from `first` on, and a hole up there of more than that cannot be filled by any of
    them. What lies below `first` the site is asked for, and says what it does not have.

    Args:
        lacking: closed ranges of sequences, what the hole lacks. first, unsent: of the site's status; None if unsaid.
    """
    if first is None or unsent is None:
        return False
    ranges = list(lacking)
    above = all(start >= first for start, _ in ranges)
    return above and sum(end - start + 1 for start, end in ranges) > unsent


def site_day(day: date, zone: tzinfo) -> Interval:
    """Return when a day of a site begins and ends; it has 23 or 25 hours where the clocks are changed.

    Raises:
        Refused: `usage`, a day at an end of the calendar, which has none before or after it.
    """
    if not date.min < day < date.max:
        raise Refused("usage", f"{day.isoformat()} is at the end of the calendar; ask for a day in between")
    begin, end = (
        int(datetime(each.year, each.month, each.day, tzinfo=zone).timestamp()) * SECOND
        for each in (day, day + timedelta(days=1))
    )
    return begin, end


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the same time as disjoint intervals in order."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        elif start < end:
            merged.append((start, end))
    return merged


def _claim(
    rest: Sequence[Interval], intervals: Iterable[Interval], spent: dict[str, Micros], cause: str
) -> list[Interval]:
    """Take `intervals` out of `rest`, both disjoint and in order after this; note how much it was."""
    left: list[Interval] = []
    claims = union(intervals)
    if not claims:
        return list(rest)
    place = 0
    for first, last in rest:
        start = first
        while place < len(claims) and claims[place][1] <= start:
            place += 1
        at = place
        while at < len(claims) and claims[at][0] < last:
            if start < claims[at][0]:
                left.append((start, claims[at][0]))
            start = max(start, min(claims[at][1], last))
            at += 1
        if start < last:
            left.append((start, last))
    taken = sum(end - start for start, end in rest) - sum(end - start for start, end in left)
    spent[cause] = spent.get(cause, 0) + taken
    return left


def _touched(
    rest: Sequence[Interval], windows: Sequence[Interval], spent: dict[str, Micros], cause: str
) -> list[Interval]:
    """Take whole stretches out of `rest` that touch one of `windows`."""
    left = [(start, end) for start, end in rest if not any(a <= end and b >= start for a, b in windows)]
    taken = sum(end - start for start, end in rest) - sum(end - start for start, end in left)
    spent[cause] = spent.get(cause, 0) + taken
    return left
