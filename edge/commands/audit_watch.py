"""Examines the audit of a running gateway again and again, and gives the uplink the head that the office is to be told.

A head is told only after the chain was read from the file and found to stand, so whatever is done to the file shows at
the office: as a head that does not fit those before, or as one that says of itself that the chain is broken.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Final, Protocol

import structlog

from edge.commands.audit_check import Examined, examine
from sitekeeper.model.clock import SECOND, Clock, Micros
from sitekeeper.model.errors import StorageError

log = structlog.get_logger()

EVERY: Final[Micros] = 50 * SECOND
"""With the status, which goes every 10 s, the office knows a head of the last minute."""
SHARE: Final = 200
"""Between two examinations so many times the time that one takes: a long audit costs half a percent of a core."""
MOST: Final = 1_000_000
"""Rows for which the audit is made; at 80 % of them it is time to archive the outbox file and begin a new one."""
WARN: Final = MOST * 8 // 10


class Source(Protocol):
    """An open outbox file: `edge.outbox.reader.Reader`."""

    def audit(self) -> Iterable[tuple[int, bytes, bytes]]:
        """Yield number, record and hash of each row. Raises StorageError."""


class AuditWatch:
    """The watch over one audit. `run` works until it is cancelled.

    Args:
        open_: opens the file for reading. inline: no thread, for the virtual site.
    """

    def __init__(
        self, open_: Callable[[], AbstractContextManager[Source]], clock: Clock, *, inline: bool = False
    ) -> None:
        self._open, self._clock, self._inline = open_, clock, inline
        self._last: Examined | None = None
        self._seen: dict[int, str] = {}

    def head(self) -> tuple[int, str] | None:
        """Return (rows, hash) for the office; no hash if row `rows + 1` does not fit; None before the first look."""
        if self._last is None:
            return None
        return (self._last.fits, "") if self._last.findings else (self._last.rows, self._last.head)

    async def run(self) -> None:
        """Examine for ever."""
        while True:
            began = self._clock.monotonic()
            try:
                self.took(self._examine() if self._inline else await asyncio.to_thread(self._examine))
            except StorageError as error:
                log.warning("audit cannot be read", why=str(error))
            took = self._clock.monotonic() - began
            await asyncio.sleep(max(EVERY, SHARE * took) / SECOND)

    def took(self, found: Examined) -> None:
        """Take over what was found."""
        if found.findings and (self._last is None or self._last.findings != found.findings):
            log.error("the audit was tampered with", rows=found.rows, first=found.findings[0])
        elif found.rows >= WARN:
            log.warning("the audit is nearly full", rows=found.rows, most=MOST)
        self._last = found
        if not found.findings:
            self._seen = {found.rows: found.head} if found.rows else {}

    def _examine(self) -> Examined:
        """Examine all of it, also against the head that this process saw last: what was cut since has another."""
        with self._open() as source:
            found = examine(source.audit(), self._seen)
        # Fewer rows are the office's to judge: it is told how many there are.
        found.findings = [finding for finding in found.findings if finding.what != "fewer"]
        return found
