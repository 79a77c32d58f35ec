"""Which of two statuses of a site is the newer one: by the site's own order, because workers may hand them in in any.

Within a boot the site's monotonic clock decides. Between boots the one that was heard first is over. One that was heard
live is newer than one that never was; where neither was, two clocks that are to be believed decide. What cannot be told
counts as newer, as does a last will of the present boot: the site's next word, 10 s later at most, corrects it.
"""

from typing import Final

from cloud_sync.store.sql import Row, Sql
from cloud_sync.wire import Status
from sitekeeper.model.clock import Micros

ORDER: Final = "ALTER TABLE sites ADD COLUMN status_mono BIGINT"
"""The site's monotonic time of the newest status."""


def is_newest(sql: Sql, status: Status) -> bool:
    """Tell whether a status is not older than the one that is kept of its site."""
    row = sql.execute(
        "SELECT epoch, boot, status_at, status_mono, clock_trusted FROM sites WHERE site = ?", (status.site,)
    ).fetchone()
    if row is None or row[0] is None:
        return True
    if (row[0], row[1]) == (status.epoch, status.boot):
        if not status.online:
            return True
        if status.mono is not None and row[3] is not None:
            return bool(status.mono >= row[3])
        return _by_clock(status, row)
    began, present = (_first_seen(sql, status.site, *boot) for boot in ((status.epoch, status.boot), (row[0], row[1])))
    if began is not None and present is not None:
        return began > present
    if began is not None and status.online:  # heard live, and what is kept never was: its clock may have been set since
        return True
    return _by_clock(status, row)


def _by_clock(status: Status, row: Row) -> bool:
    believed = status.clock and row[4] and row[2] is not None
    return not believed or bool(status.at >= row[2])


def _first_seen(sql: Sql, site: str, epoch: str, boot: str) -> Micros | None:
    found = sql.execute(
        "SELECT first_seen FROM identities WHERE site = ? AND epoch = ? AND boot = ?", (site, epoch, boot)
    ).fetchone()
    return None if found is None else int(found[0])
