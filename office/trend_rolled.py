"""A trend out of minutes or hours, where raw rows are gone or too many: the same steps, less exact within one of them.

Pure. A row tells of its own minute or hour; without a row the value before stands on, unless something bad came last.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final

from cloud_sync.store.history import Mark, Step
from cloud_sync.store.rolled import Rolled
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.quality import Quality, pack

BAD: Final = str(pack(Quality.BAD))
Interval = tuple[Micros, Micros]


def steps(rows: Sequence[Rolled], start: Micros, end: Micros, step: Micros) -> list[Step]:
    """Return the steps in which something was recorded, and one before `start` for what stood then."""
    found: list[Step] = []
    for row in rows:
        if row.at >= end:
            break
        at = start + (row.at - start) // step * step if row.at >= start else row.at
        if found and found[-1].at == at:
            before = found.pop()
            known = [one for one in (before.low, row.low, before.high, row.high) if one is not None]
            found.append(
                Step(
                    at=at,
                    low=min(known, default=None),
                    high=max(known, default=None),
                    last=before.last if row.last is None else row.last,
                    samples=before.samples + row.n,
                )
            )
        else:
            found.append(Step(at=at, low=row.low, high=row.high, last=row.last, samples=row.n))
    return found


def bad(rows: Sequence[Rolled], size: Micros, start: Micros, end: Micros) -> list[Mark]:
    """Return when nothing good stood: from the end of a row that something bad ended to the next row."""
    found = []
    for place, row in enumerate(rows):
        following = rows[place + 1].at if place + 1 < len(rows) else end
        begin, until = max(row.at + size, start), min(following, end)
        if not row.stands and begin < until:
            found.append(Mark(start=begin, end=until, what=BAD))
    return found


def mean(
    rows: Sequence[Rolled],
    size: Micros,
    start: Micros,
    end: Micros,
    known: Callable[[Micros, Micros], Sequence[Interval]],
) -> float | None:
    """Return the mean of [start, end) over known good time.

    Args:
        rows: in order, from the last one before `start` on. known: the stretches of a stretch of which something is
            known.
    """
    area = weight = 0.0

    def stood(value: float | None, begin: Micros, until: Micros) -> None:
        nonlocal area, weight
        for a, b in known(begin, until) if value is not None and begin < until else ():
            area += (value or 0.0) * (b - a)
            weight += b - a

    first = max(bisect_left(rows, start, key=lambda row: row.at) - 1, 0)
    at, held = start, None
    for row in rows[first:]:
        if row.at >= end:
            break
        stood(held, at, row.at)
        if row.at >= start and row.mean is not None:
            area += row.mean * row.good_s * SECOND
            weight += row.good_s * SECOND
        at, held = max(row.at + size, start), row.last if row.stands else None
    stood(held, at, end)
    return area / weight if weight else None
