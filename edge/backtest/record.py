"""Blocks of the record to pieces in order of time, in the handles of the present site."""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import NamedTuple

from sitekeeper.block import Block, Gap, GapCause
from sitekeeper.catalogue import Catalogue
from sitekeeper.model.clock import Micros
from sitekeeper.model.event import Event
from sitekeeper.model.point import Point
from sitekeeper.model.quality import Reason, bad
from sitekeeper.model.sample import Sample


class Piece(NamedTuple):
    """Records of one run of the gateway, in order of time. `wall` turns their monotonic times into wall times."""

    boot: str
    wall: Micros
    records: list[Sample | Event]


class Record:
    """Reads blocks, of samples and events, for the points of the present site.

    Args:
        catalogues: by their hash. points: the present site's, by id.
        gaps: the holes of the record, of all blocks. What a hole covers is unknown from its beginning on.

    Attributes:
        gone: ids of points that the record has and the site has no more; they are left out.
    """

    def __init__(
        self, catalogues: Mapping[str, Catalogue], points: Mapping[str, Point], gaps: Sequence[Gap] = ()
    ) -> None:
        self._catalogues = catalogues
        self._points = points
        self._gaps = sorted((gap for gap in gaps if gap.cause is not GapCause.GATEWAY_OFF), key=lambda gap: gap.start)
        self._handles: dict[str, list[int | None]] = {}
        self._waiting: list[tuple[Micros, int, Sample | Event]] = []
        self._number = count()
        self.gone: set[str] = set()

    def pieces(self, blocks: Iterable[Block]) -> Iterator[Piece]:
        """Return what happened in order.

        Args:
            blocks: run by run, and within each in the order of their first records; samples and events may overlap.
        """
        last: Block | None = None
        for block in blocks:
            records: list[Sample | Event] = [*self._samples(block), *block.events]
            if not records:
                continue
            if last is not None and last.boot != block.boot:
                yield from self._released(last, None)
            self._open_gaps(block, records[0].at)
            yield from self._released(block, records[0].at)
            for record in records:
                self._wait(record)
            last = block
        if last is not None:
            yield from self._released(last, None)

    def _samples(self, block: Block) -> Iterator[Sample]:
        handles = self._mapped(block.catalogue)
        for sample in block.samples:
            handle = handles[sample.handle]
            if handle is not None:
                yield Sample(handle, sample.at, sample.value, sample.q, sample.source)

    def _mapped(self, catalogue: str) -> list[int | None]:
        """Return the present handle of each handle of a catalogue; None for a point that is gone."""
        if catalogue not in self._handles:
            rows = self._catalogues[catalogue].points
            known = [self._points.get(row.id) for row in rows]
            self.gone |= {row.id for row, point in zip(rows, known, strict=True) if point is None}
            self._handles[catalogue] = [None if point is None else point.handle for point in known]
        return self._handles[catalogue]

    def _open_gaps(self, block: Block, first: Micros) -> None:
        """Let everything in a hole that has begun be unknown as of its beginning."""
        until = block.wall(first)
        while self._gaps and self._gaps[0].start <= until:
            gap = self._gaps.pop(0)
            at = block.mono0 + gap.start - block.t0
            for row, handle in zip(
                self._catalogues[block.catalogue].points, self._mapped(block.catalogue), strict=True
            ):
                if row.group == gap.group and handle is not None:
                    self._wait(Sample(handle, at, None, bad(Reason.STALE)))

    def _wait(self, record: Sample | Event) -> None:
        heapq.heappush(self._waiting, (record.at, next(self._number), record))

    def _released(self, block: Block, before: Micros | None) -> Iterator[Piece]:
        """Return what no later block can come before."""
        found: list[Sample | Event] = []
        while self._waiting and (before is None or self._waiting[0][0] < before):
            found.append(heapq.heappop(self._waiting)[2])
        if found:
            yield Piece(block.boot, block.t0 - block.mono0, found)
