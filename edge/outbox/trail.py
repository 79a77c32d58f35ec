"""The audit in the file: rows chained by hash. The oldest can be folded into an anchor, so that the file has a bound.

Folding deletes the oldest rows. What is left stands on the anchor: the number and the hash of the last row that went,
kept in `meta`. Who folds says so in a row of the audit itself, in the same transaction; an anchor that no row speaks of
is tampering (`edge.commands.audit_check`).
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from edge.outbox import rows
from sitekeeper import chain

KEY: Final = "audit_anchor"
"""Of `meta`."""


class Anchor(NamedTuple):
    """The last row that was folded; row 0 is where a chain begins."""

    n: int = 0
    hash: bytes = chain.GENESIS


BEGINNING: Final = Anchor()


@dataclass(frozen=True, slots=True)
class Trail:
    """What is known of the audit: its anchor, and number and hash of its last row."""

    anchor: Anchor = BEGINNING
    last: int = 0
    head: bytes = chain.GENESIS

    @property
    def kept(self) -> int:
        """How many rows are in the file."""
        return self.last - self.anchor.n

    def linked(self, records: Iterable[bytes]) -> list[tuple[int, bytes, bytes]]:
        """Return the rows of these records, chained to the last one."""
        found: list[tuple[int, bytes, bytes]] = []
        head = self.head
        for n, record in enumerate(records, start=self.last + 1):
            head = chain.link(head, record)
            found.append((n, record, head))
        return found

    def followed(self, written: Sequence[tuple[int, bytes, bytes]], anchor: Anchor | None) -> "Trail":
        """Return this with rows that were written, and an anchor if rows were folded."""
        after = replace(self, last=written[-1][0], head=written[-1][2]) if written else self
        return after if anchor is None else replace(after, anchor=anchor)


def anchor_of(meta: Mapping[str, str]) -> Anchor:
    """Return the anchor of a file. Raises ValueError if what is kept is none."""
    if KEY not in meta:
        return BEGINNING
    n, _, hash_ = meta[KEY].partition(" ")
    anchor = Anchor(int(n), bytes.fromhex(hash_))
    if anchor.n < 1 or len(anchor.hash) != len(chain.GENESIS):
        msg = f"not an anchor: {meta[KEY][:100]!r}"
        raise ValueError(msg)
    return anchor


def load(connection: sqlite3.Connection, meta: Mapping[str, str]) -> Trail:
    """Read what is to be known of a file's audit. Raises ValueError or sqlite3.Error."""
    anchor = anchor_of(meta)
    row = connection.execute("SELECT n, hash FROM audit ORDER BY n DESC LIMIT 1").fetchone()
    return Trail(anchor, *((int(row[0]), bytes(row[1])) if row else anchor))


def fold(connection: sqlite3.Connection, wanted: Anchor | None) -> Anchor | None:
    """Within a transaction: delete all rows up to `wanted`, if that is a row of the file; return what was done."""
    if wanted is None:
        return None
    row = connection.execute("SELECT hash FROM audit WHERE n = ?", (wanted.n,)).fetchone()
    if row is None or row[0] != wanted.hash:  # folded before, by the attempt whose outcome was not known
        return None
    connection.execute("DELETE FROM audit WHERE n <= ?", (wanted.n,))
    value = f"{wanted.n} {wanted.hash.hex()}"
    connection.executemany(rows.insert("meta"), rows.signed("meta", [(KEY, value)]))
    return wanted
