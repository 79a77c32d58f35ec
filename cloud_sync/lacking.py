"""Which blocks the office asks a site for, and when: pure. A restored office asks for all that its backup lacks.

A site sends by itself what has no receipt. What lies below the first such block, and is not here, was receipted by an
office whose record is gone: it is asked for, a piece at a time. One piece per site is under way; the next one follows
when it came, and the same one is asked for again after a delay that doubles. So a site that is 14 days behind costs the
office a request every few seconds, and what it sends comes after everything live (`history`).

The epochs before the present one are asked for too, after `SETTLED`: by then what was saved of them has come. A site
answers what it does not have; that is stated as missing, and the hole stays listed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec.structs import replace

from cloud_sync.wire import Request, Resend
from sitekeeper.block import STREAMS, Stream
from sitekeeper.model.clock import HOUR, MINUTE, SECOND, Micros

PIECE: Final = 1_000
"""Blocks of one request."""
FIRST: Final[Micros] = 10 * SECOND
MOST: Final[Micros] = 10 * MINUTE
"""Delays before the same request is repeated."""
AT_ONCE: Final = 50
"""Requests of one look, over all sites."""
SETTLED: Final[Micros] = HOUR


class Lack(msgspec.Struct, frozen=True):
    """Blocks that the office does not have, and of which nobody has said that they are gone."""

    site: str
    epoch: str
    stream: Stream
    start: int
    end: int


@dataclass(slots=True)
class _Asked:
    """A piece that was asked for; `left` of its blocks had not come at `at`, when one last did."""

    piece: Lack
    at: Micros
    delay: Micros
    left: int


@dataclass(slots=True)
class Lacking:
    """What was asked for and has not come; at most one piece a site."""

    _asked: dict[str, _Asked] = field(default_factory=dict)

    def advance(self, lacks: Mapping[str, Sequence[Lack]], now: Micros) -> list[tuple[str, Request]]:
        """Return what to ask of whom now; `lacks` are those of sites that are there."""
        for site in self._asked.keys() - lacks.keys():
            del self._asked[site]  # it is gone, or lacks nothing any more
        found: list[tuple[str, Request]] = []
        for site in sorted(lacks, key=lambda site: self._asked[site].at if site in self._asked else -1):
            wanted = sorted(lacks[site], key=lambda one: (STREAMS.index(one.stream), one.epoch, one.start))
            if wanted and len(found) < AT_ONCE and (piece := self._next(site, wanted, now)) is not None:
                found.append((site, Request(resend=Resend(piece.epoch, piece.stream, piece.start, piece.end))))
        return found

    def _next(self, site: str, wanted: Sequence[Lack], now: Micros) -> Lack | None:
        before, place, delay = self._asked.get(site), 0, FIRST
        if before is not None:
            left = sum(_common(before.piece, one) for one in wanted)
            if 0 < left < before.left:
                self._asked[site] = _Asked(before.piece, now, FIRST, left)
                return None
            if left and now - before.at < before.delay:
                return None
            if left:  # no answer; the next one is asked for, so that nothing stands in the way of everything
                delay = min(2 * before.delay, MOST)
                place = next(i for i, one in enumerate(wanted) if _common(before.piece, one)) + 1
        one = wanted[place % len(wanted)]
        piece = replace(one, end=min(one.end, one.start + PIECE - 1))
        self._asked[site] = _Asked(piece, now, delay, piece.end - piece.start + 1)
        return piece


def _common(piece: Lack, one: Lack) -> int:
    """Return how many blocks two ranges have in common."""
    if (piece.epoch, piece.stream) != (one.epoch, one.stream):
        return 0
    return max(0, min(piece.end, one.end) - max(piece.start, one.start) + 1)
