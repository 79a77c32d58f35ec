"""Alarms that were against alarms that would have been: added, removed, longer, shorter, earlier, later.

An alarm is the stretch of time in which its condition held: from the raise to the clear, whatever people did meanwhile.
Two of one key are the same alarm if they overlap, else if they begin within a minute.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from edge.rules.instance import Verdict
from sitekeeper.model.alarm import ACTIVE, Cause, Priority, Transition, split_key
from sitekeeper.model.clock import DAY, MINUTE, SECOND, Micros

Kind = Literal["added", "removed", "longer", "shorter", "earlier", "later", "priority"]
KINDS: Final[tuple[Kind, ...]] = ("added", "removed", "longer", "shorter", "earlier", "later", "priority")
NEAR: Final = MINUTE
"""Two that do not overlap are the same if their beginnings are no further apart."""
LENGTH: Final = 10 * SECOND
SHARE: Final = 0.1
"""A length is another one if it differs by more than both."""
MOVED: Final = SECOND
FLEETING: Final = MINUTE
CHATTER: Final = (3, MINUTE)
"""So many raises in so long are chatter (ISA-18.2, 16.5)."""
_BEGINS: Final = frozenset({Cause.RAISE, Cause.REANNUNCIATE})


@dataclass(frozen=True, slots=True)
class Span:
    """One alarm: from `start` to `end` (None: it still stood), at its worst priority. Wall times.

    `detail` and `limits` are the rule's own words of why. `watched`: the rule was only tried out.
    """

    start: Micros
    end: Micros | None
    priority: Priority
    acked: bool = False
    detail: str = field(default="", compare=False)
    limits: Mapping[str, str] = field(default_factory=dict, compare=False)
    watched: bool = field(default=False, compare=False)

    def until(self, end: Micros) -> Micros:
        return end if self.end is None else min(self.end, end)


Spans = Mapping[str, Sequence[Span]]
"""By `<device>/<rule>`, in order of time."""
Pair = tuple[Span | None, Span | None]
"""The same alarm then and now; None where there is none."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What is otherwise than it was; `old` or `new` is None where there is none."""

    kind: Kind
    key: str
    old: Span | None
    new: Span | None

    @property
    def at(self) -> Micros:
        return (self.new or self.old or Span(0, None, "P4")).start


@dataclass(frozen=True, slots=True)
class OfRule:
    """What one rule did: raises then and now, differences by kind, nuisances a day then and now."""

    old: int
    new: int
    kinds: Mapping[Kind, int]
    nuisance_old: float
    nuisance_new: float


@dataclass(frozen=True, slots=True)
class Result:
    """A comparison.

    `records`: how many samples and events were decided about; 0 if nothing was, which proves nothing.
    `carried`: alarms that stood already when it began, and are not judged.
    """

    rules: Mapping[str, OfRule]
    differences: Sequence[Difference]
    days: float
    records: int
    carried: int = 0


def of_transitions(transitions: Iterable[Transition]) -> dict[str, list[Span]]:
    """Return the alarms of a record: of rules that were only watched too, and whatever held them back.

    What the gateway watches of itself is no rule's, and left out. An alarm that is heard of without its beginning stood
    before.
    """
    found: dict[str, list[Span]] = {}
    for move in sorted(transitions, key=lambda move: move.at):
        _, device, rule = split_key(move.key)
        name = f"{device}/{rule}"
        if not move.revision and name not in found:  # people's moves have none either
            continue
        spans = found.setdefault(name, [])
        active = move.standing in ACTIVE
        standing = bool(spans) and spans[-1].end is None
        if active and not standing:
            start = move.at if move.cause in _BEGINS else 0
            spans.append(Span(start, None, move.priority, False, move.detail, dict(move.limits), move.mode == "watch"))
        elif active:
            acked = spans[-1].acked or move.cause is Cause.ACK
            spans[-1] = replace(spans[-1], priority=min(spans[-1].priority, move.priority), acked=acked)
        elif standing:
            spans[-1] = replace(spans[-1], end=move.at)
    return found


def of_verdicts(verdicts: Iterable[tuple[Micros, Verdict]]) -> dict[str, list[Span]]:
    """Return the alarms that rules decide; each verdict comes with its wall time."""
    found: dict[str, list[Span]] = {}
    for at, verdict in verdicts:
        if not verdict.alarm:
            continue
        spans = found.setdefault(f"{verdict.device}/{verdict.rule}", [])
        standing = bool(spans) and spans[-1].end is None
        if verdict.kind == "raise" and not standing:
            watched = verdict.mode == "watch"
            spans.append(Span(at, None, verdict.priority, False, verdict.detail, verdict.limits, watched))
        elif verdict.kind == "level" and standing:
            spans[-1] = replace(spans[-1], priority=min(spans[-1].priority, verdict.priority))
        elif verdict.kind == "clear" and standing:
            spans[-1] = replace(spans[-1], end=at)
    return found


def compare(old: Spans, new: Spans, since: Micros, until: Micros, records: int, first: Micros = 0) -> Result:
    """Compare all alarms between two wall times.

    Args:
        old: as recorded. new: as the rules of today decide.
        since: those that began before, then and now, are carried and not judged.
        until: those that still stand end here.
        records: how many samples and events were gone through.
        first: from where on rules saw the record. What began before it then may be otherwise now for that alone.

    An alarm that stood at `since` and is none now is judged, and so is one that begins on the other side of it now.
    What somebody acknowledged then counts as acknowledged now, where it is the same alarm.
    """
    differences: list[Difference] = []
    carried = 0
    days = max(1, until - since) / DAY
    of: defaultdict[str, _Count] = defaultdict(_Count)
    for key in sorted({*old, *new}):
        pairs: list[Pair] = []
        for pair in _pairs(_begun(old.get(key, ()), until), _begun(new.get(key, ()), until), until):
            if _judged(*pair, since, until, first):
                pairs.append(pair)
            else:
                carried += _stood(pair, since, until)
        found = [one for pair in pairs for one in _differences(key, *pair, until)]
        differences += found
        of[key.rpartition("/")[2]].add(pairs, found)
    differences.sort(key=lambda difference: (difference.at, difference.key))
    return Result({rule: of[rule].told(days) for rule in sorted(of)}, differences, days, records, carried)


@dataclass(slots=True)
class _Count:
    """What is counted of one rule over its devices."""

    old: int = 0
    new: int = 0
    kinds: list[Kind] = field(default_factory=list)
    nuisance_old: int = 0
    nuisance_new: int = 0

    def add(self, pairs: Sequence[Pair], differences: Sequence[Difference]) -> None:
        old = [before for before, _ in pairs if before]
        new = [replace(now, acked=now.acked or bool(before and before.acked)) for before, now in pairs if now]
        self.old += len(old)
        self.new += len(new)
        self.kinds += [difference.kind for difference in differences]
        self.nuisance_old += _nuisances(old)
        self.nuisance_new += _nuisances(new)

    def told(self, days: float) -> OfRule:
        kinds = {kind: self.kinds.count(kind) for kind in KINDS if kind in self.kinds}
        return OfRule(self.old, self.new, kinds, self.nuisance_old / days, self.nuisance_new / days)


def _begun(spans: Sequence[Span], until: Micros) -> list[Span]:
    return [span for span in spans if span.start < until]


def _judged(old: Span | None, new: Span | None, since: Micros, until: Micros, first: Micros) -> bool:
    starts = [span.start for span in (old, new) if span]
    if min(starts) >= since:
        return True
    if old is None or old.start <= first:
        return False
    return old.until(until) > since if new is None else max(starts) >= since


def _stood(pair: Pair, at: Micros, until: Micros) -> bool:
    return any(span.start < at < span.until(until) for span in pair if span)


def _pairs(old: Sequence[Span], new: Sequence[Span], until: Micros) -> list[Pair]:
    """Return who belongs to whom: overlapping ones first, then those that begin close to each other."""
    left, pairs = list(old), []
    single: list[Span] = []
    for span in new:
        other = next((o for o in left if o.start < span.until(until) and span.start < o.until(until)), None)
        if other is None:
            single.append(span)
        else:
            left.remove(other)
            pairs.append((other, span))
    found: list[Pair] = [*pairs]
    for span in single:
        other = next((o for o in left if abs(o.start - span.start) <= NEAR), None)
        if other is not None:
            left.remove(other)
        found.append((other, span))
    return [*found, *((span, None) for span in left)]


def _differences(key: str, old: Span | None, new: Span | None, until: Micros) -> list[Difference]:
    if old is None or new is None:
        return [Difference("added" if old is None else "removed", key, old, new)]
    kinds: list[Kind] = []
    before, now = old.until(until) - old.start, new.until(until) - new.start
    if abs(now - before) > LENGTH and abs(now - before) > SHARE * before:
        kinds.append("longer" if now > before else "shorter")
    if abs(new.start - old.start) > MOVED:
        kinds.append("later" if new.start > old.start else "earlier")
    if new.priority != old.priority:
        kinds.append("priority")
    return [Difference(kind, key, old, new) for kind in kinds]


def _nuisances(alarms: Iterable[Span]) -> int:
    """Count the alarms that were over within a minute and unacknowledged, or that belong to chatter."""
    spans = sorted(alarms, key=lambda span: span.start)
    many, within = CHATTER
    chattering: set[int] = set()
    for place in range(len(spans) - many + 1):
        if spans[place + many - 1].start - spans[place].start <= within:
            chattering |= set(range(place, place + many))
    return sum(
        place in chattering or (span.end is not None and span.end - span.start < FLEETING and not span.acked)
        for place, span in enumerate(spans)
    )
