"""The rules of today on the record: one engine for each run of the gateway, its state carried over as at a restart."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Final

from edge.backtest.record import Piece
from edge.rules.compiling import Rules
from edge.rules.derives import Derivation, Derives
from edge.rules.engine import Engine
from edge.rules.instance import Verdict
from sitekeeper.model.clock import Micros
from sitekeeper.model.event import Event
from sitekeeper.model.sample import Sample

ALWAYS: Final[tuple[Micros, Micros]] = (-(2**62), 2**62)


@dataclass(slots=True)
class Decided:
    """What was decided about alarms, each with its wall time, and how many samples and events were gone through."""

    verdicts: list[tuple[Micros, Verdict]] = field(default_factory=list)
    records: int = 0


def run(
    pieces: Iterable[Piece],
    rules: Rules,
    derivations: Sequence[Derivation] = (),
    window: tuple[Micros, Micros] = ALWAYS,
) -> Decided:
    """Let the rules decide about a record. Nothing is written, and nobody is told.

    Args:
        pieces: in order of time, run by run.
        rules: compiled for the present site.
        derivations: of points that are derived today and that the record does not have.
        window: wall times. Records are counted from the first to before the second; verdicts end before the second.
    """
    decided = Decided()
    state: dict[str, bytes] = {}
    derived: dict[str, bytes] = {}
    as_of: Micros | None = None
    for _, run_ in groupby(pieces, key=lambda piece: piece.boot):
        engine: Engine | None = None
        derives: Derives | None = None
        wall = until = 0
        for piece in run_:
            wall, until = piece.wall, piece.until
            first = piece.records[0].at if piece.records else until
            if engine is None:
                engine = Engine(rules, state=state, as_of=as_of, now=first)
                derives = Derives(derivations, state=derived, as_of=as_of, now=first) if derivations else None
            records = piece.records if derives is None else list(_with_derived(derives, piece.records))
            decided.verdicts += _kept(engine.feed(records), wall, window[1])
            decided.records += _counted(piece, window)
        if engine is None:
            continue
        decided.verdicts += _kept(engine.advance(max(engine.now + 1, until)), wall, window[1])
        state.update({key: saved for key, saved in engine.dirty().items() if saved is not None})
        derived.update({} if derives is None else derives.dirty())
        as_of = engine.now
    return decided


def _kept(verdicts: Iterable[Verdict], wall: Micros, until: Micros) -> list[tuple[Micros, Verdict]]:
    """Leave out what only writes: the lamps of a long record would fill the memory."""
    return [(verdict.at + wall, verdict) for verdict in verdicts if verdict.alarm and verdict.at + wall < until]


def _counted(piece: Piece, window: tuple[Micros, Micros]) -> int:
    first, end = (bisect_left(piece.records, edge - piece.wall, key=attrgetter("at")) for edge in window)
    return end - first


def _with_derived(derives: Derives, records: Sequence[Sample | Event]) -> Iterator[Sample | Event]:
    """Return the records with the derived samples among them."""
    for _, group in groupby(records, key=type):
        for record in (part := list(group)):
            if isinstance(record, Event):
                yield from derives.advance(record.at)
                yield record
        yield from derives.feed([record for record in part if isinstance(record, Sample)])
