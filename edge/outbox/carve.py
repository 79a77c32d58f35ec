"""Rows out of the pages of a damaged SQLite file, without SQLite: what its trees no longer lead to is still there.

A log holds pages of before it began anew, too: moved into the file long ago, they stand in for pages that it lost.

Only leaf pages of tables are read (fileformat2, sections 1.6 and 2.1). Nothing is trusted: who calls this compares
each row with its digest or its own checksum.
"""

import struct
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

_LEAF: Final = 0x0D
_MOST: Final = 1 << 20
"""Bytes of the largest row that is put together."""

_WIDTHS: Final = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8, 8: 0, 9: 0}


class Pages:
    """The pages of a file, as the newest frames of its log have them."""

    def __init__(self, path: Path, page: int) -> None:
        self.page = page
        self._file = path.read_bytes() if path.exists() else b""
        self._newer: dict[int, bytes] = {}
        self._older: dict[int, bytes] = {}
        wal = path.with_name(path.name + "-wal")
        log = wal.read_bytes() if wal.exists() else b""
        for place in range(32, len(log) - 24 - page + 1, 24 + page):
            number = struct.unpack_from(">I", log, place)[0]
            layer = self._newer if log[place + 8 : place + 16] == log[16:24] else self._older
            layer[number] = log[place + 24 : place + 24 + page]

    def get(self, number: int) -> bytes:
        """Return a page, counted from 1; empty if there is none."""
        kept = self._newer.get(number) or self._file[(number - 1) * self.page : number * self.page]
        return kept if len(kept) == self.page else self._older.get(number, b"")

    def rows(self) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Yield (rowid, columns) of all rows that can be put together."""
        # Not up to the highest number: one that was flipped may be any.
        numbers = sorted({*range(1, len(self._file) // self.page + 1), *self._newer})
        for number, page in chain(((n, self.get(n)) for n in numbers), sorted(self._older.items())):
            head = 100 if number == 1 else 0
            if len(page) < self.page or page[head] != _LEAF:
                continue
            cells = struct.unpack_from(">H", page, head + 3)[0]
            for index in range(min(cells, (self.page - head - 8) // 2)):
                place = struct.unpack_from(">H", page, head + 8 + 2 * index)[0]
                try:
                    yield self._cell(page, place)
                except (IndexError, struct.error, UnicodeDecodeError, ValueError):
                    continue  # that cell is the damage

    def _cell(self, page: bytes, place: int) -> tuple[int, tuple[Any, ...]]:
        size, place = _varint(page, place)
        rowid, place = _varint(page, place)
        if not 0 < size <= _MOST:
            raise ValueError(size)
        usable = self.page
        most, least = usable - 35, (usable - 12) * 32 // 255 - 23
        here = size
        if size > most:
            kept = least + (size - least) % (usable - 4)
            here = kept if kept <= most else least
        body = page[place : place + here]
        if here < size:
            body += self._overflow(struct.unpack_from(">I", page, place + here)[0], size - here)
        return rowid, _record(body)

    def _overflow(self, number: int, left: int) -> bytes:
        parts: list[bytes] = []
        while left > 0:
            page = self.get(number)
            part = page[4 : 4 + min(left, self.page - 4)]
            if not part:
                raise ValueError(number)
            parts.append(part)
            left -= len(part)
            number = struct.unpack_from(">I", page)[0]
        return b"".join(parts)


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for n in range(9):
        byte = data[place + n]
        if n == 8:
            value = value << 8 | byte
        else:
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value, place + n + 1
    return value - (1 << 64 if value >= 1 << 63 else 0), place + 9


def _record(body: bytes) -> tuple[Any, ...]:
    size, place = _varint(body, 0)
    kinds = []
    while place < size:
        kind, place = _varint(body, place)
        kinds.append(kind)
    values: list[Any] = []
    for kind in kinds:
        width = _WIDTHS[kind] if kind < 10 else (kind - 12) // 2
        raw = body[place : place + width]
        if len(raw) < width or kind in {10, 11}:
            raise ValueError(kind)
        values.append(_value(kind, raw))
        place += width
    return tuple(values)


def _value(kind: int, raw: bytes) -> Any:
    if kind >= 12:
        return raw.decode() if kind & 1 else raw
    if kind in {0, 7}:
        return struct.unpack(">d", raw)[0] if kind == 7 else None
    return kind - 8 if kind >= 8 else int.from_bytes(raw, "big", signed=True)
