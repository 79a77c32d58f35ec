"""Blocks of the record to pieces in order of time, in the handles of the present site."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count, groupby
from operator import itemgetter
from typing import Final, NamedTuple

from sitekeeper.block import Block, GapCause
from sitekeeper.catalogue import Catalogue
from sitekeeper.model.alarm import Transition
from sitekeeper.model.clock import Micros
from sitekeeper.model.event import Event
from sitekeeper.model.point import Point
from sitekeeper.model.quality import Reason, bad
from sitekeeper.model.sample import Sample

UNKNOWN: Final = bad(Reason.STALE)


class Piece(NamedTuple):
    """Records of one run of the gateway, in order of time.

    Attributes:
        wall: turns their monotonic times into wall times. until: monotonic time up to which that run surely lasted.
    """

    boot: str
    wall: Micros
    records: list[Sample | Event]
    until: Micros


class Record:
    """Reads blocks for the points of the present site.

    What the record lacks is unknown from there on, until it is told again: all points where blocks are missing, those
    of a scan group where the gateway's disk could not keep up.

    Args:
        catalogue: finds one by its hash. points: the present site's, by id.

    Attributes:
        gone: ids of points that the record has and the site has no more; they are left out.
        transitions: the moves of alarms that came along.
    """

    def __init__(self, catalogue: Callable[[str], Catalogue], points: Mapping[str, Point]) -> None:
        self._catalogue = catalogue
        self._points = points
        self._handles: dict[str, list[int | None]] = {}
        self._number = count()
        self._sealed: Micros
        self._until: Micros
        self._begin()
        self.gone: set[str] = set()
        self.transitions: list[Transition] = []

    def pieces(self, blocks: Iterable[Block]) -> Iterator[Piece]:
        """Return what happened in order.

        Args:
            blocks: run by run, and within each in the order of their first records; the streams may overlap.
        """
        boot = ""
        for block in blocks:
            if block.boot != boot:
                yield from self._released(boot, None)
                self._begin()
                boot = block.boot
            self.transitions += block.transitions
            self._missing(block)
            records: list[Sample | Event] = [*self._samples(block), *block.events]
            if records:
                yield from self._released(boot, records[0].at)
            for record in records:
                self._wait(record, block)
            self._until = max(self._until, block.mono0, records[-1].at if records else block.mono0)
        yield from self._released(boot, None)

    def _begin(self) -> None:
        self._waiting: list[tuple[Micros, int, Sample | Event, Micros]] = []
        self._heard: dict[int, Micros] = {}
        self._last: int | None = None
        self._sealed = -(2**62)
        self._until = self._sealed

    def _samples(self, block: Block) -> Iterator[Sample]:
        handles = self._mapped(block.catalogue)
        heard = self._heard
        for sample in block.samples:
            handle = handles[sample.handle]
            if handle is None or heard.get(handle, sample.at) > sample.at:  # what was told later of the past
                continue
            heard[handle] = sample.at
            yield Sample(handle, sample.at, sample.value, sample.q, sample.source)

    def _mapped(self, catalogue: str) -> list[int | None]:
        """Return the present handle of each handle of a catalogue; None for a point that is gone."""
        if catalogue not in self._handles:
            rows = self._catalogue(catalogue).points
            known = [self._points.get(row.id) for row in rows]
            self.gone |= {row.id for row, point in zip(rows, known, strict=True) if point is None}
            self._handles[catalogue] = [None if point is None else point.handle for point in known]
        return self._handles[catalogue]

    def _missing(self, block: Block) -> None:
        """Let be unknown what is not in the record between the block before and this one."""
        if block.stream != "samples":
            return
        lacks = self._last is not None and block.sequence > self._last + 1
        behind = {gap.group for gap in block.gaps if gap.cause is GapCause.WRITER_BEHIND}
        at, self._last, self._sealed = self._sealed, block.sequence, block.mono0
        if not lacks and not behind:
            return
        for row, handle in zip(self._catalogue(block.catalogue).points, self._mapped(block.catalogue), strict=True):
            if handle in self._heard and (lacks or row.group in behind):
                self._wait(Sample(handle, at, None, UNKNOWN), block)

    def _wait(self, record: Sample | Event, block: Block) -> None:
        heapq.heappush(self._waiting, (record.at, next(self._number), record, block.t0 - block.mono0))

    def _released(self, boot: str, before: Micros | None) -> Iterator[Piece]:
        """Return what no later block can come before."""
        waiting = self._waiting
        found: list[tuple[Micros, Sample | Event]] = []
        while waiting and (before is None or waiting[0][0] < before):
            _, _, record, wall = heapq.heappop(waiting)
            found.append((wall, record))
        parts = [(wall, [record for _, record in part]) for wall, part in groupby(found, key=itemgetter(0))]
        for wall, records in parts:
            yield Piece(boot, wall, records, max(self._until, records[-1].at))


def begun(pieces: Iterable[Piece], start: Micros) -> Iterator[Piece]:
    """Leave out what was before a wall time, but for the last state of each point, which comes first instead.

    Only of the run of the gateway that was at work then: after a start everything is told anew.
    """
    known: dict[int, Sample] = {}
    boot = ""
    for piece in pieces:
        if piece.boot != boot:
            known, boot = {}, piece.boot
        edge = start - piece.wall
        early = [record for record in piece.records if record.at < edge]
        known.update((record.handle, record) for record in early if isinstance(record, Sample))
        if piece.until < edge or (early and len(early) == len(piece.records)):
            continue
        states = [Sample(handle, edge, sample.value, sample.q) for handle, sample in sorted(known.items())]
        known = {}
        yield piece._replace(records=[*states, *piece.records[len(early) :]])
