"""A checked syntax tree to nodes, for one device."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Self, TypeVar

from edge.rules.forms import FAR, FORMS, far_point
from edge.rules.happenings import LATE, Happening, On, field_of
from edge.rules.nodes import FUNCTIONS, Among, And, Applied, Choose, Fixed, Input, Node, Not, Or
from edge.rules.operators import OPERATORS
from edge.rules.rule import DeviceSpec, ParameterValue
from edge.rules.scope import KIND
from edge.rules.sets import SETS, AllOf, AnyOf, Compared, CountOf, Gathered, Tally, reach_of
from edge.rules.syntax import Binary, Call, Choice, Constant, Expression, Junction, Name, Several, Unary, parts
from edge.rules.types import BUILT_IN, DEVICE, Fields
from edge.rules.windows import Median
from sitekeeper.model.point import ONLINE, Point
from sitekeeper.model.sample import Value

_JOIN: Final = {"and": And, "or": Or}
_SETS: Final = {"any_of": AnyOf, "all_of": AllOf, "count_of": CountOf}
COMPARISONS: Final = ("==", "!=", "<", "<=", ">", ">=")

_N = TypeVar("_N", bound=Node)
Make = tuple[Callable[..., Node], tuple[Any, ...]]
"""How a node was made: by what, from which arguments; of a set its call stands there instead of its tally."""


class Builder:
    """Builds the nodes of the expressions of one rule on one device; equal points and names become one node.

    `nodes` is in evaluation order: every node comes after those it reads. `recipe` tells how each was made.
    """

    def __init__(
        self,
        points: Mapping[str, Point],
        parameters: Mapping[str, ParameterValue] | None = None,
        named: Mapping[str, Expression] | None = None,
        *,
        events: Mapping[str, Fields] | None = None,
        tags: Collection[str] = (),
        asset: Mapping[str, float] | None = None,
        tallies: Mapping[Call, Tally] | None = None,
        heard: Callable[[str], Input] = Input,
    ) -> None:
        self.nodes: list[Node] = []
        self.recipe: list[Make] = []
        self.inputs: dict[str, Input] = {}
        self.named: dict[str, Node] = {}
        self.happenings: dict[str, Happening] = {}
        self.gathered: dict[Call, Gathered] = {}
        self._events = events or {}
        self._tags = tags
        self._asset = asset or {}
        self._tallies = tallies or {}
        self._heard: Happening | None = None
        self._make_input = heard
        self._points = points
        self._parameters = parameters or {}
        self._trees = named or {}
        self._lacks: dict[str, str] = {}
        for name, tree in self._trees.items():  # in order: each may use those before it
            self._lacks[name] = self.missing(tree)

    @classmethod
    def of(
        cls,
        device: DeviceSpec,
        parameters: Mapping[str, ParameterValue],
        named: Mapping[str, Expression] | None = None,
        tallies: Mapping[Call, Tally] | None = None,
        heard: Callable[[str], Input] = Input,
    ) -> Self:
        """Return a builder for a device, with the events that the gateway tells of it.

        `heard` gives the node of a point, where others read it too.
        """
        events = {**BUILT_IN, **device.events}
        return cls(
            device.points, parameters, named, events=events, tags=device.tags, asset=device.asset,
            tallies=tallies, heard=heard,
        )  # fmt: skip

    def missing(self, tree: Expression, fields: Collection[str] = ()) -> str:
        """Return the first point or event that the expression needs and the device lacks; empty if it can be built.

        `fields` are those of the event that is spoken of.
        """
        if isinstance(tree, Name):
            if tree.name in self._lacks:
                return self._lacks[tree.name]
            name = tree.name.removesuffix(KIND)
            known = tree.name == DEVICE.base or tree.name in self._parameters or name in self._points
            return "" if known or name in fields else name
        inside = parts(tree)
        if isinstance(tree, Call) and tree.name in {*SETS, "tagged", "asset", "median", *FAR}:
            return self._form_missing(tree)
        if isinstance(tree, Call) and tree.name == "on":
            event = _event(tree)
            if event not in self._events:
                return event
            inside, fields = inside[1:], {*self._events[event], LATE}
        if isinstance(tree, Call) and tree.name == "optional" and not self.missing(_arguments(tree)["x"], fields):
            return ""
        if isinstance(tree, Call) and tree.name in {"default", "optional"}:
            inside = (_arguments(tree)["v"],)
        return next((name for part in inside if (name := self.missing(part, fields))), "")

    def _form_missing(self, tree: Call) -> str:
        if tree.name in FAR:
            point = far_point(tree, self._words())
            return "" if point in self._points else point
        if tree.name == "asset":
            name = _text(tree.arguments[0])
            return "" if name in self._asset else f"asset.{name}"
        return self.missing(tree.arguments[0]) if tree.name == "median" else ""

    def _words(self) -> Mapping[str, Value]:
        return {name: value.value for name, value in self._parameters.items()}

    def build(self, tree: Expression) -> Node:
        """Return the node of a checked expression of which nothing is missing."""
        match tree:
            case Constant():
                return self._add(Fixed, tree.value)
            case Name():
                return self._name(tree.name)
            case Call():
                return self._call(tree)
            case Junction():
                return self._add(_JOIN[tree.operator], *map(self.build, tree.terms))
            case Choice():
                return self._add(Choose, *map(self.build, parts(tree)))
            case Unary() if tree.operator == "not":
                return self._add(Not, self.build(tree.operand))
            case Unary():
                return self._add(Applied, FUNCTIONS["-"], self._add(Fixed, 0), self.build(tree.operand))
            case Binary():
                return self._binary(tree)
            case Several():
                raise AssertionError(tree)  # only inside `in`, see _binary

    def input(self, name: str) -> Input:
        """Return the node of a point of the device."""
        if name not in self.inputs:
            self.inputs[name] = self._add(self._make_input, name)
        return self.inputs[name]

    def constant(self, tree: Expression) -> Value:
        """Return the value of an expression that is made of constants and parameters only."""
        apart = Builder({}, self._parameters)
        result = apart.build(tree)
        for node in apart.nodes:
            node.value = node.compute(0)
        return result.value

    def _add(self, make: Callable[..., _N], *arguments: Any) -> _N:
        node = make(*arguments)
        self.nodes.append(node)
        self.recipe.append((make, arguments))
        return node

    def _name(self, name: str) -> Node:
        if self._heard is not None and name in {*self._heard.types, LATE}:
            return self._field(self._heard, name)
        if name == DEVICE.base:
            return self.input(ONLINE)
        if name in self._parameters:
            return self._add(Fixed, self._parameters[name].value)
        if name in self._trees:
            return self._named(name)
        if name.endswith(KIND):
            return self._add(Fixed, self._points[name.removesuffix(KIND)].kind)
        return self.input(name)

    def _named(self, wanted: str) -> Node:
        """Return the node of a named expression; those it uses are built first, so that a chain is no recursion."""
        used = {wanted}
        for name in reversed(list(self._trees)):
            if name in used and name not in self.named:
                used |= names_in(self._trees[name]) & self._trees.keys()
        heard, self._heard = self._heard, None
        for name in self._trees:
            if name in used and name not in self.named:
                if self._lacks[name]:
                    continue  # only inside a default, which does not need it then
                self.named[name] = self.build(self._trees[name])
        self._heard = heard
        return self.named[wanted]

    def _binary(self, tree: Binary) -> Node:
        for side, other in ((tree.left, tree.right), (tree.right, tree.left)):
            if isinstance(side, Call) and side.name == "count_of" and tree.operator in COMPARISONS:
                gathered = self._gathered(side)
                mirrored = side is tree.right
                return self._add(Compared, tree.operator, gathered, self.build(other), mirrored)
        if isinstance(tree.right, Several):
            return self._add(Among, self.build(tree.left), *map(self.build, tree.right.items))
        return self._add(Applied, FUNCTIONS[tree.operator], self.build(tree.left), self.build(tree.right))

    def _call(self, tree: Call) -> Node:
        if tree.name in FORMS:
            return self._form(tree)
        arguments = _arguments(tree)
        fields = () if self._heard is None else {*self._heard.types, LATE}
        lacks = tree.name in {"default", "optional"} and self.missing(arguments["x"], fields)
        if lacks or tree.name == "optional":
            return self.build(arguments["v" if lacks else "x"])
        constants = {
            parameter.name
            for parameter in OPERATORS[tree.name].parameters
            if parameter.constant and not (parameter.seconds and self._changes(arguments[parameter.name]))
        }
        built: dict[str, Node | Value] = {
            name: self.constant(value) if name in constants else self.build(value) for name, value in arguments.items()
        }
        make: Callable[..., Node] = OPERATORS[tree.name]
        if tree.name == "sequence":
            span, reset = built.pop("within"), built.pop("reset", None)
            return self._add(make, span, reset, *(built[name] for name in sorted(built)))
        order = [parameter.name for parameter in OPERATORS[tree.name].parameters if parameter.name in built]
        return self._add(make, *(built[name] for name in order))

    def _changes(self, tree: Expression) -> bool:
        """Tell whether an expression is more than written values and parameters."""
        if isinstance(tree, Name):
            return tree.name not in self._parameters
        return isinstance(tree, Call) or any(map(self._changes, parts(tree)))

    def _form(self, tree: Call) -> Node:
        match tree.name:
            case "tagged":
                return self._add(Fixed, _text(tree.arguments[0]) in self._tags)
            case "asset":
                return self._add(Fixed, self._asset[_text(tree.arguments[0])])
            case "median":
                return self._median(tree)
            case "point" | "schedule" | "sun" | "holiday":
                return self.input(far_point(tree, self._words()))
            case "on":
                return self._on(_event(tree), tree.arguments[1] if len(tree.arguments) > 1 else None)
            case "cmd":
                return self._on("command", _accepted(tree))
        return self._add(_SETS[tree.name], self._gathered(tree))

    def _on(self, event: str, condition: Expression | None) -> Node:
        """Return the node of an event; its condition may use the event's fields, named expressions may not."""
        if event not in self.happenings:
            self.happenings[event] = self._add(Happening, event, self._events[event])
        before, self._heard = self._heard, self.happenings[event]
        node = self._add(Fixed, True) if condition is None else self.build(condition)
        self._heard = before
        return self._add(On, self.happenings[event], node)

    def _field(self, heard: Happening, name: str) -> Node:
        return heard.fields[name] if name in heard.fields else self._add(field_of, heard, name)

    def _median(self, tree: Call) -> Node:
        event, field, count = tree.arguments
        assert isinstance(event, Call)  # checked
        assert isinstance(field, Name)
        node = self.build(event)
        return self._add(Median, node, self._field(self.happenings[_event(event)], field.name), self.constant(count))

    def _gathered(self, tree: Call) -> Gathered:
        if tree not in self.gathered:
            name = repr(reach_of(tree))
            self.gathered[tree] = Gathered(name, self._tallies[tree])
            self.nodes.append(self.gathered[tree])
            self.recipe.append((Gathered, (name, tree)))
        return self.gathered[tree]


def _text(tree: Expression) -> str:
    """Return a text that is written; the checker has seen to it that it is one."""
    return str(tree.value) if isinstance(tree, Constant) else ""


def _event(tree: Call) -> str:
    event = tree.arguments[0]
    assert isinstance(event, Name)  # checked
    return event.name


def _accepted(tree: Call) -> Expression:
    """Return what `cmd(point)` asks of the event `command`."""
    point = tree.arguments[0]
    assert isinstance(point, Name)  # checked
    fields = {"outcome": "accepted", "point": point.name}
    terms = [
        Binary(tree.at, "==", Name(tree.at, name), Constant(tree.at, value, "text")) for name, value in fields.items()
    ]
    return Junction(tree.at, "and", tuple(terms))


def names_in(tree: Expression) -> set[str]:
    """Return every name that is written in an expression."""
    inside = [tree]
    for part in inside:  # grows while it is walked
        inside.extend(parts(part))
    return {part.name for part in inside if isinstance(part, Name)}


def _arguments(tree: Call) -> dict[str, Expression]:
    names = [parameter.name for parameter in OPERATORS[tree.name].parameters]
    return {**dict(zip(names, tree.arguments, strict=False)), **dict(tree.named)}
