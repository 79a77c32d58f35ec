"""Text to tokens. Durations are literals: `15s`. A dotted name is one token."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from edge.rules.syntax import MAX_TEXT, ExpressionError
from sitekeeper.durations import parse_duration

Kind = Literal["number", "duration", "text", "name", "sign", "end"]

_TOKEN: Final = re.compile(
    r"""(?P<blank>\s+)
      | (?P<duration>[0-9]+(?:\.[0-9]+)?[A-Za-z]+)
      | (?P<number>[0-9]+(?:\.[0-9]+)?)
      | (?P<text>'[^']*'|"[^"]*")
      | (?P<name>[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*)
      | (?P<sign>==|!=|<=|>=|<>|&&|\|\||[-<>+*/(),=!%&|?:])""",
    re.VERBOSE,
)
_MEANT: Final = {"=": "==", "<>": "!=", "&&": "and", "||": "or", "&": "and", "|": "or", "!": "not"}


@dataclass(frozen=True, slots=True)
class Token:
    """One word: `value` is its text, or the number, the microseconds or the quoted text that it says."""

    at: int
    kind: Kind
    text: str
    value: int | float | str = ""


def tokenize(text: str) -> list[Token]:
    """Return the tokens of an expression, an `end` token last.

    Raises:
        ExpressionError: a character or a duration that the language does not have, or the text is too long.
    """
    if len(text) > MAX_TEXT:
        raise ExpressionError(0, "too-long", length=len(text), limit=MAX_TEXT)
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _unreadable(text, at)
        if match.lastgroup != "blank":
            tokens.append(_token(match))
        at = match.end()
    tokens.append(Token(len(text), "end", ""))
    return tokens


def _token(match: re.Match[str]) -> Token:
    at, text = match.start(), match.group()
    match match.lastgroup:
        case "number":
            return Token(at, "number", text, float(text) if "." in text else int(text))
        case "text":
            return Token(at, "text", text, text[1:-1])
        case "name":
            return Token(at, "name", text)
        case "duration":
            try:
                return Token(at, "duration", text, parse_duration(text))
            except ValueError as error:
                raise ExpressionError(at, "duration", why=str(error)) from None
    if text != "=" and (text in _MEANT or text in "%?:"):
        raise ExpressionError(at, "unknown-sign", near=_MEANT.get(text, ""), sign=text)
    return Token(at, "sign", text)


def _unreadable(text: str, at: int) -> ExpressionError:
    if text[at] in "'\"":
        return ExpressionError(at, "open-quote")
    if word := re.match(r"[A-Za-z_][A-Za-z0-9_.]*", text[at:]):
        return ExpressionError(at, "bad-name", near=word.group().lower(), name=word.group())
    return ExpressionError(at, "unknown-sign", sign=text[at])
