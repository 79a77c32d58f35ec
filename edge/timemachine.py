"""The rules of today on what was recorded: opens a local outbox or an office's export, and has `edge.backtest` decide.

Nothing is written, nobody is told, no command is given. A gateway may go on writing its outbox.
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Final

import zstandard

from edge.backtest.compare import Result, Spans, compare, of_transitions, of_verdicts
from edge.backtest.exported import Exported
from edge.backtest.record import Piece, Record, begun
from edge.backtest.run import run
from edge.outbox.reader import Reader
from edge.rules.compiling import Rules
from edge.settings.values import Site
from sitekeeper.model.alarm import Transition
from sitekeeper.model.clock import DAY, Micros
from sitekeeper.model.errors import FormatError, StorageError

WARM: Final = DAY
"""How much of the record goes before what is judged, so that what rules remember is what they remembered then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be tried.

    Attributes:
        outbox, export: where the record is; exactly one of them.
        length: how far what is judged reaches back. until: wall time at which it ends. None: all there is, its end.
        warm: how much of the record goes before it, as far as there is so much.
        rules: only these, by id; None for all.
    """

    outbox: Path | None = None
    export: Path | None = None
    length: Micros | None = None
    until: Micros | None = None
    warm: Micros = WARM
    rules: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of it. `gone`: points of the record that the site has no more. Times are wall times."""

    result: Result
    since: Micros
    until: Micros
    gone: frozenset[str] = frozenset()
    old: Spans = field(default_factory=dict, repr=False)
    new: Spans = field(default_factory=dict, repr=False)


def try_rules(site: Site, wanted: Wanted) -> Tried:
    """Let the rules of a site decide about a record, and compare that with what was decided then.

    Raises:
        StorageError: the record cannot be opened or read. FormatError: what is in it cannot be read.
        NotFound: a catalogue is missing.
    """
    if wanted.export is not None:
        with _export(wanted.export, site) as (read, first, last):
            return _tried(site, wanted, read, first, last)
    with Reader(wanted.outbox or site.outbox.path) as reader:
        span = reader.span()
        if span is None:
            return Tried(result=compare({}, {}, 0, 0, 0), since=0, until=0)
        since = _since(wanted, *span)
        record = Record(reader.catalogue, {point.id: point for point in site.points})
        pieces = record.pieces(reader.record(since - wanted.warm))
        return _tried(site, wanted, _Read(record, pieces, reader.points()), *span)


@dataclass(frozen=True, slots=True)
class _Read:
    """A record being read, its pieces, and the ids of all points that it may have."""

    record: Record | Exported
    pieces: Iterator[Piece]
    points: frozenset[str]


def _tried(site: Site, wanted: Wanted, read: _Read, first: Micros, last: Micros) -> Tried:
    since, until = _since(wanted, first, last), last + 1 if wanted.until is None else wanted.until
    pieces = takewhile(lambda piece: piece.wall + _at(piece) < until, begun(read.pieces, since - wanted.warm))
    rules = site.rules if wanted.rules is None else _only(site.rules, wanted.rules)
    lacking = [each for each in site.derivations if each.point.id not in read.points]
    decided = run(pieces, rules, lacking, (since, until))
    old = _chosen(of_transitions(_before(read.record.transitions, until)), wanted.rules)
    new = of_verdicts(decided.verdicts)
    result = compare(old, new, since, until, decided.records, max(first, since - wanted.warm))
    if not result.differences and all(plan.mode == "off" for plan in rules.plans):
        result = replace(result, records=0)  # nothing decided about them
    return Tried(result=result, since=since, until=until, gone=frozenset(read.record.gone), old=old, new=new)


def _at(piece: Piece) -> Micros:
    return piece.records[0].at if piece.records else piece.until


def _since(wanted: Wanted, first: Micros, last: Micros) -> Micros:
    end = last if wanted.until is None else wanted.until
    return first if wanted.length is None else max(first, end - wanted.length)


def _before(moves: Iterable[Transition], until: Micros) -> list[Transition]:
    return [move for move in moves if move.at < until]


def _only(rules: Rules, ids: frozenset[str]) -> Rules:
    return Rules(rules=rules.rules, plans=tuple(plan for plan in rules.plans if plan.rule.id in ids))


def _chosen(spans: Spans, ids: frozenset[str] | None) -> Spans:
    return {key: each for key, each in spans.items() if ids is None or key.rpartition("/")[2] in ids}


@contextmanager
def _export(path: Path, site: Site) -> Iterator[tuple[_Read, Micros, Micros]]:
    try:
        with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as plain:
            read = Exported(io.BufferedReader(plain), {point.id: point for point in site.points})
            yield _Read(read, read.pieces(), read.points), read.head.since, read.head.until
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from None
    except zstandard.ZstdError as error:
        raise FormatError(f"{path}: not an export: {error}") from None
