"""How a rule stands on one device, piece by piece: what each part of its condition is now, and what it waits for.

The nodes at work know their values and not what was written. So the same plan is built once more, and each part of the
text is looked up by the place of its node: nothing is kept for this, and nothing is disturbed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edge.rules.baselines import Baseline
from edge.rules.building import Builder
from edge.rules.decide import Progress
from edge.rules.instance import Instance, build
from edge.rules.nodes import Fixed, Input, Keeper, Node
from edge.rules.operators import Count, Held
from edge.rules.sequences import Sequence
from edge.rules.sets import AnyOf, Compared, Tally
from edge.rules.syntax import Call, Expression, Name, parts
from edge.rules.windows import Mean, Rate
from edge.rules.written_back import written_back
from sitekeeper.model.alarm import Priority
from sitekeeper.model.clock import Micros
from sitekeeper.model.quality import Q
from sitekeeper.model.sample import Value

State = Literal["idle", "waiting", "active"]


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a condition.

    Attributes:
        text: as it would be written. value: None for unknown.
        q: packed quality, of a point.
        wait: what it waits for. again: monotonic time at which time alone will make it be looked at again.
        tally: of a set, how many devices are true, false and unknown.
        seen: how many events are counted, observations learned, or steps taken.
    """

    text: str
    value: Value
    q: Q | None = None
    wait: Progress | None = None
    again: Micros | None = None
    tally: tuple[int, int, int] | None = None
    seen: int | None = None
    children: tuple["Part", ...] = ()


@dataclass(frozen=True, slots=True)
class LevelPart:
    """One level: what it waits for while the rule's condition holds, and its own condition."""

    priority: Priority
    wait: Progress
    when: Part | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """How a rule stands on a device. `off`: what it waits for before it is over, once its condition is not true."""

    rule: str
    device: str
    state: State
    priority: Priority
    when: Part
    unless: Part | None
    reset: Part | None
    levels: tuple[LevelPart, ...]
    off: Progress | None
    limits: Mapping[str, str] = field(default_factory=dict)


class _Recording(Builder):
    """Remembers which node each piece of text became."""

    def build(self, tree: Expression) -> Node:
        node = super().build(tree)
        vars(self).setdefault("made", {})[id(tree)] = node
        return node

    def place(self, tree: Expression) -> int | None:
        """Return the place of the node of a piece of text; None if none was needed."""
        node = vars(self).get("made", {}).get(id(tree))
        return next((place for place, one in enumerate(self.nodes) if one is node), None)


def explain(instance: Instance, now: Micros) -> Explained:
    """Tell how a rule at work stands at a monotonic time."""
    plan, rule, decision = instance.plan, instance.plan.rule, instance.decision
    builder = _Recording.of(plan.device, plan.parameters, rule.named, dict.fromkeys(plan.sets, Tally()))
    build(plan, builder)
    telling = _Telling(instance, builder, now)
    conditions = {id(telling.node(level.when)): level.when for level in rule.levels if level.when is not None}
    levels = tuple(
        LevelPart(level.priority, progress, telling.maybe(conditions.get(id(level.when))))
        for level, progress in decision.progress(now)
    )
    waiting = any(level.wait.due is not None for level in levels)
    return Explained(
        rule=rule.id,
        device=plan.device.id,
        state="active" if decision.active else "waiting" if waiting else "idle",
        priority=decision.priority if decision.active else levels[0].priority,
        when=telling.part(rule.when),
        unless=telling.maybe(rule.unless),
        reset=telling.maybe(rule.reset_when),
        levels=levels,
        off=decision.going(now),
        limits=instance.limits,
    )


class _Telling:
    """Tells pieces of the text of one instance."""

    def __init__(self, instance: Instance, builder: _Recording, now: Micros) -> None:
        self._nodes = instance.nodes
        self._named = instance.plan.rule.named
        self._builder = builder
        self._now = now

    def node(self, tree: Expression) -> Node | None:
        place = self._builder.place(tree)
        return None if place is None else self._nodes[place]

    def maybe(self, tree: Expression | None) -> Part | None:
        return None if tree is None else self.part(tree)

    def part(self, tree: Expression) -> Part:
        node = self.node(tree)
        inside = (self._named[tree.name],) if isinstance(tree, Name) and tree.name in self._named else parts(tree)
        if isinstance(node, AnyOf | Compared):
            inside = inside[1:] if isinstance(node, Compared) and not isinstance(inside[0], Call) else ()
        children = [self.part(one) for one in inside if self._tells(one)]
        return Part(
            written_back(tree),
            None if node is None else node.value,
            q=node.reading()[1] if isinstance(node, Input) and isinstance(tree, Name) else None,
            wait=_wait(node, self._now),
            again=node.due if isinstance(node, Keeper) else None,
            tally=_tally(node),
            seen=_seen(node),
            children=tuple(children),
        )

    def _tells(self, tree: Expression) -> bool:
        """Tell whether a piece is worth a line: it was built, and is no constant."""
        node = self.node(tree)
        return node is not None and not isinstance(node, Fixed)


def _wait(node: Node | None, now: Micros) -> Progress | None:
    match node:
        case Held() if node.after is not None:
            shown = node.watch.read(now)
            return Progress(min(shown, node.after), node.after, node.due, shown >= node.after)
        case Mean() | Rate():
            shown = node.watch.read(now)
            ripe = shown >= node.span
            return Progress(min(shown, node.span), node.span, None if ripe else node.watch.due(node.span), ripe)
    return None


def _tally(node: Node | None) -> tuple[int, int, int] | None:
    if not isinstance(node, AnyOf | Compared):
        return None
    return node.tally.true, node.tally.false, node.tally.unknown


def _seen(node: Node | None) -> int | None:
    match node:
        case Count():
            return len(node.times)
        case Sequence():
            return node.stage
        case Baseline():
            return node.bins.get(node.place, (0, 0.0))[0] if node.place is not None else 0
    return None
