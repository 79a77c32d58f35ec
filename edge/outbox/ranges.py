"""Sets of sequences as sorted, disjoint, never touching ranges (first, last), both ends included. Pure."""

Ranges = tuple[tuple[int, int], ...]


def add(ranges: Ranges, first: int, last: int) -> Ranges:
    """Return the union of `ranges` and first..last; nothing changes if `last` comes before `first`."""
    if last < first:
        return ranges
    before = tuple(r for r in ranges if r[1] < first - 1)
    after = tuple(r for r in ranges if r[0] > last + 1)
    touched = ranges[len(before) : len(ranges) - len(after)]
    if touched:
        first, last = min(first, touched[0][0]), max(last, touched[-1][1])
    return (*before, (first, last), *after)


def remove(ranges: Ranges, first: int, last: int) -> Ranges:
    """Return `ranges` without first..last."""
    left: list[tuple[int, int]] = []
    for start, end in ranges:
        left += [part for part in ((start, min(end, first - 1)), (max(start, last + 1), end)) if part[0] <= part[1]]
    return tuple(left) if last >= first else ranges


def size(ranges: Ranges) -> int:
    """Return how many sequences there are."""
    return sum(last - first + 1 for first, last in ranges)


def first_missing(ranges: Ranges) -> int:
    """Return the lowest sequence, counting from 1, that is not in `ranges`."""
    return ranges[0][1] + 1 if ranges and ranges[0][0] == 1 else 1


def last_missing(ranges: Ranges, upto: int) -> int:
    """Return the highest sequence up to `upto` that is not in `ranges`; 0 if there is none."""
    for first, last in reversed(ranges):
        if first <= upto <= last:
            return first - 1
    return upto


def contains(ranges: Ranges, sequence: int) -> bool:
    """Tell whether `sequence` is in `ranges`."""
    return any(first <= sequence <= last for first, last in ranges)
