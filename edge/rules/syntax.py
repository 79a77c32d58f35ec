"""The syntax tree of an expression. Every piece knows where it begins: `at` is an offset in the expression's text."""

from dataclasses import dataclass
from typing import Final, Literal

MAX_TEXT: Final = 2_000
"""Characters in one expression."""

MAX_DEPTH: Final = 32
"""Brackets, operators and calls inside each other."""


class ExpressionError(Exception):
    """The text is not an expression. `code` names the fault, `fields` fill its message."""

    def __init__(self, at: int, code: str, /, *, near: str = "", **fields: object) -> None:
        super().__init__(code)
        self.at = at
        self.code = code
        self.near = near
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Constant:
    """A value written down. A duration is in microseconds."""

    at: int
    value: bool | int | float | str
    base: Literal["bool", "number", "text", "duration"]


@dataclass(frozen=True, slots=True)
class Name:
    """A point of the rule's device, a parameter or a named sub-expression."""

    at: int
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """An operator with arguments by place and by name."""

    at: int
    name: str
    arguments: tuple["Expression", ...]
    named: tuple[tuple[str, "Expression"], ...] = ()


@dataclass(frozen=True, slots=True)
class Unary:
    """`not x` or `-x`."""

    at: int
    operator: str
    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`; `at` is the place of the operator."""

    at: int
    operator: str
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True)
class Junction:
    """`a and b and c`, or the same with `or`: two terms or more, side by side and not inside each other."""

    at: int
    operator: str
    terms: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Several:
    """The list on the right of `in`."""

    at: int
    items: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """`then if condition else otherwise`."""

    at: int
    then: "Expression"
    condition: "Expression"
    otherwise: "Expression"


Expression = Constant | Name | Call | Unary | Binary | Junction | Several | Choice


def parts(tree: Expression) -> tuple[Expression, ...]:
    """Return the expressions directly inside this one."""
    match tree:
        case Call():
            return (*tree.arguments, *(value for _, value in tree.named))
        case Unary():
            return (tree.operand,)
        case Binary():
            return (tree.left, tree.right)
        case Junction():
            return tree.terms
        case Several():
            return tree.items
        case Choice():
            return (tree.then, tree.condition, tree.otherwise)
        case _:
            return ()
