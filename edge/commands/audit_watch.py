"""Examines the audit of a running gateway again and again, tells the office of it, and keeps it bounded.

A head is told only after the chain was read from the file and found to stand, so whatever is done to the file shows at
the office: as a head that does not fit those before, or as one that says of itself that the chain is broken. The hash
of each row is told too (links), until the office has confirmed it.

The audit never fills the disk and stops nothing. Above `FOLD_AT` the oldest rows that the office has confirmed are
folded away (`edge.outbox.trail`); at `MOST` they are, confirmed or not, and the row that says so says that too.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import structlog

from edge.commands.audit import fold
from edge.commands.audit_check import Examined, Finding, Source, examine_file
from sitekeeper.model.clock import SECOND, Clock, Micros, Moment
from sitekeeper.model.errors import StorageError

log = structlog.get_logger()

EVERY: Final[Micros] = 50 * SECOND
"""With the status, which goes every 10 s, the office knows a head of the last minute."""
SHARE: Final = 200
"""Between two examinations so many times the time that one takes: a long audit costs half a percent of a core."""
LOOK: Final[Micros] = 10 * SECOND
"""How often its size is looked at: it can grow beyond its bound by what comes in so long."""
MOST: Final = 1_000_000
"""Rows in the file."""
FOLD_AT: Final = MOST * 3 // 4
WARN: Final = MOST * 8 // 10
"""Only an audit that the office does not confirm comes so far; then it is time to find out why."""
LOT: Final = 2_000
"""Rows folded at once, which takes 10 to 20 ms, and once a second while there are more."""
LINKS: Final = 100
"""Hashes in one status."""
AGAIN: Final[Micros] = 60 * SECOND
"""So long an answer to links is waited for: an older office never gives one."""
NOTED: Final = 1_000
"""Hashes kept in memory after each examination: what statuses tell until the next one."""


class Kept(Protocol):
    """The outbox, as far as its audit goes."""

    @property
    def epoch(self) -> str: ...

    @property
    def audit_kept(self) -> tuple[int, int]:
        """Return the numbers of the last row that was folded, and of the last one."""

    def fold_audit(self, upto: int, record: Callable[[bytes], bytes]) -> Future[None] | None:
        """See `Outbox.fold_audit`."""


class AuditWatch:
    """The watch over one audit. `run` works until it is cancelled.

    Args:
        open_: opens the file for reading. kept: the outbox. inline: no thread, for the virtual site.
    """

    def __init__(
        self, open_: Callable[[], AbstractContextManager[Source]], kept: Kept, clock: Clock, *, inline: bool = False
    ) -> None:
        self._open, self._kept, self._clock, self._inline = open_, kept, clock, inline
        self._last: Examined | None = None
        self._seen: dict[int, str] = {}
        self._noted: dict[int, str] = {}
        self._held: int | None = None
        self._told: Micros | None = None
        self._folding: Future[None] | None = None

    # what the office is told

    def head(self) -> tuple[int, str] | None:
        """Return (rows, hash) for the office; no hash if row `rows + 1` does not fit; None before the first look."""
        if self._last is None:
            return None
        return (self._last.fits, "") if self._last.findings else (self._last.rows, self._last.head)

    def links(self) -> tuple[int, tuple[str, ...]] | None:
        """Return the first rows that the office has not confirmed: number of the first, hashes; None if there are none.

        After a start these are the newest ones, whether it has them or not: if they are others now, it sees that.
        What was asked for once is given again only after `AGAIN`, or when there was an answer.
        """
        now = self._clock.monotonic()
        rows = [n for n in self._noted if self._held is None or n > self._held][:LINKS]
        if not rows or (self._told is not None and now - self._told < AGAIN):
            return None
        self._told = now
        return rows[0], tuple(self._noted[n] for n in rows)

    def held(self, epoch: str, n: int, hash_: str) -> None:
        """The office has the hash of row `n`, and of each one before it that it was told."""
        if epoch == self._kept.epoch and self._noted.get(n) == hash_:
            self._held, self._told = max(n, self._held or 0), None

    def facts(self) -> dict[str, Any]:
        """Return how the audit stands, for `sk status`."""
        folded, last = self._kept.audit_kept
        stands = None if self._last is None else not self._last.findings
        return {"rows": last, "kept": last - folded, "most": MOST, "held": self._held or 0, "stands": stands}

    # the work

    async def run(self) -> None:
        """Examine and fold for ever."""
        due = self._clock.monotonic()
        while True:
            began = self._clock.monotonic()
            if began >= due:
                await self._look()
                due = began + max(EVERY, SHARE * (self._clock.monotonic() - began))
            await asyncio.sleep((SECOND if self._fold() else LOOK) / SECOND)

    def took(self, found: Examined) -> None:
        """Take over what was found."""
        if found.findings and (self._last is None or self._last.findings != found.findings):
            log.error("the audit was tampered with", rows=found.rows, first=found.findings[0])
        elif found.rows - found.folded >= WARN:
            log.warning("the audit is nearly full", rows=found.rows - found.folded, most=MOST)
        self._last = found
        if found.findings:
            self._noted = {}
        else:
            self._seen = {found.rows: found.head} if found.rows else {}

    def foldable(self) -> int:
        """Return the row up to which is to be folded now; 0 for none."""
        folded, last = self._kept.audit_kept
        if last - folded >= MOST:
            return folded + LOT
        upto = min(folded + LOT, self._held or 0)
        sound = self._last is not None and not self._last.findings
        return upto if last - folded >= FOLD_AT and sound and upto > folded else 0

    def _fold(self) -> bool:
        """Fold one lot if there is one to fold and the last is on the disk; tell whether it was begun."""
        if (self._folding is not None and not self._folding.done()) or not (upto := self.foldable()):
            return False
        now = Moment(wall=self._clock.wall(), mono=self._clock.monotonic(), trusted=self._clock.trusted())
        held = upto <= (self._held or 0)
        try:
            self._folding = self._kept.fold_audit(upto, lambda hash_: fold(now, upto, hash_, held=held))
        except StorageError as error:  # the writer is behind, and says so itself
            log.warning("audit cannot be folded now", why=str(error))
            return False
        return self._folding is not None

    async def _look(self) -> None:
        try:
            self.took(self._examine() if self._inline else await asyncio.to_thread(self._examine))
        except StorageError as error:
            log.warning("audit cannot be read", why=str(error))
            if error.damaged:  # else the office would be told the last head that stood, for ever
                rows = self._kept.audit_kept[1]
                self.took(Examined(rows=rows, findings=[Finding("broken", 1, rows)]))

    def _examine(self) -> Examined:
        """Examine all of it, also against the head that this process saw last: what was cut since has another."""
        with self._open() as source:
            noting = _Noting(source, self._held)
            found = examine_file(noting, self._seen)
        self._noted = dict(noting.noted)
        # Fewer rows are the office's to judge: it is told how many there are.
        found.findings = [finding for finding in found.findings if finding.what != "fewer"]
        return found


class _Noting:
    """A source that keeps the hashes to be told: the first ones after the row that is held, else the newest."""

    def __init__(self, source: Source, held: int | None) -> None:
        self._source, self._held = source, held
        self.noted: deque[tuple[int, str]] = deque(maxlen=LINKS if held is None else NOTED)

    def anchor(self) -> tuple[int, bytes]:
        return self._source.anchor()

    def audit(self) -> Iterable[tuple[int, bytes, bytes]]:
        self.noted.clear()
        for row in self._source.audit():
            if self._held is None or (row[0] > self._held and len(self.noted) < NOTED):
                self.noted.append((row[0], row[2].hex()))
            yield row
