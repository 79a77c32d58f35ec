"""Deliberately broken variants of the shipped rules, made by rule and not by hand.

Each variant differs from the rule in one place, and the tests that stand beside the rule must notice:

    negate        the condition is its opposite
    no-delay      one delay is next to nothing: an on-delay, that of a level, the span of a `held`, a duration parameter
    bad-as-false  inputs that are not known count as false, nought, or the first word
    no-unless     nothing holds the rule back
    no-latch      its alarm is over when its condition is, and nobody need come to reset it
    bound         one comparison takes in its limit or leaves it out, or one number is a tenth larger

A rule that has no such place has no such variant.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from edge.rules import packs
from edge.rules.forms import FORMS
from edge.rules.language import parse
from edge.rules.rule import RuleText
from edge.rules.syntax import Binary, Call, Choice, Constant, Expression, Junction, Name, Several, Unary
from edge.rules.testing import run_tests
from edge.rules.types import Type
from edge.rules.written_back import written_back
from sitekeeper.durations import parse_duration
from sitekeeper.faults import Faults, Place

NEXT_TO_NOTHING: Final = "1ms"
LARGER: Final = 1.1
_BOUNDS: Final = {">": ">=", ">=": ">", "<": "<=", "<=": "<"}
_KINDS: Final = ("raise", "clear", "level", "note", "stands", "none")

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Variant:
    """A rule with one mistake."""

    rule: str
    name: str
    text: RuleText


@cache
def everything() -> tuple[RuleText, ...]:
    """Return all shipped rules."""
    faults = Faults()
    found = packs.load([(name, Place("test")) for name in packs.shipped()], faults)
    assert not faults.found
    return found


@cache
def _world() -> dict[str, Any]:
    classes, events, writables = packs.shipped_classes(), packs.shipped_events(), packs.shipped_writables()
    return {"classes": classes, "events": events, "writables": writables}


def variants(text: RuleText) -> Iterator[Variant]:
    """Yield every variant of a rule."""
    written: dict[str, Any] = {key: value for key, value in text.mapping.items() if key != "tests"}
    made = [*_negated(written), *_without_delay(written), *_bad_as_false(written), *_without_unless(written)]
    made += [*_without_latch(written), *_other_bounds(written)]
    for name, changed in made:
        yield Variant(str(written["id"]), name, _with(text, changed))


def noticed(variant: Variant) -> bool:
    """Tell whether the tests beside the rule notice the mistake.

    Raises:
        AssertionError: the variant is no rule, so nothing was shown.
    """
    faults = Faults()
    outcomes = run_tests([variant.text, *_others(variant.text)], **_world(), faults=faults, only=variant.rule)
    assert outcomes, (variant.rule, variant.name, faults.found)
    assert not faults.found, (variant.rule, variant.name, faults.found)
    return any(outcome.problems for outcome in outcomes)


def _others(text: RuleText) -> list[RuleText]:
    """Return the further rules of which the tests of this one speak."""
    named = {
        str(line[kind])
        for test in text.mapping.get("tests", [])  # type: ignore[union-attr]
        for line in test["expect"]  # type: ignore[index, call-overload]
        for kind in _KINDS
        if kind in line
    }
    veiled = text.mapping.get("suppress") or {}
    named |= {str(rule) for rule in veiled.get("rules", ())}  # type: ignore[union-attr]
    return [other for other in everything() if str(other.mapping["id"]) in named - {str(text.mapping["id"])}]


def _with(text: RuleText, changed: Mapping[str, Any]) -> RuleText:
    document = text.document
    (place,) = text.trail
    assert isinstance(document.data, list)
    assert isinstance(place, int)
    data: list[Any] = list(document.data)
    data[place] = {**changed, "tests": text.mapping.get("tests", [])}
    return replace(text, document=replace(document, data=data))


def _negated(rule: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "negate", {**rule, "when": f"not ({rule['when']})"}


def _without_unless(rule: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if "unless" in rule:
        yield "no-unless", {key: value for key, value in rule.items() if key != "unless"}


def _without_latch(rule: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    until_reset = any((rule.get(key) or {}).get("until") == "reset" for key in ("do", "suppress", "forbid"))
    if rule.get("latch") and not until_reset:  # what lasts until the reset asks for the latch by itself
        yield "no-latch", {key: value for key, value in rule.items() if key not in {"latch", "reset_when"}}


def _other_bounds(rule: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, value in rule.get("params", {}).items():
        if _is_number(value) and value:
            yield f"bound params.{name}", _put(rule, ("params", name), _larger(value))
    for path, tree in _trees(rule):
        for place, changed in enumerate(_each(tree, _bound)):
            yield f"bound {'.'.join(map(str, path))} {place}", _put(rule, path, written_back(changed))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bound(tree: Expression) -> Expression | None:
    if isinstance(tree, Binary) and tree.operator in _BOUNDS:
        return replace(tree, operator=_BOUNDS[tree.operator])
    if isinstance(tree, Constant) and tree.base == "number" and tree.value:
        return replace(tree, value=_larger(tree.value))
    return None


def _larger(value: Any) -> int | float:
    """Return a number a tenth larger; a whole number stays one."""
    return max(value + 1, round(value * LARGER)) if isinstance(value, int) else round(value * LARGER, 6)


def _without_delay(rule: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    durations = [name for name, value in rule.get("params", {}).items() if _is_delay(value)]
    places: list[Path] = [("params", name) for name in durations]
    places += [("on_delay",)] if _is_delay(rule.get("on_delay")) else []
    levels = enumerate(rule.get("levels", ()))
    places += [("levels", number, "after") for number, level in levels if _is_delay(level.get("after"))]
    for path in places:
        yield f"no-delay {'.'.join(map(str, path))}", _put(rule, path, NEXT_TO_NOTHING)
    for path, tree in _trees(rule):
        for place, changed in enumerate(_each(tree, _not_held)):
            yield f"no-delay {'.'.join(map(str, path))} {place}", _put(rule, path, written_back(changed))


def _is_delay(value: object) -> bool:
    try:
        return isinstance(value, str) and parse_duration(value) > parse_duration(NEXT_TO_NOTHING)
    except ValueError:
        return False


def _not_held(tree: Expression) -> Expression | None:
    if not (isinstance(tree, Call) and tree.name == "held" and isinstance(tree.arguments[1], Constant)):
        return None
    return replace(tree, arguments=(tree.arguments[0], Constant(tree.at, parse_duration(NEXT_TO_NOTHING), "duration")))


def _bad_as_false(rule: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    points = _world()["classes"][rule["class"]]

    def known(tree: Expression) -> Expression:
        if isinstance(tree, Name) and tree.name in points and not _hidden(rule, tree.name):
            return Call(tree.at, "default", (tree, _false(points[tree.name])))
        if isinstance(tree, Call) and tree.name in FORMS:
            return tree
        return _rebuilt(tree, known)

    changed = dict(rule)
    for path, tree in _trees(rule):
        changed = _put(changed, path, written_back(known(tree)))
    if changed != _normal(rule):
        yield "bad-as-false", changed


def _normal(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rule with its expressions as they are written back, so that only a change of meaning shows."""
    changed = dict(rule)
    for path, tree in _trees(rule):
        changed = _put(changed, path, written_back(tree))
    return changed


def _hidden(rule: Mapping[str, Any], name: str) -> bool:
    return name in rule.get("params", {}) or name in rule.get("let", {})


def _false(type_: Type) -> Constant:
    if type_.base == "bool":
        return Constant(0, False, "bool")
    return Constant(0, 0, "number") if type_.base == "number" else Constant(0, next(iter(type_.members), ""), "text")


def _trees(rule: Mapping[str, Any]) -> Iterator[tuple[Path, Expression]]:
    """Yield every expression that decides, with its place."""
    places: list[Path] = [("when",), ("unless",), ("reset_when",), *(("let", name) for name in rule.get("let", {}))]
    places += [("levels", number, "when") for number in range(len(rule.get("levels", ())))]
    for path in places:
        found: Any = rule
        for step in path:
            found = found.get(step) if isinstance(found, dict) else found[step]
        if found is not None:
            yield path, parse(str(found).lower() if isinstance(found, bool) else str(found))


def _put(rule: Mapping[str, Any], path: Path, value: object) -> dict[str, Any]:
    changed: dict[str, Any] = deepcopy(dict(rule))
    inner: Any = changed
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return changed


def _each(tree: Expression, change: Callable[[Expression], Expression | None]) -> Iterator[Expression]:
    """Yield the tree as often as `change` finds something in it, changed there alone."""
    here = change(tree)
    if here is not None:
        yield here
    inside = _inside(tree)
    for place, part in enumerate(inside):
        for changed in _each(part, change):
            yield _of(tree, [*inside[:place], changed, *inside[place + 1 :]])


def _rebuilt(tree: Expression, change: Callable[[Expression], Expression]) -> Expression:
    return _of(tree, [change(part) for part in _inside(tree)])


def _inside(tree: Expression) -> list[Expression]:
    match tree:
        case Several():
            return list(tree.items)
        case Binary() if isinstance(tree.right, Several):
            return [tree.left]
        case Call():
            return [*tree.arguments, *(value for _, value in tree.named)]
        case Unary():
            return [tree.operand]
        case Binary():
            return [tree.left, tree.right]
        case Junction():
            return list(tree.terms)
        case Choice():
            return [tree.then, tree.condition, tree.otherwise]
        case _:
            return []


def _of(tree: Expression, parts: Sequence[Expression]) -> Expression:
    """Return the tree with these parts in the places of its own."""
    match tree:
        case Several():
            return replace(tree, items=tuple(parts))
        case Binary() if len(parts) == 1:
            return replace(tree, left=parts[0])
        case Call():
            given, named = parts[: len(tree.arguments)], parts[len(tree.arguments) :]
            pairs = tuple((name, part) for (name, _), part in zip(tree.named, named, strict=True))
            return replace(tree, arguments=tuple(given), named=pairs)
        case Unary():
            return replace(tree, operand=parts[0])
        case Binary():
            return replace(tree, left=parts[0], right=parts[1])
        case Junction():
            return replace(tree, terms=tuple(parts))
        case Choice():
            return replace(tree, then=parts[0], condition=parts[1], otherwise=parts[2])
        case _:
            return tree
