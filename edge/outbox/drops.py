"""What was dropped for want of space, so that it can be told: sequences, times by scan group, last states. Pure.

A dropped block takes its coverage with it, so its vouches become gaps `dropped`, and its own gaps are kept as they
are. It takes changes with it too, and what comes after it in the record stands on them: so of each point the last
dropped state is kept, and is told with the gaps. Of a block that was lost with a damaged file nobody knows the changes:
after it each point is UNKNOWN until its next sample.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import msgspec

from edge.outbox import ranges, rows
from sitekeeper.block import Block, Gap, GapCause, decode
from sitekeeper.catalogue import Catalogue
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import FormatError
from sitekeeper.model.quality import Q, Reason, bad
from sitekeeper.model.sample import Value

MAX_RANGES: Final = 500
"""Ranges kept, told and untold each; beyond it the two oldest become one, and `blocks` says how many it means."""

MAX_INTERVALS: Final = 50
"""Intervals kept per scan group and cause until they are told; beyond it the two oldest become one."""

UNKNOWN: Final[Q] = bad(Reason.STALE)
"""What a point is after a block was lost, of which nobody can say what it told."""

TABLES: Final = ("dropped", "dropped_groups", "dropped_state")


class Dropped(NamedTuple):
    """Sample blocks that went unsent: first and last sequence, how many of them, their records and wall times."""

    first: int
    last: int
    blocks: int
    records: int
    t0: Micros
    t1: Micros


class State(msgspec.Struct, frozen=True, array_like=True):
    """What a point was at the end of what was dropped: wall time of receipt, value, quality, the source's time."""

    at: Micros
    value: Value
    q: Q
    source: Micros | None


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be told, once: see `Outbox.untold`.

    Attributes:
        dropped: ranges of sample blocks. gaps: for the record. states: by point id, in order of time, for the record.
        salvage: what was saved from a file that was replaced, as the fields of its events, one for each stream.
    """

    dropped: tuple[Dropped, ...] = ()
    gaps: tuple[Gap, ...] = ()
    states: Mapping[str, tuple[State, ...]] = {}
    salvage: tuple[dict[str, Value], ...] = ()


class Lost(NamedTuple):
    """A block on its way out."""

    sequence: int
    records: int
    t0: Micros
    t1: Micros
    payload: bytes


@dataclass(frozen=True, slots=True)
class Drops:
    """All that the file remembers of drops; `times` in half-open intervals, kept with their last microsecond."""

    told: tuple[Dropped, ...] = ()
    untold: tuple[Dropped, ...] = ()
    times: Mapping[tuple[str, str], ranges.Ranges] = field(default_factory=dict)
    states: Mapping[str, tuple[State, ...]] = field(default_factory=dict)

    def sequences(self) -> ranges.Ranges:
        """Return which sequences of samples are accounted for here, as sorted ranges."""
        found: ranges.Ranges = ()
        for each in sorted((*self.told, *self.untold)):
            found = ranges.add(found, each.first, each.last)
        return found

    def sum(self) -> tuple[int, int, Micros]:
        """Return blocks, records and the wall time of the last record of all that is remembered; else zeros."""
        every = (*self.told, *self.untold)
        return sum(e.blocks for e in every), sum(e.records for e in every), max((e.t1 for e in every), default=0)

    def with_blocks(self, lost: Iterable[Lost], catalogue: Callable[[str], Catalogue | None]) -> "Drops":
        """Return this with blocks that go now. One that cannot be read leaves its range only."""
        untold, times, states = list(self.untold), dict(self.times), dict(self.states)
        for each in lost:
            untold.append(Dropped(each.sequence, each.sequence, 1, each.records, each.t0, each.t1))
            try:
                block = decode(each.payload)
            except FormatError:
                continue
            known = catalogue(block.catalogue)
            for gap in intervals(block, known):
                key, (first, last) = (gap.group, str(gap.cause)), (gap.start, gap.end - 1)
                times[key] = bounded(ranges.add(times.get(key, ()), first, last), MAX_INTERVALS)
            if known is not None:
                for s in (s for s in block.samples if s.handle < len(known.points)):
                    point = known.points[s.handle].id
                    marks = tuple(state for state in states.get(point, ()) if state.q == UNKNOWN)
                    states[point] = (*marks, State(block.wall(s.at), s.value, s.q, s.source))
        return replace(self, untold=_merged(untold), times=times, states=states)

    def with_times(self, gaps: Iterable[Gap], unknown: Mapping[str, Sequence[Micros]] = {}) -> "Drops":
        """Return this with gaps that are to be told without a block of ours having gone: those of a salvage.

        Args:
            unknown: by point, from which times on nobody knows what it was, until its next sample.
        """
        times, states = dict(self.times), dict(self.states)
        for point, since in unknown.items():
            states[point] = (*(State(at, None, UNKNOWN, None) for at in since), *states.get(point, ()))
        for gap in gaps:
            key = (gap.group, str(gap.cause))
            times[key] = bounded(ranges.add(times.get(key, ()), gap.start, gap.end - 1), MAX_INTERVALS)
        return replace(self, times=times, states=states)

    def note(self) -> Note:
        """Return what nobody was told yet."""
        gaps = [
            Gap(group, start, last + 1, GapCause(cause))
            for (group, cause), found in sorted(self.times.items())
            for start, last in found
        ]
        return Note(dropped=self.untold, gaps=tuple(gaps), states=dict(self.states))

    def without(self, note: Note) -> "Drops":
        """Return this after `note` was told; what came since stays to be told."""
        said = {each.first: each for each in note.dropped}
        untold = [_rest(each, said[each.first]) if each.first in said else each for each in self.untold]
        times = dict(self.times)
        for gap in note.gaps:
            key = (gap.group, str(gap.cause))
            left = tuple(
                (max(start, gap.end) if start == gap.start else start, last)
                for start, last in times.get(key, ())
                if not (start == gap.start and last < gap.end)
            )
            times[key] = left
            if not left:
                del times[key]
        return Drops(
            told=_merged([*self.told, *note.dropped]),
            untold=tuple(each for each in untold if each is not None),
            times=times,
            states={point: state for point, state in self.states.items() if note.states.get(point) != state},
        )

    def tables(self) -> dict[str, set[rows.Row]]:
        """Return the rows of the three tables."""
        return {
            "dropped": {(*each, 1) for each in self.told} | {(*each, 0) for each in self.untold},
            "dropped_groups": {(*key, start, last + 1) for key, found in self.times.items() for start, last in found},
            "dropped_state": {(point, msgspec.msgpack.encode(state)) for point, state in self.states.items()},
        }

    @classmethod
    def of_rows(cls, found: Mapping[str, Iterable[rows.Row]]) -> "Drops":
        """Return what the rows of the three tables say.

        Raises:
            msgspec.DecodeError: a state is none.
        """
        ranged = [(Dropped(*row[:6]), row[6]) for row in found["dropped"]]
        times: dict[tuple[str, str], ranges.Ranges] = {}
        for group, cause, start, until in found["dropped_groups"]:
            times[group, cause] = ranges.add(times.get((group, cause), ()), start, until - 1)
        return cls(
            told=tuple(sorted(each for each, told in ranged if told)),
            untold=tuple(sorted(each for each, told in ranged if not told)),
            times=times,
            states={
                point: msgspec.msgpack.decode(states, type=tuple[State, ...])
                for point, states in found["dropped_state"]
            },
        )


def intervals(block: Block, known: Catalogue | None) -> list[Gap]:
    """Return the coverage of a block as gaps: its vouches as `dropped`, its gaps as they are."""
    groups = () if known is None else known.groups
    vouched = [
        Gap(groups[vouch.group].id, vouch.start, vouch.until, GapCause.DROPPED)
        for vouch in block.vouch
        if vouch.group < len(groups) and vouch.span > 0
    ]
    return [*vouched, *(gap for gap in block.gaps if gap.start < gap.end)]


def _merged(found: list[Dropped]) -> tuple[Dropped, ...]:
    """Return ranges with neighbours made one."""
    merged: list[Dropped] = []
    for each in sorted(found):
        if merged and merged[-1].last + 1 >= each.first:
            merged[-1] = _one(merged[-1], each)
        else:
            merged.append(each)
    while len(merged) > MAX_RANGES:
        merged[:2] = [_one(merged[0], merged[1])]
    return tuple(merged)


def _one(a: Dropped, b: Dropped) -> Dropped:
    ends = (min(a.first, b.first), max(a.last, b.last))
    return Dropped(*ends, a.blocks + b.blocks, a.records + b.records, min(a.t0, b.t0), max(a.t1, b.t1))


def _rest(now: Dropped, said: Dropped) -> Dropped | None:
    """Return what a range has grown by since it was told."""
    if now.last == said.last:
        return None
    return Dropped(said.last + 1, now.last, now.blocks - said.blocks, now.records - said.records, said.t1, now.t1)


def bounded(found: ranges.Ranges, most: int) -> ranges.Ranges:
    """Return ranges of which the oldest have become one until they are few enough."""
    while len(found) > most:
        found = ((found[0][0], found[1][1]), *found[2:])
    return found
