"""Tokens to a syntax tree: a Pratt parser, bounded in depth.

expr = or ["if" or "else" expr] ; or = and {"or" and} ; and = not {"and" not} ; not = ["not"] cmp
cmp  = sum [("=="|"!="|"<"|"<="|">"|">=") sum | "in" "(" expr {"," expr} ")"] ; sum = term {("+"|"-") term}
term = factor {("*"|"/") factor} ; factor = ["-"] atom
atom = number | text | duration | "true" | "false" | name | name "(" [argument {"," argument}] ")" | "(" expr ")"
argument = [name "="] expr
"""

from typing import Final

from edge.rules.syntax import (
    MAX_DEPTH,
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
)
from edge.rules.tokens import Token, tokenize

_OR, _AND, _NOT, _COMPARE, _SUM, _TERM, _SIGN = 10, 20, 30, 40, 50, 60, 70
_LEFT: Final = {
    **dict.fromkeys(("or",), _OR),
    **dict.fromkeys(("and",), _AND),
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), _COMPARE),
    **dict.fromkeys(("+", "-"), _SUM),
    **dict.fromkeys(("*", "/"), _TERM),
}
POWERS: Final = {**_LEFT, "not": _NOT, "-x": _SIGN}
"""How tightly each sign binds; `-x` is the sign of a number."""
RESERVED: Final = frozenset({"and", "or", "not", "in", "if", "else", "true", "false", "device"})
"""Words that name nothing else."""


def parse(text: str) -> Expression:
    """Return the syntax tree of an expression.

    Raises:
        ExpressionError: with the offset of the first word that does not fit.
    """
    parser = _Parser(tokenize(text))
    tree = parser.expression(0)
    parser.take_end()
    return tree


def _join(left: Expression, token: Token, right: Expression) -> Junction:
    if isinstance(left, Junction) and left.operator == token.text:
        return Junction(left.at, left.operator, (*left.terms, right))
    return Junction(token.at, token.text, (left, right))


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0

    def expression(self, depth: int) -> Expression:
        """Parse `or ["if" or "else" expr]`."""
        then = self._binary(0, depth)
        question = self._peek()
        if question.text != "if" or question.kind != "name":
            return then
        self._take()
        condition = self._binary(0, depth + 1)
        self._expect("else")
        return Choice(question.at, then, condition, self.expression(depth + 1))

    def take_end(self) -> None:
        token = self._peek()
        if token.kind != "end":
            raise ExpressionError(token.at, "not-expected", token=token.text)

    def _binary(self, power: int, depth: int) -> Expression:
        """Parse everything that binds more tightly than `power`."""
        left = self._prefix(depth + 1)
        while (binding := self._binding()) > power:
            token = self._take()
            if binding <= _AND:
                left = _join(left, token, self._binary(binding, depth + 1))
                continue
            depth += 1  # each further sign puts what stands on its left one level deeper
            if token.text == "in":
                left = Binary(token.at, "in", left, self._several(depth))
            else:
                left = Binary(token.at, token.text, left, self._binary(binding, depth))
            if binding == _COMPARE and self._binding() == _COMPARE:
                raise ExpressionError(self._peek().at, "chained", sign=self._peek().text)
        return left

    def _binding(self) -> int:
        token = self._peek()
        return _LEFT.get(token.text, -1) if token.kind in {"sign", "name"} else -1

    def _prefix(self, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise ExpressionError(self._peek().at, "too-deep", limit=MAX_DEPTH)
        token = self._take()
        if token.kind in {"number", "text", "duration"}:
            return Constant(token.at, token.value, token.kind)
        if token.kind == "name":
            return self._word(token, depth)
        if token.text == "-":
            return Unary(token.at, "-", self._binary(_SIGN, depth))
        if token.text == "(":
            inner = self.expression(depth)
            self._expect(")")
            return inner
        raise ExpressionError(token.at, "not-expected" if token.text else "unfinished", token=token.text)

    def _word(self, token: Token, depth: int) -> Expression:
        if token.text in {"true", "false"}:
            return Constant(token.at, token.text == "true", "bool")
        if token.text == "not":
            return Unary(token.at, "not", self._binary(_NOT, depth))
        if token.text in RESERVED and token.text != "device":
            raise ExpressionError(token.at, "not-expected", token=token.text)
        if self._peek().text == "(" and self._peek().kind == "sign":
            return self._call(token, depth)
        return Name(token.at, token.text)

    def _call(self, name: Token, depth: int) -> Call:
        self._take()
        arguments: list[Expression] = []
        named: list[tuple[str, Expression]] = []
        while self._peek().text != ")":
            if arguments or named:
                self._expect(",")
            key = self._argument_name()
            value = self.expression(depth)
            if key:
                named.append((key, value))
            elif named:
                raise ExpressionError(self._peek().at, "argument-order", operator=name.text)
            else:
                arguments.append(value)
        self._take()
        return Call(name.at, name.text, tuple(arguments), tuple(named))

    def _argument_name(self) -> str:
        """Take `name =` if it stands here."""
        name, sign = self._tokens[self._next], self._tokens[min(self._next + 1, len(self._tokens) - 1)]
        if name.kind != "name" or sign.text != "=":
            return ""
        self._next += 2
        return name.text

    def _several(self, depth: int) -> Several:
        opening = self._peek()
        self._expect("(")
        items = [self.expression(depth)]
        while self._peek().text == ",":
            self._take()
            items.append(self.expression(depth))
        self._expect(")")
        return Several(opening.at, tuple(items))

    def _expect(self, text: str) -> None:
        token = self._peek()
        if token.text != text or token.kind == "text":
            raise ExpressionError(token.at, "wanted", wanted=text, token=token.text or "the end")
        self._take()

    def _peek(self) -> Token:
        token = self._tokens[self._next]
        if token.text == "=" and token.kind == "sign":
            raise ExpressionError(token.at, "unknown-sign", near="==", sign="=")
        return token

    def _take(self) -> Token:
        token = self._peek()
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token
