"""Conversations with Modbus endpoints: one unit after the other, one request at a time, never a write."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from drivers.modbus.link import Link
from drivers.modbus.options import AnyLink, RtuLink, TcpLink
from drivers.modbus.request import question
from edge.discover.units import (
    IDENTITIES,
    STRANGERS,
    Table,
    Unit,
    Verdict,
    ask_identity,
    identity,
    judge,
    rtu_seconds,
)
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import DeviceSilent, FieldError, LinkDown

AT_ONCE: Final = 16
"""Connections that are tried side by side in a network."""
SERVERS: Final = 32
"""Servers of a network that are asked at most."""
_LONGEST: Final = 260
"""Bytes of a frame of Modbus TCP."""


@dataclass(slots=True)
class Found:
    """What came of a search. `link`: how a serial line was open when somebody answered; `late`: its time was over."""

    strangers: list[Unit] = field(default_factory=list)
    asked: list[Unit] = field(default_factory=list)
    link: AnyLink | None = None
    late: bool = False
    error: FieldError | None = None

    @property
    def verdict(self) -> Verdict:
        return judge(self.strangers, self.asked)


async def search_tcp(link: TcpLink, units: Sequence[int], table: Table, *, identify: bool, most: float) -> Found:
    """Ask units at one endpoint, within `most` seconds; what failed is in the answer beside what was found."""
    found = Found(link=link)
    try:
        async with asyncio.timeout(most):
            await _ask(link, STRANGERS, table, found.strangers)
            if not any(each.state == "unreachable" for each in found.strangers):
                every = units[:1] if judge(found.strangers, []).any_unit else units
                await _ask(link, every, table, found.asked)
            if identify and not link.tls:
                await _identities(link, found.verdict.there)
    except TimeoutError:
        found.late = True
    found.error = next((e.error for e in (*found.strangers, *found.asked) if e.state == "unreachable"), None)
    return found


def knocking(count: int, wait: float) -> float:
    """Return for how long `answering` takes at most."""
    return (count + AT_ONCE - 1) // AT_ONCE * (wait + 0.1)


async def answering(links: Sequence[TcpLink]) -> list[TcpLink]:
    """Return those whose server takes a connection, which is closed at once."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def knock(link: TcpLink) -> bool:
        async with slots:
            try:
                async with asyncio.timeout(link.timeout / SECOND):
                    _, writer = await asyncio.open_connection(link.host, link.port_number)
            except OSError:
                return False
            await _closed(writer)
            return True

    there = await asyncio.gather(*(knock(link) for link in links))
    return [link for link, answers in zip(links, there, strict=True) if answers]


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        async with asyncio.timeout(1):
            await writer.wait_closed()


async def search_rtu(links: Sequence[RtuLink], units: Sequence[int], trying: Callable[[RtuLink], None]) -> Found:
    """Ask units on a serial line that is opened in one way after the other, until somebody answers.

    Args:
        trying: told of each way before it is tried.
    """
    found = Found()
    for link in links:
        trying(link)
        answers: list[Unit] = []
        try:
            async with asyncio.timeout(rtu_seconds(link, len(units)) + 5):
                await _ask(link, units, "holding", answers)
        except TimeoutError:
            found.late = True
        found.asked = answers
        if any(each.state in {"answers", "refused", "wrong"} for each in answers):
            found.link = link
            break
        found.error = next((each.error for each in answers if each.state == "unreachable"), None)
        if found.error is not None:
            break
    return found


async def _ask(options: AnyLink, units: Sequence[int], table: Table, answers: list[Unit]) -> None:
    """Ask each unit in turn over one connection, opened anew when it was lost; end when it cannot be opened."""
    link, opened = Link(options), False
    try:
        for unit in units:
            asked = question(unit, table, 0, 1)
            try:
                if not opened:
                    await link.open()
                    opened = True
                answers.append(Unit(unit, await link.ask(asked)))
            except FieldError as error:
                lost = isinstance(error, LinkDown)
                if lost and opened:
                    opened = False
                    answers.append(Unit(unit, error=_unanswered(error, link.endpoint, unit)))
                    continue
                answers.append(Unit(unit, error=error))
                if lost:
                    return
    finally:
        link.close()


def _unanswered(error: FieldError, endpoint: str, unit: int) -> FieldError:
    """Return an error that says that this unit had the connection ended: a server may do so for units it lacks."""
    return DeviceSilent(f"the connection was lost: {error.what}", endpoint=f"{endpoint} unit {unit}")


async def _identities(link: TcpLink, units: Sequence[Unit]) -> None:
    """Ask who answered what it is, each on a connection of its own: some servers say nothing more after that."""
    with suppress(TimeoutError):
        async with asyncio.timeout(IDENTITIES):
            for number, unit in enumerate(units, 1):
                with suppress(OSError, asyncio.IncompleteReadError):
                    await _identity(link, unit, number)


async def _identity(link: TcpLink, unit: Unit, number: int) -> None:
    wait = link.timeout / SECOND
    async with asyncio.timeout(wait):
        reader, writer = await asyncio.open_connection(link.host, link.port_number)
    try:
        writer.write(ask_identity(number, unit.unit))
        try:
            async with asyncio.timeout(wait):
                unit.identity = identity(await _answer(reader, number, unit.unit))
        except TimeoutError:
            unit.jammed = await _is_jammed(reader, writer, unit.unit, wait)
    finally:
        await _closed(writer)


async def _is_jammed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, unit: int, wait: float) -> bool:
    """Tell whether the connection answers nothing at all any more."""
    writer.write(b"\xff\xfe\0\0\0\6" + bytes([unit, 3, 0, 0, 0, 1]))
    try:
        async with asyncio.timeout(wait):
            await _answer(reader, 0xFFFE, unit)
    except (asyncio.IncompleteReadError, OSError):
        return True
    return False


async def _answer(reader: asyncio.StreamReader, transaction: int, unit: int) -> bytes:
    """Return the answer to one transaction, from its function on; others are passed over."""
    while True:
        head = await reader.readexactly(7)
        length = int.from_bytes(head[4:6])
        if head[2:4] != b"\0\0" or not 2 <= length < _LONGEST:
            return b""
        rest = await reader.readexactly(length - 1)
        if head[:2] == transaction.to_bytes(2) and head[6] == unit:
            return rest
