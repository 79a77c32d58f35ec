"""A site's record out of the central store, line by line (`sitekeeper.export`), in bounded memory.

It is read run by run of the gateway, in slices of time: short ones where much was recorded. Only raw data is in it:
what was rolled up since is left out.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from cloud_sync.store.alarms import COLUMNS, stored
from cloud_sync.store.reader import StoreReader
from cloud_sync.store.sql import NamedRow
from sitekeeper.export import Head
from sitekeeper.model.clock import DAY, HOUR, MINUTE, Micros
from sitekeeper.model.errors import NotFound
from sitekeeper.model.sample import Value

FIRST: Final = 10 * MINUTE
SHORTEST: Final = MINUTE
LONGEST: Final = DAY
FEW, MANY = 20_000, 100_000
"""Rows of a slice below which the next one is twice as long, and above which it is half as long."""
_PAGE: Final = 1_000
_BEFORE: Final = HOUR
"""How long before the first block of a run was sealed its first sample may have been."""

Line = tuple[Any, ...]
Placed = tuple[Micros, int, int, int, Line]
"""Monotonic time, kind, sequence, position, line: the order of a run."""

_encode = msgspec.json.Encoder().encode


def lines(reader: StoreReader, site: str, since: Micros, until: Micros) -> Iterator[bytes]:
    """Yield the lines of an export of [since, until), wall times.

    Raises:
        NotFound: the store has no such site, or nothing of it. StorageError: the store fails.
    """
    found = reader.ask("SELECT c.payload FROM sites s JOIN catalogues c ON c.hash = s.catalogue WHERE s.site = ?", site)
    if not found:
        raise NotFound(f"no site {site!r} in the store")
    yield _encode(Head(site=site, since=since, until=until, catalogue=bytes(found[0][0])))
    yield from _moves(reader, site, since, until)
    for boot, begins, ends, mono in _runs(reader, site, since, until):
        yield from _run(reader, site, boot, (max(since, begins - _BEFORE), min(until, ends + 1)), since)
        yield _encode(("u", mono))


def _moves(reader: StoreReader, site: str, since: Micros, until: Micros) -> Iterator[bytes]:
    at, last = since, 0
    sql = (
        f"SELECT {COLUMNS} FROM transitions WHERE site = ? AND volatile = 0"  # noqa: S608 - our own columns
        " AND at < ? AND (at, id) > (?, ?) ORDER BY at, id LIMIT ?"
    )
    while rows := stored(reader.ask(sql, site, until, at, last, _PAGE)):
        at, last = rows[-1].transition.at, rows[-1].id
        yield from (_encode(("t", row.transition)) for row in rows)


def _runs(reader: StoreReader, site: str, since: Micros, until: Micros) -> list[tuple[str, Micros, Micros, Micros]]:
    """Return the runs of the gateway in order: when their blocks were sealed, first and last, and the last one's mono0.

    The last is that of any stream: the run surely lasted until then.
    """
    rows = reader.ask(
        "SELECT boot, min(t0) AS first, max(t0) AS last, max(mono0) AS mono FROM blocks"
        " WHERE site = ? AND t0 < ? GROUP BY boot HAVING max(t0) >= ? ORDER BY 2",
        *(site, until, since),
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def _run(reader: StoreReader, site: str, boot: str, window: tuple[Micros, Micros], since: Micros) -> Iterator[bytes]:
    at, end = window
    wall: Micros | None = None
    length, states = FIRST, _states(reader, site, boot, since)
    while at < end:
        until = min(at + length, end)
        placed = [*states, *_samples(reader, site, boot, at, until), *_events(reader, site, boot, at, until)]
        placed += _gaps(reader, site, boot, at, until)
        for *_, line in sorted(placed, key=lambda one: one[:4]):
            kind, offset, *told = line
            if offset != wall:
                wall = offset
                yield _encode(("b", boot, wall))
            yield _encode((kind, *told))
        length = length * 2 if len(placed) < FEW else length // 2 if len(placed) > MANY else length
        length, at, states = max(SHORTEST, min(LONGEST, length)), until, []


def _sample(reader: StoreReader, row: NamedRow) -> Placed:
    dialect = reader.dialect
    value: Value = dialect.value([row[name] for name in dialect.values])
    if row["type"] == "bool" and value is not None:
        value = bool(value)
    mono = row["at"] - row["wall"]
    return mono, 0, row["sequence"], row["position"], ("s", row["wall"], mono, row["point"], value, row["q"])


def _selected(reader: StoreReader) -> str:
    values = ", ".join(f"s.{name}" for name in reader.dialect.values)
    return f"SELECT p.point, p.type, s.at, {values}, s.q, s.position, b.sequence, b.t0 - b.mono0 AS wall"


def _states(reader: StoreReader, site: str, boot: str, since: Micros) -> list[Placed]:
    """Return the last sample of each point before a wall time, if it is of this run."""
    joined = "FROM samples s JOIN points p ON p.id = s.point JOIN blocks b ON b.id = s.block"
    sql = (
        f"{_selected(reader)}, b.boot {joined} WHERE s.point = ? AND s.at < ?"
        " ORDER BY s.at DESC, s.block DESC, s.position DESC LIMIT 1"
    )
    points = [row[0] for row in reader.ask("SELECT id FROM points WHERE site = ? ORDER BY point", site)]
    rows = [row for point in points for row in reader.ask(sql, point, since)]
    return [_sample(reader, row) for row in rows if row["boot"] == boot]


def _samples(reader: StoreReader, site: str, boot: str, at: Micros, until: Micros) -> list[Placed]:
    sql = (
        f"{_selected(reader)} FROM points p JOIN samples s ON s.point = p.id JOIN blocks b ON b.id = s.block"
        " WHERE p.site = ? AND s.at >= ? AND s.at < ? AND b.boot = ?"
    )
    return [_sample(reader, row) for row in reader.ask(sql, site, at, until, boot)]


def _events(reader: StoreReader, site: str, boot: str, at: Micros, until: Micros) -> list[Placed]:
    rows = reader.ask(
        "SELECT e.source_id, e.at, e.fields, e.late, e.position, b.sequence, b.t0 - b.mono0 AS wall"
        " FROM events e JOIN blocks b ON b.id = e.block WHERE e.site = ? AND e.at >= ? AND e.at < ? AND b.boot = ?",
        *(site, at, until, boot),
    )
    return [_event(row) for row in rows]


def _event(row: NamedRow) -> Placed:
    mono = row["at"] - row["wall"]
    line = ("e", row["wall"], mono, row["source_id"], msgspec.json.decode(row["fields"]), bool(row["late"]))
    return mono, 1, row["sequence"], row["position"], line


def _gaps(reader: StoreReader, site: str, boot: str, at: Micros, until: Micros) -> list[Placed]:
    """Return the holes that begin in a slice; of a silent device the record itself tells when it was held for that."""
    rows: Sequence[NamedRow] = reader.ask(
        "SELECT scan_group, start FROM gaps WHERE site = ? AND start >= ? AND start < ?"
        " AND cause IN ('dropped', 'writer_behind')",
        *(site, at, until),
    )
    if not rows:
        return []
    [clock] = reader.ask(
        "SELECT max(t0 - mono0) FROM blocks WHERE site = ? AND boot = ? AND t0 <= ?", site, boot, until
    )
    wall: Micros | None = clock[0]
    if wall is None:
        return []
    return [(row["start"] - wall, 2, 0, 0, ("g", wall, row["start"] - wall, row["scan_group"])) for row in rows]
