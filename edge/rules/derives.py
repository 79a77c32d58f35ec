"""Points made from other points of their device, in the rule language, and recorded like what was measured."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from edge.rules.building import Builder
from edge.rules.checking import check
from edge.rules.graph import Graph
from edge.rules.language import parse
from edge.rules.nodes import Input, Node
from edge.rules.places import Written, note, note_error
from edge.rules.scope import Scope
from edge.rules.syntax import Expression, ExpressionError
from edge.rules.timers import Timers
from edge.rules.types import BOOL, type_of
from sitekeeper.faults import Faults
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import FormatError
from sitekeeper.model.point import ONLINE, Point
from sitekeeper.model.quality import GOOD, Q, Reason, bad
from sitekeeper.model.sample import Sample, Value


@dataclass(frozen=True, slots=True)
class Derivation:
    """A derived point, its checked expression, and the points of its device by name."""

    point: Point
    tree: Expression
    points: Mapping[str, Point]


def compile_derives(
    written: Mapping[str, tuple[Point, Written]], devices: Mapping[str, Mapping[str, Point]], faults: Faults
) -> tuple[Derivation, ...]:
    """Return the derivations in an order in which each comes after those it reads.

    Args:
        written: by point id: the derived point and its expression.
        devices: by device id: its points by name, derived ones too.
        faults: where mistakes are noted; a derivation with one is left out.
    """
    good: dict[str, Derivation] = {}
    for id_, (point, text) in sorted(written.items()):
        tree = _checked(point, text, devices[point.device], faults)
        if tree is not None:
            good[id_] = Derivation(point, tree, devices[point.device])
    ordered: dict[str, Derivation] = {}
    while ready := [
        id_ for id_ in good if id_ not in ordered and not (_needs(good[id_]) & good.keys()) - ordered.keys()
    ]:
        ordered.update((id_, good[id_]) for id_ in ready)
    for id_ in good.keys() - ordered.keys():
        note(faults, written[id_][1].place, "derive-circle", point=id_)
    return tuple(ordered.values())


def _checked(point: Point, text: Written, points: Mapping[str, Point], faults: Faults) -> Expression | None:
    types = {name: type_of(other.type, other.unit, other.members) for name, other in points.items()}
    scope = Scope(points={**types, ONLINE: BOOL})
    try:
        tree = parse(text.text)
    except ExpressionError as error:
        note_error(faults, text, error)
        return None
    mistakes = check(tree, scope, type_of(point.type, point.unit, point.members))[1]
    for mistake in mistakes:
        note_error(faults, text, mistake)
    return None if mistakes else tree


def _needs(derivation: Derivation) -> set[str]:
    builder = Builder(derivation.points)
    builder.build(derivation.tree)
    return {derivation.points[name].id for name in builder.inputs}


class _Derived:
    """One derived point at work."""

    __slots__ = ("_graph", "_revision", "_root", "deadline", "inputs", "pending", "point", "sent", "unsaved")

    def __init__(self, derivation: Derivation) -> None:
        builder = Builder(derivation.points)
        self._root: Node = builder.build(derivation.tree)
        self._graph = Graph(builder.nodes)
        self._revision = hashlib.blake2b(repr(derivation.tree).encode(), digest_size=8).hexdigest()
        self.inputs = builder.inputs
        self.point = derivation.point
        self.deadline: Micros | None = None
        self.pending = False
        self.unsaved = False
        self.sent: tuple[Value, Q] | None = None

    def put(self, point: Input, sample: Sample) -> None:
        point.sample = sample
        point.value = sample.value if sample.q == GOOD else None
        self._graph.mask |= point.up
        self.pending = True

    def evaluate(self, now: Micros) -> Sample | None:
        """Return a sample if value or quality moved."""
        self.pending = False
        self._graph.wake(now)
        if self._graph.settle(now):
            self.unsaved = True
            self.deadline = self._graph.deadline()
        value = self._root.value
        state = (value, GOOD) if value is not None else (None, self._why_unknown())
        if state == self.sent:
            return None
        self.sent = state
        return Sample(self.point.handle, now, *state)

    def _why_unknown(self) -> Q:
        """Return the quality of the first input that is not good."""
        for _, point in sorted(self.inputs.items()):
            if point.value is None:
                return point.reading()[1]
        return bad(Reason.OUT_OF_RANGE)  # all inputs good and still no value: a division by zero

    def save(self) -> bytes:
        self.unsaved = False
        return msgspec.msgpack.encode((self._revision, self._graph.save()))

    def restore(self, saved: bytes, as_of: Micros) -> None:
        try:
            revision, memories = msgspec.msgpack.decode(saved, type=tuple[str, list[Any]])
        except msgspec.MsgspecError as error:
            raise FormatError(f"state of {self.point.id}: {error}") from error
        if revision == self._revision:
            self._graph.restore(memories, as_of)
        self.unsaved = True  # what was saved is on another clock than the next `as_of`


class Derives:
    """All derived points of a site at work. Kept apart from the rules, because its samples go into the record.

    Args:
        derivations: from `compile_derives`.
        state, as_of, now: as for `Engine`; its keys end in `/=<point>`, so both may share one table.

    Raises:
        FormatError: a state cannot be read.
    """

    def __init__(
        self, derivations: Sequence[Derivation], *, state: Mapping[str, bytes], as_of: Micros | None, now: Micros
    ) -> None:
        self.now = now
        self._all = [_Derived(derivation) for derivation in derivations]
        self._routes: dict[int, list[tuple[_Derived, Input]]] = {}
        self._timers = Timers(len(self._all))
        for derived, derivation in zip(self._all, derivations, strict=True):
            for name, point in derived.inputs.items():
                self._routes.setdefault(derivation.points[name].handle, []).append((derived, point))
            if (saved := state.get(_key(derived.point))) is not None:
                derived.restore(saved, as_of or 0)

    def feed(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return the samples with the derived ones among them, each moment's after what was measured at it."""
        out: list[Sample] = []
        for place, sample in enumerate(samples):
            if sample.at > self.now:
                out += self.advance(sample.at)
            out.append(sample)
            self._put(sample)
            if place + 1 == len(samples) or samples[place + 1].at > sample.at:
                out += self._evaluate_pending()
        return out

    def advance(self, now: Micros) -> list[Sample]:
        """Let time pass up to `now`; return what timers changed."""
        out: list[Sample] = []
        while (ripe := self._timers.pop(now)) is not None:
            self.now = ripe[0]
            self._all[ripe[1]].pending = True
            out += self._evaluate_pending()
        self.now = max(self.now, now)
        return out

    def next_deadline(self) -> Micros | None:
        return self._timers.next()

    def dirty(self) -> dict[str, bytes]:
        """Return the states that changed since the last call."""
        return {_key(derived.point): derived.save() for derived in self._all if derived.unsaved}

    def _put(self, sample: Sample) -> None:
        for derived, point in self._routes.get(sample.handle, ()):
            derived.put(point, sample)

    def _evaluate_pending(self) -> list[Sample]:
        out: list[Sample] = []
        for place, derived in enumerate(self._all):  # in order: what one gives, a later one may read
            if not derived.pending:
                continue
            sample = derived.evaluate(self.now)
            self._timers.set(place, derived.deadline)
            if sample is not None:
                out.append(sample)
                self._put(sample)
        return out


def _key(point: Point) -> str:
    return f"{point.device}/={point.name}"
