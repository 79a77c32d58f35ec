"""What a site's wall clock should have shown: per boot, wall minus monotonic time once the clock could be believed.

Every record keeps the time that the site gave it, and its block the moment at which its two clocks met. Of a boot that
began with a wrong clock, the first block sealed after the clock was set tells what the difference truly is, for all
that the boot recorded before. As long as there is none it is estimated from the site's status and the office's own
time, too late by the way between them: for display only. Nothing is ordered, dropped or decided by it.
"""

from collections.abc import Sequence
from typing import Final

from cloud_sync.store.sql import Sql
from cloud_sync.wire import Status
from sitekeeper.block import Block
from sitekeeper.model.clock import Micros

TABLE: Final = """CREATE TABLE boot_clocks (
    site TEXT NOT NULL, boot TEXT NOT NULL, wall_less_mono INTEGER NOT NULL, trusted INTEGER NOT NULL,
    PRIMARY KEY (site, boot))"""

JOINED: Final = "LEFT JOIN boot_clocks c ON c.site = b.site AND c.boot = b.boot AND b.trusted = 0"
"""Behind `blocks b`: the clock of a block's boot, if the block itself was sealed under a clock not to be believed."""

_SAVE: Final = """
INSERT INTO boot_clocks (site, boot, wall_less_mono, trusted) VALUES (?, ?, ?, ?)
ON CONFLICT (site, boot) DO UPDATE SET wall_less_mono = excluded.wall_less_mono, trusted = excluded.trusted
WHERE boot_clocks.trusted = 0"""
_REMEMBERED: Final = 10_000


class Clocks:
    """Keeps the table. It remembers which boots are settled; `forget` after a transaction that failed."""

    def __init__(self) -> None:
        self._settled: set[tuple[str, str]] = set()

    def forget(self) -> None:
        """Forget what was learnt, because it may not be in the table."""
        self._settled.clear()

    def sealed(self, sql: Sql, block: Block) -> None:
        """Learn from a block: one that was sealed under a clock to be believed settles its boot."""
        boot = (block.site, block.boot)
        if not block.trusted or boot in self._settled:
            return
        sql.execute(_SAVE, (*boot, block.t0 - block.mono0, 1))
        if len(self._settled) >= _REMEMBERED:
            self._settled.clear()
        self._settled.add(boot)

    def heard(self, sql: Sql, status: Status, at: Micros) -> None:
        """Estimate from a live status that came at the office's time `at`; what is settled stays."""
        if status.mono is not None and not status.clock:
            sql.execute(_SAVE, (status.site, status.boot, at - status.mono, 0))


def corrections(numbers: Sequence[int]) -> str:
    """Return the query for (id, corrected wall time, 1 if that is settled) of the transitions with these ids."""
    return (
        "SELECT t.id, t.mono + c.wall_less_mono, c.trusted FROM transitions t"  # noqa: S608 - marks only
        " JOIN blocks b ON b.site = t.site AND b.epoch = t.epoch AND b.stream = 'alarms' AND b.sequence = t.sequence"
        " JOIN boot_clocks c ON c.site = b.site AND c.boot = b.boot AND b.trusted = 0"
        f" WHERE t.id IN ({', '.join('?' * len(numbers)) or 'NULL'})"
    )
