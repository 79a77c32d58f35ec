"""GW14: a site's audit does not fit the heads that it told before. Pure.

The office cannot look into a site's audit. But the site tells how many rows it has and the hash of the last, and what
it told once stays true: later heads may only be of more rows, and of the same number only the same. A new epoch is a
new file with a chain of its own; that a file was replaced is told elsewhere.
"""

from typing import Final, Literal

from cloud_sync.store.heads import Word

RULE: Final = "GW14"

BEHIND: Final = 2
"""So many statuses in a row must tell fewer rows: one may be an older one that a broker delivered again."""

Finding = Literal["", "broken", "fewer", "changed"]
"""`broken`: a row does not stand on the one before it. `fewer`: rows are gone from its end. `changed`: as many rows, or
as many at some time, and other ones."""


def judge(word: Word) -> tuple[Finding, int]:
    """Return what is wrong with a site's audit, and the number of rows up to which it is not; ("", n) if nothing is."""
    if word.n < 0:
        return "", 0
    if word.changed >= 0:
        return "changed", word.changed
    if not word.hash:
        return "broken", word.n
    return ("fewer" if word.behind >= BEHIND else ""), word.n
