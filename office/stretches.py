"""A scan group's day as stretches of time, each with what the ledger says of it. Pure.

The same rules as those of `cloud_sync.ledger.account`, told by interval instead of by length: their sums are equal.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from cloud_sync.ledger import CAUSES, DROPPED, MISSING, QUARANTINED, SLACK, Interval, union
from cloud_sync.store.ledger import Evidence
from sitekeeper.model.clock import Micros

KNOWN: Final = "known"
AWAITED: Final = "awaited"
UNEXPLAINED: Final = "unexplained"


class Stretch(msgspec.Struct, frozen=True):
    """A stretch of wall time: `known`, `awaited`, `unexplained`, or the cause of a gap."""

    start: Micros
    end: Micros
    what: str


def stretches(evidence: Evidence) -> list[Stretch]:
    """Return the time of a group in order, without overlap and without a break."""
    start, end = evidence.told
    claims = [(DROPPED, union(evidence.gaps.get(DROPPED, ()))), (KNOWN, union(evidence.known))]
    claims += [(cause, union(evidence.gaps.get(cause, ()))) for cause in CAUSES]
    claims += [(cause, union(evidence.gaps[cause])) for cause in sorted(evidence.gaps.keys() - {DROPPED, *CAUSES})]
    cuts = {start, end} | {at for _, spans in claims for span in spans for at in span if start < at < end}
    pieces = [Stretch(a, b, _claimed(a, claims)) for a, b in pairwise(sorted(cuts))]
    told = [_named(piece, evidence) if piece.what == UNEXPLAINED else piece for piece in _joined(pieces)]
    tail = [Stretch(end, evidence.exists[1], AWAITED)] if end < evidence.exists[1] else []
    return _joined([*told, *tail])


def _claimed(at: Micros, claims: Sequence[tuple[str, Sequence[Interval]]]) -> str:
    """Return the first that claims the moment."""
    for what, spans in claims:
        place = bisect_right(spans, at, key=lambda span: span[0]) - 1
        if place >= 0 and at < spans[place][1]:
            return what
    return UNEXPLAINED


def _named(piece: Stretch, evidence: Evidence) -> Stretch:
    """Return a stretch that nobody claims with what the lacking blocks say of it; a short one is rounding."""
    if piece.end - piece.start <= SLACK:
        return msgspec.structs.replace(piece, what=KNOWN)
    windows = evidence.windows
    for what, spans in ((MISSING, windows.missing), (QUARANTINED, windows.quarantined), (AWAITED, windows.awaited)):
        if any(a <= piece.end and b >= piece.start for a, b in spans):
            return msgspec.structs.replace(piece, what=what)
    return piece


def _joined(pieces: Iterable[Stretch]) -> list[Stretch]:
    """Return neighbours that say the same as one."""
    found: list[Stretch] = []
    for piece in pieces:
        if found and found[-1].what == piece.what:
            found[-1] = Stretch(found[-1].start, piece.end, piece.what)
        else:
            found.append(piece)
    return found
