"""A point over time, as a chart needs it: an envelope per step, and what is not known, with why. Mostly pure.

A sample is the state of a point from its time on, so a step without samples holds the value before it, but only as
far as the record vouches for it: where nothing vouches, or the value was bad, there is no value.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec

from cloud_sync.store.coverage import merge
from cloud_sync.store.history import MOST_MARKS, AlarmSpan, HistoryReader, Mark, Step
from cloud_sync.store.rolled import Rolled, kept_since, rolled
from cloud_sync.store.rollups import newest
from office import trend_rolled as rolling
from office.facts import VOUCHED_WITHIN, SiteFacts
from sitekeeper.catalogue import CataloguePoint
from sitekeeper.model.clock import DAY, HOUR, MINUTE, SECOND, Micros
from sitekeeper.model.errors import Refused

LONGEST: Final[Micros] = 3660 * DAY
LONG: Final[Micros] = 31 * DAY
"""A window longer than this is answered out of hours, in steps of whole ones."""
MOST_INTERVALS: Final = 50_000
"""Intervals of coverage looked at in a long window."""
LATEST: Final[Micros] = 253_402_300_799 * SECOND
"""The last second that a date can name, in the year 9999."""
STEPS: Final = 600
"""Steps of a window for which no step was asked."""
MOST_STEPS: Final = 4_000
NOT_REPORTED: Final = "not-reported"
"""Cause of a hole that reaches the present: the site has not told yet."""
UNEXPLAINED: Final = "unexplained"

Interval = tuple[Micros, Micros]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: [start, end) in steps, wall time."""

    start: Micros
    end: Micros
    step: Micros


class Trend(msgspec.Struct, frozen=True, kw_only=True):
    """The answer.

    Attributes:
        steps: every step of the window; low, high and last are None where nothing is known.
        means: of each step, weighted by how long each value stood; None where nothing is known, and for words. Empty if
            they were not asked for: they cost three times the rest.
        holes: when the record vouches for nothing, with the cause. bad: when the value was bad, with its quality byte.
        alarms: when alarms of the same device were true.
    """

    window: Window
    steps: list[Step]
    means: list[float | None]
    holes: list[Mark]
    bad: list[Mark]
    alarms: list[AlarmSpan]


def window(start: Micros, end: Micros, step: Micros | None) -> Window:
    """Return a window that can be answered.

    Raises:
        Refused: `usage`, it is empty, too long, out of all time, or has too many steps.
    """
    reason = "usage"
    if start < 0 or end > LATEST:
        raise Refused(reason, "a trend lies between the years 1970 and 9999")
    if not start < end <= start + LONGEST:
        raise Refused(reason, "a trend begins before it ends, and spans ten years at most")
    if step is None:
        step = max(-(-(end - start) // STEPS), SECOND)
        if end - start > LONG:
            step = -(-step // HOUR) * HOUR
    if end - start > LONG and step % HOUR:
        raise Refused(reason, "a trend of more than 31 days has steps of whole hours")
    if step < SECOND // 10 or -(-(end - start) // step) > MOST_STEPS:
        raise Refused(reason, f"a step has 100 ms at least, and a trend {MOST_STEPS} steps at most")
    return Window(start=start, end=end, step=step)


def read(
    reader: HistoryReader, site: SiteFacts, point: CataloguePoint, asked: Window, now: Micros, *, means: bool = False
) -> Trend:
    """Read a trend; to be run in a reading thread."""
    name, until = site.row.site, min(asked.end, now)
    groups = [point.group] if point.group else site.known.groups[point.device]
    long = asked.end - asked.start > LONG
    most = MOST_INTERVALS if long else MOST_MARKS
    covered = [part for group in groups for part in reader.coverage(name, group, asked.start, asked.end, most)]
    gaps = [mark for group in groups for mark in reader.gaps(name, group, asked.start, asked.end)]
    least = asked.step // 20 if long else 0
    unknown = [hole for hole in complement(merge(covered), asked.start, until) if hole[1] - hole[0] >= least]
    holes = name_holes(unknown[-MOST_MARKS:], gaps, now)
    members = msgspec.json.encode(point.members).decode()
    by_rollup = _rolled(reader, name, point.id, asked, now, members)
    edge = asked.start if by_rollup is None else by_rollup.end
    bad = [] if by_rollup is None else rolling.bad(by_rollup.rows, by_rollup.size, asked.start, min(edge, until))
    bad += reader.bad(name, point.id, edge, until) if edge < until else []
    recorded = [] if by_rollup is None else rolling.steps(by_rollup.rows, asked.start, edge, asked.step)
    raw = reader.steps(name, point.id, edge, asked.end, asked.step, members) if edge < asked.end else []
    recorded += [step for step in raw if by_rollup is None or step.at >= edge]
    blind = merge([(m.start, m.end) for m in (*holes, *bad)] + ([(until, asked.end)] if until < asked.end else []))
    steps = envelope(recorded, asked, blind)
    return Trend(
        window=asked,
        steps=steps,
        means=_means(reader, name, point, steps, asked, blind, by_rollup) if means else [],
        holes=holes,
        bad=bad,
        alarms=[
            span
            for span in reader.alarm_spans(name, point.device, asked.start, asked.end)
            if span.rule not in site.known.hidden
        ],
    )


class _Rolled(NamedTuple):
    """Rows of minutes or hours that a window is answered out of, up to `end`; from there on raw rows do."""

    rows: list[Rolled]
    size: Micros
    end: Micros


def _rolled(reader: HistoryReader, site: str, point: str, asked: Window, now: Micros, members: str) -> _Rolled | None:
    """Return the rollup of a window that is long, or of which raw rows are gone; None where those are to be read."""
    since = kept_since(reader.ask)
    long = asked.end - asked.start > LONG
    if not long and asked.start >= since.get("raw", asked.start):
        return None
    minutes = not long and asked.start >= since.get("minutes", asked.start)
    until = max(min(newest(reader.ask, now), asked.end), asked.start)
    if until < asked.end:
        until -= (until - asked.start) % asked.step
    rows = rolled(reader.ask, "minutes" if minutes else "hours", site, point, asked.start, until, members)
    return _Rolled(rows, MINUTE if minutes else HOUR, until)


def _known(blind: Sequence[Interval], start: Micros, end: Micros) -> list[Interval]:
    return complement(_clipped(blind, start, end), start, end)


def _means(
    reader: HistoryReader,
    site: str,
    point: CataloguePoint,
    steps: Sequence[Step],
    asked: Window,
    blind: Sequence[Interval],
    by_rollup: _Rolled | None,
) -> list[float | None]:
    """Return the mean of each step. Only one in which something changed needs the store."""
    if point.type in {"enum", "text"}:
        return [None] * len(steps)
    found: list[float | None] = []
    for step in steps:
        if step.low is None or not step.samples:
            found.append(step.last)
            continue
        end = min(step.at + asked.step, asked.end)
        if by_rollup is not None and step.at < by_rollup.end:
            found.append(rolling.mean(by_rollup.rows, by_rollup.size, step.at, end, partial(_known, blind)))
            continue
        found.append(reader.mean(site, point.id, complement(_clipped(blind, step.at, end), step.at, end)))
    return found


def _clipped(intervals: Sequence[Interval], start: Micros, end: Micros) -> list[Interval]:
    """Return the parts of ordered, disjoint intervals that lie in [start, end)."""
    first = bisect_right(intervals, start, key=lambda interval: interval[1])
    last = bisect_left(intervals, end, key=lambda interval: interval[0])
    return [(max(a, start), min(b, end)) for a, b in intervals[first:last]]


def complement(intervals: Sequence[Interval], start: Micros, end: Micros) -> list[Interval]:
    """Return what of [start, end) is in none of the disjoint, ordered intervals."""
    found: list[Interval] = []
    at = start
    for begins, ends in intervals:
        if begins > at:
            found.append((at, min(begins, end)))
        at = max(at, ends)
    if at < end:
        found.append((at, end))
    return [part for part in found if part[0] < part[1]]


def name_holes(holes: Sequence[Interval], gaps: Sequence[Mark], now: Micros) -> list[Mark]:
    """Return the holes with the causes that the site gave for them."""
    named = []
    for start, end in holes:
        causes = sorted({gap.what for gap in gaps if gap.start < end and gap.end > start})
        what = " ".join(causes) or (NOT_REPORTED if end >= now - SECOND else UNEXPLAINED)
        named.append(Mark(start=start, end=end, what=what))
    return named


def worth_telling(found: Trend) -> list[Mark]:
    """Return the holes that a person should read of: none below a second, nor what is still on its way."""
    return [m for m in found.holes if m.end - m.start >= (VOUCHED_WITHIN if m.what == NOT_REPORTED else SECOND)]


def envelope(recorded: Sequence[Step], asked: Window, blind: Sequence[Interval]) -> list[Step]:
    """Return every step of the window: what was recorded in it, and what stood at its beginning.

    Args:
        recorded: steps with samples, in order; those before the window tell what stood at its start.
        blind: disjoint, ordered intervals of which nothing is known.
    """
    held: float | None = None
    by_time = {}
    for one in recorded:
        if one.at < asked.start:
            held = one.last
        else:
            by_time[one.at] = one
    starts = [start for start, _ in blind]
    found = []
    for at in range(asked.start, asked.end, asked.step):
        step: Step | None = by_time.get(at)
        if _inside(starts, blind, at, min(at + asked.step, asked.end)):
            found.append(Step(at=at, low=None, high=None, last=None, samples=step.samples if step else 0))
        else:
            stands = None if _inside(starts, blind, at, at + 1) else held
            found.append(_joined(at, step, stands))
        if step is not None and step.last is not None:
            held = step.last
    return found


def _joined(at: Micros, step: Step | None, stands: float | None) -> Step:
    """Return a step of what was recorded in it and what stood at its beginning."""
    if step is None:
        return Step(at=at, low=stands, high=stands, last=stands, samples=0)
    known = [value for value in (stands, step.low, step.high) if value is not None]
    last = stands if step.last is None else step.last
    return Step(at=at, low=min(known, default=None), high=max(known, default=None), last=last, samples=step.samples)


def _inside(starts: Sequence[Micros], intervals: Sequence[Interval], start: Micros, end: Micros) -> bool:
    """Tell whether [start, end) lies within one of the intervals."""
    place = bisect_right(starts, start) - 1
    return place >= 0 and intervals[place][1] >= end
