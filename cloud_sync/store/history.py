"""What the console reads of the central store: alarms as pages, what came after a transition, a point over time.

Every query is bounded: by a limit of rows, by a number of steps, or by the keys that were asked for.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec

from cloud_sync.store import clocks
from cloud_sync.store.alarms import COLUMNS, RECORD, record, stored
from cloud_sync.store.base import Push, StoredTransition
from cloud_sync.store.reader import PUSH_COLUMNS, StoreReader
from cloud_sync.store.sql import NamedRow, named
from sitekeeper.model.alarm import AlarmRecord
from sitekeeper.model.clock import Micros
from sitekeeper.model.sample import Value

MOST_STEPS: Final = 4_000
"""Steps of one trend; more than a screen has pixels."""
MOST_MARKS: Final = 2_000
"""Intervals of one kind (gaps, bad quality, alarms) in one trend; the newest are kept."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What a point did in one step of a trend. Values are numbers: booleans 0 and 1, words their place in the list.

    Attributes:
        at: wall time at which the step begins. low, high: None where the step has no good value.
        last: the last good value. samples: how many changes fell into the step, bad ones too.
    """

    at: Micros
    low: float | None
    high: float | None
    last: float | None
    samples: int


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time of which something is to be said; `what` is a gap's cause or a packed quality."""

    start: Micros
    end: Micros
    what: str


class AlarmSpan(msgspec.Struct, frozen=True, kw_only=True):
    """When an alarm's condition was true; `end` is None while it still is."""

    occurrence: str
    rule: str
    priority: str
    start: Micros
    end: Micros | None


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the office has it: `id` tells the order of arrival, `at` and `source` are the site's wall times.

    Where the site's clock was not to be believed, `corrected` is what `at` should have been, perhaps an estimate
    (`estimated`, see `store.clocks`).
    """

    id: int
    site: str
    source_id: str
    at: Micros
    fields: dict[str, Value]
    device_sequence: int | None
    source: Micros | None
    late: bool
    corrected: Micros | None = None
    estimated: bool = False


class HistoryReader(StoreReader):
    """A store's reader with the console's questions. Belongs to the thread that made it."""

    def last_transition(self) -> int:
        """Return the id of the newest transition, 0 if there is none."""
        return int(self._rows("SELECT coalesce(max(id), 0) FROM transitions")[0][0])

    def last_seen(self) -> list[tuple[str, bool, Micros]]:
        """Return (site, online, when it was last heard) of all sites."""
        return [(row[0], bool(row[1]), row[2]) for row in self._rows("SELECT site, online, last_seen FROM sites")]

    def transitions_after(self, number: int, limit: int) -> list[StoredTransition]:
        """Return up to `limit` transitions that arrived after the one with this id, in order of arrival."""
        sql = f"SELECT {COLUMNS} FROM transitions WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 - our own columns
        return stored(self._rows(sql, number, limit))

    def alarm_page(
        self,
        *,
        limit: int,
        skip: int = 0,
        states: Sequence[str] = (),
        site: str = "",
        priority: str = "",
        device: str = "",
        sites: Collection[str] | None = None,
        hidden: Collection[str] = (),
    ) -> list[AlarmRecord]:
        """Return alarms: the most urgent first, of those the ones that nobody has acknowledged, then the newest.

        Without `sites` those of all sites; never those of rules in `hidden`, `<site>/<rule>` each.
        """
        where, arguments = ["1 = 1"], list[object]()
        for column, value in (("site", site), ("priority", priority), ("device", device)):
            if value:
                where.append(f"{column} = ?")
                arguments.append(value)
        if states:
            where.append(f"state IN ({_marks(states)})")
            arguments += states
        if sites is not None:
            where.append(f"site IN ({_marks(sites) or 'NULL'})")
            arguments += sites
        where.append(_not(hidden))
        arguments += hidden
        sql = (
            f"SELECT {RECORD} FROM alarms WHERE {' AND '.join(where)}"  # noqa: S608 - our own columns
            " ORDER BY priority, state NOT IN ('B', 'D', 'LU'), raised DESC, key LIMIT ? OFFSET ?"
        )
        return [record(row) for row in self._rows(sql, *arguments, limit, skip)]

    def alarm_counts(self, site: str = "", hidden: Collection[str] = ()) -> dict[tuple[str, str, str], int]:
        """Return how many alarms are not normal, by (site, priority, state); `hidden` as for `alarm_page`."""
        rows = self._rows(
            f"SELECT site, priority, state, count(*) FROM alarms WHERE state <> 'A' AND {_not(hidden)}"  # noqa: S608
            f"{' AND site = ?' if site else ''} GROUP BY site, priority, state",
            *hidden,
            *([site] if site else []),
        )
        return {(row[0], row[1], row[2]): row[3] for row in rows}

    def last_alarm_at(self, sites: Collection[str] | None = None, hidden: Collection[str] = ()) -> Micros | None:
        """Return when the newest alarm of all sites, or of some, was raised; `hidden` as for `alarm_page`."""
        where = _not(hidden) if sites is None else f"{_not(hidden)} AND site IN ({_marks(sites) or 'NULL'})"
        sql = f"SELECT max(raised) FROM alarms WHERE {where}"  # noqa: S608 - marks only
        found = self._rows(sql, *hidden, *(sites or ()))[0][0]
        return None if found is None else int(found)

    def causes(self, occurrences: Sequence[str]) -> dict[str, StoredTransition]:
        """Return for each occurrence the move that announced it last."""
        sql = (
            f"SELECT {COLUMNS} FROM transitions WHERE id IN (SELECT max(id) FROM transitions WHERE occurrence IN"  # noqa: S608
            f" ({_marks(occurrences)}) AND cause IN ('raise', 'reannunciate', 'level') GROUP BY occurrence)"
        )
        return {one.transition.occurrence: one for one in stored(self._rows(sql, *occurrences))}

    def corrections(self, moves: Iterable[StoredTransition]) -> dict[int, tuple[Micros, bool]]:
        """Return by id, for moves under a clock not to be believed, their true time and whether that is settled."""
        numbers = [move.id for move in moves]
        return {row[0]: (row[1], bool(row[2])) for row in self._rows(clocks.corrections(numbers), *numbers)}

    def pushes_of(self, occurrences: Sequence[str]) -> dict[str, list[Push]]:
        """Return the pushes about each occurrence, oldest first."""
        sql = f"SELECT {PUSH_COLUMNS} FROM pushes WHERE occurrence IN ({_marks(occurrences)}) ORDER BY id"  # noqa: S608
        found: dict[str, list[Push]] = {one: [] for one in occurrences}
        for row in self._rows(sql, *occurrences):
            push = msgspec.convert(named(row), Push, strict=False)
            found[push.occurrence].append(push)
        return found

    def awaiting(self, since: Micros) -> dict[str, int]:
        """Return by site how many orders asked for since a time wait for a second person."""
        sql = "SELECT site, count(*) FROM orders WHERE asked >= ? AND state = 'awaiting-confirmation' GROUP BY site"
        return {row[0]: row[1] for row in self._rows(sql, since)}

    def covered_until(self, site: str, groups: Iterable[str]) -> dict[str, Micros]:
        """Return until when each scan group is vouched for; a group of which nothing came is left out."""
        sql = "SELECT until FROM coverage WHERE site = ? AND scan_group = ? ORDER BY start DESC LIMIT 1"
        found = {group: self._rows(sql, site, group) for group in groups}
        return {group: int(rows[0][0]) for group, rows in found.items() if rows}

    def events(self, site: str, *, device: str = "", after: int | None = None, limit: int) -> list[EventRow]:
        """Return events of a site, or of one device: those that arrived after one, or without `after` the newest.

        Either way in order of arrival.
        """
        of_device = f" AND {self._sql.dialect.device_of} = ?" if device else ""
        sql = f"{_EVENTS}{of_device} AND e.id > ? ORDER BY e.id {'DESC' if after is None else 'ASC'} LIMIT ?"
        rows = self._rows(sql, site, *([device] if device else []), after or 0, limit)
        found = [_event(row) for row in rows]
        return found[::-1] if after is None else found

    def drill_told(self, site: str) -> EventRow | None:
        """Return the newest word of a site's gateway about a drill; it has an index of its own."""
        rows = self._rows(f"{_EVENTS} AND e.source_id = 'gateway/drill' ORDER BY e.id DESC LIMIT 1", site)
        return _event(rows[0]) if rows else None

    def pushes_after(self, number: int, limit: int) -> list[Push]:
        """Return up to `limit` rows of the push log after the one with this id, in order."""
        sql = f"SELECT {PUSH_COLUMNS} FROM pushes WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 - our own columns
        return [msgspec.convert(named(row), Push, strict=False) for row in self._rows(sql, number, limit)]

    def push_counts(self) -> dict[tuple[str, str], int]:
        """Return how many rows the push log has, by (channel, state)."""
        rows = self._rows("SELECT channel, state, count(*) FROM pushes GROUP BY channel, state")
        return {(row[0], row[1]): row[2] for row in rows}

    def quarantined(self) -> int:
        """Return how many messages could not be used and are kept."""
        return int(self._rows("SELECT count(*) FROM quarantine")[0][0])

    # a point over time

    def steps(self, site: str, point: str, start: Micros, end: Micros, step: Micros, members: str = "[]") -> list[Step]:
        """Return the steps of [start, end) in which something was recorded, and one before `start` for what stood then.

        Args:
            members: the words of an enumeration as a JSON list; each counts as its place in it.
        """
        which = self._point(site, point)
        if which is None:
            return []
        as_number, words = self._as_number(members)
        before = _BEFORE.format(number=as_number)
        found = [
            Step(at=row[0], low=row[1], high=row[1], last=row[1], samples=0)
            for row in self._rows(before, *words, which, start)
        ]
        of_step, last_of = _STEP.format(number=as_number), _LAST.format(number=as_number)
        for at in range(start, min(end, start + MOST_STEPS * step), step):
            # One short scan along the key for each step: grouping the whole window would sort it, 30 times slower.
            until = min(at + step, end)
            [row] = self._rows(of_step, *words, which, at, until)
            if row[2]:
                last = self._rows(last_of, *words, which, at, until)
                value = last[0][0] if last else None
                found.append(Step(at=at, low=row[0], high=row[1], last=value, samples=row[2]))
        return found

    def mean(self, site: str, point: str, known: Sequence[tuple[Micros, Micros]], members: str = "[]") -> float | None:
        """Return the mean of a point over intervals, each value weighted by how long it stood; None if none was good.

        Args:
            known: disjoint and short: each costs two small queries. members: as for `steps`.
        """
        which = self._point(site, point)
        as_number, words = self._as_number(members)
        before, area_of = _BEFORE.format(number=as_number), _AREA.format(number=as_number)
        area = length = 0.0
        for start, end in known if which is not None else ():
            stood = self._rows(before, *words, which, start)
            [row] = self._rows(area_of, *words, end, which, start, end)
            if stood and stood[0][1] is not None:
                held = (end if row[0] is None else row[0]) - start
                area, length = area + stood[0][1] * held, length + held
            area, length = area + (row[1] or 0), length + float(row[2] or 0)
        return area / length if length else None

    def bad(self, site: str, point: str, start: Micros, end: Micros) -> list[Mark]:
        """Return when the point was not good in [start, end), with the packed quality; each until its next change."""
        number = self._point(site, point)
        if number is None:
            return []
        marks: list[Mark] = []
        for began, block, position, q in reversed(self._rows(_BAD, number, end, number, start, start, MOST_MARKS)):
            following = self._rows(_FOLLOWING, number, began, block, position)
            at, until = max(began, start), min(following[0][0], end) if following else end
            if at >= until:
                continue
            if marks and marks[-1].what == str(q) and marks[-1].end >= at:
                marks[-1] = Mark(start=marks[-1].start, end=until, what=str(q))
            else:
                marks.append(Mark(start=at, end=until, what=str(q)))
        return marks

    def coverage(
        self, site: str, group: str, start: Micros, end: Micros, limit: int = MOST_MARKS
    ) -> list[tuple[Micros, Micros]]:
        """Return the stretches of [start, end) that the record vouches for, in order."""
        rows = self._rows(
            "SELECT start, until FROM coverage WHERE site = ? AND scan_group = ? AND start < ? AND until > ?"
            " ORDER BY start DESC LIMIT ?",
            *(site, group, end, start, limit),
        )
        return [(max(row[0], start), min(row[1], end)) for row in reversed(rows)]

    def gaps(self, site: str, group: str, start: Micros, end: Micros) -> list[Mark]:
        """Return the gaps in [start, end) for which the site gave a cause, in order."""
        rows = self._rows(
            'SELECT start, "end", cause FROM gaps WHERE site = ? AND scan_group = ? AND start < ? AND "end" > ?'
            " ORDER BY start DESC LIMIT ?",
            *(site, group, end, start, MOST_MARKS),
        )
        return [Mark(start=max(row[0], start), end=min(row[1], end), what=row[2]) for row in reversed(rows)]

    def alarm_spans(self, site: str, device: str, start: Micros, end: Micros) -> list[AlarmSpan]:
        """Return when alarms of a device were true in [start, end), in order."""
        rows = self._rows(
            "SELECT occurrence, rule, priority, at, coalesce(nullif(base, ''), target) FROM transitions"
            " WHERE occurrence >= ? AND occurrence < ? AND at < ? ORDER BY occurrence, epoch, sequence, position",
            *(f"{site}/{device}/", f"{site}/{device}0", end),  # '0' is the character after '/'
        )
        found = [span for span in _spans(rows) if span.end is None or span.end > start]
        return sorted(found, key=lambda span: span.start)[-MOST_MARKS:]

    def _point(self, site: str, point: str) -> int | None:
        rows = self._rows("SELECT id FROM points WHERE site = ? AND point = ?", site, point)
        return int(rows[0][0]) if rows else None

    def _as_number(self, members: str) -> tuple[str, list[str]]:
        """Return a good value as a number, and the arguments of that: a word's place in a list, else the number."""
        words: list[str] = msgspec.json.decode(members)
        places = " ".join(f"WHEN ? THEN {place}" for place in range(len(words)))
        dialect = self._sql.dialect
        number = f"CAST(CASE {dialect.word} {places} END AS DOUBLE PRECISION)" if words else dialect.number
        return f"CASE WHEN s.q < 64 THEN {number} END", words


def _event(row: NamedRow) -> EventRow:
    found = named(row)
    found["fields"] = msgspec.json.decode(found["fields"])
    return msgspec.convert(found, EventRow, strict=False)


def _spans(rows: Iterable[NamedRow]) -> list[AlarmSpan]:
    """Return one span for each time that an alarm's condition was true, from moves in order."""
    spans: list[AlarmSpan] = []
    standing: AlarmSpan | None = None
    for occurrence, rule, priority, at, target in rows:
        active = target in {"B", "C"}
        if standing is not None and (standing.occurrence != occurrence or not active):
            over = at if standing.occurrence == occurrence else None
            spans.append(msgspec.structs.replace(standing, end=over))
            standing = None
        if active and standing is None:
            standing = AlarmSpan(occurrence=occurrence, rule=rule, priority=priority, start=at, end=None)
    return spans if standing is None else [*spans, standing]


def _not(hidden: Collection[str]) -> str:
    return f"site || '/' || rule NOT IN ({_marks(hidden)})" if hidden else "1 = 1"


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


_EVENTS: Final = f"""
SELECT e.id, e.site, source_id, at, fields, device_sequence, source, late,
    e.at - (b.t0 - b.mono0) + c.wall_less_mono AS corrected, coalesce(1 - c.trusted, 0) AS estimated
FROM events e LEFT JOIN blocks b ON b.id = e.block {clocks.JOINED} WHERE e.site = ?"""  # noqa: S608 - our own words
# {number} is a good value as a number; its arguments, if it has any, come first.
_STEP: Final = """
SELECT min(number), max(number), count(*)
FROM (SELECT {number} AS number FROM samples s WHERE s.point = ? AND s.at >= ? AND s.at < ?) n"""
_LAST: Final = """
SELECT number
FROM (SELECT {number} AS number, at, block, position FROM samples s WHERE s.point = ? AND s.at >= ? AND s.at < ?) n
WHERE number IS NOT NULL ORDER BY at DESC, block DESC, position DESC LIMIT 1"""
# When the first sample came, and of the good ones the sum of value times duration, and of the durations.
_AREA: Final = """
SELECT min(at), sum(number * (until - at)), sum(CASE WHEN number IS NOT NULL THEN until - at END)
FROM (SELECT at, {number} AS number, lead(at, 1, ?) OVER (ORDER BY at, block, position) AS until
      FROM samples s WHERE s.point = ? AND s.at >= ? AND s.at < ?) n"""
_BEFORE: Final = """
SELECT at, {number} FROM samples s WHERE s.point = ? AND s.at < ? ORDER BY at DESC, block DESC, position DESC
LIMIT 1"""
_BAD: Final = """
SELECT at, block, position, q FROM samples
WHERE point = ? AND at < ? AND q <> 0
    AND at >= coalesce((SELECT max(at) FROM samples WHERE point = ? AND at <= ?), ?)
ORDER BY at DESC, block DESC, position DESC LIMIT ?"""
_FOLLOWING: Final = """
SELECT at FROM samples WHERE point = ? AND (at, block, position) > (?, ?, ?) ORDER BY at, block, position LIMIT 1"""
