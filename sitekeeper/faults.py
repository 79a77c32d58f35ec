"""Collecting mistakes in what people wrote: every one at once, each with its place, its words and a way out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sitekeeper.model.errors import ConfigError, Fault

MAX_FAULTS: Final = 200
"""Faults kept; more are counted only, because nobody reads on and a hostile file could name millions."""

_LONGEST_SHOWN: Final = 240


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in a file that a person wrote, 1-based; line 0 means the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Faults:
    """What was found wrong so far. `lang` is the language of the messages; codes are never translated."""

    def __init__(self, lang: str = "en") -> None:
        self.lang = lang
        self.found: list[Fault] = []
        self.left_out = 0

    def add(self, place: Place, code: str, /, *, near: str = "", hint: str = "", **fields: str | int | Place) -> None:
        """Note one fault, in the words that the text catalogue has for `code` (`fault-<code>`).

        Args:
            place: where.
            code: a stable name.
            near: a name that was probably meant; becomes "did you mean".
            hint: key of another remedy in the catalogue, with the same fields.
            fields: the offending text and what was expected.
        """
        from sitekeeper.texts import text  # late: the catalogue itself may be read with `located_yaml`

        shown = {name: _short(value) for name, value in fields.items()}
        remedy = text("settings.did-you-mean", self.lang, near=near) if near else ""
        if not remedy and hint:
            remedy = text(f"settings.{hint}", self.lang, **shown)
        message = text(f"settings.fault-{code}", self.lang, **shown)
        self.put(Fault(place.file, place.line, place.column, code, message, remedy))

    def word(self, key: str) -> str:
        """Return a phrase of the catalogue, to be put into a message."""
        from sitekeeper.texts import text

        return text(f"settings.{key}", self.lang)

    def put(self, fault: Fault) -> None:
        """Note a fault whose words are made already. The same fault is noted once."""
        if fault in self.found:
            return
        if len(self.found) >= MAX_FAULTS:
            self.left_out += 1
        else:
            self.found.append(fault)

    def stop_if_any(self) -> None:
        """Raise what was found.

        Raises:
            ConfigError: something was.
        """
        from sitekeeper.texts import text

        if self.left_out:
            more = text("settings.fault-more", self.lang, count=self.left_out)
            self.found.append(Fault(self.found[-1].file, 0, 0, "more", more))
            self.left_out = 0
        if self.found:
            raise ConfigError(self.found)


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return the choice that `word` was probably meant to be, by edit distance; empty if none is near enough."""
    best, shortest = "", max(1, len(word) // 3) + 1
    for choice in sorted(set(choices)):
        far = _distance(word.lower(), choice.lower(), shortest)
        if far < shortest:
            best, shortest = choice, far
    return best


def _distance(left: str, right: str, limit: int) -> int:
    """Edit distance with swaps of neighbours (optimal string alignment), but never more than `limit`."""
    if abs(len(left) - len(right)) >= limit:
        return limit
    before: list[int] = []
    last = list(range(len(right) + 1))
    for row, a in enumerate(left, 1):
        line = [row]
        for column, b in enumerate(right, 1):
            cost = min(last[column] + 1, line[-1] + 1, last[column - 1] + (a != b))
            if row > 1 and column > 1 and a == right[column - 2] and b == left[row - 2]:
                cost = min(cost, before[column - 2] + 1)
            line.append(cost)
        before, last = last, line
    return min(last[-1], limit)


def _short(value: object) -> str:
    text = str(value).replace("\n", "\\n")
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
