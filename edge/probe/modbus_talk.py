"""The conversation of a probe with Modbus units, by the very link of the gateway's driver, and what came of it."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from drivers.modbus.address import Table
from drivers.modbus.link import Link
from drivers.modbus.options import AnyLink, RtuLink
from drivers.modbus.request import question
from edge.probe.guess import Words
from edge.probe.modbus import TABLES
from sitekeeper.model.errors import DeviceRefused, FieldError, LinkDown

NOBODY_BEHIND: Final = (10, 11)
"""Exceptions by which a Modbus gateway says that the unit behind it does not answer."""
NOT_THERE: Final = (2, 3)
"""Exceptions by which a device says that it has not all of what was asked."""
MOST_REQUESTS: Final = 300
"""Requests that learning what a device has takes at most; what is not known by then is left out."""
BLOCK: Final = 100
"""Registers asked for at once while a range is searched."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one unit said: `data`, or the error in its place."""

    unit: int
    data: bytes = b""
    error: FieldError | None = None

    @property
    def state(self) -> str:
        """`answers`, `refused`, `wrong` (an answer, but no right one), `silent` or `unreachable` (no connection)."""
        if self.error is None:
            return "answers"
        if isinstance(self.error, DeviceRefused):
            return "silent" if self.error.exception_code in NOBODY_BEHIND else "refused"
        if self.error.raw:
            return "wrong"
        return "unreachable" if isinstance(self.error, LinkDown) else "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The one request, of one or several units."""

    link: AnyLink
    units: Sequence[int]
    table: Table
    address: int
    count: int


@dataclass(frozen=True, slots=True)
class Beside:
    """What came of asking beside the place meant: off by one, or the same place in another table."""

    table: Table
    address: int
    answer: Answer


class Talk:
    """One connection, opened when it is needed and anew only if it was lost."""

    def __init__(self, options: AnyLink) -> None:
        self._link = Link(options)
        self._open = False
        self.never = False
        """The last attempt to open it failed: asking more is of no use."""

    async def ask(self, unit: int, table: Table, address: int, count: int) -> Answer:
        """Return what the unit said, or the error with everything that is known of it."""
        each = question(unit, table, address, count)
        try:
            if not self._open:
                self.never = True
                await self._link.open()
                self._open, self.never = True, False
            return Answer(unit, await self._link.ask(each))
        except FieldError as error:
            if not error.request:  # the connection's own fault knows neither
                error.endpoint, error.request = f"{self._link.endpoint} unit {unit}", each.text
            if isinstance(error, LinkDown):
                self._open = False
            return Answer(unit, error=error)

    def close(self) -> None:
        self._link.close()


async def ask(asked: Asked) -> list[Answer]:
    """Ask each unit in turn over one connection. Ends early if there is none."""
    talk, answers = Talk(asked.link), list[Answer]()
    try:
        for unit in asked.units:
            answers.append(await talk.ask(unit, asked.table, asked.address, asked.count))
            if talk.never:
                break
    finally:
        talk.close()
    return answers


async def beside(asked: Asked) -> list[Beside]:
    """Ask the first unit one address lower, one higher, and at the same address of the other tables."""
    talk, found = Talk(asked.link), list[Beside]()
    places = [(asked.table, at) for at in (asked.address - 1, asked.address + 1) if 0 <= at <= 65536 - asked.count]
    registers = asked.table in ("input", "holding")
    others = [table for table in TABLES if table != asked.table and (table in ("input", "holding")) == registers]
    try:
        for table, at in places + [(table, asked.address) for table in others]:
            found.append(Beside(table, at, await talk.ask(asked.units[0], table, at, asked.count)))
    finally:
        talk.close()
    return found


@dataclass(slots=True)
class Search:
    """Reads a range of registers again and again, once it has learned which of them the device has.

    Attributes:
        last: the last error, if any. asked: requests so far.
    """

    talk: Talk
    unit: int
    spans: list[tuple[Table, int, int]]
    last: FieldError | None = None
    asked: int = 0
    learned: bool = field(default=False)

    async def read(self) -> dict[tuple[Table, int], bytes]:
        """Return each register that can be read. A refused block is halved until the refused register stands alone.

        A unit that says nothing ends it: what it would be asked next, it would not answer either.
        """
        words, waiting, kept = dict[tuple[Table, int], bytes](), self.spans[::-1], list[tuple[Table, int, int]]()
        while waiting and (self.learned or self.asked < MOST_REQUESTS):
            table, at, count = waiting.pop()
            answer = await self.talk.ask(self.unit, table, at, count)
            self.asked += 1
            if answer.error is None:
                kept.append((table, at, count))
                words |= {(table, at + n): answer.data[2 * n : 2 * n + 2] for n in range(count)}
                continue
            self.last = answer.error
            if not isinstance(answer.error, DeviceRefused) or answer.error.exception_code in NOBODY_BEHIND:
                break
            if count > 1 and answer.error.exception_code in NOT_THERE:
                half = count // 2
                waiting += [(table, at + half, count - half), (table, at, half)]
        self.spans, self.learned = kept or self.spans, True
        return words


async def search(
    link: AnyLink, unit: int, tables: Sequence[Table], address: int, count: int, *, reads: int, apart: float
) -> tuple[list[Words], FieldError | None]:
    """Read a range of registers `reads` times, `apart` seconds from each other.

    Returns:
        the readings that gave anything, and the last error if none did.
    """
    talk, found = Talk(link), list[Words]()
    spans = [
        (table, at, min(BLOCK, address + count - at))
        for table in tables
        for at in range(address, address + count, BLOCK)
    ]
    seeking = Search(talk, unit, spans)
    try:
        for number in range(reads):
            if number:
                await asyncio.sleep(apart)
            words = await seeking.read()
            if not words:
                break
            found.append(words)
    finally:
        talk.close()
    return found, None if found else seeking.last


def holders(link: AnyLink, proc: Path = Path("/proc")) -> list[str]:
    """Return which processes have the serial port open, as far as this user may see: `pid 712: sk run --site /etc/x`.

    Args:
        proc: where the kernel tells of processes.
    """
    if not isinstance(link, RtuLink):
        return []
    try:
        wanted = Path(link.port).stat().st_rdev
    except OSError:
        return []
    return [f"pid {pid}: {command}" for pid, command in _having(wanted, proc)]


def _having(device: int, proc: Path) -> Iterator[tuple[int, str]]:
    for process in sorted(proc.iterdir()):
        if not process.name.isdecimal() or int(process.name) == os.getpid():
            continue
        try:
            has = any(_device(each) == device for each in (process / "fd").iterdir())
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:  # somebody else's, or ended meanwhile
            continue
        if has:
            yield int(process.name), command


def _device(file: Path) -> int | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_rdev or None
