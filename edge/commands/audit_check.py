"""Does the audit stand? Every row on the one before it, all of it under the heads that the office was told. Pure.

Its oldest rows may be folded: then the first one in the file stands on an anchor, and a row of the audit must speak of
that very anchor.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from edge.commands.audit import is_fold
from sitekeeper import chain

MOST_FINDINGS: Final = 1_000

Wrong = Literal["broken", "missing", "fewer", "changed", "unfolded"]
"""`broken`: a row does not stand on the one before it: it was changed, moved, or put there. `missing`: rows are not
there. `fewer`: rows that the office was told of are gone from the end. `changed`: rows that the office was told of are
others now, and the chain was made to fit. `unfolded`: the first rows are gone, and no row says that they were folded
away."""

BEGINNING: Final = (0, chain.GENESIS)
TRIES: Final = 5
"""How often a file whose anchor moves while it is read is read again; it moves once in seconds at most."""


class Source(Protocol):
    """An open outbox file: `edge.outbox.reader.Reader`."""

    def anchor(self) -> tuple[int, bytes]:
        """Return number and hash of the last row that was folded away. Raises StorageError."""

    def audit(self) -> Iterable[tuple[int, bytes, bytes]]:
        """Yield number, record and hash of each row. Raises StorageError."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with the rows `first` to `last`."""

    what: Wrong
    first: int
    last: int


@dataclass(slots=True)
class Examined:
    """What was found. `rows` is the number of the last row, `head` its hash; `folded` that of the last one folded."""

    folded: int = 0
    rows: int = 0
    head: str = chain.GENESIS.hex()
    findings: list[Finding] = field(default_factory=list)

    @property
    def fits(self) -> int:
        """Return the number of the last row up to which nothing is wrong."""
        return min((finding.first - 1 for finding in self.findings), default=self.rows)

    def put(self, what: Wrong, first: int, last: int) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(what, first, last))


def examine_file(source: Source, heads: Mapping[int, str] | None = None) -> Examined:
    """Examine the audit of a file, also while it is written: what is folded meanwhile is not missing.

    Raises:
        StorageError: it cannot be read.
    """
    for _ in range(TRIES):
        anchor = source.anchor()
        found = examine(source.audit(), heads, anchor)
        if source.anchor() == anchor:
            break
    return found


def examine(
    rows: Iterable[tuple[int, bytes, bytes]],
    heads: Mapping[int, str] | None = None,
    anchor: tuple[int, bytes] = BEGINNING,
) -> Examined:
    """Examine an audit.

    Args:
        rows: number, record and hash of each, in order.
        heads: what the office was told of this chain: number of rows -> hash of the last.
        anchor: number and hash of the last row that was folded away; heads of fewer rows can only be compared there.
    """
    fits, previous = anchor  # the number of rows of the last head that fits
    found, spoken = Examined(folded=fits, rows=fits, head=previous.hex()), anchor == BEGINNING
    told = sorted((item for item in (heads or {}).items() if item[0] >= max(fits, 1)), reverse=True)
    if told and told[-1][0] == fits:
        number, expected = told.pop()
        if expected != found.head:
            found.put("changed", 1, number)
    for n, record, hash_ in rows:
        if n > found.rows + 1:
            found.put("missing", found.rows + 1, n - 1)
        if chain.link(previous, record) != hash_:
            found.put("broken", n, n)
        while told and told[-1][0] <= n:
            number, expected = told.pop()
            if number == n and expected != hash_.hex():
                found.put("changed", fits + 1, n)
            fits = number
        previous, found.rows, found.head = hash_, n, hash_.hex()
        spoken = spoken or is_fold(record, *anchor)
    if not spoken:
        found.put("unfolded", 1, anchor[0])
    if told and told[0][0] > found.rows:
        found.put("fewer", found.rows + 1, told[0][0])
    return found
