"""Small local tables: what an event says of somebody, made more by what the site knows of them.

A class says which field of an event comes from which table (`credentials`: the status of a card). It is looked up
before the event is recorded, so rules and a replay see what was known then, and nothing outside the record.

Keys are pseudonyms, as events have them. A table that cannot be read keeps its last rows; one that never could makes
its fields unknown, which is not the same as a key that is not in it.
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.errors import FormatError
from sitekeeper.model.sample import Value

MOST_ROWS: Final = 50_000
MOST_BYTES: Final = 8 * 1024 * 1024
LOOK_EVERY: Final[Micros] = 5 * SECOND

Rows = Mapping[str, Mapping[str, str]]
"""The cells of each row by column, by the row's key."""


class Lookup(NamedTuple):
    """One field of an event that comes from a table.

    Attributes:
        field: what it is called. table: where it comes from. key: the field of the event that is looked up there.
        column: the table's column. absent: what it is for a key that the table does not have; empty for unknown.
        members: the words that it may be; empty for any.
    """

    field: str
    table: str
    key: str
    column: str
    absent: str = ""
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFile:
    """Where a table lies, by which column it is looked up, and how old it may be."""

    path: Path
    key: str
    stale: Micros


def parse(data: bytes, key: str) -> Rows:
    """Return the rows of a table.

    Raises:
        FormatError: it is no such table; says where and why.
    """
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(str(error)) from None
    header, *body = lines or [[]]
    if key not in header or len({*header}) != len(header):
        raise FormatError(f"line 1: no column {key!r}, or one twice")
    if len(body) > MOST_ROWS:
        raise FormatError(f"more than {MOST_ROWS} rows")
    rows: dict[str, dict[str, str]] = {}
    for number, cells in enumerate(body, 2):
        if not cells:
            continue
        row = dict(zip(header, cells, strict=False))
        if len(cells) != len(header) or row[key] in rows:
            raise FormatError(f"row {number}: {len(cells)} cells, or its key was there before")
        rows[row[key]] = row
    return rows


def read(file: TableFile) -> tuple[bytes, Micros]:
    """Return what is in a table's file, and the wall time at which it was last changed.

    Raises:
        FormatError: it is too large. OSError: it cannot be read.
    """
    with file.path.open("rb") as opened:
        data = opened.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise FormatError(f"more than {MOST_BYTES} bytes")
    return data, file.path.stat().st_mtime_ns // 1_000


class Tables:
    """The tables of one site.

    `look` may work on a thread of its own: what it found is put in place at once, when it is whole.

    Args:
        lookups: by source, `<device>/<event>`. files: by table.
        load: reads one, `read`.
    """

    def __init__(
        self,
        lookups: Mapping[str, Iterable[Lookup]],
        files: Mapping[str, TableFile],
        load: Callable[[TableFile], tuple[bytes, Micros]] = read,
    ) -> None:
        self._lookups = {source: tuple(found) for source, found in lookups.items()}
        self._files = dict(files)
        self._load = load
        self._rows: dict[str, Rows] = {}
        self._changed: dict[str, Micros] = {}
        self.problems: dict[str, str] = {}
        """Why a table cannot be read, by table."""

    def look(self) -> None:
        """Read every table that has changed."""
        for name, file in self._files.items():
            try:
                if name not in self.problems and self._changed.get(name) == _changed(file):
                    continue
                data, changed = self._load(file)
                self._rows[name], self._changed[name] = parse(data, file.key), changed
            except (OSError, FormatError) as error:
                self.problems[name] = str(error)
            else:
                self.problems.pop(name, None)

    def enrich(self, source: str, fields: dict[str, Value]) -> dict[str, Value]:
        """Return an event's fields with those that the tables add; None where that is not known."""
        found = self._lookups.get(source)
        return fields if found is None else fields | {each.field: self._value(each, fields) for each in found}

    def age(self, name: str, wall: Micros) -> float | None:
        """Return the seconds since a table was last changed; None if it was never read."""
        changed = self._changed.get(name)
        return None if changed is None else max(0, wall - changed) / SECOND

    def rows(self, name: str) -> int | None:
        """Return how many rows a table has; None if it was never read."""
        rows = self._rows.get(name)
        return None if rows is None else len(rows)

    def names(self) -> dict[str, str]:
        """Return what the tables call people: the cells of columns named `name`, by key."""
        tables = list(self._rows.values())  # `look` may add to it meanwhile
        return {key: row["name"] for rows in tables for key, row in rows.items() if row.get("name")}

    def bad(self, wall: Micros) -> int:
        """Return how many tables cannot be read, or are older than they may be."""
        changed = list(self._changed.items())  # `look` may add to it meanwhile
        old = {name for name, at in changed if wall - at > self._files[name].stale}
        return len({*self.problems} | old)

    def _value(self, lookup: Lookup, fields: Mapping[str, Value]) -> str | None:
        rows, key = self._rows.get(lookup.table), fields.get(lookup.key)
        if rows is None or not isinstance(key, str):
            return None
        row = rows.get(key)
        value = lookup.absent if row is None else row.get(lookup.column, "")
        return value if value and (not lookup.members or value in lookup.members) else None


def _changed(file: TableFile) -> Micros:
    return file.path.stat().st_mtime_ns // 1_000
