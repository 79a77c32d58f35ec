"""The present state of every point: the last sample of each, measured or derived."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Protocol

from sitekeeper.model.clock import Micros, Moment
from sitekeeper.model.errors import NotFound
from sitekeeper.model.point import Point
from sitekeeper.model.quality import Q
from sitekeeper.model.sample import Sample, Value


class Stood(Protocol):
    """What a point was at a wall time."""

    @property
    def at(self) -> Micros: ...
    @property
    def value(self) -> Value: ...
    @property
    def q(self) -> Q: ...
    @property
    def source(self) -> Micros | None: ...


class Latest:
    """Last samples by handle, found by point id too."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._points = tuple(points)
        self._by_id = {point.id: point for point in points}
        self._samples: list[Sample | None] = [None] * len(points)

    def update(self, samples: Sequence[Sample]) -> None:
        """Take changes, in order."""
        for sample in samples:
            self._samples[sample.handle] = sample

    def get(self, handle: int) -> Sample | None:
        """Return the point's last sample; None if it has had none since the start."""
        return self._samples[handle]

    def find(self, point_id: str) -> Point:
        """Return the point called `<device>/<point>`.

        Raises:
            NotFound: there is none; names those that are spelt alike.
        """
        try:
            return self._by_id[point_id]
        except KeyError:
            near = tuple(get_close_matches(point_id, self._by_id, n=3))
            msg = f"no point {point_id!r} at this site"
            raise NotFound(msg, near=near) from None

    def all(self) -> list[tuple[Point, Sample | None]]:
        """Return every point with its last sample, in the order of handles."""
        return list(zip(self._points, self._samples, strict=True))

    def resend(self, now: Micros) -> list[Sample]:
        """Return the present state of every point as samples of now, for a record that has missed changes."""
        return [Sample(s.handle, now, s.value, s.q, s.source) for s in self._samples if s is not None]

    def past(self, states: Mapping[str, Sequence[Stood]], now: Moment) -> list[Sample]:
        """Return what points were when samples of them were dropped, for those there still are.

        What has moved since follows as it is now: in the record the sample that comes last is the present one.

        Args:
            states: by point id, at wall times.
        """
        offset = now.wall - now.mono
        past, present = [], []
        for point, sample in self.all():
            if stood := states.get(point.id):
                past += [Sample(point.handle, s.at - offset, s.value, s.q, s.source) for s in stood]
                if sample is not None and sample.at > past[-1].at:
                    present.append(Sample(point.handle, now.mono, sample.value, sample.q, sample.source))
        return sorted(past, key=lambda each: each.at) + present
