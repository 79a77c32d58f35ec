"""From an offset in an expression to the line and column where a person wrote it, whatever YAML did in between."""

import re
from dataclasses import dataclass
from typing import Final

from edge.rules.syntax import ExpressionError
from sitekeeper.faults import Faults, Place
from sitekeeper.model.errors import Fault
from sitekeeper.texts import text as words

_ANCHOR: Final = re.compile(r"&[^\s,\[\]{}]+[ \t]*")
"""An anchor in front of a scalar counts as its beginning for YAML."""


@dataclass(frozen=True, slots=True)
class Written:
    """An expression as it stands in a file.

    Attributes:
        text: the expression, as YAML gives it.
        place: where its scalar begins.
        lines: the lines of the file, if at hand: with them quoted and folded scalars have exact places too.
    """

    text: str
    place: Place
    lines: tuple[str, ...] = ()

    def at(self, offset: int) -> Place:
        """Return the place of the character at `offset`.

        YAML changes blanks only (folding, indentation), so the n-th character of the expression that is not blank is
        the n-th in the file that is not.
        """
        file, line, column = self.place.file, self.place.line, self.place.column
        if not 0 < line <= len(self.lines):
            return Place(file, line, column + offset) if line else self.place
        row, spot = line - 1, column - 1
        if anchor := _ANCHOR.match(self.lines[row], spot):
            spot = anchor.end()
        opening = self.lines[row][spot : spot + 1]
        if opening in {"|", ">"}:
            row, spot = row + 1, 0
        elif opening in {"'", '"'}:
            spot += 1
        before = len("".join(self.text[:offset].split()))
        doubled = "''" if opening == "'" else ""
        return self._walk(row, spot, before, doubled)

    def _walk(self, row: int, spot: int, before: int, doubled: str) -> Place:
        while row < len(self.lines):
            line = self.lines[row]
            while spot < len(line):
                if not line[spot].isspace():
                    if before == 0:
                        return Place(self.place.file, row + 1, spot + 1)
                    before -= 1
                    spot += bool(doubled) and line.startswith(doubled, spot)
                spot += 1
            row, spot = row + 1, 0
        return self.place


def note(faults: Faults, place: Place, code: str, *, near: str = "", **fields: object) -> None:
    """Note one fault in a rule, in the words of the text catalogue (`rules.fault-<code>`)."""
    shown = {name: str(value) for name, value in fields.items()}
    remedy = words("rules.did-you-mean", faults.lang, near=near) if near else ""
    message = words(f"rules.fault-{code}", faults.lang, **shown)
    faults.put(Fault(place.file, place.line, place.column, f"rule-{code}", message, remedy))


def note_error(faults: Faults, written: Written, error: ExpressionError) -> None:
    """Note a mistake in an expression at the place of the word that is wrong."""
    note(faults, written.at(error.at), error.code, near=error.near, **error.fields)
