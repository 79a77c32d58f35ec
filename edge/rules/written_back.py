"""A syntax tree to text again, with no more brackets than it needs: what is parsed from it is the same tree.

For pages about rules, for `explain`, and for tests that change a rule in one place.
"""

from decimal import Decimal
from typing import Final

from edge.rules.language import POWERS
from edge.rules.syntax import Binary, Call, Choice, Constant, Expression, Junction, Name, Several, Unary
from sitekeeper.durations import duration_text

_CHOICE: Final = 0
_NOT: Final = POWERS["not"]
_SIGN: Final = POWERS["-x"]
_ATOM: Final = _SIGN + 10


def written_back(tree: Expression) -> str:
    """Return the text of an expression."""
    return _written(tree)[0]


def _written(tree: Expression) -> tuple[str, int]:
    """Return the text, and how tightly its outermost sign binds."""
    match tree:
        case Constant():
            return _constant(tree), _ATOM
        case Name():
            return tree.name, _ATOM
        case Call():
            arguments = [written_back(one) for one in tree.arguments]
            arguments += [f"{name}={written_back(one)}" for name, one in tree.named]
            return f"{tree.name}({', '.join(arguments)})", _ATOM
        case Unary() if tree.operator == "not":
            return f"not {_at_least(tree.operand, _NOT)}", _NOT
        case Unary():
            return f"-{_at_least(tree.operand, _SIGN)}", _SIGN
        case Junction():
            power = POWERS[tree.operator]
            return f" {tree.operator} ".join(_at_least(term, power + 1) for term in tree.terms), power
        case Choice():
            then, condition = _at_least(tree.then, _CHOICE + 1), _at_least(tree.condition, _CHOICE + 1)
            return f"{then} if {condition} else {written_back(tree.otherwise)}", _CHOICE
        case Several():
            return f"({', '.join(map(written_back, tree.items))})", _ATOM
        case Binary():
            power = POWERS[tree.operator]
            chained = power == POWERS["=="]  # comparisons do not stand side by side
            left = _at_least(tree.left, power + chained)
            return f"{left} {tree.operator} {_at_least(tree.right, power + 1)}", power


def _at_least(tree: Expression, power: int) -> str:
    text, found = _written(tree)
    return text if found >= power else f"({text})"


def _constant(tree: Constant) -> str:
    value = tree.value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"' if "'" in value else f"'{value}'"
    if tree.base == "duration" and isinstance(value, int):
        return duration_text(value)
    return str(value) if isinstance(value, int) else f"{Decimal(repr(value)):f}"
