"""Which blocks the office has had, as closed ranges per stream, and so which ones it lacks.

The ranges outlive the blocks' own rows, so that retention never looks like a loss. They are kept in the transaction
that takes a block's identity. Two ranges that touch may stand side by side where two workers wrote at once; readers
take them as one.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from cloud_sync.lacking import SETTLED, Lack
from cloud_sync.store.sql import Sql
from sitekeeper.block import STREAMS, Stream
from sitekeeper.model.clock import Micros

Ask = Callable[..., Sequence[Any]]
"""Runs one query with its arguments and returns the rows: a reader's, or a transaction's own."""
Range = tuple[int, int]

TABLES: Final = """
CREATE TABLE streams (
    site TEXT NOT NULL, epoch TEXT NOT NULL, stream TEXT NOT NULL, start BIGINT NOT NULL, "end" BIGINT NOT NULL,
    PRIMARY KEY (site, epoch, stream, start));
CREATE TABLE dropped (
    site TEXT NOT NULL, epoch TEXT NOT NULL, stream TEXT NOT NULL, start BIGINT NOT NULL, "end" BIGINT NOT NULL,
    blocks BIGINT NOT NULL, records BIGINT NOT NULL, since BIGINT NOT NULL, until BIGINT NOT NULL,
    PRIMARY KEY (site, epoch, stream, start));
CREATE TABLE identities (
    site TEXT NOT NULL, epoch TEXT NOT NULL, boot TEXT NOT NULL, first_seen BIGINT NOT NULL, last_seen BIGINT NOT NULL,
    returns BIGINT NOT NULL DEFAULT 0, returned BIGINT NOT NULL DEFAULT 0,
    proved BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (site, epoch, boot));
CREATE TABLE resent (id BIGINT PRIMARY KEY);
ALTER TABLE catalogues ADD COLUMN since BIGINT;
ALTER TABLE quarantine ADD COLUMN replayed BIGINT;
CREATE INDEX conflicts_by_time ON conflicts (seen, site)"""
"""`streams`: closed ranges of sequences that the office has had. `dropped`: what sites told that they deleted unsent.
`identities`: who spoke as a site, live. `resent`: transitions that came out of a site's history (`store.late`).
`catalogues.since`: the earliest block that names it.
"""

FILL: Final = """
INSERT INTO streams
SELECT site, epoch, stream, min(sequence), max(sequence)
FROM (SELECT site, epoch, stream, sequence,
             sequence - row_number() OVER (PARTITION BY site, epoch, stream ORDER BY sequence) AS island FROM blocks) b
GROUP BY site, epoch, stream, island"""
"""What `streams` must hold for blocks that came before it existed."""

_numbers = msgspec.json.Decoder(dict[str, int])

LACKING_AT_ONCE: Final = 1_000
"""Ranges that are looked at in one go: more only exist for a site that makes holes on purpose."""


def extend(sql: Sql, site: str, epoch: str, stream: Stream, sequences: Iterable[int]) -> None:
    """Add sequences to what the office has had of a stream."""
    for start, end in joined((sequence, sequence) for sequence in sequences):
        which = (site, epoch, stream)
        touched = sql.execute(
            'SELECT start, "end" FROM streams WHERE site = ? AND epoch = ? AND stream = ? AND start <= ? AND "end" >= ?'
            " AND start >= coalesce((SELECT max(start) FROM streams"
            " WHERE site = ? AND epoch = ? AND stream = ? AND start <= ?), ?)",
            (*which, end + 1, start - 1, *which, start, start),
        ).fetchall()
        first = min([start, *(row[0] for row in touched)])
        last = max([end, *(row[1] for row in touched)])
        for row in touched:
            if row[0] != first:
                sql.execute(
                    "DELETE FROM streams WHERE site = ? AND epoch = ? AND stream = ? AND start = ?", (*which, row[0])
                )
        sql.execute(
            'INSERT INTO streams (site, epoch, stream, start, "end") VALUES (?, ?, ?, ?, ?)'
            ' ON CONFLICT (site, epoch, stream, start) DO UPDATE SET "end" = excluded."end"',
            (*which, first, last),
        )


def joined(ranges: Iterable[Range]) -> list[Range]:
    """Return the same sequences as the fewest closed ranges, in order."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def without(wanted: Range, ranges: Iterable[Range]) -> list[Range]:
    """Return what of a closed range lies in none of `ranges`."""
    left, start = [], wanted[0]
    for first, last in joined(ranges):
        if last < start:
            continue
        if first > wanted[1]:
            break
        if first > start:
            left.append((start, first - 1))
        start = last + 1
    return [*left, (start, wanted[1])] if start <= wanted[1] else left


def holes(ask: Ask, site: str, epoch: str, stream: Stream, wanted: Range) -> list[Range]:
    """Return which sequences of a closed range the office never had, at most LACKING_AT_ONCE ranges."""
    rows = ask(
        'SELECT start, "end" FROM streams WHERE site = ? AND epoch = ? AND stream = ? AND "end" >= ? AND start <= ?'
        " ORDER BY start LIMIT ?",
        *(site, epoch, stream, wanted[0], wanted[1], LACKING_AT_ONCE),
    )
    if len(rows) == LACKING_AT_ONCE:
        wanted = (wanted[0], rows[-1][1])
    return without(wanted, [(row[0], row[1]) for row in rows])


def told(ask: Ask, table: str, site: str, epoch: str, stream: Stream) -> list[Range]:
    """Return the ranges of `missing` or `dropped`: what nobody has."""
    rows = ask(
        f'SELECT start, "end" FROM {table} WHERE site = ? AND epoch = ? AND stream = ? ORDER BY start LIMIT ?',  # noqa: S608
        *(site, epoch, stream, LACKING_AT_ONCE),
    )
    return [(row[0], row[1]) for row in rows]


def epochs(ask: Ask, site: str) -> list[tuple[str, Stream, int]]:
    """Return (epoch, stream, last sequence) of everything that the office has had of a site."""
    rows = ask('SELECT epoch, stream, max("end") FROM streams WHERE site = ? GROUP BY epoch, stream', site)
    return [(row[0], row[1], row[2]) for row in rows]


def lacking(ask: Ask, site: str, epoch: str, stream: Stream, last: int) -> list[Lack]:
    """Return which of the blocks 1 to `last` the office lacks, and nobody has said that they are gone."""
    gone = told(ask, "missing", site, epoch, stream) + told(ask, "dropped", site, epoch, stream)
    found = [left for hole in holes(ask, site, epoch, stream, (1, last)) for left in without(hole, gone)]
    return [Lack(site, epoch, stream, start, end) for start, end in found]


def state_missing(sql: Sql, lack: Lack, at: Micros) -> None:
    """Write down that nobody has these blocks: those of them that the office lacks, and that were not dropped."""

    def ask(statement: str, *arguments: object) -> Sequence[Any]:
        return sql.execute(statement, arguments).fetchall()

    known = told(ask, "missing", lack.site, lack.epoch, lack.stream)
    known += told(ask, "dropped", lack.site, lack.epoch, lack.stream)
    for hole in holes(ask, lack.site, lack.epoch, lack.stream, (lack.start, lack.end)):
        for start, end in without(hole, known):
            sql.execute(
                "INSERT INTO missing VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (lack.site, lack.epoch, lack.stream, start, end, at),
            )


def all_lacks(ask: Ask, now: Micros) -> dict[str, list[Lack]]:
    """Return by site what is to be asked for, of the sites that are there; those that lack nothing are left out.

    One pass over all ranges finds who lacks anything at all, so that an office with nothing to ask for is quick.
    """
    there = {
        row[0]: (row[1], _numbers.decode(row[2] or b"{}"), _numbers.decode(row[3] or b"{}"))
        for row in ask("SELECT site, epoch, first, unsent FROM sites WHERE online = 1 AND epoch IS NOT NULL")
    }
    have: dict[tuple[str, str, Stream], list[Range]] = {}
    for site, epoch, stream, start, end in ask('SELECT site, epoch, stream, start, "end" FROM streams'):
        have.setdefault((site, epoch, stream), []).append((start, end))
    found: dict[str, list[Lack]] = {}
    for site, (epoch, first, unsent) in there.items():
        wanted = {(epoch, stream): first[stream] - 1 for stream in STREAMS if stream in first}
        if not any(unsent.values()) and _settled(ask, site, epoch, now):
            for of, other, stream in have:
                if of == site and other != epoch:
                    wanted[other, stream] = max(end for _, end in have[of, other, stream])
        lacks = [
            lack
            for (each, stream), last in wanted.items()
            if without((1, last), have.get((site, each, stream), []))
            for lack in lacking(ask, site, each, stream, last)
        ]
        if lacks:
            found[site] = lacks
    return found


def _settled(ask: Ask, site: str, epoch: str, now: Micros) -> bool:
    """Tell whether a site's epoch is so old that what was saved of the ones before has come."""
    rows = ask("SELECT min(first_seen) FROM identities WHERE site = ? AND epoch = ?", site, epoch)
    return rows[0][0] is not None and now - int(rows[0][0]) >= SETTLED
