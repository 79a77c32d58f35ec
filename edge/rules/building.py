"""A checked syntax tree to nodes, for one device."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from edge.rules.checking import KIND
from edge.rules.happenings import LATE, Happening, On
from edge.rules.nodes import FUNCTIONS, Among, And, Applied, Choose, Fixed, Input, Node, Not, Or
from edge.rules.operators import OPERATORS
from edge.rules.rule import ParameterValue
from edge.rules.sets import SETS, AllOf, AnyOf, Compared, CountOf, Gathered, Tally, reach_of
from edge.rules.syntax import Binary, Call, Choice, Constant, Expression, Junction, Name, Several, Unary, parts
from edge.rules.types import DEVICE, Fields
from sitekeeper.model.point import ONLINE, Point
from sitekeeper.model.sample import Value

_JOIN: Final = {"and": And, "or": Or}
COMPARISONS: Final = ("==", "!=", "<", "<=", ">", ">=")


class Builder:
    """Builds the nodes of the expressions of one rule on one device; equal points and names become one node.

    `nodes` is in evaluation order: every node comes after those it reads.
    """

    def __init__(
        self,
        points: Mapping[str, Point],
        parameters: Mapping[str, ParameterValue] | None = None,
        named: Mapping[str, Expression] | None = None,
        *,
        events: Mapping[str, Fields] | None = None,
        tags: Collection[str] = (),
        tallies: Mapping[Call, Tally] | None = None,
    ) -> None:
        self.nodes: list[Node] = []
        self.inputs: dict[str, Input] = {}
        self.named: dict[str, Node] = {}
        self.happenings: dict[str, Happening] = {}
        self.gathered: dict[Call, Gathered] = {}
        self._events = events or {}
        self._tags = tags
        self._tallies = tallies or {}
        self._heard: Happening | None = None
        self._points = points
        self._parameters = parameters or {}
        self._trees = named or {}
        self._lacks: dict[str, str] = {}
        for name, tree in self._trees.items():  # in order: each may use those before it
            self._lacks[name] = self.missing(tree)

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
        if isinstance(tree, Call) and tree.name in {*SETS, "tagged"}:
            return ""
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

    def build(self, tree: Expression) -> Node:
        """Return the node of a checked expression of which nothing is missing."""
        match tree:
            case Constant():
                return self._add(Fixed(tree.value))
            case Name():
                return self._name(tree.name)
            case Call():
                return self._call(tree)
            case Junction():
                return self._add(_JOIN[tree.operator](*map(self.build, tree.terms)))
            case Choice():
                return self._add(Choose(*map(self.build, parts(tree))))
            case Unary() if tree.operator == "not":
                return self._add(Not(self.build(tree.operand)))
            case Unary():
                return self._add(Applied(FUNCTIONS["-"], self._add(Fixed(0)), self.build(tree.operand)))
            case Binary():
                return self._binary(tree)
            case Several():
                raise AssertionError(tree)  # only inside `in`, see _binary

    def input(self, name: str) -> Input:
        """Return the node of a point of the device."""
        if name not in self.inputs:
            self.inputs[name] = Input(name)
            self.nodes.append(self.inputs[name])
        return self.inputs[name]

    def constant(self, tree: Expression) -> Value:
        """Return the value of an expression that is made of constants and parameters only."""
        apart = Builder({}, self._parameters)
        result = apart.build(tree)
        for node in apart.nodes:
            node.value = node.compute(0)
        return result.value

    def _add(self, node: Node) -> Node:
        self.nodes.append(node)
        return node

    def _name(self, name: str) -> Node:
        if self._heard is not None and name in {*self._heard.types, LATE}:
            field = self._heard.field(name)
            return field if field in self.nodes else self._add(field)
        if name == DEVICE.base:
            return self.input(ONLINE)
        if name in self._parameters:
            return self._add(Fixed(self._parameters[name].value))
        if name in self._trees:
            return self._named(name)
        if name.endswith(KIND):
            return self._add(Fixed(self._points[name.removesuffix(KIND)].kind))
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
                return self._add(Compared(tree.operator, gathered, self.build(other), mirrored=mirrored))
        if isinstance(tree.right, Several):
            return self._add(Among(self.build(tree.left), *map(self.build, tree.right.items)))
        return self._add(Applied(FUNCTIONS[tree.operator], self.build(tree.left), self.build(tree.right)))

    def _call(self, tree: Call) -> Node:
        if tree.name in {*SETS, "tagged", "on", "cmd"}:
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
        make: Callable[..., Any] = OPERATORS[tree.name]
        return self._add(make(**built))

    def _changes(self, tree: Expression) -> bool:
        """Tell whether an expression is more than written values and parameters."""
        if isinstance(tree, Name):
            return tree.name not in self._parameters
        return isinstance(tree, Call) or any(map(self._changes, parts(tree)))

    def _form(self, tree: Call) -> Node:
        match tree.name:
            case "tagged":
                (tag,) = tree.arguments
                return self._add(Fixed(isinstance(tag, Constant) and tag.value in self._tags))
            case "on":
                return self._on(_event(tree), tree.arguments[1] if len(tree.arguments) > 1 else None)
            case "cmd":
                return self._on("command", _accepted(tree))
        gathered = self._gathered(tree)
        return self._add({"any_of": AnyOf, "all_of": AllOf, "count_of": CountOf}[tree.name](gathered))

    def _on(self, event: str, condition: Expression | None) -> Node:
        """Return the node of an event; its condition may use the event's fields, named expressions may not."""
        if event not in self.happenings:
            self.happenings[event] = Happening(event, self._events[event])
            self.nodes.append(self.happenings[event])
        before, self._heard = self._heard, self.happenings[event]
        node = self._add(Fixed(value=True)) if condition is None else self.build(condition)
        self._heard = before
        return self._add(On(self.happenings[event], node))

    def _gathered(self, tree: Call) -> Gathered:
        if tree not in self.gathered:
            self.gathered[tree] = Gathered(repr(reach_of(tree)), self._tallies[tree])
            self.nodes.append(self.gathered[tree])
        return self.gathered[tree]


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
