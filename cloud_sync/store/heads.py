"""What the office keeps of each site's status beside the newest one: nonce, heads of its audit chain, room left.

A head (how many rows, hash of the last) that was once told cannot be taken back: kept here, where nobody on the site
can reach it, it shows a chain that was cut, rewritten or replaced. A site tells the hash of every single row too
(`wire.Links`), so that the rows concerned can be named. Judging is `office.audit_heads`.
"""

from typing import Final

import msgspec

from cloud_sync.store.sql import Reading, Sql, named
from cloud_sync.wire import Status
from sitekeeper.model.clock import Micros

SCHEMA: Final = """
CREATE TABLE site_words (
    site TEXT PRIMARY KEY, nonce TEXT NOT NULL, heard BIGINT NOT NULL, epoch TEXT NOT NULL, n BIGINT NOT NULL,
    hash TEXT NOT NULL, behind INTEGER NOT NULL, changed BIGINT NOT NULL);
CREATE TABLE audit_heads (
    site TEXT NOT NULL, epoch TEXT NOT NULL, n BIGINT NOT NULL, hash TEXT NOT NULL, at BIGINT NOT NULL,
    PRIMARY KEY (site, epoch, n, hash))"""
ROOM: Final = """
ALTER TABLE site_words ADD COLUMN hours DOUBLE PRECISION;
ALTER TABLE site_words ADD COLUMN told BIGINT NOT NULL DEFAULT 0"""
"""For how many hours the site's buffer lasted, as it told at `told`; a last will takes neither away."""


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """A site's latest live status, as far as commands and the audit go.

    Attributes:
        nonce: empty if the site takes no commands. heard: the office's wall time.
        epoch, n, hash: the audit's head; n is -1 if the site told none, hash empty if row n + 1 does not fit its chain.
        behind: how many statuses in a row told fewer rows than one before.
        changed: -1, or once two hashes were told for the same number of rows, the last number at which all still fits.
        hours: for how long without the office its buffer lasts at its rate then; None if it told none.
        told: when it said so, the office's wall time; 0 for a word of before this was kept.
    """

    site: str
    nonce: str
    heard: Micros
    epoch: str
    n: int
    hash: str
    behind: int
    changed: int = -1
    hours: float | None = None
    told: Micros = 0


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """A head that a site once told; `at` is the office's wall time."""

    epoch: str
    n: int
    hash: str
    at: Micros


def note(sql: Sql, status: Status, at: Micros, *, live: bool, newest: bool = True) -> None:
    """Keep what a live status says; a last will takes the site's word away.

    One that was overtaken by a newer one (`newest` false) adds its heads, and what they contradict; its nonce is over.
    """
    if not status.online:
        if newest:
            sql.execute("UPDATE site_words SET heard = 0 WHERE site = ?", (status.site,))
        return
    if not live:
        return
    n, hash_ = status.audit if status.audit is not None else (-1, "")
    behind, changed = _against(sql, status, n, hash_)
    if newest:
        _say(sql, status, at, (n, hash_), (behind, changed))
    elif changed >= 0:
        sql.execute(
            "UPDATE site_words SET changed = ? WHERE site = ? AND epoch = ? AND changed < 0",
            (changed, status.site, status.epoch),
        )
    if hash_:
        found = [(status.site, status.epoch, *each, at) for each in {*_links(status), (n, hash_)}]
        sql.executemany(
            "INSERT INTO audit_heads (site, epoch, n, hash, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", found
        )


def _say(sql: Sql, status: Status, at: Micros, head: tuple[int, str], against: tuple[int, int]) -> None:
    sql.execute(
        "INSERT INTO site_words (site, nonce, heard, epoch, n, hash, behind, changed, hours, told)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (site) DO UPDATE SET nonce = excluded.nonce, heard = excluded.heard, epoch = excluded.epoch,"
        " n = excluded.n, hash = excluded.hash, hours = excluded.hours, told = excluded.told,"
        " behind = CASE WHEN excluded.behind = 0 THEN 0 ELSE site_words.behind + 1 END,"
        " changed = CASE WHEN site_words.epoch = excluded.epoch AND site_words.changed >= 0 THEN site_words.changed"
        " ELSE excluded.changed END",
        (
            *(status.site, status.nonce, at, status.epoch, *head),
            *(*against, status.hours, at),
        ),
    )


def _links(status: Status) -> list[tuple[int, str]]:
    return [] if status.links is None else list(enumerate(status.links.hashes, status.links.first))


def _against(sql: Sql, status: Status, n: int, hash_: str) -> tuple[int, int]:
    """Return whether a head has fewer rows than one told before, and `Word.changed` if it has other ones."""
    chain = (status.site, status.epoch)
    of_chain = "SELECT coalesce(max(n), -1) FROM audit_heads WHERE site = ? AND epoch = ?"
    [most] = sql.execute(of_chain, chain)
    for row, told in sorted({*_links(status), (n, hash_)}) if hash_ else ():
        [other] = sql.execute(f"{of_chain} AND n = ? AND hash <> ?", (*chain, row, told))
        if other[0] >= 0:
            [before] = sql.execute(f"{of_chain} AND n < ?", (*chain, row))
            return int(n < most[0]), max(int(before[0]), 0)
    return int(0 <= n < most[0]), -1


_WORD: Final = "SELECT site, nonce, heard, epoch, n, hash, behind, changed, hours, told FROM site_words"


def word(db: Reading, site: str) -> Word | None:
    """Return a site's latest word; None if it never said one. Raises StorageError."""
    rows = db.rows(f"{_WORD} WHERE site = ?", (site,))
    return msgspec.convert(named(rows[0]), Word) if rows else None


def words(db: Reading) -> list[Word]:
    """Return the latest word of every site. Raises StorageError."""
    rows = db.rows(f"{_WORD} ORDER BY site")
    return [msgspec.convert(named(row), Word) for row in rows]


def heads(db: Reading, site: str) -> list[Head]:
    """Return the heads that a site told, oldest first. Raises StorageError."""
    rows = db.rows("SELECT epoch, n, hash, at FROM audit_heads WHERE site = ? ORDER BY at, n", (site,))
    return [msgspec.convert(named(row), Head) for row in rows]
