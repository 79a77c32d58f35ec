"""Does the audit stand? Every row on the one before it, all of it under the heads that the office was told. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from sitekeeper import chain

MOST_FINDINGS: Final = 1_000

Wrong = Literal["broken", "missing", "fewer", "changed"]
"""`broken`: a row does not stand on the one before it: it was changed, moved, or put there. `missing`: rows are not
there. `fewer`: rows that the office was told of are gone from the end. `changed`: rows that the office was told of are
others now, and the chain was made to fit."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with the rows `first` to `last`."""

    what: Wrong
    first: int
    last: int


@dataclass(slots=True)
class Examined:
    """What was found. `rows` is the number of the last row, `head` its hash."""

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


def examine(rows: Iterable[tuple[int, bytes, bytes]], heads: Mapping[int, str] | None = None) -> Examined:
    """Examine an audit.

    Args:
        rows: number, record and hash of each, in order.
        heads: what the office was told of this chain: number of rows -> hash of the last.
    """
    found, previous, told = Examined(), chain.GENESIS, sorted((heads or {}).items(), reverse=True)
    fits = 0  # the number of rows of the last head that fits
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
    if told and told[0][0] > found.rows:
        found.put("fewer", found.rows + 1, told[0][0])
    return found
