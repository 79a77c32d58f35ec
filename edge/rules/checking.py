"""An expression against the points, enumerations and units that it speaks of. Every mistake is found, not one."""

from typing import Final

from edge.rules.forms import FORMS, FormChecker
from edge.rules.nodes import Keeper
from edge.rules.operators import OPERATORS
from edge.rules.scope import Scope
from edge.rules.signature import ANYTHING, Parameter
from edge.rules.syntax import (
    Binary,
    Call,
    Choice,
    Constant,
    Expression,
    ExpressionError,
    Junction,
    Name,
    Several,
    Unary,
    parts,
)
from edge.rules.types import BOOL, DURATION, SECONDS, TEXT, Type, common, strangers, type_of_value
from sitekeeper.durations import duration_text
from sitekeeper.faults import nearest

_ORDERED: Final = ("number", "duration")


def check(tree: Expression, scope: Scope, wanted: Type | None = None) -> tuple[Type | None, list[ExpressionError]]:
    """Return the type of an expression (None if it has none because of a mistake) and every mistake in it.

    Args:
        tree: the expression.
        scope: the names it may use.
        wanted: the type it must have, if any.
    """
    checker = _Checker(scope)
    found = checker.type(tree)
    if found is not None and wanted is not None and (common(wanted, found) is None or found.base == "device"):
        checker.meet(wanted, found, tree, tree)
    return found, checker.faults


def constant(tree: Expression, scope: Scope) -> bool:
    """Tell whether an expression is made of written values and parameters only."""
    if isinstance(tree, Name):
        return tree.name in scope.parameters
    return not isinstance(tree, Call) and all(constant(part, scope) for part in parts(tree))


class _Checker(FormChecker):
    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self.faults: list[ExpressionError] = []

    def type(self, tree: Expression) -> Type | None:
        match tree:
            case Constant():
                return type_of_value(tree.value, tree.base)
            case Name():
                return self._name(tree)
            case Call():
                return self._call(tree)
            case Unary():
                return self._unary(tree)
            case Junction():
                for term in tree.terms:
                    self._wants(term, ("bool",), tree.operator)
                return BOOL
            case Choice():
                return self._choice(tree)
            case Binary():
                return self._binary(tree)
            case Several():
                return None

    def meet(self, left: Type | None, right: Type | None, at: Expression, other: Expression) -> Type | None:
        """Return the common type of two that meet; note a fault where they may not."""
        if left is None or right is None:
            return None
        if (found := common(left, right)) is not None:
            return found
        for enum, text, place in ((left, right, other), (right, left, at)):
            if enum.base == "enum" and text.base == "text":
                self._strange_member(enum, text, place)
                return None
        self.fault(other, "types-differ", left=left, right=right)
        return None

    def _name(self, tree: Name) -> Type | None:
        found = self._scope.find(tree.name)
        if found is None:
            self.fault(tree, "unknown-name", near=nearest(tree.name, self._scope.words()), name=tree.name)
        return found

    def _unary(self, tree: Unary) -> Type | None:
        if tree.operator == "not":
            self._wants(tree.operand, ("bool",), "not")
            return BOOL
        return self._wants(tree.operand, ("number",), "-")

    def _choice(self, tree: Choice) -> Type | None:
        self._wants(tree.condition, ("bool",), "if")
        return self.meet(self.type(tree.then), self.type(tree.otherwise), tree.then, tree.otherwise)

    def _binary(self, tree: Binary) -> Type | None:
        if isinstance(tree.right, Several):
            left = self._wants(tree.left, ANYTHING, "in")
            for item in tree.right.items:
                self.meet(left, self.type(item), tree.left, item)
            return BOOL
        if tree.operator in {"*", "/"}:
            return self._scaled(tree)
        bases = (*ANYTHING, "duration") if tree.operator in {"==", "!="} else _ORDERED
        left = self._wants(tree.left, bases, tree.operator)
        right = self._wants(tree.right, bases, tree.operator)
        met = self.meet(left, right, tree.left, tree.right)
        return met if tree.operator in {"+", "-"} else BOOL

    def _scaled(self, tree: Binary) -> Type | None:
        """Multiply or divide: a number scales anything, two equal units divide to none."""
        left = self._wants(tree.left, _ORDERED, tree.operator)
        right = self._wants(tree.right, _ORDERED, tree.operator)
        if left is None or right is None:
            return None
        if right.base == "number" and not right.unit:
            return left
        if tree.operator == "*" and left.base == "number" and not left.unit:
            return right
        if tree.operator == "/" and left == right:
            return Type("number", "")
        self.fault(tree.right, "types-differ", left=left, right=right)
        return None

    def _call(self, tree: Call) -> Type | None:
        if tree.name in FORMS:
            return self.form(tree)
        operator = OPERATORS.get(tree.name)
        if operator is None:
            near = nearest(tree.name, (*OPERATORS, *FORMS))
            self.fault(tree, "unknown-operator", near=near, name=tree.name)
            return None
        if issubclass(operator, Keeper) and (name := self._a_field(tree)) is not None:
            self.fault(name, "field-in-time", operator=tree.name)
            return None
        types: list[Type | None] = []
        arguments = self._arguments(tree, operator.parameters)
        for parameter in operator.parameters:
            if parameter.name in arguments:
                types.append(self._argument(tree, parameter, arguments[parameter.name]))
            elif not parameter.optional:
                self.fault(tree, "argument-missing", operator=tree.name, argument=parameter.name)
                return None
        if tree.name in {"default", "optional"} and len(types) == 2:
            return self.meet(types[0], types[1], arguments["x"], arguments["v"])
        return operator.gives or types[0]

    def _arguments(self, tree: Call, parameters: tuple[Parameter, ...]) -> dict[str, Expression]:
        """Return the arguments by the names of their parameters."""
        names = [parameter.name for parameter in parameters]
        found = dict(zip(names, tree.arguments, strict=False))
        for extra in tree.arguments[len(names) :]:
            self.fault(extra, "argument-extra", operator=tree.name, count=len(names))
        for name, value in tree.named:
            if name not in names:
                near = nearest(name, names)
                self.fault(value, "argument-unknown", near=near, operator=tree.name, argument=name)
            elif name in found:
                self.fault(value, "argument-twice", operator=tree.name, argument=name)
            else:
                found[name] = value
        return found

    def _argument(self, tree: Call, parameter: Parameter, value: Expression) -> Type | None:
        found = self._wants(value, parameter.accepts, tree.name)
        if parameter.seconds and found is not None and found.base == "number":
            if found.unit == "s":
                return found
            self.fault(value, "wrong-type", sign=tree.name, wanted=f"{DURATION} | {SECONDS}", found=found)
            return None
        if parameter.constant and found is not None and not constant(value, self._scope):
            self.fault(value, "not-constant", operator=tree.name, argument=parameter.name)
        self._check_span(tree, parameter, value)
        return found

    def _check_span(self, tree: Call, parameter: Parameter, value: Expression) -> None:
        """Note a written duration that is no window; what a parameter says is held to the same bounds at work."""
        if parameter.span is None or not isinstance(value, Constant) or not isinstance(value.value, int):
            return
        least, most = parameter.span
        if not least <= value.value <= most:
            self.fault(value, "window-too-long", operator=tree.name, argument=parameter.name,
                       least=duration_text(least), most=duration_text(most))  # fmt: skip

    def _a_field(self, tree: Expression) -> Expression | None:
        """Return a field of the event inside an operator with a memory, where it would mean nothing."""
        inside = [tree]
        for part in inside:  # grows while it is walked
            if isinstance(part, Name) and part.name in self._scope.fields:
                return part
            if not (isinstance(part, Call) and part.name == "on"):  # the fields in there are its own
                inside.extend(parts(part))
        return None

    def _wants(self, tree: Expression, bases: tuple[str, ...], sign: str) -> Type | None:
        found = self.type(tree)
        if found is None or found.base in bases:
            return found
        wanted = " | ".join(str({"bool": BOOL, "duration": DURATION, "text": TEXT}.get(base, base)) for base in bases)
        self.fault(tree, "wrong-type", sign=sign, wanted=wanted, found=found)
        return None

    def _strange_member(self, enum: Type, text: Type, place: Expression) -> None:
        for word in strangers(enum, text):
            known = ", ".join(member for member in enum.members if member)
            self.fault(
                _written(place, word), "unknown-member", near=nearest(word, enum.members), word=word, members=known
            )

    def inside(self, tree: Expression, scope: Scope) -> None:
        self.faults += check(tree, scope, BOOL)[1]

    def fault(self, tree: Expression, code: str, *, near: str = "", **fields: object) -> None:
        self.faults.append(ExpressionError(tree.at, code, near=near, **fields))


def _written(tree: Expression, word: str) -> Expression:
    """Return where inside an expression the text `word` is written; the expression itself if nowhere."""
    inside = [tree]
    for found in inside:  # grows while it is walked
        if isinstance(found, Constant) and found.value == word:
            return found
        inside.extend(parts(found))
    return tree
