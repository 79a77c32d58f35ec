"""A checked syntax tree to nodes, for one device."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from edge.rules.checking import KIND
from edge.rules.nodes import FUNCTIONS, Among, And, Applied, Choose, Fixed, Input, Node, Not, Or
from edge.rules.operators import OPERATORS
from edge.rules.rule import ParameterValue
from edge.rules.syntax import Binary, Call, Choice, Constant, Expression, Junction, Name, Several, Unary, parts
from edge.rules.types import DEVICE
from sitekeeper.model.point import ONLINE, Point
from sitekeeper.model.sample import Value

_JOIN: Final = {"and": And, "or": Or}


class Builder:
    """Builds the nodes of the expressions of one rule on one device; equal points and names become one node.

    `nodes` is in evaluation order: every node comes after those it reads.
    """

    def __init__(
        self,
        points: Mapping[str, Point],
        parameters: Mapping[str, ParameterValue] | None = None,
        named: Mapping[str, Expression] | None = None,
    ) -> None:
        self.nodes: list[Node] = []
        self.inputs: dict[str, Input] = {}
        self.named: dict[str, Node] = {}
        self._points = points
        self._parameters = parameters or {}
        self._trees = named or {}
        self._lacks: dict[str, str] = {}
        for name, tree in self._trees.items():  # in order: each may use those before it
            self._lacks[name] = self.missing(tree)

    def missing(self, tree: Expression) -> str:
        """Return the first point that the expression needs and the device lacks; empty if it can be built."""
        if isinstance(tree, Name):
            if tree.name in self._lacks:
                return self._lacks[tree.name]
            name = tree.name.removesuffix(KIND)
            known = tree.name == DEVICE.base or tree.name in self._parameters or name in self._points
            return "" if known else name
        inside = parts(tree)
        if isinstance(tree, Call) and tree.name == "default":
            inside = (_arguments(tree)["v"],)
        return next((name for part in inside if (name := self.missing(part))), "")

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
                used |= _names(self._trees[name]) & self._trees.keys()
        for name in self._trees:
            if name in used and name not in self.named:
                if self._lacks[name]:
                    continue  # only inside a default, which does not need it then
                self.named[name] = self.build(self._trees[name])
        return self.named[wanted]

    def _binary(self, tree: Binary) -> Node:
        if isinstance(tree.right, Several):
            return self._add(Among(self.build(tree.left), *map(self.build, tree.right.items)))
        return self._add(Applied(FUNCTIONS[tree.operator], self.build(tree.left), self.build(tree.right)))

    def _call(self, tree: Call) -> Node:
        arguments = _arguments(tree)
        if tree.name == "default" and self.missing(arguments["x"]):
            return self.build(arguments["v"])
        constants = {parameter.name for parameter in OPERATORS[tree.name].parameters if parameter.constant}
        built: dict[str, Node | Value] = {
            name: self.constant(value) if name in constants else self.build(value) for name, value in arguments.items()
        }
        make: Callable[..., Any] = OPERATORS[tree.name]
        return self._add(make(**built))


def _names(tree: Expression) -> set[str]:
    inside = [tree]
    for part in inside:  # grows while it is walked
        inside.extend(parts(part))
    return {part.name for part in inside if isinstance(part, Name)}


def _arguments(tree: Call) -> dict[str, Expression]:
    names = [parameter.name for parameter in OPERATORS[tree.name].parameters]
    return {**dict(zip(names, tree.arguments, strict=False)), **dict(tree.named)}
