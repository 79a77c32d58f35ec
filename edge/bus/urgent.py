"""Which scan groups go first: those with a point that a rule of priority P1 or P2 reads. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from edge.rules.building import names_in
from edge.rules.derives import Derivation
from edge.rules.far import far_calls
from edge.rules.forms import far_point
from edge.rules.instance import Plan
from edge.rules.rule import Rule
from edge.rules.syntax import Constant
from sitekeeper.model.point import Point

PRIORITIES: Final = frozenset({"P1", "P2"})
"""Those that are pushed to people at once."""


def urgent(plans: Iterable[Plan], derivations: Iterable[Derivation]) -> frozenset[str]:
    """Return the ids of the urgent scan groups; a rule that is only watched or switched off makes none."""
    derived = {each.point.id: each for each in derivations}
    words: dict[str, frozenset[str]] = {}
    points: dict[str, Point] = {}
    for plan in plans:
        if not plan.mode and any(priority in PRIORITIES for priority, _ in plan.levels):
            if (named := words.get(plan.rule.id)) is None:
                named = words[plan.rule.id] = frozenset(_words(plan.rule))
            points.update((point.id, point) for point in _read(plan, named))
    return frozenset(group for point in points.values() for group in _groups(point, derived))


def _words(rule: Rule) -> Iterator[str]:
    """Yield the names in a rule, and the points of other devices that it names outright."""
    for tree in (*rule.trees(), *rule.named.values()):
        yield from names_in(tree)
    for call in far_calls(rule):
        if all(isinstance(argument, Constant) for argument in call.arguments):
            yield far_point(call, {})


def _read(plan: Plan, words: frozenset[str]) -> Iterator[Point]:
    yield from (plan.device.points[name] for name in words if name in plan.device.points)
    for members in plan.sets.values():
        for member in members:
            named = names_in(member.tree)
            yield from (member.device.points[name] for name in named if name in member.device.points)


def _groups(point: Point, derived: Mapping[str, Derivation]) -> Iterator[str]:
    """Yield the groups that a point is read with; of a derived one those of what it is made from."""
    if point.group:
        yield point.group
    elif point.id in derived:  # none is made from itself: `compile_derives` has seen to that
        made = derived[point.id]
        for name in names_in(made.tree) & made.points.keys():
            yield from _groups(made.points[name], derived)
