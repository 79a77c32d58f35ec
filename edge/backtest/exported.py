"""An office's export of a site's record (`sitekeeper.export`) to pieces in order of time."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from edge.backtest.record import UNKNOWN, Piece
from sitekeeper import catalogue
from sitekeeper.export import FORMAT, Head
from sitekeeper.model.alarm import Transition
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import FormatError, FormatTooNew
from sitekeeper.model.event import Event
from sitekeeper.model.point import Point
from sitekeeper.model.sample import Sample

_PART: Final = 1_000
"""Records of one piece."""


class Exported:
    """Reads the lines of an export for the points of the present site; `gone` and `transitions` as of a `Record`.

    `points`: ids of all that the export may have.

    Raises:
        FormatTooNew: of a format that this software does not know. FormatError: no export.
    """

    def __init__(self, lines: Iterable[bytes], points: Mapping[str, Point]) -> None:
        self._lines = iter(lines)
        try:
            self.head = msgspec.json.decode(next(self._lines, b""), type=Head)
        except msgspec.MsgspecError as error:
            raise FormatError(f"not an export: {error}") from None
        if self.head.format != FORMAT:
            raise FormatTooNew(f"an export in the format {self.head.format}, this software reads {FORMAT}")
        rows = catalogue.decode(self.head.catalogue).points
        self._handles = {point.id: point.handle for point in points.values()}
        self.points = frozenset(row.id for row in rows)
        self._groups: dict[str, list[int]] = {}
        for row in rows:
            if row.id in self._handles:
                self._groups.setdefault(row.group, []).append(self._handles[row.id])
        self.gone: set[str] = set()
        self.transitions: list[Transition] = []

    def pieces(self) -> Iterator[Piece]:
        """Return what happened in order.

        Raises:
            FormatError: a line cannot be read.
        """
        decode = msgspec.json.Decoder(list[Any]).decode
        boot, wall = "", 0
        records: list[Sample | Event] = []
        for number, line in enumerate(self._lines, 2):
            try:
                kind, *told = decode(line)
                if kind in {"b", "u"} or len(records) >= _PART:
                    until = told[0] if kind == "u" else None
                    yield from _piece(boot, wall, records, until)
                    records = []
                if kind == "b":
                    boot, wall = told
                else:
                    records += self._records(kind, told)
            except (msgspec.MsgspecError, TypeError, ValueError, IndexError) as error:
                raise FormatError(f"line {number} of the export cannot be read: {error}") from None
        yield from _piece(boot, wall, records, None)

    def _records(self, kind: str, told: list[Any]) -> list[Sample] | list[Event]:
        match kind:
            case "s":
                at, point, value, q = told
                if point in self._handles:
                    return [Sample(self._handles[point], at, value, q)]
                self.gone.add(point)
            case "e":
                at, source, fields, late = told
                return [Event(source, at, fields, late=late)]
            case "g":
                at, group = told
                return [Sample(handle, at, None, UNKNOWN) for handle in self._groups.get(group, ())]
            case "t":
                self.transitions.append(msgspec.convert(told[0], Transition))
        return []


def _piece(boot: str, wall: Micros, records: list[Sample | Event], until: Micros | None) -> Iterator[Piece]:
    if records or until is not None:
        last = records[-1].at if records else until or 0
        yield Piece(boot, wall, records, last if until is None else max(last, until))
