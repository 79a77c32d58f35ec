"""An expression against the points, enumerations and units that it speaks of. Every mistake is found, not one."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from edge.rules.happenings import LATE
from edge.rules.nodes import Keeper
from edge.rules.operators import ANYTHING, OPERATORS, Parameter
from edge.rules.sets import GROUP, SCOPES, SETS
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
from edge.rules.types import (
    BOOL,
    COUNT,
    DEVICE,
    DURATION,
    EVENT,
    SECONDS,
    TEXT,
    Fields,
    Type,
    common,
    strangers,
    type_of_value,
)
from sitekeeper.faults import nearest

KIND: Final = ".kind"
_ORDERED: Final = ("number", "duration")
FORMS: Final[Mapping[str, tuple[tuple[str, ...], int]]] = {
    "on": (("event", "expr"), 1),
    "cmd": (("point",), 1),
    "tagged": (("tag",), 1),
    **dict.fromkeys(SETS, (("scope", "class", "expr"), 3)),
}
"""Calls of which not every argument is a value: names of the arguments, and how many it takes at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The names that an expression may use: fields, then parameters and named sub-expressions, stand before points.

    Attributes:
        events: types of fields by event of the class; without any there is no `on` and no `cmd`.
        fields: of the event that is spoken of, inside `on`.
        classes: the scopes of other classes, for sets; None where sets may not be used.
        groups: the site's groups; None if they are not known here.
    """

    points: Mapping[str, Type]
    parameters: Mapping[str, Type] = field(default_factory=dict)
    named: Mapping[str, Type] = field(default_factory=dict)
    events: Mapping[str, Fields] = field(default_factory=dict)
    fields: Fields = field(default_factory=dict)
    classes: "Mapping[str, Scope] | None" = None
    groups: Collection[str] | None = None

    def find(self, name: str) -> Type | None:
        if name in self.fields:
            return self.fields[name]
        if name == DEVICE.base:
            return DEVICE
        if name.endswith(KIND) and name.removesuffix(KIND) in self.points:
            return Type("enum", members=("", "presence", "motion"))
        return self.parameters.get(name) or self.named.get(name) or self.points.get(name)

    def words(self) -> list[str]:
        return [*self.fields, *self.parameters, *self.named, *self.points]


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


class _Checker:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope
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
        self._fault(other, "types-differ", left=left, right=right)
        return None

    def _name(self, tree: Name) -> Type | None:
        found = self._scope.find(tree.name)
        if found is None:
            self._fault(tree, "unknown-name", near=nearest(tree.name, self._scope.words()), name=tree.name)
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
        self._fault(tree.right, "types-differ", left=left, right=right)
        return None

    def _call(self, tree: Call) -> Type | None:
        if tree.name in FORMS:
            return self._form(tree)
        operator = OPERATORS.get(tree.name)
        if operator is None:
            near = nearest(tree.name, (*OPERATORS, *FORMS))
            self._fault(tree, "unknown-operator", near=near, name=tree.name)
            return None
        if issubclass(operator, Keeper) and (name := self._a_field(tree)) is not None:
            self._fault(name, "field-in-time", operator=tree.name)
            return None
        types: list[Type | None] = []
        arguments = self._arguments(tree, operator.parameters)
        for parameter in operator.parameters:
            if parameter.name in arguments:
                types.append(self._argument(tree, parameter, arguments[parameter.name]))
            elif not parameter.optional:
                self._fault(tree, "argument-missing", operator=tree.name, argument=parameter.name)
                return None
        if tree.name in {"default", "optional"} and len(types) == 2:
            return self.meet(types[0], types[1], arguments["x"], arguments["v"])
        return operator.gives or types[0]

    def _arguments(self, tree: Call, parameters: tuple[Parameter, ...]) -> dict[str, Expression]:
        """Return the arguments by the names of their parameters."""
        names = [parameter.name for parameter in parameters]
        found = dict(zip(names, tree.arguments, strict=False))
        for extra in tree.arguments[len(names) :]:
            self._fault(extra, "argument-extra", operator=tree.name, count=len(names))
        for name, value in tree.named:
            if name not in names:
                near = nearest(name, names)
                self._fault(value, "argument-unknown", near=near, operator=tree.name, argument=name)
            elif name in found:
                self._fault(value, "argument-twice", operator=tree.name, argument=name)
            else:
                found[name] = value
        return found

    def _argument(self, tree: Call, parameter: Parameter, value: Expression) -> Type | None:
        found = self._wants(value, parameter.accepts, tree.name)
        if parameter.seconds and found is not None and found.base == "number":
            if found.unit == "s":
                return found
            self._fault(value, "wrong-type", sign=tree.name, wanted=f"{DURATION} | {SECONDS}", found=found)
            return None
        if parameter.constant and found is not None and not constant(value, self._scope):
            self._fault(value, "not-constant", operator=tree.name, argument=parameter.name)
        return found

    def _form(self, tree: Call) -> Type | None:
        """Type a call that does not take values only: events, tags and other devices."""
        wanted, least = FORMS[tree.name]
        for name, value in tree.named:
            if tree.name not in SETS or name != "tag":
                self._fault(value, "argument-unknown", operator=tree.name, argument=name)
        for extra in tree.arguments[len(wanted) :]:
            self._fault(extra, "argument-extra", operator=tree.name, count=len(wanted))
        if len(tree.arguments) < least:
            self._fault(tree, "argument-missing", operator=tree.name, argument=wanted[len(tree.arguments)])
            return None
        match tree.name:
            case "on":
                return self._on(tree)
            case "cmd":
                return self._cmd(tree.arguments[0])
            case "tagged":
                self._text(tree.arguments[0], "tagged")
                return BOOL
        return self._set(tree)

    def _on(self, tree: Call) -> Type | None:
        event = tree.arguments[0]
        name = event.name if isinstance(event, Name) else ""
        if name not in self._scope.events:
            self._fault(event, "unknown-event", near=nearest(name, self._scope.events), name=name)
            return None
        for condition in tree.arguments[1:2]:
            inside = replace(self._scope, fields={**self._scope.events[name], LATE: BOOL})
            self.faults += check(condition, inside, BOOL)[1]
        return EVENT

    def _cmd(self, point: Expression) -> Type | None:
        name = point.name if isinstance(point, Name) else ""
        if name not in self._scope.points or "command" not in self._scope.events:
            self._fault(point, "unknown-name", near=nearest(name, self._scope.points), name=name)
            return None
        return EVENT

    def _set(self, tree: Call) -> Type | None:
        scope, cls, condition = tree.arguments[:3]
        if self._scope.classes is None:
            self._fault(tree, "set-here", operator=tree.name)
            return None
        self._set_scope(scope)
        for _, tag in tree.named:
            self._text(tag, tree.name)
        name = cls.name if isinstance(cls, Name) else ""
        if name not in self._scope.classes:
            self._fault(cls, "unknown-class", near=nearest(name, self._scope.classes), name=name)
            return None
        inside = replace(self._scope.classes[name], parameters=self._scope.parameters)
        self.faults += check(condition, inside, BOOL)[1]
        return COUNT if tree.name == "count_of" else BOOL

    def _set_scope(self, scope: Expression) -> None:
        if isinstance(scope, Call) and scope.name == GROUP and len(scope.arguments) == 1 and not scope.named:
            name = self._text(scope.arguments[0], GROUP)
            if name and self._scope.groups is not None and name not in self._scope.groups:
                near = nearest(name, self._scope.groups)
                self._fault(scope.arguments[0], "unknown-group", near=near, name=name)
        elif not isinstance(scope, Name) or scope.name not in SCOPES:
            near = nearest(scope.name, (*SCOPES, GROUP)) if isinstance(scope, Name | Call) else ""
            self._fault(scope, "unknown-scope", near=near, known=", ".join((*SCOPES, f"{GROUP}('name')")))

    def _text(self, tree: Expression, sign: str) -> str:
        if isinstance(tree, Constant) and isinstance(tree.value, str):
            return tree.value
        self._fault(tree, "text-wanted", sign=sign)
        return ""

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
        self._fault(tree, "wrong-type", sign=sign, wanted=wanted, found=found)
        return None

    def _strange_member(self, enum: Type, text: Type, place: Expression) -> None:
        for word in strangers(enum, text):
            known = ", ".join(member for member in enum.members if member)
            self._fault(
                _written(place, word), "unknown-member", near=nearest(word, enum.members), word=word, members=known
            )

    def _fault(self, tree: Expression, code: str, *, near: str = "", **fields: object) -> None:
        self.faults.append(ExpressionError(tree.at, code, near=near, **fields))


def _written(tree: Expression, word: str) -> Expression:
    """Return where inside an expression the text `word` is written; the expression itself if nowhere."""
    inside = [tree]
    for found in inside:  # grows while it is walked
        if isinstance(found, Constant) and found.value == word:
            return found
        inside.extend(parts(found))
    return tree
