"""Reading the completeness ledger: one site's account of a stretch of time, per scan group and per point.

The rules are those of `cloud_sync.ledger`; here is where the intervals come from. Every query is along an index and
bounded, so that a day of a large site is answered while somebody waits.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from cloud_sync.lacking import SETTLED
from cloud_sync.ledger import Account, Interval, Windows, account, never_were
from cloud_sync.store import streams
from sitekeeper.catalogue import Catalogue, decode
from sitekeeper.model.clock import MINUTE, Micros

Ask = Callable[..., Sequence[Any]]
PATIENCE: Final[Micros] = 5 * MINUTE
"""A scan group whose account ends this long before the newest of its site is not late: that time is unexplained."""
REACHING: Final = 8
"""Gaps before a stretch that are looked at for one that reaches into it; gaps of one group follow each other."""
MOST_WINDOWS: Final = 500
MOST_CATALOGUES: Final = 16
_ALWAYS: Final = 2**62
_numbers = msgspec.json.Decoder(dict[str, int])
_BOUNDS: Final = """
SELECT (SELECT min(start) FROM coverage WHERE site = ? AND scan_group = ?),
       (SELECT min(start) FROM gaps WHERE site = ? AND scan_group = ?),
       (SELECT until FROM coverage WHERE site = ? AND scan_group = ? ORDER BY start DESC LIMIT 1),
       (SELECT "end" FROM gaps WHERE site = ? AND scan_group = ? ORDER BY start DESC LIMIT 1)"""
_BESIDE: Final = (
    "SELECT t0 FROM blocks WHERE site = ? AND epoch = ? AND stream = 'samples' AND quarantined = 0"
    " AND sequence {side} ? ORDER BY sequence {way} LIMIT 1"
)


class GroupAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The account of one scan group. Wall times in microseconds.

    Attributes:
        start: where its time begins in the stretch. accounted: up to where it is accounted for.
    """

    scan_group: str
    start: Micros
    accounted: Micros
    account: Account


class PointAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The account of one point: that of its scan group while the point was in the catalogue.

    Attributes:
        records: samples of it in the stretch.
    """

    point: str
    scan_group: str
    records: int
    account: Account


class DroppedRecords(msgspec.Struct, frozen=True, kw_only=True):
    """Records that a site deleted unsent: those of the drops that began in the stretch."""

    blocks: int = 0
    records: int = 0


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the account of one scan group is made of (`cloud_sync.ledger.account`).

    Attributes:
        exists: the time to be accounted for. told: the part of it that the site has come to; the rest is awaited.
    """

    exists: Interval
    told: Interval
    known: Sequence[Interval]
    gaps: Mapping[str, Sequence[Interval]]
    windows: Windows


class SiteLedger:
    """One site's account of the stretch [begin, end), as the record stands when it is made.

    Args:
        groups: scan groups of the present catalogue; those of earlier ones are found in the record.
        now: the office's wall time: what comes after it is not to be accounted for yet.
    """

    def __init__(self, ask: Ask, site: str, begin: Micros, end: Micros, groups: Collection[str], now: Micros) -> None:
        self._ask, self.site, self.begin, self.end, self.now = ask, site, begin, end, now
        self._present = set(groups)
        self._over = end <= now
        self._bounds = {group: bound for group in self._groups() if (bound := self._bound(group)) is not None}
        self.newest = max((bound[1] for bound in self._bounds.values()), default=begin)
        self._windows = self._all_windows() if self._bounds else Windows()

    @property
    def running(self) -> bool:
        """Tell whether the stretch is not over yet; then its end is the newest vouch, or a little before now."""
        return not self._over

    @property
    def told(self) -> Micros | None:
        """Return up to when the site has told anything, before the stretch perhaps; None if it never did."""
        return min(self.newest, self.end) if self._bounds else None

    def evidence(self, group: str) -> Evidence | None:
        """Return what the account of a group is made of; None if it did not exist in the stretch."""
        if group not in self._bounds:
            return None
        exists, _ = self._exists(group)
        told = (exists[0], self._edge(group, exists))
        return Evidence(
            exists=exists,
            told=told,
            known=self._coverage(group, told),
            gaps=self._gaps(group, told),
            windows=self._windows,
        )

    def groups(self) -> list[GroupAccount]:
        """Return the accounts of all scan groups that existed in the stretch."""
        found = []
        for group in sorted(self._bounds):
            exists, accounted = self._exists(group)
            if exists[0] < exists[1]:
                whole = self._account(group, exists)
                found.append(GroupAccount(scan_group=group, start=exists[0], accounted=accounted, account=whole))
        return found

    def points(self) -> list[PointAccount]:
        """Return the accounts of all points that a scan group reads and that existed in the stretch."""
        catalogues = self._catalogues()
        counts = self._records()
        accounts: dict[tuple[str, Interval], Account] = {}
        found = []
        for point, (group, since, until) in sorted(_lives(catalogues).items()):
            if group not in self._bounds:
                continue
            exists, _ = self._exists(group)
            exists = (max(exists[0], since), min(exists[1], until))
            if exists[0] >= exists[1]:
                continue
            if (group, exists) not in accounts:
                accounts[group, exists] = self._account(group, exists)
            found.append(
                PointAccount(
                    point=point, scan_group=group, records=counts.get(point, 0), account=accounts[group, exists]
                )
            )
        return found

    def dropped(self) -> DroppedRecords:
        """Return what the site told that it deleted unsent, without the blocks that came nevertheless."""
        blocks = records = 0
        rows = self._ask(
            'SELECT epoch, stream, start, "end", blocks, records FROM dropped WHERE site = ? AND since >= ?'
            " AND since < ? ORDER BY since LIMIT ?",
            *(self.site, self.begin, self.end, MOST_WINDOWS),
        )
        for epoch, stream, start, end, gone, told in rows:
            here = self._ask(
                "SELECT count(*), coalesce(sum(records), 0) FROM blocks WHERE site = ? AND epoch = ? AND stream = ?"
                " AND sequence >= ? AND sequence <= ?",
                *(self.site, epoch, stream, start, end),
            )[0]
            absent = end - start + 1 - here[0]
            came = max(0, min(gone - absent, here[0]))  # told as dropped, and here: their receipt had been lost
            blocks += absent
            records += max(told - (int(here[1]) * came // here[0] if came else 0), 0)
        return DroppedRecords(blocks=blocks, records=records)

    # where a group's time begins and ends

    def _groups(self) -> set[str]:
        rows = self._ask("SELECT DISTINCT scan_group FROM points WHERE site = ? AND scan_group <> ''", self.site)
        return {row[0] for row in rows} | self._present

    def _bound(self, group: str) -> Interval | None:
        """Return where the whole record of a group begins and ends."""
        first, first_gap, last, last_gap = self._ask(_BOUNDS, *(self.site, group) * 4)[0]
        begins = [at for at in (first, first_gap) if at is not None]
        ends = [at for at in (last, last_gap) if at is not None]
        return (min(begins), max(ends)) if begins else None

    def _exists(self, group: str) -> tuple[Interval, Micros]:
        """Return the time that is to be accounted for, and up to where the group's record accounts for it."""
        first, last = self._bounds[group]
        start, accounted = max(first, self.begin), min(max(last, self.begin), self.end)
        if group not in self._present:
            return (start, accounted), accounted
        end = self.end if self._over else min(max(accounted, self.newest - PATIENCE, self.now - PATIENCE), self.end)
        return (start, end), accounted

    def _account(self, group: str, exists: Interval) -> Account:
        """Return the account of a group's time; what its site has not come to yet is awaited."""
        edge = self._edge(group, exists)
        told = (exists[0], edge)
        tail = exists[1] - edge
        return account(told, self._coverage(group, told), self._gaps(group, told), self._windows) + Account(
            span=tail, awaited=tail
        )

    def _edge(self, group: str, exists: Interval) -> Micros:
        """Return from when on nothing is told of a group yet."""
        return min(exists[1], max(exists[0], self._bounds[group][1], self.newest - PATIENCE))

    # intervals

    def _coverage(self, group: str, exists: Interval) -> list[Interval]:
        which = (self.site, group)
        rows = self._ask(
            "SELECT start, until FROM coverage WHERE site = ? AND scan_group = ? AND start < ? AND start >= coalesce("
            "(SELECT max(start) FROM coverage WHERE site = ? AND scan_group = ? AND start <= ?), ?)",
            *(*which, exists[1], *which, exists[0], exists[0]),
        )
        return [(row[0], row[1]) for row in rows]

    def _gaps(self, group: str, exists: Interval) -> dict[str, list[Interval]]:
        which = (self.site, group)
        rows = self._ask(
            'SELECT start, "end", cause FROM gaps WHERE site = ? AND scan_group = ? AND start < ? AND start >='
            " coalesce((SELECT start FROM gaps WHERE site = ? AND scan_group = ? AND start < ? ORDER BY start DESC"
            " LIMIT 1 OFFSET ?), (SELECT min(start) FROM gaps WHERE site = ? AND scan_group = ?))",
            *(*which, exists[1], *which, exists[0], REACHING, *which),
        )
        found: dict[str, list[Interval]] = {}
        for start, end, cause in rows:
            found.setdefault(cause, []).append((start, end))
        return found

    def _all_windows(self) -> Windows:
        """Return when the blocks were sealed that are not here, or not readable."""
        awaited: list[Interval] = []
        missing: list[Interval] = []
        for epoch, stream, last in streams.epochs(self._ask, self.site):
            if stream != "samples":
                continue
            gone = streams.told(self._ask, "missing", self.site, epoch, stream)
            dropped = streams.told(self._ask, "dropped", self.site, epoch, stream)
            for hole in streams.holes(self._ask, self.site, epoch, stream, (1, last))[:MOST_WINDOWS]:
                window = self._window(epoch, *hole)
                left = streams.without(hole, [*gone, *dropped])
                if left and self._never_were(epoch, left, hole[1]):
                    continue
                (awaited if left else missing).append(window)
        rows = self._ask(
            "SELECT DISTINCT epoch, sequence FROM quarantine WHERE site = ? AND stream = 'samples'"
            " AND sequence IS NOT NULL AND replayed IS NULL AND reason <> 'sequence' LIMIT ?",
            *(self.site, MOST_WINDOWS),
        )
        unreadable = [self._window(row[0], row[1], row[1]) for row in rows]
        return Windows(missing=missing, awaited=awaited, quarantined=unreadable)

    def _never_were(self, epoch: str, lacking: Sequence[streams.Range], last: int) -> bool:
        """Tell whether the site's own status, newer than the block behind a hole, says that nobody will fill it."""
        status = "SELECT first, unsent FROM sites WHERE site = ? AND epoch = ? AND online = 1"
        told = self._ask(status, self.site, epoch)
        behind = self._ask(
            "SELECT committed FROM blocks WHERE site = ? AND epoch = ? AND stream = 'samples' AND sequence > ?"
            " ORDER BY sequence LIMIT 1",
            *(self.site, epoch, last),
        )
        if not told or not behind or self.now - int(behind[0][0]) < SETTLED:
            return False
        first, unsent = (_numbers.decode(field or b"{}").get("samples") for field in told[0])
        return never_were(lacking, first, unsent)

    def _window(self, epoch: str, first: int, last: int) -> Interval:
        """Return the time between the readable blocks on both sides of a hole."""
        before = self._ask(_BESIDE.format(side="<", way="DESC"), self.site, epoch, first)
        after = self._ask(_BESIDE.format(side=">", way="ASC"), self.site, epoch, last)
        start = before[0][0] if before else self._before(epoch)
        return start, after[0][0] if after else _ALWAYS

    def _before(self, epoch: str) -> Micros:
        """Return when the epochs before this one were heard last: from there on its first blocks may be."""
        rows = self._ask(
            "SELECT max(last_seen) FROM identities WHERE site = ? AND epoch <> ? AND first_seen <"
            " (SELECT min(first_seen) FROM identities WHERE site = ? AND epoch = ?)",
            *(self.site, epoch, self.site, epoch),
        )
        return -_ALWAYS if rows[0][0] is None else int(rows[0][0])

    # points

    def _catalogues(self) -> list[tuple[Micros, Catalogue]]:
        """Return the site's catalogues with the time since which each was in use, oldest first."""
        rows = self._ask(
            "SELECT coalesce(since, received), payload FROM catalogues WHERE site = ? ORDER BY 1 DESC LIMIT ?",
            *(self.site, MOST_CATALOGUES),
        )
        return [(row[0], decode(bytes(row[1]))) for row in reversed(rows)]

    def _records(self) -> dict[str, int]:
        """Return how many samples each point has in the stretch: one short walk along the key for each."""
        points = self._ask("SELECT id, point FROM points WHERE site = ?", self.site)
        count = "SELECT count(*) FROM samples WHERE point = ? AND at >= ? AND at < ?"
        return {row[1]: self._ask(count, row[0], self.begin, self.end)[0][0] for row in points}


def _lives(catalogues: Sequence[tuple[Micros, Catalogue]]) -> dict[str, tuple[str, Micros, Micros]]:
    """Return of each point its scan group, since when it is in the catalogue, and until when.

    The oldest catalogue says nothing of what was before it; a point of the newest one is still there. A point that
    changed its scan group lives in the new one since then.
    """
    found: dict[str, tuple[str, Micros, Micros]] = {}
    for place, (since, catalogue) in enumerate(catalogues):
        groups = {point.id: point.group for point in catalogue.points if point.group}
        for point, (group, first, until) in found.items():
            if groups.get(point) != group and until == _ALWAYS:
                found[point] = (group, first, since)
        for point, group in groups.items():
            if point not in found or found[point][2] != _ALWAYS:
                found[point] = (group, -_ALWAYS if place == 0 else since, _ALWAYS)
    return found
