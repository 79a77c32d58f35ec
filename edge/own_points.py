"""The gateway's own devices as they are read: what rules must know from outside the field, made samples. Pure.

A schedule, the disk, how a link fares: each enters the record as a reading of the device `gateway` or `link-<id>`, by
the way of all readings. So what a rule decided can be told from the record alone, and rules need no wall clock.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from drivers.base import Outcome, Scan
from edge.calendar import Next, Read
from sitekeeper.model.clock import MINUTE, Micros, Moment
from sitekeeper.model.point import ScanGroup
from sitekeeper.model.quality import GOOD, Q, Reason, bad
from sitekeeper.model.sample import Sample, Value

Reading = tuple[Value, Q]

SHARE_OVER: Final[Micros] = 10 * MINUTE
"""The time over which failed readings are counted."""
UNKNOWN: Final[Reading] = (None, bad(Reason.NOT_YET))


class OwnPoint(NamedTuple):
    """How one point is read."""

    read: Read
    next: Next | None = None


@dataclass(slots=True)
class _Group:
    scan: ScanGroup
    points: tuple[OwnPoint, ...]
    due: Micros
    last: list[Reading] = field(default_factory=list)


class OwnPoints:
    """The own devices of one gateway.

    Args:
        groups: their scan groups, each with its points in the order of the group's handles.
        now: the start, at which all of them are due. links: the scan group of a link by the handle of each `online`
            point of its devices.
    """

    def __init__(
        self,
        groups: Iterable[tuple[ScanGroup, Sequence[OwnPoint]]],
        *,
        now: Micros,
        links: Mapping[int, str] | None = None,
    ) -> None:
        self._groups = {scan.id: _Group(scan, tuple(points), now) for scan, points in groups}
        self._links = links or {}

    def scans(self, now: Moment) -> list[Scan]:
        """Return the readings that are due: every point the first time, then those that differ."""
        return [self._scan(group, now) for group in self._groups.values() if group.due <= now.mono]

    def next_deadline(self) -> Micros | None:
        """Return the monotonic time of the next reading; None if there is nothing to read."""
        return min((group.due for group in self._groups.values()), default=None)

    def seen(self, samples: Sequence[Sample]) -> bool:
        """Take note of what flowed; tell whether a reading is due at once because a device came or went."""
        moved = {self._links[sample.handle] for sample in samples if sample.handle in self._links}
        for group in moved:
            self._groups[group].due = min(self._groups[group].due, samples[-1].at)
        return bool(moved)

    def _scan(self, group: _Group, now: Moment) -> Scan:
        found = [point.read(now) for point in group.points]
        complete = not group.last
        before: Sequence[Reading | None] = group.last or [None] * len(found)
        group.last = found
        changes = (point.next(now) for point in group.points if point.next is not None)
        group.due = min([now.mono + group.scan.period, *(at for at in changes if at is not None and at > now.mono)])
        return Scan(
            group=group.scan.id,
            device=group.scan.device,
            asked=now.mono,
            received=now.mono,
            outcomes=[
                Outcome(index, now.mono, value, q)
                for index, ((value, q), old) in enumerate(zip(found, before, strict=True))
                if (value, q) != old
            ],
            complete=complete,
            answered=True,
        )


def known(value: Value) -> Reading:
    """Return the reading of a value; None is one that is not known yet."""
    return UNKNOWN if value is None else (value, GOOD)


class Members:
    """The devices of one link, by their `online` points: how many there are, how many do not answer."""

    def __init__(self, online: Sequence[Callable[[], Value]]) -> None:
        self._online = tuple(online)

    def count(self, _now: Moment) -> Reading:
        return len(self._online), GOOD

    def offline(self, _now: Moment) -> Reading:
        """Return how many are known not to answer."""
        return sum(online() is False for online in self._online), GOOD

    def lost(self, _now: Moment) -> Reading:
        """Tell whether none answers. Not known while some were not heard of since the start and none answered."""
        said = [online() for online in self._online]
        if True in said:
            return False, GOOD
        return UNKNOWN if None in said else (True, GOOD)


class Share:
    """The share of readings that failed, of those since `SHARE_OVER`. `counts` returns (readings, failed) so far."""

    def __init__(self, counts: Callable[[], tuple[int, int]]) -> None:
        self._counts = counts
        self._past: deque[tuple[Micros, int, int]] = deque()

    def read(self, now: Moment) -> Reading:
        """Return the share; not known while there was no reading."""
        readings, failed = self._counts()
        self._past.append((now.mono, readings, failed))
        while len(self._past) > 1 and self._past[1][0] <= now.mono - SHARE_OVER:
            self._past.popleft()
        _, before, failed_before = self._past[0]
        if readings == before:
            return UNKNOWN
        return round((failed - failed_before) / (readings - before), 3), GOOD
